//! The port that both stores implement.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use driftless_model::{
    Advance, Advanced, AttrHash, Budget, DatasetId, DestinationId, KeyHash, Millis, RunId, SnapshotRef, SyncId, Token,
    Usage,
};

use crate::Result;
use crate::head::{
    ActivationGuard, Append, Attention, Compaction, ConfigStamp, DeliveredRun, Fold, Head, HeadGuard, OldList, Swap,
    Tick,
};
use crate::item::{ItemFate, LogItem, LogPartition, VersionRecord};
use crate::ledger::{Call, CallOutcome, Claimed, InputReject, Reject, Run, RunState};
use crate::registry::{DestinationEntry, SharedToken, SyncEntry};

/// The state of every sync. Each method is one conditional step of the protocol; a crash may come before or after it.
///
/// Every write is repeatable by the same caller: a condition that fails against the caller's own earlier write (its
/// token, its run, its version entry) is success. All decision reads are consistent.
#[async_trait]
pub trait Deltalog: Send + Sync {
    // ---- registry: written by `apply`, read by the functions

    /// Registers or changes a sync. Condition: absent, or `revision` = `entry.revision` − 1.
    async fn put_sync(&self, entry: &SyncEntry) -> Result<Swap>;
    /// Removes a sync from the registry; its state stays until the janitor has cleaned it.
    async fn delete_sync(&self, sync: &SyncId) -> Result<()>;
    /// One sync.
    async fn sync(&self, sync: &SyncId) -> Result<Option<SyncEntry>>;
    /// Every sync, by name.
    async fn syncs(&self) -> Result<Vec<SyncEntry>>;
    /// Registers or changes a destination.
    async fn put_destination(&self, entry: &DestinationEntry) -> Result<()>;
    /// Removes a destination from the registry.
    async fn delete_destination(&self, destination: &DestinationId) -> Result<()>;
    /// Every destination, by name.
    async fn destinations(&self) -> Result<Vec<DestinationEntry>>;

    // ---- head

    /// Creates the head of a sync, or replaces one of an *older* incarnation. `Lost`: this or a newer one is there.
    async fn create_head(&self, head: &Head) -> Result<Swap>;
    /// The head, read consistently.
    async fn head(&self, sync: &SyncId) -> Result<Option<Head>>;
    /// Ingest: version n → n+1. Condition: the guard holds at the write. Clears `attention`. Success if version n+1 carries
    /// this entry's token already.
    async fn append_version(&self, sync: &SyncId, guard: &HeadGuard, append: &Append) -> Result<Swap>;
    /// Ingest, nothing changed: only the newest snapshot and configuration, one write. Same condition.
    async fn stamp_snapshot(
        &self,
        sync: &SyncId,
        guard: &HeadGuard,
        snapshot: &SnapshotRef,
        config: &ConfigStamp,
    ) -> Result<Swap>;
    /// Erasure: tombstone and version n+1 in one transaction (protocol rule 13). `append.snapshot` is ignored.
    /// Condition: incarnation and version of the guard.
    async fn erase(
        &self,
        sync: &SyncId,
        dataset: &DatasetId,
        key: KeyHash,
        guard: &HeadGuard,
        append: &Append,
    ) -> Result<Swap>;
    /// Makes a run the active one, and claims the tick that asked for it, in one transaction: a tick makes at most one run, and
    /// a planner that dies before this line has used no tick up (protocol rules 8 and 15). Condition: no active run ∧ the
    /// guard holds ∧ the tick is not claimed. Success if the run is the active one already.
    async fn activate(&self, sync: &SyncId, run: &RunId, guard: &ActivationGuard, tick: &Tick) -> Result<Swap>;
    /// Gives up the active run without a commit (it sent nothing). Condition: active run = `run`.
    async fn deactivate(&self, sync: &SyncId, run: &RunId) -> Result<Swap>;
    /// Commit without a fold: appends to `delivered`, clears the active run. Condition: active run = the run ∧ stamp.
    async fn commit(
        &self,
        sync: &SyncId,
        stamp: &Token,
        delivered: &DeliveredRun,
        succeeded_at: Option<Millis>,
    ) -> Result<Swap>;
    /// Fold, with or without the commit of the active run; see [`Fold`]. Condition: stamp, and the active run as stated.
    /// Success if the stamp is the fold's own already.
    async fn fold(&self, sync: &SyncId, fold: &Fold) -> Result<Swap>;
    /// Merges versions of the chain into the last of them; see [`Compaction`]. Condition: incarnation ∧ stamp ∧ active run as read
    /// ∧ every merged version as read. Success if the last one is the compaction's own already.
    async fn compact(&self, sync: &SyncId, compaction: &Compaction) -> Result<Swap>;
    /// Places a hold that a run-level guard found. Condition: incarnation, version; absent, or the same object.
    async fn place_hold(
        &self,
        sync: &SyncId,
        guard: &HeadGuard,
        version: u64,
        hold: &crate::head::Hold,
    ) -> Result<Swap>;
    /// Approves the hold of `version`. Condition: it is there ∧ its count ≤ `ceiling`.
    async fn approve(&self, sync: &SyncId, version: u64, ceiling: u64, at: Millis) -> Result<Swap>;
    /// Drops a hold that holds nobody any more. Condition: its object is `object`.
    async fn drop_hold(&self, sync: &SyncId, version: u64, object: &str) -> Result<Swap>;
    /// Sets or clears "needs attention". Condition: incarnation.
    async fn set_attention(&self, sync: &SyncId, incarnation: u64, attention: Option<&Attention>) -> Result<()>;
    /// Takes versions out of `retired` after their items were stamped. Condition: stamp of each token.
    async fn clear_retired(&self, sync: &SyncId, tokens: &BTreeSet<Token>) -> Result<()>;
    /// Names a list that the active run made in vain, so that it is retired. Condition: active run = the list's. Success if a list
    /// of that run is named already.
    async fn put_old_list(&self, sync: &SyncId, old: &OldList) -> Result<Swap>;
    /// Forgets an old list that was retired (`None`), or replaces what is known of it. Condition: it is there as read. Success if
    /// it is so already.
    async fn replace_old_list(&self, sync: &SyncId, read: &OldList, by: Option<&OldList>) -> Result<Swap>;

