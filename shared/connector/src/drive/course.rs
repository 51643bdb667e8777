//! One call on its way: what is to be sent, what is in flight, what is known.

use core::time::Duration;
use std::collections::BTreeMap;

use driftless_model::{InFlight, Millis, Operation};

use super::jobs::{Flights, is_worth_waiting};
use super::rows::{Left, Rows};
use super::segment::{Segment, Segments};
use super::turn::Turn;
use super::{Driven, Kept, Stop, Work};
use crate::budget::Heard;
use crate::{Answered, Batch, Capabilities, Connector, Limits, Replace};

/// Requests for the same rows that may fail in a row within one claim. The next claim starts afresh.
pub(super) const TRIES: u32 = 4;
/// The wait after the first failure; it doubles with each.
pub(super) const FIRST_WAIT_MS: i64 = 1_000;
/// The longest wait between two tries.
const LONGEST_WAIT_MS: i64 = 30_000;
/// The longest wait that a destination can ask for: a wrong number must not silence a sync for good.
pub(super) const LONGEST_ASKED_MS: i64 = 24 * 3_600_000;
/// The wait before jobs are asked for that could not be in this claim.
const NEXT_CLAIM_MS: i64 = 1_000;

/// A call on its way.
pub(super) struct Course<'a> {
    connector: &'a dyn Connector,
    turn: Turn<'a>,
    work: Work<'a>,
    rows: Rows<'a>,
    segments: Segments,
    flights: Flights,
    unnamed: BTreeMap<String, u64>,
    requests: u32,
    /// Answers in a row that said nothing of any row.
    failures: u32,
}

impl<'a> Course<'a> {
    /// A call that begins, or goes on; or what became of one that cannot.
    #[expect(clippy::result_large_err, reason = "not an error: the other way to be done with a call, made once")]
    pub(super) fn new(connector: &'a dyn Connector, turn: Turn<'a>, work: Work<'a>) -> Result<Self, Driven> {
        let capabilities = connector.capabilities();
        let mut rows = Rows::new(work.rows, work.first_attempt_unsettled);
        let flights = Flights::new(work.jobs.in_flight);
        let in_flight: Vec<u32> = flights.rows().into_iter().collect();
        rows.fly(&rows.indexes(&in_flight), true);
        let segments = match work.operation {
            // What was accepted is asked for before anything is sent again.
            Operation::Clear if !flights.is_empty() => Segments::default(),
            Operation::Clear if clears(capabilities) => Segments::without_rows(),
            Operation::Clear => {
                let stop = Stop::Fatal { reason: "the destination cannot clear a list".into() };
                return Err(rows.finish(0, BTreeMap::new(), flights.into_all(), Some(stop)));
            }
            // A part whose rows were all taken out is sent all the same: it may open or close the session.
            _ if work.session.is_some() && work.rows.is_empty() => Segments::without_rows(),
            _ => match limits(capabilities, &work) {
                // Whatever was sent must not be sent again, and we do not know what that was.
                Some(_) if work.first_attempt_unsettled && !capabilities.repeatable => Segments::default(),
                Some(limits) => Segments::new(&rows.to_send(), limits.records.get()),
                None => {
                    rows.refuse_all(&format!("the destination cannot {}", work.operation));
                    return Err(rows.finish(0, BTreeMap::new(), Vec::new(), None));
                }
            },
        };
        Ok(Self { connector, turn, work, rows, segments, flights, unnamed: BTreeMap::new(), requests: 0, failures: 0 })
    }

    pub(super) async fn run(mut self) -> Driven {
        let stop = loop {
            let step = if let Some(job) = self.flights.due(self.turn.now()) {
                self.ask(job).await
            } else if let Some(segment) = self.next() {
                self.send(segment).await
            } else if let Some(at) = self.flights.next() {
                self.wait(at).await
            } else {
                break None;
            };
            if let Err(stop) = step {
                break Some(stop);
            }
        };
        self.rows.finish(self.requests, self.unnamed, self.flights.into_all(), stop)
    }

    fn next(&mut self) -> Option<Segment> {
        let Self { connector, work, rows, segments, .. } = self;
        segments.next(|rows_of| work.session.is_some() || connector.fits(work.operation, &rows.batch(rows_of)))
    }

