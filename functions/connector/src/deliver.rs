//! One call: claim, send, record the outcome.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use driftless_connector::{
    Connector, Driven, Failure, Jobs, KeepJobs, Kept, ListState, NotKept, Pacer, Stop, Work, drive,
};
use driftless_delivery::{Message, Outgoing, Queue};
use driftless_deltalog::Deltalog;
use driftless_deltalog::head::Swap;
use driftless_deltalog::ledger::{Call, CallOutcome, Claimed, Run, RunState};
use driftless_model::{
    Clock, KeyHash, Meter, Millis, Operation, Outcome, RowOutcome, RunId, SyncId, Token, Tokens, Usage,
};
use driftless_objects::Objects;

use crate::clear::{clear, leave};
use crate::error::Error;
use crate::split::{Split, split};

/// Times that a delivery keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a claim lasts; longer than the function's timeout, so that a live worker never loses it.
    pub lease: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// The first wait of a parked run; it doubles with every parking in a row.
    pub park: Duration,
    /// The longest wait of a parked run.
    pub longest_park: Duration,
    /// How long a run waits when the destination refuses us: long enough for a person, short enough to heal by itself.
    pub refused_park: Duration,
    /// Throttled for longer than this, the run parks instead of the message waiting.
    pub patience: Duration,
}

/// What a delivery needs.
pub struct Delivery {
    /// The deltalog.
    pub log: Arc<dyn Deltalog>,
    /// The bucket.
    pub objects: Arc<dyn Objects>,
    /// The queues.
    pub queue: Arc<dyn Queue>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Private tokens.
    pub tokens: Arc<dyn Tokens>,
    /// The shared rate budget.
    pub pacer: Arc<dyn Pacer>,
    /// Counts what it uses.
    pub meter: Meter,
    /// Where sweeps are asked for.
    pub janitor_queue: String,
    /// The queue that this function drains: where a call comes back from that waits for a job.
    pub own_queue: String,
    /// See [`Timing`].
    pub timing: Timing,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Every row of the call has its last word.
    Settled {
        /// Rows acknowledged.
        delivered: u64,
        /// Rows refused, suppressed or uncertain.
        other: u64,
        /// API requests made.
        requests: u32,
    },
    /// Nothing to do: settled, closed, parked, not due yet, or no such call.
    Dropped,
    /// The run was parked; its messages are not needed any more.
    Parked,
    /// The destination has accepted rows and tells later; a delayed message comes back for them.
    Accepted {
        /// Then.
        until: Millis,
    },
    /// Come back: another worker has the call, the deadline is near, or rows are still open.
    Later(Duration),
}