    // ---- log

    /// Writes items under the attempt's private token. No condition; repeatable.
    async fn put_items(&self, partition: &LogPartition, items: &[LogItem]) -> Result<()>;
    /// All items of a version. Readers count (protocol rule 12).
    ///
    /// # Errors
    /// [`crate::Error::Incomplete`] if their number is not `expected`.
    async fn items(&self, partition: &LogPartition, expected: u64) -> Result<BTreeMap<KeyHash, LogItem>>;
    /// One item, for `explain`.
    async fn item(&self, partition: &LogPartition, key: KeyHash) -> Result<Option<LogItem>>;
    /// Stamps items of a retired version with their fate and expiry. Repeatable.
    async fn stamp_items(
        &self,
        partition: &LogPartition,
        fates: &BTreeMap<KeyHash, ItemFate>,
        expires_at: i64,
    ) -> Result<()>;
    /// Deletes all items under a token (a losing attempt's, or compacted originals).
    async fn delete_items(&self, partition: &LogPartition) -> Result<()>;
    /// Announces that an attempt is about to write items under its token, so that what it leaves behind is found. Repeatable.
    async fn put_attempt(&self, partition: &LogPartition, at: Millis) -> Result<()>;
    /// Attempts announced before `before`: won, lost and dead ones.
    async fn attempts(&self, sync: &SyncId, before: Millis) -> Result<Vec<LogPartition>>;
    /// Forgets an attempt whose version is retired or whose items are deleted.
    async fn delete_attempt(&self, partition: &LogPartition) -> Result<()>;
    /// Remembers a folded version. Repeatable.
    async fn put_version_record(&self, sync: &SyncId, record: &VersionRecord) -> Result<()>;
    /// Folded versions, newest first.
    async fn version_records(&self, sync: &SyncId) -> Result<Vec<VersionRecord>>;

    // ---- runs and calls

