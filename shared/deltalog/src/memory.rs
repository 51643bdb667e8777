//! The store in memory, for tests and simulation.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use driftless_model::{
    Advance, Advanced, AttrHash, Budget, DatasetId, DestinationId, KeyHash, Millis, Month, RunId, SnapshotRef, SyncId,
    Token, Usage,
};

use crate::head::{
    ActivationGuard, Append, Attention, Compaction, ConfigStamp, DeliveredRun, Fold, Head, HeadGuard, Hold, OldList,
    Swap, Tick, transition as head,
};
use crate::item::{ItemFate, LogItem, LogPartition, VersionRecord};
use crate::ledger::{Call, CallOutcome, Claimed, InputReject, Reject, Run, transition as ledger};
use crate::registry::{DestinationEntry, SharedToken, SyncEntry};
use crate::{Deltalog, Error, Result};
use table::Table;

/// The deltalog in memory: one table behind one lock, so that every method is one atomic step. No clock and no runtime: its
/// futures are ready at the first poll, and nothing expires before [`MemoryDeltalog::expire`] is called.
#[derive(Debug, Default)]
pub struct MemoryDeltalog {
    table: Mutex<Table>,
}

impl MemoryDeltalog {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes what has expired, as the table's time to live does some time after.
    pub fn expire(&self, now: Millis) {
        let now = now.epoch_seconds();
        let mut t = self.lock();
        for items in t.log.values_mut() {
            items.retain(|_, i| i.expires_at.is_none_or(|at| at > now));
        }
        t.log.retain(|_, items| !items.is_empty());
        t.input_rejects.retain(|_, (_, at)| *at > now);
        t.ticks.retain(|_, at| *at > now);
    }

    /// Every log partition that has items: what a test compares with what the heads name.
    #[must_use]
    pub fn log_partitions(&self) -> Vec<LogPartition> {
        self.lock().log.keys().cloned().collect()
    }
}

#[async_trait]
impl Deltalog for MemoryDeltalog {
    async fn put_sync(&self, entry: &SyncEntry) -> Result<Swap> {
        let mut t = self.lock();
        let lost = t.syncs.get(&entry.sync).is_some_and(|s| s.revision + 1 != entry.revision && s != entry);
        if lost {
            return Ok(Swap::Lost);
        }
        t.syncs.insert(entry.sync.clone(), entry.clone());
        Ok(Swap::Done)
    }

    async fn delete_sync(&self, sync: &SyncId) -> Result<()> {
        self.lock().syncs.remove(sync);
        Ok(())
    }

    async fn sync(&self, sync: &SyncId) -> Result<Option<SyncEntry>> {
        Ok(self.lock().syncs.get(sync).cloned())
    }

    async fn syncs(&self) -> Result<Vec<SyncEntry>> {
        Ok(self.lock().syncs.values().cloned().collect())
    }

    async fn put_destination(&self, entry: &DestinationEntry) -> Result<()> {
        self.lock().destinations.insert(entry.destination.clone(), entry.clone());
        Ok(())
    }

    async fn delete_destination(&self, destination: &DestinationId) -> Result<()> {
        self.lock().destinations.remove(destination);
        Ok(())
    }

    async fn destinations(&self) -> Result<Vec<DestinationEntry>> {
        Ok(self.lock().destinations.values().cloned().collect())
    }

    async fn create_head(&self, new: &Head) -> Result<Swap> {
        let mut t = self.lock();
        let Some(created) = head::try_create(t.heads.get(&new.sync), new) else { return Ok(Swap::Lost) };
        t.heads.insert(new.sync.clone(), created);
        Ok(Swap::Done)
    }

    async fn head(&self, sync: &SyncId) -> Result<Option<Head>> {
        Ok(self.lock().heads.get(sync).cloned())
    }

    async fn append_version(&self, sync: &SyncId, guard: &HeadGuard, append: &Append) -> Result<Swap> {
        Ok(self.lock().swap_head(sync, |h| head::try_append(h, guard, append)))
    }

    async fn stamp_snapshot(
        &self,
        sync: &SyncId,
        guard: &HeadGuard,
        snapshot: &SnapshotRef,
        config: &ConfigStamp,
    ) -> Result<Swap> {
        Ok(self.lock().swap_head(sync, |h| head::try_stamp(h, guard, snapshot, config)))
    }

    async fn erase(
        &self,
        sync: &SyncId,
        dataset: &DatasetId,
        key: KeyHash,
        guard: &HeadGuard,
        append: &Append,
    ) -> Result<Swap> {
        let mut t = self.lock();
        let swap = t.move_head(sync, |h| head::try_erase(h, guard, append));
        if swap == Swap::Done {
            t.tombstones.entry(dataset.clone()).or_default().insert(key);
        }
        Ok(swap)
    }

