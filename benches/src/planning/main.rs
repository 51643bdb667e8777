//! What planning and committing take of a function: the product's own functions, one step a process.
//!
//! `driftless-planning STEP WORK [SNAPSHOT]`. The objects lie in files below WORK, and the table, which is one in memory, is kept
//! in WORK/table.json between the steps; what its items take is not part of what is measured before a step begins.
//!
//! | step | does |
//! |---|---|
//! | `apply` | registers one sync of all columns, and its destination (not measured) |
//! | `ingest` | takes the part files in SNAPSHOT up |
//! | `assume` | writes the history that delivering all of it would leave (not measured): a list to begin with |
//! | `plan` | plans a run |
//! | `commit` | says that every call of the active run was delivered, then sweeps: the run is committed |
//!
//! Each prints one line of JSON: what came of it, seconds, megabytes, and what it read and wrote. `DRIFTLESS_BENCH_MEMORY` is
//! the function's memory in MB, `DRIFTLESS_BENCH_RECORDS` the records of a request to the destination.

#[path = "../answer.rs"]
mod answer;
#[path = "../files.rs"]
mod files;
#[path = "../lanes.rs"]
mod lanes;
mod process;
mod table;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use driftless_changeset::BulkThreshold;
use driftless_config::Sync;
use driftless_delivery::{MemoryQueue, Queue};
use driftless_deltalog::head::{ConfigStamp, HistoryRef, Names, Swap};
use driftless_deltalog::ledger::CallOutcome;
use driftless_deltalog::registry::{DestinationEntry, SyncEntry};
use driftless_deltalog::{Deltalog, MemoryDeltalog, Metered};
use driftless_fn_ingest::{Bulk, Ingest};
use driftless_fn_janitor::{Janitor, Keeping};
use driftless_fn_planner::Room;
use driftless_fn_planner::plan::{Planned, Planner, Request};
use driftless_history::{FileMeta, encode_history};
use driftless_model::{AckRow, Acknowledged, Clock, DatasetId, Meter, Millis, SnapshotOrder, SnapshotRef, Tokens};
use driftless_objects::Objects;
use driftless_runtime::{SystemClock, UlidTokens};
use driftless_snapshot::{HashKey, Limits, Source};
use driftless_state::room::Memory;
use driftless_state::{SyncState, names};
use serde_json::{Value, json};

use crate::files::Files;
use crate::lanes::Threads;
use crate::table::Kept;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    answer::answer(run(&arguments))
}

fn run(arguments: &[String]) -> anyhow::Result<Value> {
    let (step, work, snapshot) = match arguments {
        [step, work] => (step, Path::new(work), None),
        [step, work, snapshot] => (step, Path::new(work), Some(Path::new(snapshot))),
        _ => anyhow::bail!("usage: driftless-planning apply|ingest|assume|plan|commit WORK [SNAPSHOT]"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let bench = Bench::new(work).await?;
        match (step.as_str(), snapshot) {
            ("apply", Some(snapshot)) => bench.apply(snapshot).await,
            ("ingest", Some(snapshot)) => Box::pin(bench.measured(bench.ingest(snapshot))).await,
            ("assume", _) => bench.assume().await,
            ("plan", _) => Box::pin(bench.measured(bench.plan())).await,
            ("commit", _) => {
                let calls = bench.deliver().await?;
                let told = Box::pin(bench.measured(bench.commit())).await?;
                Ok(json!({ "calls": calls, "of": told }))
            }
            (other, _) => anyhow::bail!("there is no step {other}, or it needs a snapshot"),
        }
    })
}

struct Bench<'a> {
    work: &'a Path,
    memory: Arc<MemoryDeltalog>,
    log: Arc<dyn Deltalog>,
    files: Arc<Files>,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    tokens: Arc<dyn Tokens>,
    meter: Meter,
}

const QUEUES: [&str; 4] = ["memory:ingest", "memory:planner", "memory:janitor", "memory:to-crm"];

fn dataset() -> anyhow::Result<DatasetId> {
    Ok("bench/people".parse()?)
}

fn number(name: &str, otherwise: u64) -> anyhow::Result<u64> {
    std::env::var(name).ok().map_or(Ok(otherwise), |text| text.parse().with_context(|| format!("{name} is no number")))
}

/// The functions' memory.
fn memory() -> anyhow::Result<u64> {
    Ok(number("DRIFTLESS_BENCH_MEMORY", 10_240)? << 20)
}

