use clap::Args;
use comfy_table::Cell;
use driftless_model::{KeyHash, RecordKey, SyncId};
use driftless_state::documents;
use serde_json::json;

use crate::Ended;
use crate::output::{figure, show, table};
use crate::session::Session;
use crate::time::{count, utc};

/// Show what was rejected, or let it be tried again.
///
/// Records that the destination refused, by key hash, with how often and why; and snapshots and messages that were refused
/// whole. `--release` forgets the records' rejections, so that the next run tries the quarantined ones again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless rejects newsletter
  driftless rejects newsletter --release
  driftless rejects newsletter --release --key c00000042")]
pub(crate) struct Rejects {
    /// The sync.
    sync: SyncId,
    /// Forget rejections.
    #[arg(long)]
    release: bool,
    /// Only of this record.
    #[arg(long, value_name = "KEY", requires = "release", conflicts_with = "key_hash")]
    key: Option<String>,
    /// Only of the record with this key hash, as the list shows it.
    #[arg(long, value_name = "HASH", requires = "release")]
    key_hash: Option<KeyHash>,
}

impl Rejects {
    pub(crate) async fn run(&self, session: &Session, json: bool) -> anyhow::Result<Ended> {
        let entry = session.entry(&self.sync).await?;
        if self.release {
            return self.release(session, json).await;
        }
        let limit = documents::sync(session.objects.as_ref(), &entry).await?.attempt_limit;
        let mut rejects = session.log.rejects(&self.sync).await?;
        rejects.sort_by_key(|r| core::cmp::Reverse(r.at));
        let refused = session.log.input_rejects(&entry.dataset.to_string()).await?;
        let records: Vec<_> = rejects
            .iter()
            .map(|r| {
                json!({
                    "key_hash": r.key_hash, "reason": r.reason, "attempts": r.attempts,
                    "quarantined": r.attempts >= limit, "last_run": r.last_run, "at": utc(r.at),
                })
            })
            .collect();
        let inputs: Vec<_> =
            refused.iter().map(|r| json!({ "subject": r.subject, "reason": r.reason, "at": utc(r.at) })).collect();
        show(json, &json!({ "sync": self.sync, "records": records, "inputs": inputs }), || {
            let mut lines = vec![if rejects.is_empty() {
                format!("The destination has rejected no record of {}.", self.sync)
            } else {
                let mut t = table(&["key hash", "attempts", "", "reason", "last run", "at"]);
                for r in &rejects {
                    let word = if r.attempts >= limit { "quarantined" } else { "tried again" };
                    t.add_row(vec![
                        Cell::new(r.key_hash),
                        figure(u64::from(r.attempts)),
                        Cell::new(word),
                        Cell::new(&r.reason),
                        Cell::new(&r.last_run),
                        Cell::new(utc(r.at)),
                    ]);
                }
                t.to_string()
            }];
            lines.extend(refused.iter().map(|r| format!("refused {} at {}: {}", r.subject, utc(r.at), r.reason)));
            lines.join("\n")
        })?;
        Ok(Ended::Well)
    }

    async fn release(&self, session: &Session, json: bool) -> anyhow::Result<Ended> {
        let key = match (&self.key, self.key_hash) {
            (Some(key), _) => Some(session.hash_key().await?.key_hash(&RecordKey::new(key.as_str()))),
            (None, hash) => hash,
        };
        let released = session.log.release_rejects(&self.sync, key.map(|k| (k, None))).await?;
        show(json, &json!({ "sync": self.sync, "released": released }), || {
            let sync = &self.sync;
            format!("{} rejections forgotten; the next run tries again (`driftless sync now {sync}`).", count(released))
        })?;
        Ok(Ended::Well)
    }
}
