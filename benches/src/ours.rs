//! The product's own calls, as its functions make them. Nothing else of the bench knows the product's API.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use driftless_changeset::{Changes, merge_diff};
use driftless_config::{FieldMapping, KeyColumns, Mapping, Selection};
use driftless_deltalog::MemoryDeltalog;
use driftless_deltalog::head::{ConfigStamp, Head, HistoryRef, Names};
use driftless_deltalog::item::{ChangeOp, LogItem};
use driftless_history::{FileMeta, fold, read_delta};
use driftless_model::{Millis, ObjectVersion, RecordKey};
use driftless_objects::Objects;
use driftless_snapshot::{Digest, HashKey, Limits, Source, View, ViewSpec, digest, records};
use driftless_state::SyncState;
use serde_json::{Value, json};

use crate::files::Files;

/// The column that identifies a record, to us and to the destination.
pub(crate) const KEY: &str = "email";
pub(crate) const HISTORY: &str = "history.parquet";
pub(crate) const DELTA: &str = "delta.parquet";
const NEXT: &str = "next.parquet";

/// One sync of the dataset, and what its functions would be given.
pub(crate) struct Ours {
    pub(crate) snapshots: Files,
    pub(crate) work: Files,
    pub(crate) key: HashKey,
    limits: Limits,
    log: MemoryDeltalog,
}

/// What ingest finds out before it builds items.
pub(crate) struct Found {
    pub(crate) changes: Changes,
    spec: ViewSpec,
    parts: Vec<ObjectVersion>,
    head: Head,
    /// Records of b.
    rows: u64,
    changes_s: f64,
}

impl Ours {
    pub(crate) fn new(snapshots: &Path, work: &Path) -> Self {
        Self {
            snapshots: Files::new(snapshots),
            work: Files::new(work),
            key: HashKey::new([7; 32]),
            limits: Limits::default(),
            log: MemoryDeltalog::default(),
        }
    }

    /// The part files of a snapshot.
    pub(crate) async fn parts(&self, snapshot: &str) -> anyhow::Result<Vec<ObjectVersion>> {
        let listed = self.snapshots.list(&format!("{snapshot}/")).await?;
        Ok(listed.into_iter().map(|meta| meta.object).collect())
    }

    fn source<'a>(&'a self, parts: &'a [ObjectVersion]) -> Source<'a> {
        Source { objects: &self.snapshots, parts, limits: &self.limits }
    }

    /// Every column is a field of its own name; the key is the identifier.
    async fn spec(&self, parts: &[ObjectVersion]) -> anyhow::Result<ViewSpec> {
        let schema = driftless_snapshot::schema(self.source(parts)).await?;
        let fields = schema.fields().iter().map(|column| {
            let mut field = FieldMapping::new(column.name(), column.name());
            field.identifier = column.name() == KEY;
            field
        });
        Ok(ViewSpec {
            key: KeyColumns::new(vec![KEY.to_owned()]).context("one column is a key")?,
            selection: Selection::Everything,
            mapping: Mapping::new(fields.collect()),
            prefer: None,
        })
    }

    /// A snapshot as two hashes a record.
    pub(crate) async fn digests(&self, parts: &[ObjectVersion]) -> anyhow::Result<(ViewSpec, Vec<Digest>)> {
        let (spec, erased) = (self.spec(parts).await?, BTreeSet::new());
        let views = [View { spec: &spec, erased: &erased }];
        let digested = digest(self.source(parts), &views, &self.key).await?.pop().context("one view, one answer")?;
        let rows = digested?.rows;
        Ok((spec, rows))
    }

    /// Snapshot b against the history.
    pub(crate) async fn find(&self) -> anyhow::Result<Found> {
        let begun = Instant::now();
        let (parts, head) = (self.parts("b").await?, self.head()?);
        let (spec, rows) = self.digests(&parts).await?;
        let state = SyncState::new(&self.log, &self.work, &head);
        let touched = state.touched(None).await?;
        let d = state.d_digests(&touched.states).await?;
        let changes = merge_diff(d, rows.iter().map(|r| (r.key_hash, r.attr_hash)), true);
        let rows = rows.len() as u64;
        Ok(Found { changes, spec, parts, head, rows, changes_s: begun.elapsed().as_secs_f64() })
    }

    pub(crate) async fn changes(&self) -> anyhow::Result<Value> {
        let found = self.find().await?;
        Ok(self.told(&found))
    }

