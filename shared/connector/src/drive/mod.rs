//! The stack around a connector: pacing, retries within the deadline, `Retry-After`, bisecting.
//!
//! The order matters. A slot of the rate budget is taken for every request, so retries and bisections cannot escape the
//! budget. No request starts after `stop_before` less its timeout, so none is in flight when the claim ends (protocol rule
//! 16). All waiting is the [`Pacer`]'s, all time the [`Clock`]'s: with both faked, a run is a function of the answers.

mod jobs;
mod rows;
mod segment;
mod turn;

use core::time::Duration;
use std::collections::BTreeMap;

use driftless_model::{Clock, InFlight, Millis, Operation, RowOutcome, Session};
use serde::{Deserialize, Serialize};

use crate::{Answered, Batch, Connector, OutRow, Pacer};
pub use jobs::{Forget, Jobs, KeepJobs, Kept, NotKept};
use rows::Rows;
use segment::Segments;
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
#[derive(Clone, Debug, PartialEq)]
pub struct Driven {
    /// One outcome per row. [`driftless_model::Outcome::Unknown`] includes rows that were rejected after an attempt that may
    /// have been applied (protocol rule 4); [`driftless_model::Outcome::Retry`] rows are known not to be applied.
    pub outcomes: BTreeMap<u32, RowOutcome>,
    /// All requests made.
    pub requests: u32,
    /// Some row may have been applied without our knowing.
    pub unanswered: bool,
    /// What was accepted and has not ended; to be kept with the call. Their rows are `Unknown` in `outcomes`.
    pub jobs: Vec<InFlight>,
    /// `None`: every row has its last word, and the call settles with these outcomes. `Some`: rows that are `Retry` or
    /// `Unknown` are to be tried again.
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

/// Requests for the same rows that may fail in a row within one claim. The next claim starts afresh.
const TRIES: u32 = 4;
/// The wait after the first failure; it doubles with each.
const FIRST_WAIT_MS: i64 = 1_000;
/// The longest wait between two tries.
const LONGEST_WAIT_MS: i64 = 30_000;
/// The longest wait that a destination can ask for: a wrong number must not silence a sync for good.
const LONGEST_ASKED_MS: i64 = 24 * 3_600_000;

/// Delivers a call as far as the claim reaches. See [`Driven`] for what holds afterwards, [`Stop`] for why it ended early.
///
/// Rows beyond the operation's limits are sent in several requests. Rows the connector refuses as a batch are bisected with
/// the fewest requests: a half is not sent as a whole when its other half went through.
pub async fn drive(connector: &dyn Connector, pacer: &dyn Pacer, clock: &dyn Clock, work: Work<'_>) -> Driven {
    let capabilities = connector.capabilities();
    let turn = Turn::new(pacer, clock, work.stop_before, work.request_timeout);
    let mut rows = Rows::new(work.rows, work.first_attempt_unsettled);
    let Some(limits) = capabilities.limits(work.operation) else {
        return rows.refused_all(format!("the destination cannot {}", work.operation));
    };
    if work.first_attempt_unsettled && !capabilities.repeatable {
        // Whatever was sent must not be sent again, and we do not know what that was.
        return rows.finish(0, None);
    }
    let mut segments = Segments::new(work.rows.len(), limits.records.get());
    let mut requests = 0;
    let mut failures = 0;
    let stop = loop {
        let Some(segment) = segments.next(|rows_of| connector.fits(work.operation, &rows.batch(rows_of))) else {
            break None;
        };
        if let Err(stop) = turn.enter().await {
            break Some(stop);
        }
        let batch_rows = rows.batch(segment.rows());
        let key = rows.idempotency_key(work.idempotency_base, work.operation, segment.rows());
        let batch = Batch {
            operation: work.operation,
            rows: &batch_rows,
            idempotency_key: &key,
            session: work.session,
            timeout: work.request_timeout,
            gate: &turn,
        };
        let answer = connector.send(&batch).await;
        requests += answer.requests;
        let (open, verdict) = rows.settle(segment.rows(), answer.is);
        if let Some(stop) = turn.stopped() {
            break Some(stop);
        }
        match verdict {
            Answered::Rows(_) | Answered::Partly { .. } if open.is_empty() => {
                failures = 0;
                segments.went_through(&segment, rows.any_rejected(segment.rows()));
            }
            Answered::BatchRejected { reason } => {
                failures = 0;
                match open.as_slice() {
                    [row] => {
                        rows.reject(*row, reason);
                        segments.went_through(&segment, true);
                    }
                    _ => segments.bisect(&segment, open),
                }
            }
            Answered::Fatal { reason } => break Some(Stop::Fatal { reason }),
            Answered::NoAnswer { .. } if !capabilities.repeatable => {
                failures += 1;
                if failures == TRIES {
                    break Some(Stop::NoAnswer { reason: "several requests in a row".into() });
                }
            }
            again => {
                failures += 1;
                let until = turn.later(wait(failures, &again));
                let asked = matches!(again, Answered::Throttled { .. });
                if (!asked && failures == TRIES) || !turn.reaches(until) {
                    break Some(stop_of(again, until));
                }
                segments.again(&segment, open);
                turn.sleep_until(until).await;
            }
        }
    };
    rows.finish(requests, stop)
}

/// How long to wait before the next try: what was asked for, else doubling.
fn wait(failures: u32, answered: &Answered) -> i64 {
    let asked = match answered {
        Answered::Throttled { after, .. } => after.map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
        _ => None,
    };
    let doubling = FIRST_WAIT_MS << (failures.saturating_sub(1)).min(10);
    asked.map_or(doubling.min(LONGEST_WAIT_MS), |ms| ms.clamp(1, LONGEST_ASKED_MS))
}

fn stop_of(answered: Answered, until: Millis) -> Stop {
    match answered {
        Answered::Throttled { reason, .. } => Stop::Throttled { until, reason },
        Answered::NoAnswer { reason } => Stop::NoAnswer { reason },
        Answered::Unavailable { reason } | Answered::BatchRejected { reason } | Answered::Fatal { reason } => {
            Stop::Down { reason }
        }
        Answered::Accepted { .. } | Answered::Pending { .. } => Stop::Pending { until },
        // Only some rows are to be tried again, so the destination is not down.
        Answered::Rows(_) | Answered::Partly { .. } => {
            Stop::Throttled { until, reason: "some records are to be tried again".into() }
        }
    }
}

#[cfg(test)]
mod tests;
