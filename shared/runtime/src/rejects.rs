use std::sync::Arc;

use async_trait::async_trait;
use driftless_delivery::{Record, RejectSink, SinkError};
use driftless_deltalog::Deltalog;
use driftless_deltalog::ledger::InputReject;
use driftless_model::Clock;

/// Rejected messages, kept in the deltalog under the name of their queue. The content is not kept: it may be anything.
pub struct DeltalogRejects {
    log: Arc<dyn Deltalog>,
    clock: Arc<dyn Clock>,
}

/// As long as a dead-letter queue keeps a message.
const KEEP_SECONDS: i64 = 14 * 24 * 60 * 60;

impl DeltalogRejects {
    /// Kept in `log`.
    #[must_use]
    pub fn new(log: Arc<dyn Deltalog>, clock: Arc<dyn Clock>) -> Self {
        Self { log, clock }
    }
}

#[async_trait]
impl RejectSink for DeltalogRejects {
    async fn reject(&self, record: &Record, reason: &str) -> Result<(), SinkError> {
        let at = self.clock.now();
        let subject = format!("message {}", record.message_id);
        let reject = InputReject { subject, reason: reason.to_owned(), at };
        Ok(self.log.put_input_reject(&record.queue, &reject, at.epoch_seconds() + KEEP_SECONDS).await?)
    }
}