impl Delivery {
    /// Works on one call of a run, as it was just read, with the connector for the list that it goes to ([`crate::list_of`]).
    ///
    /// * Dies before the claim: nothing happened. After it, before sending: the lease passes and the next claim is marked `maybe`,
    ///   which is more cautious than needed.
    /// * Dies after sending, before the outcome: the call is claimed again as `maybe` and sent again; add and remove are
    ///   repeatable. If the run is closed instead, its rows are uncertain.
    /// * Dies after the outcome: the redelivered message finds the call settled.
    /// * The outcome was written and we did not hear: the store recognises our claim's outcome.
    /// * Dies after rows were accepted, before the job was kept: the next claim is `maybe` and sends them again.
    /// * Dies after the job was kept: the next claim asks for it and sends nothing that it is about.
    /// * Dies before the message that comes back was sent: the janitor finds the job overdue and queues the call.
    ///
    /// While a run closes nothing is sent any more, but jobs are asked for: it is committed when none may still end
    /// (protocol rule 16).
    ///
    /// # Errors
    /// [`Error`]: the message should come back.
    pub async fn call(
        &self,
        connector: &dyn Connector,
        item: &Run,
        number: u32,
        deadline: Millis,
    ) -> Result<Delivered, Error> {
        let (sync, run) = (&item.sync, &item.id);
        if !is_worked_on(item) {
            return Ok(Delivered::Dropped);
        }
        if is_closing(item) && self.log.call(sync, run, number).await?.is_none_or(|call| call.jobs.is_empty()) {
            return Ok(Delivered::Dropped);
        }
        let token = self.tokens.token();
        let now = self.clock.now();
        let lease_until = now.plus(millis(self.timing.lease));
        let call = match self.log.claim(sync, run, number, &token, now, lease_until).await? {
            Claimed::Mine(call) => *call,
            Claimed::Busy { until } => return Ok(Delivered::Later(until_from(until, now))),
            Claimed::Settled => {
                self.ask_for_sweep(item).await?;
                return Ok(Delivered::Dropped);
            }
            Claimed::Missing => return Ok(Delivered::Dropped),
        };
        // A removal of the same record has not settled yet: the janitor queues this call when it has. Or everything waits for
        // jobs that are not to be asked for yet: another message comes when they are.
        if call.phase > item.phase || only_waits(&call, now) {
            let _: Swap = self.log.release(sync, &call, &token, call.maybe).await?;
            return Ok(Delivered::Dropped);
        }
        let rows = match call.operation.has_rows() || call.operation == Operation::Clear {
            true => {
                driftless_history::read_rows(self.objects.as_ref(), &item.changeset, call.first_row, call.rows).await?
            }
            false => Vec::new(),
        };
        let erased = self.erased(sync, call.operation).await?;
        // Claimed first, then the run is read again: closing sets its state, then looks at claims (protocol rule 16).
        let item = match self.working_run(sync, run).await? {
            Some(item) if !is_closing(&item) || !call.jobs.is_empty() => item,
            _ => {
                let _: Swap = self.log.release(sync, &call, &token, call.maybe).await?;
                return Ok(Delivered::Dropped);
            }
        };
        let stop_before = deadline.min(lease_until);
        if matches!(call.operation, Operation::Inspect | Operation::Prepare) {
            return match item.new_list.clone() {
                Some(name) => self.make_list(connector, &item, call, &token, &name).await,
                None => self.first(connector, &item, call, &token).await,
            };
        }
        if call.operation == Operation::List {
            return self.read_list(connector, &item, call, &token, stop_before).await;
        }
        let Split { mut outcomes, open, never_again } = split(&call, &rows, &erased, is_closing(&item))?;
        let base = format!("{run}-{number}");
        let keeper = Keeper { delivery: self, run: &item, call: &call, token: &token, before: &outcomes };
        let work = Work {
            stop_before,
            request_timeout: self.timing.request_timeout,
            first_attempt_unsettled: call.maybe,
            session: call.session,
            before: item.planned_at,
            jobs: Jobs { in_flight: &call.jobs, never_again: &never_again, keeper: &keeper },
            ..Work::new(call.operation, &open, &base)
        };
        let (pacer, clock) = (self.pacer.as_ref(), self.clock.as_ref());
        let driven = match call.operation {
            Operation::Clear if item.new_list.is_some() => leave(&work),
            Operation::Clear => clear(connector, pacer, clock, work).await,
            _ => drive(connector, pacer, clock, work).await,
        };
        outcomes.extend(driven.outcomes.clone());
        self.record(&item, call, &token, outcomes, driven).await
    }

    /// A run whose calls are worked on: it is open, or it closes and waits for its jobs.
    async fn working_run(&self, sync: &SyncId, run: &RunId) -> Result<Option<Run>, Error> {
        Ok(self.log.run(sync, run).await?.filter(is_worked_on))
    }

    /// Erased keys, checked right before sending: removals always go (protocol rule 13).
    async fn erased(&self, sync: &SyncId, operation: Operation) -> Result<BTreeSet<KeyHash>, Error> {
        if !operation.sends() {
            return Ok(BTreeSet::new());
        }
        match self.log.head(sync).await? {
            Some(head) => Ok(self.log.tombstones(&head.names.dataset).await?),
            None => Ok(BTreeSet::new()),
        }
    }

