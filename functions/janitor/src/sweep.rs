//! What the janitor does for one sync: the one place where a run's life goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use driftless_config::{Schedule, Sync};
use driftless_delivery::{Message, Outgoing, Queue};
use driftless_deltalog::Deltalog;
use driftless_deltalog::head::{Head, Retired, RetiredBy, Swap, VersionEntry, VersionKind};
use driftless_deltalog::item::{ItemFate, VersionRecord};
use driftless_deltalog::ledger::{Call, Run, RunState};
use driftless_deltalog::registry::SyncEntry;
use driftless_model::{AckRow, Clock, KeyHash, Lanes, Meter, Millis, RunId, SyncId, Token, Tokens};
use driftless_objects::Objects;
use driftless_state::room::Memory;
use driftless_state::{SyncState, documents, names};

use crate::compact::Compacting;
use crate::error::Error;
use crate::go_on::{THE_REST, after};

/// What a sweep needs.
pub struct Janitor {
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
    /// Counts what it uses.
    pub meter: Meter,
    /// What it has for a commit.
    pub memory: Memory,
    /// Where a fold is done side by side.
    pub lanes: Arc<dyn Lanes>,
    /// Where plans are asked for.
    pub planner_queue: String,
    /// Where further sweeps are asked for.
    pub janitor_queue: String,
    /// How long things are kept.
    pub keeping: Keeping,
}

/// How long things are kept, in milliseconds, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Nothing that a reader may still hold is deleted before this: longer than every function's timeout (protocol rule 12).
    pub grace: i64,
    /// Log items and version records, after they were folded.
    pub log: i64,
    /// A run without progress for so long has its open calls queued again; longer than a message stays invisible.
    pub stalled: i64,
    /// See [`Folding`].
    pub folding: Folding,
    /// See [`Compacting`].
    pub compacting: Compacting,
}

/// When a commit folds what was delivered into the history file, instead of listing it in the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folding {
    /// What it and the commits before it changed passes this share of the list.
    pub share_percent: u64,
    /// There are so many of them.
    pub runs: usize,
}

impl Default for Folding {
    /// A tenth of the list, or twenty runs.
    fn default() -> Self {
        Self { share_percent: 10, runs: 20 }
    }
}

impl Default for Keeping {
    /// Half an hour of grace (functions live 15 minutes), 90 days of log, a quarter of an hour without progress.
    fn default() -> Self {
        Self {
            grace: 30 * 60_000,
            log: 90 * 86_400_000,
            stalled: 15 * 60_000,
            folding: Folding::default(),
            compacting: Compacting::default(),
        }
    }
}

/// What a sweep did to the active run, if there was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Nothing to do.
    Nothing,
    /// Calls are in flight, or the destination is away.
    Waiting,
    /// Calls were queued: the next phase, a resumed run, or a repair.
    Queued {
        /// How many.
        calls: usize,
    },
    /// The run will take no new claim.
    Closing,
    /// The run was committed.
    Committed {
        /// Which.
        run: RunId,
    },
}

impl Janitor {
    /// Sweeps one sync: the active run, retired versions, leftovers. Repeatable and safe beside other sweeps: every step is
    /// a conditional write or repeatable.
    ///
    /// `periodic` sweeps also repair what nobody asks for: calls that were never queued, runs that never were activated,
    /// objects and items that nobody refers to, changes that waited long enough.
    ///
    /// # Errors
    /// [`Error`]: what was written stands; sweep again.
    pub async fn sweep(&self, entry: &SyncEntry, periodic: bool, deadline: Millis) -> Result<Swept, Error> {
        let Some(head) = self.log.head(&entry.sync).await?.filter(|h| h.incarnation == entry.incarnation) else {
            return Ok(Swept::Nothing);
        };
        let config = documents::sync(self.objects.as_ref(), entry).await?;
        let swept = match &head.active_run {
            Some(id) => self.active(&head, id, entry, &config, periodic, deadline).await?,
            None => Swept::Nothing,
        };
        let head = match self.log.head(&entry.sync).await? {
            Some(head) if head.incarnation == entry.incarnation => head,
            _ => return Ok(swept),
        };
        self.stamp_retired(&head).await?;
        if periodic {
            self.mark_committed(&head).await?;
            self.abandon(&head).await?;
            self.collect(&head, deadline).await?;
            self.go_on(&head).await?;
            self.waited_long_enough(&head, &config).await?;
            self.compact(&head, deadline).await?;
        }
        let rest = self.meter.take();
        if !periodic {
            // Periodic sweeps that find nothing are part of what the deployment costs anyway, not of a sync's account.
            self.meter.owe(&head.sync, rest);
        }
        Ok(swept)
    }

