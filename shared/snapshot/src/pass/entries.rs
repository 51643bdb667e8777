use core::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use driftless_model::{AttrHash, InvalidReason, KeyHash, Lanes, Task, in_lanes};

use super::content::KeyText;
use super::files::Layout;
use super::parts::{Hashed, Part, Scratch, bits_for, part_of};
use super::report::Refused;
use super::shared::{IdEntry, Taken};
use crate::HashKey;

/// What one row of the selection leaves in memory: 28 bytes. Words of 32 bits, so that nothing is lost to alignment; of every
/// number the high one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    key: [u32; 4],
    attr: [u32; 2],
    row: u32,
}

#[allow(clippy::cast_possible_truncation)] // the two halves
const fn halves(n: u64) -> [u32; 2] {
    [(n >> 32) as u32, n as u32]
}

const fn whole(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

impl Entry {
    #[allow(clippy::cast_possible_truncation)] // the two halves
    pub(super) const fn new(key: KeyHash, attr: AttrHash, row: u32) -> Self {
        let ([a, b], [c, d]) = (halves((key.0 >> 64) as u64), halves(key.0 as u64));
        Self { key: [a, b, c, d], attr: halves(attr.0), row }
    }

    const fn high(&self) -> u64 {
        whole(self.key[0], self.key[1])
    }

    pub(super) const fn key(&self) -> KeyHash {
        KeyHash((self.high() as u128) << 64 | whole(self.key[2], self.key[3]) as u128)
    }

    pub(super) const fn attr(&self) -> AttrHash {
        AttrHash(whole(self.attr[0], self.attr[1]))
    }

    /// The position of the row in the snapshot.
    pub(super) const fn row(&self) -> u32 {
        self.row
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        let rest = |e: &Self| (whole(e.key[2], e.key[3]), e.attr(), e.row);
        self.high().cmp(&other.high()).then_with(|| rest(self).cmp(&rest(other)))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hashed for Entry {
    #[inline]
    fn top(&self, bits: u32) -> u64 {
        self.high() << bits
    }
}

/// The rows of one view, as they come.
#[derive(Debug)]
pub(super) struct Entries {
    bits: u32,
    parts: Vec<Part<Entry>>,
    /// Identifiers and the rows that carry them: only where records can share one.
    ids: Vec<Part<IdEntry>>,
    rows: u64,
}

/// What a preferred row says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Winner {
    Valid(AttrHash),
    Invalid(InvalidReason),
}

impl Entries {
    /// For a snapshot of so many rows.
    pub(super) fn new(rows: u64) -> Self {
        let bits = bits_for(rows);
        let parts = (0..1_usize << bits).map(|_| Part::default()).collect();
        Self { bits, parts, ids: Vec::new(), rows: 0 }
    }

    /// Adds one row.
    #[inline]
    pub(super) fn push(&mut self, key: KeyHash, attr: AttrHash, row: u32) {
        self.rows += 1;
        if let Some(part) = self.parts.get_mut(part_of(key.0, self.bits)) {
            part.push(Entry::new(key, attr, row));
        }
    }

    /// Adds an identifier of a row.
    pub(super) fn identify(&mut self, id: u128, row: u32) {
        if self.ids.is_empty() {
            self.ids = self.parts.iter().map(|_| Part::default()).collect();
        }
        if let Some(part) = self.ids.get_mut(part_of(id, self.bits)) {
            part.push(IdEntry::new(id, self.bits, row));
        }
    }

    /// Adds what another lane has found.
    pub(super) fn absorb(&mut self, other: Self) {
        self.rows += other.rows;
        self.parts.iter_mut().zip(other.parts).for_each(|(part, more)| part.absorb(more));
        if self.ids.is_empty() {
            self.ids = other.ids;
        } else {
            self.ids.iter_mut().zip(other.ids).for_each(|(part, more)| part.absorb(more));
        }
    }

    /// Where content identifies records, and stands in the place of their keys: gives every row its key, of content and number.
    /// Leaves out those whose key is erased, and says how many they were.
    pub(super) async fn number(mut self, key: &HashKey, erased: &BTreeSet<KeyHash>, lanes: &dyn Lanes) -> (Self, u64) {
        let bits = self.bits;
        let tasks = shares(&mut self.parts, lanes).map(|parts| {
            let task: Task<'_, (Self, u64)> = Box::pin(async move {
                let parts_of = (0..1_usize << bits).map(|_| Part::default()).collect();
                let mut numbered = Self { bits, parts: parts_of, ids: Vec::new(), rows: 0 };
                let (mut scratch, mut text, mut left_out) = (Scratch::default(), KeyText::default(), 0);
                for part in parts {
                    part.sort(bits, &mut scratch, |sorted| {
                        for equal in sorted.chunk_by(|a, b| a.key == b.key) {
                            for (number, entry) in (1..).zip(equal) {
                                let key = key.text_hash(text.of(entry.key().0, number));
                                if erased.contains(&key) {
                                    left_out += 1;
                                } else {
                                    numbered.push(key, entry.attr(), entry.row);
                                }
                            }
                        }
                        // They stand elsewhere now.
                        0
                    });
                }
                (numbered, left_out)
            });
            task
        });
        let tasks = tasks.collect();
        let mut all = Self { bits, parts: Vec::new(), ids: Vec::new(), rows: 0 };
        let mut erased = 0;
        for (numbered, left_out) in in_lanes(lanes, tasks).await {
            erased += left_out;
            if all.parts.is_empty() {
                all = numbered;
            } else {
                all.absorb(numbered);
            }
        }
        all.ids = self.ids;
        (all, erased)
    }

    /// Puts the rows in the order of their keys.
    pub(super) async fn sort(&mut self, lanes: &dyn Lanes) {
        let bits = self.bits;
        let tasks = shares(&mut self.parts, lanes).map(|parts| {
            let task: Task<'_, ()> = Box::pin(async move {
                let mut scratch = Scratch::default();
                parts.iter_mut().for_each(|part| part.sort(bits, &mut scratch, |sorted| sorted.len()));
            });
            task
        });
        let tasks = tasks.collect();
        in_lanes(lanes, tasks).await;
    }

    /// The keys that more than one row has, and not all are the same. The rows must be sorted.
    pub(super) fn contested(&self) -> Vec<KeyHash> {
        let mut contested = Vec::new();
        for part in &self.parts {
            for (entry, next) in part.iter().zip(part.iter().skip(1)) {
                if entry.key == next.key && entry.attr != next.attr {
                    contested.push(entry.key());
                }
            }
        }
        contested
    }

    /// Whether a row has this key. The rows must be sorted.
    pub(super) fn has(&self, key: KeyHash) -> bool {
        self.parts.get(part_of(key.0, self.bits)).and_then(|part| find(part, key)).is_some()
    }

    /// Sorts, and keeps one row of each key: the winner where one was named, else the one with the smallest attribute hash.
    /// Returns how many rows lost.
    pub(super) async fn elect(
        &mut self,
        lanes: &dyn Lanes,
        winner: &(dyn Fn(KeyHash) -> Option<Winner> + Sync),
        refused: &mut Refused,
    ) -> u64 {
        let bits = self.bits;
        let tasks = shares(&mut self.parts, lanes).map(|parts| {
            let task: Task<'_, (Refused, u64)> = Box::pin(async move {
                let (mut refused, mut keys) = (Refused::default(), 0);
                let mut scratch = Scratch::default();
                for part in parts {
                    part.sort(bits, &mut scratch, |sorted| elect(sorted, winner, &mut refused, &mut keys));
                }
                (refused, keys)
            });
            task
        });
        let tasks = tasks.collect();
        let mut keys = 0;
        for (more, count) in in_lanes(lanes, tasks).await {
            refused.absorb(more);
            keys += count;
        }
        self.rows - keys
    }

    /// The records in key-hash order. Where identifiers count, an identifier belongs to the first valid record that
    /// carries it, and a later record that carries it too is refused whole (protocol rule 6).
    pub(super) async fn digests(mut self, layout: Arc<Layout>, lanes: &dyn Lanes, refused: &mut Refused) -> Digests {
        if !self.ids.is_empty() {
            let taken = Taken::of(lanes, self.bits, core::mem::take(&mut self.ids)).await;
            let losers = taken.losers(self.parts.iter().flat_map(Part::iter).map(Entry::row));
            if !losers.is_empty() {
                let mut scratch = Scratch::default();
                for part in &mut self.parts {
                    part.revise(&mut scratch, |entries| {
                        keep(entries, |entry| {
                            let loses = losers.has(entry.row);
                            if loses {
                                refused.add(InvalidReason::SharedIdentifier, Some(entry.key()));
                            }
                            !loses
                        })
                    });
                }
            }
        }
        Digests { bits: self.bits, length: self.parts.iter().map(Part::len).sum(), parts: self.parts, layout }
    }
}

