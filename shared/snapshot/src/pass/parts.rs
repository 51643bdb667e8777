//! Small items by their hashes: appended in any order, sorted part by part.

use core::mem;

/// Something with a hash at its front.
pub(super) trait Hashed: Copy + Ord {
    /// The topmost 64 bits of the hash, below the bits that number the part.
    fn top(&self, bits: u32) -> u64;
}

/// Rows for which one part is made; what it needs to be sorted fits in a cache.
const PART_ROWS: u64 = 32 << 10;
/// Parts, at most: each lane has one chunk of each that is not full.
const MAX_BITS: u32 = 12;
/// Items of a chunk: the first of a part is small, so that few rows take little.
const CHUNK: (usize, usize) = (32, 1024);
/// Items of a part that are sorted beside their place. More only come together where many rows have one key.
const BESIDE: usize = 512 << 10;

/// The number of leading bits of a hash that name the part, for so many rows.
pub(super) fn bits_for(rows: u64) -> u32 {
    (rows.div_ceil(PART_ROWS).max(1).next_power_of_two().trailing_zeros()).min(MAX_BITS)
}

/// The part of a hash.
#[inline]
#[allow(clippy::cast_possible_truncation)] // at most MAX_BITS
pub(super) const fn part_of(hash: u128, bits: u32) -> usize {
    // In two steps: no shift by all 128 bits.
    ((hash >> 64) as u64 >> 1 >> (63 - bits)) as usize
}

/// The items of one part, in chunks: they never move as more come.
#[derive(Clone, Debug)]
pub(super) struct Part<T> {
    full: Vec<Vec<T>>,
    open: Vec<T>,
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self { full: Vec::new(), open: Vec::new() }
    }
}

impl<T: Copy> Part<T> {
    #[inline]
    pub(super) fn push(&mut self, item: T) {
        if self.open.len() == self.open.capacity() {
            self.grow();
        }
        self.open.push(item);
    }

    #[cold]
    fn grow(&mut self) {
        let size = (2 * self.open.capacity()).clamp(CHUNK.0, CHUNK.1);
        let full = mem::replace(&mut self.open, Vec::with_capacity(size));
        if !full.is_empty() {
            self.full.push(full);
        }
    }

    /// Adds the items of the same part from another lane.
    pub(super) fn absorb(&mut self, other: Self) {
        self.full.extend(other.full);
        if !other.open.is_empty() {
            self.full.push(other.open);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.chunks().map(<[T]>::len).sum()
    }

    /// The items, chunk by chunk.
    pub(super) fn chunks(&self) -> impl DoubleEndedIterator<Item = &[T]> + Clone {
        self.full.iter().map(Vec::as_slice).chain([self.open.as_slice()]).filter(|c| !c.is_empty())
    }

    /// The items.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.chunks().flatten()
    }

    /// Puts items in the place of those that it has; no more than it has.
    fn put_back(&mut self, mut items: &[T]) {
        let open = mem::take(&mut self.open);
        if !open.is_empty() {
            self.full.push(open);
        }
        for chunk in &mut self.full {
            let (first, rest) = items.split_at(chunk.capacity().min(items.len()));
            chunk.clear();
            chunk.extend_from_slice(first);
            items = rest;
        }
        self.full.retain(|c| !c.is_empty());
        if !items.is_empty() {
            self.full.push(items.to_vec());
        }
    }
}

/// What sorting a part needs, used again for the next.
#[derive(Debug)]
pub(super) struct Scratch<T> {
    items: Vec<T>,
    ends: Vec<u32>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self { items: Vec::new(), ends: Vec::new() }
    }
}

impl<T: Hashed> Part<T> {
    /// Sorts the part and lets `keep` say how many of the sorted items remain, which it has moved to the front.
    pub(super) fn sort(&mut self, bits: u32, scratch: &mut Scratch<T>, keep: impl FnOnce(&mut [T]) -> usize) {
        let length = self.len();
        if length > BESIDE {
            self.sort_large(length, keep);
            return;
        }
        scratch.fill(self, length, bits);
        let kept = keep(&mut scratch.items);
        self.put_back(scratch.items.get(..kept).unwrap_or_default());
    }