    /// Sends a segment and takes in the answer.
    async fn send(&mut self, segment: Segment) -> Result<(), Stop> {
        self.turn.enter().await?;
        let rows = self.rows.batch(segment.rows());
        let key = self.rows.idempotency_key(self.work.idempotency_base, self.work.operation, segment.rows());
        let batch = self.batch(&rows, &key);
        let answer = match self.work.operation {
            Operation::Clear => self.connector.clear(self.work.before, &batch).await,
            _ => self.connector.send(&batch).await,
        };
        self.requests += answer.requests;
        self.count(&answer.is);
        let Left { open, aside, verdict } = self.rows.settle(segment.rows(), answer.is);
        if let Some(stop) = self.turn.stopped() {
            return Err(stop);
        }
        let repeatable = self.connector.capabilities().repeatable;
        let away = self.turn.away();
        match verdict {
            Answered::Rows(_) | Answered::Partly { .. } | Answered::RowsButUnnamed { .. } if open.is_empty() => {
                self.failures = 0;
                self.segments.went_through(&segment, self.rows.any_rejected(segment.rows()));
                Ok(())
            }
            Answered::Accepted { job } => {
                let numbers = self.rows.numbers(&open);
                self.rows.fly(&open, true);
                self.flights.accepted(job, numbers, self.turn.now(), self.connector.capabilities().job_timeout);
                self.send_again(aside);
                self.keep().await
            }
            Answered::BatchRejected { reason } => {
                self.failures = 0;
                self.refused(&segment, open, reason)
            }
            Answered::Fatal { reason } => Err(Stop::Fatal { reason }),
            Answered::NoAnswer { reason } if !repeatable => {
                self.failed("several requests in a row")?;
                // The next rows wait, too.
                if let Some(until) = away {
                    if !self.turn.reaches(until) {
                        return Err(Stop::Throttled { until, reason });
                    }
                    self.turn.sleep_until(until).await;
                }
                Ok(())
            }
            again => {
                self.failures += 1;
                if let Answered::Throttled { after, reason } = &again {
                    self.turn.tell(Heard::Throttled { after: *after, reason: reason.clone() }).await;
                }
                let until = self.turn.later(wait(self.failures, &again)).max(away.unwrap_or(Millis(0)));
                let asked = away.is_some() || matches!(again, Answered::Throttled { .. });
                if (!asked && self.failures == TRIES) || !self.turn.reaches(until) {
                    return Err(stop_of(again, until, away.is_some()));
                }
                self.segments.again(&segment, open);
                self.turn.sleep_until(until).await;
                Ok(())
            }
        }
    }

    fn refused(&mut self, segment: &Segment, open: Vec<usize>, reason: String) -> Result<(), Stop> {
        match open.as_slice() {
            [row] => {
                self.rows.reject(*row, reason);
                self.segments.went_through(segment, true);
            }
            [] => return Err(Stop::Fatal { reason }),
            _ if self.work.session.is_some() => return Err(Stop::Fatal { reason }),
            _ => self.segments.bisect(open),
        }
        Ok(())
    }

    /// Asks what became of a job.
    async fn ask(&mut self, job: InFlight) -> Result<(), Stop> {
        if let Err(stop) = self.turn.enter().await {
            self.flights.put_back(job);
            // Nothing but the question is left, and a message that is only delayed burns no receive.
            let only = stop == Stop::Deadline && self.segments.is_empty();
            return Err(if only { Stop::Pending { until: self.turn.later(NEXT_CLAIM_MS) } } else { stop });
        }
        let indexes = self.rows.indexes(&job.rows);
        let rows = self.rows.batch(&indexes);
        let key = self.rows.idempotency_key(self.work.idempotency_base, self.work.operation, &indexes);
        let answer = self.connector.poll(&job.job, &self.batch(&rows, &key)).await;
        self.requests += answer.requests;
        if let Some(stop) = self.turn.stopped() {
            self.flights.put_back(job);
            return Err(stop);
        }
        if let Answered::Throttled { after, reason } = &answer.is {
            self.turn.tell(Heard::Throttled { after: *after, reason: reason.clone() }).await;
        }
        if let Answered::Fatal { reason } = answer.is {
            self.flights.again(job, self.turn.now(), None);
            return Err(Stop::Fatal { reason });
        }
        let away = self
            .turn
            .away()
            .map(|until| Duration::from_millis(until.0.saturating_sub(self.turn.now().0).unsigned_abs()));
        let told = match told(answer.is, rows.len()) {
            Answered::Pending { after } => Answered::Pending { after: after.max(away) },
            said => said,
        };
        self.count(&told);
        let Left { open, aside, verdict } = self.rows.settle(&indexes, told);
        if let Answered::Pending { after } = verdict {
            let told: Vec<usize> = indexes.into_iter().filter(|index| !open.contains(index)).collect();
            self.rows.fly(&told, false);
            self.send_again(aside);
            return self.not_yet(InFlight { rows: self.rows.numbers(&open), ..job }, &open, after);
        }
        self.rows.fly(&indexes, false);
        match verdict {
            Answered::BatchRejected { reason } => {
                let open = self.without_never_again(open);
                match open.as_slice() {
                    [row] => self.rows.reject(*row, reason),
                    [] if !indexes.is_empty() => {}
                    _ if open.is_empty() || self.work.session.is_some() => return Err(Stop::Fatal { reason }),
                    _ => self.segments.bisect(open),
                }
            }
            // The destination does not know the job any more: what it accepted may have been applied, and goes out again.
            Answered::NoAnswer { .. } => {
                self.rows.doubt(&open);
                if !self.connector.capabilities().repeatable {
                    self.rows.lose(&open);
                    return Ok(());
                }
                self.send_again(open);
                return self.failed("jobs are accepted and forgotten");
            }
            _ => self.send_again(open),
        }
        self.failures = 0;
        Ok(())
    }

