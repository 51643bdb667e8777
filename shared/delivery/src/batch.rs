use core::time::Duration;
use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use driftless_model::{Clock, Disposition, Millis};
use futures::{FutureExt, StreamExt, future, stream};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::json;

use crate::limits::VISIBILITY_SECONDS;
use crate::{Malformed, Queue, Record};

/// What a handler says of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Worked off, or nothing to do: acknowledge.
    Done,
    /// Deliver again: not before `after` if it is given, else when the queue's visibility timeout ends.
    Retry {
        /// From now.
        after: Option<Duration>,
    },
    /// Will never succeed: keep it with its reason and acknowledge.
    Reject {
        /// Without content.
        reason: String,
    },
}

impl Verdict {
    /// The verdict that an error's disposition asks for. A fatal one is delivered again: it ends in the dead-letter queue,
    /// where a person finds it, and nothing is lost.
    pub fn of(disposition: Disposition, reason: impl FnOnce() -> String) -> Self {
        match disposition {
            Disposition::Retry { after } => Self::Retry { after },
            Disposition::Reject => Self::Reject { reason: reason() },
            Disposition::Fatal => Self::Retry { after: None },
        }
    }
}

impl From<Malformed> for Verdict {
    fn from(malformed: Malformed) -> Self {
        Self::Reject { reason: malformed.to_string() }
    }
}

/// Works off one message. It may be called for a message again after it said `Done`, and at the same time elsewhere.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Works off `body`; `record` is for its ids and receive count.
    async fn handle(&self, body: &str, record: &Record) -> Verdict;
}

/// What a reject sink answers when it could not keep a reject.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Keeps records that will never succeed, for `driftless rejects`.
#[async_trait]
pub trait RejectSink: Send + Sync {
    /// Keeps the record's ids and the reason, not its content. Repeatable.
    async fn reject(&self, record: &Record, reason: &str) -> Result<(), SinkError>;
}

/// One invocation's messages and what is needed to work them off.
pub struct Batch<'a> {
    /// The messages.
    pub records: Vec<Record>,
    /// For deferring.
    pub queue: &'a dyn Queue,
    /// The URL of the queue that they came from.
    pub queue_url: &'a str,
    /// For rejects.
    pub rejects: &'a dyn RejectSink,
    /// Tells when to stop.
    pub clock: &'a dyn Clock,
    /// How many messages are worked on at once, at least one.
    pub at_once: usize,
    /// No message is started at or after this time: the invocation's deadline less a margin.
    pub stop_at: Millis,
}

/// Which messages failed; all others are deleted from the queue.
///
/// Serialises to `{"batchItemFailures":[{"itemIdentifier":"…"}]}`. An empty or unknown id would fail the whole batch
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>); there is none in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchResponse {
    /// Message ids.
    pub failed: Vec<String>,
}

impl Serialize for BatchResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let failures: Vec<_> = self.failed.iter().map(|id| json!({ "itemIdentifier": id })).collect();
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("batchItemFailures", &failures)?;
        map.end()
    }
}

/// Works off the messages, as many at once as the batch says, begun in their order.
///
/// A message is acknowledged when its handler says `Done` or its reject was kept. A panic fails its own message only; a
/// deferred message gets its new visibility first; what is not started before `stop_at` fails and is delivered again.
pub async fn drive_batch(batch: Batch<'_>, handler: &dyn Handler) -> BatchResponse {
    let each = stream::iter(&batch.records).map(|record| batch.one(record, handler));
    let failed = each.buffered(batch.at_once.max(1)).filter_map(future::ready).collect().await;
    let response = BatchResponse { failed };
    if !response.failed.is_empty() {
        tracing::info!(
            failed = response.failed.len(),
            records = batch.records.len(),
            "messages will be delivered again"
        );
    }
    response
}

