//! A bulk version: too many changes to be items, so the new state of D is one file, which flushes the versions before it.

use core::ops::Range;
use std::collections::BTreeMap;
use std::vec;

use async_trait::async_trait;
use bytes::Bytes;
use driftless_changeset::{BulkThreshold, Changes};
use driftless_deltalog::head::{Head, VersionEntry, VersionKind};
use driftless_history::{BulkFile, BulkRecord, BulkWriter, FileMeta, Updates};
use driftless_model::{AttrHash, KeyHash, Millis, SnapshotRef, Token};
use driftless_objects::{Abandoned, Parts};
use driftless_snapshot::locate::dated;
use driftless_snapshot::{Digests, HashKey, PackedStates, SnapshotError, Source, ViewSpec};
use driftless_state::{SyncState, Touched, names};

use crate::error::Error;
use crate::guards;
use crate::take_up::{Candidate, Ingest, Taken};
use crate::time::Pace;

/// When a version is a bulk version, and how its file is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bulk {
    /// See [`BulkThreshold`].
    pub threshold: BulkThreshold,
    /// Records whose keys and identifiers are in memory at a time; `None`: as many as DL-9 leaves room for. The snapshot is not in
    /// key-hash order, so it is read once for every so many records.
    pub records_at_once: Option<usize>,
    /// How fast it is made.
    pub pace: Pace,
}

/// What a record takes of which it is known that it changes: its hashes, twice, and its part of what is being written.
const CHANGED_BYTES: u64 = 110;

/// Of a first load, or under another mapping, all records change: known before they are joined with anything.
///
/// # Errors
/// [`SnapshotError::DoesNotFit`].
pub(crate) const fn all_change(rows: u64, limit: u64) -> Result<(), SnapshotError> {
    let needed = rows.saturating_mul(CHANGED_BYTES);
    if needed <= limit { Ok(()) } else { Err(SnapshotError::DoesNotFit { rows, needed, limit }) }
}

/// Bytes of the file that are handed on together.
const PART_BYTES: usize = 4 << 20;

impl Bulk {
    /// Records whose keys and identifiers are in memory at a time, of a list of so many.
    fn at_once(&self, records: usize) -> usize {
        self.records_at_once.unwrap_or_else(|| PackedStates::at_once(records)).max(1)
    }

    /// How many changes may be items, of a list of so many.
    pub(crate) fn room(&self, head: &Head, records: u64) -> u64 {
        self.threshold.room(logged(head), records)
    }

    /// Whether these changes are too many to be items, by themselves or together with those that are logged, not flushed and
    /// not covered by a run.
    pub(crate) fn is_needed(&self, head: &Head, changes: &Changes, before: u64, after: u64) -> bool {
        self.threshold.is_passed(changes.len() as u64, logged(head), before, after)
    }
}

/// The items that no bulk version has flushed and no run has covered.
fn logged(head: &Head) -> u64 {
    let covered = head.delivered.iter().map(|d| d.through).max().unwrap_or(0);
    let uncovered = head.versions.range(covered + 1..).rev();
    uncovered.map(|(_, v)| v).take_while(|v| v.bulk_object().is_none()).map(|v| v.count).sum()
}

