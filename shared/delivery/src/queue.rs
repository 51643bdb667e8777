use async_trait::async_trait;
use driftless_model::Usage;

use crate::Result;
use crate::limits::{BATCH_BYTES, BATCH_ENTRIES, BILLED_BYTES};

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

/// Cuts messages into requests, by number and by bytes.
pub(crate) fn chunks(messages: &[Outgoing]) -> Vec<Vec<(usize, &Outgoing)>> {
    let mut chunks: Vec<Vec<(usize, &Outgoing)>> = Vec::new();
    let mut bytes = 0;
    for (at, message) in messages.iter().enumerate() {
        bytes += message.body.len();
        match chunks.last_mut() {
            Some(last) if last.len() < BATCH_ENTRIES && bytes <= BATCH_BYTES => last.push((at, message)),
            _ => {
                bytes = message.body.len();
                chunks.push(vec![(at, message)]);
            }
        }
    }
    chunks
}

/// What sending these messages uses: a request is billed once for each 64 KB of its messages.
#[must_use]
pub fn sending(messages: &[Outgoing]) -> Usage {
    let billed = |chunk: &Vec<(usize, &Outgoing)>| {
        let bytes: usize = chunk.iter().map(|(_, m)| m.body.len()).sum();
        bytes.div_ceil(BILLED_BYTES).max(1) as u64
    };
    let queue_requests = chunks(messages).iter().map(billed).sum();
    Usage { messages: messages.len() as u64, queue_requests, ..Usage::default() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_billed_once_for_each_64_kilobytes() {
        let of = |n: usize, bytes: usize| {
            let messages: Vec<_> =
                (0..n).map(|_| Outgoing { body: "x".repeat(bytes), delay_s: 0, group: None }).collect();
            let usage = sending(&messages);
            (usage.messages, usage.queue_requests)
        };
        assert_eq!(of(0, 1), (0, 0));
        assert_eq!(of(1, 0), (1, 1));
        assert_eq!(of(1, BILLED_BYTES), (1, 1));
        assert_eq!(of(1, BILLED_BYTES + 1), (1, 2));
        assert_eq!(of(10, BILLED_BYTES / 10), (10, 1));
        assert_eq!(of(11, 200), (11, 2));
        assert_eq!(of(87, 300), (87, 9));
    }
}
