//! The deltalog as a simulation sees it: every write that moves a head is checked at once, and single rules of the protocol can
//! be forgotten, to see that they are needed.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use driftless_delivery::{Outgoing, Queue};
use driftless_deltalog::head::{
    ActivationGuard, Append, Attention, Compaction, ConfigStamp, DeliveredRun, Fold, Head, HeadGuard, Hold, Names,
    OldList, Swap, Tick,
};
use driftless_deltalog::item::{ItemFate, LogItem, LogPartition, VersionRecord};
use driftless_deltalog::ledger::{Call, CallOutcome, Claimed, InputReject, Reject, Run};
use driftless_deltalog::registry::{DestinationEntry, SharedToken, SyncEntry};
use driftless_deltalog::{Deltalog, Error, MemoryDeltalog, Result};
use driftless_model::{
    Advance, Advanced, AttrHash, Budget, Clock, DatasetId, DestinationId, KeyHash, Millis, ObjectVersion, RunId,
    SnapshotRef, SyncId, Token, Usage,
};
use driftless_objects::{self as objects, Listed, MemoryObjects, ObjectMeta, Objects, Written};
use driftless_testkit::ManualClock;

use crate::ghosts::Ghosts;

/// A rule of the protocol that lives in what the functions write, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forgotten {
    /// 1: attempts share the items of a version.
    PrivateTokens,
    /// 2: a snapshot that changes nothing leaves no trace.
    NewestOrder,
    /// 8: a plan is activated whatever has happened since it was made.
    ActivationGuard,
    /// 9: the janitor queues nothing.
    Resending,
    /// 12: readers do not count.
    Counting,
    /// 13: an erasure is only a tombstone.
    ErasureIsAVersion,
    /// 14: older configurations may write.
    ConfigurationEpoch,
    /// 15: nobody knows which tick was claimed.
    Ticks,
    /// 16: closing does not look at claims.
    ClaimsWhileClosing,
}

/// See the module.
pub struct WatchedDeltalog {
    inner: Arc<MemoryDeltalog>,
    ghosts: Arc<Ghosts>,
    forgotten: Option<Forgotten>,
}

impl WatchedDeltalog {
    /// Watches `inner`.
    pub fn new(inner: Arc<MemoryDeltalog>, ghosts: Arc<Ghosts>, forgotten: Option<Forgotten>) -> Self {
        Self { inner, ghosts, forgotten }
    }

    fn forgets(&self, rule: Forgotten) -> bool {
        self.forgotten == Some(rule)
    }

    fn partition(&self, p: &LogPartition) -> LogPartition {
        let token = if self.forgets(Forgotten::PrivateTokens) { Token::new("shared") } else { p.token.clone() };
        LogPartition { token, ..p.clone() }
    }

    /// What a writer of an older configuration would have to find, if epochs did not count.
    async fn guard(&self, sync: &SyncId, guard: &HeadGuard, config: &ConfigStamp) -> Result<HeadGuard> {
        let head = self.inner.head(sync).await?;
        let newer = head.filter(|h| self.forgets(Forgotten::ConfigurationEpoch) && h.config.epoch > config.epoch);
        Ok(newer.map_or_else(|| guard.clone(), |h| h.guard()))
    }

    async fn changed(&self, sync: &SyncId, before: u64) -> Result<bool> {
        Ok(self.version(sync).await? != before)
    }

    async fn version(&self, sync: &SyncId) -> Result<u64> {
        Ok(self.inner.head(sync).await?.map_or(0, |h| h.version))
    }
}