    /// Creates a run. Condition: absent. `Lost`: there already.
    async fn put_run(&self, run: &Run) -> Result<Swap>;
    /// One run.
    async fn run(&self, sync: &SyncId, run: &RunId) -> Result<Option<Run>>;
    /// The newest runs, newest first.
    async fn runs(&self, sync: &SyncId, limit: usize) -> Result<Vec<Run>>;
    /// Replaces a run item. Condition: the stored state's name is in `from`. `Lost`: it is not.
    async fn update_run(&self, run: &Run, from: &[&str]) -> Result<Swap>;
    /// Creates calls. Repeatable: calls that are there are left as they are.
    async fn put_calls(&self, sync: &SyncId, calls: &[Call]) -> Result<()>;
    /// One call.
    async fn call(&self, sync: &SyncId, run: &RunId, number: u32) -> Result<Option<Call>>;
    /// All calls of a run, by number.
    async fn calls(&self, sync: &SyncId, run: &RunId) -> Result<Vec<Call>>;
    /// True while a call of the run up to `phase` has no outcome. May be answered from fewer reads than [`Deltalog::calls`].
    async fn has_open_calls(&self, sync: &SyncId, run: &RunId, phase: u8) -> Result<bool> {
        Ok(self.calls(sync, run).await?.iter().any(|c| c.phase <= phase && c.outcome.is_none()))
    }
    /// Takes a call until `lease_until`. Condition: open ∧ (no claim ∨ lease over). If a claim was there, sets `maybe`.
    async fn claim(
        &self,
        sync: &SyncId,
        run: &RunId,
        number: u32,
        token: &Token,
        now: Millis,
        lease_until: Millis,
    ) -> Result<Claimed>;
    /// Gives a claim back, keeping what is final. Condition: open ∧ claim = mine. `maybe` after no answer.
    async fn release(&self, sync: &SyncId, call: &Call, token: &Token, maybe: bool) -> Result<Swap>;
    /// Replaces what is known of a call while it is claimed: what is final, and the jobs that were accepted. As
    /// [`Deltalog::release`], but the claim stays. Condition: open ∧ claim = mine.
    async fn keep(&self, sync: &SyncId, call: &Call, token: &Token, maybe: bool) -> Result<Swap>;
    /// Writes the outcome, once. Condition: open ∧ claim = mine. Success if the outcome is ours already.
    async fn settle(
        &self,
        sync: &SyncId,
        run: &RunId,
        number: u32,
        token: &Token,
        outcome: &CallOutcome,
    ) -> Result<Swap>;

    // ---- rejected records, refused input

    /// Counts a rejection. Condition: `last_run` ≠ this run, so that a repeated commit counts once.
    async fn count_reject(&self, sync: &SyncId, reject: &Reject) -> Result<()>;
    /// All rejects of a sync.
    async fn rejects(&self, sync: &SyncId) -> Result<Vec<Reject>>;
    /// Forgets rejects: of one record state, of one record, or of all.
    async fn release_rejects(&self, sync: &SyncId, which: Option<(KeyHash, Option<AttrHash>)>) -> Result<u64>;
    /// Keeps a refused snapshot or message. Repeatable by `subject`.
    async fn put_input_reject(&self, dataset: &str, reject: &InputReject, expires_at: i64) -> Result<()>;
    /// Refused input of a dataset (or of a queue, by its name), newest first.
    async fn input_rejects(&self, dataset: &str) -> Result<Vec<InputReject>>;

    // ---- ticks, tombstones, rate budget

    /// True if an activated run has claimed this tick.
    async fn tick_claimed(&self, sync: &SyncId, tick: &str) -> Result<bool>;
    /// Erased keys of a dataset.
    async fn tombstones(&self, dataset: &DatasetId) -> Result<BTreeSet<KeyHash>>;
    /// A destination's rate budget; nothing before its first lease.
    async fn budget(&self, destination: &DestinationId) -> Result<Option<Budget>>;
    /// Leases slots under known terms. Condition: [`Advance::fits`]. A lease whose answer is lost is lost with its slots.
    async fn advance_budget(&self, destination: &DestinationId, advance: &Advance) -> Result<Advanced>;
    /// Writes a budget whose terms, or idle time, want more than an advance. Condition: slot, count and epoch as in `from`
    /// (`None`: there is no budget). Not even one's own
    /// write is success a second time: who leases from the same budget writes the same, and two would take one lease for theirs.
    async fn swap_budget(&self, destination: &DestinationId, from: Option<&Budget>, to: &Budget) -> Result<Swap>;

    // ---- shared tokens

    /// The token that the workers of a destination share.
    async fn shared_token(&self, destination: &DestinationId) -> Result<Option<SharedToken>>;
    /// Replaces it. Condition: its revision is `expected` (`None`: there is none). Success if it is this very one already.
    async fn put_shared_token(
        &self,
        destination: &DestinationId,
        expected: Option<u64>,
        token: &SharedToken,
    ) -> Result<Swap>;

    // ---- usage

    /// Adds to the sync's account, with the next write of its head that this process makes anyway (but for transactions), and
    /// with what that write itself takes. `head` is the head as the writer read it.
    ///
    /// Telemetry: it makes no write, is part of no condition and no reason to try again. A charge is for one write: if that is
    /// refused or fails the charge is gone, and so it never counts twice. A store may have no accounts.
    fn charge(&self, _head: &Head, _usage: Usage, _at: Millis) {}

    // ---- repairs

    /// Run states that a repair looks for: the runs of a sync in one of `states`, any age.
    async fn runs_in(&self, sync: &SyncId, states: &[RunState]) -> Result<Vec<Run>> {
        let names: Vec<_> = states.iter().map(RunState::name).collect();
        Ok(self.runs(sync, usize::MAX).await?.into_iter().filter(|r| names.contains(&r.state.name())).collect())
    }
}