    /// The same for a part that is sorted already.
    pub(super) fn revise(&mut self, scratch: &mut Scratch<T>, keep: impl FnOnce(&mut [T]) -> usize) {
        scratch.items.clear();
        scratch.items.extend(self.iter().copied());
        let kept = keep(&mut scratch.items);
        self.put_back(scratch.items.get(..kept).unwrap_or_default());
        if scratch.items.capacity() > BESIDE {
            scratch.items = Vec::new();
        }
    }

    /// One key has most of the items: they are taken out of their chunks, which are given back on the way.
    fn sort_large(&mut self, length: usize, keep: impl FnOnce(&mut [T]) -> usize) {
        let mut items = Vec::with_capacity(length);
        items.append(&mut self.open);
        self.open = Vec::new();
        while let Some(mut chunk) = self.full.pop() {
            items.append(&mut chunk);
        }
        self.full = Vec::new();
        items.sort_unstable();
        let kept = keep(&mut items);
        items.truncate(kept);
        items.shrink_to_fit();
        self.full.push(items);
    }
}

impl<T: Hashed> Scratch<T> {
    /// Sorts the items of a part into the scratch: dealt to small heaps by the next bits of their hashes, which are as good
    /// as random, and each heap then put in order.
    fn fill(&mut self, part: &Part<T>, length: usize, bits: u32) {
        self.items.clear();
        let heaps = (length / 2).next_power_of_two();
        let shift = 64 - heaps.trailing_zeros();
        if heaps == 1 {
            self.items.extend(part.iter().copied());
            self.items.sort_unstable();
            return;
        }
        #[allow(clippy::cast_possible_truncation)] // fewer than `heaps`
        let heap = |item: &T| (item.top(bits) >> shift) as usize;
        self.ends.clear();
        self.ends.resize(heaps, 0);
        for item in part.iter() {
            self.ends[heap(item)] += 1;
        }
        let mut start = 0;
        for end in &mut self.ends {
            let count = *end;
            *end = start;
            start += count;
        }
        let Some(any) = part.iter().next() else { return };
        self.items.resize(length, *any);
        for item in part.iter() {
            let end = &mut self.ends[heap(item)];
            self.items[*end as usize] = *item;
            *end += 1;
        }
        let mut start = 0;
        for end in &self.ends {
            let end = *end as usize;
            if end - start > 1 {
                self.items[start..end].sort_unstable();
            }
            start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Item(u64, u8);

    impl Hashed for Item {
        fn top(&self, bits: u32) -> u64 {
            self.0 << bits
        }
    }

    proptest! {
        #[test]
        fn a_part_is_sorted_whatever_came_in_which_chunk(
            bits in 0_u32..=12,
            hashes in proptest::collection::vec((any::<u64>(), any::<u8>()), 0..3000),
            lanes in 1_usize..4,
            dropped in 0_usize..40,
        ) {
            // Equal top bits: that is what a part is.
            let items: Vec<Item> = hashes.iter().map(|(h, n)| Item(h >> bits, *n)).collect();
            let mut parts: Vec<Part<Item>> = (0..lanes).map(|_| Part::default()).collect();
            for (i, item) in items.iter().enumerate() {
                parts[i % lanes].push(*item);
            }
            let mut part = Part::default();
            parts.into_iter().for_each(|p| part.absorb(p));
            part.sort(bits, &mut Scratch::default(), |sorted| sorted.len().saturating_sub(dropped));
            let mut expected = items;
            expected.sort_unstable();
            expected.truncate(expected.len().saturating_sub(dropped));
            prop_assert_eq!(part.len(), expected.len());
            prop_assert_eq!(part.iter().copied().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn many_items_of_one_hash_are_sorted_too() {
        let mut part = Part::default();
        let count = u64::try_from(BESIDE).expect("small") + 1000;
        (0..count).for_each(|n| part.push(Item(7, (n % 251) as u8)));
        part.sort(3, &mut Scratch::default(), |sorted| {
            assert!(sorted.is_sorted());
            sorted.len()
        });
        assert_eq!(part.len() as u64, count);
        part.revise(&mut Scratch::default(), |_| 1);
        assert_eq!(part.iter().copied().collect::<Vec<_>>(), [Item(7, 0)]);
    }

    #[test]
    fn parts_follow_the_order_of_the_hashes() {
        assert_eq!((bits_for(0), bits_for(32 << 10), bits_for(10_000_000), bits_for(u64::MAX)), (0, 0, 9, 12));
        assert_eq!((part_of(u128::MAX, 0), part_of(u128::MAX, 12), part_of(1 << 127, 1)), (0, 4095, 1));
    }
}
