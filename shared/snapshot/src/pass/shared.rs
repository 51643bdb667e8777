use driftless_config::FieldMapping;
use driftless_model::{Lanes, Task, in_lanes};

use super::entries::shares;
use super::parts::{Hashed, Part, Scratch};
use crate::ViewSpec;

/// Whether two records of a view can carry the same identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identifiers {
    /// No: the one identifier is the key itself, or there is none.
    Unique,
    MayBeShared,
}

impl Identifiers {
    pub(super) fn of(spec: &ViewSpec) -> Self {
        // A key of content is of one record.
        let mut identifiers = spec.column_fields().filter(|f| f.identifier);
        let is_key = |f: &FieldMapping| spec.key.single() == Some(&f.column) && f.normalize.is_empty();
        match (identifiers.next(), identifiers.next()) {
            (None, _) => Self::Unique,
            (Some(only), None) if is_key(only) => Self::Unique,
            _ => Self::MayBeShared,
        }
    }
}

/// That a row carries an identifier: 12 bytes. The 64 bits below those that number the part stand for the identifier: of
/// *n* records two different ones are taken for the same with a chance of about *n* × 2⁻⁵⁰, one in ten million snapshots of ten
/// million records, and then one record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IdEntry {
    id: [u32; 2],
    row: u32,
}

impl IdEntry {
    #[allow(clippy::cast_possible_truncation)] // the two halves of the topmost 64 bits
    pub(super) const fn new(id: u128, bits: u32, row: u32) -> Self {
        let id = ((id << bits) >> 64) as u64;
        Self { id: [(id >> 32) as u32, id as u32], row }
    }
}

impl Hashed for IdEntry {
    #[inline]
    fn top(&self, _: u32) -> u64 {
        // The part's own bits are gone already.
        u64::from(self.id[0]) << 32 | u64::from(self.id[1])
    }
}

/// The identifiers that several rows carry, numbered, by the rows that carry them.
pub(super) struct Taken {
    /// Row and number, in order.
    claims: Vec<(u32, u32)>,
    numbers: usize,
}

/// Rows of a snapshot.
pub(super) struct Rows {
    sorted: Vec<u32>,
}

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    pub(super) fn has(&self, row: u32) -> bool {
        self.sorted.binary_search(&row).is_ok()
    }
}

impl Taken {
    /// Finds the identifiers that occur more than once.
    pub(super) async fn of(lanes: &dyn Lanes, bits: u32, mut ids: Vec<Part<IdEntry>>) -> Self {
        let tasks = shares(&mut ids, lanes).map(|parts| {
            let task: Task<'_, _> = Box::pin(async move { repeated(parts, bits) });
            task
        });
        let tasks = tasks.collect();
        let found = in_lanes(lanes, tasks).await;
        let (mut claims, mut numbers) = (Vec::new(), 0);
        for (more, count) in found {
            claims.extend(more.into_iter().map(|(row, number)| (row, numbers + number)));
            numbers += count;
        }
        claims.sort_unstable();
        Self { claims, numbers: usize::try_from(numbers).unwrap_or(usize::MAX) }
    }

    /// Gives each identifier to the first of the records, which are named by their rows in key-hash order, and returns those
    /// that come too late for one.
    pub(super) fn losers(&self, records: impl Iterator<Item = u32>) -> Rows {
        let mut losers = Vec::new();
        if self.claims.is_empty() {
            return Rows { sorted: losers };
        }
        let claiming = Bits::of(self.claims.iter().map(|(row, _)| *row));
        let mut given = vec![false; self.numbers];
        for row in records.filter(|row| claiming.has(*row)) {
            let first = self.claims.partition_point(|(r, _)| *r < row);
            let of_row =
                || self.claims[first..].iter().take_while(|(r, _)| *r == row).map(|(_, number)| *number as usize);
            if of_row().any(|number| given[number]) {
                losers.push(row);
            } else {
                of_row().for_each(|number| given[number] = true);
            }
        }
        losers.sort_unstable();
        Rows { sorted: losers }
    }
}

/// The rows of identifiers that occur more than once, each with the number of the identifier, and how many numbers there are.
fn repeated(parts: &mut [Part<IdEntry>], bits: u32) -> (Vec<(u32, u32)>, u32) {
    let mut scratch = Scratch::default();
    let (mut claims, mut numbers) = (Vec::new(), 0);
    for part in parts {
        part.sort(bits, &mut scratch, |sorted| {
            for group in sorted.chunk_by(|a, b| a.id == b.id).filter(|g| g.len() > 1) {
                claims.extend(group.iter().map(|entry| (entry.row, numbers)));
                numbers += 1;
            }
            0
        });
    }
    (claims, numbers)
}

/// A set of rows, one bit each.
struct Bits(Vec<u64>);

impl Bits {
    fn of(rows: impl Iterator<Item = u32> + Clone) -> Self {
        let words = rows.clone().max().map_or(0, |last| last as usize / 64 + 1);
        let mut bits = vec![0; words];
        for row in rows {
            bits[row as usize / 64] |= 1 << (row % 64);
        }
        Self(bits)
    }

    fn has(&self, row: u32) -> bool {
        self.0.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use driftless_model::InTurn;
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn what_several_rows_carry_goes_to_the_first_record() {
        // Identifier n is carried by the rows n, n + 10 and n + 20.
        let mut parts: Vec<Part<IdEntry>> = (0..4).map(|_| Part::default()).collect();
        for row in 0..30_u32 {
            let id = u128::from(row % 10) << 96 | 1 << 64;
            parts[0].push(IdEntry::new(id, 2, row));
        }
        parts[3].push(IdEntry::new(u128::MAX, 2, 40));
        let taken = block_on(Taken::of(&InTurn::default(), 2, parts));
        assert_eq!(taken.numbers, 10);
        let losers = taken.losers([25, 5, 40, 6, 15].into_iter());
        assert_eq!(losers.sorted, [5, 15]);
        assert!(losers.has(5) && !losers.has(25));
    }
}
