//! The four functions on stepped ports, as their handlers call them; and the two writers that are commands.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use driftless_connector::{Capabilities, capabilities_of};
use driftless_delivery::{Incoming, Message, Outgoing, Queue};
use driftless_deltalog::Deltalog;
use driftless_deltalog::head::{Append, Swap, VersionEntry, VersionKind};
use driftless_deltalog::item::{ChangeOp, LogItem};
use driftless_deltalog::registry::DestinationEntry;
use driftless_fn_connector::{Delivered, Delivery, SharedBudget, Sleep, Timing, list_of, retire};
use driftless_fn_ingest::{Bulk, Ingest};
use driftless_fn_janitor::{Janitor, Keeping};
use driftless_fn_planner::Room;
use driftless_fn_planner::plan::{Planned, Planner, Request};
use driftless_model::{Clock, IdentifierSet, InTurn, KeyHash, Meter, Millis, RecordKey, SyncId, Tokens};
use driftless_objects::Objects;
use driftless_snapshot::Limits;
use driftless_snapshot::locate::{newest, snapshot_of};
use driftless_state::{SyncState, Touched, documents};
use driftless_testkit::{ManualClock, StepDeltalog, StepObjects, StepQueue, Steps};

use crate::dataset::hash_key;
use crate::ghosts::Ghosts;
use crate::list::{JOB_TIMEOUT, ListId, Remote, Scripted};

/// Everything that an invocation can reach.
pub(crate) struct Ports {
    pub(crate) log: Arc<dyn Deltalog>,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tokens: Arc<dyn Tokens>,
    pub(crate) meter: Meter,
    pub(crate) remote: Arc<Remote>,
    pub(crate) ghosts: Arc<Ghosts>,
    pub(crate) steps: Steps,
    pub(crate) keeping: Keeping,
    pub(crate) bulk: Bulk,
    pub(crate) room: Room,
    /// No head is swapped after this.
    pub(crate) stop_at: Millis,
}

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Done,
    Later(Duration),
    Failed,
}

pub(crate) const INGEST: &str = "memory:ingest";
pub(crate) const PLANNER: &str = "memory:planner";
pub(crate) const JANITOR: &str = "memory:janitor";
pub(crate) const TO_CRM: &str = "memory:to-crm";

/// A claim's lease; longer than a function lives.
pub(crate) const LEASE_S: u64 = 180;

type Failure = Box<dyn core::error::Error + Send + Sync>;

struct Virtual(Arc<ManualClock>);

#[async_trait]
impl Sleep for Virtual {
    async fn sleep(&self, duration: Duration) {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        self.0.sleep_until(self.0.now().plus(ms)).await;
    }
}

impl Ports {
    pub(crate) fn stepped(mut self) -> Self {
        self.log = Arc::new(StepDeltalog::new(self.log, self.steps.clone()));
        self.objects = Arc::new(StepObjects::new(self.objects, self.steps.clone()));
        self.queue = Arc::new(StepQueue::new(self.queue, self.steps.clone()));
        self
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }

    // ---- ingest

    fn ingest(&self) -> Ingest {
        Ingest {
            log: Arc::clone(&self.log),
            objects: Arc::clone(&self.objects),
            clock: self.clock(),
            tokens: Arc::clone(&self.tokens),
            hash_key: hash_key(),
            limits: Limits::default(),
            // What is found must not depend on the number of lanes.
            lanes: Arc::new(InTurn::cut_in(2)),
            meter: self.meter.clone(),
            bulk: self.bulk,
        }
    }

    pub(crate) async fn take_up(&self, body: &str) -> Result<Verdict, Failure> {
        let ingest = self.ingest();
        match Incoming::parse(body)? {
            Incoming::Created(changes) => {
                for change in changes {
                    let meta = self.objects.head(&change.key, change.version_id.as_deref()).await?;
                    let found = snapshot_of(self.objects.as_ref(), &meta, change.sequencer.clone()).await?;
                    if let Some((dataset, snapshot)) = found {
                        let taken = ingest.take_up(&dataset, &snapshot, None, self.stop_at).await?;
                        self.ghosts.note(format!("   {taken:?}"));
                    }
                }
            }
            Incoming::Message(Message::Ingest { dataset, sync, then_plan, cause }) => {
                if let Some((_, snapshot)) = newest(self.objects.as_ref(), &dataset).await? {
                    let taken = ingest.take_up(&dataset, &snapshot, sync.as_ref(), self.stop_at).await?;
                    self.ghosts.note(format!("   {taken:?}"));
                }
                if let (Some(tick), Some(sync)) = (then_plan, sync) {
                    let plan = Message::Plan { sync, tick, cause, after_ingest: true };
                    self.queue.send(PLANNER, &[Outgoing::from(&plan)]).await?;
                }
            }
            Incoming::Message(_) => {}
        }
        Ok(Verdict::Done)
    }

