//! The run after one that took a part of what differs.

use driftless_deltalog::head::Head;
use driftless_deltalog::ledger::{Run, RunState};

use crate::error::Error;
use crate::sweep::{Janitor, RECENT_RUNS};

/// The tick of the run that follows one.
pub(crate) fn after(run: &Run) -> String {
    format!("after-{}", run.id)
}

/// Why the runs after the first of a large change are planned.
pub(crate) const THE_REST: &str = "the rest";

/// How long a sweep sees to it that a run has its successor, in milliseconds: some periods of the sweep.
const GO_ON: i64 = 3_600_000;

impl Janitor {
    /// A run that took a part was committed, and we died before the next was asked for. The tick is the same: if it made a run,
    /// nothing comes of asking again.
    pub(crate) async fn go_on(&self, head: &Head) -> Result<(), Error> {
        let last = self.log.runs(&head.sync, RECENT_RUNS).await?;
        let last = last.into_iter().find(|run| run.state != RunState::Abandoned);
        let since = self.clock.now().plus(-GO_ON);
        let left = |run: &Run| run.rest.is_some_and(|rest| rest > 0) && run.committed_at.is_some_and(|at| at > since);
        match last.filter(left) {
            Some(run) if head.active_run.is_none() => self.ask_for_plan(&head.sync, after(&run), THE_REST).await,
            _ => Ok(()),
        }
    }
}
