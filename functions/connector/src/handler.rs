use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use driftless_config::Destination;
use driftless_config::destination::Rate;
use driftless_connector::{Connector, FetchedSecrets, HttpPolicy, Ports, TokenSharing, build_with};
use driftless_delivery::{Message, Queue, Record, SqsQueue, Verdict};
use driftless_deltalog::ledger::Run;
use driftless_deltalog::registry::DestinationEntry;
use driftless_deltalog::{Deltalog, DynamoDeltalog};
use driftless_model::{Clock, DestinationId, Meter, Millis, RunId, SyncId, Tokens};
use driftless_objects::{Objects, S3Drop, S3Objects};
use driftless_runtime::{
    Clients, ConnectorConfig, Deadline, DeliveryOutcome, DeltalogRejects, Function, InitError, Metric, Metrics,
    ProcessEnv, SecretStore, SecretsManager, Service, SystemClock, UlidTokens, chain,
};
use driftless_state::documents;

use crate::{
    Delivered, Delivery, DeltalogTokens, Error, S3Buckets, Seats, SharedBudget, Sleep, Timing, list_of, retire,
};

/// Builds the function from its environment. The destination's own configuration is read with the first message, so that
/// `driftless apply` needs no new deployment.
///
/// # Errors
/// [`InitError`]: a variable is missing; every invocation fails until it is repaired.
pub async fn init() -> Result<Service, InitError> {
    let config = ConnectorConfig::from_env(&ProcessEnv)?;
    let clients = Clients::load().await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let meter = driftless_runtime::meter(&ProcessEnv, &clock);
    let s3 = clients.s3.clone();
    let stores = Stores {
        log: DynamoDeltalog::new(clients.dynamodb, &config.common.table),
        objects: S3Objects::new(clients.s3, &config.common.bucket),
        queue: SqsQueue::new(clients.sqs),
    };
    let Counted { log, queue, .. } = stores.counted(meter.clone());
    let metrics = Arc::new(Metrics::to_stdout(config.common.stage.clone(), "connector", Arc::clone(&clock)));
    let buckets = S3Buckets::new(move |name: &str| S3Drop::new(s3.clone(), name), meter.clone());
    let tokens: Arc<dyn Tokens> = Arc::new(UlidTokens::new(Arc::clone(&clock)));
    let function = ConnectorFunction {
        log: Arc::clone(&log),
        stores,
        sharing: TokenSharing {
            store: Arc::new(DeltalogTokens::new(Arc::clone(&log), config.destination.clone())),
            clock: Arc::clone(&clock),
            worker: tokens.token(),
        },
        ports: Ports { clock: Some(Arc::clone(&clock)), buckets: Some(Arc::new(buckets)) },
        tokens,
        secrets: Arc::new(SecretsManager::new(clients.secrets, Arc::clone(&clock))),
        clock: Arc::clone(&clock),
        metrics: Arc::clone(&metrics),
        meter: meter.clone(),
        destination: config.destination,
        janitor_queue: config.common.janitor_queue_url.clone(),
        lease: config.lease,
        park: config.park,
        policy: HttpPolicy { allow_private: config.allow_private, ..HttpPolicy::default() },
        seats: Seats::new(config.invocations),
        built: Mutex::default(),
        pacer: Mutex::default(),
    };
    let rejects = Arc::new(DeltalogRejects::new(log, Arc::clone(&clock)));
    // As many as there are: nearly all their time is waiting for the destination, which is paid for once.
    let at_once = usize::MAX;
    Ok(Service { function: Arc::new(function), common: config.common, queue, rejects, clock, metrics, meter, at_once })
}

/// The stores, not counted yet.
struct Stores {
    log: DynamoDeltalog,
    objects: S3Objects,
    queue: SqsQueue,
}

/// The stores as one message uses them, and what it uses.
struct Counted {
    log: Arc<dyn Deltalog>,
    objects: Arc<dyn Objects>,
    queue: Arc<dyn Queue>,
    meter: Meter,
}

impl Stores {
    fn counted(&self, meter: Meter) -> Counted {
        Counted {
            log: Arc::new(self.log.clone().metered(meter.clone())),
            objects: Arc::new(self.objects.clone().metered(meter.clone())),
            queue: Arc::new(self.queue.clone().metered(meter.clone())),
            meter,
        }
    }
}

/// A connector and what was read of its destination.
struct Built {
    connector: Box<dyn Connector>,
    described: Destination,
    queue_url: String,
    at: Millis,
}

/// How long a connector is used before it is built again: a secret that was rotated, or written anew by a person, arrives
/// without a new deployment.
const BUILT_FOR_MS: i64 = 10 * 60_000;

