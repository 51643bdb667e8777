use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use driftless_model::{Meter, Usage};
use futures::future::join_all;

use crate::limits::{DELAY_SECONDS, MESSAGE_BYTES, VISIBILITY_SECONDS};
use crate::queue::{chunks, sending};
use crate::{Error, Outgoing, Queue, Result};

/// How often the failed entries of a batch are sent again.
const RESENDS: u32 = 4;

/// Requests that are under way at the same time.
const PARALLEL: usize = 8;

/// Queues of SQS. Timeouts and retries of a request are the client's. Clones share what they know of URLs.
#[derive(Clone)]
pub struct SqsQueue {
    client: Client,
    first_wait: Duration,
    urls: Arc<Mutex<BTreeMap<String, String>>>,
    meter: Meter,
}

impl SqsQueue {
    /// Over a configured client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, first_wait: Duration::from_millis(100), urls: Arc::default(), meter: Meter::default() }
    }

    /// Counts messages and requests.
    #[must_use]
    pub fn metered(self, meter: Meter) -> Self {
        Self { meter, ..self }
    }

    fn asks(&self) {
        self.meter.count(Usage { queue_requests: 1, ..Usage::default() });
    }

    /// Sends one request's messages until they are accepted or given up: `(position, the service's code)` of the latter.
    async fn send_chunk(&self, url: &str, chunk: &[(usize, &Outgoing)]) -> Result<Vec<(usize, String)>> {
        let mut pending = chunk.to_vec();
        let mut given_up = Vec::new();
        for resend in 0..=RESENDS {
            if resend > 0 {
                self.asks();
                tokio::time::sleep(self.first_wait * 2_u32.pow(resend - 1)).await;
            }
            let entries = pending.iter().map(|(at, message)| entry(*at, message)).collect::<Result<_>>()?;
            let answer = self.client.send_message_batch().queue_url(url).set_entries(Some(entries)).send().await;
            // The 200 of a batch lists what failed.
            let failed: BTreeMap<usize, (bool, String)> = answer
                .map_err(|e| error("SendMessageBatch", url, e))?
                .failed
                .into_iter()
                .filter_map(|f| Some((f.id.parse().ok()?, (f.sender_fault, f.code))))
                .collect();
            pending.retain(|(at, _)| failed.contains_key(at));
            pending.retain(|(at, _)| match failed.get(at) {
                Some((sender_fault, code)) if *sender_fault || resend == RESENDS => {
                    given_up.push((*at, code.clone()));
                    false
                }
                _ => true,
            });
            if pending.is_empty() {
                break;
            }
        }
        Ok(given_up)
    }
}

fn entry(at: usize, message: &Outgoing) -> Result<SendMessageBatchRequestEntry> {
    let delay = i32::try_from(message.delay_s.min(DELAY_SECONDS)).unwrap_or_default();
    SendMessageBatchRequestEntry::builder()
        .id(at.to_string())
        .message_body(&message.body)
        .set_delay_seconds((delay > 0).then_some(delay))
        .set_message_group_id(message.group.clone())
        .build()
        .map_err(|source| Error::Unavailable { operation: "SendMessageBatch", source: source.into() })
}

