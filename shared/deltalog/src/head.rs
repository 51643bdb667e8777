//! The head of a sync and the conditions of its writes.

pub mod account;
mod lists;
pub mod transition;

use std::collections::BTreeMap;

use driftless_model::{DatasetId, DestinationId, Millis, RunId, SnapshotOrder, SnapshotRef, SyncId, Token};
use serde::{Deserialize, Serialize};

pub use account::Account;
pub use lists::{Lists, Named, NewList, OldList};

/// The six names that history and head carry. A head whose names differ from its sync's configuration belongs to another
/// list: its A is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// `tenant/dataset` (two of the six).
    pub dataset: DatasetId,
    /// Where the snapshots come from: the bucket and prefix.
    pub source: String,
    /// The connector kind, for example `rest`.
    pub kind: String,
    /// The destination.
    pub destination: DestinationId,
    /// The list at the destination, as configured: the one that the sync begins with (see [`Head::list`]).
    pub list: String,
}

/// Which configuration something was made under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStamp {
    /// Grows by one with every applied change of the fingerprint.
    pub epoch: u64,
    /// Of all that attribute hashes and membership depend on: key, selection, mapping, hash recipe.
    pub fingerprint: String,
}

/// The acknowledged state: a history file that is never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRef {
    /// Object key.
    pub object: String,
    /// The fingerprint of the configuration that its attribute hashes were made under.
    pub fingerprint: String,
    /// Rows, the members of the list (uncertain ones included).
    pub rows: u64,
}

/// What a committed run did not deliver; older than every version, without a number (protocol rule 10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResidueRef {
    /// Object key.
    pub object: String,
    /// Entries.
    pub count: u64,
}

/// How a log version is represented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionKind {
    /// One log item per changed record.
    Items,
    /// No items: the new state is a file in history format and flushes the versions before it.
    Bulk {
        /// Object key.
        object: String,
    },
}

/// One log version as the head names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionEntry {
    /// The winning attempt's private token (protocol rule 1).
    pub token: Token,
    /// How the version is represented.
    pub kind: VersionKind,
    /// Changed records. Where the kind is [`VersionKind::Items`], so many items: readers count (protocol rule 12).
    pub count: u64,
    /// Of them, records that entered.
    pub adds: u64,
    /// Of them, records whose fields changed.
    pub updates: u64,
    /// Of them, records that left.
    pub removals: u64,
    /// The order of the snapshot that brought it; of the newest one, where versions were merged.
    pub order: SnapshotOrder,
    /// When it was logged; the oldest of them, where versions were merged.
    pub logged_at: Millis,
}

impl VersionEntry {
    /// The file with the new state, if the version is a bulk version.
    #[must_use]
    pub fn bulk_object(&self) -> Option<&str> {
        match &self.kind {
            VersionKind::Items => None,
            VersionKind::Bulk { object } => Some(object),
        }
    }
}

/// Removals (or adds) that a guard keeps back until a person approves (DL-8, protocol rule 7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// A write-once object with the key hashes.
    pub object: String,
    /// How many records it holds.
    pub count: u64,
    /// The guard, with its figures, for `status`.
    pub reason: String,
    /// When it was placed.
    pub since: Millis,
    /// When a person approved it.
    pub approved_at: Option<Millis>,
}

/// A committed run whose delivered rows have not been folded into the history file yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredRun {
    /// The run.
    pub run: RunId,
    /// A write-once object: the acknowledged rows that the run changed, in history format.
    pub object: String,
    /// Rows in it.
    pub rows: u64,
    /// The last log version that the run covered.
    pub through: u64,
    /// Fingerprint of the run's configuration.
    pub fingerprint: String,
    /// When it was committed.
    pub at: Millis,
}

/// What took a version out of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetiredBy {
    /// A fold: the commit of this run.
    Run(RunId),
    /// A compaction: its states live on in the version of this number.
    Merge(u64),
}

