use async_trait::async_trait;

use crate::Result;

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The body, usually of a [`crate::Message`].
    pub body: String,
    /// Seconds before anybody may receive it, at most [`crate::limits::DELAY_SECONDS`].
    pub delay_s: u32,
    /// The sync or tenant on whose behalf it is sent, so that a busy one does not starve the others (fair queues:
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html>).
    pub group: Option<String>,
}

impl Outgoing {
    /// The same message, to be received no earlier than in `seconds` (cut to what SQS allows).
    #[must_use]
    pub fn delayed(self, seconds: u32) -> Self {
        Self { delay_s: seconds.min(crate::limits::DELAY_SECONDS), ..self }
    }
}

/// Access to queues. Every method is one I/O step as far as its caller is concerned.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sends all messages, in as few requests as the limits allow; what a batch answer lists as failed is sent again.
    /// A message may arrive more than once, late and out of order.
    ///
    /// # Errors
    /// [`crate::Error::NotSent`] says which messages were given up; all others were accepted. Calling again with all of
    /// them is harmless.
    async fn send(&self, url: &str, messages: &[Outgoing]) -> Result<()>;

    /// Hides a received message for `seconds` from now (cut to what SQS allows). Report it as failed afterwards: what is
    /// reported as done is deleted.
    async fn defer(&self, url: &str, receipt: &str, seconds: u32) -> Result<()>;

    /// The URL of a queue by its name.
    async fn queue_url(&self, name: &str) -> Result<String>;
}
