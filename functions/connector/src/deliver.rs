//! One call: claim, send, record the outcome.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use driftless_changeset::PlannedRow;
use driftless_connector::{Connector, Driven, ListState, OutRow, Pacer, Stop, Work, drive};
use driftless_delivery::{Message, Outgoing, Queue};
use driftless_deltalog::Deltalog;
use driftless_deltalog::head::Swap;
use driftless_deltalog::ledger::{Call, CallOutcome, Claimed, Run, RunState};
use driftless_model::{
    Clock, KeyHash, Meter, Millis, Operation, Outcome, RowOutcome, RunId, SyncId, Token, Tokens, Usage,
};
use driftless_objects::Objects;

use crate::error::Error;

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
    /// Come back: another worker has the call, the deadline is near, or rows are still open.
    Later(Duration),
}

impl Delivery {
    /// Works on one call of a run.
    ///
    /// * Dies before the claim: nothing happened. After it, before sending: the lease passes and the next claim is marked `maybe`,
    ///   which is more cautious than needed.
    /// * Dies after sending, before the outcome: the call is claimed again as `maybe` and sent again; add and remove are
    ///   repeatable. If the run is closed instead, its rows are uncertain.
    /// * Dies after the outcome: the redelivered message finds the call settled.
    /// * The outcome was written and we did not hear: the store recognises our claim's outcome.
    ///
    /// # Errors
    /// [`Error`]: the message should come back.
    pub async fn call(
        &self,
        connector: &dyn Connector,
        sync: &SyncId,
        run: &RunId,
        number: u32,
        deadline: Millis,
    ) -> Result<Delivered, Error> {
        let Some(item) = self.open_run(sync, run).await? else { return Ok(Delivered::Dropped) };
        let token = self.tokens.token();
        let now = self.clock.now();
        let lease_until = now.plus(millis(self.timing.lease));
        let call = match self.log.claim(sync, run, number, &token, now, lease_until).await? {
            Claimed::Mine(call) => *call,
            Claimed::Busy { until } => return Ok(Delivered::Later(until_from(until, now))),
            Claimed::Settled => {
                self.ask_for_sweep(&item).await?;
                return Ok(Delivered::Dropped);
            }
            Claimed::Missing => return Ok(Delivered::Dropped),
        };
        if call.phase > item.phase {
            // A removal of the same record has not settled yet; the janitor queues this call when it has.
            let _: Swap = self.log.release(sync, &call, &token, call.maybe).await?;
            return Ok(Delivered::Dropped);
        }
        let rows =
            driftless_history::read_rows(self.objects.as_ref(), &item.changeset, call.first_row, call.rows).await?;
        let erased = self.erased(sync, call.operation).await?;
        // Claimed first, then the run is read again: closing sets its state, then looks at claims (protocol rule 16).
        let Some(item) = self.open_run(sync, run).await? else {
            let _: Swap = self.log.release(sync, &call, &token, call.maybe).await?;
            return Ok(Delivered::Dropped);
        };
        let stop_before = deadline.min(lease_until);
        if matches!(call.operation, Operation::Inspect | Operation::Prepare) {
            return self.first(connector, &item, call, &token).await;
        }
        let (mut outcomes, open) = split(&call, &rows, &erased)?;
        let base = format!("{run}-{number}");
        let work = Work {
            stop_before,
            request_timeout: self.timing.request_timeout,
            first_attempt_unsettled: call.maybe,
            session: call.session,
            before: item.planned_at,
            ..Work::new(call.operation, &open, &base)
        };
        let driven = drive(connector, self.pacer.as_ref(), self.clock.as_ref(), work).await;
        outcomes.extend(driven.outcomes.clone());
        self.record(&item, call, &token, outcomes, driven).await
    }

