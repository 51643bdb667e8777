//! How much one run may be: as much as the planner can hold, and the janitor after it.

use driftless_connector::Capabilities;
use driftless_deltalog::head::{Attention, Head};
use driftless_model::Operation;
use driftless_state::room::{COMMITTED_BYTES, DoesNotFit, Memory, PLANNED_BYTES, committing, named, planning};
use driftless_state::{Cut, Sent};

use crate::error::Error;
use crate::plan::{Planned, Planner};

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

/// Of a janitor: as many processors as the smallest function sees.
const LANES: u64 = 2;

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
        let named = named(head);
        self.planner.fits(|| format!("planning {named} changed records"), planning(named, differing))?;
        self.janitor.fits(|| format!("folding {named} changed records"), Self::folding(head))?;
        let planned = self.planner.records(planning(0, differing), PLANNED_BYTES);
        let committed = self.janitor.records(Self::folding(head), COMMITTED_BYTES);
        let most = |operation| capabilities.limits(operation).map_or(1, |limits| u64::from(limits.records.get()));
        let each = most(Operation::Add).max(most(Operation::Update));
        let at_most = planned.min(committed).min(CALLS.saturating_mul(each));
        let at_most = usize::try_from(at_most).unwrap_or(usize::MAX);
        let left = self.planner.bytes.saturating_sub(planning(0, differing));
        // An eighth is for those who can wait.
        let fits = (at_most - at_most / 8).max(1);
        Ok(Share { at_most: at_most.min(self.at_most), fits, sent_bytes: left / 2 })
    }

    /// What a fold of what the head names takes of the janitor, beside the run.
    fn folding(head: &Head) -> u64 {
        committing(0, named(head), LANES)
    }

    /// Whether the janitor can commit a run of so many rows: asked before anything of it is sent.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub(crate) fn commits(&self, head: &Head, rows: usize) -> Result<(), DoesNotFit> {
        let needed = committing(rows as u64, named(head), LANES);
        self.janitor.fits(|| format!("committing a run of {rows} rows"), needed)
    }

    /// Whether a plan of the whole list fits: it is held as often as what differs, and all of it is sent.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub(crate) fn holds(&self, list: u64) -> Result<(), DoesNotFit> {
        let what = |does: &str| format!("{does} the whole list of {list} records in one run");
        self.planner.fits(|| what("planning"), planning(list, list))?;
        self.janitor.fits(|| what("committing"), committing(list, 0, LANES))
    }

    /// What is said of records that must be in one run.
    pub(crate) fn too_many(&self, records: usize) -> DoesNotFit {
        let work = |does: &str| format!("{does} {records} records that leave the list or change identifiers");
        let records = records as u64 * 9 / 8;
        let planned = self.planner.lacks(work("planning"), planning(records, records));
        let committed = self.janitor.lacks(work("committing"), committing(records, 0, LANES));
        if committed.has_mb < committed.needed_mb { committed } else { planned }
    }

    /// What is said of records that are sent together, and take so many bytes.
    pub(crate) fn sends_too_much(&self, records: usize, bytes: u64) -> DoesNotFit {
        let needed = 2 * bytes + planning(records as u64, 0);
        self.planner.lacks(format!("planning what is sent of {records} records"), needed)
    }
}

impl Planner {
    pub(crate) async fn does_not_fit(&self, head: &Head, problem: &DoesNotFit) -> Result<Planned, Error> {
        let attention = Attention { reason: problem.to_string(), since: self.clock.now() };
        self.log.set_attention(&head.sync, head.incarnation, Some(&attention)).await?;
        Ok(Planned::NeedsAttention)
    }

    /// What did not fit before does so now: somebody raised the memory, or less differs.
    pub(crate) async fn fits_again(&self, head: &Head) -> Result<(), Error> {
        let told = head.attention.as_ref().map(|attention| attention.reason.as_str());
        let ours = [self.room.planner.setting, self.room.janitor.setting];
        if told.is_some_and(|reason| ours.iter().any(|setting| DoesNotFit::is_about(reason, setting))) {
            self.log.set_attention(&head.sync, head.incarnation, None).await?;
        }
        Ok(())
    }
}

impl Share {
    pub(crate) fn cut<'c>(&self, sent: &'c Sent<'c>) -> Cut<'c> {
        Cut { at_most: self.at_most, fits: self.fits, sent }
    }
}
