use core::cmp::Ordering;
use std::collections::VecDeque;

use driftless_model::{AttrHash, KeyHash};

/// Which records of two long lists differ, found in one pass over their fingerprints.
///
/// Planning after a bulk version has two files: the history (A) and the bulk file (D). Both are sorted by key hash, and are fed
/// here in batches of any size; what comes out are the records that are in one only, whose fingerprints differ, or whose A is
/// uncertain. Only these are read in full, so memory and what is read beside two columns grow with what differs.
///
/// # Why it is enough to look at what differs
///
/// [`crate::net_changes`] gives the same answer for the records that come out here (with those named below) as for all of D
/// and A (DL-10). Let M be the records that come out, every record of the residue and of the deltas, and every record that an
/// item version after the bulk version names.
///
/// 1. *A record outside M is in sync, so it is neither sent nor removed.* Its fingerprints are equal. Fingerprints cover
///    every identifier, so the identifiers of D are those that were acknowledged. What A holds of it beyond these (an old
///    identifier whose removal was not delivered) would make it differ; but every record of A of which that is so has been in
///    the residue since the fold that left it so (protocol rule 10), or is in the delta of a later run. Both are in M, although
///    a bulk version has flushed the residue as a part of D.
/// 2. *No record outside M is an owner that anybody asks for.* An owner is looked up for an identifier that A holds for a
///    record x which is not in sync. Suppose that D gives it to y, and y is in sync: then A holds it for both x and y. But
///    A holds an identifier for two records only until the later of the two is acknowledged with it: settling a send of y
///    passes it on from x, because while it is held for x and D gives it to y, x is not in sync, is in M, and its transfer is
///    in the changeset; and a send of y that may have arrived leaves x without a fingerprint, so if D gives the identifier
///    back to x, x is not in sync either. So y is in M whenever x is, or x does not hold the identifier.
/// 3. *Holds, quarantine and horizon* look at one record and its own state; a record in sync is looked at by none of them.
///
/// Under another configuration than A's nothing is comparable: every record of both comes out.
#[derive(Debug)]
pub struct Differing {
    comparable: bool,
    d: Queue<AttrHash>,
    a: Queue<Option<AttrHash>>,
}

#[derive(Debug)]
struct Queue<H> {
    waiting: VecDeque<(KeyHash, H)>,
    ended: bool,
}

impl<H> Default for Queue<H> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), ended: false }
    }
}

impl<H> Queue<H> {
    fn wants(&self) -> bool {
        self.waiting.is_empty() && !self.ended
    }
}

/// Which of the two lists have a record that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// D only: it enters.
    D,
    /// A only: it leaves.
    A,
    /// Both: it changes, or A is uncertain of it.
    Both,
}

/// What [`Differing`] says next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Feed the next batch of D, or end it.
    NeedsD,
    /// Feed the next batch of A, or end it.
    NeedsA,
    /// This record differs.
    Differs(KeyHash, Side),
    /// Both have ended.
    Done,
}

impl Differing {
    /// `comparable` is false when D and A were made under different configurations.
    #[must_use]
    pub fn new(comparable: bool) -> Self {
        Self { comparable, d: Queue::default(), a: Queue::default() }
    }

    /// The next records of D, in key-hash order.
    pub fn feed_d(&mut self, batch: impl IntoIterator<Item = (KeyHash, AttrHash)>) {
        self.d.waiting.extend(batch);
    }

    /// The next rows of A, in key-hash order; without a fingerprint where a row is uncertain.
    pub fn feed_a(&mut self, batch: impl IntoIterator<Item = (KeyHash, Option<AttrHash>)>) {
        self.a.waiting.extend(batch);
    }

    /// D has no more records.
    pub const fn end_d(&mut self) {
        self.d.ended = true;
    }

    /// A has no more rows.
    pub const fn end_a(&mut self) {
        self.a.ended = true;
    }