    /// Writes the outcome once if every row has its last word; else keeps what is final and gives the claim back.
    async fn record(
        &self,
        run: &Run,
        mut call: Call,
        token: &Token,
        mut outcomes: BTreeMap<u32, RowOutcome>,
        driven: Driven,
    ) -> Result<Delivered, Error> {
        let closing = is_closing(run);
        if driven.stop.is_none() && !closing {
            let known = self.known(&call, &outcomes, &driven.unnamed, driven.requests, self.used(&call, run));
            let requests = known.requests;
            let delivered = outcomes.values().filter(|o| o.outcome == Outcome::Delivered).count() as u64;
            let other = outcomes.len() as u64 - delivered;
            let settled = self.log.settle(&run.sync, &run.id, call.number, token, &known).await?;
            self.carried();
            if settled == Swap::Lost {
                return Ok(Delivered::Dropped);
            }
            self.ask_for_sweep(run).await?;
            return Ok(Delivered::Settled { delivered, other, requests });
        }
        outcomes.retain(|number, _| driven.last.contains(number) || !driven.outcomes.contains_key(number));
        let known = self.known(&call, &outcomes, &driven.unnamed, driven.requests, self.used(&call, run));
        call.progress_rows = outcomes.keys().copied().collect();
        call.progress = Some(known);
        call.jobs = driven.jobs;
        call.last_error = driven.stop.as_ref().and_then(reason).map(str::to_owned);
        let maybe = call.maybe || driven.unanswered;
        let released = self.log.release(&run.sync, &call, token, maybe).await?;
        self.carried();
        if released == Swap::Lost {
            return Ok(Delivered::Dropped);
        }
        match driven.stop {
            Some(stop) => self.stop(run, &call, stop).await,
            // The run closes: what was in flight has ended, and the rest is never sent.
            None => {
                self.sweep(run).await?;
                Ok(Delivered::Dropped)
            }
        }
    }

    /// Everything that is known of a call, with what earlier claims found out.
    pub(crate) fn known(
        &self,
        call: &Call,
        outcomes: &BTreeMap<u32, RowOutcome>,
        unnamed: &BTreeMap<String, u64>,
        requests: u32,
        usage: Usage,
    ) -> CallOutcome {
        let earlier = call.progress.as_ref();
        let mut all = earlier.map(|p| p.unnamed.clone()).unwrap_or_default();
        for (code, count) in unnamed {
            *all.entry(code.clone()).or_default() += count;
        }
        let requests = earlier.map_or(0, |p| p.requests) + requests;
        CallOutcome { unnamed: all, ..outcome(outcomes, requests, self.clock.now(), usage) }
    }

    /// What the call has used, over all claims, with the write that says so. What an earlier write did not carry is in it.
    pub(crate) fn used(&self, call: &Call, run: &Run) -> Usage {
        call.usage() + self.meter.take_for(&run.sync) + CARRIER
    }

    /// The write that said what was used has counted itself.
    pub(crate) fn carried(&self) {
        let after = self.meter.take();
        let write_units = after.write_units.saturating_sub(CARRIER.write_units);
        self.meter.count(Usage { write_units, ..after });
    }

    /// What a stop means for the run and the message.
    pub(crate) async fn stop(&self, run: &Run, call: &Call, stop: Stop) -> Result<Delivered, Error> {
        let now = self.clock.now();
        match stop {
            Stop::Deadline => Ok(Delivered::Later(Duration::from_secs(1))),
            Stop::Pending { until } => {
                self.come_back(run, call, until_from(until, now)).await?;
                Ok(Delivered::Accepted { until })
            }
            Stop::Throttled { until, reason } => {
                let wait = until_from(until, now);
                if wait <= self.timing.patience {
                    Ok(Delivered::Later(wait))
                } else {
                    self.park(run, reason, Some(until)).await
                }
            }
            // Several tries in a row brought no answer: it is as good as down, and receives are not for finding that out.
            Stop::Down { reason } | Stop::NoAnswer { reason } => {
                let doubled = self.timing.park.saturating_mul(1 << run.parkings.min(16));
                let wait = doubled.min(self.timing.longest_park);
                self.park(run, reason, Some(now.plus(millis(wait)))).await
            }
            Stop::Fatal { reason } => {
                let until = now.plus(millis(self.timing.refused_park));
                self.park(run, reason, Some(until)).await
            }
        }
    }

