//! What requests would take on the table, worked out for a store that bills nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use driftless_model::{
    Advance, Advanced, AttrHash, Budget, DatasetId, DestinationId, KeyHash, Meter, Millis, RunId, SnapshotRef, SyncId,
    Token, Usage,
};
use serde::Serialize;

use crate::dynamodb::sizes::{call_size, head_size, log_item_size, read_units, run_size, write_units};
use crate::head::{
    ActivationGuard, Append, Attention, Compaction, ConfigStamp, DeliveredRun, Fold, Head, HeadGuard, Hold, OldList,
    Swap, Tick,
};
use crate::item::{ItemFate, LogItem, LogPartition, VersionRecord};
use crate::ledger::{Call, CallOutcome, Claimed, InputReject, Reject, Run};
use crate::registry::{DestinationEntry, SharedToken, SyncEntry};
use crate::{Deltalog, Result};

/// Counts on a meter what the table would bill for what is asked of a store in memory: the sizes of heads, log items, runs and
/// calls are those of their items on the table, small items are taken by their JSON. The head is read once more after a write,
/// which is free in memory: not for a store that bills. For tests of what things cost.
pub struct Metered {
    inner: Arc<dyn Deltalog>,
    meter: Meter,
    /// Syncs with a charge that has the next write of the head in it already.
    charged: Mutex<BTreeSet<SyncId>>,
}

fn json(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(0, |text| text.len())
}

fn reads(bytes: usize) -> Usage {
    Usage { read_units: read_units(bytes), ..Usage::default() }
}

fn writes(write_units: u64) -> Usage {
    Usage { write_units, ..Usage::default() }
}

/// A small item.
fn one<T>(_: &T) -> Usage {
    writes(1)
}

impl Metered {
    /// Counts on `meter` what is asked of `inner`.
    pub fn new(inner: Arc<dyn Deltalog>, meter: Meter) -> Self {
        Self { inner, meter, charged: Mutex::default() }
    }

    fn charged(&self) -> MutexGuard<'_, BTreeSet<SyncId>> {
        self.charged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write of the head. In a transaction each item takes twice its units, and no charge is carried.
    async fn head_written<T>(&self, sync: &SyncId, answer: T, transaction: bool) -> Result<T> {
        let units = self.inner.head(sync).await?.map_or(1, |head| head.write_units());
        if transaction {
            self.meter.count(writes(2 * (units + 1)));
        } else if !self.charged().remove(sync) {
            self.meter.count(writes(units));
        }
        Ok(answer)
    }
}

macro_rules! metered {
    (
        heads { $(fn $head:ident($($harg:ident: $hty:ty),*) -> $hret:ty, $transaction:expr;)* }
        others { $(fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $units:expr;)* }
    ) => {
        #[async_trait]
        impl Deltalog for Metered {
            $(async fn $head(&self, sync: &SyncId $(, $harg: $hty)*) -> Result<$hret> {
                let answer = self.inner.$head(sync $(, $harg)*).await?;
                self.head_written(sync, answer, $transaction).await
            })*
            $(async fn $name(&self $(, $arg: $ty)*) -> Result<$ret> {
                let answer = self.inner.$name($($arg),*).await?;
                self.meter.count(($units)(&answer));
                Ok(answer)
            })*

            fn charge(&self, head: &Head, usage: Usage, at: Millis) {
                self.charged().insert(head.sync.clone());
                self.inner.charge(head, usage, at);
            }
        }
    };
}