impl Ingest {
    /// Writes the new state of D as a file, then swaps. The file is written once under the attempt's private token, as items are: if
    /// we die before the swap, or lose it, nobody ever reads it, and the janitor deletes it after the grace period.
    #[allow(clippy::too_many_arguments)] // the last step of one attempt: everything it found out
    pub(crate) async fn append_bulk(
        &self,
        c: &Candidate,
        state: &SyncState<'_>,
        touched: Touched,
        snapshot: &SnapshotRef,
        source: Source<'_>,
        rows: &Digests,
        rows_read: u64,
        changes: &Changes,
        held: Option<guards::Held>,
        deadline: Millis,
    ) -> Result<Option<Taken>, Error> {
        let (at_once, now) = (self.bulk.at_once(rows.len()), self.clock.now());
        if let Err(e) = self.bulk.pace.allows(rows.len(), at_once, rows_read, now, deadline) {
            let reason = format!("{e}, then run `driftless sync now {}`", c.entry.sync);
            return self.needs_attention(c, reason).await.map(Some);
        }
        let token = self.tokens.token();
        let object = names::bulk(&c.entry.sync, c.entry.incarnation, &token);
        let before = state.bulk_file(None).await?;
        let mut file = File {
            ingest: self,
            source,
            spec: &c.spec,
            key: &self.hash_key,
            deadline,
            digests: rows,
            rows: Box::new(rows.iter().map(|r| r.key_hash)),
            dates: Dates {
                changed: Changed::new(changes),
                at: dated(snapshot),
                touched: touched.updated_at,
                before: before.as_ref().map(BulkFile::update_stream).transpose()?,
                batch: Vec::new().into_iter(),
                next: None,
            },
            held: Held::default(),
            writer: Some(BulkWriter::new(&meta(c, &token))?),
        };
        if let Err(e) = self.objects.create_from(&object, &mut file).await {
            return Err(e.of_maker().unwrap_or_else(Error::from));
        }
        let entry = VersionEntry {
            token,
            kind: VersionKind::Bulk { object },
            count: changes.len() as u64,
            adds: changes.adds.len() as u64,
            updates: changes.updates.len() as u64,
            removals: changes.removals.len() as u64,
            order: snapshot.order.clone(),
            logged_at: self.clock.now(),
        };
        self.swap(c, snapshot, entry, held, deadline).await
    }
}

/// A bulk file that is made while it is written: range by range of the key hash, each read from the snapshot.
struct File<'a> {
    ingest: &'a Ingest,
    source: Source<'a>,
    spec: &'a ViewSpec,
    key: &'a HashKey,
    deadline: Millis,
    digests: &'a Digests,
    /// The records that are still to be written.
    rows: Box<dyn Iterator<Item = KeyHash> + Send + 'a>,
    dates: Dates<'a>,
    held: Held,
    writer: Option<BulkWriter>,
}

/// Records that were read from the snapshot, with the times of their last changes, and the numbers of those that are still to be written.
#[derive(Default)]
struct Held {
    states: PackedStates,
    dates: Vec<Option<Millis>>,
    rest: Range<usize>,
}

impl File<'_> {
    async fn part(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.held.rest.is_empty() && !self.read().await? {
                return Ok(self.writer.take().map(BulkWriter::finish).transpose()?);
            }
            let Held { states, dates, rest } = &mut self.held;
            let record = |number: usize| {
                let state = states.get(number)?;
                let (key, identifiers) = (state.key, state.identifiers());
                let (key_hash, attr_hash) = (state.key_hash, state.attr_hash);
                Some(BulkRecord { key_hash, attr_hash, key, identifiers, updated_at: *dates.get(number)? })
            };
            let Some(writer) = &mut self.writer else { return Ok(None) };
            *rest = writer.extend(self.ingest.lanes.as_ref(), rest.clone(), record).await?;
            if let Some(bytes) = writer.take(PART_BYTES) {
                return Ok(Some(bytes));
            }
        }
    }

    /// Reads the next records; false if there are none.
    async fn read(&mut self) -> Result<bool, Error> {
        // Room first.
        self.held = Held::default();
        let range = self.rows.by_ref().take(self.ingest.bulk.at_once(self.digests.len()));
        let wanted: Vec<KeyHash> = range.collect();
        if wanted.is_empty() {
            return Ok(false);
        }
        self.ingest.in_time(self.deadline)?;
        let (lanes, digests) = (self.ingest.lanes.as_ref(), self.digests);
        let states =
            driftless_snapshot::packed_states(self.source, self.spec, self.key, digests, &wanted, lanes).await?;
        if states.len() < wanted.len() {
            return Err(Error::Vanished { missing: wanted.len() - states.len() });
        }
        let mut dates = Vec::with_capacity(wanted.len());
        for key in &wanted {
            dates.push(self.dates.of(*key).await?);
        }
        self.held = Held { rest: 0..states.len(), states, dates };
        Ok(true)
    }
}