macro_rules! pass {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty;)*) => {
        #[async_trait]
        impl Deltalog for WatchedDeltalog {
            $(async fn $name(&self $(, $arg: $ty)*) -> Result<$ret> {
                self.inner.$name($($arg),*).await
            })*

            async fn head(&self, sync: &SyncId) -> Result<Option<Head>> {
                self.inner.head(sync).await
            }

            fn charge(&self, head: &Head, usage: Usage, at: Millis) {
                self.inner.charge(head, usage, at);
            }

            async fn append_version(&self, sync: &SyncId, guard: &HeadGuard, append: &Append) -> Result<Swap> {
                let guard = self.guard(sync, guard, &append.config).await?;
                let before = self.version(sync).await?;
                let swap = self.inner.append_version(sync, &guard, append).await?;
                if swap == Swap::Done && self.changed(sync, before).await? {
                    self.ghosts.taken_up(sync, &append.snapshot.order, append.config.epoch);
                    self.ghosts.head_moved(sync, "append_version", true);
                }
                Ok(swap)
            }

            async fn stamp_snapshot(&self, sync: &SyncId, guard: &HeadGuard, snapshot: &SnapshotRef, config: &ConfigStamp) -> Result<Swap> {
                if self.forgets(Forgotten::NewestOrder) {
                    self.ghosts.taken_up(sync, &snapshot.order, config.epoch);
                    return Ok(Swap::Done);
                }
                let swap = self.inner.stamp_snapshot(sync, guard, snapshot, config).await?;
                if swap == Swap::Done {
                    self.ghosts.taken_up(sync, &snapshot.order, config.epoch);
                    self.ghosts.head_moved(sync, "stamp_snapshot", false);
                }
                Ok(swap)
            }

            async fn erase(&self, sync: &SyncId, dataset: &DatasetId, key: KeyHash, guard: &HeadGuard, append: &Append) -> Result<Swap> {
                if self.forgets(Forgotten::ErasureIsAVersion) {
                    // The tombstone by itself: the version goes to a sync that nobody reads.
                    let nobody = SyncId::try_from("nobody".to_owned()).map_err(|_| Error::NoTable { table: "nobody".into() })?;
                    if let Some(head) = self.inner.head(sync).await? {
                        let names: Names = head.names.clone();
                        let empty = Head::new(nobody.clone(), 1, names, head.config.clone());
                        let _: Swap = self.inner.create_head(&empty).await?;
                        let guard = HeadGuard { incarnation: 1, version: self.version(&nobody).await?, ..guard.clone() };
                        return self.inner.erase(&nobody, dataset, key, &guard, append).await;
                    }
                }
                let before = self.version(sync).await?;
                let swap = self.inner.erase(sync, dataset, key, guard, append).await?;
                if swap == Swap::Done && self.changed(sync, before).await? {
                    self.ghosts.head_moved(sync, "erase", true);
                }
                Ok(swap)
            }

            async fn activate(&self, sync: &SyncId, run: &RunId, guard: &ActivationGuard, tick: &Tick) -> Result<Swap> {
                let (mut guard, mut tick) = (guard.clone(), tick.clone());
                if let (true, Some(h)) = (self.forgets(Forgotten::ActivationGuard), self.inner.head(sync).await?) {
                    guard = ActivationGuard {
                        incarnation: h.incarnation,
                        version: h.version,
                        stamp: h.stamp,
                        epoch: h.config.epoch,
                        delivered: h.delivered.len(),
                    };
                }
                if self.forgets(Forgotten::Ticks) {
                    tick.id = format!("{}-{run}", tick.id);
                }
                let was = self.inner.head(sync).await?.and_then(|h| h.active_run);
                let claimed = !self.forgets(Forgotten::Ticks) && self.inner.tick_claimed(sync, &tick.id).await?;
                let swap = self.inner.activate(sync, run, &guard, &tick).await?;
                if swap == Swap::Done && was.as_ref() != Some(run) {
                    if claimed {
                        self.ghosts.violated("DL-6 a tick made two runs");
                    }
                    self.ghosts.tick(sync, &tick.id, run);
                    self.ghosts.activated(sync, run.as_str());
                    self.ghosts.head_moved(sync, "activate", false);
                }
                Ok(swap)
            }

            async fn commit(&self, sync: &SyncId, stamp: &Token, delivered: &DeliveredRun, succeeded_at: Option<Millis>) -> Result<Swap> {
                let swap = self.inner.commit(sync, stamp, delivered, succeeded_at).await?;
                if swap == Swap::Done {
                    self.ghosts.head_moved(sync, "commit", false);
                    self.ghosts.committed(sync);
                }
                Ok(swap)
            }

            async fn fold(&self, sync: &SyncId, fold: &Fold) -> Result<Swap> {
                let before = self.inner.head(sync).await?;
                let swap = self.inner.fold(sync, fold).await?;
                if let Some(before) = before.filter(|b| swap == Swap::Done && b.stamp != fold.stamp) {
                    if fold.new_list.is_some() {
                        self.ghosts.swapped(sync, before.list(), fold.by.as_str());
                    }
                    self.ghosts.head_moved(sync, "fold", false);
                    self.ghosts.folded(sync, fold.through);
                    self.ghosts.committed(sync);
                }
                Ok(swap)
            }

            async fn compact(&self, sync: &SyncId, compaction: &Compaction) -> Result<Swap> {
                let before = self.inner.head(sync).await?.map(|h| h.versions);
                let swap = self.inner.compact(sync, compaction).await?;
                if swap == Swap::Done && self.inner.head(sync).await?.map(|h| h.versions) != before {
                    self.ghosts.head_moved(sync, "compact", false);
                }
                Ok(swap)
            }

            async fn items(&self, partition: &LogPartition, expected: u64) -> Result<BTreeMap<KeyHash, LogItem>> {
                let partition = self.partition(partition);
                let items = self.inner.items(&partition, expected).await;
                match items {
                    Err(Error::Incomplete { found, .. }) if self.forgets(Forgotten::Counting) => {
                        self.inner.items(&partition, found).await
                    }
                    other => other,
                }
            }

            async fn put_items(&self, partition: &LogPartition, items: &[LogItem]) -> Result<()> {
                self.inner.put_items(&self.partition(partition), items).await
            }

            async fn stamp_items(&self, partition: &LogPartition, fates: &BTreeMap<KeyHash, ItemFate>, expires_at: i64) -> Result<()> {
                self.inner.stamp_items(&self.partition(partition), fates, expires_at).await
            }

            async fn delete_items(&self, partition: &LogPartition) -> Result<()> {
                self.inner.delete_items(&self.partition(partition)).await
            }

            async fn calls(&self, sync: &SyncId, run: &RunId) -> Result<Vec<Call>> {
                let mut calls = self.inner.calls(sync, run).await?;
                let closing = self.inner.run(sync, run).await?.is_some_and(|r| r.state.name() == "closing");
                if closing && self.forgets(Forgotten::ClaimsWhileClosing) {
                    for call in &mut calls {
                        call.claim = None;
                    }
                }
                Ok(calls)
            }

            async fn claim(&self, sync: &SyncId, run: &RunId, number: u32, token: &Token, now: Millis, lease_until: Millis) -> Result<Claimed> {
                let claimed = self.inner.claim(sync, run, number, token, now, lease_until).await?;
                if let Claimed::Mine(call) = &claimed {
                    self.ghosts.claimed(sync, run.as_str(), call.first_row, call.rows);
                }
                Ok(claimed)
            }

            async fn approve(&self, sync: &SyncId, version: u64, ceiling: u64, at: Millis) -> Result<Swap> {
                let swap = self.inner.approve(sync, version, ceiling, at).await?;
                if swap == Swap::Done {
                    self.ghosts.approved(sync, version);
                }
                Ok(swap)
            }

            async fn tick_claimed(&self, sync: &SyncId, tick: &str) -> Result<bool> {
                Ok(!self.forgets(Forgotten::Ticks) && self.inner.tick_claimed(sync, tick).await?)
            }
        }
    };
}

