use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use driftless_delivery::{Message, Queue, Record, SqsQueue, Verdict};
use driftless_deltalog::head::Attention;
use driftless_deltalog::{Deltalog, DynamoDeltalog};
use driftless_model::{Clock, Disposition, SyncId};
use driftless_objects::S3Objects;
use driftless_runtime::{
    Clients, Deadline, DeltalogRejects, Function, InitError, Metric, Metrics, PlannerConfig, ProcessEnv, SecretStore,
    SecretsManager, Service, SystemClock, UlidTokens, chain,
};
use driftless_snapshot::{HashKey, Limits};
use driftless_state::room::Memory;

use crate::plan::{Asked, Planned, Planner, Request};
use crate::room::Room;

/// Builds the function from its environment.
///
/// # Errors
/// [`InitError`]: a variable or the hash secret is missing; every invocation fails until it is repaired.
pub async fn init() -> Result<Service, InitError> {
    let config = PlannerConfig::from_env(&ProcessEnv)?;
    let clients = Clients::load().await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let meter = driftless_runtime::meter(&ProcessEnv, &clock);
    let secrets = SecretsManager::new(clients.secrets, Arc::clone(&clock));
    let hash_key = HashKey::new(secrets.hash_key(&config.hash_secret).await?);
    let log: Arc<dyn Deltalog> =
        Arc::new(DynamoDeltalog::new(clients.dynamodb, &config.common.table).metered(meter.clone()));
    let queue: Arc<dyn Queue> = Arc::new(SqsQueue::new(clients.sqs).metered(meter.clone()));
    let metrics = Arc::new(Metrics::to_stdout(config.common.stage.clone(), "planner", Arc::clone(&clock)));
    let planner = Planner {
        log: Arc::clone(&log),
        objects: Arc::new(S3Objects::new(clients.s3, &config.common.bucket).metered(meter.clone())),
        queue: Arc::clone(&queue),
        clock: Arc::clone(&clock),
        tokens: Arc::new(UlidTokens::new(Arc::clone(&clock))),
        hash_key,
        limits: Limits::default(),
        meter: meter.clone(),
        room: Room {
            planner: Memory::of_planner(config.memory_bytes),
            janitor: Memory::of_janitor(config.janitor_bytes),
            ..Room::default()
        },
        ingest_queue: config.common.ingest_queue_url.clone(),
        own_queue: config.common.planner_queue_url.clone(),
        janitor_queue: config.common.janitor_queue_url.clone(),
    };
    let function = PlannerFunction { planner, metrics: Arc::clone(&metrics) };
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

/// Answers the messages of the planner's queue.
pub struct PlannerFunction {
    /// Plans.
    pub planner: Planner,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// An overtaken plan is made again after the writer that overtook it has had its time.
const OVERTAKEN: Duration = Duration::from_secs(5);

#[async_trait]
impl Function for PlannerFunction {
    async fn message(&self, body: &str, record: &Record, _: Deadline) -> Verdict {
        let request = match Message::parse(body) {
            Ok(Message::Plan { sync, tick, cause, after_ingest }) => {
                Request { sync, tick: tick_of(tick, record), cause, look_for_snapshot: !after_ingest, compare: None }
            }
            Ok(Message::Compare { sync, tick, cause, dry_run }) => {
                let compare = Some(if dry_run { Asked::Report } else { Asked::Correct });
                Request { sync, tick: tick_of(tick, record), cause, look_for_snapshot: false, compare }
            }
            Ok(other) => return Verdict::Reject { reason: format!("a {} message does not belong here", other.kind()) },
            Err(malformed) => return malformed.into(),
        };
        match self.planner.plan(&request).await {
            Ok(Planned::Overtaken) => Verdict::Retry { after: Some(OVERTAKEN) },
            Ok(planned) => {
                tracing::info!(sync_id = %request.sync, cause = request.cause, outcome = ?planned, "planned");
                match planned {
                    Planned::Run { .. } => self.metrics.put(Metric::RunsPlanned, 1),
                    Planned::InSync => self.metrics.put(Metric::RunsEmpty, 1),
                    Planned::NeedsAttention => self.metrics.put(Metric::SyncsNeedingAttention, 1),
                    _ => {}
                }
                Verdict::Done
            }
            Err(error) => {
                tracing::error!(sync_id = %request.sync, error = chain(&error), "a run could not be planned");
                if error.disposition() == Disposition::Fatal {
                    self.metrics.put(Metric::RunsFailed, 1);
                    return self.needs_attention(&request.sync, &chain(&error)).await;
                }
                Verdict::of(error.disposition(), || chain(&error))
            }
        }
    }
}

impl PlannerFunction {
    /// What no retry repairs is told to a person, and the message is acknowledged: the next tick tries again.
    async fn needs_attention(&self, sync: &SyncId, reason: &str) -> Verdict {
        let log = self.planner.log.as_ref();
        let told = async {
            if let Some(head) = log.head(sync).await? {
                let attention = Attention { reason: reason.to_owned(), since: self.planner.clock.now() };
                log.set_attention(sync, head.incarnation, Some(&attention)).await?;
            }
            Ok::<(), driftless_deltalog::Error>(())
        };
        match told.await {
            Ok(()) => Verdict::Reject { reason: reason.to_owned() },
            Err(_) => Verdict::Retry { after: None },
        }
    }
}

/// The scheduler fills the scheduled time in as the tick. Where it does not (an emulator, a message by hand), the message itself
/// is the tick: it is the same at every redelivery.
fn tick_of(tick: String, record: &Record) -> String {
    if tick.is_empty() || tick.contains('<') { format!("message-{}", record.message_id) } else { tick }
}
