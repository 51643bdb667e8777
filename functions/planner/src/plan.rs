//! One run of one sync: from the head to queued calls.

use std::sync::Arc;

use driftless_changeset::{Changeset, Net};
use driftless_config::Destination;
use driftless_connector::capabilities_of;
use driftless_delivery::{Message, Outgoing, Queue, sending};
use driftless_deltalog::Deltalog;
use driftless_deltalog::head::{ActivationGuard, Attention, Head, Hold, Swap, Tick};
use driftless_deltalog::ledger::{Call, Counts, Reject, Run, RunState};
use driftless_deltalog::registry::SyncEntry;
use driftless_history::ChangesetParts;
use driftless_model::{Clock, Disposition, KeyHash, Meter, Millis, Operation, RunId, SyncId, Tokens, Usage};
use driftless_objects::Objects;
use driftless_runtime::chain;
use driftless_snapshot::{HashKey, Limits};
use driftless_state::room::DoesNotFit;
use driftless_state::{SyncState, documents, names};

use crate::calls::{Rows, lay_out, messages};
use crate::decide::Decision;
use crate::error::Error;
pub use crate::request::{Asked, Planned, Request};
use crate::room::Room;
use crate::setting::{Setting, first_call};
use crate::strategy::Way;

/// What a plan needs.
pub struct Planner {
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
    /// Keys the hashes of record keys and attributes.
    pub hash_key: HashKey,
    /// What a snapshot's files may ask for.
    pub limits: Limits,
    /// Counts what it uses.
    pub meter: Meter,
    /// How much one run may be.
    pub room: Room,
    /// Where ingest requests go.
    pub ingest_queue: String,
    /// Where requests come back from that met something in their way.
    pub own_queue: String,
    /// Where sweeps are asked for.
    pub janitor_queue: String,
}

/// A tick's claim outlives every redelivery: Scheduler retries for a day, SQS keeps for 14.
const TICK_DAYS: i64 = 30;
const DAY_MS: i64 = 86_400_000;

impl Planner {
    /// Plans a run if D differs from A (US 2025/0265237 \[0061\] ff., FIG. 5).
    ///
    /// The order of writes is the repair plan (protocol rule 9): run item → changeset → calls → activate → send. Until
    /// activation nothing is visible to anyone; if we die before it, the run is abandoned and the redelivered tick plans
    /// again. If we die after it, the janitor queues the open calls. The same tick twice makes one run (rule 15). A plan that was
    /// overtaken loses at activation (rule 8).
    ///
    /// # Errors
    /// [`Error`]: no run was activated, or its calls may not be queued; the message should come back.
    pub async fn plan(&self, request: &Request) -> Result<Planned, Error> {
        let Some(entry) = self.log.sync(&request.sync).await?.filter(|e| !e.paused) else { return Ok(Planned::Idle) };
        if self.log.tick_claimed(&request.sync, &request.tick).await? {
            return Ok(Planned::Repeated);
        }
        let head = self.log.head(&request.sync).await?.filter(|h| h.incarnation == entry.incarnation);
        if let Some(run) = head.as_ref().and_then(|h| h.active_run.clone()) {
            if self.is_in_the_way(request, &run).await? {
                return self.come_back(request).await;
            }
            return self.hand_over(&entry, run).await;
        }
        let stale = head.as_ref().is_none_or(|h| h.config.epoch < entry.config.epoch);
        if request.look_for_snapshot && (stale || self.unseen_snapshot(&entry, head.as_ref()).await?) {
            return self.ingest_first(&entry, request).await;
        }
        let Some(head) = head.filter(|h| h.snapshot.is_some() && !stale) else { return Ok(Planned::Idle) };
        if head.config.epoch > entry.config.epoch {
            // Applied and ingested after we had read the registry: payloads would be mapped the old way under new hashes.
            return Ok(Planned::Overtaken);
        }
        let setting = self.setting(entry).await?;
        if let Some(planned) = self.compare_first(request, &head, &setting).await? {
            return Ok(planned);
        }
        self.run(request, &head, &setting).await
    }

