//! Log items: written in batches under a private token, read whole and counted, stamped one by one.

use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use driftless_model::{IdentifierSet, KeyHash, Millis, RecordKey, RunId, SyncId, Token};
use futures::{StreamExt, TryStreamExt, stream};

use super::DynamoDeltalog;
use super::attribute::{Attributes, Reader, json, malformed, n, s};
use super::failure::Operation;
use super::key::{self, SK};
use super::limits::{PARALLEL_BATCHES, PARALLEL_ITEMS, SHARDS, SPREAD_FROM};
use super::table::{Change, Range, Write};
use crate::item::{ChangeOp, ItemFate, LogItem, LogPartition};
use crate::{Error, Result};

const PUT: Operation = Operation {
    name: "BatchWriteItem",
    item: "a log item (the key and identifiers of one record)",
    remedy: "map shorter identifiers, or limit their size in the mapping",
};

fn op_name(op: ChangeOp) -> &'static str {
    match op {
        ChangeOp::Add => "add",
        ChangeOp::Update => "update",
        ChangeOp::Remove => "remove",
    }
}

pub(super) fn encode(partition: &LogPartition, spread: bool, item: &LogItem) -> Result<Attributes> {
    let mut attributes = key::log_item(partition, spread, item.key_hash).item([
        ("key", s(item.key.as_str())),
        ("op", s(op_name(item.op))),
        ("in_dataset", AttributeValue::Bool(item.in_dataset())),
        ("identifiers", json(&item.identifiers)?),
        ("version", n(partition.version)),
        ("updated_at", n(item.updated_at.0)),
    ]);
    let optional = [
        ("attr_hash", item.attr_hash.map(|a| s(a.to_string()))),
        ("committed_at", item.committed_at.map(|at| n(at.0))),
        ("superseded_by", item.superseded_by.as_ref().map(|r| s(r.as_str()))),
        ("expires_at", item.expires_at.map(n)),
    ];
    attributes.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Ok(attributes)
}

fn decode(item: &Attributes) -> Result<LogItem> {
    let r = Reader::new(item, "a log item");
    Ok(LogItem {
        key_hash: r.parsed(SK)?,
        key: RecordKey::new(r.text("key")?),
        op: match r.text("op")? {
            "add" => ChangeOp::Add,
            "update" => ChangeOp::Update,
            "remove" => ChangeOp::Remove,
            _ => return Err(malformed("a log item", "attribute op has another form")),
        },
        attr_hash: r.opt_parsed("attr_hash")?,
        identifiers: r.json::<IdentifierSet>("identifiers")?,
        updated_at: Millis(r.number("updated_at")?),
        committed_at: r.opt_number("committed_at")?.map(Millis),
        superseded_by: r.opt_text("superseded_by")?.map(RunId::new),
        expires_at: r.opt_number("expires_at")?,
    })
}

impl DynamoDeltalog {
    pub(super) async fn write_items(&self, partition: &LogPartition, items: &[LogItem]) -> Result<()> {
        let spread = items.len() >= SPREAD_FROM;
        self.table.put_all(PUT, (0..items.len()).map(|at| encode(partition, spread, &items[at]))).await
    }

    /// A version of fewer items than [`SPREAD_FROM`] was never spread; a larger one may have been written in slices of
    /// both kinds, and shard 0 belongs to either.
    pub(super) async fn read_items(
        &self,
        partition: &LogPartition,
        expected: u64,
    ) -> Result<BTreeMap<KeyHash, LogItem>> {
        let shards = if expected < SPREAD_FROM as u64 { 1 } else { SHARDS };
        let items = stream::iter(0..shards)
            .map(|shard| self.read_shard(key::log_partition(partition, shard)))
            .buffer_unordered(PARALLEL_BATCHES)
            .try_fold(BTreeMap::new(), |mut all, shard| async move {
                all.extend(shard.into_iter().map(|item| (item.key_hash, item)));
                Ok(all)
            })
            .await?;
        let found = items.len() as u64;
        if found == expected {
            Ok(items)
        } else {
            Err(Error::Incomplete { version: partition.version, expected, found })
        }
    }

