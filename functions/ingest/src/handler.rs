use std::sync::Arc;

use async_trait::async_trait;
use driftless_changeset::BulkThreshold;
use driftless_config::Schedule;
use driftless_delivery::{Incoming, Message, Outgoing, Queue, Record, S3Change, SqsQueue, Verdict};
use driftless_deltalog::ledger::InputReject;
use driftless_deltalog::{Deltalog, DynamoDeltalog};
use driftless_model::{Clock, DatasetId, Disposition, SnapshotRef, SyncId};
use driftless_objects::S3Objects;
use driftless_runtime::{
    Clients, Deadline, DeltalogRejects, Function, IngestConfig, InitError, Metric, Metrics, ProcessEnv, SecretStore,
    SecretsManager, Service, SystemClock, Threads, UlidTokens, chain,
};
use driftless_snapshot::locate::{newest, snapshot_of};
use driftless_snapshot::{HashKey, Limits};
use driftless_state::documents;

use crate::{Bulk, Error, Ingest, Pace, Taken};

/// Builds the function from its environment.
///
/// # Errors
/// [`InitError`]: a variable or the hash secret is missing; every invocation fails until it is repaired.
pub async fn init() -> Result<Service, InitError> {
    let config = IngestConfig::from_env(&ProcessEnv)?;
    let clients = Clients::load().await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let meter = driftless_runtime::meter(&ProcessEnv, &clock);
    let secrets = SecretsManager::new(clients.secrets, Arc::clone(&clock));
    let hash_key = HashKey::new(secrets.hash_key(&config.hash_secret).await?);
    let log: Arc<dyn Deltalog> =
        Arc::new(DynamoDeltalog::new(clients.dynamodb, &config.common.table).metered(meter.clone()));
    let queue: Arc<dyn Queue> = Arc::new(SqsQueue::new(clients.sqs).metered(meter.clone()));
    let metrics = Arc::new(Metrics::to_stdout(config.common.stage.clone(), "ingest", Arc::clone(&clock)));
    let ingest = Ingest {
        log: Arc::clone(&log),
        objects: Arc::new(S3Objects::new(clients.s3, &config.common.bucket).metered(meter.clone())),
        clock: Arc::clone(&clock),
        tokens: Arc::new(UlidTokens::new(Arc::clone(&clock))),
        hash_key,
        limits: Limits { kept_bytes: kept_bytes(config.memory_bytes), ..Limits::default() },
        lanes: Arc::new(Threads::of_processors()),
        meter: meter.clone(),
        bulk: Bulk {
            threshold: BulkThreshold::from_changes(config.bulk_changes),
            pace: Pace::of_memory(config.memory_bytes),
            ..Bulk::default()
        },
    };
    let function = IngestFunction {
        ingest,
        queue: Arc::clone(&queue),
        planner_queue: config.common.planner_queue_url.clone(),
        metrics: Arc::clone(&metrics),
    };
    let rejects = Arc::new(DeltalogRejects::new(log, Arc::clone(&clock)));
    Ok(Service {
        function: Arc::new(function),
        common: config.common,
        queue,
        rejects,
        clock,
        metrics,
        meter,
        at_once: 1,
    })
}

/// Of the function's memory what selected rows may take: the rest is for read buffers, decoders and what changed (DL-9).
fn kept_bytes(memory: u64) -> u64 {
    memory - (200 << 20).min(memory / 2)
}

