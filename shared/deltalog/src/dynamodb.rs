//! The store on `DynamoDB`. Its keys: `docs/adr/0001-table-key-schema.md`.
//!
//! One table for everything. Whatever decides is read consistently; every condition is checked by the table at the write; a
//! refused write brings the item back, and a caller that finds its own earlier write there has succeeded (DL-6).

mod attribute;
mod budget;
mod failure;
mod fold;
mod head;
mod key;
mod ledger;
mod limits;
mod lists;
mod log;
mod registry;
mod rows;
#[cfg(any(test, feature = "conformance"))]
pub(crate) mod sizes;
mod table;
#[cfg(test)]
mod tests;
mod transaction;
mod units;
mod usage;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use driftless_model::{
    Advance, Advanced, AttrHash, Budget, DatasetId, DestinationId, KeyHash, Meter, Millis, RunId, SnapshotRef, SyncId,
    Token, Usage,
};

use crate::head::{
    ActivationGuard, Append, Attention, Compaction, ConfigStamp, DeliveredRun, Fold, Head, HeadGuard, Hold, OldList,
    Swap, Tick,
    transition::{try_put_old_list, try_replace_old_list},
};
use crate::item::{ItemFate, LogItem, LogPartition, VersionRecord};
use crate::ledger::{Call, CallOutcome, Claimed, InputReject, Reject, Run};
use crate::registry::{DestinationEntry, SharedToken, SyncEntry};
use crate::{Deltalog, Result};

pub(crate) use usage::head_units;

/// The deltalog in one `DynamoDB` table. Timeouts, retries and endpoint are the client's matter.
#[derive(Clone, Debug)]
pub struct DynamoDeltalog {
    table: table::Table,
    charges: usage::Charges,
}

impl DynamoDeltalog {
    /// The table as seen through the client: keys `pk` and `sk` (strings), time to live on `expires_at`.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        let table = table::Table { client, name: table.into(), meter: Meter::default() };
        Self { table, charges: usage::Charges::default() }
    }

    /// Counts the units that requests take.
    #[must_use]
    pub fn metered(mut self, meter: Meter) -> Self {
        self.table.meter = meter;
        self
    }
}

#[async_trait]
impl Deltalog for DynamoDeltalog {
    async fn put_sync(&self, entry: &SyncEntry) -> Result<Swap> {
        self.write_sync(entry).await
    }

    async fn delete_sync(&self, sync: &SyncId) -> Result<()> {
        self.table.delete(&key::sync(sync)).await
    }

    async fn sync(&self, sync: &SyncId) -> Result<Option<SyncEntry>> {
        self.read_sync(sync).await
    }

    async fn syncs(&self) -> Result<Vec<SyncEntry>> {
        self.read_syncs().await
    }

    async fn put_destination(&self, entry: &DestinationEntry) -> Result<()> {
        self.write_destination(entry).await
    }

    async fn delete_destination(&self, destination: &DestinationId) -> Result<()> {
        self.table.delete(&key::destination(destination)).await
    }

    async fn destinations(&self) -> Result<Vec<DestinationEntry>> {
        self.read_destinations().await
    }

    async fn create_head(&self, head: &Head) -> Result<Swap> {
        self.write_new_head(head).await
    }

    async fn head(&self, sync: &SyncId) -> Result<Option<Head>> {
        self.read_head(sync).await
    }

    async fn append_version(&self, sync: &SyncId, guard: &HeadGuard, append: &Append) -> Result<Swap> {
        self.append(sync, guard, append).await
    }

    async fn stamp_snapshot(
        &self,
        sync: &SyncId,
        guard: &HeadGuard,
        snapshot: &SnapshotRef,
        config: &ConfigStamp,
    ) -> Result<Swap> {
        self.stamp(sync, guard, snapshot, config).await
    }

    async fn erase(
        &self,
        sync: &SyncId,
        dataset: &DatasetId,
        key: KeyHash,
        guard: &HeadGuard,
        append: &Append,
    ) -> Result<Swap> {
        self.write_erasure(sync, dataset, key, guard, append).await
    }