    // ---- planner

    pub(crate) async fn plan(&self, request: &Request) -> Result<Verdict, Failure> {
        let planner = Planner {
            log: Arc::clone(&self.log),
            objects: Arc::clone(&self.objects),
            queue: Arc::clone(&self.queue),
            clock: self.clock(),
            tokens: Arc::clone(&self.tokens),
            hash_key: hash_key(),
            limits: Limits::default(),
            meter: self.meter.clone(),
            room: self.room,
            ingest_queue: INGEST.to_owned(),
            own_queue: PLANNER.to_owned(),
            janitor_queue: JANITOR.to_owned(),
        };
        let outcome = planner.plan(request).await?;
        self.ghosts.note(format!("   {}: {outcome:?}", request.sync));
        Ok(if outcome == Planned::Overtaken { Verdict::Later(Duration::from_secs(5)) } else { Verdict::Done })
    }

    // ---- connector

    async fn capabilities(&self, sync: &SyncId) -> Result<Option<(DestinationEntry, Capabilities)>, Failure> {
        let Some(entry) = self.log.sync(sync).await? else { return Ok(None) };
        let destinations = self.log.destinations().await?;
        let Some(found) = destinations.into_iter().find(|d| d.destination == entry.destination) else {
            return Ok(None);
        };
        let described = documents::destination(self.objects.as_ref(), &found).await?;
        let capabilities = capabilities_of(&described);
        Ok(Some((found, capabilities)))
    }

    pub(crate) async fn deliver(&self, body: &str) -> Result<Verdict, Failure> {
        let (sync, run, number) = match Message::parse(body)? {
            Message::Call { sync, run, number, .. } => (sync, run, number),
            Message::Retire { sync } => return self.retire(&sync).await,
            _ => return Ok(Verdict::Done),
        };
        let Some((destination, capabilities)) = self.capabilities(&sync).await? else { return Ok(Verdict::Done) };
        let Some(item) = self.log.run(&sync, &run).await? else { return Ok(Verdict::Done) };
        let list = list_of(self.log.as_ref(), &item, number).await?;
        let Some(list) = list else { return Ok(Verdict::Done) };
        let connector = self.connector((sync.clone(), list), run.to_string(), capabilities);
        let sleep = Arc::new(Virtual(Arc::clone(&self.clock)));
        let rate = connector.capabilities.rate;
        let pacer = SharedBudget::new(Arc::clone(&self.log), self.clock(), sleep, destination.destination, rate);
        let delivery = Delivery {
            log: Arc::clone(&self.log),
            objects: Arc::clone(&self.objects),
            queue: Arc::clone(&self.queue),
            clock: self.clock(),
            tokens: Arc::clone(&self.tokens),
            pacer: Arc::new(pacer),
            meter: self.meter.clone(),
            janitor_queue: JANITOR.to_owned(),
            own_queue: destination.queue_url,
            timing: Timing {
                lease: Duration::from_secs(LEASE_S),
                request_timeout: Duration::from_secs(10),
                park: Duration::from_mins(1),
                longest_park: Duration::from_secs(400),
                refused_park: Duration::from_secs(500),
                patience: Duration::from_mins(1),
            },
        };
        let delivered = delivery.call(&connector, &item, number, self.stop_at).await?;
        self.meter.owe(&sync, self.meter.take());
        self.ghosts.note(format!("   {run}#{number}: {delivered:?}"));
        Ok(match delivered {
            Delivered::Later(after) => Verdict::Later(after),
            Delivered::Settled { .. } | Delivered::Dropped | Delivered::Parked | Delivered::Accepted { .. } => {
                Verdict::Done
            }
        })
    }

    fn connector(&self, list: ListId, run: String, capabilities: Capabilities) -> Scripted {
        Scripted {
            remote: Arc::clone(&self.remote),
            ghosts: Arc::clone(&self.ghosts),
            clock: Arc::clone(&self.clock),
            steps: self.steps.clone(),
            list,
            run,
            capabilities: Capabilities { job_timeout: JOB_TIMEOUT, ..capabilities },
        }
    }