    /// Parks the run: its messages are acknowledged, the ledger is the work, and no receive is burnt while the destination is
    /// away. Lost: somebody parked or closed it before.
    async fn park(&self, run: &Run, reason: String, until: Option<Millis>) -> Result<Delivered, Error> {
        let parked = Run { state: RunState::Parked { reason, until }, parkings: run.parkings + 1, ..run.clone() };
        let _: Swap = self.log.update_run(&parked, &["open"]).await?;
        Ok(Delivered::Parked)
    }

    /// Before the first run, and while this call is claimed before any other: looks at the list and makes it ready.
    ///
    /// First-sync policy `refuse`: a list that can be read and is not empty was filled by somebody else. If we die after the
    /// list was created, the next claim finds it.
    async fn first(
        &self,
        connector: &dyn Connector,
        run: &Run,
        mut call: Call,
        token: &Token,
    ) -> Result<Delivered, Error> {
        let looked = match call.operation {
            Operation::Inspect => connector.inspect().await,
            _ => Ok(ListState::Unreadable),
        };
        let ready = match looked {
            Ok(ListState::Empty | ListState::Unreadable) => connector.prepare().await.map(|()| true),
            Ok(ListState::NotEmpty) => Ok(false),
            Err(failure) => Err(failure),
        };
        let stop = match ready {
            Ok(true) => {
                let usage = self.used(&call, run);
                let outcome = CallOutcome { requests: 1, at: self.clock.now(), usage, ..CallOutcome::default() };
                let _: Swap = self.log.settle(&run.sync, &run.id, call.number, token, &outcome).await?;
                self.carried();
                self.ask_for_sweep(run).await?;
                return Ok(Delivered::Settled { delivered: 0, other: 0, requests: 1 });
            }
            Ok(false) => None,
            Err(failure) => Some(self.stop_of(failure)),
        };
        let filled = "the list has members that driftless did not put there; empty it, or set \
                      `first_sync: ignore` and run `driftless apply`, then `driftless resume`";
        let why = stop.as_ref().map_or(Some(filled), reason);
        call.last_error = why.map(str::to_owned);
        let maybe = call.maybe;
        let _: Swap = self.log.release(&run.sync, &call, token, maybe).await?;
        match stop {
            Some(stop) => self.stop(run, &call, stop).await,
            None => self.park(run, filled.to_owned(), None).await,
        }
    }

    /// What a request that failed before any record was sent means for its call.
    pub(crate) fn stop_of(&self, failure: Failure) -> Stop {
        match failure {
            Failure::Throttled { after, reason } => {
                Stop::Throttled { until: self.clock.now().plus(millis(after.unwrap_or(self.timing.park))), reason }
            }
            Failure::Unavailable { reason } => Stop::Down { reason },
            other => Stop::Fatal { reason: other.to_string() },
        }
    }

    /// A new message comes for the call: one that waits longer than it may be received does not burn its receives.
    async fn come_back(&self, run: &Run, call: &Call, after: Duration) -> Result<(), Error> {
        let message = Message::Call {
            sync: run.sync.clone(),
            run: run.id.clone(),
            number: call.number,
            operation: call.operation,
            first_row: call.first_row,
            rows: call.rows,
            changeset: run.changeset.clone(),
        };
        let seconds = u32::try_from(after.as_secs()).unwrap_or(u32::MAX);
        Ok(self.queue.send(&self.own_queue, &[Outgoing::from(&message).delayed(seconds)]).await?)
    }

