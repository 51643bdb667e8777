//! One simulation: stores, clock, queues, destination, and the invocations that are under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use driftless_delivery::{MemoryQueue, Message, Outgoing, Queue};
use driftless_deltalog::head::{ConfigStamp, Head, Names};
use driftless_deltalog::registry::{DestinationEntry, SyncEntry};
use driftless_deltalog::{Deltalog, MemoryDeltalog};
use driftless_fn_janitor::Keeping;
use driftless_fn_planner::plan::Request;
use driftless_model::{Clock, DatasetId, Millis, SnapshotOrder, SyncId};
use driftless_objects::{MemoryObjects, ObjectMeta, Objects};
use driftless_state::names;
use driftless_testkit::{CountingTokens, ManualClock, Random, Visits, When, events};

use crate::at_once;
use crate::dataset::{Mapping, People, Settings, destination, object_key, parquet, sync};
use crate::faults::Faults;
use crate::functions::{INGEST, JANITOR, PLANNER, Ports, TO_CRM, Verdict};
use crate::ghosts::Ghosts;
use crate::list::Remote;
use crate::store::{DatedObjects, Forgetful, Forgotten, WatchedDeltalog};
use crate::task::{Task, TaskId, Whereabouts, steps};

/// How long a function lives.
const FUNCTION_MS: i64 = 150_000;
/// Nobody swaps a head in its last seconds.
const MARGIN_MS: i64 = 10_000;
/// How long a received message stays hidden.
const VISIBILITY_S: u32 = 160;
/// What one step takes.
const STEP_MS: i64 = 100;

/// What a simulation starts from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Of tokens and faults.
    pub seed: u64,
    /// Lists kept from the one dataset; every second one selects by consent.
    pub syncs: usize,
    /// See [`Settings`].
    pub settings: Settings,
    /// Commits change less than this share of the list without a fold.
    pub fold_percent: u64,
    /// The destination refuses a request as a whole.
    pub all_or_nothing: bool,
    /// The destination has an update of its own.
    pub updates: bool,
    /// A rule that the stores do not keep.
    pub forgotten: Option<Forgotten>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 0,
            syncs: 1,
            settings: Settings::default(),
            fold_percent: 10,
            all_or_nothing: false,
            updates: false,
            forgotten: None,
        }
    }
}

/// See the module.
pub struct World {
    setup: Setup,
    /// Stands still until it is moved.
    pub clock: Arc<ManualClock>,
    /// The destination.
    pub remote: Arc<Remote>,
    /// What really happened.
    pub ghosts: Arc<Ghosts>,
    /// When things fail.
    pub faults: Arc<Faults>,
    /// How often each point was passed, failed and died at.
    pub visits: Visits,
    /// The queues.
    pub queue: Arc<MemoryQueue>,
    /// The table, as the functions see it.
    pub log: Arc<WatchedDeltalog>,
    memory: Arc<MemoryDeltalog>,
    bucket: Arc<MemoryObjects>,
    objects: Arc<DatedObjects>,
    tokens: Arc<CountingTokens>,
    syncs: Vec<SyncId>,
    tasks: Vec<Task>,
    spawned: u64,
    uploads: Vec<String>,
    ticks: u64,
    /// Every message that was ever received, with its queue.
    received: BTreeSet<(String, String)>,
}

