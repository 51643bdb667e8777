use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use driftless_delivery::{Batch, BatchResponse, Handler, Queue, Record, RejectSink, Verdict, drive_batch, records};
use driftless_model::{Clock, Meter, Millis, Usage};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;

use crate::{Common, Deadline, EnvSource, InitError, Metric, Metrics, ProcessEnv, chain, start_logging};

/// What a function does with one message of its queue. Called again for a message after it said `Done`, late, and at the same
/// time elsewhere.
#[async_trait]
pub trait Function: Send + Sync {
    /// Works off one message before the deadline.
    async fn message(&self, body: &str, record: &Record, deadline: Deadline) -> Verdict;
}

/// A function and what its loop needs.
pub struct Service {
    /// What it does.
    pub function: Arc<dyn Function>,
    /// What it was told.
    pub common: Common,
    /// For deferring messages.
    pub queue: Arc<dyn Queue>,
    /// For messages that will never succeed.
    pub rejects: Arc<dyn RejectSink>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For the loop's own metrics.
    pub metrics: Arc<Metrics>,
    /// Counts what an invocation uses. Its messages divide it among them: the invocation itself, and starting, go to the one that
    /// takes first.
    pub meter: Meter,
    /// How many messages of an invocation are worked on at once, at least one.
    pub at_once: usize,
}

/// Runs a function until Lambda stops it: starts the logs, builds the service, then answers invocations.
///
/// What cannot be set up is logged as one line and ends the process with a failure, which Lambda reports as a failed start.
pub async fn start<F>(build: impl FnOnce() -> F) -> ExitCode
where
    F: Future<Output = Result<Service, InitError>>,
{
    start_logging(&ProcessEnv);
    match run(build).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = chain(error.as_ref()), "the function cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn run<F>(build: impl FnOnce() -> F) -> Result<(), lambda_runtime::Error>
where
    F: Future<Output = Result<Service, InitError>>,
{
    // The runtime panics without it.
    if ProcessEnv.var("AWS_LAMBDA_RUNTIME_API").is_none() {
        return Err(InitError::NotLambda.into());
    }
    let service = Arc::new(build().await?);
    // Starting is billed too; the first invocation pays for it.
    let starting = Arc::new(Mutex::new(service.meter.take()));
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let (service, starting) = (Arc::clone(&service), Arc::clone(&starting));
        async move {
            let at = Millis(i64::try_from(event.context.deadline).unwrap_or(i64::MAX));
            service.invoke(event.payload, at, once(&starting)).await
        }
    }))
    .await
}