    async fn activate(&self, sync: &SyncId, run: &RunId, guard: &ActivationGuard, tick: &Tick) -> Result<Swap> {
        let mut t = self.lock();
        if t.heads.get(sync).is_some_and(|h| h.active_run.as_ref() == Some(run)) {
            return Ok(Swap::Done);
        }
        let key = (sync.clone(), tick.id.clone());
        if t.ticks.contains_key(&key) {
            return Ok(Swap::Lost);
        }
        let swap = t.move_head(sync, |h| head::try_activate(h, run, guard));
        if swap == Swap::Done {
            t.ticks.insert(key, tick.expires_at);
        }
        Ok(swap)
    }

    async fn deactivate(&self, sync: &SyncId, run: &RunId) -> Result<Swap> {
        Ok(self.lock().swap_head(sync, |h| head::try_deactivate(h, run)))
    }

    async fn commit(
        &self,
        sync: &SyncId,
        stamp: &Token,
        delivered: &DeliveredRun,
        succeeded_at: Option<Millis>,
    ) -> Result<Swap> {
        Ok(self.lock().swap_head(sync, |h| head::try_commit(h, stamp, delivered, succeeded_at)))
    }

    async fn fold(&self, sync: &SyncId, fold: &Fold) -> Result<Swap> {
        Ok(self.lock().swap_head(sync, |h| head::try_fold(h, fold)))
    }

    async fn put_old_list(&self, sync: &SyncId, old: &OldList) -> Result<Swap> {
        Ok(self.lock().swap_head(sync, |h| head::try_put_old_list(h, old)))
    }

    async fn replace_old_list(&self, sync: &SyncId, read: &OldList, by: Option<&OldList>) -> Result<Swap> {
        Ok(self.lock().swap_head(sync, |h| head::try_replace_old_list(h, read, by)))
    }

    async fn compact(&self, sync: &SyncId, compaction: &Compaction) -> Result<Swap> {
        Ok(self.lock().swap_head(sync, |h| head::try_compact(h, compaction)))
    }

    async fn place_hold(&self, sync: &SyncId, guard: &HeadGuard, version: u64, hold: &Hold) -> Result<Swap> {
        Ok(self.lock().swap_head(sync, |h| head::try_place_hold(h, guard, version, hold)))
    }

    async fn approve(&self, sync: &SyncId, version: u64, ceiling: u64, at: Millis) -> Result<Swap> {
        Ok(self.lock().swap_head(sync, |h| head::try_approve(h, version, ceiling, at)))
    }

    async fn drop_hold(&self, sync: &SyncId, version: u64, object: &str) -> Result<Swap> {
        Ok(self.lock().swap_head(sync, |h| head::try_drop_hold(h, version, object)))
    }

    async fn set_attention(&self, sync: &SyncId, incarnation: u64, attention: Option<&Attention>) -> Result<()> {
        let _ = self.lock().swap_head(sync, |h| head::try_set_attention(h, incarnation, attention));
        Ok(())
    }

    async fn clear_retired(&self, sync: &SyncId, tokens: &BTreeSet<Token>) -> Result<()> {
        let _ = self.lock().swap_head(sync, |head| {
            let mut new = head.clone();
            new.retired.retain(|r| !tokens.contains(&r.entry.token));
            Some(new)
        });
        Ok(())
    }

    async fn put_items(&self, partition: &LogPartition, items: &[LogItem]) -> Result<()> {
        let mut t = self.lock();
        let stored = t.log.entry(partition.clone()).or_default();
        stored.extend(items.iter().map(|i| (i.key_hash, i.clone())));
        Ok(())
    }

    async fn items(&self, partition: &LogPartition, expected: u64) -> Result<BTreeMap<KeyHash, LogItem>> {
        let items = self.lock().log.get(partition).cloned().unwrap_or_default();
        let found = items.len() as u64;
        if found == expected {
            Ok(items)
        } else {
            Err(Error::Incomplete { version: partition.version, expected, found })
        }
    }

    async fn item(&self, partition: &LogPartition, key: KeyHash) -> Result<Option<LogItem>> {
        Ok(self.lock().log.get(partition).and_then(|items| items.get(&key)).cloned())
    }

    async fn stamp_items(
        &self,
        partition: &LogPartition,
        fates: &BTreeMap<KeyHash, ItemFate>,
        expires_at: i64,
    ) -> Result<()> {
        let mut t = self.lock();
        let Some(items) = t.log.get_mut(partition) else { return Ok(()) };
        for (key, fate) in fates {
            let Some(item) = items.get_mut(key) else { continue };
            match fate {
                ItemFate::Committed(at) => item.committed_at = Some(*at),
                ItemFate::Superseded(run) => item.superseded_by = Some(run.clone()),
                ItemFate::Merged => {}
            }
            item.expires_at = Some(expires_at);
        }
        Ok(())
    }

