use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use driftless_model::{Clock, Operation, RowOutcome};

use crate::{Connector, InFlight, Jobs, KeepJobs, Kept, NotKept, OutRow, Pacer, Stop, Work, drive};

/// One call, delivered as the connector function does it: claimed until it settles, its last words kept between claims.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What is asked for each row.
    pub operation: Operation,
    /// The rows, each with its number.
    pub rows: &'a [(u32, OutRow)],
    /// Names the call.
    pub key: &'a str,
    /// How long one request may take.
    pub timeout: Duration,
    /// The most claims.
    pub claims: u32,
}

/// What is known of a call after its claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// One per row.
    pub outcomes: BTreeMap<u32, RowOutcome>,
    /// All requests made.
    pub requests: u32,
    /// `None`: it settled. `Some`: why the last claim ended before.
    pub stop: Option<Stop>,
    /// A row without last word may have been applied.
    pub maybe: bool,
    /// What was accepted and has not ended.
    pub jobs: Vec<InFlight>,
}

/// The item of a call, as far as jobs are concerned.
#[derive(Default)]
struct Item(Mutex<Option<Kept>>);

#[async_trait]
impl KeepJobs for Item {
    async fn keep(&self, kept: &Kept) -> Result<(), NotKept> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept.clone());
        Ok(())
    }
}

/// How long a claim lasts, in virtual milliseconds.
const LEASE_MS: i64 = 600_000;

impl Settled {
    /// A call that nobody claimed.
    #[must_use]
    pub const fn unclaimed() -> Self {
        Self { outcomes: BTreeMap::new(), requests: 0, stop: Some(Stop::Deadline), maybe: false, jobs: Vec::new() }
    }
}

impl Call<'_> {
    /// Claims the call until it settles or the claims are used up. `dies` is asked after each claim: true means that the
    /// function died before it wrote what it had learned.
    pub async fn settle(
        &self,
        connector: &dyn Connector,
        pacer: &dyn Pacer,
        clock: &dyn Clock,
        dies: &mut (dyn FnMut() -> bool + Send),
    ) -> Settled {
        let mut settled = Settled::unclaimed();
        for _ in 0..self.claims {
            let is_open = |number: &u32| settled.outcomes.get(number).is_none_or(|row| !row.outcome.is_final());
            let open: Vec<_> = self.rows.iter().filter(|(number, _)| is_open(number)).cloned().collect();
            let (item, jobs, nobody) = (Item::default(), settled.jobs.clone(), BTreeSet::new());
            let work = Work {
                stop_before: clock.now().plus(LEASE_MS),
                request_timeout: self.timeout,
                first_attempt_unsettled: settled.maybe,
                jobs: Jobs { in_flight: &jobs, never_again: &nobody, keeper: &item },
                ..Work::new(self.operation, &open, self.key)
            };
            let driven = drive(connector, pacer, clock, work).await;
            settled.requests += driven.requests;
            if dies() {
                // What was kept under the claim is all that the next one knows.
                settled.maybe = true;
                if let Some(kept) = item.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
                    let last = kept.outcomes.into_iter().filter(|(_, row)| row.outcome.is_final());
                    settled.outcomes.extend(last);
                    settled.jobs = kept.in_flight;
                }
                continue;
            }
            settled.maybe |= driven.unanswered;
            settled.outcomes.extend(driven.outcomes);
            settled.jobs = driven.jobs;
            settled.stop = driven.stop;
            match &settled.stop {
                None => break,
                Some(Stop::Throttled { until, .. } | Stop::Pending { until }) => pacer.sleep_until(*until).await,
                Some(_) => pacer.sleep_until(clock.now().plus(LEASE_MS)).await,
            }
        }
        settled
    }
}
