use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use driftless_deltalog::head::{
    ActivationGuard, Append, Attention, Compaction, ConfigStamp, DeliveredRun, Fold, Head, HeadGuard, Hold, OldList,
    Swap, Tick,
};
use driftless_deltalog::item::{ItemFate, LogItem, LogPartition, VersionRecord};
use driftless_deltalog::ledger::{Call, CallOutcome, Claimed, InputReject, Reject, Run};
use driftless_deltalog::registry::{DestinationEntry, SharedToken, SyncEntry};
use driftless_deltalog::{Deltalog, Error, Result};
use driftless_model::{
    Advance, Advanced, AttrHash, Budget, DatasetId, DestinationId, KeyHash, Millis, RunId, SnapshotRef, SyncId, Token,
};

use crate::Steps;
use crate::steps::{Injected, halves};

/// A deltalog of which every access is a step, named like its method. Writes of many items are two steps: they may stop
/// half-way, as batches of the real table do.
pub struct StepDeltalog {
    inner: Arc<dyn Deltalog>,
    steps: Steps,
}

impl StepDeltalog {
    /// Steps to `inner`.
    pub fn new(inner: Arc<dyn Deltalog>, steps: Steps) -> Self {
        Self { inner, steps }
    }
}

fn fail(operation: &'static str) -> impl FnOnce() -> Error + Send {
    move || Error::Unavailable { operation, reason: "injected".to_owned(), source: Some(Box::new(Injected)) }
}

macro_rules! steps {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty;)*) => {
        #[async_trait]
        impl Deltalog for StepDeltalog {
            $(async fn $name(&self $(, $arg: $ty)*) -> Result<$ret> {
                let step = stringify!($name);
                self.steps.step(step, self.inner.$name($($arg),*), fail(step)).await
            })*

            async fn put_items(&self, partition: &LogPartition, items: &[LogItem]) -> Result<()> {
                for half in halves(items) {
                    let work = self.inner.put_items(partition, half);
                    self.steps.step("put_items", work, fail("put_items")).await?;
                }
                Ok(())
            }

            async fn put_calls(&self, sync: &SyncId, calls: &[Call]) -> Result<()> {
                for half in halves(calls) {
                    self.steps.step("put_calls", self.inner.put_calls(sync, half), fail("put_calls")).await?;
                }
                Ok(())
            }
        }
    };
}

steps! {
    fn put_sync(entry: &SyncEntry) -> Swap;
    fn delete_sync(sync: &SyncId) -> ();
    fn sync(sync: &SyncId) -> Option<SyncEntry>;
    fn syncs() -> Vec<SyncEntry>;
    fn put_destination(entry: &DestinationEntry) -> ();
    fn delete_destination(destination: &DestinationId) -> ();
    fn destinations() -> Vec<DestinationEntry>;
    fn create_head(head: &Head) -> Swap;
    fn head(sync: &SyncId) -> Option<Head>;
    fn append_version(sync: &SyncId, guard: &HeadGuard, append: &Append) -> Swap;
    fn stamp_snapshot(sync: &SyncId, guard: &HeadGuard, snapshot: &SnapshotRef, config: &ConfigStamp) -> Swap;
    fn erase(sync: &SyncId, dataset: &DatasetId, key: KeyHash, guard: &HeadGuard, append: &Append) -> Swap;
    fn activate(sync: &SyncId, run: &RunId, guard: &ActivationGuard, tick: &Tick) -> Swap;
    fn deactivate(sync: &SyncId, run: &RunId) -> Swap;
    fn commit(sync: &SyncId, stamp: &Token, delivered: &DeliveredRun, succeeded_at: Option<Millis>) -> Swap;
    fn fold(sync: &SyncId, fold: &Fold) -> Swap;
    fn compact(sync: &SyncId, compaction: &Compaction) -> Swap;
    fn place_hold(sync: &SyncId, guard: &HeadGuard, version: u64, hold: &Hold) -> Swap;
    fn approve(sync: &SyncId, version: u64, ceiling: u64, at: Millis) -> Swap;
    fn drop_hold(sync: &SyncId, version: u64, object: &str) -> Swap;
    fn set_attention(sync: &SyncId, incarnation: u64, attention: Option<&Attention>) -> ();
    fn clear_retired(sync: &SyncId, tokens: &BTreeSet<Token>) -> ();
    fn put_old_list(sync: &SyncId, old: &OldList) -> Swap;
    fn replace_old_list(sync: &SyncId, read: &OldList, by: Option<&OldList>) -> Swap;
    fn items(partition: &LogPartition, expected: u64) -> BTreeMap<KeyHash, LogItem>;
    fn item(partition: &LogPartition, key: KeyHash) -> Option<LogItem>;
    fn stamp_items(partition: &LogPartition, fates: &BTreeMap<KeyHash, ItemFate>, expires_at: i64) -> ();
    fn delete_items(partition: &LogPartition) -> ();
    fn put_attempt(partition: &LogPartition, at: Millis) -> ();
    fn attempts(sync: &SyncId, before: Millis) -> Vec<LogPartition>;
    fn delete_attempt(partition: &LogPartition) -> ();
    fn put_version_record(sync: &SyncId, record: &VersionRecord) -> ();
    fn version_records(sync: &SyncId) -> Vec<VersionRecord>;
    fn put_run(run: &Run) -> Swap;
    fn run(sync: &SyncId, run: &RunId) -> Option<Run>;
    fn runs(sync: &SyncId, limit: usize) -> Vec<Run>;
    fn update_run(run: &Run, from: &[&str]) -> Swap;
    fn call(sync: &SyncId, run: &RunId, number: u32) -> Option<Call>;
    fn calls(sync: &SyncId, run: &RunId) -> Vec<Call>;
    fn claim(sync: &SyncId, run: &RunId, number: u32, token: &Token, now: Millis, lease_until: Millis) -> Claimed;
    fn release(sync: &SyncId, call: &Call, token: &Token, maybe: bool) -> Swap;
    fn keep(sync: &SyncId, call: &Call, token: &Token, maybe: bool) -> Swap;
    fn settle(sync: &SyncId, run: &RunId, number: u32, token: &Token, outcome: &CallOutcome) -> Swap;
    fn count_reject(sync: &SyncId, reject: &Reject) -> ();
    fn rejects(sync: &SyncId) -> Vec<Reject>;
    fn release_rejects(sync: &SyncId, which: Option<(KeyHash, Option<AttrHash>)>) -> u64;
    fn put_input_reject(dataset: &str, reject: &InputReject, expires_at: i64) -> ();
    fn input_rejects(dataset: &str) -> Vec<InputReject>;
    fn tick_claimed(sync: &SyncId, tick: &str) -> bool;
    fn tombstones(dataset: &DatasetId) -> BTreeSet<KeyHash>;
    fn budget(destination: &DestinationId) -> Option<Budget>;
    fn advance_budget(destination: &DestinationId, advance: &Advance) -> Advanced;
    fn swap_budget(destination: &DestinationId, from: Option<&Budget>, to: &Budget) -> Swap;
    fn shared_token(destination: &DestinationId) -> Option<SharedToken>;
    fn put_shared_token(destination: &DestinationId, expected: Option<u64>, token: &SharedToken) -> Swap;
}