    async fn open_run(&self, sync: &SyncId, run: &RunId) -> Result<Option<Run>, Error> {
        Ok(self.log.run(sync, run).await?.filter(|r| r.state == RunState::Open))
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
        outcomes: BTreeMap<u32, RowOutcome>,
        driven: Driven,
    ) -> Result<Delivered, Error> {
        let requests = call.progress.as_ref().map_or(0, |p| p.requests) + driven.requests;
        let usage = self.used(&call, run);
        let Some(stop) = driven.stop else {
            let outcome = outcome(&outcomes, requests, self.clock.now(), usage);
            let delivered = outcomes.values().filter(|o| o.outcome == Outcome::Delivered).count() as u64;
            let other = outcomes.len() as u64 - delivered;
            let settled = self.log.settle(&run.sync, &run.id, call.number, token, &outcome).await?;
            self.carried();
            if settled == Swap::Lost {
                return Ok(Delivered::Dropped);
            }
            self.ask_for_sweep(run).await?;
            return Ok(Delivered::Settled { delivered, other, requests });
        };
        let last: BTreeMap<u32, RowOutcome> = outcomes.into_iter().filter(|(_, o)| o.outcome.is_final()).collect();
        call.progress_rows = last.keys().copied().collect();
        call.progress = Some(outcome(&last, requests, self.clock.now(), usage));
        call.last_error = Some(reason(&stop).to_owned());
        let maybe = call.maybe || driven.unanswered;
        let released = self.log.release(&run.sync, &call, token, maybe).await?;
        self.carried();
        if released == Swap::Lost {
            return Ok(Delivered::Dropped);
        }
        self.stop(run, stop).await
    }

    /// What the call has used, over all claims, with the write that says so. What an earlier write did not carry is in it.
    fn used(&self, call: &Call, run: &Run) -> Usage {
        call.usage() + self.meter.take_for(&run.sync) + CARRIER
    }

    /// The write that said what was used has counted itself.
    fn carried(&self) {
        let after = self.meter.take();
        let write_units = after.write_units.saturating_sub(CARRIER.write_units);
        self.meter.count(Usage { write_units, ..after });
    }

    /// What a stop means for the run and the message.
    async fn stop(&self, run: &Run, stop: Stop) -> Result<Delivered, Error> {
        let now = self.clock.now();
        match stop {
            Stop::Deadline => Ok(Delivered::Later(Duration::from_secs(1))),
            Stop::Pending { until } => Ok(Delivered::Later(until_from(until, now))),
            Stop::Throttled { until, reason } => {
                let wait = until_from(until, now);
                if wait <= self.timing.patience {
                    Ok(Delivered::Later(wait))
                } else {
                    self.park(run, reason, until).await
                }
            }
            // Several tries in a row brought no answer: it is as good as down, and receives are not for finding that out.
            Stop::Down { reason } | Stop::NoAnswer { reason } => {
                let doubled = self.timing.park.saturating_mul(1 << run.parkings.min(16));
                let wait = doubled.min(self.timing.longest_park);
                self.park(run, reason, now.plus(millis(wait))).await
            }
            Stop::Fatal { reason } => {
                let until = now.plus(millis(self.timing.refused_park));
                self.park(run, reason, until).await
            }
        }
    }