    async fn activate(&self, sync: &SyncId, run: &RunId, guard: &ActivationGuard, tick: &Tick) -> Result<Swap> {
        self.activate_run(sync, run, guard, tick).await
    }

    async fn deactivate(&self, sync: &SyncId, run: &RunId) -> Result<Swap> {
        self.deactivate_run(sync, run).await
    }

    async fn commit(
        &self,
        sync: &SyncId,
        stamp: &Token,
        delivered: &DeliveredRun,
        succeeded_at: Option<Millis>,
    ) -> Result<Swap> {
        self.commit_run(sync, stamp, delivered, succeeded_at).await
    }

    async fn put_old_list(&self, sync: &SyncId, old: &OldList) -> Result<Swap> {
        self.write_lists(sync, |head| try_put_old_list(head, old)).await
    }

    async fn replace_old_list(&self, sync: &SyncId, read: &OldList, by: Option<&OldList>) -> Result<Swap> {
        self.write_lists(sync, |head| try_replace_old_list(head, read, by)).await
    }

    async fn fold(&self, sync: &SyncId, fold: &Fold) -> Result<Swap> {
        self.write_fold(sync, fold).await
    }

    async fn compact(&self, sync: &SyncId, compaction: &Compaction) -> Result<Swap> {
        self.write_compaction(sync, compaction).await
    }

    async fn place_hold(&self, sync: &SyncId, guard: &HeadGuard, version: u64, hold: &Hold) -> Result<Swap> {
        self.put_hold(sync, guard, version, hold).await
    }

    async fn approve(&self, sync: &SyncId, version: u64, ceiling: u64, at: Millis) -> Result<Swap> {
        self.approve_hold(sync, version, ceiling, at).await
    }

    async fn drop_hold(&self, sync: &SyncId, version: u64, object: &str) -> Result<Swap> {
        self.remove_hold(sync, version, object).await
    }

    async fn set_attention(&self, sync: &SyncId, incarnation: u64, attention: Option<&Attention>) -> Result<()> {
        self.put_attention(sync, incarnation, attention).await.map(|_| ())
    }

    async fn clear_retired(&self, sync: &SyncId, tokens: &BTreeSet<Token>) -> Result<()> {
        self.remove_retired(sync, tokens).await
    }

    async fn put_items(&self, partition: &LogPartition, items: &[LogItem]) -> Result<()> {
        self.write_items(partition, items).await
    }

    async fn items(&self, partition: &LogPartition, expected: u64) -> Result<BTreeMap<KeyHash, LogItem>> {
        self.read_items(partition, expected).await
    }

    async fn item(&self, partition: &LogPartition, key: KeyHash) -> Result<Option<LogItem>> {
        self.read_item(partition, key).await
    }

    async fn stamp_items(
        &self,
        partition: &LogPartition,
        fates: &BTreeMap<KeyHash, ItemFate>,
        expires_at: i64,
    ) -> Result<()> {
        self.stamp_fates(partition, fates, expires_at).await
    }

    async fn delete_items(&self, partition: &LogPartition) -> Result<()> {
        self.remove_items(partition).await
    }

    async fn put_attempt(&self, partition: &LogPartition, at: Millis) -> Result<()> {
        self.write_attempt(partition, at).await
    }

    async fn attempts(&self, sync: &SyncId, before: Millis) -> Result<Vec<LogPartition>> {
        self.read_attempts(sync, before).await
    }

    async fn delete_attempt(&self, partition: &LogPartition) -> Result<()> {
        self.table.delete(&key::attempt(partition)).await
    }

    async fn put_version_record(&self, sync: &SyncId, record: &VersionRecord) -> Result<()> {
        self.write_version_record(sync, record).await
    }

    async fn version_records(&self, sync: &SyncId) -> Result<Vec<VersionRecord>> {
        self.read_version_records(sync).await
    }