impl Batch<'_> {
    /// The message's id, if it is to be delivered again.
    async fn one(&self, record: &Record, handler: &dyn Handler) -> Option<String> {
        let in_time = self.clock.now() < self.stop_at;
        if record.message_id.is_empty() {
            // It cannot be named as failed, so it must not fail.
            self.reject(record, "the record has no message id").await;
            return None;
        }
        (!in_time || !self.work(record, handler).await).then(|| record.message_id.clone())
    }

    /// True: acknowledge.
    async fn work(&self, record: &Record, handler: &dyn Handler) -> bool {
        let Some(body) = &record.body else {
            return self.reject(record, &Malformed::NoBody.to_string()).await;
        };
        let verdict = AssertUnwindSafe(handler.handle(body, record)).catch_unwind().await;
        match verdict {
            Ok(Verdict::Done) => true,
            Ok(Verdict::Reject { reason }) => self.reject(record, &reason).await,
            Ok(Verdict::Retry { after: None }) => false,
            Ok(Verdict::Retry { after: Some(after) }) => {
                self.defer(record, after).await;
                false
            }
            Err(_) => {
                // The payload of a panic may quote a value.
                tracing::error!(message_id = %record.message_id, "the handler panicked; the message is delivered again");
                false
            }
        }
    }

    async fn reject(&self, record: &Record, reason: &str) -> bool {
        match self.rejects.reject(record, reason).await {
            Ok(()) => {
                tracing::warn!(message_id = %record.message_id, queue = %record.queue, reason, "message rejected");
                true
            }
            Err(error) => {
                tracing::warn!(message_id = %record.message_id, %error, "a reject could not be kept");
                false
            }
        }
    }

    async fn defer(&self, record: &Record, after: Duration) {
        let whole = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
        let seconds = u32::try_from(whole).unwrap_or(u32::MAX).min(VISIBILITY_SECONDS);
        if let Err(error) = self.queue.defer(self.queue_url, &record.receipt, seconds).await {
            // It comes back when the queue's visibility timeout ends: earlier or later than asked, not lost.
            tracing::warn!(message_id = %record.message_id, %error, "a message could not be deferred");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::executor::block_on;

    use super::*;
    use crate::{MemoryQueue, Message, Outgoing};

    /// A clock that the handler moves: every message takes a second.
    #[derive(Default)]
    struct Seconds(Mutex<i64>);
    impl Clock for Seconds {
        fn now(&self) -> Millis {
            Millis(*self.0.lock().unwrap() * 1000)
        }
    }

    #[derive(Default)]
    struct Sink {
        kept: Mutex<Vec<(String, String)>>,
        broken: bool,
    }
    #[async_trait]
    impl RejectSink for Sink {
        async fn reject(&self, record: &Record, reason: &str) -> Result<(), SinkError> {
            if self.broken {
                return Err("no table".into());
            }
            self.kept.lock().unwrap().push((record.message_id.clone(), reason.to_owned()));
            Ok(())
        }
    }

    /// Does what the body says.
    struct Obedient(Arc<Seconds>);
    #[async_trait]
    impl Handler for Obedient {
        async fn handle(&self, body: &str, _: &Record) -> Verdict {
            *self.0.0.lock().unwrap() += 1;
            match body {
                "done" => Verdict::Done,
                "retry" => Verdict::Retry { after: None },
                "later" => Verdict::Retry { after: Some(Duration::from_millis(1_500)) },
                "panic" => panic!("anna@example.com"),
                other => match Message::parse(other) {
                    Ok(_) => Verdict::Done,
                    Err(malformed) => malformed.into(),
                },
            }
        }
    }

    fn run(bodies: &[Option<&str>], sink: &Sink, stop_at: i64) -> (BatchResponse, MemoryQueue, Arc<Seconds>) {
        let clock = Arc::new(Seconds::default());
        let queue = MemoryQueue::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let records = block_on(async {
            let url = queue.queue_url("q").await.unwrap();
            for body in bodies {
                let body = body.unwrap_or_default().to_owned();
                queue.send(&url, &[Outgoing { body, delay_s: 0, group: None }]).await.unwrap();
            }
            let mut records = queue.receive(&url, 100, 60);
            for (record, body) in records.iter_mut().zip(bodies) {
                if body.is_none() {
                    record.body = None;
                }
            }
            records
        });
        let batch = Batch {
            records,
            queue: &queue,
            queue_url: "memory:q",
            rejects: sink,
            clock: &*clock,
            at_once: 1,
            stop_at: Millis(stop_at * 1000),
        };
        let response = block_on(drive_batch(batch, &Obedient(Arc::clone(&clock))));
        (response, queue, clock)
    }

    #[test]
    fn each_message_gets_its_own_answer() {
        let sink = Sink::default();
        let bodies = [Some("done"), Some("panic"), Some("retry"), Some("not a message"), None, Some("done")];
        let (response, ..) = run(&bodies, &sink, 100);
        assert_eq!(response.failed, ["m1", "m2"]);
        let kept = sink.kept.into_inner().unwrap();
        assert_eq!(
            kept,
            [("m3".into(), "the body is not a JSON object".into()), ("m4".into(), "the record has no body".into()),]
        );
    }

    /// Each waits until all three are there, which one after the other would never be.
    struct Together(futures::lock::Mutex<Vec<futures::channel::oneshot::Sender<()>>>);
    #[async_trait]
    impl Handler for Together {
        async fn handle(&self, body: &str, _: &Record) -> Verdict {
            let (arrived, all) = futures::channel::oneshot::channel();
            let mut waiting = self.0.lock().await;
            waiting.push(arrived);
            if waiting.len() == 3 {
                waiting.drain(..).for_each(|other| other.send(()).unwrap());
            }
            drop(waiting);
            all.await.unwrap();
            assert_ne!(body, "panic", "only this one");
            if body == "retry" { Verdict::Retry { after: None } } else { Verdict::Done }
        }
    }

    #[test]
    fn messages_are_worked_on_at_once_and_fail_each_for_itself() {
        let record = |id: &str, body: &str| Record {
            message_id: id.to_owned(),
            receipt: String::new(),
            queue: "q".into(),
            body: Some(body.to_owned()),
            receive_count: 1,
        };
        let clock = Seconds::default();
        let batch = Batch {
            records: vec![record("m1", "retry"), record("m2", "done"), record("m3", "panic")],
            queue: &MemoryQueue::new(Arc::new(Seconds::default())),
            queue_url: "memory:q",
            rejects: &Sink::default(),
            clock: &clock,
            at_once: 3,
            stop_at: Millis(1),
        };
        let response = block_on(drive_batch(batch, &Together(futures::lock::Mutex::default())));
        assert_eq!(response.failed, ["m1", "m3"]);
    }

    #[test]
    fn a_deferred_message_is_hidden_for_whole_seconds() {
        let (response, queue, clock) = run(&[Some("later")], &Sink::default(), 100);
        assert_eq!(response.failed, ["m0"]);
        let url = block_on(queue.queue_url("q")).unwrap();
        *clock.0.lock().unwrap() = 2;
        assert_eq!(queue.receive(&url, 10, 60).len(), 0);
        *clock.0.lock().unwrap() = 3;
        assert_eq!(queue.receive(&url, 10, 60).len(), 1);
    }

    #[test]
    fn nothing_is_started_after_the_margin() {
        let (response, ..) = run(&[Some("done"), Some("done"), Some("done")], &Sink::default(), 2);
        assert_eq!(response.failed, ["m2"]);
    }

    #[test]
    fn a_reject_that_cannot_be_kept_is_delivered_again() {
        let (response, ..) = run(&[Some("nonsense")], &Sink { broken: true, ..Sink::default() }, 100);
        assert_eq!(response.failed, ["m0"]);
    }

    #[test]
    fn the_answer_has_the_shape_that_lambda_wants() {
        let none = serde_json::to_string(&BatchResponse::default()).unwrap();
        assert_eq!(none, r#"{"batchItemFailures":[]}"#);
        let one = serde_json::to_string(&BatchResponse { failed: vec!["m1".into()] }).unwrap();
        assert_eq!(one, r#"{"batchItemFailures":[{"itemIdentifier":"m1"}]}"#);
    }

    #[test]
    fn a_record_without_an_id_is_rejected_and_never_named() {
        let sink = Sink::default();
        let clock = Seconds::default();
        let queue = MemoryQueue::new(Arc::new(Seconds::default()));
        let record = Record {
            message_id: String::new(),
            receipt: String::new(),
            queue: "q".into(),
            body: Some("retry".into()),
            receive_count: 1,
        };
        let batch = Batch {
            records: vec![record],
            queue: &queue,
            queue_url: "memory:q",
            rejects: &sink,
            clock: &clock,
            at_once: 1,
            stop_at: Millis(1),
        };
        let response = block_on(drive_batch(batch, &Obedient(Arc::new(Seconds::default()))));
        assert!(response.failed.is_empty());
        assert_eq!(sink.kept.into_inner().unwrap().len(), 1);
    }
}
