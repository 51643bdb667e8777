//! What every kind of destination does, and the values that pass between it and the stack.

use core::{fmt, time::Duration};
use std::collections::BTreeMap;

use async_trait::async_trait;
use driftless_model::{
    Disposition, IdentifierSet, Millis, Operation, RecordKey, RemoteJob as Job, RowOutcome, Session,
};
use serde_json::{Map, Value};

use crate::Capabilities;
use crate::budget::Heard;

/// One list of one destination.
///
/// A connector turns rows into requests and answers into outcomes. It keeps no rows, does not wait, does not try again and
/// knows nothing of deadlines: that is the stack's ([`crate::drive`]). It makes no task of its own.
#[async_trait]
pub trait Connector: Send + Sync {
    /// What it can do. The same for the life of the connector, and equal to [`crate::capabilities_of`] its configuration.
    fn capabilities(&self) -> &Capabilities;

    /// True if these rows go into one request within the byte limit. Pure. The stack asks before it sends.
    fn fits(&self, operation: Operation, rows: &[OutRow]) -> bool {
        let _ = (operation, rows);
        true
    }

    /// Sends rows (at least one, but for a part of a session whose rows were all taken out; at most the operation's limit) and says what became of them. One data request; look-ups and
    /// the like before or after it are counted in the answer and pass [`Batch::gate`].
    ///
    /// Cancelling the future is like losing the answer.
    async fn send(&self, batch: &Batch<'_>) -> Answer;

    /// Asks what became of a job that [`Connector::send`] or [`Connector::clear`] was told of, and that is about
    /// `batch.rows`. Changes nothing, and may be asked again after any answer.
    ///
    /// [`Answered::Pending`]: not done yet. An outcome per row (none for a call without rows): done. Rows that the job
    /// cannot tell of any more, because the destination does not know it, are [`driftless_model::Outcome::Unknown`].
    /// [`Answered::BatchRejected`]: the job was refused as a whole, because of one or more of its rows.
    /// [`Answered::Fatal`]: nothing can be asked until somebody acts. Any other answer is about the question, not about the
    /// job, and the question is put again.
    async fn poll(&self, job: &Job, batch: &Batch<'_>) -> Answer {
        let _ = (job, batch);
        Answer { is: Answered::Fatal { reason: "this kind of destination has no jobs".into() }, requests: 0 }
    }

    /// Takes out of the list every member who was last put there before an instant, or simply every member where the API
    /// knows no instant ([`crate::Replace`] says which). `batch` has no rows. Repeatable.
    ///
    /// Answers no rows when it is done, [`Answered::Accepted`] when a job does it.
    async fn clear(&self, before: Millis, batch: &Batch<'_>) -> Answer {
        let _ = (before, batch);
        Answer { is: Answered::Fatal { reason: "this kind of destination cannot clear a list".into() }, requests: 0 }
    }

    /// Creates a list of that name and answers what a sync calls it by. A list of that name which is there already is taken, so
    /// that whoever did not hear the answer asks again; where an API cannot find lists by name, two calls make two.
    async fn create_list(&self, name: &str) -> Result<String, Failure> {
        let _ = name;
        Err(Failure::Unsupported { what: "create a list" })
    }

    /// Deletes a list of ours that another took the place of. A list that is gone already is success.
    async fn retire_list(&self, list: &str) -> Result<(), Failure> {
        let _ = list;
        Err(Failure::Unsupported { what: "retire a list" })
    }

    /// Where people know lists by a name that can be changed: gives the list that took the place of `old` the name of that, and
    /// `old` a name that ends in `mark`. Answers what `old` is called by from now on. Both are called as a sync calls them.
    ///
    /// Repeatable: a list whose name ends in `mark` has passed it on already. Where `old` is gone there is nothing to do, and
    /// so it is where lists have no names.
    async fn pass_name_on(&self, old: &str, new: &str, mark: &str) -> Result<String, Failure> {
        let _ = (new, mark);
        Ok(old.to_owned())
    }

    /// Whether the list can be read, and is empty. Changes nothing.
    async fn inspect(&self) -> Result<ListState, Failure>;

    /// Sees to it that the list is there, by creating it where the configuration says so. The stack asks once, before the
    /// first run, and from one worker only: services let two of them create two lists of one name. Repeatable.
    async fn prepare(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// The members, page by page: `None` starts, [`Page::next`] goes on. Changes nothing.
    async fn list(&self, cursor: Option<String>) -> Result<Page, Failure>;

    /// Tries the login, the permission and the list, and says of each step how it went. Changes nothing.
    async fn check(&self) -> Vec<CheckStep>;
}

/// Rows that go out together.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// What is asked for each row.
    pub operation: Operation,
    /// The rows, in the order in which outcomes are wanted.
    pub rows: &'a [OutRow],
    /// The same whenever these rows of this call are sent again, and different for any other.
    pub idempotency_key: &'a str,
    /// Its place in the session, where the whole list is replaced by one.
    pub session: Option<Session>,
    /// How long each request may take.
    pub timeout: Duration,
    /// The rate budget. The slot of the first request is taken already; pass before every further one.
    pub gate: &'a dyn Gate,
}

/// Where a connector waits for the slot of a request, when one batch needs several.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Returns when the next request may go out.
    ///
    /// # Errors
    /// [`NoSlot`]: it may not go out any more in this claim. The rows that depend on it were not sent; the stack knows why.
    async fn pass(&self) -> Result<(), NoSlot>;

