//! Whether a bulk version can be written in the time that is left.

use driftless_model::Millis;

/// What reading a row of the snapshot once more takes of one processor, in nanoseconds: its key and its identifiers. Nearly twice what
/// the first pass takes for nine columns (docs/performance.md).
const ROW_NS: u64 = 600;

/// What writing a record of the bulk file takes, as [`ROW_NS`]: five times what a fold takes for one.
const RECORD_NS: u64 = 3_000;

/// Lambda gives a function one processor for so much memory, in MB
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>), and at most six.
const MB_PER_PROCESSOR: u64 = 1_769;

/// How fast the function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Thousandths of a processor.
    millis: u64,
}

impl Default for Pace {
    /// One processor.
    fn default() -> Self {
        Self { millis: 1_000 }
    }
}

/// A bulk version that would not be finished: known before its first pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "writing {records} records takes {passes} passes over {rows} rows, about {needed_s} s, and {left_s} s are left; raise \
     IngestMemoryMegabytes, with which a function gets more of a processor, or IngestTimeoutSeconds"
)]
pub(crate) struct TakesTooLong {
    records: u64,
    passes: u64,
    rows: u64,
    needed_s: u64,
    left_s: u64,
}

impl Pace {
    /// Of a function with so much memory.
    #[must_use]
    pub fn of_memory(bytes: u64) -> Self {
        Self { millis: ((bytes >> 20) * 1_000 / MB_PER_PROCESSOR).clamp(1, 6_000) }
    }

    /// Seconds for so many passes over so many rows, and for writing so many records.
    fn seconds(self, passes: u64, rows: u64, records: u64) -> u64 {
        let nanoseconds =
            u128::from(passes) * u128::from(rows) * u128::from(ROW_NS) + u128::from(records) * u128::from(RECORD_NS);
        u64::try_from(nanoseconds / u128::from(self.millis) / 1_000_000).unwrap_or(u64::MAX)
    }

    /// Says what would not be finished in time.
    ///
    /// # Errors
    /// [`TakesTooLong`].
    pub(crate) fn allows(
        self,
        records: usize,
        at_once: usize,
        rows: u64,
        now: Millis,
        deadline: Millis,
    ) -> Result<(), TakesTooLong> {
        let (records, passes) = (records as u64, records.div_ceil(at_once.max(1)) as u64);
        let needed_s = self.seconds(passes, rows, records);
        let left_s = u64::try_from(deadline.0.saturating_sub(now.0)).unwrap_or(0) / 1_000;
        if needed_s <= left_s { Ok(()) } else { Err(TakesTooLong { records, passes, rows, needed_s, left_s }) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_finished_is_refused_before_it_is_begun_and_more_memory_heals_it() {
        let allows = |mb: u64, records: usize| {
            Pace::of_memory(mb << 20).allows(records, 1_000_000, records as u64, Millis(0), Millis(890_000))
        };
        assert_eq!(allows(1_024, 10_000_000), Ok(()));
        let refused = allows(1_024, 50_000_000).expect_err("it takes too long").to_string();
        assert!(
            refused.starts_with("writing 50000000 records takes 50 passes over 50000000 rows, about 2854 s"),
            "{refused}"
        );
        assert!(refused.contains("raise IngestMemoryMegabytes"), "{refused}");
        assert_eq!(allows(10_240, 50_000_000), Ok(()));
    }
}
