//! Whether a commit fits the janitor.

use driftless_deltalog::head::{Attention, Head};
use driftless_deltalog::ledger::Run;
use driftless_state::room::{DoesNotFit, committing, named};

use crate::error::Error;
use crate::sweep::Janitor;

impl Janitor {
    /// Asked before anything of the run is read. What does not fit is said, once, with the setting to change; the run stays as it is,
    /// and the next sweep asks again.
    pub(crate) async fn fits(&self, head: &Head, run: &Run) -> Result<bool, Error> {
        let rows = run.counts.adds + run.counts.updates + run.counts.removals;
        let lanes = self.lanes.count().max(1) as u64;
        let needed = committing(rows, named(head), lanes);
        let told = head.attention.as_ref().map(|attention| attention.reason.as_str());
        match self.memory.fits(|| format!("committing a run of {rows} rows"), needed) {
            Ok(()) => {
                if told.is_some_and(|reason| DoesNotFit::is_about(reason, self.memory.setting)) {
                    self.log.set_attention(&head.sync, head.incarnation, None).await?;
                }
                Ok(true)
            }
            Err(problem) => {
                let reason = problem.to_string();
                tracing::error!(sync_id = %head.sync, run_id = %run.id, reason, "a run cannot be committed");
                if told != Some(&reason) {
                    let attention = Attention { reason, since: self.clock.now() };
                    self.log.set_attention(&head.sync, head.incarnation, Some(&attention)).await?;
                }
                Ok(false)
            }
        }
    }
}