impl RetiredBy {
    /// The run whose commit folded it, if it was folded.
    #[must_use]
    pub const fn run(&self) -> Option<&RunId> {
        match self {
            Self::Run(run) => Some(run),
            Self::Merge(_) => None,
        }
    }
}

/// A log version that a fold or a compaction has replaced; its items are stamped, its file is deleted after the grace period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// The version's number.
    pub version: u64,
    /// Its entry, as it stood in the head.
    pub entry: VersionEntry,
    /// What replaced it.
    pub by: RetiredBy,
    /// When.
    pub at: Millis,
}

/// Why a sync waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// What is wrong and what to do, without personal data.
    pub reason: String,
    /// Since when.
    pub since: Millis,
}

/// The head of a sync: one item that names everything its state consists of. One consistent read of it gives history and
/// versions; whatever it names is immutable for the grace period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The sync.
    pub sync: SyncId,
    /// Differs between a sync and its recreated successor; part of every partition and run id.
    pub incarnation: u64,
    /// What the state belongs to.
    pub names: Names,
    /// Number of the newest log version; 0 before the first.
    pub version: u64,
    /// The newest snapshot taken up, changed or not (protocol rule 2).
    pub snapshot: Option<SnapshotRef>,
    /// The configuration that the newest version was made under.
    pub config: ConfigStamp,
    /// Changes with every fold; what activation, commit and fold are checked against.
    pub stamp: Token,
    /// The acknowledged state; `None` before the first commit.
    pub history: Option<HistoryRef>,
    /// See [`ResidueRef`].
    pub residue: Option<ResidueRef>,
    /// The versions after the history, by number. Ingest only adds; a fold takes those ≤ `through`; a compaction merges some
    /// that no run covers into the last of them, so that numbers may be missing between two, but none is used twice.
    pub versions: BTreeMap<u64, VersionEntry>,
    /// The run that may send; at most one.
    pub active_run: Option<RunId>,
    /// Committed, not folded yet; oldest first.
    pub delivered: Vec<DeliveredRun>,
    /// By [`Head::snapshot_hold`] or [`Head::run_hold`] of the version that was held.
    pub holds: BTreeMap<u64, Hold>,
    /// Waiting to be stamped and deleted.
    pub retired: Vec<Retired>,
    /// When a run last reached its success threshold.
    pub last_succeeded_at: Option<Millis>,
    /// Set while the sync waits for a person.
    pub attention: Option<Attention>,
    /// See [`Lists`].
    #[serde(default)]
    pub lists: Lists,
    /// What the sync has used; see [`crate::Deltalog::charge`].
    #[serde(default)]
    pub account: Account,
}

impl Head {
    /// The head of a new sync: nothing seen, nothing acknowledged.
    #[must_use]
    pub fn new(sync: SyncId, incarnation: u64, names: Names, config: ConfigStamp) -> Self {
        Self {
            sync,
            incarnation,
            names,
            version: 0,
            snapshot: None,
            config,
            stamp: Token::new("genesis"),
            history: None,
            residue: None,
            versions: BTreeMap::new(),
            active_run: None,
            delivered: Vec::new(),
            holds: BTreeMap::new(),
            retired: Vec::new(),
            last_succeeded_at: None,
            attention: None,
            lists: Lists::default(),
            account: Account::default(),
        }
    }

    /// What an ingest that read this head must find unchanged at its write.
    #[must_use]
    pub fn guard(&self) -> HeadGuard {
        HeadGuard {
            incarnation: self.incarnation,
            version: self.version,
            order: self.snapshot.as_ref().map(|s| s.order.clone()),
            epoch: self.config.epoch,
        }
    }

    /// The number under which the hold of one snapshot's changes is kept: twice its version.
    #[must_use]
    pub const fn snapshot_hold(version: u64) -> u64 {
        version * 2
    }

    /// The number under which the hold of a run's removals is kept: twice the version it runs through, plus one.
    #[must_use]
    pub const fn run_hold(through: u64) -> u64 {
        through * 2 + 1
    }

