//! When a sweep asks for a plan.

use driftless_config::{Schedule, Sync};
use driftless_delivery::{Message, Outgoing};
use driftless_deltalog::head::Head;
use driftless_deltalog::ledger::{Run, RunState};
use driftless_model::SyncId;

use crate::compare::plans_after;
use crate::error::Error;
use crate::sweep::{Janitor, RECENT_RUNS};

impl Janitor {
    /// After a commit, where the run left something that newer values have overtaken, or took only a part.
    pub(crate) async fn plan_after(&self, head: &Head, run: &Run) -> Result<(), Error> {
        let closed = matches!(run.state, RunState::Closing { .. });
        let (due, cause) = match run.compares {
            Some(compares) => (plans_after(head, run, compares), "compared"),
            None => (closed || head.version > run.through, "overtaken"),
        };
        if due {
            self.ask_for_plan(&head.sync, after(run), cause).await?;
        } else if run.rest.is_some_and(|rest| rest > 0) {
            self.ask_for_plan(&head.sync, after(run), THE_REST).await?;
        }
        Ok(())
    }

    async fn ask_for_plan(&self, sync: &SyncId, tick: String, cause: &str) -> Result<(), Error> {
        let message = Message::Plan { sync: sync.clone(), tick, cause: cause.to_owned(), after_ingest: true };
        Ok(self.queue.send(&self.planner_queue, &[Outgoing::from(&message)]).await?)
    }

    /// A run that took a part was committed, and we died before the next was asked for. The tick is the same: if it made a run,
    /// nothing comes of asking again.
    pub(crate) async fn go_on(&self, head: &Head) -> Result<(), Error> {
        // Only a bulk version is taken in parts, and it stays in the head until the last. Others cost no read.
        if head.versions.values().all(|version| version.bulk_object().is_none()) {
            return Ok(());
        }
        let last = self.log.runs(&head.sync, RECENT_RUNS).await?;
        let last = last.into_iter().find(|run| run.state != RunState::Abandoned);
        let since = self.clock.now().plus(-GO_ON);
        let left = |run: &Run| run.rest.is_some_and(|rest| rest > 0) && run.committed_at.is_some_and(|at| at > since);
        match last.filter(left) {
            Some(run) if head.active_run.is_none() => self.ask_for_plan(&head.sync, after(&run), THE_REST).await,
            _ => Ok(()),
        }
    }

    /// `on_change` with `max_wait`: changes that were too few to plan by themselves.
    pub(crate) async fn waited_long_enough(&self, head: &Head, config: &Sync) -> Result<(), Error> {
        let Schedule::OnChange(on) = &config.schedule else { return Ok(()) };
        let through = head.delivered.iter().map(|d| d.through).max().unwrap_or(0);
        let waiting = head.versions.range(through + 1..).map(|(_, v)| v.logged_at).min();
        let now = self.clock.now();
        match waiting {
            Some(since) if head.active_run.is_none() && since.plus(on.max_wait.as_millis()) <= now => {
                let tick = format!("waited-{}-{}", head.incarnation, head.version);
                self.ask_for_plan(&head.sync, tick, "on change").await
            }
            _ => Ok(()),
        }
    }
}

/// The tick of the run that follows one.
fn after(run: &Run) -> String {
    format!("after-{}", run.id)
}

/// Why the runs after the first of a large change are planned.
const THE_REST: &str = "the rest";

/// How long a sweep sees to it that a run has its successor, in milliseconds: some periods of the sweep.
const GO_ON: i64 = 3_600_000;