impl<'a> Bench<'a> {
    async fn new(work: &'a Path) -> anyhow::Result<Self> {
        let meter = Meter::default();
        let memory = Arc::new(MemoryDeltalog::default());
        if let Some(kept) = Kept::read(work)? {
            kept.into_table(&memory).await?;
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let log: Arc<dyn Deltalog> = Arc::new(Metered::new(Arc::clone(&memory) as Arc<dyn Deltalog>, meter.clone()));
        Ok(Self {
            work,
            memory,
            log,
            files: Arc::new(Files::new(&work.join("bucket"))),
            queue: Arc::new(MemoryQueue::new(Arc::clone(&clock)).metered(meter.clone())),
            tokens: Arc::new(UlidTokens::new(Arc::clone(&clock))),
            clock,
            meter,
        })
    }

    fn objects(&self) -> Arc<dyn Objects> {
        Arc::clone(&self.files) as Arc<dyn Objects>
    }

    /// Does a step, and says what it took.
    async fn measured(&self, step: impl Future<Output = anyhow::Result<Value>>) -> anyhow::Result<Value> {
        let (before, total, begun) = (process::begin()?, self.meter.total(), Instant::now());
        let outcome = step.await?;
        let seconds = begun.elapsed().as_secs_f64();
        let peak = process::peak_mb()?;
        let used = self.meter.total();
        Kept::of(&self.memory, &"people".parse()?).await?.write(self.work)?;
        Ok(json!({
            "outcome": outcome, "s": seconds, "before_mb": before, "peak_mb": peak,
            "read_mb": megabytes(self.files.bytes_read()), "gets": self.files.requests(),
            "written_mb": megabytes(self.files.bytes_written()), "puts": self.files.writes(),
            "read_units": used.read_units - total.read_units, "write_units": used.write_units - total.write_units,
            "messages": used.messages - total.messages,
        }))
    }

    async fn apply(&self, snapshot: &Path) -> anyhow::Result<Value> {
        let parts = self.parts(snapshot).await?;
        let limits = Limits::default();
        let source = Source { objects: self.files.as_ref(), parts: &parts, limits: &limits };
        let schema = driftless_snapshot::schema(source).await?;
        let mapping: serde_json::Map<String, Value> = (schema.fields().iter())
            .map(|c| (c.name().clone(), json!({ "column": c.name(), "identifier": c.name() == "email" })))
            .collect();
        let config: Sync = serde_json::from_value(json!({
            "version": 1, "dataset": "bench/people", "key": "email", "selection": "everything", "mapping": mapping,
            "destination": "crm", "list": "everybody", "schedule": "manual", "first_sync": "ignore",
            "guards": { "max_removals": "100%" },
        }))?;
        let document = serde_json::to_vec(&config)?;
        let sync = "people".parse()?;
        let object = names::sync_document(&sync, &document);
        self.files.create(&object, document.into()).await?;
        let operation = |path: &str| json!({ "method": "POST", "path": path });
        let described = serde_json::to_vec(&serde_json::from_value::<driftless_config::Destination>(json!({
            "version": 1, "kind": "rest", "base_url": "https://crm.example",
            "batch": { "records": number("DRIFTLESS_BENCH_RECORDS", 1_000)? },
            "add": operation("/add"), "remove": operation("/remove"),
        }))?)?;
        let destination = "crm".parse()?;
        let at = self.clock.now();
        let document = names::destination_document(&destination, &described);
        self.files.create(&document, described.into()).await?;
        let entry = DestinationEntry {
            destination,
            kind: "rest".to_owned(),
            object: document,
            queue_url: QUEUES[3].to_owned(),
            applied_at: at,
        };
        let sync = SyncEntry {
            sync,
            dataset: dataset()?,
            destination: "crm".parse()?,
            incarnation: 1,
            names: Names {
                dataset: dataset()?,
                source: "files".to_owned(),
                kind: "rest".to_owned(),
                destination: "crm".parse()?,
                list: "everybody".to_owned(),
            },
            config: ConfigStamp { epoch: 0, fingerprint: config.fingerprint() },
            object,
            paused: false,
            applied_at: at,
            revision: 1,
        };
        Kept { sync: Some(sync), destination: Some(entry), ..Kept::default() }.write(self.work)?;
        Ok(json!({ "applied": "people" }))
    }

    async fn parts(&self, snapshot: &Path) -> anyhow::Result<Vec<driftless_model::ObjectVersion>> {
        let folder = snapshot.canonicalize()?;
        let folder = folder.to_str().context("a name in UTF-8")?;
        Ok(self.files.list(&format!("{folder}/")).await?.into_iter().map(|meta| meta.object).collect())
    }

    async fn ingest(&self, snapshot: &Path) -> anyhow::Result<Value> {
        let ingest = Ingest {
            log: Arc::clone(&self.log),
            objects: self.objects(),
            clock: Arc::clone(&self.clock),
            tokens: Arc::clone(&self.tokens),
            hash_key: HashKey::new([7; 32]),
            limits: Limits::default(),
            lanes: Arc::new(Threads(2)),
            meter: self.meter.clone(),
            bulk: Bulk { threshold: BulkThreshold::default(), ..Bulk::default() },
        };
        let parts = self.parts(snapshot).await?;
        let key = parts.first().context("no files")?.key.clone();
        let order = SnapshotOrder { version: None, modified: self.clock.now(), key, sequencer: None };
        let taken = ingest.take_up(&dataset()?, &SnapshotRef { order, parts }, None, self.deadline()).await?;
        Ok(json!(format!("{taken:?}")))
    }

    /// All of D is acknowledged, as if a run had delivered it.
    async fn assume(&self) -> anyhow::Result<Value> {
        let sync = "people".parse()?;
        let mut head = self.memory.head(&sync).await?.context("nothing was ingested")?;
        let state = SyncState::new(self.memory.as_ref(), self.files.as_ref(), &head);
        let bulk = state.bulk_file(None).await?.context("a first load that is a bulk version")?;
        let at = Some(self.clock.now());
        let rows = bulk.all().await?.into_iter().map(|(key_hash, row)| {
            let identifiers = row.state.identifiers.clone();
            let sent = Acknowledged { attr_hash: row.state.attr_hash, identifiers: row.state.identifiers };
            let new = AckRow::unacknowledged(key_hash, row.state.key);
            AckRow { acknowledged: Some(sent), identifiers, added_at: at, last_sent_at: at, ..new }
        });
        let (token, fingerprint) = (self.tokens.token(), head.config.fingerprint.clone());
        let meta = FileMeta { stamp: token.to_string(), fingerprint: fingerprint.clone(), ..FileMeta::default() };
        let members = bulk.len();
        let object = names::history(&sync, 1, &token);
        self.files.create(&object, encode_history(rows, &meta)?).await?;
        (head.stamp, head.history) = (token, Some(HistoryRef { object, fingerprint, rows: members }));
        head.versions.clear();
        let kept = Kept::of(&self.memory, &sync).await?;
        Kept { head: Some(head), items: Vec::new(), ..kept }.write(self.work)?;
        Ok(json!({ "history": members }))
    }

    fn deadline(&self) -> Millis {
        self.clock.now().plus(3_600_000)
    }

    async fn plan(&self) -> anyhow::Result<Value> {
        let planner = Planner {
            log: Arc::clone(&self.log),
            objects: self.objects(),
            queue: Arc::clone(&self.queue),
            clock: Arc::clone(&self.clock),
            tokens: Arc::clone(&self.tokens),
            hash_key: HashKey::new([7; 32]),
            limits: Limits::default(),
            meter: self.meter.clone(),
            room: Room {
                planner: Memory::of_planner(memory()?),
                janitor: Memory::of_janitor(memory()?),
                ..Room::default()
            },
            ingest_queue: QUEUES[0].to_owned(),
            own_queue: "memory:planner".to_owned(),
            janitor_queue: QUEUES[2].to_owned(),
        };
        let request = Request {
            sync: "people".parse()?,
            tick: self.tokens.token().to_string(),
            cause: "bench".to_owned(),
            look_for_snapshot: false,
            compare: None,
        };
        let planned = planner.plan(&request).await?;
        if let Planned::Run { run, calls } = &planned {
            let run = self.memory.run(&request.sync, run).await?.context("it was planned")?;
            let counts = run.counts;
            return Ok(json!({
                "adds": counts.adds, "updates": counts.updates, "removals": counts.removals, "calls": calls, "rest": run.rest,
            }));
        }
        Ok(json!(format!("{planned:?}")))
    }

    /// Every call of the active run was delivered.
    async fn deliver(&self) -> anyhow::Result<u64> {
        let sync = "people".parse()?;
        let head = self.memory.head(&sync).await?.context("nothing was ingested")?;
        let run = head.active_run.context("no run is active")?;
        let calls = self.memory.calls(&sync, &run).await?;
        let (token, now) = (self.tokens.token(), self.clock.now());
        for call in &calls {
            self.memory.claim(&sync, &run, call.number, &token, now, now.plus(60_000)).await?;
            let outcome = CallOutcome { at: now, requests: 1, ..CallOutcome::default() };
            let _: Swap = self.memory.settle(&sync, &run, call.number, &token, &outcome).await?;
        }
        Ok(calls.len() as u64)
    }

    async fn commit(&self) -> anyhow::Result<Value> {
        let janitor = Janitor {
            log: Arc::clone(&self.log),
            objects: self.objects(),
            queue: Arc::clone(&self.queue),
            clock: Arc::clone(&self.clock),
            tokens: Arc::clone(&self.tokens),
            meter: self.meter.clone(),
            memory: Memory::of_janitor(memory()?),
            lanes: Arc::new(Threads(2)),
            planner_queue: QUEUES[1].to_owned(),
            janitor_queue: QUEUES[2].to_owned(),
            keeping: Keeping::default(),
        };
        let sync = "people".parse()?;
        let entry = self.log.sync(&sync).await?.context("applied")?;
        // The phases of a run follow each other, a sweep each.
        for _ in 0..8 {
            let swept = janitor.sweep(&entry, false, self.deadline()).await?;
            let head = self.memory.head(&sync).await?.context("there is a head")?;
            if head.active_run.is_none() {
                let history = head.history.as_ref().map_or(0, |h| h.rows);
                return Ok(json!({
                    "swept": format!("{swept:?}"), "history": history, "deltas": head.delivered.len(),
                    "residue": head.residue.map(|r| r.count),
                }));
            }
        }
        anyhow::bail!("the run was not committed")
    }
}

#[allow(clippy::cast_precision_loss)] // shown with few digits
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