metered! {
    heads {
        fn append_version(guard: &HeadGuard, append: &Append) -> Swap, false;
        fn stamp_snapshot(guard: &HeadGuard, snapshot: &SnapshotRef, config: &ConfigStamp) -> Swap, false;
        fn erase(dataset: &DatasetId, key: KeyHash, guard: &HeadGuard, append: &Append) -> Swap, true;
        fn activate(run: &RunId, guard: &ActivationGuard, tick: &Tick) -> Swap, true;
        fn deactivate(run: &RunId) -> Swap, false;
        fn commit(stamp: &Token, delivered: &DeliveredRun, succeeded_at: Option<Millis>) -> Swap, false;
        fn fold(fold: &Fold) -> Swap, false;
        fn compact(compaction: &Compaction) -> Swap, false;
        fn place_hold(guard: &HeadGuard, version: u64, hold: &Hold) -> Swap, false;
        fn approve(version: u64, ceiling: u64, at: Millis) -> Swap, false;
        fn drop_hold(version: u64, object: &str) -> Swap, false;
        fn set_attention(incarnation: u64, attention: Option<&Attention>) -> (), false;
        fn clear_retired(tokens: &BTreeSet<Token>) -> (), false;
        fn put_old_list(old: &OldList) -> Swap, false;
        fn replace_old_list(read: &OldList, by: Option<&OldList>) -> Swap, false;
    }
    others {
        fn put_sync(entry: &SyncEntry) -> Swap, one;
        fn delete_sync(sync: &SyncId) -> (), one;
        fn sync(sync: &SyncId) -> Option<SyncEntry>, |a: &Option<SyncEntry>| reads(json(a));
        fn syncs() -> Vec<SyncEntry>, |a: &Vec<SyncEntry>| reads(json(a));
        fn put_destination(entry: &DestinationEntry) -> (), one;
        fn delete_destination(destination: &DestinationId) -> (), one;
        fn destinations() -> Vec<DestinationEntry>, |a: &Vec<DestinationEntry>| reads(json(a));
        fn create_head(head: &Head) -> Swap, |_: &Swap| writes(head.write_units());
        fn head(sync: &SyncId) -> Option<Head>, |a: &Option<Head>| reads(a.as_ref().map_or(0, head_size));
        fn put_items(partition: &LogPartition, items: &[LogItem]) -> (),
            |(): &()| writes(items.iter().map(|item| write_units(log_item_size(partition, item))).sum());
        fn items(partition: &LogPartition, expected: u64) -> BTreeMap<KeyHash, LogItem>,
            |a: &BTreeMap<KeyHash, LogItem>| reads(a.values().map(|item| log_item_size(partition, item)).sum());
        fn item(partition: &LogPartition, key: KeyHash) -> Option<LogItem>, |_: &Option<LogItem>| reads(0);
        fn stamp_items(partition: &LogPartition, fates: &BTreeMap<KeyHash, ItemFate>, expires_at: i64) -> (),
            |(): &()| writes(fates.len() as u64);
        fn delete_items(partition: &LogPartition) -> (), |(): &()| reads(0);
        fn put_attempt(partition: &LogPartition, at: Millis) -> (), one;
        fn attempts(sync: &SyncId, before: Millis) -> Vec<LogPartition>, |a: &Vec<LogPartition>| reads(a.len() * 128);
        fn delete_attempt(partition: &LogPartition) -> (), one;
        fn put_version_record(sync: &SyncId, record: &VersionRecord) -> (), |(): &()| writes(write_units(json(record)));
        fn version_records(sync: &SyncId) -> Vec<VersionRecord>, |a: &Vec<VersionRecord>| reads(json(a));
        fn put_run(run: &Run) -> Swap, |_: &Swap| writes(write_units(run_size(run)));
        fn run(sync: &SyncId, run: &RunId) -> Option<Run>, |a: &Option<Run>| reads(a.as_ref().map_or(0, run_size));
        fn runs(sync: &SyncId, limit: usize) -> Vec<Run>, |a: &Vec<Run>| reads(a.iter().map(run_size).sum());
        fn update_run(run: &Run, from: &[&str]) -> Swap, |_: &Swap| writes(write_units(run_size(run)));
        fn put_calls(sync: &SyncId, calls: &[Call]) -> (),
            |(): &()| writes(calls.iter().map(|call| write_units(call_size(sync, call))).sum());
        fn call(sync: &SyncId, run: &RunId, number: u32) -> Option<Call>, |_: &Option<Call>| reads(0);
        fn calls(sync: &SyncId, run: &RunId) -> Vec<Call>,
            |a: &Vec<Call>| reads(a.iter().map(|call| call_size(sync, call)).sum());
        fn has_open_calls(sync: &SyncId, run: &RunId, phase: u8) -> bool, |_: &bool| reads(0);
        fn claim(sync: &SyncId, run: &RunId, number: u32, token: &Token, now: Millis, lease_until: Millis) -> Claimed,
            one;
        fn release(sync: &SyncId, call: &Call, token: &Token, maybe: bool) -> Swap, one;
        fn keep(sync: &SyncId, call: &Call, token: &Token, maybe: bool) -> Swap, one;
        fn settle(sync: &SyncId, run: &RunId, number: u32, token: &Token, outcome: &CallOutcome) -> Swap, one;
        fn count_reject(sync: &SyncId, reject: &Reject) -> (), one;
        fn rejects(sync: &SyncId) -> Vec<Reject>, |a: &Vec<Reject>| reads(json(a));
        fn release_rejects(sync: &SyncId, which: Option<(KeyHash, Option<AttrHash>)>) -> u64, |n: &u64| writes(*n);
        fn put_input_reject(dataset: &str, reject: &InputReject, expires_at: i64) -> (), one;
        fn input_rejects(dataset: &str) -> Vec<InputReject>, |a: &Vec<InputReject>| reads(json(a));
        fn tick_claimed(sync: &SyncId, tick: &str) -> bool, |_: &bool| reads(0);
        fn tombstones(dataset: &DatasetId) -> BTreeSet<KeyHash>, |a: &BTreeSet<KeyHash>| reads(a.len() * 128);
        fn budget(destination: &DestinationId) -> Option<Budget>, |_: &Option<Budget>| reads(0);
        fn advance_budget(destination: &DestinationId, advance: &Advance) -> Advanced, one;
        fn swap_budget(destination: &DestinationId, from: Option<&Budget>, to: &Budget) -> Swap, one;
        fn shared_token(destination: &DestinationId) -> Option<SharedToken>,
            |a: &Option<SharedToken>| reads(a.as_ref().map_or(0, |token| token.document.len()));
        fn put_shared_token(destination: &DestinationId, expected: Option<u64>, token: &SharedToken) -> Swap,
            |_: &Swap| writes(write_units(token.document.len() + 64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDeltalog;
    use crate::conformance::{self, example};

    fn at_once<T>(future: impl Future<Output = T>) -> T {
        futures::executor::block_on(future)
    }

    #[test]
    fn a_metered_store_conforms() {
        let metered = Metered::new(Arc::new(MemoryDeltalog::default()), Meter::default());
        at_once(conformance::all(&metered));
    }

    #[test]
    fn an_ingest_and_a_run_take_the_units_that_the_table_would_bill() {
        let meter = Meter::default();
        let store = Metered::new(Arc::new(MemoryDeltalog::default()), meter.clone());
        at_once(conformance::units::of_an_ingest_and_a_run(&store, &meter));
    }

    #[test]
    fn units_follow_the_sizes_of_the_items() {
        let meter = Meter::default();
        let store = Metered::new(Arc::new(MemoryDeltalog::default()), meter.clone());
        let head = example::new_head("sized");
        at_once(async {
            let _ = store.create_head(&head).await.unwrap();
            assert_eq!(meter.take(), writes(1));
            let _ = store.stamp_snapshot(&head.sync, &head.guard(), &example::snapshot(1), &head.config).await.unwrap();
            assert_eq!(meter.take(), writes(1), "an unchanged snapshot");
            let head = store.head(&head.sync).await.unwrap().unwrap();
            assert_eq!(meter.take(), reads(1));
            store.charge(&head, Usage::default(), Millis(0));
            let _ = store.stamp_snapshot(&head.sync, &head.guard(), &example::snapshot(2), &head.config).await.unwrap();
            assert!(meter.take().is_nothing(), "the charge has it");
            assert_eq!(store.inner.head(&head.sync).await.unwrap().unwrap().account.current().unwrap().1, writes(1));
        });
    }
}
