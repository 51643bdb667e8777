//! Jobs: what a destination accepted and tells of later.
//!
//! Accepted is not delivered (DL-2). A job is kept with its rows as soon as it is known, and its rows are not sent again before
//! it has ended, or its time is over. It is asked for within the claim while the wait is short; else the claim ends, and the
//! next one asks before it sends.

use core::{fmt, time::Duration};
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use driftless_model::{InFlight, Millis, RemoteJob, RowOutcome};

/// The jobs of a call.
#[derive(Clone, Copy)]
pub struct Jobs<'a> {
    /// What earlier claims left in flight.
    pub in_flight: &'a [InFlight],
    /// Rows that are in flight and must not be sent again whatever becomes of their job: erased since, or of a run that is
    /// closing.
    pub never_again: &'a BTreeSet<u32>,
    /// Where a job is kept as soon as it is known.
    pub keeper: &'a dyn KeepJobs,
}

/// Everything that is known of a call while it is still claimed.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// What was accepted and has not ended.
    pub in_flight: Vec<InFlight>,
    /// Rows that have their last word, an uncertain one included.
    pub outcomes: BTreeMap<u32, RowOutcome>,
    /// Records that were refused without being named, by code.
    pub unnamed: BTreeMap<String, u64>,
    /// Requests made by this claim so far.
    pub requests: u32,
    /// Some row that is not in flight may have been applied without our knowing.
    pub unanswered: bool,
}

/// Keeps the jobs of a call, so that they are asked for by whoever claims it next.
///
/// If we die between an acceptance and this write, the next claim finds the call unsettled (`maybe`) and sends the rows again:
/// a job too much, which sets make harmless, and no row too few.
#[async_trait]
pub trait KeepJobs: Send + Sync {
    /// Replaces what is kept.
    ///
    /// # Errors
    /// [`NotKept`]: the claim is lost, or the store did not answer. Nothing more is sent in this claim.
    async fn keep(&self, kept: &Kept) -> Result<(), NotKept>;
}

/// The jobs could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the jobs of the call could not be kept")]
pub struct NotKept;

/// Keeps nothing: for callers that take [`crate::Driven::jobs`] and live until they have ended.
#[derive(Clone, Copy, Debug)]
pub struct Forget;

#[async_trait]
impl KeepJobs for Forget {
    async fn keep(&self, _: &Kept) -> Result<(), NotKept> {
        Ok(())
    }
}

static NOBODY: BTreeSet<u32> = BTreeSet::new();

impl Jobs<'_> {
    /// No job is in flight, and none is kept.
    pub const NONE: Jobs<'static> = Jobs { in_flight: &[], never_again: &NOBODY, keeper: &Forget };
}

impl fmt::Debug for Jobs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

/// The wait before a job is asked for first; it doubles with each time.
const FIRST_WAIT_MS: i64 = 5_000;
/// The longest wait between two questions: what a message can be delayed by.
const LONGEST_WAIT_MS: i64 = 900_000;
/// For longer than this a claim is not kept waiting.
const WORTH_WAITING_MS: i64 = 20_000;

/// The jobs that have not ended.
#[derive(Debug)]
pub(super) struct Flights(Vec<InFlight>);

impl Flights {
    pub(super) fn new(in_flight: &[InFlight]) -> Self {
        Self(in_flight.to_vec())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn all(&self) -> &[InFlight] {
        &self.0
    }

    pub(super) fn into_all(self) -> Vec<InFlight> {
        self.0
    }

    /// Takes out a job that is to be asked for now.
    pub(super) fn due(&mut self, now: Millis) -> Option<InFlight> {
        let at = self.0.iter().position(|job| job.poll_at <= now)?;
        Some(self.0.remove(at))
    }

    /// Puts a job back that was not asked for.
    pub(super) fn put_back(&mut self, job: InFlight) {
        self.0.push(job);
    }

    /// When the next one is to be asked for.
    pub(super) fn next(&self) -> Option<Millis> {
        self.0.iter().map(|job| job.poll_at).min()
    }

    /// The rows that are in flight.
    pub(super) fn rows(&self) -> BTreeSet<u32> {
        self.0.iter().flat_map(|job| job.rows.iter().copied()).collect()
    }

    pub(super) fn accepted(&mut self, job: RemoteJob, rows: Vec<u32>, now: Millis, timeout: Duration) {
        let timeout = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        self.0.push(InFlight {
            job,
            rows,
            since: now,
            until: now.plus(timeout),
            poll_at: now.plus(FIRST_WAIT_MS),
            polls: 0,
        });
    }

    /// Puts a job back that has not ended, or could not be asked for.
    pub(super) fn again(&mut self, job: InFlight, now: Millis, after: Option<Duration>) {
        let doubled = FIRST_WAIT_MS << (job.polls + 1).min(10);
        let asked = after.map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let wait = asked.unwrap_or(doubled).clamp(1_000, LONGEST_WAIT_MS);
        self.0.push(InFlight { poll_at: now.plus(wait), polls: job.polls.saturating_add(1), ..job });
    }
}

/// True if a claim is kept waiting until then.
pub(super) fn is_worth_waiting(now: Millis, until: Millis) -> bool {
    until.0 - now.0 <= WORTH_WAITING_MS
}