    /// Write units of an update of this head as it stands: one for each kilobyte.
    #[must_use]
    pub fn write_units(&self) -> u64 {
        crate::dynamodb::head_units(self)
    }

    /// The version that the hold of this number is about: that was held, or that a held run went through.
    #[must_use]
    pub const fn held_version(number: u64) -> u64 {
        number / 2
    }

    /// The holds that still hold.
    pub fn active_holds(&self) -> impl Iterator<Item = (u64, &Hold)> {
        self.holds.iter().filter(|(_, h)| h.approved_at.is_none()).map(|(v, h)| (*v, h))
    }
}

/// Exactly what an ingest's result depends on, as it was read. Equality at the write implies the protocol's condition
/// (version = n ∧ order < mine ∧ epoch ≤ mine), because the caller compared its own order and epoch with these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadGuard {
    /// Incarnation as read.
    pub incarnation: u64,
    /// Version as read.
    pub version: u64,
    /// Newest snapshot's order as read.
    pub order: Option<SnapshotOrder>,
    /// Configuration epoch as read.
    pub epoch: u64,
}

/// What an ingest puts into the head when it swaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The snapshot it took up.
    pub snapshot: SnapshotRef,
    /// The configuration it was made under.
    pub config: ConfigStamp,
    /// The new version; its number is the guard's version + 1.
    pub entry: VersionEntry,
    /// What a guard held of it.
    pub hold: Option<Hold>,
}

/// What asked for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Unique to the scheduled time, the change or the request; at most one run is activated for it.
    pub id: String,
    /// Epoch seconds after which the claim may be forgotten.
    pub expires_at: i64,
}

/// What activation is checked against (protocol rule 8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationGuard {
    /// Incarnation as read.
    pub incarnation: u64,
    /// Version as read.
    pub version: u64,
    /// History stamp as read.
    pub stamp: Token,
    /// Configuration epoch as read.
    pub epoch: u64,
    /// Committed runs as read (their count: they are only appended between folds).
    pub delivered: usize,
}

/// A fold: the new acknowledged state, in one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// The stamp the fold was computed from.
    pub from_stamp: Token,
    /// `Some(r)`: commits run r (it must be the active one). `None`: folds committed runs, no run may be active.
    pub run: Option<RunId>,
    /// How many entries of `delivered` it takes in (all that were read).
    pub delivered: usize,
    /// The new stamp.
    pub stamp: Token,
    /// The new history file.
    pub history: HistoryRef,
    /// What stays undelivered, or nothing.
    pub residue: Option<ResidueRef>,
    /// Versions ≤ this leave the head and become retired.
    pub through: u64,
    /// The run recorded as the one that retired them.
    pub by: RunId,
    /// Set when the run reached the success threshold.
    pub succeeded_at: Option<Millis>,
    /// The list that the run made and loaded: from here on it is the sync's.
    pub new_list: Option<NewList>,
    /// When.
    pub at: Millis,
}

/// Versions that one [`Compaction`] may merge: as many as the condition of one write can name.
pub const MOST_MERGED: usize = 40;

/// A compaction of the chain: several versions become one, in one write. D stays what it is, and so does the head's version,
/// so neither an ingest nor a plan that is under way has to start again (docs/adr/0010-compaction.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// Incarnation as read.
    pub incarnation: u64,
    /// History stamp as read.
    pub stamp: Token,
    /// Active run as read.
    pub active_run: Option<RunId>,
    /// The versions it merges, as read: at most [`MOST_MERGED`], neighbours in the chain, none covered by a run.
    pub merged: BTreeMap<u64, VersionEntry>,
    /// What takes the place of the last of them, under its number. The last entry itself, if it is a bulk version: that flushes
    /// what came before it as it is.
    pub into: VersionEntry,
    /// When.
    pub at: Millis,
}

/// The result of a conditional write of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Swap {
    /// The write took effect, by this call or by an earlier attempt of the same caller.
    Done,
    /// The head had moved on: read it again and decide anew.
    Lost,
}