    /// An active run: the janitor resumes, closes or commits it.
    async fn hand_over(&self, entry: &SyncEntry, run: RunId) -> Result<Planned, Error> {
        let sweep = Message::Sweep { sync: Some(entry.sync.clone()), run: Some(run) };
        self.queue.send(&self.janitor_queue, &[Outgoing::from(&sweep)]).await?;
        Ok(Planned::Busy)
    }

    async fn unseen_snapshot(&self, entry: &SyncEntry, head: Option<&Head>) -> Result<bool, Error> {
        let newest = match driftless_snapshot::locate::newest(self.objects.as_ref(), &entry.dataset).await {
            Ok(newest) => newest,
            Err(e) if e.is_refusal() => None,
            Err(e) => return Err(e.into()),
        };
        let seen = head.and_then(|h| h.snapshot.as_ref());
        Ok(newest.is_some_and(|(_, s)| seen.is_none_or(|seen| s.order > seen.order)))
    }

    async fn ingest_first(&self, entry: &SyncEntry, request: &Request) -> Result<Planned, Error> {
        let message = Message::Ingest {
            dataset: entry.dataset.clone(),
            sync: Some(entry.sync.clone()),
            cause: request.cause.clone(),
            then_plan: Some(request.tick.clone()),
        };
        self.queue.send(&self.ingest_queue, &[Outgoing::from(&message)]).await?;
        Ok(Planned::IngestFirst)
    }

    pub(crate) async fn setting(&self, entry: SyncEntry) -> Result<Setting, Error> {
        let config = documents::sync(self.objects.as_ref(), &entry).await?;
        let destinations = self.log.destinations().await?;
        let destination = destinations
            .into_iter()
            .find(|d| d.destination == entry.destination)
            .ok_or_else(|| Error::NoDestination { destination: entry.destination.to_string() })?;
        let described: Destination = documents::destination(self.objects.as_ref(), &destination).await?;
        let capabilities = capabilities_of(&described);
        Ok(Setting { entry, config, destination, capabilities })
    }

