use core::iter::Peekable;
use std::collections::btree_map;

use driftless_changeset::States;
use driftless_history::{HashRows, Hashes};
use driftless_model::{AttrHash, KeyHash, RecordKey, RecordState};

use crate::{Base, Error, Result};

/// D as two hashes a record, in key-hash order, in a stream: the two hash columns of its base ⊕ what the residue and the log
/// versions say of the records that they touch (DL-9: never all of D in memory).
pub struct D<'s> {
    hashes: Option<Hashes<'s>>,
    touched: Peekable<btree_map::Range<'s, KeyHash, (RecordKey, Option<RecordState>)>>,
    undefined: usize,
}

/// Some records of D that follow each other.
pub enum Records {
    /// As the base has them.
    Base(HashRows),
    /// Some of them as the residue or the log has them: with their places in the base, where it is the base that says what they are.
    Laid(Vec<(KeyHash, AttrHash, Option<u64>)>),
}

impl Records {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Base(rows) => rows.len(),
            Self::Laid(records) => records.len(),
        }
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `each` with every record, and with its place in the base if that says what it is.
    #[inline]
    pub fn for_each(&self, mut each: impl FnMut(KeyHash, AttrHash, Option<u64>)) {
        match self {
            Self::Base(rows) => {
                let records = rows.certain().into_iter().flatten();
                records.zip(rows.first()..).for_each(|((key, hash), place)| each(key, hash, Some(place)));
            }
            Self::Laid(records) => records.iter().for_each(|(key, hash, place)| each(*key, *hash, *place)),
        }
    }
}

impl<'s> D<'s> {
    /// The records with key hashes from `from` to `to`.
    pub fn new(base: Option<&'s Base<'_>>, states: &'s States, from: KeyHash, to: KeyHash) -> Self {
        let hashes = base.map(|base| base.hashes(from, to));
        Self { hashes, touched: states.range(from..=to).peekable(), undefined: 0 }
    }

    /// The next records, some thousand at a time; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Undefined`], at the end, if an uncertain row has no state: an uncertain record always has an entry (DL-3).
    pub async fn next(&mut self) -> Result<Option<Records>> {
        if let Some(hashes) = &mut self.hashes {
            if let Some(rows) = hashes.next_rows().await? {
                return Ok(Some(self.lay_over(rows)));
            }
            self.hashes = None;
        }
        if self.undefined > 0 {
            return Err(Error::Undefined { count: self.undefined });
        }
        let rest: Vec<_> = self.touched.by_ref().filter_map(digest).collect();
        Ok((!rest.is_empty()).then_some(Records::Laid(rest)))
    }

    fn lay_over(&mut self, rows: HashRows) -> Records {
        let last = rows.last();
        let is_touched = self.touched.peek().is_some_and(|(touched, _)| Some(**touched) <= last);
        if !is_touched && rows.certain().is_some() {
            return Records::Base(rows);
        }
        let mut out = Vec::with_capacity(rows.len());
        for ((key, hash), place) in rows.iter().zip(rows.first()..) {
            while let Some(entry) = self.touched.next_if(|(touched, _)| **touched < key) {
                out.extend(digest(entry));
            }
            if let Some(entry) = self.touched.next_if(|(touched, _)| **touched == key) {
                out.extend(digest(entry));
            } else if let Some(hash) = hash {
                out.push((key, hash, Some(place)));
            } else {
                self.undefined += 1;
            }
        }
        Records::Laid(out)
    }
}

fn digest(
    (key, (_, state)): (&KeyHash, &(RecordKey, Option<RecordState>)),
) -> Option<(KeyHash, AttrHash, Option<u64>)> {
    state.as_ref().map(|state| (*key, state.attr_hash, None))
}
