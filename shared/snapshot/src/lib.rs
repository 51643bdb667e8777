//! Snapshots: from Parquet objects to selected, mapped and hashed rows, in bounded memory.
//!
//! A snapshot is one complete state of a dataset, in one Parquet file or many. A sync's [`ViewSpec`] says which records of
//! it belong into a list and what they hold. Two passes answer what the rest of the product asks:
//!
//! * [`digest`] reads the snapshot once for all syncs of the dataset and gives each its records as pairs of hashes, sorted
//!   by key hash, to be merged with D.
//! * [`records`] reads the records that a changeset needs, as they are sent.
//!
//! What holds here:
//!
//! * Equal values hash the same, whatever wrote them and in whatever order (`docs/hash-recipe.md`), which DL-5 rests on.
//! * Of several rows of one key one is taken, and an identifier belongs to one record (protocol rule 6), whatever the
//!   order of the rows (DL-6).
//! * Memory is 40 bytes a selected record and a bounded buffer, whatever a file declares (DL-9). A file that asks for
//!   more than [`Limits`] is refused before the memory is.
//! * A file that is not what it should be is refused with its object, row group, column and cause; nothing here panics
//!   on input. A sync that the data does not fit fails alone, with the exact column or place in its SQL.
//! * SQL reads the row and nothing else: no other table, no file, no clock, no randomness.
//! * No task is spawned, no clock is read: a pass runs wherever its future is polled.
//!
//! [`locate`] says which objects make a snapshot. What does not belong here: what the hashes are compared with.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod keyed;
mod limits;
pub mod locate;
mod normalize;
mod parquet_file;
mod pass;
mod sip;
mod spec;
mod sql;
mod value;
mod view;

pub use driftless_config::RECIPE_VERSION;
pub use error::{Cause, Failure, Position, ReadError, SnapshotError, Use, ViewError};
pub use keyed::HashKey;
pub use limits::Limits;
pub use pass::{
    Digest, DigestRange, Digested, Digests, Invalid, Record, Report, Source, View, digest, records, schema, states,
    verify,
};
pub use spec::ViewSpec;
pub use view::{check_view, selected_schema};