    async fn put_run(&self, run: &Run) -> Result<Swap> {
        self.write_new_run(run).await
    }

    async fn run(&self, sync: &SyncId, run: &RunId) -> Result<Option<Run>> {
        self.read_run(sync, run).await
    }

    async fn runs(&self, sync: &SyncId, limit: usize) -> Result<Vec<Run>> {
        self.read_runs(sync, limit).await
    }

    async fn update_run(&self, run: &Run, from: &[&str]) -> Result<Swap> {
        self.replace_run(run, from).await
    }

    async fn put_calls(&self, sync: &SyncId, calls: &[Call]) -> Result<()> {
        self.write_new_calls(sync, calls).await
    }

    async fn call(&self, sync: &SyncId, run: &RunId, number: u32) -> Result<Option<Call>> {
        self.read_call(sync, run, number).await
    }

    async fn calls(&self, sync: &SyncId, run: &RunId) -> Result<Vec<Call>> {
        self.read_calls(sync, run).await
    }

    async fn claim(
        &self,
        sync: &SyncId,
        run: &RunId,
        number: u32,
        token: &Token,
        now: Millis,
        lease_until: Millis,
    ) -> Result<Claimed> {
        self.take_claim(sync, run, number, token, now, lease_until).await
    }

    async fn release(&self, sync: &SyncId, call: &Call, token: &Token, maybe: bool) -> Result<Swap> {
        self.replace_known(sync, call, token, maybe, false).await
    }

    async fn keep(&self, sync: &SyncId, call: &Call, token: &Token, maybe: bool) -> Result<Swap> {
        self.replace_known(sync, call, token, maybe, true).await
    }

    async fn settle(
        &self,
        sync: &SyncId,
        run: &RunId,
        number: u32,
        token: &Token,
        outcome: &CallOutcome,
    ) -> Result<Swap> {
        self.write_outcome(sync, run, number, token, outcome).await
    }

    async fn count_reject(&self, sync: &SyncId, reject: &Reject) -> Result<()> {
        self.write_reject(sync, reject).await
    }

    async fn rejects(&self, sync: &SyncId) -> Result<Vec<Reject>> {
        self.read_rejects(sync).await
    }

    async fn release_rejects(&self, sync: &SyncId, which: Option<(KeyHash, Option<AttrHash>)>) -> Result<u64> {
        self.remove_rejects(sync, which).await
    }

    async fn put_input_reject(&self, dataset: &str, reject: &InputReject, expires_at: i64) -> Result<()> {
        self.write_input_reject(dataset, reject, expires_at).await
    }

    async fn input_rejects(&self, dataset: &str) -> Result<Vec<InputReject>> {
        self.read_input_rejects(dataset).await
    }

    async fn tick_claimed(&self, sync: &SyncId, tick: &str) -> Result<bool> {
        self.is_tick_claimed(sync, tick).await
    }

    async fn tombstones(&self, dataset: &DatasetId) -> Result<BTreeSet<KeyHash>> {
        self.read_tombstones(dataset).await
    }

    async fn budget(&self, destination: &DestinationId) -> Result<Option<Budget>> {
        self.read_budget(destination).await
    }

    async fn advance_budget(&self, destination: &DestinationId, advance: &Advance) -> Result<Advanced> {
        self.move_budget(destination, advance).await
    }

    async fn swap_budget(&self, destination: &DestinationId, from: Option<&Budget>, to: &Budget) -> Result<Swap> {
        self.write_budget(destination, from, to).await
    }

    async fn shared_token(&self, destination: &DestinationId) -> Result<Option<SharedToken>> {
        self.read_shared_token(destination).await
    }

    async fn put_shared_token(
        &self,
        destination: &DestinationId,
        expected: Option<u64>,
        token: &SharedToken,
    ) -> Result<Swap> {
        self.write_shared_token(destination, expected, token).await
    }

    fn charge(&self, head: &Head, usage: Usage, at: Millis) {
        self.charges.add(head, usage, at);
    }
}