    /// Parks the run: its messages are acknowledged, the ledger is the work, and no receive is burnt while the destination is
    /// away. Lost: somebody parked or closed it before.
    async fn park(&self, run: &Run, reason: String, until: Millis) -> Result<Delivered, Error> {
        let parked =
            Run { state: RunState::Parked { reason, until: Some(until) }, parkings: run.parkings + 1, ..run.clone() };
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
        let parked = |reason: String, until: Option<Millis>| Run {
            state: RunState::Parked { reason, until },
            parkings: run.parkings + 1,
            ..run.clone()
        };
        let looked = match call.operation {
            Operation::Inspect => connector.inspect().await,
            _ => Ok(ListState::Unreadable),
        };
        let ready = match looked {
            Ok(ListState::Empty | ListState::Unreadable) => connector.prepare().await.map(|()| true),
            Ok(ListState::NotEmpty) => Ok(false),
            Err(failure) => Err(failure),
        };
        let refused = match ready {
            Ok(true) => {
                let usage = self.used(&call, run);
                let outcome = CallOutcome { requests: 1, at: self.clock.now(), usage, ..CallOutcome::default() };
                let _: Swap = self.log.settle(&run.sync, &run.id, call.number, token, &outcome).await?;
                self.carried();
                self.ask_for_sweep(run).await?;
                return Ok(Delivered::Settled { delivered: 0, other: 0, requests: 1 });
            }
            Ok(false) => {
                let reason = "the list has members that driftless did not put there; empty it, or set \
                              `first_sync: ignore` and run `driftless apply`, then `driftless resume`";
                parked(reason.to_owned(), None)
            }
            Err(failure) => {
                let until = self.clock.now().plus(millis(self.timing.park));
                parked(failure.to_string(), Some(until))
            }
        };
        if let RunState::Parked { reason, .. } = &refused.state {
            call.last_error = Some(reason.clone());
        }
        let maybe = call.maybe;
        let _: Swap = self.log.release(&run.sync, &call, token, maybe).await?;
        let _: Swap = self.log.update_run(&refused, &["open"]).await?;
        Ok(Delivered::Parked)
    }

    /// Tells the janitor when the phase has no open call left. If we die before this line the periodic sweep finds it.
    async fn ask_for_sweep(&self, run: &Run) -> Result<(), Error> {
        if !self.log.has_open_calls(&run.sync, &run.id, run.phase).await? {
            let sweep = Message::Sweep { sync: Some(run.sync.clone()), run: Some(run.id.clone()) };
            self.queue.send(&self.janitor_queue, &[Outgoing::from(&sweep)]).await?;
        }
        Ok(())
    }
}

/// The write of a call's outcome, whose item is small.
const CARRIER: Usage = Usage::of([0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);

type OpenRows = Vec<(u32, OutRow)>;

/// Rows that are final already (from an earlier claim, or because they are erased), and those to be sent.
fn split(
    call: &Call,
    rows: &[PlannedRow],
    erased: &BTreeSet<KeyHash>,
) -> Result<(BTreeMap<u32, RowOutcome>, OpenRows), Error> {
    let mut outcomes = BTreeMap::new();
    let mut open = Vec::new();
    for (number, row) in (0u32..).zip(rows) {
        if call.progress_rows.binary_search(&number).is_ok() {
            let kept = call.progress.as_ref();
            let exception = kept.and_then(|p| p.exceptions.get(&number)).cloned();
            let remote_id = kept.and_then(|p| p.remote_ids.get(&number)).cloned();
            outcomes.insert(number, exception.unwrap_or(RowOutcome { outcome: Outcome::Delivered, remote_id }));
        } else if row.operation.sends() && erased.contains(&row.key_hash) {
            outcomes.insert(number, Outcome::Suppressed.into());
        } else {
            let fields = match &row.fields {
                None => serde_json::Map::new(),
                Some(json) => serde_json::from_str(json)
                    .map_err(|_| Error::Payload { row: call.first_row + u64::from(number) })?,
            };
            let out = OutRow {
                key: row.key.clone(),
                identifiers: row.identifiers.clone(),
                remote_id: row.remote_id.clone(),
                fields,
            };
            open.push((number, out));
        }
    }
    Ok((outcomes, open))
}

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

fn reason(stop: &Stop) -> &str {
    match stop {
        Stop::Throttled { reason, .. } | Stop::Down { reason } | Stop::Fatal { reason } | Stop::NoAnswer { reason } => {
            reason
        }
        Stop::Deadline => "the function's time was over",
        Stop::Pending { .. } => "accepted; what became of it is told later",
    }
}

fn until_from(until: Millis, now: Millis) -> Duration {
    Duration::from_millis(u64::try_from(until.0 - now.0).unwrap_or(0)) + Duration::from_secs(1)
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}