/// What is there, once.
fn once(usage: &Mutex<Usage>) -> Usage {
    core::mem::take(&mut *usage.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What up to ten messages use of their queue: being received and deleted together.
const TEN_MESSAGES: Usage = Usage::of([0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);

/// When an invocation ends. Lambda never tells a time that is over; `cargo lambda watch` does, and means that it does not
/// care: then it is the longest that Lambda allows.
const fn ends(now: Millis, told: Millis) -> Millis {
    if told.0 > now.0 { told } else { now.plus(900_000) }
}

/// Passes the deadline on to each message.
struct Until<'a> {
    function: &'a dyn Function,
    deadline: Deadline,
}

#[async_trait]
impl Handler for Until<'_> {
    async fn handle(&self, body: &str, record: &Record) -> Verdict {
        self.function.message(body, record, self.deadline).await
    }
}

impl Service {
    /// One invocation. An event that does not come from a queue (`cargo lambda invoke` with a bare message or S3 event) is taken
    /// as the body of one message, and then a failure is the answer.
    async fn invoke(&self, event: Value, at: Millis, starting: Usage) -> Result<BatchResponse, Diagnostic> {
        let now = self.clock.now();
        let deadline = Deadline::new(now, ends(now, at));
        let handler = Until { function: &*self.function, deadline };
        let records = records(&event);
        let received = records.as_ref().map_or(1, Vec::len);
        self.meter.begin();
        self.meter.count(starting + Usage { invocations: 1, ..Usage::default() });
        (0..received.div_ceil(10)).for_each(|_| self.meter.count(TEN_MESSAGES));
        let Some(records) = records else {
            return self.invoke_by_hand(&event, &handler).await;
        };
        let queue_url = self.common.queue_url(records.first().map_or("", |r| &r.queue));
        let batch = Batch {
            records,
            queue: &*self.queue,
            queue_url: &queue_url,
            rejects: self,
            clock: &*self.clock,
            at_once: self.at_once,
            stop_at: deadline.stop_at,
        };
        let response = drive_batch(batch, &handler).await;
        if !response.failed.is_empty() {
            self.metrics.put(Metric::MessagesFailed, response.failed.len() as u64);
        }
        Ok(response)
    }

    async fn invoke_by_hand(&self, event: &Value, handler: &Until<'_>) -> Result<BatchResponse, Diagnostic> {
        let record = Record {
            message_id: "by-hand".to_owned(),
            receipt: String::new(),
            queue: String::new(),
            body: None,
            receive_count: 1,
        };
        let failed = |error_type: &str, error_message: String| {
            Err(Diagnostic { error_type: format!("Driftless.{error_type}"), error_message })
        };
        match handler.handle(&event.to_string(), &record).await {
            Verdict::Done => Ok(BatchResponse::default()),
            Verdict::Reject { reason } => failed("Rejected", reason),
            Verdict::Retry { .. } => {
                failed("Retry", "the message was not worked off; see the function's log".to_owned())
            }
        }
    }
}

/// Counts what is rejected.
#[async_trait]
impl RejectSink for Service {
    async fn reject(&self, record: &Record, reason: &str) -> Result<(), driftless_delivery::SinkError> {
        self.rejects.reject(record, reason).await?;
        self.metrics.put(Metric::MessagesRejected, 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use driftless_delivery::{MemoryQueue, Message};
    use driftless_deltalog::{Deltalog, MemoryDeltalog};
    use futures::executor::block_on;
    use serde_json::json;

    use super::*;
    use crate::{DeltalogRejects, Stage};

    struct At;
    impl Clock for At {
        fn now(&self) -> Millis {
            Millis(1_000_000)
        }
    }

    /// Takes sweeps; retries plans.
    struct Sweeps;
    #[async_trait]
    impl Function for Sweeps {
        async fn message(&self, body: &str, _: &Record, deadline: Deadline) -> Verdict {
            assert_eq!(deadline.stop_at, Millis(1_027_000));
            match Message::parse(body) {
                Ok(Message::Sweep { .. }) => Verdict::Done,
                Ok(_) => Verdict::Retry { after: None },
                Err(malformed) => malformed.into(),
            }
        }
    }

    fn service(function: Arc<dyn Function>, log: &Arc<dyn Deltalog>) -> Service {
        let clock: Arc<dyn Clock> = Arc::new(At);
        let url = |name: &str| format!("http://127.0.0.1:4566/000000000000/{name}");
        Service {
            function,
            common: Common {
                stage: Stage::default(),
                table: "t".into(),
                bucket: "b".into(),
                ingest_queue_url: url("i"),
                planner_queue_url: url("p"),
                janitor_queue_url: url("driftless-dev-janitor"),
            },
            queue: Arc::new(MemoryQueue::new(Arc::clone(&clock))),
            rejects: Arc::new(DeltalogRejects::new(Arc::clone(log), Arc::clone(&clock))),
            metrics: Arc::new(Metrics::new(Stage::default(), "janitor", Arc::clone(&clock), std::io::sink())),
            clock,
            meter: Meter::default(),
            at_once: 1,
        }
    }

    fn invoke(event: Value) -> (Result<Value, Diagnostic>, Vec<String>) {
        let log: Arc<dyn Deltalog> = Arc::new(MemoryDeltalog::default());
        let service = service(Arc::new(Sweeps), &log);
        block_on(async {
            let answer = service.invoke(event, Millis(1_030_000), Usage::default()).await;
            let kept = log.input_rejects("driftless-dev-janitor").await.unwrap();
            (answer.map(|a| serde_json::to_value(a).unwrap()), kept.into_iter().map(|r| r.subject).collect())
        })
    }

    fn record(id: &str, body: &str) -> Value {
        json!({
            "messageId": id, "receiptHandle": "r", "body": body, "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:000000000000:driftless-dev-janitor",
        })
    }

    #[test]
    fn a_batch_is_answered_message_by_message_and_rejects_are_kept() {
        let plan = r#"{"v":1,"kind":"plan","sync":"s","tick":"t","cause":"c"}"#;
        let event = json!({"Records": [
            record("m1", r#"{"v":1,"kind":"sweep"}"#), record("m2", plan), record("m3", "nonsense"),
        ]});
        let (answer, kept) = invoke(event);
        assert_eq!(answer, Ok(json!({"batchItemFailures": [{"itemIdentifier": "m2"}]})));
        assert_eq!(kept, ["message m3"]);
    }

    /// Uses one get a message, and remembers what it was charged with.
    #[derive(Default)]
    struct Charged {
        meter: Mutex<Option<Meter>>,
        taken: Mutex<Vec<Usage>>,
    }
    #[async_trait]
    impl Function for Charged {
        async fn message(&self, _: &str, _: &Record, _: Deadline) -> Verdict {
            let meter = self.meter.lock().unwrap().clone().unwrap();
            meter.count(Usage { gets: 1, ..Usage::default() });
            self.taken.lock().unwrap().push(meter.take());
            Verdict::Done
        }
    }

    #[test]
    fn each_message_pays_for_itself_and_the_first_for_the_invocation_and_the_start() {
        let nobody = Usage { puts: 100, ..Usage::default() };
        let log: Arc<dyn Deltalog> = Arc::new(MemoryDeltalog::default());
        let charged = Arc::new(Charged::default());
        let service = service(Arc::clone(&charged) as Arc<dyn Function>, &log);
        *charged.meter.lock().unwrap() = Some(service.meter.clone());
        service.meter.count(nobody);
        let sweep = r#"{"v":1,"kind":"sweep"}"#;
        let event = json!({"Records": [record("m1", sweep), record("m2", sweep)]});
        let starting = Usage { compute: 7, ..Usage::default() };
        block_on(service.invoke(event, Millis(1_030_000), starting)).unwrap();
        let own = Usage { gets: 1, ..Usage::default() };
        let taken = charged.taken.lock().unwrap();
        assert_eq!(*taken, [Usage { invocations: 1, compute: 7, ..own + TEN_MESSAGES }, own]);
    }

    #[test]
    fn a_deadline_that_is_over_is_none() {
        assert_eq!(ends(Millis(5), Millis(6)), Millis(6));
        assert_eq!(ends(Millis(1_000_000), Millis(600_000)), Millis(1_900_000));
    }

    #[test]
    fn a_message_by_hand_is_answered_with_its_failure() {
        assert_eq!(invoke(json!({"v": 1, "kind": "sweep"})).0, Ok(json!({"batchItemFailures": []})));
        let (answer, kept) = invoke(json!({"hello": 1}));
        assert_eq!(answer.unwrap_err().error_type, "Driftless.Rejected");
        assert!(kept.is_empty());
    }
}
