//! What a list holds, in eleven bytes a record: enough to tell the rows of a snapshot that change nothing from the others.

use driftless_model::{AttrHash, KeyHash};

/// Leading bits of a key hash that name the segment.
const SEGMENT_BITS: u32 = 6;
const SEGMENTS: usize = 1 << SEGMENT_BITS;
/// Marks of a line.
const SLOTS: usize = 8;
/// Of them in use, on average.
const USED: usize = 6;
/// Lines that may follow those that keys are spread over, before memory is moved.
const SPARE: usize = 16;

/// The records that a list holds, as two hashes each, folded into one word: its *mark*.
///
/// A row whose mark stands in the line of its key hash is taken for one that the list holds already, with the same
/// attribute hash. That is never so of a row of a record whose attribute hash is another: a mark is the lower half of the key hash, xor
/// the attribute hash, so equal keys with different attributes have different marks. Of a row with another key it is so with
/// a chance of 2⁻⁶⁴ for each mark of the line, since the lower half of a key hash is as good as random to anybody without the
/// secret. That is less than what the attribute hash itself leaves open.
///
/// A line of eight marks is what a processor fetches from memory at once, and one look at a table of many megabytes costs as much as
/// hashing a key. Marks stand in key-hash order, each in the line of its key or, where that is full, in the next with room.
pub struct Known {
    segments: Vec<Segment>,
    records: usize,
    most: u64,
}

/// The records whose key hashes have the same first bits.
#[derive(Default)]
struct Segment {
    /// The slots before it.
    first: usize,
    /// How many lines keys are spread over; a few more may follow.
    spread: u64,
    lines: Vec<Line>,
    /// Where the next mark may stand.
    next: usize,
}

#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Line([u64; SLOTS]);

/// Where the line of a key is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    segment: u32,
    line: u32,
}

/// Some segments of [`Known`], being filled.
pub struct KnownRange {
    first: usize,
    segments: Vec<Segment>,
    records: usize,
}

/// A range of key hashes that one lane looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownSpan {
    /// The lowest key hash of the range; a record need not have it.
    pub from: KeyHash,
    /// The highest.
    pub to: KeyHash,
}

#[allow(clippy::cast_possible_truncation)] // the upper half
const fn high(key: KeyHash) -> u64 {
    (key.0 >> 64) as u64
}

#[allow(clippy::cast_possible_truncation)] // the lower half
const fn mark(key: KeyHash, attr: AttrHash) -> u64 {
    key.0 as u64 ^ attr.0
}

#[allow(clippy::cast_possible_truncation)] // fewer than SEGMENTS
const fn segment_of(key: KeyHash) -> usize {
    (high(key) >> (64 - SEGMENT_BITS)) as usize
}

const fn first_of(segment: usize) -> KeyHash {
    KeyHash((segment as u128) << (128 - SEGMENT_BITS))
}

const fn last_of(segment: usize) -> KeyHash {
    KeyHash(u128::MAX >> SEGMENT_BITS | first_of(segment).0)
}

impl Segment {
    /// The line of a key: the keys of a segment are spread over its lines in their order.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // less than `spread`
    const fn line(&self, key: KeyHash) -> usize {
        (((high(key) << SEGMENT_BITS) as u128 * self.spread as u128) >> 64) as usize
    }
}

impl KnownRange {
    /// Ranges for `count` lanes, of a list of about so many records.
    #[must_use]
    pub fn cut(records: u64, count: usize) -> Vec<Self> {
        let share = SEGMENTS.div_ceil(count.max(1));
        let spread = records / (SEGMENTS * USED) as u64 + 1;
        let segment = || Segment { spread, ..Segment::default() };
        let range = |first: usize| Self {
            first,
            segments: (first..SEGMENTS.min(first + share)).map(|_| segment()).collect(),
            records: 0,
        };
        (0..SEGMENTS).step_by(share).map(range).collect()
    }

    /// The lowest and the highest key hash that belong into it.
    #[must_use]
    pub fn bounds(&self) -> (KeyHash, KeyHash) {
        (first_of(self.first), last_of(self.first + self.segments.len() - 1))
    }

    /// Adds the next record, in key-hash order.
    #[inline]
    pub fn push(&mut self, key: KeyHash, attr: AttrHash) {
        let number = segment_of(key).checked_sub(self.first);
        let Some(segment) = number.and_then(|number| self.segments.get_mut(number)) else { return };
        let slot = segment.next.max(segment.line(key) * SLOTS);
        if slot / SLOTS >= segment.lines.len() {
            segment.grow(slot / SLOTS);
        }
        if let Some(line) = segment.lines.get_mut(slot / SLOTS) {
            line.0[slot % SLOTS] = mark(key, attr);
        }
        segment.next = slot + 1;
        self.records += 1;
    }
}