/// The parts, dealt to the lanes in runs.
pub(super) fn shares<'p, T>(parts: &'p mut [Part<T>], lanes: &dyn Lanes) -> impl Iterator<Item = &'p mut [Part<T>]> {
    let share = parts.len().div_ceil(lanes.count().max(1)).max(1);
    parts.chunks_mut(share)
}

/// Moves the items that stay to the front, in their order, and returns how many they are.
fn keep<T: Copy>(items: &mut [T], mut stays: impl FnMut(&T) -> bool) -> usize {
    let mut kept = 0;
    for at in 0..items.len() {
        let item = items[at];
        if stays(&item) {
            items[kept] = item;
            kept += 1;
        }
    }
    kept
}

fn elect(
    sorted: &mut [Entry],
    winner: &(dyn Fn(KeyHash) -> Option<Winner> + Sync),
    refused: &mut Refused,
    keys: &mut u64,
) -> usize {
    let mut last: Option<Entry> = None;
    // The fingerprint that the rows of the current key may have, until one is found.
    let mut wanted = None;
    keep(sorted, |entry| {
        if last.is_none_or(|last| last.key != entry.key) {
            *keys += 1;
            wanted = match winner(entry.key()) {
                None => Some(entry.attr()),
                Some(Winner::Valid(attr)) => Some(attr),
                Some(Winner::Invalid(reason)) => {
                    refused.add(reason, Some(entry.key()));
                    None
                }
            };
        }
        last = Some(*entry);
        wanted.take_if(|attr| *attr == entry.attr()).is_some()
    })
}

