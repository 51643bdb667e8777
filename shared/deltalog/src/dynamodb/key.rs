//! The keys of the table: `docs/adr/0001-table-key-schema.md`.
//!
//! Names are made of `a-z`, `0-9`, `-` and `_` (see `driftless-model`), tokens and run ids of URL-safe characters; so `#`
//! separates, and no part can be read as two.

use aws_sdk_dynamodb::types::AttributeValue;
use driftless_model::{AttrHash, DatasetId, DestinationId, KeyHash, RunId, SyncId};

use super::attribute::{Attributes, s};
use super::limits::SHARDS;
use crate::item::LogPartition;

pub(crate) const PK: &str = "pk";
pub(crate) const SK: &str = "sk";

/// Sort keys of version records start with this; the head of the same sync lies beside them.
pub(crate) const VERSION_PREFIX: &str = "VERSION#";

/// The key of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Key {
    fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    pub(crate) fn attributes(&self) -> Attributes {
        Attributes::from([(PK.to_owned(), s(&self.pk)), (SK.to_owned(), s(&self.sk))])
    }

    /// The item with this key and these attributes.
    pub(crate) fn item<const N: usize>(&self, attributes: [(&str, AttributeValue); N]) -> Attributes {
        let mut item = self.attributes();
        item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
        item
    }
}

pub(crate) const SYNCS: &str = "REGISTRY#SYNC";
pub(crate) const DESTINATIONS: &str = "REGISTRY#DESTINATION";

pub(crate) fn sync(sync: &SyncId) -> Key {
    Key::new(SYNCS, sync.as_str())
}

pub(crate) fn destination(destination: &DestinationId) -> Key {
    Key::new(DESTINATIONS, destination.as_str())
}

pub(crate) fn sync_partition(sync: &SyncId) -> String {
    format!("SYNC#{sync}")
}

pub(crate) fn head(sync: &SyncId) -> Key {
    Key::new(sync_partition(sync), "HEAD")
}

pub(crate) fn version_record(sync: &SyncId, incarnation: u64, version: u64) -> Key {
    Key::new(sync_partition(sync), format!("{VERSION_PREFIX}{incarnation:010}#{version:010}"))
}

/// One shard of a log partition; small versions have shard 0 only.
pub(crate) fn log_partition(p: &LogPartition, shard: u16) -> String {
    format!("LOG#{}#{}#{}#{}#{shard}", p.sync, p.incarnation, p.version, p.token)
}

/// A log item, as it lies in a version that is spread over the shards, or in one that is not.
pub(crate) fn log_item(p: &LogPartition, spread: bool, key: KeyHash) -> Key {
    let shard = if spread { key.shard(SHARDS) } else { 0 };
    Key::new(log_partition(p, shard), key.to_string())
}

pub(crate) fn attempt_partition(sync: &SyncId) -> String {
    format!("ATTEMPT#{sync}")
}

pub(crate) fn attempt(p: &LogPartition) -> Key {
    let sk = format!("{:010}#{:010}#{}", p.incarnation, p.version, p.token);
    Key::new(attempt_partition(&p.sync), sk)
}

pub(crate) fn run_partition(sync: &SyncId) -> String {
    format!("RUN#{sync}")
}

pub(crate) fn run(sync: &SyncId, run: &RunId) -> Key {
    Key::new(run_partition(sync), run.as_str())
}

pub(crate) fn call_partition(sync: &SyncId, run: &RunId) -> String {
    format!("CALLS#{sync}#{run}")
}

pub(crate) fn call(sync: &SyncId, run: &RunId, number: u32) -> Key {
    Key::new(call_partition(sync, run), format!("{number:010}"))
}

pub(crate) fn reject_partition(sync: &SyncId) -> String {
    format!("REJECT#{sync}")
}

pub(crate) fn reject(sync: &SyncId, key: KeyHash, attr: AttrHash) -> Key {
    Key::new(reject_partition(sync), format!("{key}#{attr}"))
}

pub(crate) fn input_reject_partition(dataset: &str) -> String {
    format!("INPUT#{dataset}")
}

/// The subject names an object and may be longer than the 1,024 bytes of a sort key: its digest is the key.
pub(crate) fn input_reject(dataset: &str, subject: &str) -> Key {
    use sha2::{Digest, Sha256};
    Key::new(input_reject_partition(dataset), hex::encode(Sha256::digest(subject)))
}

pub(crate) fn tick(sync: &SyncId, tick: &str) -> Key {
    Key::new(format!("TICK#{sync}"), tick)
}

pub(crate) fn tombstone_partition(dataset: &DatasetId) -> String {
    format!("TOMBSTONE#{dataset}")
}

pub(crate) fn tombstone(dataset: &DatasetId, key: KeyHash) -> Key {
    Key::new(tombstone_partition(dataset), key.to_string())
}

pub(crate) fn shared_token(destination: &DestinationId) -> Key {
    Key::new(format!("TOKEN#{destination}"), "CURRENT")
}

pub(crate) fn rate(destination: &DestinationId) -> Key {
    Key::new(format!("RATE#{destination}"), "BUDGET")
}
