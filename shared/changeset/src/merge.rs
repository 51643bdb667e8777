use core::cmp::Ordering;

use driftless_model::{AckRow, AttrHash, KeyHash};

use crate::rules::{Rule, keeps};

/// Who entered, changed and left, each in key-hash order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In the snapshot, not in D.
    pub adds: Vec<(KeyHash, AttrHash)>,
    /// In both, with another fingerprint.
    pub updates: Vec<(KeyHash, AttrHash)>,
    /// In D, not in the snapshot.
    pub removals: Vec<KeyHash>,
}

impl Changes {
    /// All changed records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.adds.len() + self.updates.len() + self.removals.len()
    }

    /// Adds the changes of the next range of key hashes.
    pub fn append(&mut self, mut next: Self) {
        self.adds.append(&mut next.adds);
        self.updates.append(&mut next.updates);
        self.removals.append(&mut next.removals);
    }

    /// The snapshot changed nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The outer join of D and a snapshot (US 2025/0265237, FIG. 4), both sorted by key hash without repetition.
///
/// `comparable` is false when the two were made under different configurations: then fingerprints say nothing, membership
/// still counts, and every record of both is an update (protocol rule 14).
pub fn merge_diff(
    d: impl IntoIterator<Item = (KeyHash, AttrHash)>,
    snapshot: impl IntoIterator<Item = (KeyHash, AttrHash)>,
    comparable: bool,
) -> Changes {
    let mut merge = MergeDiff::new(snapshot, comparable);
    d.into_iter().for_each(|(key, hash)| merge.member(key, hash));
    merge.finish()
}

/// The join of [`merge_diff`], for a D that comes in pieces: one [`MergeDiff::member`] after the other, in key-hash order.
pub struct MergeDiff<S: Iterator> {
    rest: S,
    next: Option<S::Item>,
    comparable: bool,
    changes: Changes,
}

impl<S: Iterator<Item = (KeyHash, AttrHash)>> MergeDiff<S> {
    /// A join with a snapshot's records, or with those of a range of key hashes.
    pub fn new(snapshot: impl IntoIterator<IntoIter = S>, comparable: bool) -> Self {
        let mut rest = snapshot.into_iter();
        let next = rest.next();
        let comparable = comparable || !keeps(Rule::NewConfiguration);
        Self { rest, next, comparable, changes: Changes::default() }
    }

    /// Takes the next record of D.
    #[inline]
    pub fn member(&mut self, key: KeyHash, hash: AttrHash) {
        while let Some((k, h)) = self.next {
            match k.cmp(&key) {
                Ordering::Less => self.changes.adds.push((k, h)),
                Ordering::Equal => {
                    if !self.comparable || h != hash {
                        self.changes.updates.push((k, h));
                    }
                    self.next = self.rest.next();
                    return;
                }
                Ordering::Greater => break,
            }
            self.next = self.rest.next();
        }
        self.changes.removals.push(key);
    }

    /// Takes the next record of D, of which it is known that the snapshot has it with the same fingerprint. Such a record need not be
    /// among the snapshot's; if it is, with another fingerprint, the snapshot has several rows of it, and the smaller one
    /// counts. Returns whether it is.
    #[inline]
    pub fn unchanged(&mut self, key: KeyHash, hash: AttrHash) -> bool {
        while let Some((k, h)) = self.next.filter(|(k, _)| *k <= key) {
            self.next = self.rest.next();
            if k == key {
                if h < hash {
                    self.changes.updates.push((k, h));
                }
                return true;
            }
            self.changes.adds.push((k, h));
        }
        false
    }

    /// How many records have left so far: one more after [`MergeDiff::member`] if that one did.
    #[inline]
    pub const fn left(&self) -> usize {
        self.changes.removals.len()
    }

    /// D has no more records.
    pub fn finish(mut self) -> Changes {
        self.changes.adds.extend(self.next);
        self.changes.adds.extend(self.rest);
        self.changes
    }
}

/// Rows that were acknowledged under another configuration than the one they are compared under: their fingerprints say
/// nothing, so every one of them is uncertain by hash; identifiers are kept (protocol rule 14).
pub fn forget_fingerprints<'a>(rows: impl IntoIterator<Item = &'a mut AckRow>) {
    if keeps(Rule::NewConfiguration) {
        rows.into_iter().for_each(|row| row.acknowledged = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn rows(m: &BTreeMap<u128, u64>) -> Vec<(KeyHash, AttrHash)> {
        m.iter().map(|(k, h)| (KeyHash(*k), AttrHash(*h))).collect()
    }

    proptest! {
        #[test]
        fn applying_the_changes_to_d_gives_the_snapshot(
            d in prop::collection::btree_map(0u128..40, 0u64..3, 0..30),
            s in prop::collection::btree_map(0u128..40, 0u64..3, 0..30),
            comparable: bool,
        ) {
            let c = merge_diff(rows(&d), rows(&s), comparable);
            let mut out = d.clone();
            for (k, h) in c.adds.iter().chain(&c.updates) {
                out.insert(k.0, h.0);
            }
            for k in &c.removals {
                out.remove(&k.0);
            }
            prop_assert_eq!(&out, &s);
            if comparable && d == s {
                prop_assert!(c.is_empty());
            }
            prop_assert!(c.adds.iter().all(|(k, _)| !d.contains_key(&k.0)));
            prop_assert!(c.updates.iter().all(|(k, _)| d.contains_key(&k.0)));
        }
    }

    proptest! {
        #[test]
        fn what_is_known_to_be_unchanged_can_be_left_out_of_the_snapshot(
            d in prop::collection::btree_map(0u128..40, 0u64..4, 0..30),
            // Several rows of a key.
            s in prop::collection::btree_set((0u128..40, 0u64..4), 0..40),
        ) {
            let smallest = |rows: &mut dyn Iterator<Item = &(u128, u64)>| {
                let mut smallest = BTreeMap::new();
                for (k, h) in rows {
                    smallest.entry(*k).or_insert(*h);
                }
                smallest
            };
            let expected = merge_diff(rows(&d), rows(&smallest(&mut s.iter())), true);
            let is_known = |row: &(u128, u64)| d.get(&row.0) == Some(&row.1);
            let differing = smallest(&mut s.iter().filter(|row| !is_known(row)));
            let mut merge = MergeDiff::new(rows(&differing), true);
            let mut both = 0;
            for (k, h) in rows(&d) {
                if s.contains(&(k.0, h.0)) {
                    both += usize::from(merge.unchanged(k, h));
                } else {
                    merge.member(k, h);
                }
            }
            prop_assert_eq!(merge.finish(), expected);
            prop_assert_eq!(both, d.iter().filter(|(k, h)| s.contains(&(**k, **h)) && differing.contains_key(k)).count());
        }
    }

    #[test]
    fn under_another_configuration_membership_still_counts() {
        let d = [(KeyHash(1), AttrHash(1)), (KeyHash(2), AttrHash(2))];
        let c = merge_diff(d, [(KeyHash(1), AttrHash(1))], false);
        assert_eq!(c.updates, vec![(KeyHash(1), AttrHash(1))]);
        assert_eq!(c.removals, vec![KeyHash(2)]);
    }
}