struct ConnectorFunction {
    stores: Stores,
    /// For what all messages share.
    log: Arc<dyn Deltalog>,
    clock: Arc<dyn Clock>,
    tokens: Arc<dyn Tokens>,
    secrets: Arc<dyn SecretStore>,
    sharing: TokenSharing,
    ports: Ports,
    metrics: Arc<Metrics>,
    meter: Meter,
    destination: DestinationId,
    janitor_queue: String,
    lease: Duration,
    park: Duration,
    policy: HttpPolicy,
    seats: Seats,
    /// By configuration document and list, so that logins and service descriptions are kept while the process lives.
    built: Mutex<BTreeMap<(String, String), Arc<Built>>>,
    /// With the rate that it keeps.
    pacer: Mutex<Option<(Option<Rate>, Arc<SharedBudget>)>>,
}

/// Waits by the runtime's timer.
struct Timer;

#[async_trait]
impl Sleep for Timer {
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[async_trait]
impl Function for ConnectorFunction {
    async fn message(&self, body: &str, _: &Record, deadline: Deadline) -> Verdict {
        let stores = self.stores.counted(self.meter.part());
        let (sync, run, number) = match Message::parse(body) {
            Ok(Message::Call { sync, run, number, .. }) => (sync, run, number),
            Ok(Message::Retire { sync }) => return self.retire(&stores, &sync).await,
            Ok(other) => return Verdict::Reject { reason: format!("a {} message does not belong here", other.kind()) },
            Err(malformed) => return malformed.into(),
        };
        let (built, item) = match self.of_call(&stores, &sync, &run, number).await {
            Ok(Some(found)) => found,
            Ok(None) => return Verdict::Done,
            Err(problem) => return self.unusable(&sync, &problem),
        };
        let kind = built.described.kind().as_str();
        let seat = self.seats.take(built.described.concurrency()).await;
        let delivery = self.delivery(&built, &stores);
        let delivered = delivery.call(built.connector.as_ref(), &item, number, deadline.stop_at).await;
        drop(seat);
        // What came after the outcome goes to the next call of the same sync.
        stores.meter.owe(&sync, stores.meter.take());
        match delivered {
            Ok(delivered) => {
                tracing::info!(sync_id = %sync, run_id = %run, call = number, outcome = ?delivered, "call worked on");
                self.tell(kind, &delivered)
            }
            Err(error) => {
                tracing::warn!(sync_id = %sync, run_id = %run, call = number, error = chain(&error), "call failed");
                Verdict::of(error.disposition(), || chain(&error))
            }
        }
    }
}

impl ConnectorFunction {
    fn tell(&self, kind: &str, delivered: &Delivered) -> Verdict {
        match delivered {
            Delivered::Settled { delivered, other, requests } => {
                let records = |outcome| Metric::Records { kind, outcome };
                self.metrics.put(records(DeliveryOutcome::Delivered), *delivered);
                self.metrics.put(records(DeliveryOutcome::Rejected), *other);
                self.metrics.put(Metric::Requests { kind }, u64::from(*requests));
                Verdict::Done
            }
            Delivered::Dropped | Delivered::Accepted { .. } => Verdict::Done,
            Delivered::Parked => {
                self.metrics.put(Metric::RunsParked { kind }, 1);
                Verdict::Done
            }
            Delivered::Later(after) => Verdict::Retry { after: Some(*after) },
        }
    }

    fn delivery(&self, built: &Built, stores: &Counted) -> Delivery {
        let described = &built.described;
        Delivery {
            log: Arc::clone(&stores.log),
            objects: Arc::clone(&stores.objects),
            queue: Arc::clone(&stores.queue),
            clock: Arc::clone(&self.clock),
            tokens: Arc::clone(&self.tokens),
            pacer: self.pacer(described.rate()),
            meter: stores.meter.clone(),
            janitor_queue: self.janitor_queue.clone(),
            own_queue: built.queue_url.clone(),
            timing: Timing {
                lease: self.lease,
                // A request that could outlive the invocation would never be started.
                request_timeout: described.timeout().min(self.lease / 2),
                park: self.park,
                longest_park: self.park * 30,
                refused_park: self.park * 60,
                patience: Duration::from_mins(1),
            },
        }
    }