    /// Tells the janitor when the phase has no open call left. If we die before this line the periodic sweep finds it.
    pub(crate) async fn ask_for_sweep(&self, run: &Run) -> Result<(), Error> {
        if !self.log.has_open_calls(&run.sync, &run.id, run.phase).await? {
            self.sweep(run).await?;
        }
        Ok(())
    }

    pub(crate) async fn sweep(&self, run: &Run) -> Result<(), Error> {
        let sweep = Message::Sweep { sync: Some(run.sync.clone()), run: Some(run.id.clone()) };
        Ok(self.queue.send(&self.janitor_queue, &[Outgoing::from(&sweep)]).await?)
    }
}

/// Keeps jobs in the item of their call, under its claim.
struct Keeper<'a> {
    delivery: &'a Delivery,
    run: &'a Run,
    call: &'a Call,
    token: &'a Token,
    /// Rows that were final before this claim.
    before: &'a BTreeMap<u32, RowOutcome>,
}

#[async_trait]
impl KeepJobs for Keeper<'_> {
    async fn keep(&self, kept: &Kept) -> Result<(), NotKept> {
        let mut outcomes = self.before.clone();
        outcomes.extend(kept.outcomes.iter().map(|(number, row)| (*number, row.clone())));
        let (call, log) = (self.call, &self.delivery.log);
        let known = self.delivery.known(call, &outcomes, &kept.unnamed, kept.requests, call.usage());
        let with_jobs = Call {
            progress_rows: outcomes.keys().copied().collect(),
            progress: Some(known),
            jobs: kept.in_flight.clone(),
            ..call.clone()
        };
        match log.keep(&self.run.sync, &with_jobs, self.token, call.maybe || kept.unanswered).await {
            Ok(Swap::Done) => Ok(()),
            Ok(Swap::Lost) => Err(NotKept),
            Err(error) => {
                tracing::warn!(run_id = %self.run.id, call = call.number, %error, "accepted jobs could not be kept yet");
                Err(NotKept)
            }
        }
    }
}

fn is_worked_on(run: &Run) -> bool {
    run.state == RunState::Open || is_closing(run)
}

fn is_closing(run: &Run) -> bool {
    matches!(run.state, RunState::Closing { .. })
}

/// True if no row is to be sent and no job to be asked for yet.
fn only_waits(call: &Call, now: Millis) -> bool {
    let in_flight: BTreeSet<u32> = call.jobs.iter().flat_map(|job| job.rows.iter().copied()).collect();
    let known = call.progress_rows.len() + in_flight.len();
    !call.jobs.is_empty() && call.jobs.iter().all(|job| now < job.poll_at) && known >= call.rows as usize
}

/// The write of a call's outcome, whose item is small.
const CARRIER: Usage = Usage::of([0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);

/// Exceptions to "delivered", and the ids that the destination assigned.
fn outcome(outcomes: &BTreeMap<u32, RowOutcome>, requests: u32, at: Millis, usage: Usage) -> CallOutcome {
    let mut out = CallOutcome { requests, at, usage, ..CallOutcome::default() };
    for (number, o) in outcomes {
        if o.outcome == Outcome::Delivered {
            out.remote_ids.extend(o.remote_id.clone().map(|id| (*number, id)));
        } else {
            out.exceptions.insert(*number, o.clone());
        }
    }
    out
}

/// Why it stopped. Waiting for a job is no failure.
pub(crate) fn reason(stop: &Stop) -> Option<&str> {
    match stop {
        Stop::Throttled { reason, .. } | Stop::Down { reason } | Stop::Fatal { reason } | Stop::NoAnswer { reason } => {
            Some(reason)
        }
        Stop::Deadline => Some("the function's time was over"),
        Stop::Pending { .. } => None,
    }
}

fn until_from(until: Millis, now: Millis) -> Duration {
    Duration::from_millis(u64::try_from(until.0 - now.0).unwrap_or(0)) + Duration::from_secs(1)
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}