    async fn run(&self, request: &Request, head: &Head, setting: &Setting) -> Result<Planned, Error> {
        let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), head);
        let decision = match self.decide(head, setting, &state).await {
            Err(Error::DoesNotFit(e)) => return self.does_not_fit(head, &e).await,
            decided => decided?,
        };
        if let Err(e) = self.room.commits(head, decision.net.sends.len() + decision.net.removals.len()) {
            return self.does_not_fit(head, &e).await;
        }
        self.fits_again(head).await?;
        self.write_holds(head, setting, &decision).await?;
        if decision.net.is_empty() {
            return Ok(Planned::InSync);
        }
        let wanted = decision.net.sends.len() as u64;
        let mut decision = decision;
        let payloads = match self.payloads(head, setting, &mut decision).await {
            Ok(payloads) if payloads.found() == wanted => payloads,
            Ok(payloads) => {
                let missing = wanted - payloads.found();
                let problem = format!("{missing} of {wanted} records are no longer in the snapshot");
                return self.needs_attention(head, &problem).await;
            }
            Err(Error::Snapshot(e)) if e.disposition() == Disposition::Reject => {
                // Gone, or no longer what was ingested: nothing is sent.
                return self.needs_attention(head, &chain(&e)).await;
            }
            Err(Error::DoesNotFit(e)) => return self.does_not_fit(head, &e).await,
            Err(e) => return Err(e),
        };
        decision.leaves(payloads.later);
        let mut rows = lay_out(&decision.net, payloads.by_key, &setting.capabilities, decision.way);
        if !rows.oversized.is_empty() && decision.way.leaves_nobody_else() {
            // Who cannot be sent would be dropped although A has an older state of them: the list is not replaced.
            let wanted = decision.way.strategy().as_str();
            decision.way = Way::FullThenRemove;
            decision.strategy =
                format!("full_then_remove, not {wanted}: some records are larger than a request may be");
            let payloads = self.payloads(head, setting, &mut decision).await?.by_key;
            rows = lay_out(&decision.net, payloads, &setting.capabilities, decision.way);
        }
        if let Some(rest) = &mut decision.rest {
            rows.end_with_full_calls(&setting.capabilities, rest);
        }
        let now = self.clock.now();
        let id = RunId::new(format!("r{}-{}", head.incarnation, self.tokens.token()));
        for o in &rows.oversized {
            let reason = "oversized".to_owned();
            let reject = Reject {
                key_hash: o.key_hash,
                attr_hash: o.attr_hash,
                attempts: 0,
                last_run: id.clone(),
                reason,
                at: now,
            };
            self.log.count_reject(&head.sync, &reject).await?;
        }
        if rows.rows.is_empty() && decision.net.transfers_due == 0 {
            return Ok(Planned::InSync);
        }
        let first = first_call(head, setting, decision.way).filter(|_| !rows.rows.is_empty());
        let calls = rows.calls(&id, &setting.capabilities, first);
        let mut run = self.run_item(request, head, setting, &decision, &rows, &calls, id, now);
        run.usage = self.meter.take_for(&head.sync) + still_to_come(head, &run, &calls);
        let changeset = Changeset { rows: rows.rows, transfers: decision.net.transfers };
        self.activate(request, head, setting, run, changeset, &calls).await
    }

    #[allow(clippy::too_many_arguments)] // a constructor: one argument a source
    fn run_item(
        &self,
        request: &Request,
        head: &Head,
        setting: &Setting,
        decision: &Decision,
        rows: &Rows,
        calls: &[Call],
        id: RunId,
        now: Millis,
    ) -> Run {
        let new_list = matches!(decision.way, Way::NewList { .. }).then(|| new_list_name(&head.sync, &id));
        Run {
            calls: u32::try_from(calls.len()).unwrap_or(u32::MAX),
            phases: calls.iter().map(|c| c.phase).max().unwrap_or(0) + 1,
            phase: calls.iter().map(|c| c.phase).min().unwrap_or(0),
            counts: counts(&decision.net, rows),
            rest: decision.rest.map(|rest| rest.waiting()),
            strategy: decision.strategy.clone(),
            new_list,
            ..blank(request, head, setting, id, now)
        }
    }

    /// Run item → changeset → calls → activate → send.
    #[allow(clippy::too_many_arguments)] // the last step: everything that planning found out
    pub(crate) async fn activate(
        &self,
        request: &Request,
        head: &Head,
        setting: &Setting,
        run: Run,
        changeset: Changeset,
        calls: &[Call],
    ) -> Result<Planned, Error> {
        let sync = &head.sync;
        let _: Swap = self.log.put_run(&run).await?;
        if let Err(e) = self.objects.create_from(&run.changeset, &mut ChangesetParts::new(&changeset)?).await {
            return Err(e.of_maker::<driftless_history::Error>().map_or_else(Error::from, Error::from));
        }
        self.log.put_calls(sync, calls).await?;
        let guard = ActivationGuard {
            incarnation: head.incarnation,
            version: head.version,
            stamp: head.stamp.clone(),
            epoch: head.config.epoch,
            delivered: head.delivered.len(),
        };
        let expires_at = self.clock.now().plus(TICK_DAYS * DAY_MS).epoch_seconds();
        let tick = Tick { id: request.tick.clone(), expires_at };
        if self.log.activate(sync, &run.id, &guard, &tick).await? == Swap::Lost {
            let abandoned = Run { state: RunState::Abandoned, ..run };
            let _: Swap = self.log.update_run(&abandoned, &["open"]).await?;
            return Ok(Planned::Overtaken);
        }
        if calls.is_empty() {
            // Only identifiers change hands: the commit does it.
            self.hand_over(&setting.entry, run.id.clone()).await?;
        }
        self.queue.send(&setting.destination.queue_url, &messages(&run, calls, run.phase)).await?;
        Ok(Planned::Run { run: run.id, calls: run.calls })
    }

    async fn needs_attention(&self, head: &Head, problem: &str) -> Result<Planned, Error> {
        let reason = format!("{problem}; drop a new snapshot, then run `driftless sync now {}`", head.sync);
        let attention = Attention { reason, since: self.clock.now() };
        self.log.set_attention(&head.sync, head.incarnation, Some(&attention)).await?;
        Ok(Planned::NeedsAttention)
    }

    async fn does_not_fit(&self, head: &Head, problem: &DoesNotFit) -> Result<Planned, Error> {
        let attention = Attention { reason: problem.to_string(), since: self.clock.now() };
        self.log.set_attention(&head.sync, head.incarnation, Some(&attention)).await?;
        Ok(Planned::NeedsAttention)
    }

    /// What did not fit before does so now: somebody raised the memory, or less differs.
    async fn fits_again(&self, head: &Head) -> Result<(), Error> {
        let told = head.attention.as_ref().map(|attention| attention.reason.as_str());
        let ours = [self.room.planner.setting, self.room.janitor.setting];
        if told.is_some_and(|reason| ours.iter().any(|setting| DoesNotFit::is_about(reason, setting))) {
            self.log.set_attention(&head.sync, head.incarnation, None).await?;
        }
        Ok(())
    }

    /// A run-level hold is placed before anything is planned around it; holds that hold nobody any more are dropped.
    async fn write_holds(&self, head: &Head, setting: &Setting, decision: &Decision) -> Result<(), Error> {
        if let Some((keys, reason)) = &decision.run_hold {
            let object = names::hold(&head.sync, setting.entry.incarnation, &self.tokens.token());
            self.objects.create(&object, driftless_history::encode_holds(keys)?).await?;
            let hold = Hold {
                object,
                count: keys.len() as u64,
                reason: reason.clone(),
                since: self.clock.now(),
                approved_at: None,
            };
            let number = Head::run_hold(head.version);
            // Lost: the state moved, or the hold is there; either way activation is checked against what was read.
            let _: Swap = self.log.place_hold(&head.sync, &head.guard(), number, &hold).await?;
        }
        for (number, object) in &decision.over {
            let _: Swap = self.log.drop_hold(&head.sync, *number, object).await?;
        }
        Ok(())
    }
}

