//! The product's own calls, as its functions make them. Nothing else of the bench knows the product's API.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use driftless_changeset::{BulkThreshold, Changes, MergeDiff};
use driftless_config::{FieldMapping, KeyColumns, Mapping, Selection};
use driftless_deltalog::MemoryDeltalog;
use driftless_deltalog::head::{ConfigStamp, Head, HistoryRef, Names};
use driftless_deltalog::item::{ChangeOp, LogItem};
use driftless_history::{BulkWriter, FileMeta, fold, read_delta};
use driftless_model::{KeyHash, Millis, ObjectVersion, Task, in_lanes};
use driftless_objects::Objects;
use driftless_snapshot::{
    Digests, HashKey, Limits, PackedStates, Source, View, ViewSpec, digest, packed_states, states,
};
use driftless_state::{D, SyncState};
use serde_json::{Value, json};

use crate::files::Files;
use crate::lanes::Threads;

/// The column that identifies a record, to us and to the destination.
pub(crate) const KEY: &str = "email";
pub(crate) const HISTORY: &str = "history.parquet";
pub(crate) const DELTA: &str = "delta.parquet";
const NEXT: &str = "next.parquet";
const BULK: &str = "bulk.parquet";

/// One sync of the dataset, and what its functions would be given.
pub(crate) struct Ours {
    pub(crate) snapshots: Files,
    pub(crate) work: Files,
    pub(crate) key: HashKey,
    lanes: Threads,
    limits: Limits,
    log: MemoryDeltalog,
}

/// What ingest finds out before it builds items.
pub(crate) struct Found {
    pub(crate) changes: Changes,
    spec: ViewSpec,
    parts: Vec<ObjectVersion>,
    head: Head,
    rows: Digests,
    changes_s: f64,
}

impl Ours {
    pub(crate) fn new(snapshots: &Path, work: &Path, threads: usize) -> Self {
        Self {
            snapshots: Files::new(snapshots),
            work: Files::new(work),
            key: HashKey::new([7; 32]),
            lanes: Threads(threads),
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
    pub(crate) async fn digests(&self, parts: &[ObjectVersion]) -> anyhow::Result<(ViewSpec, Digests)> {
        let (spec, erased) = (self.spec(parts).await?, BTreeSet::new());
        let views = [View { spec: &spec, erased: &erased }];
        let digested =
            digest(self.source(parts), &views, &self.key, &self.lanes).await?.pop().context("one view, one answer")?;
        let rows = digested?.rows;
        Ok((spec, rows))
    }

    /// Snapshot b against the history.
    pub(crate) async fn find(&self) -> anyhow::Result<Found> {
        let begun = Instant::now();
        let (parts, head) = (self.parts("b").await?, self.head()?);
        let (spec, rows) = self.digests(&parts).await?;
        let state = SyncState::new(&self.log, &self.work, &head);
        let changes = self.join(&state, &rows).await?;
        Ok(Found { changes, spec, parts, head, rows, changes_s: begun.elapsed().as_secs_f64() })
    }

    /// The outer join, each lane its own range of key hashes.
    async fn join(&self, state: &SyncState<'_>, rows: &Digests) -> anyhow::Result<Changes> {
        let touched = state.touched(None).await?;
        let (base, states) = (&state.base().await?, &touched.states);
        let tasks = rows.ranges(self.lanes.0).into_iter().map(|range| {
            let task: Task<'_, anyhow::Result<Changes>> = Box::pin(async move {
                let mut d = D::new(base.as_ref(), states, range.from, range.to);
                let mut merge = MergeDiff::new(range.iter().map(|r| (r.key_hash, r.attr_hash)), true);
                while let Some(records) = d.next().await? {
                    records.into_iter().for_each(|(key, hash)| merge.member(key, hash));
                }
                Ok(merge.finish())
            });
            task
        });
        let mut changes = Changes::default();
        for joined in in_lanes(&self.lanes, tasks.collect()).await {
            changes.append(joined?);
        }
        Ok(changes)
    }

