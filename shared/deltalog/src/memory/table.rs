//! What the store in memory holds.

use std::collections::{BTreeMap, BTreeSet};

use driftless_model::{AttrHash, Budget, DatasetId, DestinationId, KeyHash, Millis, Month, RunId, SyncId, Usage};

use crate::head::{Head, Swap};
use crate::item::{LogItem, LogPartition, VersionRecord};
use crate::ledger::{Call, InputReject, Reject, Run};
use crate::registry::{DestinationEntry, SharedToken, SyncEntry};

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) syncs: BTreeMap<SyncId, SyncEntry>,
    pub(super) destinations: BTreeMap<DestinationId, DestinationEntry>,
    pub(super) heads: BTreeMap<SyncId, Head>,
    pub(super) log: BTreeMap<LogPartition, BTreeMap<KeyHash, LogItem>>,
    pub(super) version_records: BTreeMap<(SyncId, u64, u64), VersionRecord>,
    pub(super) runs: BTreeMap<(SyncId, RunId), Run>,
    pub(super) calls: BTreeMap<(SyncId, RunId, u32), Call>,
    pub(super) rejects: BTreeMap<(SyncId, KeyHash, AttrHash), Reject>,
    pub(super) input_rejects: BTreeMap<(String, String), (InputReject, i64)>,
    pub(super) ticks: BTreeMap<(SyncId, String), i64>,
    pub(super) attempts: BTreeMap<LogPartition, Millis>,
    pub(super) tombstones: BTreeMap<DatasetId, BTreeSet<KeyHash>>,
    pub(super) budgets: BTreeMap<DestinationId, Budget>,
    pub(super) shared_tokens: BTreeMap<DestinationId, SharedToken>,
    pub(super) charges: BTreeMap<SyncId, (Month, Usage)>,
}

impl Table {
    /// A write of the head, with the charge that waits for it.
    pub(super) fn swap_head(&mut self, sync: &SyncId, to: impl FnOnce(&Head) -> Option<Head>) -> Swap {
        let before = self.heads.get(sync).cloned();
        let swap = self.move_head(sync, to);
        if let Some((month, usage)) = self.charges.remove(sync)
            && let Some(head) = self.heads.get_mut(sync).filter(|h| before.as_ref() != Some(*h))
        {
            head.account.charge(month, usage);
        }
        swap
    }

    pub(super) fn move_head(&mut self, sync: &SyncId, to: impl FnOnce(&Head) -> Option<Head>) -> Swap {
        match self.heads.get_mut(sync).and_then(|stored| to(stored).map(|new| *stored = new)) {
            Some(()) => Swap::Done,
            None => Swap::Lost,
        }
    }

    pub(super) fn swap_call(&mut self, key: &(SyncId, RunId, u32), to: impl FnOnce(&Call) -> Option<Call>) -> Swap {
        match self.calls.get_mut(key).and_then(|stored| to(stored).map(|new| *stored = new)) {
            Some(()) => Swap::Done,
            None => Swap::Lost,
        }
    }
}
