//! What `DynamoDB` allows, and what we ask of it. Pages read 2026-07.

/// Puts and deletes in one `BatchWriteItem`.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
pub(crate) const BATCH_WRITE_ITEMS: usize = 25;

/// Bytes of an expression are limited to 4 KB and operators of an update to 300
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>). A path of ours with its operator
/// takes at most 31 bytes, so this many stay within both, with room for the fixed part.
pub(crate) const PATHS_PER_EXPRESSION: usize = 80;

/// From this many items in one write on, they are spread over [`SHARDS`] partitions. Fewer are written by one partition
/// (1,000 write units a second) in the time that the requests take.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>
pub(crate) const SPREAD_FROM: usize = 5_000;

/// Partitions of a large log version: 64,000 write units a second, more than a table gives before it is warm.
pub(crate) const SHARDS: u16 = 64;

/// Batches and queries of one caller that are under way at a time.
pub(crate) const PARALLEL_BATCHES: usize = 8;

/// Single-item writes of one caller that are under way at a time.
pub(crate) const PARALLEL_ITEMS: usize = 32;

/// How often what a batch left unprocessed is sent again, with waits of 50 ms doubling to 5 s.
pub(crate) const UNPROCESSED_RETRIES: usize = 10;

/// How often a write that must first read is tried again when the item moved in between.
pub(crate) const RACE_RETRIES: usize = 20;