pass! {
    fn put_sync(entry: &SyncEntry) -> Swap;
    fn delete_sync(sync: &SyncId) -> ();
    fn sync(sync: &SyncId) -> Option<SyncEntry>;
    fn syncs() -> Vec<SyncEntry>;
    fn put_destination(entry: &DestinationEntry) -> ();
    fn delete_destination(destination: &DestinationId) -> ();
    fn destinations() -> Vec<DestinationEntry>;
    fn create_head(head: &Head) -> Swap;
    fn deactivate(sync: &SyncId, run: &RunId) -> Swap;
    fn place_hold(sync: &SyncId, guard: &HeadGuard, version: u64, hold: &Hold) -> Swap;
    fn drop_hold(sync: &SyncId, version: u64, object: &str) -> Swap;
    fn set_attention(sync: &SyncId, incarnation: u64, attention: Option<&Attention>) -> ();
    fn clear_retired(sync: &SyncId, tokens: &BTreeSet<Token>) -> ();
    fn put_old_list(sync: &SyncId, old: &OldList) -> Swap;
    fn replace_old_list(sync: &SyncId, read: &OldList, by: Option<&OldList>) -> Swap;
    fn item(partition: &LogPartition, key: KeyHash) -> Option<LogItem>;
    fn put_attempt(partition: &LogPartition, at: Millis) -> ();
    fn attempts(sync: &SyncId, before: Millis) -> Vec<LogPartition>;
    fn delete_attempt(partition: &LogPartition) -> ();
    fn put_version_record(sync: &SyncId, record: &VersionRecord) -> ();
    fn version_records(sync: &SyncId) -> Vec<VersionRecord>;
    fn put_run(run: &Run) -> Swap;
    fn run(sync: &SyncId, run: &RunId) -> Option<Run>;
    fn runs(sync: &SyncId, limit: usize) -> Vec<Run>;
    fn update_run(run: &Run, from: &[&str]) -> Swap;
    fn put_calls(sync: &SyncId, calls: &[Call]) -> ();
    fn call(sync: &SyncId, run: &RunId, number: u32) -> Option<Call>;
    fn release(sync: &SyncId, call: &Call, token: &Token, maybe: bool) -> Swap;
    fn keep(sync: &SyncId, call: &Call, token: &Token, maybe: bool) -> Swap;
    fn settle(sync: &SyncId, run: &RunId, number: u32, token: &Token, outcome: &CallOutcome) -> Swap;
    fn count_reject(sync: &SyncId, reject: &Reject) -> ();
    fn rejects(sync: &SyncId) -> Vec<Reject>;
    fn release_rejects(sync: &SyncId, which: Option<(KeyHash, Option<AttrHash>)>) -> u64;
    fn put_input_reject(dataset: &str, reject: &InputReject, expires_at: i64) -> ();
    fn input_rejects(dataset: &str) -> Vec<InputReject>;
    fn tombstones(dataset: &DatasetId) -> BTreeSet<KeyHash>;
    fn budget(destination: &DestinationId) -> Option<Budget>;
    fn advance_budget(destination: &DestinationId, advance: &Advance) -> Advanced;
    fn swap_budget(destination: &DestinationId, from: Option<&Budget>, to: &Budget) -> Swap;
    fn shared_token(destination: &DestinationId) -> Option<SharedToken>;
    fn put_shared_token(destination: &DestinationId, expected: Option<u64>, token: &SharedToken) -> Swap;
}

