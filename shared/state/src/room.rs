//! Whether work fits the function that is to do it, from counts that are known before any of it is begun.
//!
//! A function that runs out of memory is killed, comes back with the same message and is killed again: nobody is told why. So
//! planner and janitor ask first, and a sync whose work does not fit *needs attention*, with the setting to change.
//!
//! The figures are those of docs/performance.md ("Planning"), rounded up: of a record of nine columns with an e-mail address for its
//! key. What wider records send is counted while it is read.

use driftless_deltalog::head::Head;

const MB: u64 = 1 << 20;

/// The most that a function can have, in MB.
const LARGEST: u64 = 10_240;

/// What a function takes before it holds a single record: its code, its clients, the row groups being read.
pub const FIXED_BYTES: u64 = 160 * MB;

/// What differs is first found as keys; their list grows by doubling.
pub const FOUND_BYTES: u64 = 32;

/// A record while it is decided what to send, or while its row is laid out and written, beside what it sends.
pub const PLANNED_BYTES: u64 = 1_000;

/// A row of a run while it is committed.
pub const COMMITTED_BYTES: u64 = 1_300;

/// A row of A that an earlier run changed, a record of the residue or a log item, while it is folded.
pub const FOLDED_BYTES: u64 = 700;

/// A fold's lanes, beside the records: a block and its encoded columns each.
pub const LANE_BYTES: u64 = 80 * MB;

/// What a plan takes of the planner that looks at so many records out of so many that may differ.
#[must_use]
pub const fn planning(records: u64, found: u64) -> u64 {
    FIXED_BYTES + found * FOUND_BYTES + records * PLANNED_BYTES
}

/// What a commit takes of the janitor: so many rows of a run, and so many [`named`] records if it folds, in so many lanes.
#[must_use]
pub const fn committing(rows: u64, named: u64, lanes: u64) -> u64 {
    FIXED_BYTES + lanes * LANE_BYTES + named * FOLDED_BYTES + rows * COMMITTED_BYTES
}

/// Work that a function cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{work} needs about {needed_mb} MB of memory and the function has {has_mb} MB; {}", remedy(*.needed_mb, .setting))]
pub struct DoesNotFit {
    /// What.
    pub work: String,
    /// Estimated from counts.
    pub needed_mb: u64,
    /// The function's memory.
    pub has_mb: u64,
    /// The template's parameter for it.
    pub setting: &'static str,
}

fn remedy(needed_mb: u64, setting: &str) -> String {
    if needed_mb > LARGEST {
        format!("{setting} cannot be raised to more than {LARGEST}: let the sync change fewer records at once")
    } else {
        format!("raise {setting} to {needed_mb} or more")
    }
}

impl DoesNotFit {
    /// Whether a sync needs attention for the want of this setting: what fits later says that it no longer does.
    #[must_use]
    pub fn is_about(reason: &str, setting: &str) -> bool {
        reason.contains(setting)
    }
}

/// A function's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// How much.
    pub bytes: u64,
    /// The template's parameter for it.
    pub setting: &'static str,
}

impl Memory {
    /// The planner's.
    #[must_use]
    pub const fn of_planner(bytes: u64) -> Self {
        Self { bytes, setting: "PlannerMemoryMegabytes" }
    }

    /// The janitor's.
    #[must_use]
    pub const fn of_janitor(bytes: u64) -> Self {
        Self { bytes, setting: "JanitorMemoryMegabytes" }
    }

    /// The largest function's, with the setting of this one.
    #[must_use]
    pub const fn largest(self) -> Self {
        Self { bytes: LARGEST * MB, ..self }
    }

    /// Says what does not fit.
    ///
    /// # Errors
    /// [`DoesNotFit`], with all that one needs to know.
    pub fn fits(&self, work: impl FnOnce() -> String, needed: u64) -> Result<(), DoesNotFit> {
        if needed <= self.bytes { Ok(()) } else { Err(self.lacks(work(), needed)) }
    }

    /// What is said of work that needs so many bytes.
    #[must_use]
    pub const fn lacks(&self, work: String, needed: u64) -> DoesNotFit {
        DoesNotFit { work, needed_mb: needed.div_ceil(MB), has_mb: self.bytes / MB, setting: self.setting }
    }

    /// How many records of so many bytes there is room for beside `taken`.
    #[must_use]
    pub fn records(&self, taken: u64, each: u64) -> u64 {
        self.bytes.saturating_sub(taken) / each.max(1)
    }
}

/// Records that a reader of a sync's state holds whatever it looks for: of the residue, of runs that are not folded, and of the
/// versions since the newest bulk version.
#[must_use]
pub fn named(head: &Head) -> u64 {
    let residue = head.residue.as_ref().map_or(0, |r| r.count);
    let delivered: u64 = head.delivered.iter().map(|d| d.rows).sum();
    let items = head.versions.values().rev().take_while(|v| v.bulk_object().is_none());
    residue + delivered + items.map(|v| v.count).sum::<u64>()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_says_how_much_it_needs_and_which_setting_to_change() {
        let janitor = Memory::of_janitor(1_024 * MB);
        assert_eq!(janitor.fits(|| unreachable!("it fits"), 1_024 * MB), Ok(()));
        let refused =
            janitor.fits(|| "committing 2000000 rows".to_owned(), 3_000 * MB + 1).expect_err("it does not fit");
        assert_eq!(
            refused.to_string(),
            "committing 2000000 rows needs about 3001 MB of memory and the function has 1024 MB; raise \
             JanitorMemoryMegabytes to 3001 or more"
        );
        assert!(DoesNotFit::is_about(&refused.to_string(), janitor.setting));
        assert!(!DoesNotFit::is_about(&refused.to_string(), Memory::of_planner(0).setting));
        let too_much = janitor.largest().fits(String::new, 20_000 * MB).expect_err("it does not fit");
        assert!(too_much.to_string().ends_with("let the sync change fewer records at once"), "{too_much}");
    }

    /// Of docs/performance.md, "Planning".
    #[test]
    fn no_estimate_is_below_what_was_measured_nor_far_above_it() {
        // Rows of a run, records that differ, and what planner and janitor took, in MB.
        let measured = [
            (433_000, 433_000, 407, 480),
            (567_000, 1_000_000, 525, 607),
            (1_000_000, 1_000_000, 904, 1_055),
            (4_623_000, 10_000_000, 4_079, 5_382),
        ];
        for (rows, found, planner, janitor) in measured {
            let estimates = [(planning(rows, found) / MB, planner), (committing(rows, 0, 2) / MB, janitor)];
            for (estimate, measured) in estimates {
                assert!(estimate >= measured && estimate <= measured * 2, "{estimate} MB for {measured} MB of {rows}");
            }
        }
    }

    #[test]
    fn room_is_what_is_left() {
        let memory = Memory::of_planner(1_000);
        assert_eq!((memory.records(400, 100), memory.records(1_001, 100)), (6, 0));
    }
}
