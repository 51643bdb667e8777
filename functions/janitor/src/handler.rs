use std::sync::Arc;

use async_trait::async_trait;
use driftless_delivery::{Message, Queue, Record, SqsQueue, Verdict};
use driftless_deltalog::registry::SyncEntry;
use driftless_deltalog::{Deltalog, DynamoDeltalog};
use driftless_model::{Clock, RunId, SyncId};
use driftless_objects::S3Objects;
use driftless_runtime::{
    Clients, Deadline, DeltalogRejects, Function, InitError, JanitorConfig, Metric, Metrics, ProcessEnv, Service,
    SystemClock, Threads, UlidTokens, chain,
};
use driftless_state::room::Memory;

use crate::{Error, Janitor, Keeping, Swept};

/// Builds the function from its environment.
///
/// # Errors
/// [`InitError`]: a variable is missing; every invocation fails until it is repaired.
pub async fn init() -> Result<Service, InitError> {
    let config = JanitorConfig::from_env(&ProcessEnv)?;
    let clients = Clients::load().await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let meter = driftless_runtime::meter(&ProcessEnv, &clock);
    let log: Arc<dyn Deltalog> =
        Arc::new(DynamoDeltalog::new(clients.dynamodb, &config.common.table).metered(meter.clone()));
    let queue: Arc<dyn Queue> = Arc::new(SqsQueue::new(clients.sqs).metered(meter.clone()));
    let metrics = Arc::new(Metrics::to_stdout(config.common.stage.clone(), "janitor", Arc::clone(&clock)));
    let janitor = Janitor {
        log: Arc::clone(&log),
        objects: Arc::new(S3Objects::new(clients.s3, &config.common.bucket).metered(meter.clone())),
        queue: Arc::clone(&queue),
        clock: Arc::clone(&clock),
        tokens: Arc::new(UlidTokens::new(Arc::clone(&clock))),
        meter: meter.clone(),
        memory: Memory::of_janitor(config.memory_bytes),
        lanes: Arc::new(Threads::of_processors()),
        planner_queue: config.common.planner_queue_url.clone(),
        janitor_queue: config.common.janitor_queue_url.clone(),
        keeping: Keeping {
            stalled: i64::try_from(config.stalled.as_millis()).unwrap_or(i64::MAX),
            ..Keeping::default()
        },
    };
    let function = JanitorFunction { janitor, metrics: Arc::clone(&metrics) };
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

struct JanitorFunction {
    janitor: Janitor,
    metrics: Arc<Metrics>,
}

#[async_trait]
impl Function for JanitorFunction {
    async fn message(&self, body: &str, _: &Record, deadline: Deadline) -> Verdict {
        let (sync, run) = match Message::parse(body) {
            Ok(Message::Sweep { sync, run }) => (sync, run),
            Ok(other) => return Verdict::Reject { reason: format!("a {} message does not belong here", other.kind()) },
            Err(malformed) => return malformed.into(),
        };
        match self.sweep(sync.as_ref(), run.is_none(), deadline).await {
            Ok(true) => Verdict::Done,
            Ok(false) => Verdict::Retry { after: None },
            Err(error) => {
                tracing::error!(error = chain(&error), "the registry could not be read");
                Verdict::of(error.disposition(), || chain(&error))
            }
        }
    }
}

impl JanitorFunction {
    /// Sweeps one sync or all of them. `false`: at least one could not be swept; the others were.
    async fn sweep(&self, only: Option<&SyncId>, periodic: bool, deadline: Deadline) -> Result<bool, Error> {
        let mut all = true;
        let (mut held, mut attention) = (0, 0);
        for entry in self.janitor.log.syncs().await? {
            if only.is_some_and(|s| *s != entry.sync) {
                continue;
            }
            if deadline.is_near(self.janitor.clock.as_ref()) {
                return Ok(false);
            }
            all &= self.one(&entry, periodic, deadline).await;
            if let (true, Some(head)) = (periodic, self.janitor.log.head(&entry.sync).await?) {
                held += u64::from(head.active_holds().next().is_some());
                attention += u64::from(head.attention.is_some());
            }
        }
        if periodic && only.is_none() {
            self.metrics.put(Metric::SyncsHeld, held);
            self.metrics.put(Metric::SyncsNeedingAttention, attention);
        }
        Ok(all)
    }

    async fn one(&self, entry: &SyncEntry, periodic: bool, deadline: Deadline) -> bool {
        match self.janitor.sweep(entry, periodic, deadline.stop_at).await {
            Ok(swept) => {
                if let Swept::Committed { run } = &swept {
                    tracing::info!(sync_id = %entry.sync, run_id = %run, "run committed");
                    self.metrics.put(Metric::RunsCommitted, 1);
                    self.below_threshold(entry, run).await;
                }
                true
            }
            Err(error) => {
                tracing::error!(sync_id = %entry.sync, error = chain(&error), "a sync could not be swept");
                false
            }
        }
    }

    /// A run that was committed without reaching its success threshold is a failed one, whatever it delivered.
    async fn below_threshold(&self, entry: &SyncEntry, run: &RunId) {
        let log = self.janitor.log.as_ref();
        let (Ok(Some(head)), Ok(Some(run))) = (log.head(&entry.sync).await, log.run(&entry.sync, run).await) else {
            return;
        };
        if head.last_succeeded_at < run.committed_at {
            tracing::warn!(sync_id = %entry.sync, run_id = %run.id, result = ?run.result, "below the success threshold");
            self.metrics.put(Metric::RunsFailed, 1);
        }
    }
}