/// Queues that forget what a function sends, for rule 9.
pub(crate) struct Forgetful(pub Arc<dyn Queue>);

#[async_trait]
impl Queue for Forgetful {
    async fn send(&self, url: &str, messages: &[Outgoing]) -> driftless_delivery::Result<()> {
        let kept: Vec<Outgoing> = messages.iter().filter(|m| !m.body.contains("\"call\"")).cloned().collect();
        self.0.send(url, &kept).await
    }
    async fn defer(&self, url: &str, receipt: &str, seconds: u32) -> driftless_delivery::Result<()> {
        self.0.defer(url, receipt, seconds).await
    }
    async fn queue_url(&self, name: &str) -> driftless_delivery::Result<String> {
        self.0.queue_url(name).await
    }
}

/// The bucket with the times at which objects of ours were created, which the grace period is counted from.
pub(crate) struct DatedObjects {
    inner: Arc<MemoryObjects>,
    clock: Arc<ManualClock>,
    created: Mutex<BTreeMap<String, Millis>>,
    forgotten: Option<Forgotten>,
}

impl DatedObjects {
    /// Dates what is created in `inner` from now on.
    pub(crate) fn new(inner: Arc<MemoryObjects>, clock: Arc<ManualClock>, forgotten: Option<Forgotten>) -> Self {
        Self { inner, clock, created: Mutex::default(), forgotten }
    }

    fn created(&self) -> MutexGuard<'_, BTreeMap<String, Millis>> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Objects for DatedObjects {
    async fn head(&self, key: &str, version_id: Option<&str>) -> objects::Result<ObjectMeta> {
        self.inner.head(key, version_id).await
    }
    async fn read_range(&self, object: &ObjectVersion, range: Range<u64>) -> objects::Result<Bytes> {
        self.inner.read_range(object, range).await
    }
    async fn read(&self, key: &str) -> objects::Result<Bytes> {
        self.inner.read(key).await
    }
    async fn create(&self, key: &str, bytes: Bytes) -> objects::Result<Written> {
        self.created().entry(key.to_owned()).or_insert(self.clock.now());
        self.inner.create(key, bytes).await
    }
    async fn list(&self, prefix: &str) -> objects::Result<Listed> {
        let mut listed = self.inner.list(prefix).await?;
        if self.forgotten != Some(Forgotten::Counting) {
            for found in &mut listed {
                found.modified = self.created().get(&found.object.key).copied().unwrap_or(found.modified);
            }
        }
        Ok(listed)
    }
    async fn delete(&self, key: &str) -> objects::Result<()> {
        self.created().remove(key);
        self.inner.delete(key).await
    }
}