    /// A job has not ended, or could not be asked for.
    fn not_yet(&mut self, job: InFlight, open: &[usize], after: Option<Duration>) -> Result<(), Stop> {
        let now = self.turn.now();
        if job.lives(now) {
            self.flights.again(job, now, after);
            return Ok(());
        }
        self.rows.fly(open, false);
        self.rows.lose(open);
        if self.work.operation == Operation::Clear {
            return Err(Stop::NoAnswer { reason: "a job that clears the list did not end in its time".into() });
        }
        Ok(())
    }

    /// Waits for the next question within the claim, or says when the next claim is to put it.
    async fn wait(&mut self, at: Millis) -> Result<(), Stop> {
        if !is_worth_waiting(self.turn.now(), at) || !self.turn.reaches(at) {
            return Err(Stop::Pending { until: at });
        }
        self.turn.sleep_until(at).await;
        Ok(())
    }

    /// Keeps what is in flight before anything else happens. If it cannot be kept nothing more is sent: who claims next finds
    /// the last word that was written.
    async fn keep(&mut self) -> Result<(), Stop> {
        let kept = Kept {
            in_flight: self.flights.all().to_vec(),
            outcomes: self.rows.settled(),
            unnamed: self.unnamed.clone(),
            requests: self.requests,
            unanswered: self.rows.unanswered(),
        };
        self.work.jobs.keeper.keep(&kept).await.map_err(|_| Stop::Deadline)
    }

    fn failed(&mut self, what: &str) -> Result<(), Stop> {
        self.failures += 1;
        if self.failures == TRIES { Err(Stop::NoAnswer { reason: what.to_owned() }) } else { Ok(()) }
    }

    /// Rows that came back go out again, but for those that must not.
    fn send_again(&mut self, rows: Vec<usize>) {
        let rows = self.without_never_again(rows);
        if !rows.is_empty() {
            self.segments.add(rows);
        }
    }

    fn without_never_again(&mut self, rows: Vec<usize>) -> Vec<usize> {
        let never = &self.work.jobs.never_again;
        let (lost, rows): (Vec<usize>, Vec<usize>) =
            rows.into_iter().partition(|&i| self.rows.numbers(&[i]).iter().any(|number| never.contains(number)));
        self.rows.lose(&lost);
        rows
    }

    fn count(&mut self, answered: &Answered) {
        match answered {
            Answered::RowsButUnnamed { refused } => {
                for (code, count) in refused {
                    *self.unnamed.entry(code.clone()).or_default() += count;
                }
            }
            Answered::Partly { rest, .. } => self.count(rest),
            _ => {}
        }
    }

    fn batch<'b>(&'b self, rows: &'b [crate::OutRow], key: &'b str) -> Batch<'b> {
        Batch {
            operation: self.work.operation,
            rows,
            idempotency_key: key,
            session: self.work.session,
            timeout: self.work.request_timeout,
            gate: &self.turn,
        }
    }
}

fn clears(capabilities: &Capabilities) -> bool {
    matches!(capabilities.replace, Some(Replace::ClearFirst | Replace::ClearAfter))
}

fn limits(capabilities: &Capabilities, work: &Work<'_>) -> Option<Limits> {
    match (work.session, capabilities.replace) {
        (Some(_), Some(Replace::Session { limits, .. })) => Some(limits),
        (Some(_), _) => None,
        (None, _) => capabilities.limits(work.operation),
    }
}

/// What a job's answer says of its rows. What is only about the question is `Pending`: it is put again.
fn told(answered: Answered, rows: usize) -> Answered {
    let later = |after| Answered::Pending { after };
    match answered {
        Answered::Rows(outcomes) if outcomes.len() != rows => later(None),
        Answered::Partly { rows: outcomes, .. } if outcomes.len() != rows => later(None),
        Answered::Partly { rows: outcomes, rest } => {
            Answered::Partly { rows: outcomes, rest: Box::new(told(*rest, rows)) }
        }
        Answered::Throttled { after, .. } => later(after),
        Answered::Unavailable { .. }
        | Answered::NoAnswer { .. }
        | Answered::Accepted { .. }
        | Answered::Fatal { .. } => later(None),
        said => said,
    }
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

fn stop_of(answered: Answered, until: Millis, away: bool) -> Stop {
    match answered {
        Answered::Throttled { reason, .. } => Stop::Throttled { until, reason },
        // It said for how long.
        Answered::NoAnswer { reason } | Answered::Unavailable { reason } if away => Stop::Throttled { until, reason },
        Answered::NoAnswer { reason } => Stop::NoAnswer { reason },
        Answered::Unavailable { reason } | Answered::BatchRejected { reason } | Answered::Fatal { reason } => {
            Stop::Down { reason }
        }
        // Only some rows are to be tried again, so the destination is not down.
        _ => Stop::Throttled { until, reason: "some records are to be tried again".into() },
    }
}