    pub(crate) async fn ingest(&self) -> anyhow::Result<Value> {
        let found = self.find().await?;
        let mut told = self.told(&found);
        if is_bulk(&found.changes, found.rows) {
            // A bulk version has no items.
            return Ok(told);
        }
        let (begun, read) = (Instant::now(), self.bytes_read());
        let items = self.items(&found).await?;
        told["items_s"] = begun.elapsed().as_secs_f64().into();
        told["items"] = items.len().into();
        told["items_read_mb"] = megabytes(self.bytes_read() - read).into();
        told["read_mb"] = megabytes(self.bytes_read()).into();
        told["requests"] = (self.snapshots.requests() + self.work.requests()).into();
        Ok(told)
    }

    /// The log items of the changes: the records of b that entered or changed, and who left.
    pub(crate) async fn items(&self, found: &Found) -> anyhow::Result<Vec<LogItem>> {
        let changes = &found.changes;
        let wanted: BTreeMap<_, _> = changes.adds.iter().chain(&changes.updates).copied().collect();
        let mut read = match wanted.is_empty() {
            true => BTreeMap::new(),
            false => records(self.source(&found.parts), &found.spec, &self.key, &wanted).await?,
        };
        let item = |key_hash, key: RecordKey, op, attr_hash, identifiers| LogItem {
            key_hash,
            key,
            op,
            attr_hash,
            identifiers,
            updated_at: Millis(0),
            committed_at: None,
            superseded_by: None,
            expires_at: None,
        };
        let mut items = Vec::with_capacity(changes.len());
        let sent = (changes.adds.iter().map(|a| (a, ChangeOp::Add)))
            .chain(changes.updates.iter().map(|u| (u, ChangeOp::Update)));
        for ((key_hash, attr_hash), op) in sent {
            let record = read.remove(key_hash).context("a changed record is in the snapshot")?;
            items.push(item(*key_hash, record.key, op, Some(*attr_hash), record.identifiers));
        }
        let state = SyncState::new(&self.log, &self.work, &found.head);
        let left = state.base_rows(&changes.removals.iter().copied().collect()).await?;
        items.extend(left.into_iter().map(|(k, row)| item(k, row.key, ChangeOp::Remove, None, row.identifiers)));
        Ok(items)
    }

    pub(crate) async fn fold(&self) -> anyhow::Result<Value> {
        let begun = Instant::now();
        let overlay = read_delta(&self.work, DELTA).await?;
        let (bytes, rows) = fold(&self.work, Some(HISTORY), &overlay, &FileMeta::default()).await?;
        let written = bytes.len() as u64;
        self.work.delete(NEXT).await?;
        self.work.create(NEXT, bytes).await?;
        Ok(json!({ "fold_s": begun.elapsed().as_secs_f64(), "rows": rows, "written_mb": megabytes(written) }))
    }

    /// Keeps a file for the runs that are measured.
    pub(crate) async fn keep(&self, name: &str, bytes: Bytes) -> anyhow::Result<()> {
        self.work.delete(name).await?;
        self.work.create(name, bytes).await?;
        Ok(())
    }

    /// A head that names the history and nothing after it.
    fn head(&self) -> anyhow::Result<Head> {
        let dataset: driftless_model::DatasetId = "bench/people".parse()?;
        let names = Names {
            dataset: dataset.clone(),
            source: String::new(),
            kind: "rest".to_owned(),
            destination: "crm".parse()?,
            list: "everybody".to_owned(),
        };
        let config = ConfigStamp { epoch: 0, fingerprint: String::new() };
        let mut head = Head::new("bench".parse()?, 1, names, config);
        head.history = Some(HistoryRef { object: HISTORY.to_owned(), rows: 0, fingerprint: String::new() });
        Ok(head)
    }

    fn bytes_read(&self) -> u64 {
        self.snapshots.bytes_read() + self.work.bytes_read()
    }

    fn told(&self, found: &Found) -> Value {
        let Changes { adds, updates, removals } = &found.changes;
        json!({
            "adds": adds.len(), "updates": updates.len(), "removals": removals.len(), "changes_s": found.changes_s,
            "read_mb": megabytes(self.bytes_read()), "requests": self.snapshots.requests() + self.work.requests(),
        })
    }
}

/// More than this is no list of changes but a new list.
pub(crate) fn is_bulk(changes: &Changes, rows: u64) -> bool {
    let changed = changes.len() as u64;
    changed > 1_000_000 || (rows > 100_000 && changed * 10 > rows * 3)
}

#[allow(clippy::cast_precision_loss)] // shown with few digits
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