    /// Goes on as far as it can.
    pub fn step(&mut self) -> Step {
        loop {
            if self.d.wants() {
                return Step::NeedsD;
            }
            if self.a.wants() {
                return Step::NeedsA;
            }
            let order = match (self.d.waiting.front(), self.a.waiting.front()) {
                (Some((d, _)), Some((a, _))) => d.cmp(a),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Step::Done,
            };
            let d = if order.is_le() { self.d.waiting.pop_front() } else { None };
            let a = if order.is_ge() { self.a.waiting.pop_front() } else { None };
            match (d, a) {
                (Some((_, d)), Some((_, a))) if self.comparable && a == Some(d) => {}
                (Some((key, _)), Some(_)) => return Step::Differs(key, Side::Both),
                (Some((key, _)), None) => return Step::Differs(key, Side::D),
                (None, Some((key, _))) => return Step::Differs(key, Side::A),
                (None, None) => return Step::Done,
            }
        }
    }
}

/// [`Differing`] over two lists that are at hand.
pub fn differing(
    d: impl IntoIterator<Item = (KeyHash, AttrHash)>,
    a: impl IntoIterator<Item = (KeyHash, Option<AttrHash>)>,
    comparable: bool,
) -> Vec<KeyHash> {
    let mut join = Differing::new(comparable);
    join.feed_d(d);
    join.feed_a(a);
    join.end_d();
    join.end_a();
    let mut found = Vec::new();
    while let Step::Differs(key, _) = join.step() {
        found.push(key);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #[test]
        fn batches_of_any_size_find_what_a_comparison_of_everything_finds(
            d in prop::collection::btree_map(0u128..40, 0u64..3, 0..30),
            a in prop::collection::btree_map(0u128..40, prop::option::of(0u64..3), 0..30),
            sizes in prop::collection::vec(1usize..5, 1..8),
            comparable: bool,
        ) {
            let keys: BTreeSet<u128> = d.keys().chain(a.keys()).copied().collect();
            let differs = |k: &u128| match (d.get(k), a.get(k)) {
                (Some(d), Some(Some(a))) => d != a || !comparable,
                _ => true,
            };
            let expected: Vec<KeyHash> = keys.into_iter().filter(differs).map(KeyHash).collect();
            let side = |k: &KeyHash| match (d.contains_key(&k.0), a.contains_key(&k.0)) {
                (true, true) => Side::Both,
                (true, false) => Side::D,
                _ => Side::A,
            };
            let sides: Vec<_> = expected.iter().map(side).collect();
            let d: Vec<_> = d.into_iter().map(|(k, h)| (KeyHash(k), AttrHash(h))).collect();
            let a: Vec<_> = a.into_iter().map(|(k, h)| (KeyHash(k), h.map(AttrHash))).collect();
            prop_assert_eq!(&differing(d.clone(), a.clone(), comparable), &expected);
            let mut join = Differing::new(comparable);
            let (mut d, mut a, mut sizes) = (d.into_iter(), a.into_iter(), sizes.into_iter().cycle());
            let mut found = Vec::new();
            loop {
                match join.step() {
                    Step::NeedsD => {
                        let batch: Vec<_> = d.by_ref().take(sizes.next().unwrap()).collect();
                        if batch.is_empty() { join.end_d() } else { join.feed_d(batch) }
                    }
                    Step::NeedsA => {
                        let batch: Vec<_> = a.by_ref().take(sizes.next().unwrap()).collect();
                        if batch.is_empty() { join.end_a() } else { join.feed_a(batch) }
                    }
                    Step::Differs(key, side) => found.push((key, side)),
                    Step::Done => break,
                }
            }
            prop_assert_eq!(found, expected.into_iter().zip(sides).collect::<Vec<_>>());
        }
    }

    #[test]
    fn two_equal_lists_do_not_differ() {
        let hashes: BTreeMap<KeyHash, AttrHash> = (0..9).map(|k| (KeyHash(k), AttrHash(7))).collect();
        let a = hashes.iter().map(|(k, h)| (*k, Some(*h)));
        assert_eq!(differing(hashes.clone(), a, true), []);
    }
}