/// A run that is planned from a head and has nothing to do yet.
pub(crate) fn blank(request: &Request, head: &Head, setting: &Setting, id: RunId, now: Millis) -> Run {
    Run {
        changeset: names::changeset(&head.sync, &id),
        id,
        sync: head.sync.clone(),
        through: head.version,
        stamp: head.stamp.clone(),
        delivered: head.delivered.len(),
        config: head.config.clone(),
        calls: 0,
        phases: 1,
        phase: 0,
        counts: Counts::default(),
        rest: None,
        strategy: String::new(),
        compares: None,
        cause: request.cause.clone(),
        state: RunState::Open,
        parkings: 0,
        progress: (0, now),
        planned_at: now,
        deadline: now.plus(setting.config.deadline.as_millis()),
        committed_at: None,
        result: None,
        list: head.list().to_owned(),
        new_list: None,
        usage: Usage::default(),
    }
}

/// What planning uses from the run item on, which is the last write that can say so: run item, changeset, calls, activation (a
/// transaction of head and tick) and the messages of the first phase.
pub(crate) fn still_to_come(head: &Head, run: &Run, calls: &[Call]) -> Usage {
    let write_units = 1 + calls.len() as u64 + 2 * (head.write_units() + 1);
    sending(&messages(run, calls, run.phase)) + Usage { write_units, puts: 1, ..Usage::default() }
}

/// What the list is called that a run makes: after its sync, and unlike every other.
fn new_list_name(sync: &SyncId, run: &RunId) -> String {
    let token = run.as_str().split_once('-').map_or(run.as_str(), |(_, token)| token);
    format!("{sync}-{token}")
}

pub(crate) fn counts(net: &Net, rows: &Rows) -> Counts {
    let of = |op| rows.rows.iter().filter(|r| r.operation == op).count() as u64;
    Counts {
        adds: of(Operation::Add),
        updates: of(Operation::Update),
        removals: of(Operation::Remove),
        held: net.held.len() as u64 + net.beyond_horizon,
        quarantined: net.quarantined,
    }
}

pub(crate) fn removed(net: &Net) -> impl Iterator<Item = KeyHash> + '_ {
    net.removals.iter().map(|r| r.key_hash)
}
