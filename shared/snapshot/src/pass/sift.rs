//! Rows that the list holds already are counted and let go; of the others all that the log needs is kept at once.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use driftless_model::{AttrHash, KeyHash};

use super::entries::Entries;
use super::fields::{Fields, Keys, identifying, keys};
use super::known::{Known, Place, Unchanged};
use super::packed::Packed;
use super::shared::Identifiers;
use crate::ViewSpec;
use crate::sql::Evaluated;
use crate::view::Bound;

/// Rows that are looked up together.
const TOGETHER: usize = 512;

/// A list that a pass compares rows with, for all lanes.
pub(super) struct Against<'k> {
    pub(super) known: &'k Known,
    /// Rows that are not as the list has them.
    differing: AtomicU64,
}

impl<'k> Against<'k> {
    /// `None` where single rows do not decide: equal rows have numbers, a preferred row is found among all, and so is the record to
    /// which an identifier belongs.
    pub(super) fn new(spec: &ViewSpec, known: &'k Known) -> Option<Self> {
        can_sift(spec).then(|| Self { known, differing: AtomicU64::new(0) })
    }

    /// True when too many rows differ for this to be worth while.
    pub(super) fn is_over(&self) -> bool {
        self.differing.load(Ordering::Relaxed) > self.known.most()
    }
}

/// Whether a snapshot's rows can be compared with a list one by one: not where their content identifies them, where one of several
/// is preferred, or where an identifier may belong to another record.
#[must_use]
pub fn can_sift(spec: &ViewSpec) -> bool {
    !spec.key.is_content() && spec.prefer.is_none() && Identifiers::of(spec) == Identifiers::Unique
}

/// One lane's part of it.
pub(super) struct Sift<'k> {
    against: &'k Against<'k>,
    unchanged: Unchanged,
    /// Rows that are as the list has them.
    matched: u64,
    waiting: Vec<Waiting>,
    places: Vec<Place>,
    found: Vec<usize>,
    /// The others of the current batch.
    differing: Vec<Waiting>,
    states: Packed,
}

#[derive(Clone, Copy)]
struct Waiting {
    key: KeyHash,
    attr: AttrHash,
    /// Its position in the snapshot.
    row: u32,
    /// Its place in the batch.
    at: u32,
}

impl<'k> Sift<'k> {
    pub(super) fn new(against: &'k Against<'k>) -> Self {
        Self {
            against,
            unchanged: Unchanged::none_of(against.known),
            matched: 0,
            waiting: Vec::with_capacity(TOGETHER),
            places: Vec::with_capacity(TOGETHER),
            found: Vec::with_capacity(TOGETHER),
            differing: Vec::new(),
            states: Packed::new((KeyHash(0), KeyHash(u128::MAX))),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.against.is_over()
    }

    /// Takes one row of the batch.
    #[inline]
    pub(super) fn add(&mut self, key: KeyHash, attr: AttrHash, row: u32, at: usize) {
        self.waiting.push(Waiting { key, attr, row, at: u32::try_from(at).unwrap_or(u32::MAX) });
        if self.waiting.len() == TOGETHER {
            self.look_up();
        }
    }

    /// The memory that is looked at is anywhere: each step is taken for all rows before the next one, so that the waits overlap.
    fn look_up(&mut self) {
        let Self { against, unchanged, matched, waiting, places, found, differing, .. } = self;
        let known = against.known;
        places.clear();
        places.extend(waiting.iter().map(|row| known.place(row.key)));
        black_box(known.fetch(places));
        found.clear();
        for (row, place) in waiting.iter().zip(places) {
            match known.find(row.key, row.attr, *place) {
                Some(slot) => found.push(slot),
                None => differing.push(*row),
            }
        }
        *matched += found.len() as u64;
        found.iter().for_each(|slot| unchanged.add(*slot));
        waiting.clear();
    }

    /// The batch is over: puts the rows that differ, and their keys and identifiers, where they are kept.
    pub(super) fn end(&mut self, view: &Bound<'_>, rows: &RecordBatch, entries: &mut Entries) -> Result<(), Evaluated> {
        self.look_up();
        if self.differing.is_empty() {
            return Ok(());
        }
        self.against.differing.fetch_add(self.differing.len() as u64, Ordering::Relaxed);
        if self.is_over() {
            self.differing.clear();
            return Ok(());
        }
        let key_arrays = keys(view, rows)?;
        let mut keys = Keys::new(view, &key_arrays);
        let field_arrays = identifying(view, rows)?;
        let fields = Fields::some(view, &field_arrays);
        for row in self.differing.drain(..) {
            entries.push(row.key, row.attr, row.row);
            let at = row.at as usize;
            if let Some((key, identifiers)) = keys.key(at).zip(fields.identifiers(at)) {
                self.states.push(row.key, row.attr, key.as_str(), &identifiers);
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> SiftFound {
        SiftFound { unchanged: self.unchanged, matched: self.matched, states: vec![self.states] }
    }
}

/// What all lanes have found.
pub(super) struct SiftFound {
    pub(super) unchanged: Unchanged,
    pub(super) matched: u64,
    pub(super) states: Vec<Packed>,
}

impl SiftFound {
    pub(super) fn absorb(&mut self, other: Self) {
        self.unchanged.absorb(&other.unchanged);
        self.matched += other.matched;
        self.states.extend(other.states);
    }
}
