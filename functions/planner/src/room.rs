//! How much one run may be: as much as the planner can hold, and the janitor after it.

use driftless_connector::Capabilities;
use driftless_deltalog::head::Head;
use driftless_model::Operation;
use driftless_state::room::{
    COMMITTED_BYTES, DoesNotFit, FIXED_BYTES, FOLDED_BYTES, FOUND_BYTES, LANE_BYTES, Memory, PLANNED_BYTES, named,
};
use driftless_state::{Cut, Sent};

/// What the two functions that hold a run have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The planner's memory.
    pub planner: Memory,
    /// The janitor's.
    pub janitor: Memory,
    /// If more records than this differ, a run takes a part of them, whatever there is room for.
    pub at_most: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { planner: Memory::of_planner(0).largest(), janitor: Memory::of_janitor(0).largest(), at_most: usize::MAX }
    }
}

/// Each call is an item of the table and a message: as many as a planner writes in some minutes.
const CALLS: u64 = 100_000;

/// How much of it one plan uses.
pub(crate) struct Share {
    at_most: usize,
    fits: usize,
    /// Bytes that what is sent may take.
    pub(crate) sent_bytes: u64,
}

impl Room {
    /// What a run of a sync may be, of whose files at most `differing` records can differ.
    ///
    /// # Errors
    /// [`DoesNotFit`]: the planner cannot hold what it must hold of any plan. Nothing was read but the head and a footer.
    pub(crate) fn share(&self, head: &Head, differing: u64, capabilities: &Capabilities) -> Result<Share, DoesNotFit> {
        let (found, named) = (differing * FOUND_BYTES, named(head));
        let least = FIXED_BYTES + found + named * PLANNED_BYTES;
        self.planner.fits(|| format!("planning {named} changed records of {differing}"), least)?;
        self.janitor.fits(|| format!("folding {named} changed records"), Self::folding(head))?;
        // A part is completed to at least half as much again as must be in it.
        let planned = self.planner.records(FIXED_BYTES + found, PLANNED_BYTES) * 2 / 3;
        let committed = self.janitor.records(Self::folding(head), COMMITTED_BYTES) * 2 / 3;
        let most = |operation| capabilities.limits(operation).map_or(1, |limits| u64::from(limits.records.get()));
        let each = most(Operation::Add).max(most(Operation::Update));
        let at_most = planned.min(committed).min(CALLS.saturating_mul(each));
        let at_most = usize::try_from(at_most).unwrap_or(usize::MAX);
        let left = self.planner.bytes.saturating_sub(FIXED_BYTES + found);
        Ok(Share { at_most: at_most.min(self.at_most), fits: at_most.max(1), sent_bytes: left / 2 })
    }

    /// What a fold of what the head names takes of the janitor, beside the run.
    fn folding(head: &Head) -> u64 {
        FIXED_BYTES + 2 * LANE_BYTES + named(head) * FOLDED_BYTES
    }

    /// Whether the janitor can commit a run of so many rows: asked before anything of it is sent.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub(crate) fn commits(&self, head: &Head, rows: usize) -> Result<(), DoesNotFit> {
        let needed = Self::folding(head) + rows as u64 * COMMITTED_BYTES;
        self.janitor.fits(|| format!("committing a run of {rows} rows"), needed)
    }

    /// Whether a plan of the whole list fits: it is held as often as what differs, and all of it is sent.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub(crate) fn holds(&self, list: u64) -> Result<(), DoesNotFit> {
        let what = |does: &str| format!("{does} the whole list of {list} records in one run");
        self.planner.fits(|| what("planning"), FIXED_BYTES + list * PLANNED_BYTES)?;
        self.janitor.fits(|| what("committing"), FIXED_BYTES + 2 * LANE_BYTES + list * COMMITTED_BYTES)
    }

    /// What is said of records that must be in one run.
    pub(crate) fn too_many(&self, records: usize) -> DoesNotFit {
        let work = |does: &str| format!("{does} {records} records that leave the list or change identifiers");
        let records = records as u64 * 3 / 2;
        let planned = self.planner.lacks(work("planning"), FIXED_BYTES + records * PLANNED_BYTES);
        let committed =
            self.janitor.lacks(work("committing"), FIXED_BYTES + 2 * LANE_BYTES + records * COMMITTED_BYTES);
        if committed.has_mb < committed.needed_mb { committed } else { planned }
    }

    /// What is said of records that are sent together, and take so many bytes.
    pub(crate) fn sends_too_much(&self, records: usize, bytes: u64) -> DoesNotFit {
        let needed = FIXED_BYTES + 2 * bytes + records as u64 * PLANNED_BYTES;
        self.planner.lacks(format!("planning what is sent of {records} records"), needed)
    }
}

impl Share {
    pub(crate) fn cut<'c>(&self, sent: &'c Sent<'c>) -> Cut<'c> {
        Cut { at_most: self.at_most, fits: self.fits, sent }
    }
}
