use std::collections::{BTreeMap, BTreeSet};

use driftless_model::{InvalidReason, KeyHash};

/// Key hashes that are kept of each kind of invalid row.
const SAMPLE: usize = 20;

/// What one pass found. Counts rows, except that [`InvalidReason::SharedIdentifier`] counts records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows of the snapshot.
    pub rows_read: u64,
    /// Of them, rows in the selection.
    pub selected: u64,
    /// Of these, rows without a key; also in `invalid`.
    pub null_keys: u64,
    /// Selected rows whose key another, preferred row has.
    pub duplicate_keys: u64,
    /// Selected rows that were left out because their keys are erased.
    pub erased: u64,
    /// Selected rows that were refused, by reason.
    pub invalid: BTreeMap<InvalidReason, Invalid>,
    /// Values that were digests already and are passed on as they are, by field: selected rows with a key.
    pub digests: BTreeMap<String, u64>,
    /// Bytes fetched from the object store, footers and re-reads included. The same for all views of a pass.
    pub bytes_read: u64,
}

impl Report {
    /// Adds what another lane has counted; what is found out at the end is not counted by lanes.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.rows_read += other.rows_read;
        self.selected += other.selected;
        self.null_keys += other.null_keys;
        self.erased += other.erased;
        for (field, count) in &other.digests {
            *self.digests.entry(field.clone()).or_default() += count;
        }
    }
}

/// Rows refused for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalid {
    /// How many.
    pub count: u64,
    /// The smallest key hashes among them, in order, at most 20. Empty for rows without a key.
    pub sample: Vec<KeyHash>,
}

/// Counts refused rows; keeps a sample that does not depend on the order of the rows.
#[derive(Debug, Default)]
pub(super) struct Refused(BTreeMap<InvalidReason, (u64, BTreeSet<KeyHash>)>);

impl Refused {
    pub(super) fn add(&mut self, reason: InvalidReason, key: Option<KeyHash>) {
        self.0.entry(reason).or_default().0 += 1;
        if let Some(key) = key {
            self.sample(reason, key);
        }
    }

    /// Adds what another lane has refused.
    pub(super) fn absorb(&mut self, other: Self) {
        for (reason, (count, sample)) in other.0 {
            // One that is in both samples is two rows; it is in the sample once, and counted twice all the same.
            self.0.entry(reason).or_default().0 += count;
            for key in sample {
                self.sample(reason, key);
            }
        }
    }

    fn sample(&mut self, reason: InvalidReason, key: KeyHash) {
        let (_, sample) = self.0.entry(reason).or_default();
        if sample.len() < SAMPLE || sample.last().is_some_and(|last| key < *last) {
            sample.insert(key);
            if sample.len() > SAMPLE {
                sample.pop_last();
            }
        }
    }

    pub(super) fn finish(self) -> BTreeMap<InvalidReason, Invalid> {
        let invalid =
            |(count, sample): (u64, BTreeSet<KeyHash>)| Invalid { count, sample: sample.into_iter().collect() };
        self.0.into_iter().map(|(reason, refused)| (reason, invalid(refused))).collect()
    }
}