fn error<E, R>(operation: &'static str, queue: &str, error: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: core::fmt::Debug + Send + Sync + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    if code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist") {
        Error::NoQueue { queue: queue.to_owned() }
    } else if code.contains("AccessDenied") || code.contains("KmsAccessDenied") {
        Error::Denied { operation }
    } else {
        Error::Unavailable { operation, source: error.into() }
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, url: &str, messages: &[Outgoing]) -> Result<()> {
        for (at, message) in messages.iter().enumerate() {
            let bytes = message.body.len();
            if bytes > MESSAGE_BYTES {
                return Err(Error::TooLarge { at, bytes, limit: MESSAGE_BYTES });
            }
        }
        self.meter.count(sending(messages));
        let mut given_up = Vec::new();
        for some in chunks(messages).chunks(PARALLEL) {
            for result in join_all(some.iter().map(|chunk| self.send_chunk(url, chunk))).await {
                given_up.extend(result?);
            }
        }
        given_up.sort();
        match given_up.first() {
            None => Ok(()),
            Some((_, reason)) => Err(Error::NotSent {
                reason: reason.clone(),
                failed: given_up.iter().map(|(at, _)| *at).collect(),
                of: messages.len(),
            }),
        }
    }

    async fn defer(&self, url: &str, receipt: &str, seconds: u32) -> Result<()> {
        let seconds = i32::try_from(seconds.min(VISIBILITY_SECONDS)).unwrap_or_default();
        self.asks();
        self.client
            .change_message_visibility()
            .queue_url(url)
            .receipt_handle(receipt)
            .visibility_timeout(seconds)
            .send()
            .await
            .map_err(|e| error("ChangeMessageVisibility", url, e))?;
        Ok(())
    }

    async fn queue_url(&self, name: &str) -> Result<String> {
        let known = self.urls.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(url) = known {
            return Ok(url);
        }
        self.asks();
        let answer = self.client.get_queue_url().queue_name(name).send().await;
        let url = answer.map_err(|e| error("GetQueueUrl", name, e))?.queue_url;
        let url = url.ok_or_else(|| Error::NoQueue { queue: name.to_owned() })?;
        self.urls.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), url.clone());
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::operation::send_message_batch::{SendMessageBatchError, SendMessageBatchOutput};
    use aws_sdk_sqs::types::error::QueueDoesNotExist;
    use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchResultEntry};
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use driftless_model::Disposition;

    use super::*;
    use crate::limits::{BATCH_BYTES, BATCH_ENTRIES};

    fn messages(n: usize, bytes: usize) -> Vec<Outgoing> {
        (0..n).map(|_| Outgoing { body: "x".repeat(bytes), delay_s: 0, group: Some("s".into()) }).collect()
    }

    #[test]
    fn requests_respect_both_limits_and_lose_nothing() {
        for (n, bytes) in [(0, 1), (1, 1), (10, 1), (25, 1), (23, 200_000), (11, 150_000)] {
            let messages = messages(n, bytes);
            let chunks = chunks(&messages);
            let all: Vec<_> = chunks.iter().flatten().map(|(at, _)| *at).collect();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
            for chunk in &chunks {
                assert!(chunk.len() <= BATCH_ENTRIES);
                assert!(chunk.iter().map(|(_, m)| m.body.len()).sum::<usize>() <= BATCH_BYTES);
            }
            let fewest = n.div_ceil(BATCH_ENTRIES.min(BATCH_BYTES / bytes));
            assert_eq!(chunks.len(), fewest);
        }
    }

    fn failing(ids: &[&str], sender_fault: bool) -> SendMessageBatchOutput {
        let failed = ids.iter().map(|id| {
            BatchResultErrorEntry::builder().id(*id).sender_fault(sender_fault).code("Busy").build().unwrap()
        });
        let ok = SendMessageBatchResultEntry::builder().id("0").message_id("m").md5_of_message_body("5").build();
        SendMessageBatchOutput::builder().successful(ok.unwrap()).set_failed(Some(failed.collect())).build().unwrap()
    }

    fn queue(client: Client) -> SqsQueue {
        SqsQueue { first_wait: Duration::ZERO, ..SqsQueue::new(client) }
    }

    #[tokio::test]
    async fn only_the_failed_entries_of_a_200_are_sent_again() {
        let first = mock!(Client::send_message_batch)
            .match_requests(|r| r.entries().len() == 3)
            .then_output(|| failing(&["1"], false));
        let second = mock!(Client::send_message_batch)
            .match_requests(|r| {
                r.entries().iter().map(|e| (e.id(), e.message_group_id())).collect::<Vec<_>>() == [("1", Some("s"))]
            })
            .then_output(|| failing(&[], false));
        let client = mock_client!(aws_sdk_sqs, RuleMode::Sequential, [&first, &second]);
        queue(client).send("u", &messages(3, 10)).await.unwrap();
        assert_eq!((first.num_calls(), second.num_calls()), (1, 1));
    }

    #[tokio::test]
    async fn what_keeps_failing_is_named() {
        let busy = mock!(Client::send_message_batch).then_output(|| failing(&["2", "0"], false));
        let client = mock_client!(aws_sdk_sqs, RuleMode::MatchAny, [&busy]);
        let error = queue(client).send("u", &messages(3, 10)).await.unwrap_err();
        assert!(matches!(&error, Error::NotSent { failed, of: 3, .. } if *failed == [0, 2]), "{error:?}");
        assert!(error.disposition().is_retry());
        assert_eq!(busy.num_calls(), 1 + RESENDS as usize);
    }

    #[tokio::test]
    async fn our_own_fault_is_not_sent_again() {
        let fault = mock!(Client::send_message_batch).then_output(|| failing(&["1"], true));
        let client = mock_client!(aws_sdk_sqs, RuleMode::MatchAny, [&fault]);
        let error = queue(client).send("u", &messages(3, 10)).await.unwrap_err();
        assert!(matches!(&error, Error::NotSent { failed, .. } if *failed == [1]), "{error:?}");
        assert_eq!(fault.num_calls(), 1);
    }

    #[tokio::test]
    async fn a_missing_queue_is_fatal_and_an_oversized_message_is_refused_before_sending() {
        let gone = mock!(Client::send_message_batch).then_error(|| {
            let meta = aws_sdk_sqs::error::ErrorMetadata::builder().code("AWS.SimpleQueueService.NonExistentQueue");
            SendMessageBatchError::QueueDoesNotExist(QueueDoesNotExist::builder().meta(meta.build()).build())
        });
        let client = mock_client!(aws_sdk_sqs, RuleMode::MatchAny, [&gone]);
        let queue = queue(client);
        let error = queue.send("u", &messages(1, 10)).await.unwrap_err();
        assert_eq!(error.disposition(), Disposition::Fatal);
        let error = queue.send("u", &messages(1, MESSAGE_BYTES + 1)).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { at: 0, .. }));
        assert_eq!(gone.num_calls(), 1);
    }
}
