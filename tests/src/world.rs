//! One simulation: stores, clock, queues, destination, and the invocations that are under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use driftless_delivery::{MemoryQueue, Message, Outgoing, Queue};
use driftless_deltalog::head::{ConfigStamp, Head, Names};
use driftless_deltalog::registry::{DestinationEntry, SyncEntry};
use driftless_deltalog::{Deltalog, MemoryDeltalog};
use driftless_model::{Clock, DatasetId, Identifier, Meter, Millis, SnapshotOrder, SyncId};
use driftless_objects::{MemoryObjects, ObjectMeta, Objects};
use driftless_state::names;
use driftless_testkit::{CountingTokens, ManualClock, Random, Visits, events};

use crate::at_once;
use crate::dataset::{Mapping, People, Settings, destination, object_key, parquet, replacing, sync};
use crate::faults::Faults;
use crate::functions::{INGEST, JANITOR, PLANNER, TO_CRM};
use crate::ghosts::Ghosts;
use crate::list::Remote;
use crate::store::{DatedObjects, Forgotten, WatchedDeltalog};
use crate::task::Task;

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
    /// More changes than this are a bulk version.
    pub bulk: u64,
    /// Uncommitted versions that are not merged yet.
    pub chain: usize,
    /// How long what nobody refers to is kept.
    pub grace_ms: i64,
    /// The destination refuses a request as a whole.
    pub all_or_nothing: bool,
    /// The destination has an update of its own.
    pub updates: bool,
    /// The destination accepts requests and tells later what became of them.
    pub jobs: bool,
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
            bulk: u64::MAX,
            chain: 50,
            grace_ms: 600_000,
            all_or_nothing: false,
            updates: false,
            jobs: false,
            forgotten: None,
        }
    }
}

/// See the module.
pub struct World {
    pub(crate) setup: Setup,
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
    /// What the functions use is charged to the syncs. Nothing fails then.
    pub billed: bool,
    /// Counts what the bucket, the queues and, where it is billed, the table are asked.
    pub meter: Meter,
    /// The table, as the functions see it.
    pub log: Arc<WatchedDeltalog>,
    pub(crate) memory: Arc<MemoryDeltalog>,
    pub(crate) bucket: Arc<MemoryObjects>,
    pub(crate) objects: Arc<DatedObjects>,
    pub(crate) tokens: Arc<CountingTokens>,
    pub(crate) syncs: Vec<SyncId>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) spawned: u64,
    /// Erasures that have not come to their end.
    pub(crate) unfinished: Arc<Mutex<BTreeSet<String>>>,
    uploads: Vec<String>,
    ticks: u64,
    /// Every message that was ever received, with its queue.
    pub(crate) received: BTreeSet<(String, String)>,
}

impl World {
    /// With configuration applied and nothing ingested.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let clock = ManualClock::new(Millis(1_800_000_000_000));
        let memory = Arc::new(MemoryDeltalog::default());
        let meter = Meter::default();
        let bucket = Arc::new(MemoryObjects::default().metered(meter.clone()));
        let remote = Arc::new(Remote::default());
        let ghosts = Arc::new(Ghosts::new(Arc::clone(&memory), Arc::clone(&bucket), Arc::clone(&remote)));
        let settings = setup.settings;
        ghosts.set_limits(settings.attempt_limit, settings.max_removals);
        remote.set_all_or_nothing(setup.all_or_nothing);
        remote.set_jobs(setup.jobs);
        let log = Arc::new(WatchedDeltalog::new(Arc::clone(&memory), Arc::clone(&ghosts), setup.forgotten));
        let mut world = Self {
            queue: Arc::new(MemoryQueue::new(Arc::clone(&clock) as Arc<dyn Clock>).metered(meter.clone())),
            meter,
            billed: false,
            objects: Arc::new(DatedObjects::new(Arc::clone(&bucket), Arc::clone(&clock), setup.forgotten)),
            tokens: Arc::new(CountingTokens::new(setup.seed)),
            faults: Arc::new(Faults::new(Random::new(setup.seed).fork())),
            visits: Visits::default(),
            syncs: Vec::new(),
            tasks: Vec::new(),
            spawned: 0,
            unfinished: Arc::default(),
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
        let described = match self.setup.settings.replaces {
            Some(how) => replacing(how),
            None => destination(self.setup.all_or_nothing, self.setup.updates),
        };
        let described = serde_json::to_vec(&described);
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

    /// The members of the list that it goes by: by identifier, what it carries.
    #[must_use]
    pub fn members(&self, sync: &SyncId) -> BTreeMap<Identifier, String> {
        let head = self.head(sync);
        self.remote.members(sync, head.as_ref().map_or(sync.as_str(), |h| h.list()))
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
        let message = Message::Ingest {
            dataset: dataset(),
            sync: Some(sync.clone()),
            cause: "apply".to_owned(),
            then_plan: None,
        };
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

fn dataset() -> DatasetId {
    "acme/people".parse().expect("a name")
}

fn shown(people: &People) -> String {
    let one = |p: &crate::Person| {
        let phone = p.phone.as_deref().unwrap_or("-");
        format!(
            "{}:{}/{phone}/{}/{}",
            p.id,
            p.email.trim_end_matches("@x.example"),
            p.plan,
            if p.consent { "y" } else { "n" }
        )
    };
    people.iter().map(one).collect::<Vec<_>>().join(" ")
}
