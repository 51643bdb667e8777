//! The functions `ingest` and `planner`, as they are deployed but on stores in memory, with applied configuration.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use driftless_config::{Destination, Sync};
use driftless_delivery::{MemoryQueue, Message, Record, Verdict};
use driftless_deltalog::head::{ConfigStamp, Head, Names};
use driftless_deltalog::ledger::{InputReject, Reject};
use driftless_deltalog::registry::{DestinationEntry, SyncEntry};
use driftless_deltalog::{Deltalog, MemoryDeltalog};
use driftless_fn_ingest::{Bulk, Ingest, IngestFunction};
use driftless_fn_planner::PlannerFunction;
use driftless_fn_planner::plan::Planner;
use driftless_model::{Clock, DatasetId, InTurn, Meter, Millis, ObjectVersion, SyncId, Tokens};
use driftless_objects::{MemoryObjects, Objects};
use driftless_runtime::{Deadline, Function, Metrics};
use driftless_snapshot::{HashKey, Limits, Report, Source, View, ViewSpec};
use driftless_state::{SyncState, names};
use driftless_testkit::{CountingTokens, ManualClock, Snapshot, events};
use futures::executor::block_on;
use serde_json::{Value, json};

const PLANNER: &str = "memory:planner";
const TO_CRM: &str = "memory:to-crm";

pub(crate) fn hash_key() -> HashKey {
    HashKey::new([7; 32])
}

/// A snapshot of text columns.
pub(crate) fn texts(columns: &[&str], rows: &[&[Option<&str>]]) -> Bytes {
    let rows = rows.iter().map(|row| row.iter().map(|cell| (*cell).into()).collect::<Vec<_>>());
    Snapshot::of_texts(columns).rows(rows).bytes()
}

/// A snapshot of keys and e-mail addresses.
pub(crate) fn people(rows: &[(&str, &str)]) -> Bytes {
    let rows: Vec<[Option<&str>; 3]> = rows.iter().map(|(id, email)| [Some(*id), Some(*email), None]).collect();
    let rows: Vec<&[Option<&str>]> = rows.iter().map(<[_; 3]>::as_slice).collect();
    texts(&["id", "email", "name"], &rows)
}

/// See the module.
pub(crate) struct Stage {
    log: Arc<MemoryDeltalog>,
    objects: Arc<MemoryObjects>,
    queue: Arc<MemoryQueue>,
    clock: Arc<ManualClock>,
    ingest: IngestFunction,
    planner: PlannerFunction,
}