    async fn read_shard(&self, partition: String) -> Result<Vec<LogItem>> {
        let items = self.table.query(&partition, Range::default()).await?;
        items.iter().map(decode).collect()
    }

    pub(super) async fn read_item(&self, partition: &LogPartition, key: KeyHash) -> Result<Option<LogItem>> {
        for spread in [false, true] {
            if let Some(item) = self.table.get(&key::log_item(partition, spread, key)).await? {
                return decode(&item).map(Some);
            }
        }
        Ok(None)
    }

    pub(super) async fn stamp_fates(
        &self,
        partition: &LogPartition,
        fates: &BTreeMap<KeyHash, ItemFate>,
        expires_at: i64,
    ) -> Result<()> {
        // A refused write costs as much as one that took effect: look first where the last one was found.
        let spread = AtomicBool::new(fates.len() >= SPREAD_FROM);
        let fates: Vec<_> = fates.iter().collect();
        stream::iter(0..fates.len())
            .map(|at| self.stamp_fate(partition, *fates[at].0, fates[at].1, expires_at, &spread))
            .buffer_unordered(PARALLEL_ITEMS)
            .try_collect()
            .await
    }

    async fn stamp_fate(
        &self,
        partition: &LogPartition,
        key: KeyHash,
        fate: &ItemFate,
        expires_at: i64,
        spread: &AtomicBool,
    ) -> Result<()> {
        let fate = match fate {
            ItemFate::Committed(at) => Some(("committed_at", n(at.0))),
            ItemFate::Superseded(run) => Some(("superseded_by", s(run.as_str()))),
            ItemFate::Merged => None,
        };
        let mut change = Change::new(
            "SET #expires_at = :expires",
            // An item that was deleted meanwhile must not come back as a stump.
            "attribute_exists(#pk)",
            [(":expires", n(expires_at))],
        );
        if let Some((name, value)) = fate {
            change = change.and(&format!(", #{name} = :fate")).value(":fate", value);
        }
        let first = spread.load(Ordering::Relaxed);
        for spread_here in [first, !first] {
            let key = key::log_item(partition, spread_here, key);
            let operation = Operation::small("UpdateItem");
            if let Write::Done(_) = self.table.update(operation, &key, change.clone(), ReturnValue::None).await? {
                spread.store(spread_here, Ordering::Relaxed);
                break;
            }
        }
        Ok(())
    }

    pub(super) async fn write_attempt(&self, partition: &LogPartition, at: Millis) -> Result<()> {
        let item = key::attempt(partition).item([
            ("incarnation", n(partition.incarnation)),
            ("version", n(partition.version)),
            ("token", s(partition.token.as_str())),
            ("at", n(at.0)),
        ]);
        // Refused: announced before, and the first time counts.
        self.table.put_if_absent(Operation::small("PutItem"), item).await.map(|_| ())
    }

    pub(super) async fn read_attempts(&self, sync: &SyncId, before: Millis) -> Result<Vec<LogPartition>> {
        let items = self.table.query(&key::attempt_partition(sync), Range::default()).await?;
        let mut attempts = Vec::new();
        for item in &items {
            let r = Reader::new(item, "an attempt");
            if r.number("at").map(Millis)? < before {
                attempts.push(LogPartition {
                    sync: sync.clone(),
                    incarnation: r.number("incarnation")?,
                    version: r.number("version")?,
                    token: Token::new(r.text("token")?),
                });
            }
        }
        Ok(attempts)
    }

    /// All shards are looked at, because nobody may know how a losing attempt wrote.
    pub(super) async fn remove_items(&self, partition: &LogPartition) -> Result<()> {
        let keys_only = Range { keys_only: true, ..Range::default() };
        stream::iter(0..SHARDS)
            .map(async |shard| {
                let keys = self.table.query(&key::log_partition(partition, shard), keys_only).await?;
                self.table.delete_all(keys).await
            })
            .buffer_unordered(PARALLEL_BATCHES)
            .try_collect()
            .await
    }
}
