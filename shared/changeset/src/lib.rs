//! Pure: merge-diff, aggregation, settlement and packing into calls.
mod row;
pub use row::{Changeset, PlannedRow, Transfer};
