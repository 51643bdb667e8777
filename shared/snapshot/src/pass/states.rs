use std::sync::Arc;

use driftless_model::{IdentifierSet, KeyHash, Lanes, RecordKey, RecordState, Task, in_lanes};

use super::content::Contents;
use super::entries::{Digests, Entry};
use super::fields::{Fields, Keys, fields, keys};
use super::files::{Source, Survey, located, unreadable};
use super::packed::{Packed, PackedStates};
use crate::parquet_file::Group;
use crate::sql::Evaluated;
use crate::view::{Bound, Planned, plan};
use crate::{HashKey, Limits, ReadError, ViewSpec};

/// Reads the states of some records that [`super::digest`] has found: keys, attribute hashes and identifiers, in key-hash
/// order.
///
/// Their rows are known, so only these are decoded, and of the columns only those of the key and the identifiers. A record
/// that the digests do not have, or whose row has another key than it had, is absent. `spec`, `key` and `source` must be those
/// of the pass. Takes the memory of the answer and a read buffer a lane. Repeatable.
///
/// # Errors
/// [`ReadError::Snapshot`] or [`ReadError::View`], as [`super::digest`] has them.
pub async fn states(
    source: Source<'_>,
    spec: &ViewSpec,
    key: &HashKey,
    digests: &Digests,
    wanted: &[KeyHash],
    lanes: &dyn Lanes,
) -> Result<Vec<(KeyHash, RecordState)>, ReadError> {
    let mut states = Vec::with_capacity(wanted.len());
    for found in found(source, spec, key, digests, wanted, lanes, Vec::new()).await? {
        states.extend(found);
    }
    states.sort_unstable_by_key(|(key, _)| *key);
    Ok(states)
}

/// The same for very many records: [`states`] in a quarter of the memory.
///
/// # Errors
/// As [`states`].
pub async fn packed_states(
    source: Source<'_>,
    spec: &ViewSpec,
    key: &HashKey,
    digests: &Digests,
    wanted: &[KeyHash],
    lanes: &dyn Lanes,
) -> Result<PackedStates, ReadError> {
    let bounds = wanted.iter().min().zip(wanted.iter().max());
    let bounds = bounds.map_or((KeyHash(0), KeyHash(u128::MAX)), |(low, last)| (*low, *last));
    let found = found(source, spec, key, digests, wanted, lanes, Packed::new(bounds)).await?;
    Ok(PackedStates::of(found, lanes).await)
}

/// Where a lane puts what it finds.
trait Sink: Send + Sync + Sized {
    /// Another one, empty.
    fn empty(&self) -> Self;

    /// Takes the state of the record of an entry.
    fn put(&mut self, entry: &Entry, key: &str, identifiers: IdentifierSet);
}

impl Sink for Vec<(KeyHash, RecordState)> {
    fn empty(&self) -> Self {
        Self::new()
    }

    fn put(&mut self, entry: &Entry, key: &str, identifiers: IdentifierSet) {
        let state = RecordState { key: RecordKey::new(key), attr_hash: entry.attr(), identifiers };
        self.push((entry.key(), state));
    }
}

impl Sink for Packed {
    fn empty(&self) -> Self {
        self.empty()
    }

    fn put(&mut self, entry: &Entry, key: &str, identifiers: IdentifierSet) {
        self.push(entry.key(), entry.attr(), key, &identifiers);
    }
}

/// What each lane has found.
async fn found<S: Sink>(
    source: Source<'_>,
    spec: &ViewSpec,
    key: &HashKey,
    digests: &Digests,
    wanted: &[KeyHash],
    lanes: &dyn Lanes,
    sink: S,
) -> Result<Vec<S>, ReadError> {
    let share = wanted.len().div_ceil(lanes.count().max(1)).max(1);
    let tasks = wanted.chunks(share).map(|wanted| {
        let task: Task<'_, Vec<Entry>> = Box::pin(async move {
            let mut entries: Vec<Entry> = wanted.iter().filter_map(|key| digests.entry(*key)).collect();
            entries.sort_unstable_by_key(Entry::row);
            entries
        });
        task
    });
    let mut entries = in_lanes(lanes, tasks.collect()).await.concat();
    // Each lane's are in order: what is left is to merge them, which a stable sort does.
    entries.sort_by_key(Entry::row);
    entries.dedup_by_key(|entry| entry.row());
    let survey = Survey::again(source, Arc::clone(digests.layout()));
    let files = survey.layout().find(entries.iter().map(Entry::row));
    let shares = deal(files, lanes.count());
    let limits = survey.lane_limits(shares.len());
    let tasks = shares.iter().map(|share| {
        let lane = Lane { survey: &survey, limits: &limits, spec, key, entries: &entries };
        let task: Task<'_, _> = Box::pin(lane.read(share, sink.empty()));
        task
    });
    let tasks = tasks.collect();
    in_lanes(lanes, tasks).await.into_iter().collect()
}