/// Answers the messages of the ingest queue.
pub struct IngestFunction {
    /// Takes snapshots up.
    pub ingest: Ingest,
    /// Where plans are asked for.
    pub queue: Arc<dyn Queue>,
    /// The planner's queue.
    pub planner_queue: String,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl Function for IngestFunction {
    async fn message(&self, body: &str, _: &Record, deadline: Deadline) -> Verdict {
        let handled = match Incoming::parse(body) {
            Err(malformed) => return malformed.into(),
            Ok(Incoming::Created(changes)) => self.objects(&changes, deadline).await,
            Ok(Incoming::Message(Message::Ingest { dataset, sync, cause, then_plan })) => {
                self.requested(&dataset, sync.as_ref(), &cause, then_plan, deadline).await
            }
            Ok(Incoming::Message(other)) => {
                return Verdict::Reject { reason: format!("a {} message does not belong here", other.kind()) };
            }
        };
        match handled {
            Ok(()) => Verdict::Done,
            Err(error) => {
                tracing::warn!(error = chain(&error), "a snapshot could not be taken up");
                Verdict::of(error.disposition(), || chain(&error))
            }
        }
    }
}

/// Refused snapshots are listed for 90 days.
const KEEP_REJECTS_S: i64 = 90 * 86_400;

impl IngestFunction {
    async fn objects(&self, changes: &[S3Change], deadline: Deadline) -> Result<(), Error> {
        for change in changes {
            let objects = self.ingest.objects.as_ref();
            let meta = match objects.head(&change.key, change.version_id.as_deref()).await {
                Ok(meta) => meta,
                // Deleted since: whatever took its place announced itself.
                Err(driftless_objects::Error::NotFound { .. }) => continue,
                Err(e) => return Err(e.into()),
            };
            match snapshot_of(objects, &meta, change.sequencer.clone()).await {
                Ok(None) => {}
                Ok(Some((dataset, snapshot))) => self.take_up(&dataset, &snapshot, None, deadline).await?,
                Err(e) if e.is_refusal() => {
                    let dataset = driftless_snapshot::locate::dataset_of(&change.key);
                    self.refuse(dataset.as_ref(), &change.key, &chain(&e)).await?;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// A request of ours: the newest snapshot there is, then a plan if one was asked for, whatever was found.
    async fn requested(
        &self,
        dataset: &DatasetId,
        sync: Option<&SyncId>,
        cause: &str,
        then_plan: Option<String>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        match newest(self.ingest.objects.as_ref(), dataset).await {
            Ok(None) => {}
            Ok(Some((_, snapshot))) => self.take_up(dataset, &snapshot, sync, deadline).await?,
            Err(e) if e.is_refusal() => self.refuse(Some(dataset), &dataset.prefix(), &chain(&e)).await?,
            Err(e) => return Err(e.into()),
        }
        match (then_plan, sync) {
            (Some(tick), Some(sync)) => self.ask_for_plan(sync, tick, cause).await,
            _ => Ok(()),
        }
    }

    async fn take_up(
        &self,
        dataset: &DatasetId,
        snapshot: &SnapshotRef,
        only: Option<&SyncId>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let taken = match self.ingest.take_up(dataset, snapshot, only, deadline.stop_at).await {
            Ok(taken) => taken,
            Err(e) if e.disposition() == Disposition::Reject => {
                return self.refuse(Some(dataset), &snapshot.order.key, &chain(&e)).await;
            }
            Err(e) => return Err(e),
        };
        for (sync, taken) in &taken {
            self.tell(sync, snapshot, taken);
            if matches!(taken, Taken::Changed { .. } | Taken::Seen) {
                self.plan_if_enough(sync).await?;
            }
        }
        Ok(())
    }

    /// The head stays as it is; the reason is kept, with object, row group and column, and the message is acknowledged.
    async fn refuse(&self, dataset: Option<&DatasetId>, subject: &str, reason: &str) -> Result<(), Error> {
        tracing::error!(reason, "a snapshot was refused");
        self.metrics.put(Metric::SnapshotsRejected, 1);
        let Some(dataset) = dataset else { return Ok(()) };
        let at = self.ingest.clock.now();
        let reject = InputReject { subject: subject.to_owned(), reason: reason.to_owned(), at };
        let expires_at = at.epoch_seconds() + KEEP_REJECTS_S;
        Ok(self.ingest.log.put_input_reject(&dataset.to_string(), &reject, expires_at).await?)
    }

    fn tell(&self, sync: &SyncId, snapshot: &SnapshotRef, taken: &Taken) {
        tracing::info!(sync_id = %sync, object_key = snapshot.order.key, outcome = ?taken, "snapshot taken up");
        match taken {
            Taken::Changed { adds, updates, removals, held, .. } => {
                self.metrics.put(Metric::SnapshotsTakenUp, 1);
                self.metrics.put(Metric::ChangesLogged, adds + updates + removals);
                if *held > 0 {
                    self.metrics.put(Metric::SyncsHeld, 1);
                }
            }
            Taken::Unchanged => self.metrics.put(Metric::SnapshotsWithoutChange, 1),
            Taken::NeedsAttention => self.metrics.put(Metric::SyncsNeedingAttention, 1),
            Taken::Older | Taken::Seen => {}
        }
    }

    /// `on_change`: enough has changed since the last run. The tick is named after the version, so that asking again (we died
    /// before the message was sent, or after) plans once.
    async fn plan_if_enough(&self, sync: &SyncId) -> Result<(), Error> {
        let log = self.ingest.log.as_ref();
        let (Some(entry), Some(head)) = (log.sync(sync).await?, log.head(sync).await?) else { return Ok(()) };
        let config = documents::sync(self.ingest.objects.as_ref(), &entry).await?;
        let Schedule::OnChange(on) = &config.schedule else { return Ok(()) };
        let through = head.delivered.iter().map(|d| d.through).max().unwrap_or(0);
        let pending: u64 = head.versions.range(through + 1..).map(|(_, v)| v.count).sum();
        if pending < on.min_changes {
            return Ok(());
        }
        self.ask_for_plan(sync, format!("change-{}-{}", head.incarnation, head.version), "on change").await
    }

    async fn ask_for_plan(&self, sync: &SyncId, tick: String, cause: &str) -> Result<(), Error> {
        let plan = Message::Plan { sync: sync.clone(), tick, cause: cause.to_owned(), after_ingest: true };
        Ok(self.queue.send(&self.planner_queue, &[Outgoing::from(&plan)]).await?)
    }
}
