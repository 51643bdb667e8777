//! One run of one sync: from the head to queued calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use driftless_changeset::{Changeset, Net, NetInput, Removal, net_changes, outlives_bulk};
use driftless_config::{Destination, Strategy};
use driftless_connector::capabilities_of;
use driftless_delivery::{Message, Outgoing, Queue, sending};
use driftless_deltalog::Deltalog;
use driftless_deltalog::head::{ActivationGuard, Attention, Head, Swap, Tick};
use driftless_deltalog::ledger::{Call, Reject, Run, RunState};
use driftless_deltalog::registry::SyncEntry;
use driftless_history::ChangesetParts;
use driftless_model::{AckRow, Clock, Disposition, KeyHash, Meter, Millis, RecordState, RunId, SyncId, Tokens, Usage};
use driftless_objects::Objects;
use driftless_runtime::chain;
use driftless_snapshot::{HashKey, Limits};
use driftless_state::{Cut, Part, SyncState, Touched, documents, names};

use crate::calls::{Rows, lay_out, messages};
use crate::decision::{Decision, counts, removed};
use crate::error::Error;
use crate::room::Room;
use crate::setting::{Setting, first_call, mode};
use crate::strategy::{Amounts, Way, alternatives, choose};

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
    /// Where sweeps are asked for.
    pub janitor_queue: String,
}