    /// Tells the rate budget what the headers of an answer say about limits.
    async fn heard(&self, _: Heard) {}
}

/// There is no slot for a request before the claim ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no slot is left before the deadline")]
pub struct NoSlot;

/// A gate that is always open, for the few requests that are made outside a run.
pub struct Open;

#[async_trait]
impl Gate for Open {
    async fn pass(&self) -> Result<(), NoSlot> {
        Ok(())
    }
}

/// One record as it is sent.
#[derive(Clone, PartialEq)]
pub struct OutRow {
    /// The record's key.
    pub key: RecordKey,
    /// The identifiers to send with, or to remove.
    pub identifiers: IdentifierSet,
    /// The record's id at the destination, if known.
    pub remote_id: Option<String>,
    /// The mapped fields, identifiers included; empty for a removal.
    pub fields: Map<String, Value>,
}

/// What a connector answers for a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What became of the rows.
    pub is: Answered,
    /// All requests made, look-ups and logins included.
    pub requests: u32,
}

/// What became of the rows of a batch. Reasons are codes and rules, without personal data.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    /// An outcome per row, in the order of the batch.
    Rows(Vec<RowOutcome>),
    /// Some rows have outcomes; `rest` is what became of the others.
    Partly {
        /// In the order of the batch; `None` for those that `rest` is about.
        rows: Vec<Option<RowOutcome>>,
        /// Never `Rows` or `Partly`. `Accepted`: the job is about those others.
        rest: Box<Answered>,
    },
    /// The destination took the rows, and tells later what became of them. That is not a delivery (DL-2): the stack keeps
    /// the job with its rows before anything else happens, and asks by [`Connector::poll`].
    Accepted {
        /// What it is asked by.
        job: Job,
    },
    /// All rows were taken, but for some that the destination counts and does not name: they cannot be told from the others.
    /// The stack takes every row for delivered, and keeps the counts for people to see.
    RowsButUnnamed {
        /// How many were refused, by code.
        refused: BTreeMap<String, u64>,
    },
    /// A job is not done. Only as an answer of [`Connector::poll`].
    Pending {
        /// The wait that was asked for.
        after: Option<Duration>,
    },
    /// The request was refused as a whole and nothing was applied, because of one or more of its rows.
    BatchRejected {
        /// Why.
        reason: String,
    },
    /// Too many requests. Nothing was applied.
    Throttled {
        /// The wait that was asked for.
        after: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// The destination cannot now. Known not to be applied.
    Unavailable {
        /// Why.
        reason: String,
    },
    /// It may or may not have been applied: a lost answer, a time-out, an answer that does not exclude it.
    NoAnswer {
        /// Why.
        reason: String,
    },
    /// Login, permission or list are gone. Nothing was applied, and nothing will be until somebody acts.
    Fatal {
        /// Why.
        reason: String,
    },
}

/// What can be known of a list before it is synced first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListState {
    /// The kind, or this configuration of it, cannot read the list.
    Unreadable,
    /// Nobody is in it.
    Empty,
    /// Somebody is in it.
    NotEmpty,
}

/// Some members of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The members.
    pub members: Vec<Member>,
    /// Where to go on; `None` on the last page.
    pub next: Option<String>,
}

/// One member of a list, as the destination names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The identifiers that the destination shows.
    pub identifiers: IdentifierSet,
    /// Its id, if there is one.
    pub remote_id: Option<String>,
}

/// One step of [`Connector::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckStep {
    /// What was tried.
    pub name: &'static str,
    /// What was found, or why it failed.
    pub result: Result<String, String>,
}

/// Why a list could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// This configuration cannot do it.
    #[error("this destination cannot {what}")]
    Unsupported {
        /// What was asked.
        what: &'static str,
    },
    /// Too many requests.
    #[error("the destination is throttling: {reason}")]
    Throttled {
        /// The wait that was asked for.
        after: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// No answer, or none that can be used.
    #[error("the destination is not available: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// Login, permission or list are gone.
    #[error("the destination refuses us: {reason}")]
    Fatal {
        /// Why.
        reason: String,
    },
}

impl Failure {
    /// What the caller does next.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Unsupported { .. } => Disposition::Reject,
            Self::Throttled { after, .. } => Disposition::Retry { after: *after },
            Self::Unavailable { .. } => Disposition::RETRY,
            Self::Fatal { .. } => Disposition::Fatal,
        }
    }
}

/// Never prints a value: rows are personal data.
impl fmt::Debug for OutRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutRow").field("fields", &self.fields.keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("operation", &self.operation)
            .field("rows", &self.rows.len())
            .finish_non_exhaustive()
    }
}
