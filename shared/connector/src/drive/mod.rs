//! The stack around a connector: pacing, retries within the deadline, `Retry-After`, bisecting, jobs that outlive a claim.
//!
//! The order matters. A slot of the rate budget is taken for every request, so retries and bisections cannot escape the
//! budget. No request starts after `stop_before` less its timeout, so none is in flight when the claim ends (protocol rule
//! 16). All waiting is the [`Pacer`]'s, all time the [`Clock`]'s: with both faked, a run is a function of the answers.

mod course;
mod jobs;
mod page;
mod rows;
mod segment;
mod turn;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use driftless_model::{Clock, InFlight, Millis, Operation, RowOutcome, Session};
use serde::{Deserialize, Serialize};

use crate::{Connector, OutRow, Pacer};
use course::Course;
pub use jobs::{Forget, Jobs, KeepJobs, Kept, NotKept};
pub use page::{ReadPage, read_page};
use turn::Turn;

/// A call to be delivered.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// What is asked for each row.
    pub operation: Operation,
    /// The rows, each with its number in the call. Suppressed ones are taken out already.
    pub rows: &'a [(u32, OutRow)],
    /// Names the call; the keys of its requests are derived from it.
    pub idempotency_base: &'a str,
    /// The end of the claim: no request starts later than this less its timeout.
    pub stop_before: Millis,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// An earlier claim of this call sent something and learned nothing ("maybe"): any row may have been applied.
    pub first_attempt_unsettled: bool,
    /// Its place in the session, where the run replaces the whole list.
    pub session: Option<Session>,
    /// [`Operation::Clear`]: whoever was put there last before this is taken out.
    pub before: Millis,
    /// Jobs of this call that earlier claims left, and where new ones are kept.
    pub jobs: Jobs<'a>,
}

impl<'a> Work<'a> {
    /// Rows to be sent for the first time, outside any session, by a caller who keeps no jobs.
    #[must_use]
    pub const fn new(operation: Operation, rows: &'a [(u32, OutRow)], idempotency_base: &'a str) -> Self {
        Self {
            operation,
            rows,
            idempotency_base,
            stop_before: Millis(i64::MAX),
            request_timeout: Duration::from_secs(30),
            first_attempt_unsettled: false,
            session: None,
            before: Millis(0),
            jobs: Jobs::NONE,
        }
    }
}

/// What became of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Driven {
    /// One outcome per row. [`driftless_model::Outcome::Unknown`] includes rows that were rejected after an attempt that may
    /// have been applied (protocol rule 4); [`driftless_model::Outcome::Retry`] rows are known not to be applied.
    pub outcomes: BTreeMap<u32, RowOutcome>,
    /// Rows that have their last word, an uncertain one included (protocol rule 4): they are not tried again in this run.
    pub last: BTreeSet<u32>,
    /// All requests made.
    pub requests: u32,
    /// Some row that is not in flight may have been applied without our knowing.
    pub unanswered: bool,
    /// Records that were refused without being named, by code: some of those that count as delivered.
    pub unnamed: BTreeMap<String, u64>,
    /// What was accepted and has not ended; to be kept with the call. Their rows are `Unknown` in `outcomes`.
    pub jobs: Vec<InFlight>,
    /// `None`: every row has its last word, and the call settles with these outcomes. `Some`: rows that are not among `last`
    /// are to be tried again.
    pub stop: Option<Stop>,
}

/// Why the stack stopped before every row had its last word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Stop {
    /// The destination, or the shared rate budget, has no room before this time.
    Throttled {
        /// When to come back.
        until: Millis,
        /// Why.
        reason: String,
    },
    /// The destination is down; nothing of the rest was applied.
    Down {
        /// Why.
        reason: String,
    },
    /// Login, permission or list are gone.
    Fatal {
        /// Why.
        reason: String,
    },
    /// No time is left for another request.
    Deadline,
    /// Everything is sent, and jobs are to be asked for at this time.
    Pending {
        /// When to come back.
        until: Millis,
    },
    /// The destination takes requests and does not answer.
    NoAnswer {
        /// Why.
        reason: String,
    },
}

/// Delivers a call as far as the claim reaches. See [`Driven`] for what holds afterwards, [`Stop`] for why it ended early.
///
/// Rows beyond the operation's limits are sent in several requests. Rows the connector refuses as a batch are bisected with
/// the fewest requests: a half is not sent as a whole when its other half went through.
///
/// A row that is accepted waits for its job, and is not sent again before that has ended. Within a session nothing is cut: a part
/// that is refused as a whole stops the call.
pub async fn drive(connector: &dyn Connector, pacer: &dyn Pacer, clock: &dyn Clock, work: Work<'_>) -> Driven {
    let turn = Turn::new(pacer, clock, work.stop_before, work.request_timeout);
    match Course::new(connector, turn, work) {
        Ok(course) => course.run().await,
        Err(driven) => driven,
    }
}

#[cfg(test)]
mod job_tests;
#[cfg(test)]
mod tests;