#[async_trait]
impl Parts for File<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Abandoned> {
        self.part().await.map_err(Into::into)
    }
}

/// When the records of D were last changed, asked for in key-hash order: by this snapshot, by a version since the last fold, or as the
/// bulk file before knows it. What the horizon is counted from must not depend on how versions are represented.
struct Dates<'a> {
    changed: Changed<'a>,
    at: Millis,
    touched: BTreeMap<KeyHash, Millis>,
    before: Option<Updates<'a>>,
    batch: vec::IntoIter<(KeyHash, Option<Millis>)>,
    next: Option<(KeyHash, Option<Millis>)>,
}

impl Dates<'_> {
    async fn of(&mut self, k: KeyHash) -> Result<Option<Millis>, Error> {
        if self.changed.has(k) {
            return Ok(Some(self.at));
        }
        if let Some(at) = self.touched.get(&k) {
            return Ok(Some(*at));
        }
        loop {
            match self.next {
                Some((known, at)) if known == k => return Ok(at),
                Some((known, _)) if known > k => return Ok(None),
                _ => {}
            }
            self.next = self.batch.next();
            if self.next.is_none() {
                let Some(before) = &mut self.before else { return Ok(None) };
                match before.next().await? {
                    Some(batch) => self.batch = batch.into_iter(),
                    None => self.before = None,
                }
            }
        }
    }
}

/// Whether the snapshot made a record enter or change, asked for in key-hash order.
struct Changed<'c> {
    lists: [core::slice::Iter<'c, (KeyHash, AttrHash)>; 2],
}

impl<'c> Changed<'c> {
    fn new(changes: &'c Changes) -> Self {
        Self { lists: [changes.adds.iter(), changes.updates.iter()] }
    }

    fn has(&mut self, k: KeyHash) -> bool {
        self.lists.iter_mut().any(|list| {
            let before = list.as_slice().partition_point(|(changed, _)| *changed < k);
            *list = list.as_slice().get(before..).unwrap_or_default().iter();
            list.as_slice().first().is_some_and(|(changed, _)| *changed == k)
        })
    }
}

fn meta(c: &Candidate, token: &Token) -> FileMeta {
    let names = &c.head.names;
    FileMeta {
        tenant: names.dataset.tenant().to_string(),
        dataset: names.dataset.dataset().to_owned(),
        source: names.source.clone(),
        kind: names.kind.clone(),
        destination: names.destination.to_string(),
        list: c.head.list().to_owned(),
        stamp: token.to_string(),
        fingerprint: c.entry.config.fingerprint.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left for rows is the function's memory less 200 MB. Measured: docs/performance.md, "Planning".
    #[test]
    fn a_first_load_that_does_not_fit_is_known_before_it_is_joined() {
        let fits = |rows, mb: u64| all_change(rows, (mb - 200) << 20).is_ok();
        assert!(!fits(1_000_000, 303) && fits(1_000_000, 310), "303 MB were measured");
        assert!(!fits(10_000_000, 1_172) && fits(10_000_000, 1_300), "1,172 MB were measured");
    }

    #[test]
    fn changed_records_are_found_in_key_hash_order() {
        let rows = |keys: &[u128]| keys.iter().map(|k| (KeyHash(*k), AttrHash(1))).collect();
        let changes = Changes { adds: rows(&[2, 7]), updates: rows(&[3, 9]), removals: vec![KeyHash(4)] };
        let mut changed = Changed::new(&changes);
        let found: Vec<u128> = (0..12).filter(|k| changed.has(KeyHash(*k))).collect();
        assert_eq!(found, [2, 3, 7, 9]);
    }
}
