use std::sync::Arc;

use async_trait::async_trait;
use driftless_delivery::{Error, Outgoing, Queue, Result};

use crate::Steps;
use crate::steps::{Injected, halves};

/// Queues of which every access is a step. Sending several messages is two steps: it may stop half-way.
pub struct StepQueue {
    inner: Arc<dyn Queue>,
    steps: Steps,
}

impl StepQueue {
    /// Steps to `inner`.
    pub fn new(inner: Arc<dyn Queue>, steps: Steps) -> Self {
        Self { inner, steps }
    }
}

fn fail(operation: &'static str) -> impl FnOnce() -> Error + Send {
    move || Error::Unavailable { operation, source: Box::new(Injected) }
}

#[async_trait]
impl Queue for StepQueue {
    async fn send(&self, url: &str, messages: &[Outgoing]) -> Result<()> {
        for half in halves(messages) {
            self.steps.step("send", self.inner.send(url, half), fail("SendMessageBatch")).await?;
        }
        Ok(())
    }
    async fn defer(&self, url: &str, receipt: &str, seconds: u32) -> Result<()> {
        self.steps.step("defer", self.inner.defer(url, receipt, seconds), fail("ChangeMessageVisibility")).await
    }
    async fn queue_url(&self, name: &str) -> Result<String> {
        self.steps.step("queue_url", self.inner.queue_url(name), fail("GetQueueUrl")).await
    }
}