    async fn active(
        &self,
        head: &Head,
        id: &RunId,
        entry: &SyncEntry,
        config: &Sync,
        periodic: bool,
        deadline: Millis,
    ) -> Result<Swept, Error> {
        // The planner writes the run item before it activates.
        let Some(run) = self.log.run(&head.sync, id).await? else { return Ok(Swept::Nothing) };
        let now = self.clock.now();
        match &run.state {
            RunState::Parked { .. } if head.version > run.through => {
                self.close(&run, "overtaken by a newer snapshot").await
            }
            RunState::Parked { until: Some(until), .. } if *until <= now => self.resume(&run, entry).await,
            RunState::Parked { .. } => Ok(Swept::Waiting),
            RunState::Open => {
                let calls = self.log.calls(&head.sync, id).await?;
                self.open(head, &run, calls, entry, config, periodic, deadline).await
            }
            RunState::Closing { .. } => {
                let calls = self.log.calls(&head.sync, id).await?;
                let in_flight = |c: &Call| c.outcome.is_none() && c.claim.is_some() && c.lease_until >= now;
                if calls.iter().any(in_flight) {
                    return Ok(Swept::Waiting);
                }
                // Rule 16: what a job still does must not meet what the next run sends. The jobs are asked for meanwhile.
                if calls.iter().any(|c| c.live_jobs(now).next().is_some()) {
                    let forgotten = |c: &Call| c.live_jobs(now).next().is_some() && is_overdue(c, now);
                    let overdue: Vec<Call> = calls.into_iter().filter(forgotten).collect();
                    if periodic && !overdue.is_empty() {
                        return self.queue_calls(&run, &overdue, entry).await;
                    }
                    return Ok(Swept::Waiting);
                }
                self.settle(head, &run, config, deadline).await
            }
            RunState::Committed | RunState::Abandoned => Ok(Swept::Nothing),
        }
    }

    #[allow(clippy::too_many_arguments)] // one arm of `active`
    async fn open(
        &self,
        head: &Head,
        run: &Run,
        calls: Vec<Call>,
        entry: &SyncEntry,
        config: &Sync,
        periodic: bool,
        deadline: Millis,
    ) -> Result<Swept, Error> {
        let now = self.clock.now();
        let settled = calls.iter().filter(|c| c.outcome.is_some()).count();
        if settled == calls.len() {
            return self.settle(head, run, config, deadline).await;
        }
        if run.deadline <= now {
            return self.close(run, "its deadline has passed").await;
        }
        let next = calls.iter().filter(|c| c.outcome.is_none()).map(|c| c.phase).min().unwrap_or(run.phase);
        if next > run.phase {
            let run = Run { phase: next, progress: (count(settled), now), parkings: 0, ..run.clone() };
            return match self.log.update_run(&run, &["open"]).await? {
                Swap::Done => self.queue_calls(&run, &calls, entry).await,
                Swap::Lost => Ok(Swept::Waiting),
            };
        }
        if !periodic {
            return Ok(Swept::Waiting);
        }
        let (seen, since) = run.progress;
        if count(settled) > seen {
            let run = Run { progress: (count(settled), now), parkings: 0, ..run.clone() };
            let _: Swap = self.log.update_run(&run, &["open"]).await?;
            return Ok(Swept::Waiting);
        }
        if now.0 - since.0 < self.keeping.stalled {
            return Ok(Swept::Waiting);
        }
        // Planned but never queued, a message lost, a worker that died: the ledger is the work.
        let run = Run { progress: (count(settled), now), ..run.clone() };
        let _: Swap = self.log.update_run(&run, &["open"]).await?;
        let lost: Vec<Call> = calls.into_iter().filter(|c| c.jobs.is_empty() || is_overdue(c, now)).collect();
        self.queue_calls(&run, &lost, entry).await
    }