impl Segment {
    #[cold]
    fn grow(&mut self, line: usize) {
        let spread = usize::try_from(self.spread).unwrap_or(usize::MAX);
        // A full line pushes marks into the next ones, so that a few more are in use at the end.
        self.lines.reserve_exact((spread + SPARE).saturating_sub(self.lines.len()));
        self.lines.resize(spread.max(line + 1), Line::default());
    }
}

impl Known {
    /// Puts ranges that were cut together, and filled, together again. A pass gives up when more than `most` rows are not as the list
    /// has them: then it is cheaper to keep all.
    #[must_use]
    pub fn of(ranges: Vec<KnownRange>, most: u64) -> Self {
        let records = ranges.iter().map(|range| range.records).sum();
        let mut segments: Vec<Segment> = ranges.into_iter().flat_map(|range| range.segments).collect();
        let mut first = 0;
        for segment in &mut segments {
            segment.first = first;
            first += segment.lines.len() * SLOTS;
        }
        Self { segments, records, most }
    }

    /// Bytes that a list of so many records takes, about, with the bits of [`Unchanged`] of a lane or two.
    #[must_use]
    pub const fn bytes(records: u64) -> u64 {
        records * 12 + (64 << 10)
    }

    /// How many records.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.records
    }

    /// True if the list is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(super) const fn most(&self) -> u64 {
        self.most
    }

    fn slots(&self) -> usize {
        self.segments.last().map_or(0, |last| last.first + last.lines.len() * SLOTS)
    }

    /// Cuts all key hashes into at most `count` ranges that follow each other, each with about as many records.
    #[must_use]
    pub fn spans(&self, count: usize) -> Vec<KnownSpan> {
        let share = SEGMENTS.div_ceil(count.max(1));
        let span = |first: usize| KnownSpan { from: first_of(first), to: last_of(SEGMENTS.min(first + share) - 1) };
        (0..SEGMENTS).step_by(share).map(span).collect()
    }

    /// Where the line of a key is.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // a segment of more lines than that is never met
    pub(super) fn place(&self, key: KeyHash) -> Place {
        let segment = segment_of(key);
        Place { segment: segment as u32, line: self.segments.get(segment).map_or(0, |s| s.line(key) as u32) }
    }

    /// Looks at many lines that are anywhere in memory, and at nothing else meanwhile: as many of them are on their way at once as the
    /// processor can wait for. Then [`Self::find`] has them at hand. What it answers is only there so that it is done.
    #[inline]
    pub(super) fn fetch(&self, places: &[Place]) -> u64 {
        let first = |place: &Place| {
            let lines = self.segments.get(place.segment as usize).map_or(&[][..], |segment| &segment.lines);
            lines.get(place.line as usize).map_or(0, |line| line.0[0])
        };
        places.iter().fold(0, |all, place| all ^ first(place))
    }

    /// The slot of the record, if the list holds it with this attribute hash.
    #[inline]
    pub(super) fn find(&self, key: KeyHash, attr: AttrHash, place: Place) -> Option<usize> {
        let segment = self.segments.get(place.segment as usize)?;
        let line = place.line as usize;
        let mark = mark(key, attr);
        let marks = segment.lines.get(line)?;
        let mut hits = 0_u32;
        for (place, known) in marks.0.iter().enumerate() {
            hits |= u32::from(*known == mark) << place;
        }
        if hits != 0 {
            return Some(segment.first + line * SLOTS + hits.trailing_zeros() as usize);
        }
        if marks.0[SLOTS - 1] == 0 {
            return None;
        }
        // The line is full: what did not fit stands in the slots that follow, up to the first empty one.
        for (line, marks) in segment.lines.iter().enumerate().skip(line + 1) {
            let mut hits = 0_u32;
            for (place, known) in marks.0.iter().enumerate() {
                hits |= u32::from(*known == mark) << place;
            }
            if hits != 0 {
                return Some(segment.first + line * SLOTS + hits.trailing_zeros() as usize);
            }
            if marks.0[SLOTS - 1] == 0 {
                break;
            }
        }
        None
    }
}

impl core::fmt::Debug for Known {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Known({} records)", self.records)
    }
}

/// Which records of [`Known`] a snapshot has just so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unchanged {
    /// A bit a slot.
    bits: Vec<u64>,
}