    /// The rate budget, kept while the process lives and the rate is the same.
    fn pacer(&self, rate: Option<Rate>) -> Arc<SharedBudget> {
        let mut kept = self.pacer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pacer)) = kept.as_ref().filter(|(of, _)| *of == rate) {
            return Arc::clone(pacer);
        }
        let (log, clock, sleep) = (Arc::clone(&self.log), Arc::clone(&self.clock), Arc::new(Timer));
        let pacer = Arc::new(SharedBudget::new(log, clock, sleep, self.destination.clone(), rate));
        *kept = Some((rate, Arc::clone(&pacer)));
        pacer
    }

    fn unusable(&self, sync: &SyncId, problem: &str) -> Verdict {
        tracing::error!(sync_id = %sync, problem, "the destination's configuration cannot be used");
        Verdict::Retry { after: Some(self.park) }
    }

    /// Lists that others took the place of. One that cannot be retired is asked for by the next periodic sweep.
    async fn retire(&self, stores: &Counted, sync: &SyncId) -> Verdict {
        let built = match self.for_retiring(stores, sync).await {
            Ok(Some(built)) => built,
            Ok(None) => return Verdict::Done,
            Err(problem) => return self.unusable(sync, &problem),
        };
        let (log, clock) = (stores.log.as_ref(), self.clock.as_ref());
        let retired = retire(log, clock, built.connector.as_ref(), &self.destination, sync).await;
        stores.meter.owe(sync, stores.meter.take());
        match retired {
            Ok(retired) => {
                tracing::info!(sync_id = %sync, ?retired, "old lists looked after");
                Verdict::Done
            }
            Err(error) => {
                tracing::warn!(sync_id = %sync, error = chain(&error), "old lists could not be looked after");
                Verdict::of(error.disposition(), || chain(&error))
            }
        }
    }

    /// The connector for the list that a call goes to, and the call's run; nothing if there is nothing to do.
    async fn of_call(
        &self,
        stores: &Counted,
        sync: &SyncId,
        run: &RunId,
        number: u32,
    ) -> Result<Option<(Arc<Built>, Run)>, String> {
        let log = stores.log.as_ref();
        let Some(destination) = self.here(log, sync).await.map_err(|e| chain(&e))? else { return Ok(None) };
        let Some(run) = log.run(sync, run).await.map_err(|e| chain(&e))? else { return Ok(None) };
        let list = list_of(log, &run, number).await.map_err(|e| chain(&e))?;
        let Some(list) = list else { return Ok(None) };
        Ok(Some((self.built(stores, destination, list).await?, run)))
    }

    /// The connector for the list that a sync goes by, or nothing if no list of it is to go. The lists may be of an
    /// earlier configuration of the sync, which had this destination.
    async fn for_retiring(&self, stores: &Counted, sync: &SyncId) -> Result<Option<Arc<Built>>, String> {
        let head = stores.log.head(sync).await.map_err(|e| chain(&e))?;
        let Some(head) = head.filter(|h| !h.lists.old.is_empty()) else { return Ok(None) };
        let destinations = stores.log.destinations().await.map_err(|e| chain(&e))?;
        match destinations.into_iter().find(|d| d.destination == self.destination) {
            Some(destination) => Ok(Some(self.built(stores, destination, head.list().to_owned()).await?)),
            None => Ok(None),
        }
    }

    /// The connector for a list.
    async fn built(&self, stores: &Counted, destination: DestinationEntry, list: String) -> Result<Arc<Built>, String> {
        let key = (destination.object.clone(), list);
        let now = self.clock.now();
        let known = self.built.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(built) = known.filter(|built| now < built.at.plus(BUILT_FOR_MS)) {
            return Ok(built);
        }
        let described = documents::destination(stores.objects.as_ref(), &destination).await.map_err(|e| chain(&e))?;
        let mut secrets = FetchedSecrets::default();
        for reference in described.secret_refs() {
            let secret = self.secrets.get(reference.name(), reference.json_key()).await.map_err(|e| chain(&e))?;
            secrets.insert(reference.clone(), secret);
        }
        // A worker of its own: another list's connector may renew the destination's token at the same time.
        let secrets = secrets.sharing(TokenSharing { worker: self.tokens.token(), ..self.sharing.clone() });
        let connector = build_with(&described, &key.1, &secrets, self.policy, &self.ports).map_err(|e| chain(&e))?;
        let built = Arc::new(Built { connector, described, queue_url: destination.queue_url, at: now });
        self.built.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&built));
        Ok(built)
    }

    /// This destination, if the sync goes to it.
    async fn here(&self, log: &dyn Deltalog, sync: &SyncId) -> Result<Option<DestinationEntry>, Error> {
        let Some(entry) = log.sync(sync).await?.filter(|entry| entry.destination == self.destination) else {
            return Ok(None);
        };
        Ok(log.destinations().await?.into_iter().find(|d| d.destination == entry.destination))
    }
}