impl Stage {
    /// Syncs of the dataset `acme/people`, each with settings of its own, to one destination that takes 500 records and so
    /// many bytes a request.
    pub(crate) fn new(syncs: &[(&str, Value)], bytes: Option<u64>) -> Self {
        let log = Arc::new(MemoryDeltalog::default());
        let objects = Arc::new(MemoryObjects::default());
        let clock = ManualClock::new(Millis(1_800_000_000_000));
        let queue = Arc::new(MemoryQueue::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let tokens: Arc<dyn Tokens> = Arc::new(CountingTokens::new(1));
        let sink = |function| {
            let clock = Arc::clone(&clock) as Arc<dyn Clock>;
            Arc::new(Metrics::new(driftless_runtime::Stage::default(), function, clock, std::io::sink()))
        };
        let ingest = Ingest {
            log: Arc::clone(&log) as Arc<dyn Deltalog>,
            objects: Arc::clone(&objects) as Arc<dyn Objects>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            tokens: Arc::clone(&tokens),
            hash_key: hash_key(),
            limits: Limits::default(),
            lanes: Arc::new(InTurn::cut_in(2)),
            meter: Meter::default(),
            bulk: Bulk::default(),
        };
        let planner = Planner {
            log: Arc::clone(&log) as Arc<dyn Deltalog>,
            objects: Arc::clone(&objects) as Arc<dyn Objects>,
            queue: Arc::clone(&queue) as _,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            tokens,
            hash_key: hash_key(),
            limits: Limits::default(),
            meter: Meter::default(),
            room: driftless_fn_planner::Room::default(),
            ingest_queue: "memory:ingest".to_owned(),
            own_queue: "memory:planner".to_owned(),
            janitor_queue: "memory:janitor".to_owned(),
        };
        let stage = Self {
            ingest: IngestFunction {
                ingest,
                queue: Arc::clone(&queue) as _,
                planner_queue: PLANNER.to_owned(),
                metrics: sink("ingest"),
            },
            planner: PlannerFunction { planner, metrics: sink("planner") },
            log,
            objects,
            queue,
            clock,
        };
        stage.apply(syncs, bytes);
        stage
    }

    fn apply(&self, syncs: &[(&str, Value)], bytes: Option<u64>) {
        let mut described = json!({
            "version": 1, "kind": "rest", "base_url": "https://crm.example",
            "batch": { "records": 500 },
            "add": { "method": "POST", "path": "/add" },
            "remove": { "method": "POST", "path": "/remove" },
        });
        if let Some(bytes) = bytes {
            described["batch"]["bytes"] = bytes.into();
        }
        let destination: Destination = serde_json::from_value(described).expect("a good destination");
        let document = serde_json::to_vec(&destination).expect("it serialises");
        let id = "crm".parse().expect("a name");
        let object = names::destination_document(&id, &document);
        block_on(self.objects.create(&object, document.into())).expect("memory");
        let entry = DestinationEntry {
            destination: id,
            kind: "rest".to_owned(),
            object,
            queue_url: TO_CRM.to_owned(),
            applied_at: self.clock.now(),
        };
        block_on(self.log.put_destination(&entry)).expect("memory");
        for (name, wish) in syncs {
            let mut config = json!({
                "version": 1, "dataset": "acme/people", "key": "id", "selection": "everything",
                "mapping": { "email": { "column": "email", "identifier": true }, "name": "name" },
                "destination": "crm", "list": name, "schedule": "manual",
            });
            for (key, value) in wish.as_object().into_iter().flatten() {
                config[key] = value.clone();
            }
            let config: Sync = serde_json::from_value(config).expect("a good sync");
            let document = serde_json::to_vec(&config).expect("it serialises");
            let object = names::sync_document(&sync_id(name), &document);
            block_on(self.objects.create(&object, document.into())).expect("memory");
            let entry = SyncEntry {
                sync: sync_id(name),
                dataset: dataset(),
                destination: "crm".parse().expect("a name"),
                incarnation: 1,
                names: Names {
                    dataset: dataset(),
                    source: "s3://bucket/datasets/acme/people/".to_owned(),
                    kind: "rest".to_owned(),
                    destination: "crm".parse().expect("a name"),
                    list: (*name).to_owned(),
                },
                config: ConfigStamp { epoch: 0, fingerprint: config.fingerprint() },
                object,
                paused: false,
                applied_at: self.clock.now(),
                revision: 1,
            };
            let _ = block_on(self.log.put_sync(&entry)).expect("memory");
        }
    }

    fn deliver(&self, function: &dyn Function, body: &str) -> Verdict {
        let record = Record {
            message_id: "m1".to_owned(),
            receipt: "r".to_owned(),
            queue: "queue".to_owned(),
            body: Some(body.to_owned()),
            receive_count: 1,
        };
        let now = self.clock.now();
        block_on(function.message(body, &record, Deadline::new(now, now.plus(60_000))))
    }

    /// What ingest says of a message.
    pub(crate) fn ingest(&self, body: &str) -> Verdict {
        self.deliver(&self.ingest, body)
    }

    /// What the planner says of a message.
    pub(crate) fn planner(&self, body: &str) -> Verdict {
        self.deliver(&self.planner, body)
    }

    /// Uploads a snapshot and gives its announcement to ingest.
    pub(crate) fn drop_in(&self, name: &str, bytes: &[u8]) -> Verdict {
        self.clock.advance(1_000);
        let meta = self.objects.upload(&object_key(name), bytes.to_vec().into(), self.clock.now());
        self.ingest(&events::object_created("bucket", &meta, 1).to_string())
    }

    /// Deletes every version of a snapshot's object.
    pub(crate) fn remove_for_good(&self, name: &str) {
        block_on(self.objects.delete(&object_key(name))).expect("memory");
    }

    /// Plans a run by hand.
    pub(crate) fn plan(&self, sync: &str) -> Verdict {
        let message =
            Message::Plan { sync: sync_id(sync), tick: "t".to_owned(), cause: "test".to_owned(), after_ingest: true };
        self.planner(&message.to_body())
    }

    pub(crate) fn head(&self, sync: &str) -> Option<Head> {
        block_on(self.log.head(&sync_id(sync))).expect("memory")
    }

    pub(crate) fn refused(&self, subject: &str) -> Vec<InputReject> {
        block_on(self.log.input_rejects(subject)).expect("memory")
    }

    pub(crate) fn rejects(&self, sync: &str) -> Vec<Reject> {
        block_on(self.log.rejects(&sync_id(sync))).expect("memory")
    }

    /// The calls that wait for the destination.
    pub(crate) fn calls(&self) -> Vec<Value> {
        let bodies = self.queue.messages(TO_CRM).into_iter().map(|m| m.body);
        bodies.map(|body| serde_json::from_str(&body).expect("a message of ours")).collect()
    }

    /// Keys of the records in D.
    pub(crate) fn members(&self, sync: &str) -> Vec<String> {
        self.d(sync).into_iter().map(|(key, _)| key).collect()
    }

    /// The identifiers that D has of one record.
    pub(crate) fn identifiers(&self, sync: &str, key: &str) -> Vec<String> {
        let d = self.d(sync).into_iter().filter(|(k, _)| k == key);
        d.flat_map(|(_, ids)| ids).collect()
    }

    fn d(&self, sync: &str) -> Vec<(String, Vec<String>)> {
        let head = self.head(sync).expect("ingested");
        let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), &head);
        let states = block_on(state.touched(None)).expect("memory").states;
        let selected = states.into_values().filter_map(|(key, s)| s.map(|s| (key, s)));
        let mut d: Vec<(String, Vec<String>)> = selected
            .map(|(key, s)| (key.as_str().to_owned(), s.identifiers.into_iter().map(|i| i.value).collect()))
            .collect();
        d.sort();
        d
    }

    /// What a pass over a snapshot reports for a sync.
    pub(crate) fn report(&self, sync: &str, bytes: &Bytes) -> Report {
        let objects = MemoryObjects::default();
        let parts: [ObjectVersion; 1] = [objects.upload("one.parquet", bytes.clone(), Millis(0)).object];
        let entry = block_on(self.log.sync(&sync_id(sync))).expect("memory").expect("applied");
        let config = block_on(driftless_state::documents::sync(self.objects.as_ref(), &entry)).expect("stored");
        let (spec, erased, limits) = (ViewSpec::from(&config), BTreeSet::new(), Limits::default());
        let source = Source { objects: &objects, parts: &parts, limits: &limits };
        let digested = block_on(driftless_snapshot::digest(
            source,
            &[View { spec: &spec, erased: &erased }],
            &hash_key(),
            &InTurn::cut_in(2),
        ));
        digested.expect("a good snapshot").pop().expect("one view").expect("a good view").report
    }
}

fn object_key(name: &str) -> String {
    format!("datasets/acme/people/{name}.parquet")
}

fn sync_id(name: &str) -> SyncId {
    name.parse().expect("a name")
}

fn dataset() -> DatasetId {
    "acme/people".parse().expect("a name")
}
