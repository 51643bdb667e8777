use core::time::Duration;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use driftless_model::{Clock, InFlight, Operation, RowOutcome, Session};

use crate::{Connector, Jobs, KeepJobs, Kept, NotKept, OutRow, Pacer, Stop, Work, drive};

/// One call, delivered as the connector function does it: claimed until it settles, its jobs and last words kept between claims.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What is asked for each row.
    pub operation: Operation,
    /// The rows, each with its number.
    pub rows: &'a [(u32, OutRow)],
    /// Names the call.
    pub key: &'a str,
    /// Its place in the session, where the whole list is replaced.
    pub session: Option<Session>,
    /// How long one request may take.
    pub timeout: Duration,
    /// The most claims; those that only ask for jobs are not counted.
    pub claims: u32,
}

/// What is known of a call after its claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// One per row that was claimed.
    pub outcomes: BTreeMap<u32, RowOutcome>,
    /// All requests made.
    pub requests: u32,
    /// `None`: it settled. `Some`: why the last claim ended before.
    pub stop: Option<Stop>,
    /// A row without last word may have been applied.
    pub maybe: bool,
    /// What was accepted and has not ended.
    pub in_flight: Vec<InFlight>,
}

/// How long a claim lasts, in virtual milliseconds.
const LEASE_MS: i64 = 600_000;
/// A job that has not ended after so many claims is one that never ends.
const POLLS: u32 = 1_000;

/// Where a claim keeps its jobs.
#[derive(Default)]
struct Keeper(Mutex<Option<Kept>>);

#[async_trait]
impl KeepJobs for Keeper {
    async fn keep(&self, kept: &Kept) -> Result<(), NotKept> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept.clone());
        Ok(())
    }
}

impl Settled {
    /// A call that nobody claimed.
    #[must_use]
    pub const fn unclaimed() -> Self {
        Self { outcomes: BTreeMap::new(), requests: 0, stop: Some(Stop::Deadline), maybe: false, in_flight: Vec::new() }
    }
}

impl Call<'_> {
    /// Claims the call until it settles or the claims are used up. `dies` is asked after each claim: true means that the
    /// function died before it wrote what it had learned, but for the jobs, which it keeps at once.
    pub async fn settle(
        &self,
        connector: &dyn Connector,
        pacer: &dyn Pacer,
        clock: &dyn Clock,
        dies: &mut (dyn FnMut() -> bool + Send),
    ) -> Settled {
        let mut settled = Settled::unclaimed();
        let (mut claims, mut polls) = (0, 0);
        let mut last: BTreeSet<u32> = BTreeSet::new();
        // A run does not close while a job is in flight, so jobs are asked for beyond the last claim.
        while (claims < self.claims || !settled.in_flight.is_empty()) && polls < POLLS {
            let open: Vec<_> = self.rows.iter().filter(|(number, _)| !last.contains(number)).cloned().collect();
            let (keeper, nobody) = (Keeper::default(), BTreeSet::new());
            let work = Work {
                stop_before: clock.now().plus(LEASE_MS),
                request_timeout: self.timeout,
                first_attempt_unsettled: settled.maybe,
                session: self.session,
                jobs: Jobs { in_flight: &settled.in_flight, never_again: &nobody, keeper: &keeper },
                ..Work::new(self.operation, &open, self.key)
            };
            let driven = drive(connector, pacer, clock, work).await;
            settled.requests += driven.requests;
            if claims < self.claims && dies() {
                claims += 1;
                settled.maybe = true;
                if let Some(kept) = keeper.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
                    settled.in_flight = kept.in_flight;
                    last.extend(kept.outcomes.keys());
                    settled.outcomes.extend(kept.outcomes);
                }
                continue;
            }
            settled.maybe |= driven.unanswered;
            last.extend(&driven.last);
            settled.outcomes.extend(driven.outcomes);
            settled.in_flight = driven.jobs;
            settled.stop = driven.stop;
            match &settled.stop {
                None => break,
                Some(Stop::Pending { until }) => {
                    polls += 1;
                    pacer.sleep_until(*until).await;
                }
                Some(Stop::Throttled { until, .. }) => {
                    claims += 1;
                    pacer.sleep_until(*until).await;
                }
                Some(_) => {
                    claims += 1;
                    pacer.sleep_until(clock.now().plus(LEASE_MS)).await;
                }
            }
        }
        settled
    }
}