impl Unchanged {
    pub(super) fn none_of(known: &Known) -> Self {
        Self { bits: vec![0; known.slots().div_ceil(64)] }
    }

    #[inline]
    pub(super) fn add(&mut self, slot: usize) {
        if let Some(word) = self.bits.get_mut(slot / 64) {
            *word |= 1 << (slot % 64);
        }
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        self.bits.iter_mut().zip(&other.bits).for_each(|(word, more)| *word |= more);
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bits.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// True if none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }

    /// Answers for all records of a span, one after the other.
    #[must_use]
    pub const fn walk<'u>(&'u self, known: &'u Known) -> Walk<'u> {
        Walk { unchanged: self, known, segment: usize::MAX, next: 0 }
    }
}

/// A walk along the records of a list, from the first one of a [`KnownSpan`] on, and none left out.
pub struct Walk<'u> {
    unchanged: &'u Unchanged,
    known: &'u Known,
    segment: usize,
    next: usize,
}

impl Walk<'_> {
    /// Whether the snapshot has the next record, which has this key, just so.
    #[inline]
    pub fn is_unchanged(&mut self, key: KeyHash) -> bool {
        let number = segment_of(key);
        if number != self.segment {
            (self.segment, self.next) = (number, 0);
        }
        let Some(segment) = self.known.segments.get(number) else { return false };
        // Where it was put.
        let slot = self.next.max(segment.line(key) * SLOTS);
        self.next = slot + 1;
        let slot = segment.first + slot;
        self.unchanged.bits.get(slot / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn known(records: &BTreeMap<u128, u64>, expected: u64, lanes: usize) -> Known {
        let mut ranges = KnownRange::cut(expected, lanes);
        for range in &mut ranges {
            let (from, to) = range.bounds();
            records.range(from.0..=to.0).for_each(|(key, attr)| range.push(KeyHash(*key), AttrHash(*attr)));
        }
        Known::of(ranges, u64::MAX)
    }

    /// Many in few lines too: the upper bits of some are the same.
    fn keys() -> impl Strategy<Value = u128> {
        (any::<u64>(), any::<u64>(), 0_u32..64).prop_map(|(h, l, s)| u128::from(h >> s) << 64 | u128::from(l))
    }

    proptest! {
        #[test]
        fn a_record_is_found_with_its_attributes_and_not_with_others(
            records in proptest::collection::btree_map(keys(), any::<u64>(), 0..300),
            others in proptest::collection::vec((keys(), any::<u64>()), 0..50),
            expected in 0_u64..2000,
            lanes in 1_usize..70,
        ) {
            let known = known(&records, expected, lanes);
            prop_assert_eq!(known.len(), records.len());
            let find = |key, attr| known.find(KeyHash(key), AttrHash(attr), known.place(KeyHash(key)));
            let slots: Vec<_> = records.iter().map(|(key, attr)| find(*key, *attr)).collect();
            prop_assert!(slots.iter().all(Option::is_some));
            prop_assert!(slots.is_sorted_by(|a, b| a < b), "in order, each its own");
            prop_assert!(records.iter().all(|(key, attr)| find(*key, attr ^ 1).is_none()));
            for (key, attr) in others {
                prop_assert_eq!(find(key, attr).is_some(), records.get(&key) == Some(&attr));
            }
        }

        #[test]
        fn a_walk_along_a_span_finds_what_was_found(
            records in proptest::collection::btree_map(keys(), any::<u64>(), 0..300),
            expected in 0_u64..2000,
            count in 1_usize..70,
        ) {
            let known = known(&records, expected, 3);
            let mut unchanged = Unchanged::none_of(&known);
            for (key, attr) in records.iter().step_by(3) {
                let slot = known.find(KeyHash(*key), AttrHash(*attr), known.place(KeyHash(*key)));
                unchanged.add(slot.expect("it is there"));
            }
            let spans = known.spans(count);
            prop_assert!(spans.len() <= count);
            prop_assert_eq!((spans[0].from, spans[spans.len() - 1].to), (KeyHash(0), KeyHash(u128::MAX)));
            prop_assert!(spans.windows(2).all(|w| w[0].to.0 + 1 == w[1].from.0));
            let mut number = 0;
            for span in spans {
                let mut walk = unchanged.walk(&known);
                for (key, _) in records.range(span.from.0..=span.to.0) {
                    prop_assert_eq!(walk.is_unchanged(KeyHash(*key)), number % 3 == 0);
                    number += 1;
                }
            }
            prop_assert_eq!((number, unchanged.len()), (records.len(), records.len().div_ceil(3)));
        }
    }
}
