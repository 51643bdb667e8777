//! Jobs: what a destination accepted and tells of later.

use core::fmt;
use std::collections::BTreeMap;

use async_trait::async_trait;
use driftless_model::{InFlight, RowOutcome};

/// The jobs of a call.
#[derive(Clone, Copy)]
pub struct Jobs<'a> {
    /// What earlier claims left in flight.
    pub in_flight: &'a [InFlight],
    /// Where a job is kept as soon as it is known.
    pub keeper: &'a dyn KeepJobs,
}

/// Everything that is known of a call while it is still claimed.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// What was accepted and has not ended.
    pub in_flight: Vec<InFlight>,
    /// Rows that have their last word.
    pub outcomes: BTreeMap<u32, RowOutcome>,
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

impl Jobs<'_> {
    /// No job is in flight, and none is kept.
    pub const NONE: Jobs<'static> = Jobs { in_flight: &[], keeper: &Forget };
}

impl fmt::Debug for Jobs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}
