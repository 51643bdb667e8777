//! What must be sent, and what a run achieved: the decisions of Driftless as plain functions over values.
//!
//! *D* is what the list should be, *A* what the destination acknowledged. Everything here is a cheaper way to get exactly
//! `diff(D, A)`:
//!
//! 1. [`merge_diff`] joins a new snapshot with D (US 2025/0265237, FIG. 4) and says who entered, changed and left;
//! 2. [`aggregate`] folds uncommitted log versions, oldest to newest, into one state per touched record (the aggregate log of
//!    the change-log filing of 2000: one entry a key, obsolete entries dropped);
//!    Where a bulk version has flushed the log, [`Differing`] finds the touched records by one pass over two files;
//! 3. [`net_changes`] derives from those states and A's rows what to send, what to remove and which identifiers change hands;
//! 4. [`pack`] cuts the rows into the fewest calls;
//! 5. [`settle`] moves A forward by exactly what was delivered (US 6,044,381: what is not acknowledged is forgotten as sent);
//!    [`settle_new_list`] is its counterpart for a run that has loaded a new list;
//! 6. [`residue`] is what remains different.
//!
//! Invariants kept here: DL-2 (only delivered rows move A), DL-3 (what did not move stays in the residue), DL-4 (removals carry
//! what was sent, less what remains), DL-5 (one entry a record; fewest calls), DL-8 (holds are subtracted), DL-10 (states, not
//! operations, are aggregated, so both ways agree by construction).
//!
//! What does not belong here: reading or writing anything, time, randomness, file formats, limits of a vendor.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aggregate;
mod bulk;
mod differing;
mod merge;
mod net;
mod new_list;
mod pack;
mod row;
mod rules;
mod settle;

pub use aggregate::{States, aggregate};
pub use bulk::{BulkThreshold, outlives_bulk};
pub use differing::{Differing, Step, differing};
pub use merge::{Changes, MergeDiff, forget_fingerprints, merge_diff};
pub use net::{Mode, Net, NetInput, Removal, Send, net_changes};
pub use new_list::{dropped_by_new_list, settle_new_list};
pub use pack::{BatchLimit, CallRange, pack};
pub use row::{Changeset, PlannedRow, Transfer};
pub use rules::{Rule, keeps};
#[cfg(feature = "mutation")]
pub use rules::{switch_off, switch_on};
pub use settle::{CallReport, Rejected, Settlement, differs, remains, residue, settle};