/// A request to plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The sync.
    pub sync: SyncId,
    /// Unique to the scheduled time, change or request.
    pub tick: String,
    /// For `runs`: what asked.
    pub cause: String,
    /// Look for a snapshot whose event was lost before planning. Not when ingest itself asks.
    pub look_for_snapshot: bool,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// A run was activated and its first calls are queued.
    Run {
        /// Its id.
        run: RunId,
        /// Its calls.
        calls: u32,
    },
    /// D equals A, as far as it may be sent.
    InSync,
    /// Another run is active; the janitor takes it from here.
    Busy,
    /// A snapshot or configuration must be ingested first; planning is asked for again after it.
    IngestFirst,
    /// The tick has made its run before.
    Repeated,
    /// The state moved while we planned; the message comes back.
    Overtaken,
    /// Not registered, paused, or nothing was ever ingested.
    Idle,
    /// The sync waits for a person; the reason is in its head.
    NeedsAttention,
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
        if !rows.oversized.is_empty() && matches!(decision.way, Way::Replace(_)) {
            // Who cannot be sent would be dropped although A has an older state of them: the list is not replaced.
            decision.way = Way::FullThenRemove;
            decision.strategy =
                "full_then_remove, not replace: some records are larger than a request may be".to_owned();
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
        let first = first_call(head, setting).filter(|_| !rows.rows.is_empty());
        let calls = rows.calls(&id, &setting.capabilities, first);
        let mut run = self.run_item(request, head, setting, &decision, &rows, &calls, id, now);
        run.usage = self.meter.take_for(&head.sync) + still_to_come(head, &run, &calls);
        self.activate(request, head, setting, run, rows, decision.net, &calls).await
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
        Run {
            changeset: names::changeset(&head.sync, &id),
            id,
            sync: head.sync.clone(),
            through: head.version,
            stamp: head.stamp.clone(),
            delivered: head.delivered.len(),
            config: head.config.clone(),
            calls: u32::try_from(calls.len()).unwrap_or(u32::MAX),
            phases: calls.iter().map(|c| c.phase).max().unwrap_or(0) + 1,
            phase: calls.iter().map(|c| c.phase).min().unwrap_or(0),
            counts: counts(&decision.net, rows),
            rest: decision.rest.map(|rest| rest.waiting()),
            strategy: decision.strategy.clone(),
            cause: request.cause.clone(),
            state: RunState::Open,
            parkings: 0,
            progress: (0, now),
            planned_at: now,
            deadline: now.plus(setting.config.deadline.as_millis()),
            committed_at: None,
            result: None,
            usage: Usage::default(),
        }
    }

    /// Run item → changeset → calls → activate → send.
    #[allow(clippy::too_many_arguments)] // the last step: everything that planning found out
    async fn activate(
        &self,
        request: &Request,
        head: &Head,
        setting: &Setting,
        run: Run,
        rows: Rows,
        net: Net,
        calls: &[Call],
    ) -> Result<Planned, Error> {
        let sync = &head.sync;
        let _: Swap = self.log.put_run(&run).await?;
        let changeset = Changeset { rows: rows.rows, transfers: net.transfers };
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

    /// What differs, and how it is made equal. Where nothing differs a list is not replaced.
    pub(crate) async fn decide(
        &self,
        head: &Head,
        setting: &Setting,
        state: &SyncState<'_>,
    ) -> Result<Decision, Error> {
        let full = setting.config.strategy == Strategy::FullThenRemove;
        let mut decision = self.decide_for(head, setting, state, full).await?;
        let amounts = Amounts::of(&decision.net, decision.a_size).and(decision.rest);
        decision.alternatives = alternatives(&amounts, setting.config.mode, &setting.capabilities);
        let (mut way, mut strategy) = choose(setting.config.strategy, &decision.alternatives);
        if way.sends_all()
            && let Err(problem) = self.room.holds(amounts.list)
        {
            let delta = decision.alternatives.iter().find(|a| a.way == Way::Delta);
            if setting.config.strategy != Strategy::Auto || delta.is_some_and(|delta| delta.impossible.is_some()) {
                return Err(problem.into());
            }
            // A delta can be sent in parts.
            strategy = format!("delta, not {}: {problem}", way.strategy().as_str());
            way = Way::Delta;
        }
        if way.sends_all() && !full && !decision.net.is_empty() {
            let whole = self.decide_for(head, setting, state, true).await?;
            (decision.net, decision.rest) = (whole.net, None);
        }
        Ok(Decision { way, strategy, ..decision })
    }

    /// D against A, under holds, horizon, quarantine and the guards of the run. With `full` members that do not differ are sent too.
    async fn decide_for(
        &self,
        head: &Head,
        setting: &Setting,
        state: &SyncState<'_>,
        full: bool,
    ) -> Result<Decision, Error> {
        let share = self.room.share(head, state.differ_at_most().await?, &setting.capabilities)?;
        if full {
            self.room.holds(state.list_at_most().await?)?;
        }
        let deltas = state.deltas().await?;
        let a_size = state.list_size(&deltas).await?;
        let now = self.clock.now();
        let horizon = setting.config.horizon.map(|h| now.plus(-h.as_millis()));
        let beyond_horizon = |updated_at: &BTreeMap<KeyHash, Millis>| -> BTreeSet<KeyHash> {
            let old = |at: &Millis| horizon.is_some_and(|h| *at < h);
            updated_at.iter().filter(|(_, at)| old(at)).map(|(k, _)| *k).collect()
        };
        let limit = setting.config.attempt_limit;
        let rejects = self.log.rejects(&head.sync).await?;
        let quarantined = rejects.iter().filter(|r| r.attempts >= limit).map(|r| (r.key_hash, r.attr_hash)).collect();
        let mut holds: BTreeMap<u64, BTreeSet<KeyHash>> = BTreeMap::new();
        for (number, hold) in &head.holds {
            holds.insert(*number, driftless_history::read_holds(self.objects.as_ref(), &hold.object).await?);
        }
        let bulk = state.newest_bulk(None).map(|(version, _)| version);
        let named_by = |approved: bool| -> BTreeSet<KeyHash> {
            let of = |n: &u64| {
                let hold = head.holds.get(n).filter(|_| outlives_bulk(Head::held_version(*n), bulk));
                hold.is_some_and(|h| h.approved_at.is_some() == approved)
            };
            holds.iter().filter(|(n, _)| of(n)).flat_map(|(_, keys)| keys.iter().copied()).collect()
        };
        let (mut held, approved) = (named_by(false), named_by(true));
        let mode = mode(setting.config.mode);
        let alone = |of: &Touched, a: &BTreeMap<KeyHash, AckRow>| -> BTreeSet<KeyHash> {
            let net = net_changes(&NetInput {
                d: &of.states,
                a,
                resend: &BTreeMap::new(),
                held: &held,
                beyond_horizon: &beyond_horizon(&of.updated_at),
                quarantined: &quarantined,
                mode,
            });
            net.sends.into_iter().map(|s| s.key_hash).collect()
        };
        let fingerprint = &head.config.fingerprint;
        let cut = if full { Cut::NONE } else { share.cut(&alone) };
        let part = state.part(&deltas, fingerprint, &cut).await;
        let Part { touched: Touched { states, updated_at }, rest } = match part {
            Err(driftless_state::Error::CannotWait { records }) => return Err(self.room.too_many(records).into()),
            part => part?,
        };
        // Who waits must not be sent as A has them meanwhile: the buffer goes on when nobody waits any more.
        let resend = match rest {
            Some(_) => BTreeMap::new(),
            None => self.resend(head, setting, state, &deltas, &states, full).await?,
        };
        let keys: BTreeSet<KeyHash> = states.keys().chain(resend.keys()).copied().collect();
        let a: BTreeMap<KeyHash, AckRow> = state.a_rows(&keys, &deltas, fingerprint).await?;
        let beyond_horizon = beyond_horizon(&updated_at);
        let input = |held: &BTreeSet<KeyHash>| {
            net_changes(&NetInput {
                d: &states,
                a: &a,
                resend: &resend,
                held,
                beyond_horizon: &beyond_horizon,
                quarantined: &quarantined,
                mode,
            })
        };
        let mut net = input(&held);
        // Nine per cent a day must not empty a list in a week: what leaves A in this run, but for what a person approved.
        let leaving = |r: &&Removal| states.get(&r.key_hash).is_some_and(|(_, s)| s.is_none());
        let unapproved: BTreeSet<KeyHash> =
            net.removals.iter().filter(leaving).map(|r| r.key_hash).filter(|k| !approved.contains(k)).collect();
        let allowed = setting.config.guards.max_removals.of(a_size);
        let mut run_hold = None;
        if unapproved.len() as u64 > allowed {
            let reason = format!(
                "a run would remove {} of {a_size} members, {allowed} allowed (max_removals)",
                unapproved.len()
            );
            held.extend(&unapproved);
            net = input(&held);
            run_hold = Some((unapproved, reason));
        }
        let pending: BTreeSet<KeyHash> = net.held.iter().copied().chain(removed(&net)).collect();
        // Whoever a hold is about may be among those that are not looked at.
        let all = rest.is_none();
        let over =
            head.holds.iter().filter(|(n, _)| all && holds.get(n).is_some_and(|keys| keys.is_disjoint(&pending)));
        let over = over.map(|(n, h)| (*n, h.object.clone())).collect();
        let (way, strategy) = (Way::Delta, String::new());
        let (alternatives, sent_bytes) = (Vec::new(), share.sent_bytes);
        Ok(Decision { way, strategy, alternatives, net, a_size, run_hold, over, rest, sent_bytes })
    }

    /// Members of D that are sent although nothing differs: all of them where the whole list is sent, what was delivered lately
    /// while the buffer lasts.
    async fn resend(
        &self,
        head: &Head,
        setting: &Setting,
        state: &SyncState<'_>,
        deltas: &BTreeMap<KeyHash, Option<AckRow>>,
        states: &driftless_changeset::States,
        full: bool,
    ) -> Result<BTreeMap<KeyHash, RecordState>, Error> {
        let buffer = setting.config.buffer;
        if (!full && buffer.is_zero()) || !state.made_under(&head.config.fingerprint) {
            return Ok(BTreeMap::new());
        }
        let since = self.clock.now().plus(-buffer.as_millis());
        let rows = state.all_rows(deltas).await?;
        let again = rows.into_iter().filter(|(_, r)| full || r.last_sent_at.is_some_and(|at| at >= since));
        Ok(again
            .filter_map(|(k, row)| match states.get(&k) {
                Some((_, state)) => state.clone().map(|s| (k, s)),
                None => row.acknowledged.map(|a| {
                    let s = RecordState { key: row.key, attr_hash: a.attr_hash, identifiers: a.identifiers };
                    (k, s)
                }),
            })
            .collect())
    }
}

/// What planning uses from the run item on, which is the last write that can say so: run item, changeset, calls, activation (a
/// transaction of head and tick) and the messages of the first phase.
fn still_to_come(head: &Head, run: &Run, calls: &[Call]) -> Usage {
    let write_units = 1 + calls.len() as u64 + 2 * (head.write_units() + 1);
    sending(&messages(run, calls, run.phase)) + Usage { write_units, puts: 1, ..Usage::default() }
}