    async fn retire(&self, sync: &SyncId) -> Result<Verdict, Failure> {
        let Some((destination, capabilities)) = self.capabilities(sync).await? else { return Ok(Verdict::Done) };
        let connector = self.connector((sync.clone(), sync.to_string()), String::new(), capabilities);
        let clock = self.clock();
        let retired = retire(self.log.as_ref(), clock.as_ref(), &connector, &destination.destination, sync).await?;
        self.ghosts.note(format!("   {sync}: {retired:?}"));
        Ok(Verdict::Done)
    }

    // ---- janitor

    pub(crate) async fn sweep(&self, body: &str) -> Result<Verdict, Failure> {
        let Message::Sweep { sync, run } = Message::parse(body)? else { return Ok(Verdict::Done) };
        let janitor = Janitor {
            log: Arc::clone(&self.log),
            objects: Arc::clone(&self.objects),
            queue: Arc::clone(&self.queue),
            clock: self.clock(),
            tokens: Arc::clone(&self.tokens),
            meter: self.meter.clone(),
            memory: self.room.janitor,
            lanes: Arc::new(InTurn::cut_in(2)),
            planner_queue: PLANNER.to_owned(),
            janitor_queue: JANITOR.to_owned(),
            keeping: self.keeping,
        };
        let mut verdict = Verdict::Done;
        for entry in self.log.syncs().await?.into_iter().filter(|e| sync.as_ref().is_none_or(|s| *s == e.sync)) {
            match janitor.sweep(&entry, run.is_none(), self.stop_at).await {
                Ok(swept) => self.ghosts.note(format!("   {}: {swept:?}", entry.sync)),
                Err(e) => {
                    self.ghosts.note(format!("   {}: {e}", entry.sync));
                    verdict = Verdict::Failed;
                }
            }
        }
        Ok(verdict)
    }

    // ---- commands

    /// `driftless erase`: tombstone and version in one transaction, for every sync of the dataset.
    pub(crate) async fn erase(&self, id: &str) -> Result<Verdict, Failure> {
        let key_hash = hash_key().key_hash(&RecordKey::new(id));
        let mut verdict = Verdict::Done;
        for entry in self.log.syncs().await? {
            let mut done = false;
            for _ in 0..6 {
                let head = self.log.head(&entry.sync).await?.filter(|h| h.snapshot.is_some());
                let Some((head, snapshot)) = head.and_then(|h| h.snapshot.clone().map(|s| (h, s))) else { break };
                let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), &head);
                let Touched { states, .. } = state.touched(None).await?;
                let now = self.clock.now();
                let selected = state.d_digests(&states).await?.iter().any(|(k, _)| *k == key_hash);
                let identifiers = self.identifiers(&state, &states, key_hash).await?;
                let items: Vec<LogItem> = selected
                    .then(|| LogItem {
                        key_hash,
                        key: RecordKey::new(id),
                        op: ChangeOp::Remove,
                        attr_hash: None,
                        identifiers,
                        updated_at: snapshot.order.modified,
                        committed_at: None,
                        superseded_by: None,
                        expires_at: None,
                    })
                    .into_iter()
                    .collect();
                let version = VersionEntry {
                    token: self.tokens.token(),
                    kind: VersionKind::Items,
                    count: items.len() as u64,
                    adds: 0,
                    updates: 0,
                    removals: items.len() as u64,
                    order: snapshot.order.clone(),
                    logged_at: now,
                };
                let partition = state.partition(head.version + 1, &version);
                self.log.put_attempt(&partition, now).await?;
                self.log.put_items(&partition, &items).await?;
                let append = Append { snapshot, config: head.config.clone(), entry: version, hold: None };
                let dataset = &head.names.dataset;
                if self.clock.now() >= self.stop_at {
                    return Ok(Verdict::Failed);
                }
                done = self.log.erase(&entry.sync, dataset, key_hash, &head.guard(), &append).await? == Swap::Done;
                if done {
                    break;
                }
            }
            if !done {
                verdict = Verdict::Failed;
            }
        }
        Ok(verdict)
    }

    async fn identifiers(
        &self,
        state: &SyncState<'_>,
        states: &driftless_changeset::States,
        k: KeyHash,
    ) -> Result<IdentifierSet, Failure> {
        if let Some((_, Some(s))) = states.get(&k) {
            return Ok(s.identifiers.clone());
        }
        let rows = state.untouched(&BTreeSet::from([k]), &InTurn::cut_in(2)).await?;
        Ok(rows.into_values().next().map(|(_, identifiers)| identifiers).unwrap_or_default())
    }
}