    async fn delete_items(&self, partition: &LogPartition) -> Result<()> {
        self.lock().log.remove(partition);
        Ok(())
    }

    async fn put_attempt(&self, partition: &LogPartition, at: Millis) -> Result<()> {
        self.lock().attempts.entry(partition.clone()).or_insert(at);
        Ok(())
    }

    async fn attempts(&self, sync: &SyncId, before: Millis) -> Result<Vec<LogPartition>> {
        let t = self.lock();
        Ok(t.attempts.iter().filter(|(p, at)| p.sync == *sync && **at < before).map(|(p, _)| p.clone()).collect())
    }

    async fn delete_attempt(&self, partition: &LogPartition) -> Result<()> {
        self.lock().attempts.remove(partition);
        Ok(())
    }

    async fn put_version_record(&self, sync: &SyncId, record: &VersionRecord) -> Result<()> {
        let key = (sync.clone(), record.incarnation, record.version);
        self.lock().version_records.insert(key, record.clone());
        Ok(())
    }

    async fn version_records(&self, sync: &SyncId) -> Result<Vec<VersionRecord>> {
        let t = self.lock();
        let of_sync = t.version_records.range((sync.clone(), 0, 0)..=(sync.clone(), u64::MAX, u64::MAX));
        Ok(of_sync.rev().map(|(_, r)| r.clone()).collect())
    }

    async fn put_run(&self, run: &Run) -> Result<Swap> {
        let mut t = self.lock();
        let stored = t.runs.entry((run.sync.clone(), run.id.clone())).or_insert_with(|| run.clone());
        Ok(if stored == run { Swap::Done } else { Swap::Lost })
    }

    async fn run(&self, sync: &SyncId, run: &RunId) -> Result<Option<Run>> {
        Ok(self.lock().runs.get(&(sync.clone(), run.clone())).cloned())
    }

    async fn runs(&self, sync: &SyncId, limit: usize) -> Result<Vec<Run>> {
        let t = self.lock();
        Ok(t.runs.values().rev().filter(|r| r.sync == *sync).take(limit).cloned().collect())
    }

    async fn update_run(&self, run: &Run, from: &[&str]) -> Result<Swap> {
        let mut t = self.lock();
        let Some(stored) = t.runs.get_mut(&(run.sync.clone(), run.id.clone())) else { return Ok(Swap::Lost) };
        let Some(new) = ledger::try_update_run(stored, run, from) else { return Ok(Swap::Lost) };
        *stored = new;
        Ok(Swap::Done)
    }

    async fn put_calls(&self, sync: &SyncId, calls: &[Call]) -> Result<()> {
        let mut t = self.lock();
        for call in calls {
            t.calls.entry((sync.clone(), call.run.clone(), call.number)).or_insert_with(|| call.clone());
        }
        Ok(())
    }

    async fn call(&self, sync: &SyncId, run: &RunId, number: u32) -> Result<Option<Call>> {
        Ok(self.lock().calls.get(&(sync.clone(), run.clone(), number)).cloned())
    }

    async fn calls(&self, sync: &SyncId, run: &RunId) -> Result<Vec<Call>> {
        let t = self.lock();
        let of_run = t.calls.range((sync.clone(), run.clone(), 0)..=(sync.clone(), run.clone(), u32::MAX));
        Ok(of_run.map(|(_, c)| c.clone()).collect())
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
        let mut t = self.lock();
        let key = (sync.clone(), run.clone(), number);
        let (claimed, changed) = ledger::try_claim(t.calls.get(&key), token, now, lease_until);
        if let Some(call) = changed {
            t.calls.insert(key, call);
        }
        Ok(claimed)
    }

    async fn release(&self, sync: &SyncId, call: &Call, token: &Token, maybe: bool) -> Result<Swap> {
        let key = (sync.clone(), call.run.clone(), call.number);
        Ok(self.lock().swap_call(&key, |stored| ledger::try_release(stored, call, token, maybe)))
    }

    async fn keep(&self, sync: &SyncId, call: &Call, token: &Token, maybe: bool) -> Result<Swap> {
        let key = (sync.clone(), call.run.clone(), call.number);
        Ok(self.lock().swap_call(&key, |stored| ledger::try_keep(stored, call, token, maybe)))
    }

    async fn settle(
        &self,
        sync: &SyncId,
        run: &RunId,
        number: u32,
        token: &Token,
        outcome: &CallOutcome,
    ) -> Result<Swap> {
        let key = (sync.clone(), run.clone(), number);
        Ok(self.lock().swap_call(&key, |stored| ledger::try_settle(stored, token, outcome)))
    }

    async fn count_reject(&self, sync: &SyncId, reject: &Reject) -> Result<()> {
        let mut t = self.lock();
        let key = (sync.clone(), reject.key_hash, reject.attr_hash);
        if let Some(counted) = ledger::try_count(t.rejects.get(&key), reject) {
            t.rejects.insert(key, counted);
        }
        Ok(())
    }

