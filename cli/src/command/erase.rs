use clap::Args;
use driftless_delivery::Message;
use driftless_deltalog::head::{Append, Swap, VersionEntry, VersionKind};
use driftless_deltalog::item::{ChangeOp, LogItem};
use driftless_deltalog::registry::SyncEntry;
use driftless_model::{DatasetId, KeyHash, RecordKey, SnapshotOrder, SnapshotRef};
use driftless_state::{SyncState, new_head};
use serde_json::json;

use crate::Ended;
use crate::ended::Trouble;
use crate::explain::{ERASURE, key_of, standing};
use crate::output::{confirm, show};
use crate::session::Session;
use crate::time::counted;

/// Erase a person from every list of a dataset, for good.
///
/// The key is suppressed in all later snapshots, and its removal is sent at once, past every guard. It cannot be taken back.
/// Files that still name the person (changesets, histories) expire as the deployment says; erase the person from your own
/// snapshots too. A sync that never removes (mode `upsert` and the like) keeps the person in its list: ask the destination.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless erase acme/customers c00000042 --yes
  driftless erase acme/orders c00000042 17 --yes     (a key of two columns)")]
pub(crate) struct Erase {
    /// The dataset, `tenant/name`.
    dataset: DatasetId,
    /// The record's key; several values, in the order of the key columns, where it has several.
    #[arg(required = true)]
    key: Vec<String>,
    /// Confirm without being asked.
    #[arg(long, short)]
    yes: bool,
}

/// Attempts before giving up: each lost swap means that a snapshot came between.
const ATTEMPTS: usize = 8;

impl Erase {
    pub(crate) async fn run(&self, session: &Session, json: bool) -> anyhow::Result<Ended> {
        let entries: Vec<SyncEntry> =
            session.log.syncs().await?.into_iter().filter(|e| e.dataset == self.dataset).collect();
        if entries.is_empty() {
            return Err(Trouble::usage(
                format!("no sync of this stage uses dataset {}", self.dataset),
                "`driftless status` lists the syncs with their datasets",
            )
            .into());
        }
        let key = key_of(&self.key);
        let hash = session.hash_key().await?.key_hash(&key);
        confirm(
            self.yes,
            &[format!("the record with key hash {hash} is erased from {} for good", counted(entries.len(), "list"))],
        )?;
        let mut erased = Vec::new();
        for entry in &entries {
            let (version, was_member) = erase(session, entry, &key, hash).await?;
            let tick = format!("erase-{}-{version}", entry.incarnation);
            let plan = Message::Plan { sync: entry.sync.clone(), tick, cause: "erase".to_owned(), after_ingest: true };
            session.send("planner", &plan).await?;
            erased.push(json!({ "sync": entry.sync, "version": version, "was_selected": was_member }));
        }
        show(json, &json!({ "dataset": self.dataset, "key_hash": hash, "syncs": erased }), || {
            let syncs = counted(entries.len(), "sync");
            format!(
                "Erased {hash} from {syncs}; the removals are being sent. `driftless explain <sync> <key>` shows them."
            )
        })?;
        Ok(Ended::Well)
    }
}

/// Tombstone and version n+1 = "remove" in one transaction with the head (protocol rule 13). Says which version, and whether
/// the record was selected.
async fn erase(session: &Session, entry: &SyncEntry, key: &RecordKey, hash: KeyHash) -> anyhow::Result<(u64, bool)> {
    for _ in 0..ATTEMPTS {
        let Some(head) = crate::sync_state::head(session, entry).await? else {
            let before = session.log.head(&entry.sync).await?;
            let new = new_head(session.log.as_ref(), entry, before.as_ref(), session.clock.now()).await?;
            // Lost: ingest has created it meanwhile, which is as good.
            let _: Swap = session.log.create_head(&new).await?;
            continue;
        };
        let now = session.clock.now();
        // No snapshot brought this version, and its order decides nothing: the head keeps that of the newest snapshot.
        let order = SnapshotOrder { version: None, modified: now, key: ERASURE.to_owned(), sequencer: None };
        let dated = head.snapshot.as_ref().map_or(now, |s| s.order.modified);
        let standing = standing(session, &head, hash).await?;
        // Nobody to remove: the log must not learn of the person.
        let items: Vec<LogItem> = standing
            .selected
            .iter()
            .map(|state| LogItem {
                key_hash: hash,
                key: key.clone(),
                op: ChangeOp::Remove,
                attr_hash: None,
                identifiers: state.identifiers.clone(),
                updated_at: dated,
                committed_at: None,
                superseded_by: None,
                expires_at: None,
            })
            .collect();
        let version = head.version + 1;
        let version_entry = VersionEntry {
            token: session.tokens.token(),
            kind: VersionKind::Items,
            count: items.len() as u64,
            adds: 0,
            updates: 0,
            removals: items.len() as u64,
            order: order.clone(),
            logged_at: now,
        };
        let state = SyncState::new(session.log.as_ref(), session.objects.as_ref(), &head);
        let partition = state.partition(version, &version_entry);
        session.log.put_attempt(&partition, now).await?;
        session.log.put_items(&partition, &items).await?;
        let append = Append {
            snapshot: SnapshotRef { order, parts: Vec::new() },
            config: head.config.clone(),
            entry: version_entry,
            hold: None,
        };
        if session.log.erase(&entry.sync, &entry.dataset, hash, &head.guard(), &append).await? == Swap::Done {
            return Ok((version, !items.is_empty()));
        }
    }
    Err(Trouble::new(format!("snapshots of `{}` keep coming between", entry.sync), "try again").into())
}
