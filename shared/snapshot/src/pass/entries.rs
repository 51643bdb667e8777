use driftless_model::{AttrHash, InvalidReason, KeyHash};

use super::digest::Digest;
use super::report::Refused;
use super::shared::{Identifiers, shared};

/// What one row of the selection leaves in memory: 40 bytes. A row with several identifiers leaves one for each.
///
/// Hashes of 128 bits are kept in two halves, high first, so that nothing is lost to alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    key: [u64; 2],
    attr: u64,
    id: [u64; 2],
}

#[allow(clippy::cast_possible_truncation)] // the two halves
const fn halves(n: u128) -> [u64; 2] {
    [(n >> 64) as u64, n as u64]
}

pub(super) const fn whole([high, low]: [u64; 2]) -> u128 {
    (high as u128) << 64 | low as u128
}

impl Entry {
    pub(super) const fn new(key: KeyHash, attr: AttrHash, id: u128) -> Self {
        Self { key: halves(key.0), attr: attr.0, id: halves(id) }
    }

    const fn key(&self) -> KeyHash {
        KeyHash(whole(self.key))
    }
}

/// The rows of one view, as they come.
#[derive(Debug, Default)]
pub(super) struct Entries {
    entries: Vec<Entry>,
    rows: u64,
}

/// What a preferred row says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Winner {
    Valid(AttrHash),
    Invalid(InvalidReason),
}

impl Entries {
    /// Adds one row: an entry for each identifier, or one without.
    pub(super) fn push(&mut self, key: KeyHash, attr: AttrHash, ids: &[u128]) {
        self.rows += 1;
        if ids.is_empty() {
            self.entries.push(Entry::new(key, attr, 0));
        }
        self.entries.extend(ids.iter().map(|id| Entry::new(key, attr, *id)));
    }

    /// Puts the rows in the order of their keys.
    pub(super) fn sort(&mut self) {
        self.entries.sort_unstable();
    }

    /// The keys that more than one row has, in order. The entries must be sorted.
    pub(super) fn contested(&self) -> impl Iterator<Item = KeyHash> {
        // Rows of one key with equal attributes look like one row with several identifiers, and prefer nothing.
        self.entries.chunk_by(|a, b| a.key == b.key).filter(|g| g[0].attr != g[g.len() - 1].attr).map(|g| g[0].key())
    }

    /// The keys, in order. The entries must be sorted.
    pub(super) fn has(&self, key: KeyHash) -> bool {
        self.entries.binary_search_by_key(&halves(key.0), |e| e.key).is_ok()
    }

    /// Keeps one row of each key: the winner where one was named, else the one with the smallest attribute hash. Returns
    /// how many rows lost. The entries must be sorted.
    pub(super) fn elect(&mut self, winner: impl Fn(KeyHash) -> Option<Winner>, refused: &mut Refused) -> u64 {
        let mut keys = 0;
        let mut kept = 0;
        let mut at = 0;
        while at < self.entries.len() {
            let first = self.entries[at];
            let end = at + self.entries[at..].partition_point(|e| e.key == first.key);
            keys += 1;
            let attr = match winner(first.key()) {
                None => Some(first.attr),
                Some(Winner::Valid(attr)) => Some(attr.0),
                Some(Winner::Invalid(reason)) => {
                    refused.add(reason, Some(first.key()));
                    None
                }
            };
            let begin = kept;
            for i in at..end {
                let entry = self.entries[i];
                if Some(entry.attr) == attr && (kept == begin || self.entries[kept - 1] != entry) {
                    self.entries[kept] = entry;
                    kept += 1;
                }
            }
            at = end;
        }
        self.entries.truncate(kept);
        self.rows - keys
    }

    /// The digests in key-hash order. Where identifiers count, an identifier belongs to the first valid record that
    /// carries it, and a later record that carries it too is refused whole (protocol rule 6).
    pub(super) fn digests(mut self, identifiers: Identifiers, refused: &mut Refused) -> Vec<Digest> {
        let contested = match identifiers {
            Identifiers::Unique => std::collections::BTreeSet::new(),
            Identifiers::MayBeShared => shared(&self.entries, |e| whole(e.id)),
        };
        let mut taken = std::collections::BTreeSet::new();
        let mut digests: Vec<Digest> = Vec::new();
        // From the end of the reversed entries, so that their memory can be given back as the result grows.
        self.entries.reverse();
        let mut ids = Vec::new();
        while let Some(first) = self.entries.pop() {
            ids.clear();
            ids.push(whole(first.id));
            while let Some(next) = self.entries.pop_if(|e| e.key == first.key) {
                ids.push(whole(next.id));
            }
            ids.retain(|id| contested.contains(id));
            if ids.iter().any(|id| taken.contains(id)) {
                refused.add(InvalidReason::SharedIdentifier, Some(first.key()));
            } else {
                taken.extend(ids.iter().copied());
                digests.push(Digest { key_hash: first.key(), attr_hash: AttrHash(first.attr) });
            }
            if self.entries.capacity() - self.entries.len() > 1 << 20 {
                self.entries.shrink_to_fit();
            }
        }
        digests
    }
}