    async fn rejects(&self, sync: &SyncId) -> Result<Vec<Reject>> {
        Ok(self.lock().rejects.iter().filter(|((s, ..), _)| s == sync).map(|(_, r)| r.clone()).collect())
    }

    async fn release_rejects(&self, sync: &SyncId, which: Option<(KeyHash, Option<AttrHash>)>) -> Result<u64> {
        let mut t = self.lock();
        let before = t.rejects.len();
        t.rejects.retain(|(s, key, attr), _| {
            let named = which.is_none_or(|(k, a)| k == *key && a.is_none_or(|a| a == *attr));
            s != sync || !named
        });
        Ok((before - t.rejects.len()) as u64)
    }

    async fn put_input_reject(&self, dataset: &str, reject: &InputReject, expires_at: i64) -> Result<()> {
        let key = (dataset.to_owned(), reject.subject.clone());
        self.lock().input_rejects.insert(key, (reject.clone(), expires_at));
        Ok(())
    }

    async fn input_rejects(&self, dataset: &str) -> Result<Vec<InputReject>> {
        let t = self.lock();
        let of_dataset = t.input_rejects.iter().filter(|((d, _), _)| d == dataset);
        let mut rejects: Vec<_> = of_dataset.map(|(_, (r, _))| r.clone()).collect();
        rejects.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.subject.cmp(&b.subject)));
        Ok(rejects)
    }

    async fn tick_claimed(&self, sync: &SyncId, tick: &str) -> Result<bool> {
        Ok(self.lock().ticks.contains_key(&(sync.clone(), tick.to_owned())))
    }

    async fn tombstones(&self, dataset: &DatasetId) -> Result<BTreeSet<KeyHash>> {
        Ok(self.lock().tombstones.get(dataset).cloned().unwrap_or_default())
    }

    async fn budget(&self, destination: &DestinationId) -> Result<Option<Budget>> {
        Ok(self.lock().budgets.get(destination).cloned())
    }

    async fn advance_budget(&self, destination: &DestinationId, advance: &Advance) -> Result<Advanced> {
        Ok(match self.lock().budgets.get_mut(destination) {
            Some(budget) if advance.fits(budget) => {
                let first = budget.slot;
                budget.slot += advance.by;
                budget.count += advance.slots;
                Advanced::Leased(first)
            }
            other => Advanced::Refused(other.cloned()),
        })
    }

    async fn swap_budget(&self, destination: &DestinationId, from: Option<&Budget>, to: &Budget) -> Result<Swap> {
        let mut t = self.lock();
        let there = t.budgets.get(destination);
        let as_read = |b: &Budget| (b.slot, b.count, b.epoch);
        if there.map(as_read) != from.map(as_read) {
            return Ok(Swap::Lost);
        }
        t.budgets.insert(destination.clone(), to.clone());
        Ok(Swap::Done)
    }

    async fn shared_token(&self, destination: &DestinationId) -> Result<Option<SharedToken>> {
        Ok(self.lock().shared_tokens.get(destination).cloned())
    }

    async fn put_shared_token(
        &self,
        destination: &DestinationId,
        expected: Option<u64>,
        token: &SharedToken,
    ) -> Result<Swap> {
        let mut t = self.lock();
        let there = t.shared_tokens.get(destination);
        if there == Some(token) {
            return Ok(Swap::Done);
        }
        if there.map(|there| there.revision) != expected {
            return Ok(Swap::Lost);
        }
        t.shared_tokens.insert(destination.clone(), token.clone());
        Ok(Swap::Done)
    }

    fn charge(&self, head: &Head, usage: Usage, at: Millis) {
        let own = Usage { write_units: head.write_units(), ..Usage::default() };
        let mut t = self.lock();
        let waiting = t.charges.remove(&head.sync).map(|(_, usage)| usage);
        // What waits has a write of its own in it already.
        let usage = waiting.map_or(usage + own, |waiting| waiting + usage);
        t.charges.insert(head.sync.clone(), (Month::of(at), usage));
    }
}

#[cfg(test)]
mod tests {
    use crate::{MemoryDeltalog, conformance};

    /// Every future of this store is ready at the first poll.
    fn at_once<T>(future: impl Future<Output = T>) -> T {
        futures::FutureExt::now_or_never(future).expect("is ready at once")
    }

    #[test]
    fn the_store_in_memory_conforms() {
        at_once(conformance::all(&MemoryDeltalog::default()));
    }

    #[test]
    fn the_store_in_memory_is_deterministic() {
        let store = MemoryDeltalog::default();
        for seed in 1..=50 {
            at_once(conformance::model::agrees(&store, seed, 300));
        }
    }
}
