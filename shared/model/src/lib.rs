//! The words of Driftless as types: names, hashes, records, operations and outcomes.
//!
//! Everything here is a value, or a port that several crates are given. There is no I/O, no clock and no environment in
//! this crate, and nothing of AWS, SQL or HTTP; those live in the crates that import it. A type is here when two or more of
//! them must agree on it.
//!
//! Vocabulary: a *record* of a dataset has a *key*, the fingerprint of its mapped fields (*attribute hash*) and the
//! *identifiers* by which a destination matches it. [`RecordState`] is what a list should hold of a record (D);
//! [`AckRow`] is what the destination acknowledged of it (A).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod budget;
mod disposition;
mod hash;
mod identifier;
mod lanes;
mod member;
mod meter;
mod name;
mod operation;
mod outcome;
mod port;
mod record;
mod remote_job;
mod session;
mod snapshot_order;
mod time;
mod usage;

pub use budget::{Advance, Advanced, Budget};
pub use disposition::Disposition;
pub use hash::{AttrHash, HashParseError, KeyHash};
pub use identifier::{Identifier, IdentifierSet};
pub use lanes::{InTurn, Job, Lanes, Task, in_lanes};
pub use member::Member;
pub use meter::Meter;
pub use name::{DatasetId, DestinationId, InvalidName, RunId, SyncId, TenantId, Token};
pub use operation::Operation;
pub use outcome::{Outcome, RowOutcome};
pub use port::{Clock, Tokens};
pub use record::{AckRow, Acknowledged, InvalidReason, RecordKey, RecordState};
pub use remote_job::{InFlight, InvalidJob, RemoteJob};
pub use session::Session;
pub use snapshot_order::{ObjectVersion, SnapshotOrder, SnapshotRef};
pub use time::Millis;
pub use usage::{InvalidMonth, Month, Usage};