fn find(part: &Part<Entry>, key: KeyHash) -> Option<Entry> {
    let chunk = part.chunks().find(|chunk| chunk.last().is_some_and(|last| last.key() >= key))?;
    let at = chunk.binary_search_by_key(&key, Entry::key).ok()?;
    // Of several the first; it may stand in the chunk before only if that ends with the same key, and was found then.
    let first = chunk[..at].partition_point(|entry| entry.key() < key);
    chunk.get(first).copied()
}

/// What the join with D needs of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    /// The record.
    pub key_hash: KeyHash,
    /// What it holds.
    pub attr_hash: AttrHash,
}

impl From<&Entry> for Digest {
    fn from(entry: &Entry) -> Self {
        Self { key_hash: entry.key(), attr_hash: entry.attr() }
    }
}

/// The records of a snapshot that a sync selects, in key-hash order, each key once. 28 bytes a record.
#[derive(Clone)]
pub struct Digests {
    bits: u32,
    parts: Vec<Part<Entry>>,
    length: usize,
    layout: Arc<Layout>,
}

impl Digests {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// True if nobody is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Digest> + Clone {
        self.parts.iter().flat_map(Part::iter).map(Digest::from)
    }

    /// The record with this key.
    #[must_use]
    pub fn get(&self, key: KeyHash) -> Option<Digest> {
        self.entry(key).as_ref().map(Digest::from)
    }

    /// Those with key hashes from `from` to `to`, in order.
    pub fn within(&self, from: KeyHash, to: KeyHash) -> impl Iterator<Item = Digest> + Clone + use<'_> {
        let parts = part_of(from.0, self.bits)..part_of(to.0, self.bits) + 1;
        let entries = self.parts.get(parts).unwrap_or_default().iter().flat_map(Part::iter);
        entries.map(Digest::from).skip_while(move |d| d.key_hash < from).take_while(move |d| d.key_hash <= to)
    }

    /// What the positions of the rows mean.
    pub(super) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub(super) fn entry(&self, key: KeyHash) -> Option<Entry> {
        self.parts.get(part_of(key.0, self.bits)).and_then(|part| find(part, key))
    }

    /// Cuts the records into at most `count` ranges of key hashes that follow each other and cover all key hashes, each with
    /// about as many records.
    #[must_use]
    pub fn ranges(&self, count: usize) -> Vec<DigestRange<'_>> {
        let share = self.parts.len().div_ceil(count.max(1)).max(1);
        let starts = (0..self.parts.len()).step_by(share);
        let range = |start: usize| {
            let end = (start + share).min(self.parts.len());
            // The highest key hash of a part is the one before the next part's first.
            let first = |part: usize| if self.bits == 0 { 0 } else { (part as u128) << (128 - self.bits) };
            let last = if end == self.parts.len() { u128::MAX } else { first(end) - 1 };
            DigestRange { parts: &self.parts[start..end], from: KeyHash(first(start)), to: KeyHash(last) }
        };
        starts.map(range).collect()
    }
}

impl core::fmt::Debug for Digests {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Digests {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.iter().eq(other.iter())
    }
}

impl Eq for Digests {}

/// The records whose key hashes lie in one range.
#[derive(Clone, Copy)]
pub struct DigestRange<'a> {
    parts: &'a [Part<Entry>],
    /// The lowest key hash of the range; a record need not have it.
    pub from: KeyHash,
    /// The highest.
    pub to: KeyHash,
}

impl<'a> DigestRange<'a> {
    /// The records, in order.
    pub fn iter(&self) -> impl Iterator<Item = Digest> + Clone + use<'a> {
        self.parts.iter().flat_map(Part::iter).map(Digest::from)
    }
}
