use core::iter::Peekable;
use std::collections::btree_map;

use driftless_changeset::States;
use driftless_history::{Hashes, HistoryFile};
use driftless_model::{AttrHash, KeyHash, RecordKey, RecordState};

use crate::{Error, Result};

/// D as two hashes a record, in key-hash order, in a stream: the history's two hash columns ⊕ what the residue and the log
/// versions say of the records that they touch (DL-9: never all of D in memory).
pub struct D<'s> {
    hashes: Option<Hashes<'s>>,
    touched: Peekable<btree_map::Range<'s, KeyHash, (RecordKey, Option<RecordState>)>>,
    undefined: usize,
}

impl<'s> D<'s> {
    /// The records with key hashes from `from` to `to`.
    pub fn new(history: Option<&'s HistoryFile<'_>>, states: &'s States, from: KeyHash, to: KeyHash) -> Self {
        let hashes = history.map(|history| history.hashes(from, to));
        Self { hashes, touched: states.range(from..=to).peekable(), undefined: 0 }
    }

    /// The next records, some thousand at a time; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Undefined`], at the end, if an uncertain row has no state: an uncertain record always has an entry (DL-3).
    pub async fn next(&mut self) -> Result<Option<Vec<(KeyHash, AttrHash)>>> {
        if let Some(hashes) = &mut self.hashes {
            if let Some(rows) = hashes.next().await? {
                return Ok(Some(self.lay_over(&rows)));
            }
            self.hashes = None;
        }
        if self.undefined > 0 {
            return Err(Error::Undefined { count: self.undefined });
        }
        let rest: Vec<_> = self.touched.by_ref().filter_map(digest).collect();
        Ok((!rest.is_empty()).then_some(rest))
    }

    fn lay_over(&mut self, rows: &[(KeyHash, Option<AttrHash>)]) -> Vec<(KeyHash, AttrHash)> {
        let mut out = Vec::with_capacity(rows.len());
        for (key, hash) in rows {
            while let Some(entry) = self.touched.next_if(|(touched, _)| *touched < key) {
                out.extend(digest(entry));
            }
            if let Some(entry) = self.touched.next_if(|(touched, _)| *touched == key) {
                out.extend(digest(entry));
            } else if let Some(hash) = hash {
                out.push((*key, *hash));
            } else {
                self.undefined += 1;
            }
        }
        out
    }
}

fn digest((key, (_, state)): (&KeyHash, &(RecordKey, Option<RecordState>))) -> Option<(KeyHash, AttrHash)> {
    state.as_ref().map(|state| (*key, state.attr_hash))
}
