//! Runs, calls, outcomes and rejects.

pub mod transition;

use std::collections::BTreeMap;

use driftless_model::{
    AttrHash, InFlight, KeyHash, Millis, Operation, RowOutcome, RunId, Session, SyncId, Token, Usage,
};
use serde::{Deserialize, Serialize};

use crate::head::ConfigStamp;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum RunState {
    /// Calls may be claimed.
    Open,
    /// Waits for its destination; messages are dropped, the ledger is the work.
    Parked {
        /// Why, for `status`.
        reason: String,
        /// The sweep tries again at this time; `None`: a person must act first (login refused, list not empty).
        until: Option<Millis>,
    },
    /// No new claim; commits when what is in flight has settled or its lease has passed.
    Closing {
        /// Why.
        reason: String,
    },
    /// Its delivered part is in A.
    Committed,
    /// Never activated; its objects may be deleted.
    Abandoned,
}

impl RunState {
    /// The name without its details, for conditions and display.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Parked { .. } => "parked",
            Self::Closing { .. } => "closing",
            Self::Committed => "committed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Records by what a run plans or did with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records to add.
    pub adds: u64,
    /// Records to update.
    pub updates: u64,
    /// Removals (an identifier change is an add and a removal).
    pub removals: u64,
    /// Kept back by a guard or the horizon.
    pub held: u64,
    /// Left alone after too many rejections.
    pub quarantined: u64,
}

/// A run that sends nothing: it reads the remote list and compares it with A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compares {
    /// A is corrected by what is found; else it is only told.
    pub corrects: bool,
    /// Members whom nobody here knows are to be removed.
    pub strangers_go: bool,
    /// Nothing was ever sent, and nothing is sent before it is known who is in the list.
    #[serde(default, skip_serializing_if = "is_false")]
    pub first: bool,
}

/// How the remote list differed from what was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// Members of the remote list.
    pub members: u64,
    /// Acknowledged, and found in it.
    pub found: u64,
    /// Acknowledged, and not in it.
    pub missing: u64,
    /// Removed by us, as was acknowledged, and in it.
    pub strays: u64,
    /// In it, and not put there by us as far as is known.
    pub strangers: u64,
    /// Members beyond the first of one record.
    pub duplicates: u64,
    /// Not one member is anybody that was sent, so that nothing follows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub incomparable: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde calls
fn is_false(value: &bool) -> bool {
    !*value
}

/// How far a remote list has been read. Kept in its call, so that reading outlives an invocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Where to go on; `None`: at the beginning, or everything is read.
    pub cursor: Option<String>,
    /// The members that were read, in objects of the bucket.
    pub objects: Vec<String>,
    /// How many.
    pub members: u64,
    /// When the last page was read.
    pub at: Millis,
}

/// What a run achieved, written when it is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResult {
    /// Rows acknowledged.
    pub delivered: u64,
    /// Rows refused for good.
    pub rejected: u64,
    /// Rows whose outcome is unknown.
    pub unknown: u64,
    /// Rows not sent or to be tried again.
    pub undelivered: u64,
    /// Of the delivered ones, those that the destination refused without naming them.
    #[serde(default)]
    pub unnamed: u64,
    /// What a comparison with the remote list has found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
}

/// One refresh of one list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Sorts by planning time; contains the incarnation.
    pub id: RunId,
    /// The sync.
    pub sync: SyncId,
    /// The last log version it covers.
    pub through: u64,
    /// History stamp it was planned from.
    pub stamp: Token,
    /// Committed runs it was planned on top of.
    pub delivered: usize,
    /// Configuration it was planned under.
    pub config: ConfigStamp,
    /// Object key of the changeset.
    pub changeset: String,
    /// Calls planned.
    pub calls: u32,
    /// Calls of a later phase are queued when every call of the earlier ones has settled: a removal settles before the send
    /// that touches the same record.
    pub phases: u8,
    /// The phase whose calls may be queued.
    pub phase: u8,
    /// What is planned.
    pub counts: Counts,
    /// The run takes a part of what differs: so many records at least are for the runs after it. `None`: it takes all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<u64>,
    /// The strategy, and why it was chosen.
    pub strategy: String,
    /// The run only compares, and sends nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compares: Option<Compares>,
    /// What started it: the tick, the change, or a person.
    pub cause: String,
    /// Where it stands.
    pub state: RunState,
    /// How often in a row it was parked: the next wait grows with it.
    #[serde(default)]
    pub parkings: u32,
    /// Settled calls when a sweep last looked, and when their number last grew: a run without progress is queued again.
    #[serde(default)]
    pub progress: (u32, Millis),
    /// When it was planned.
    pub planned_at: Millis,
    /// After this it may be closed from open.
    pub deadline: Millis,
    /// When it was committed.
    pub committed_at: Option<Millis>,
    /// Set with `Committed`.
    pub result: Option<RunResult>,
    /// The list that its calls go to: what the head named when it was planned. The configuration may name another by now.
    pub list: String,
    /// The name of the list that it makes and loads; its calls go there (see [`CallOutcome::list`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_list: Option<String>,
    /// What it has used: planning, as planned; all of it once it is committed.
    #[serde(default, skip_serializing_if = "Usage::is_nothing")]
    pub usage: Usage,
}