impl World {
    /// With configuration applied and nothing ingested.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let clock = ManualClock::new(Millis(1_800_000_000_000));
        let memory = Arc::new(MemoryDeltalog::default());
        let bucket = Arc::new(MemoryObjects::default());
        let remote = Arc::new(Remote::default());
        let ghosts = Arc::new(Ghosts::new(Arc::clone(&memory), Arc::clone(&bucket), Arc::clone(&remote)));
        let settings = setup.settings;
        ghosts.set_limits(settings.attempt_limit, settings.max_removals);
        remote.set_all_or_nothing(setup.all_or_nothing);
        let log = Arc::new(WatchedDeltalog::new(Arc::clone(&memory), Arc::clone(&ghosts), setup.forgotten));
        let mut world = Self {
            queue: Arc::new(MemoryQueue::new(Arc::clone(&clock) as Arc<dyn Clock>)),
            objects: Arc::new(DatedObjects::new(Arc::clone(&bucket), Arc::clone(&clock), setup.forgotten)),
            tokens: Arc::new(CountingTokens::new(setup.seed)),
            faults: Arc::new(Faults::new(Random::new(setup.seed).fork())),
            visits: Visits::default(),
            syncs: Vec::new(),
            tasks: Vec::new(),
            spawned: 0,
            uploads: Vec::new(),
            ticks: 0,
            received: BTreeSet::new(),
            setup,
            clock,
            remote,
            ghosts,
            log,
            memory,
            bucket,
        };
        world.apply();
        world
    }

    fn apply(&mut self) {
        let described = serde_json::to_vec(&destination(self.setup.all_or_nothing, self.setup.updates));
        let described = described.expect("it serialises");
        let id = "crm".parse().expect("a name");
        let object = names::destination_document(&id, &described);
        let _ = at_once(self.bucket.create(&object, described.into()));
        let entry = DestinationEntry {
            destination: id,
            kind: "rest".to_owned(),
            object,
            queue_url: TO_CRM.to_owned(),
            applied_at: self.clock.now(),
        };
        at_once(self.memory.put_destination(&entry)).expect("memory");
        for n in 0..self.setup.syncs {
            let id: SyncId = format!("s{n}").parse().expect("a name");
            if n % 2 == 1 {
                self.ghosts.selects_by_consent(&id);
            }
            self.syncs.push(id.clone());
            self.configure(&id, 0);
        }
    }

    fn configure(&self, id: &SyncId, epoch: u64) {
        let config = sync(id.as_str(), self.ghosts.is_consenting(id), Mapping::of(epoch), self.setup.settings);
        let document = serde_json::to_vec(&config).expect("it serialises");
        let object = names::sync_document(id, &document);
        let _ = at_once(self.bucket.create(&object, document.into()));
        let entry = SyncEntry {
            sync: id.clone(),
            dataset: dataset(),
            destination: "crm".parse().expect("a name"),
            incarnation: 1,
            names: Names {
                dataset: dataset(),
                source: "s3://bucket/datasets/acme/people/".to_owned(),
                kind: "rest".to_owned(),
                destination: "crm".parse().expect("a name"),
                list: id.to_string(),
            },
            config: ConfigStamp { epoch, fingerprint: config.fingerprint() },
            object,
            paused: false,
            applied_at: self.clock.now(),
            revision: epoch + 1,
        };
        let _ = at_once(self.memory.put_sync(&entry)).expect("memory");
    }

    // ---- what people do

    /// The syncs.
    #[must_use]
    pub fn syncs(&self) -> &[SyncId] {
        &self.syncs
    }

    /// The first sync.
    #[must_use]
    pub fn sync(&self) -> SyncId {
        self.syncs[0].clone()
    }

    /// Its head.
    #[must_use]
    pub fn head(&self, sync: &SyncId) -> Option<Head> {
        at_once(self.memory.head(sync)).expect("memory")
    }

    /// The table behind what the functions see.
    #[must_use]
    pub fn memory(&self) -> &MemoryDeltalog {
        &self.memory
    }

    /// The bucket behind what the functions see.
    #[must_use]
    pub fn bucket(&self) -> &MemoryObjects {
        &self.bucket
    }

    /// Uploads a snapshot under a new name, or over the last one, and announces it. Returns the announcement.
    pub fn upload(&mut self, people: People, same_name: bool) -> String {
        self.clock.advance(1000);
        let n = self.uploads.len();
        let key = object_key(&if same_name { "latest".to_owned() } else { format!("s{n:03}") });
        let meta: ObjectMeta = self.bucket.upload(&key, parquet(&people), self.clock.now());
        let body = events::object_created("bucket", &meta, n as u64 + 1).to_string();
        let sequencer = Some(format!("{:016X}", n + 1));
        let order = SnapshotOrder { version: None, modified: meta.modified, key, sequencer };
        self.ghosts.note(format!("-- snapshot {n}: {}", shown(&people)));
        self.ghosts.uploaded(order, people);
        self.uploads.push(body.clone());
        self.send(INGEST, &body);
        body
    }

    /// The announcement of an earlier snapshot.
    #[must_use]
    pub fn announcement(&self, n: usize) -> Option<String> {
        self.uploads.get(n % self.uploads.len().max(1)).cloned()
    }

    /// Applies the next mapping to a sync and asks for an ingest, as `driftless apply` does.
    pub fn reconfigure(&mut self, sync: &SyncId) {
        let entry = at_once(self.memory.sync(sync)).expect("memory").expect("applied");
        self.ghosts.note(format!("-- {sync}: configuration {}", entry.config.epoch + 1));
        self.configure(sync, entry.config.epoch + 1);
        let message =
            Message::Ingest { dataset: dataset(), sync: Some(sync.clone()), cause: "apply".to_owned(), then_plan: None };
        self.send(INGEST, &message.to_body());
    }

    /// A new tick of the schedule.
    pub fn tick(&mut self, sync: &SyncId) -> String {
        self.ticks += 1;
        let tick = format!("tick-{}", self.ticks);
        let message =
            Message::Plan { sync: sync.clone(), tick, cause: "schedule".to_owned(), after_ingest: false }.to_body();
        self.send(PLANNER, &message);
        message
    }

    /// The periodic sweep of the janitor.
    pub fn ask_for_sweep(&self) {
        self.send(JANITOR, &Message::Sweep { sync: None, run: None }.to_body());
    }

    /// Approves the oldest hold of a sync. False: there is none.
    pub fn approve(&self, sync: &SyncId) -> bool {
        let Some(head) = self.head(sync) else { return false };
        let Some((n, hold)) = head.active_holds().next() else { return false };
        let _ = at_once(self.log.approve(sync, n, hold.count, self.clock.now()));
        true
    }

    /// Puts a message into a queue.
    pub fn send(&self, url: &str, body: &str) {
        let message = Outgoing { body: body.to_owned(), delay_s: 0, group: None };
        at_once(self.queue.send(url, &[message])).expect("memory");
    }

    // ---- invocations

    /// Starts the function that drains `url` with a message of its queue. `None`: there is no such visible message.
    pub fn receive(&mut self, url: &str, id: &str) -> Option<TaskId> {
        let record = self.queue.receive_one(url, id, VISIBILITY_S)?;
        let body = record.body.clone().unwrap_or_default();
        self.received.insert((url.to_owned(), body.clone()));
        Some(self.invoke(url, body, Some(record.receipt)))
    }

    /// Starts the function that drains `url` with a body, beside the queue: a duplicate delivery.
    pub fn invoke(&mut self, url: &str, body: String, receipt: Option<String>) -> TaskId {
        let url = url.to_owned();
        let function = match url.as_str() {
            INGEST => "ingest",
            PLANNER => "planner",
            JANITOR => "janitor",
            _ => "connector",
        };
        let queue = Arc::clone(&self.queue);
        self.spawn(function, move |ports| async move {
            let verdict = match ports.steps_for(&url, &body).await {
                Ok(verdict) => verdict,
                Err(e) => {
                    ports.ghosts.note(format!("   fails: {e}"));
                    Verdict::Failed
                }
            };
            let Some(receipt) = receipt else { return };
            match verdict {
                Verdict::Done => queue.delete(&url, &receipt),
                Verdict::Later(after) => {
                    let seconds = u32::try_from(after.as_secs()).unwrap_or(900).min(900);
                    let _ = queue.defer(&url, &receipt, seconds).await;
                }
                Verdict::Failed => {}
            }
        })
    }

    /// `driftless erase`.
    pub fn erase(&mut self, id: &str) -> TaskId {
        self.ghosts.note(format!("-- erase {id}"));
        let id = id.to_owned();
        self.spawn("erase", move |ports| async move {
            if let Err(e) = ports.erase(&id).await {
                ports.ghosts.note(format!("   fails: {e}"));
            }
        })
    }

    fn spawn<F, R>(&mut self, function: &'static str, start: F) -> TaskId
    where
        F: FnOnce(Ports) -> R + 'static,
        R: Future<Output = ()> + 'static,
    {
        let id = TaskId(self.spawned);
        self.spawned += 1;
        let life = driftless_testkit::Life::default();
        let at: Whereabouts = Arc::new(Mutex::new(None));
        let started = self.clock.now();
        let queue: Arc<dyn Queue> = Arc::clone(&self.queue) as Arc<dyn Queue>;
        let forgets = function == "janitor" && self.setup.forgotten == Some(Forgotten::Resending);
        let keeping = Keeping { grace: 600_000, log: 1_000_000, stalled: 300_000, ..Keeping::default() };
        let mut ports = Ports {
            log: Arc::clone(&self.log) as Arc<dyn Deltalog>,
            objects: Arc::clone(&self.objects) as Arc<dyn Objects>,
            queue: if forgets { Arc::new(Forgetful(queue)) } else { queue },
            clock: Arc::clone(&self.clock),
            tokens: Arc::clone(&self.tokens) as Arc<dyn driftless_model::Tokens>,
            remote: Arc::clone(&self.remote),
            ghosts: Arc::clone(&self.ghosts),
            steps: steps(function, &life, &at, &self.faults, &self.visits),
            keeping,
            stop_at: started.plus(FUNCTION_MS - MARGIN_MS),
        };
        ports.keeping.folding.share_percent = self.setup.fold_percent;
        if self.setup.forgotten == Some(Forgotten::Counting) {
            (ports.keeping.grace, ports.keeping.log) = (0, 0);
        }
        let future = Box::pin(start(ports.stepped()));
        let name = format!("{function}{}", id.0);
        self.ghosts.note(format!("{name} starts"));
        self.tasks.push(Task { id, name, started, life, at, future });
        id
    }

    /// Invocations under way, oldest first.
    #[must_use]
    pub fn running(&self) -> Vec<TaskId> {
        self.tasks.iter().map(|t| t.id).collect()
    }

    /// Moves time, and with it everything that waits for it.
    pub fn pass(&mut self, ms: i64) {
        self.clock.advance(ms);
        self.remote.land(self.clock.now(), &self.ghosts);
        // Lambda kills what has used up its time.
        let now = self.clock.now();
        let ghosts = &self.ghosts;
        self.tasks.retain(|t| {
            let alive = now.0 - t.started.0 <= FUNCTION_MS;
            if !alive {
                ghosts.note(format!("{} is killed: its time is over", t.name));
            }
            alive
        });
    }

    /// One step of an invocation. False: it is not under way any more.
    pub fn step(&mut self, id: TaskId) -> bool {
        self.pass(STEP_MS);
        let Some(at) = self.tasks.iter().position(|t| t.id == id) else { return false };
        let before = self.tasks[at].passed();
        let ended = self.tasks[at].poll();
        let task = &self.tasks[at];
        if let (Some((point, when)), true) = (task.passed(), task.passed() != before) {
            let side = if when == When::Before { "before" } else { "after" };
            let died = if task.life.is_dead() { " DIES" } else { "" };
            if died != "" || !point.step.starts_with("read") {
                self.ghosts.note(format!("{} {side} {}{died}", task.name, point.step));
            }
        }
        if ended {
            self.tasks.remove(at);
        }
        !ended
    }

    /// Kills an invocation where it is.
    pub fn kill(&mut self, id: TaskId) {
        if let Some(at) = self.tasks.iter().position(|t| t.id == id) {
            self.ghosts.note(format!("{} is killed", self.tasks[at].name));
            self.tasks.remove(at);
        }
    }

    /// Lets an invocation run to its end.
    pub fn finish(&mut self, id: TaskId) {
        while self.step(id) {}
    }

    /// Lets an invocation run until it has passed a step on the given side. False: it ended without.
    pub fn run_until(&mut self, id: TaskId, step: &str, side: When) -> bool {
        while self.step(id) {
            let task = self.tasks.iter().find(|t| t.id == id);
            if task.and_then(Task::passed).is_some_and(|(p, w)| p.step == step && w == side) {
                return true;
            }
        }
        false
    }

    /// Lets everything that is under way come to its end, one after the other.
    pub fn drain(&mut self) {
        while let Some(id) = self.running().first().copied() {
            self.finish(id);
        }
    }

    /// Receives every visible message and works it off, and whatever that asks for, until nothing is visible.
    pub fn work_off(&mut self, urls: &[&str]) {
        for _ in 0..200 {
            let next = urls.iter().find_map(|url| self.queue.visible(url).first().map(|id| ((*url).to_owned(), id.clone())));
            let Some((url, id)) = next else { return };
            if let Some(task) = self.receive(&url, &id) {
                self.finish(task);
            }
        }
        self.ghosts.violated("DL-6 messages never end");
    }

    /// Every queue.
    pub const QUEUES: [&'static str; 4] = [INGEST, PLANNER, TO_CRM, JANITOR];

    /// Works off announcements and requests to ingest.
    pub fn ingest(&mut self) {
        self.work_off(&[INGEST]);
    }

    /// A new tick, planned.
    pub fn plan(&mut self) {
        let sync = self.sync();
        self.tick(&sync);
        self.work_off(&[PLANNER]);
    }

    /// Works off calls.
    pub fn deliver(&mut self) {
        self.work_off(&[TO_CRM]);
    }

    /// A periodic sweep.
    pub fn sweep(&mut self) {
        self.ask_for_sweep();
        self.work_off(&[JANITOR]);
    }

    /// Ticks, calls and sweeps until nothing is asked for any more.
    pub fn refresh(&mut self) {
        self.plan();
        self.work_off(&Self::QUEUES);
        self.sweep();
        self.work_off(&Self::QUEUES);
    }

    /// A request to plan, without a message.
    #[must_use]
    pub fn request(&self, tick: &str) -> Request {
        Request { sync: self.sync(), tick: tick.to_owned(), cause: "test".to_owned(), look_for_snapshot: false }
    }

    /// Starts a planner for a tick; it may be paused.
    pub fn planner(&mut self, tick: &str) -> TaskId {
        let request = self.request(tick);
        self.spawn("planner", move |ports| async move {
            if let Err(e) = ports.plan(&request).await {
                ports.ghosts.note(format!("   fails: {e}"));
            }
        })
    }

    /// Every message that was ever received, with its queue.
    #[must_use]
    pub fn received(&self) -> Vec<(String, String)> {
        self.received.iter().cloned().collect()
    }

    /// Forgets what has expired, as the table does.
    pub fn expire(&self) {
        self.memory.expire(self.clock.now());
    }

    /// Everything that counts when two moments are compared.
    #[must_use]
    pub fn signature(&self) -> String {
        let mut parts = Vec::new();
        for sync in &self.syncs {
            let rejects = at_once(self.memory.rejects(sync)).expect("memory");
            let attempts: BTreeMap<_, _> = rejects.iter().map(|r| ((r.key_hash, r.attr_hash), r.attempts)).collect();
            parts.push(format!("{:?} {attempts:?}", self.head(sync)));
        }
        parts.push(self.ghosts.writes().to_string());
        parts.join("\n")
    }
}

impl Ports {
    async fn steps_for(
        &self,
        url: &str,
        body: &str,
    ) -> Result<Verdict, Box<dyn core::error::Error + Send + core::marker::Sync>> {
        match url {
            INGEST => self.take_up(body).await,
            PLANNER => match Message::parse(body)? {
                Message::Plan { sync, tick, cause, after_ingest } => {
                    self.plan(&Request { sync, tick, cause, look_for_snapshot: !after_ingest }).await
                }
                _ => Ok(Verdict::Done),
            },
            JANITOR => self.sweep(body).await,
            _ => self.deliver(body).await,
        }
    }
}

fn dataset() -> DatasetId {
    "acme/people".parse().expect("a name")
}

fn shown(people: &People) -> String {
    let one = |p: &crate::Person| {
        let phone = p.phone.as_deref().unwrap_or("-");
        format!("{}:{}/{phone}/{}/{}", p.id, p.email.trim_end_matches("@x.example"), p.plan, if p.consent { "y" } else { "n" })
    };
    people.iter().map(one).collect::<Vec<_>>().join(" ")
}