    /// No new claim from here on. Committing waits until every claim in flight has settled or its lease has passed.
    async fn close(&self, run: &Run, reason: &str) -> Result<Swept, Error> {
        let closing = Run { state: RunState::Closing { reason: reason.to_owned() }, ..run.clone() };
        match self.log.update_run(&closing, &["open", "parked"]).await? {
            Swap::Done => {
                let sweep = Message::Sweep { sync: Some(run.sync.clone()), run: Some(run.id.clone()) };
                self.queue.send(&self.janitor_queue, &[Outgoing::from(&sweep)]).await?;
                Ok(Swept::Closing)
            }
            Swap::Lost => Ok(Swept::Waiting),
        }
    }

    /// The sweep probes a parked destination by resuming the run at its first unsettled calls; if it is still away, the run
    /// parks again, for longer.
    async fn resume(&self, run: &Run, entry: &SyncEntry) -> Result<Swept, Error> {
        let open = Run { state: RunState::Open, ..run.clone() };
        match self.log.update_run(&open, &["parked"]).await? {
            Swap::Done => {
                let calls = self.log.calls(&run.sync, &run.id).await?;
                self.queue_calls(&open, &calls, entry).await
            }
            Swap::Lost => Ok(Swept::Waiting),
        }
    }

    async fn queue_calls(&self, run: &Run, calls: &[Call], entry: &SyncEntry) -> Result<Swept, Error> {
        let now = self.clock.now();
        let due = calls
            .iter()
            .filter(|c| c.phase <= run.phase && c.outcome.is_none() && (c.claim.is_none() || c.lease_until < now));
        let messages: Vec<Outgoing> = due
            .map(|c| {
                let message = Message::Call {
                    sync: run.sync.clone(),
                    run: run.id.clone(),
                    number: c.number,
                    operation: c.operation,
                    first_row: c.first_row,
                    rows: c.rows,
                    changeset: run.changeset.clone(),
                };
                // Who waits for a job is not asked for earlier.
                let next = c.jobs.iter().map(|job| job.poll_at).min().unwrap_or(now);
                let seconds = next.0.saturating_sub(now.0).max(0).unsigned_abs().div_ceil(1_000);
                Outgoing::from(&message).delayed(u32::try_from(seconds).unwrap_or(u32::MAX))
            })
            .collect();
        let destinations = self.log.destinations().await?;
        if let Some(destination) = destinations.iter().find(|d| d.destination == entry.destination) {
            self.queue.send(&destination.queue_url, &messages).await?;
        }
        Ok(Swept::Queued { calls: messages.len() })
    }

    /// Commits, and plans afresh where the run left something that newer values have overtaken.
    async fn settle(&self, head: &Head, run: &Run, config: &Sync, deadline: Millis) -> Result<Swept, Error> {
        if self.commit(head, run, config.success_threshold, deadline).await? == Swap::Lost {
            return Ok(Swept::Waiting);
        }
        let closed = matches!(run.state, RunState::Closing { .. });
        if closed || head.version > run.through {
            self.ask_for_plan(&head.sync, after(run), "overtaken").await?;
        } else if run.rest.is_some_and(|rest| rest > 0) {
            self.ask_for_plan(&head.sync, after(run), THE_REST).await?;
        }
        Ok(Swept::Committed { run: run.id.clone() })
    }

    pub(crate) async fn ask_for_plan(&self, sync: &SyncId, tick: String, cause: &str) -> Result<(), Error> {
        let message = Message::Plan { sync: sync.clone(), tick, cause: cause.to_owned(), after_ingest: true };
        Ok(self.queue.send(&self.planner_queue, &[Outgoing::from(&message)]).await?)
    }