/// What became of the rows of a call. Rows are numbered from 0 within the call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallOutcome {
    /// Every row that is not named in `exceptions` was delivered.
    pub exceptions: BTreeMap<u32, RowOutcome>,
    /// Ids that the destination assigned, by row.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remote_ids: BTreeMap<u32, String>,
    /// Records that were refused without being named, by code: they count as delivered, as nobody knows which they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unnamed: BTreeMap<String, u64>,
    /// What the list is called that the call made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// API requests made for this call, over all claims: data requests, then retries, look-ups and bisections.
    pub requests: u32,
    /// When the destination's last answer came.
    pub at: Millis,
    /// What delivering it used of ours, over all claims.
    #[serde(default, skip_serializing_if = "Usage::is_nothing")]
    pub usage: Usage,
}

/// One or more batched API requests of a run: a row range of the changeset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The run.
    pub run: RunId,
    /// From 0.
    pub number: u32,
    /// See [`Run::phases`].
    pub phase: u8,
    /// What it asks for.
    pub operation: Operation,
    /// First row of the changeset.
    pub first_row: u64,
    /// Rows.
    pub rows: u32,
    /// Its place in the session, where the run replaces the whole list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// The worker that may send it.
    pub claim: Option<Token>,
    /// The claim is void after this.
    pub lease_until: Millis,
    /// An earlier claim ended without an answer: rows without an outcome may have been applied.
    pub maybe: bool,
    /// Rows that are final already, kept when a claim was released half-way.
    pub progress: Option<CallOutcome>,
    /// Which rows `progress` covers (bit set as sorted row numbers).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub progress_rows: Vec<u32>,
    /// What the destination accepted and has not told the end of. Their rows are not sent again before it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<InFlight>,
    /// How far the remote list has been read, where the call does that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// Present once settled; never changed afterwards.
    pub outcome: Option<CallOutcome>,
    /// The last failure, for `explain` and `status`; no personal data.
    #[serde(default)]
    pub last_error: Option<String>,
}

impl Call {
    /// Jobs that may still end.
    pub fn live_jobs(&self, now: Millis) -> impl Iterator<Item = &InFlight> {
        let open = self.outcome.is_none();
        self.jobs.iter().filter(move |job| open && job.lives(now))
    }

    /// What delivering it has used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.outcome.as_ref().or(self.progress.as_ref()).map(|o| o.usage).unwrap_or_default()
    }
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The call is ours until `lease_until`; `maybe` is already set if a claim came before.
    Mine(Box<Call>),
    /// Somebody else works on it.
    Busy {
        /// Until then.
        until: Millis,
    },
    /// Nothing to do.
    Settled,
    /// There is no such call.
    Missing,
}

/// A record that the destination refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The record.
    pub key_hash: KeyHash,
    /// The state that was refused; another state is another reject.
    pub attr_hash: AttrHash,
    /// Runs that it was refused in.
    pub attempts: u32,
    /// The last of them.
    pub last_run: RunId,
    /// The destination's code or our rule's name.
    pub reason: String,
    /// When.
    pub at: Millis,
}

/// A snapshot or message that was refused whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputReject {
    /// What it was: an object key and version, or a queue and message id.
    pub subject: String,
    /// Object, row group, column and cause; no personal data.
    pub reason: String,
    /// When.
    pub at: Millis,
}
