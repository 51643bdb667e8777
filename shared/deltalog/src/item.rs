//! Log items: one changed record of one log version.

use driftless_model::{AttrHash, IdentifierSet, KeyHash, Millis, RecordKey, RecordState, RunId, SyncId, Token};
use serde::{Deserialize, Serialize};

use crate::head::RetiredBy;

/// The partitions that hold the items of one log version of one ingest attempt. The stores split it into shards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPartition {
    /// The sync.
    pub sync: SyncId,
    /// The sync's incarnation.
    pub incarnation: u64,
    /// The version's number.
    pub version: u64,
    /// The attempt's private token.
    pub token: Token,
}

/// What the snapshot did to the record. A hint: what to send is derived from the state (DL-10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeOp {
    /// Entered the selection.
    Add,
    /// Mapped fields changed.
    Update,
    /// Left the selection.
    Remove,
}

/// One changed record of one log version: its *state* after the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogItem {
    /// Sort key.
    pub key_hash: KeyHash,
    /// The record's key.
    pub key: RecordKey,
    /// See [`ChangeOp`].
    pub op: ChangeOp,
    /// Fingerprint after the change; `None` when the record left.
    pub attr_hash: Option<AttrHash>,
    /// Identifiers after the change; before it, when the record left.
    pub identifiers: IdentifierSet,
    /// The snapshot's time, never the clock's.
    pub updated_at: Millis,
    /// When a fold committed it.
    #[serde(default)]
    pub committed_at: Option<Millis>,
    /// The run whose state replaced it without delivering it.
    #[serde(default)]
    pub superseded_by: Option<RunId>,
    /// Epoch seconds; only once committed or superseded, and folded.
    #[serde(default)]
    pub expires_at: Option<i64>,
}

impl LogItem {
    /// The record's part of D after this version: `None` when it left.
    #[must_use]
    pub fn state(&self) -> Option<RecordState> {
        self.attr_hash.map(|attr_hash| RecordState {
            key: self.key.clone(),
            attr_hash,
            identifiers: self.identifiers.clone(),
        })
    }

    /// This change on top of an earlier one of the same record, as one change: the newest state, and what the two did together.
    #[must_use]
    pub fn after(mut self, earlier: &Self) -> Self {
        self.op = match (earlier.op, self.op) {
            (_, ChangeOp::Remove) => ChangeOp::Remove,
            (ChangeOp::Add, _) => ChangeOp::Add,
            (ChangeOp::Remove | ChangeOp::Update, _) => ChangeOp::Update,
        };
        self
    }

    /// FIG. 4's flag: is the record in the dataset's selection after this version.
    #[must_use]
    pub const fn in_dataset(&self) -> bool {
        self.attr_hash.is_some()
    }
}

/// What a fold made of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemFate {
    /// Acknowledged: `committed_at`.
    Committed(Millis),
    /// Replaced by the state that this run left behind.
    Superseded(RunId),
    /// Its state, or a newer one, lives on in the version that it was merged into: only its expiry is stamped.
    Merged,
}

/// Stays when the items of a retired version have expired: enough for `explain` and `runs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// The version's number.
    pub version: u64,
    /// The sync's incarnation.
    pub incarnation: u64,
    /// The entry as it stood in the head.
    pub entry: crate::head::VersionEntry,
    /// What took it out of the chain.
    pub by: RetiredBy,
    /// When.
    pub at: Millis,
    /// Epoch seconds at which its items expire.
    pub expires_at: i64,
}