    /// Stamps the items of retired versions with what became of them, remembers the version, then takes it out of the head.
    /// Only after the fold or the compaction, only tokens in `retired`: an uncommitted change never expires. A bulk version stays
    /// in the head, and its file with it, until nobody can still be reading it.
    async fn stamp_retired(&self, head: &Head) -> Result<(), Error> {
        let now = self.clock.now();
        let due = |r: &&Retired| r.entry.bulk_object().is_none() || r.at.plus(self.keeping.grace) <= now;
        if !head.retired.iter().any(|r| due(&r)) {
            return Ok(());
        }
        let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), head);
        let deltas = state.deltas().await?;
        let mut done = BTreeSet::new();
        for retired in head.retired.iter().filter(due) {
            self.stamp_version(head, &state, &deltas, retired).await?;
            done.insert(retired.entry.token.clone());
        }
        self.log.charge(head, self.meter.take_for(&head.sync), self.clock.now());
        Ok(self.log.clear_retired(&head.sync, &done).await?)
    }

    async fn stamp_version(
        &self,
        head: &Head,
        state: &SyncState<'_>,
        deltas: &BTreeMap<KeyHash, Option<AckRow>>,
        retired: &Retired,
    ) -> Result<(), Error> {
        let partition = state.partition(retired.version, &retired.entry);
        let items = match &retired.entry.kind {
            VersionKind::Items => self.log.items(&partition, retired.entry.count).await?,
            VersionKind::Bulk { .. } => BTreeMap::new(),
        };
        let keys: BTreeSet<KeyHash> = items.keys().copied().collect();
        let fingerprint = head.history.as_ref().map_or(head.config.fingerprint.as_str(), |h| h.fingerprint.as_str());
        let rows = state.a_rows(&keys, deltas, fingerprint).await?;
        let fates = items.iter().map(|(k, item)| {
            let committed = match (item.state(), rows.get(k)) {
                (Some(d), Some(a)) => a.acknowledged.as_ref().is_some_and(|x| x.attr_hash == d.attr_hash),
                (None, None) => true,
                _ => false,
            };
            let fate = match &retired.by {
                RetiredBy::Merge(_) => ItemFate::Merged,
                RetiredBy::Run(_) if committed => ItemFate::Committed(retired.at),
                RetiredBy::Run(run) => ItemFate::Superseded(run.clone()),
            };
            (*k, fate)
        });
        let expires_at = retired.at.plus(self.keeping.log).epoch_seconds();
        self.log.stamp_items(&partition, &fates.collect(), expires_at).await?;
        // The version that the others were merged into has their last number, and its record comes when it is folded.
        if retired.by != RetiredBy::Merge(retired.version) {
            let record = VersionRecord {
                version: retired.version,
                incarnation: head.incarnation,
                entry: retired.entry.clone(),
                by: retired.by.clone(),
                at: retired.at,
                expires_at,
            };
            self.log.put_version_record(&head.sync, &record).await?;
        }
        Ok(self.log.delete_attempt(&partition).await?)
    }

    /// A run that is committed in the head but whose item still says open: we died between the two writes.
    async fn mark_committed(&self, head: &Head) -> Result<(), Error> {
        let committed: BTreeSet<&RunId> =
            head.delivered.iter().map(|d| &d.run).chain(head.retired.iter().filter_map(|r| r.by.run())).collect();
        let folded = self.log.version_records(&head.sync).await?;
        let folded: BTreeSet<&RunId> = folded.iter().filter_map(|r| r.by.run()).collect();
        for run in self.unfinished(head).await? {
            // Or its calls have outcomes, which is so of activated runs only: a part of a bulk version retires no version.
            let was_active = async || {
                let calls = self.log.calls(&head.sync, &run.id).await?;
                Ok::<_, Error>(calls.iter().any(|c| c.outcome.is_some()))
            };
            if committed.contains(&run.id) || folded.contains(&run.id) || (run.rest.is_some() && was_active().await?) {
                let now = self.clock.now();
                let run = Run { state: RunState::Committed, committed_at: Some(now), ..run };
                let _: Swap = self.log.update_run(&run, &["open", "closing"]).await?;
            }
        }
        Ok(())
    }

    async fn unfinished(&self, head: &Head) -> Result<Vec<Run>, Error> {
        let runs = self.log.runs(&head.sync, RECENT_RUNS).await?;
        let finished = |r: &Run| matches!(r.state, RunState::Committed | RunState::Abandoned);
        Ok(runs.into_iter().filter(|r| !finished(r) && head.active_run.as_ref() != Some(&r.id)).collect())
    }

    /// Runs that never were activated: their planner died, or lost at activation.
    async fn abandon(&self, head: &Head) -> Result<(), Error> {
        let before = self.clock.now().plus(-self.keeping.grace);
        for run in self.unfinished(head).await? {
            if run.planned_at < before && run.state == RunState::Open {
                let run = Run { state: RunState::Abandoned, ..run };
                if self.log.update_run(&run, &["open"]).await? == Swap::Done {
                    self.objects.delete(&run.changeset).await?;
                }
            }
        }
        Ok(())
    }

    /// Deletes objects of the sync's state that no head names, and items of attempts that lost or died, after the grace
    /// period.
    async fn collect(&self, head: &Head, deadline: Millis) -> Result<(), Error> {
        let before = self.clock.now().plus(-self.keeping.grace);
        let named: BTreeSet<&str> = (head.history.iter().map(|h| h.object.as_str()))
            .chain(head.residue.iter().map(|r| r.object.as_str()))
            .chain(head.delivered.iter().map(|d| d.object.as_str()))
            .chain(head.holds.values().map(|h| h.object.as_str()))
            .chain(head.versions.values().filter_map(VersionEntry::bulk_object))
            .chain(head.retired.iter().filter_map(|r| r.entry.bulk_object()))
            .collect();
        for found in self.objects.list(&names::history_prefix(&head.sync)).await? {
            let key = found.object.key.as_str();
            if found.modified < before && !named.contains(key) {
                self.in_time(deadline)?;
                self.objects.delete(key).await?;
            }
        }
        let kept: BTreeSet<(u64, &Token)> = (head.versions.iter().map(|(n, e)| (*n, &e.token)))
            .chain(head.retired.iter().map(|r| (r.version, &r.entry.token)))
            .collect();
        for attempt in self.log.attempts(&head.sync, before).await? {
            if attempt.incarnation == head.incarnation && kept.contains(&(attempt.version, &attempt.token)) {
                continue;
            }
            self.in_time(deadline)?;
            self.log.delete_items(&attempt).await?;
            self.log.delete_attempt(&attempt).await?;
        }
        Ok(())
    }

    /// `on_change` with `max_wait`: changes that were too few to plan by themselves.
    async fn waited_long_enough(&self, head: &Head, config: &Sync) -> Result<(), Error> {
        let Schedule::OnChange(on) = &config.schedule else { return Ok(()) };
        let through = head.delivered.iter().map(|d| d.through).max().unwrap_or(0);
        let waiting = head.versions.range(through + 1..).map(|(_, v)| v.logged_at).min();
        let now = self.clock.now();
        match waiting {
            Some(since) if head.active_run.is_none() && since.plus(on.max_wait.as_millis()) <= now => {
                let tick = format!("waited-{}-{}", head.incarnation, head.version);
                self.ask_for_plan(&head.sync, tick, "on change").await
            }
            _ => Ok(()),
        }
    }
}

/// A job that nobody asked for although it is time: the message that should have come is lost.
fn is_overdue(call: &Call, now: Millis) -> bool {
    call.jobs.iter().all(|job| job.poll_at.plus(OVERDUE) < now)
}

/// How late a delayed message may be, in milliseconds.
const OVERDUE: i64 = 120_000;

/// How far back a sweep looks for unfinished runs: more than can pile up between two sweeps.
pub(crate) const RECENT_RUNS: usize = 50;

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
