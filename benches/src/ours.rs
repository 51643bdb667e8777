//! The product's own calls, as its functions make them. Nothing else of the bench knows the product's API.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use driftless_changeset::{BulkThreshold, Changes, MergeDiff, States};
use driftless_config::{FieldMapping, KeyColumns, Mapping, Selection};
use driftless_deltalog::item::{ChangeOp, LogItem};
use driftless_history::{BulkRecord, BulkWriter, FileMeta, HistoryFile, fold, read_delta};
use driftless_model::{AttrHash, KeyHash, Millis, ObjectVersion, Task, in_lanes};
use driftless_objects::Objects;
use driftless_snapshot::{
    Digests, HashKey, Known, KnownRange, Limits, Outcome, PackedStates, Source, View, ViewSpec, digest, digest_against,
    packed_states, states,
};
use driftless_state::{Base, D};
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
}

/// Somebody who left, and where the history has them.
type Left = (KeyHash, u64);

/// What ingest finds out before it builds items.
pub(crate) struct Found<'o> {
    pub(crate) changes: Changes,
    left: Vec<Left>,
    spec: ViewSpec,
    parts: Vec<ObjectVersion>,
    base: Base<'o>,
    outcome: Outcome,
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

    /// Snapshot b against the history, where no log version came after it.
    pub(crate) async fn find(&self) -> anyhow::Result<Found<'_>> {
        let begun = Instant::now();
        let parts = self.parts("b").await?;
        let (spec, erased) = (self.spec(&parts).await?, BTreeSet::new());
        let base = Base::History(HistoryFile::open(&self.work, HISTORY).await?);
        let known = self.learn(&base).await?;
        let views = [(View { spec: &spec, erased: &erased }, Some(&known))];
        let outcome = digest_against(self.source(&parts), &views, &self.key, &self.lanes).await?.pop();
        let outcome = outcome.context("one view, one answer")??;
        let (changes, left) = match &outcome {
            Outcome::Whole(digested) => {
                let ranges = digested.rows.ranges(self.lanes.0).into_iter();
                self.join(ranges.map(|range| {
                    let rows = range.iter().map(|row| (row.key_hash, row.attr_hash));
                    join_range(&base, (range.from, range.to), MergeDiff::new(rows, true), |_| false)
                }))
                .await?
            }
            Outcome::Sifted(sifted) if sifted.rows.is_empty() && sifted.unchanged.len() == known.len() => {
                (Changes::default(), Vec::new())
            }
            Outcome::Sifted(sifted) => {
                let spans = known.spans(self.lanes.0).into_iter();
                self.join(spans.map(|span| {
                    let rows = sifted.rows.within(span.from, span.to).map(|row| (row.key_hash, row.attr_hash));
                    let merge = MergeDiff::new(rows, true);
                    let mut walk = sifted.unchanged.walk(&known);
                    join_range(&base, (span.from, span.to), merge, move |key| walk.is_unchanged(key))
                }))
                .await?
            }
        };
        let changes_s = begun.elapsed().as_secs_f64();
        Ok(Found { changes, left, spec, parts, base, outcome, changes_s })
    }

    /// D, as far as rows are compared with it while they are read.
    async fn learn(&self, base: &Base<'_>) -> anyhow::Result<Known> {
        let most = BulkThreshold::default().room(0, base.len());
        let tasks = KnownRange::cut(base.len(), self.lanes.0).into_iter().map(|mut range| {
            let task: Task<'_, anyhow::Result<KnownRange>> = Box::pin(async move {
                let (from, to) = range.bounds();
                let untouched = States::new();
                let mut d = D::new(Some(base), &untouched, from, to);
                while let Some(records) = d.next().await? {
                    records.for_each(|key, hash, _| range.push(key, hash));
                }
                Ok(range)
            });
            task
        });
        let ranges = in_lanes(&self.lanes, tasks.collect()).await.into_iter().collect::<anyhow::Result<_>>()?;
        Ok(Known::of(ranges, most))
    }

    /// The outer join, each lane its own range of key hashes; with the places of who left.
    async fn join<'a, R>(&self, ranges: impl Iterator<Item = R>) -> anyhow::Result<(Changes, Vec<Left>)>
    where
        R: Future<Output = anyhow::Result<(Changes, Vec<Left>)>> + Send + 'a,
    {
        let tasks = ranges.map(|range| {
            let task: Task<'a, _> = Box::pin(range);
            task
        });
        let (mut changes, mut left) = (Changes::default(), Vec::new());
        for joined in in_lanes(&self.lanes, tasks.collect()).await {
            let (more, mut places) = joined?;
            changes.append(more);
            left.append(&mut places);
        }
        Ok((changes, left))
    }

    pub(crate) async fn changes(&self) -> anyhow::Result<Value> {
        let found = self.find().await?;
        Ok(self.told(&found))
    }

    pub(crate) async fn ingest(&self) -> anyhow::Result<Value> {
        let found = self.find().await?;
        let mut told = self.told(&found);
        if is_bulk(&found.changes, found.base.len()) {
            let begun = Instant::now();
            told["bulk_mb"] = megabytes(self.bulk(found).await?).into();
            told["bulk_s"] = begun.elapsed().as_secs_f64().into();
            told["read_mb"] = megabytes(self.bytes_read()).into();
            told["requests"] = (self.snapshots.requests() + self.work.requests()).into();
            return Ok(told);
        }
        let (begun, read) = (Instant::now(), self.bytes_read());
        let items = self.items(found).await?;
        told["items_s"] = begun.elapsed().as_secs_f64().into();
        told["items"] = items.len().into();
        told["items_read_mb"] = megabytes(self.bytes_read() - read).into();
        told["read_mb"] = megabytes(self.bytes_read()).into();
        told["requests"] = (self.snapshots.requests() + self.work.requests()).into();
        Ok(told)
    }

    /// A bulk version has no items: the new state is a file, which is made as ingest makes it. Returns its length in bytes.
    async fn bulk(&self, found: Found<'_>) -> anyhow::Result<u64> {
        let rows = match found.outcome {
            Outcome::Whole(digested) => digested.rows,
            Outcome::Sifted(_) => self.digests(&found.parts).await?.1,
        };
        let mut file = File::create(self.work.path(BULK))?;
        let mut writer = BulkWriter::new(&FileMeta::default())?;
        let keys: Vec<KeyHash> = rows.iter().map(|row| row.key_hash).collect();
        let mut written = 0;
        for wanted in keys.chunks(PackedStates::at_once(rows.len())) {
            let source = self.source(&found.parts);
            let states = packed_states(source, &found.spec, &self.key, &rows, wanted, &self.lanes).await?;
            anyhow::ensure!(states.len() == wanted.len(), "{} of {} records found", states.len(), wanted.len());
            let record = |number: usize| {
                let state = states.get(number)?;
                let (key_hash, attr_hash, key, identifiers) =
                    (state.key_hash, state.attr_hash, state.key, state.identifiers());
                Some(BulkRecord { key_hash, attr_hash, key, identifiers, updated_at: None })
            };
            let mut rest = 0..states.len();
            while !rest.is_empty() {
                rest = writer.extend(&self.lanes, rest, record).await?;
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
    pub(crate) async fn items(&self, found: Found<'_>) -> anyhow::Result<Vec<LogItem>> {
        let changes = &found.changes;
        let states = match found.outcome {
            Outcome::Sifted(sifted) => {
                let mut states = sifted.states.find(&changes.adds);
                states.append(&mut sifted.states.find(&changes.updates));
                states
            }
            Outcome::Whole(digested) => {
                let wanted: Vec<KeyHash> = changes.adds.iter().chain(&changes.updates).map(|(key, _)| *key).collect();
                let source = self.source(&found.parts);
                states(source, &found.spec, &self.key, &digested.rows, &wanted, &self.lanes).await?
            }
        };
        let wanted = changes.adds.len() + changes.updates.len();
        anyhow::ensure!(states.len() == wanted, "{} of {wanted} changed records found", states.len());
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
        let (base, share) = (&found.base, found.left.len().div_ceil(self.lanes.0).max(1));
        let tasks = found.left.chunks(share).map(|left| {
            let places: Vec<u64> = left.iter().map(|(_, place)| *place).collect();
            let task: Task<'_, anyhow::Result<_>> = Box::pin(async move { Ok(base.names_at(&places).await?) });
            task
        });
        let tasks = tasks.collect();
        let mut left = found.left.iter();
        for names in in_lanes(&self.lanes, tasks).await {
            let left = left.by_ref().zip(names?);
            items.extend(left.map(|((k, _), (key, ids))| item(*k, key, ChangeOp::Remove, None, ids)));
        }
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

/// `is_unchanged` is asked about every record of D in the range, in order.
async fn join_range(
    base: &Base<'_>,
    (from, to): (KeyHash, KeyHash),
    mut merge: MergeDiff<impl Iterator<Item = (KeyHash, AttrHash)>>,
    mut is_unchanged: impl FnMut(KeyHash) -> bool,
) -> anyhow::Result<(Changes, Vec<Left>)> {
    let untouched = States::new();
    let mut d = D::new(Some(base), &untouched, from, to);
    let mut places = Vec::new();
    while let Some(records) = d.next().await? {
        records.for_each(|key, hash, place| {
            if is_unchanged(key) {
                merge.unchanged(key, hash);
                return;
            }
            let left = merge.left();
            merge.member(key, hash);
            if merge.left() > left {
                places.extend(place.map(|place| (key, place)));
            }
        });
    }
    Ok((merge.finish(), places))
}

#[allow(clippy::cast_precision_loss)] // shown with few digits
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
