//! Limits of SQS, as documented in 2026 (1 MiB since August 2025): <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>.

/// Messages of one `SendMessageBatch`.
pub const BATCH_ENTRIES: usize = 10;

/// Bytes of all messages of one `SendMessageBatch`, and of a single message.
pub const BATCH_BYTES: usize = 1_048_576;

/// Bytes that a message of ours may have: a redelivered batch of ten stays far below Lambda's 6 MB.
pub const MESSAGE_BYTES: usize = 200_000;

/// Bytes of a request that are billed as one: <https://aws.amazon.com/sqs/pricing/>.
pub const BILLED_BYTES: usize = 65_536;

/// The longest delay of a message, in seconds.
pub const DELAY_SECONDS: u32 = 900;

/// The longest visibility timeout, in seconds.
pub const VISIBILITY_SECONDS: u32 = 43_200;