/// A file, and what of it is read.
type Share = Vec<(usize, Vec<Group>)>;

/// Deals row groups to the lanes in runs.
fn deal(files: Share, lanes: usize) -> Vec<Share> {
    let count: usize = files.iter().map(|(_, groups)| groups.len()).sum();
    let each = count.div_ceil(lanes.max(1)).max(1);
    let mut shares: Vec<(usize, Share)> = Vec::new();
    for (file, groups) in files {
        for group in groups {
            if shares.last().is_none_or(|(count, _)| *count == each) {
                shares.push((0, Vec::new()));
            }
            let Some((count, share)) = shares.last_mut() else { continue };
            *count += 1;
            match share.last_mut().filter(|(last, _)| *last == file) {
                Some((_, groups)) => groups.push(group),
                None => share.push((file, vec![group])),
            }
        }
    }
    shares.into_iter().map(|(_, share)| share).collect()
}

struct Lane<'s, 'a> {
    survey: &'s Survey<'a>,
    limits: &'s Limits,
    spec: &'s ViewSpec,
    key: &'s HashKey,
    /// In the order of their rows.
    entries: &'s [Entry],
}

impl Lane<'_, '_> {
    async fn read<S: Sink>(self, share: &Share, mut states: S) -> Result<S, ReadError> {
        let mut contents = self.spec.key.is_content().then(|| Contents::new(self.spec, self.key));
        for (file_number, groups) in share {
            let file = self.survey.open(*file_number).await?;
            let schema = file.schema();
            let planned = plan(self.spec, &schema).map(Planned::only_identity);
            let planned = planned.and_then(|p| Ok((p.bind(&schema)?, p.columns)));
            let (view, columns) = planned.map_err(|e| unreadable(&file, e))?;
            let mut scan = self.survey.scan(&file, groups.clone(), &columns, self.limits);
            while let Some(batch) = scan.next().await? {
                let first = self.survey.first_row(*file_number, batch.row_group).saturating_add(batch.first_row);
                // The rows of a batch are wanted rows that follow each other.
                let at = self.entries.partition_point(|entry| entry.row() < first);
                let entries = self.entries.iter().skip(at);
                let most = self.survey.rows();
                let taken = match &mut contents {
                    None => take(&view, &batch.rows, self.key, entries, &mut states),
                    Some(contents) => take_by_content(&view, &batch.rows, contents, most, entries, &mut states),
                };
                taken.map_err(|e| located(e, &file, batch.row_group))?;
            }
        }
        Ok(states)
    }
}

fn take<'e>(
    view: &Bound<'_>,
    batch: &arrow::array::RecordBatch,
    key: &HashKey,
    entries: impl Iterator<Item = &'e Entry>,
    states: &mut impl Sink,
) -> Result<(), Evaluated> {
    let key_arrays = keys(view, batch)?;
    let mut key_reader = Keys::new(view, &key_arrays);
    let field_arrays = fields(view, batch)?;
    let reader = Fields::new(view, &field_arrays);
    for (row, entry) in (0..batch.num_rows()).zip(entries) {
        let Some(text) = key_reader.text(row).filter(|text| key.text_hash(text) == entry.key()) else { continue };
        let Some(identifiers) = reader.identifiers(row) else { continue };
        states.put(entry, text, identifiers);
    }
    Ok(())
}

fn take_by_content<'e>(
    view: &Bound<'_>,
    batch: &arrow::array::RecordBatch,
    contents: &mut Contents<'_>,
    most: u64,
    entries: impl Iterator<Item = &'e Entry>,
    states: &mut impl Sink,
) -> Result<(), Evaluated> {
    let arrays = fields(view, batch)?;
    let reader = Fields::new(view, &arrays);
    for (row, entry) in (0..batch.num_rows()).zip(entries) {
        let Some(content) = contents.of(&reader, row) else { continue };
        let Some(key) = contents.key(content, entry.key(), most) else { continue };
        let Some(mut identifiers) = reader.identifiers(row) else { continue };
        contents.identify(&key, &mut identifiers);
        states.put(entry, key.as_str(), identifiers);
    }
    Ok(())
}