    pub(crate) async fn changes(&self) -> anyhow::Result<Value> {
        let found = self.find().await?;
        Ok(self.told(&found))
    }

    pub(crate) async fn ingest(&self) -> anyhow::Result<Value> {
        let found = self.find().await?;
        let mut told = self.told(&found);
        if is_bulk(&found.changes, found.rows.len() as u64) {
            let begun = Instant::now();
            told["bulk_mb"] = megabytes(self.bulk(&found).await?).into();
            told["bulk_s"] = begun.elapsed().as_secs_f64().into();
            told["read_mb"] = megabytes(self.bytes_read()).into();
            told["requests"] = (self.snapshots.requests() + self.work.requests()).into();
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

    /// A bulk version has no items: the new state is a file, which is made as ingest makes it. Returns its length in bytes.
    async fn bulk(&self, found: &Found) -> anyhow::Result<u64> {
        let mut file = File::create(self.work.path(BULK))?;
        let mut writer = BulkWriter::new(&FileMeta::default())?;
        let keys: Vec<KeyHash> = found.rows.iter().map(|row| row.key_hash).collect();
        let mut written = 0;
        for wanted in keys.chunks(PackedStates::at_once(found.rows.len())) {
            let source = self.source(&found.parts);
            let states = packed_states(source, &found.spec, &self.key, &found.rows, wanted, &self.lanes).await?;
            anyhow::ensure!(states.len() == wanted.len(), "{} of {} records found", states.len(), wanted.len());
            for state in states.iter() {
                let hashes = (state.key_hash, state.attr_hash);
                writer.write(hashes, state.key, state.identifiers(), None)?;
                if let Some(bytes) = writer.take(4 << 20) {
                    written += bytes.len() as u64;
                    file.write_all(&bytes)?;
                }
            }
        }
        let bytes = writer.finish()?;
        file.write_all(&bytes)?;
        Ok(written + bytes.len() as u64)
    }

    /// The log items of the changes: the records of b that entered or changed, and who left.
    pub(crate) async fn items(&self, found: &Found) -> anyhow::Result<Vec<LogItem>> {
        let changes = &found.changes;
        let wanted: Vec<KeyHash> = changes.adds.iter().chain(&changes.updates).map(|(key, _)| *key).collect();
        let source = self.source(&found.parts);
        let states = states(source, &found.spec, &self.key, &found.rows, &wanted, &self.lanes).await?;
        anyhow::ensure!(states.len() == wanted.len(), "{} of {} changed records found", states.len(), wanted.len());
        let item = |key_hash, key, op, attr_hash, identifiers| LogItem {
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
        items.extend(states.into_iter().map(|(key, state)| {
            let is_new = changes.adds.binary_search_by_key(&key, |(k, _)| *k).is_ok();
            let op = if is_new { ChangeOp::Add } else { ChangeOp::Update };
            item(key, state.key, op, Some(state.attr_hash), state.identifiers)
        }));
        let state = SyncState::new(&self.log, &self.work, &found.head);
        let left = state.untouched(&changes.removals.iter().copied().collect(), &self.lanes).await?;
        let left = left.into_iter();
        items.extend(left.map(|(k, (key, identifiers))| item(k, key, ChangeOp::Remove, None, identifiers)));
        Ok(items)
    }

    pub(crate) async fn fold(&self) -> anyhow::Result<Value> {
        let begun = Instant::now();
        let overlay = read_delta(&self.work, DELTA).await?;
        let (bytes, rows) = fold(&self.work, Some(HISTORY), &overlay, &FileMeta::default(), &self.lanes).await?;
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

/// Whether ingest would make a bulk version of these changes of a list of so many records.
pub(crate) fn is_bulk(changes: &Changes, rows: u64) -> bool {
    BulkThreshold::default().is_passed(changes.len() as u64, 0, rows, rows)
}

#[allow(clippy::cast_precision_loss)] // shown with few digits
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
