//! Snapshots: from Parquet objects to selected, mapped and hashed rows, in bounded memory.
//!
//! A snapshot is one complete state of a dataset, in one Parquet file or many. A sync's [`ViewSpec`] says which records of
//! it belong into a list and what they hold. Three passes answer what the rest of the product asks:
//!
//! * [`digest`] reads the snapshot once for all syncs of the dataset and gives each its records as pairs of hashes, sorted
//!   by key hash, to be merged with D; [`states`] reads again those rows of it that changed, for the log. [`digest_against`] is told
//!   what D holds, and keeps only the records that are not as D has them, and their states.
//! * [`records`] reads the records that a changeset needs, as they are sent.
//!
//! How a pass works: the row groups of all files are dealt to lanes ([`driftless_model::Lanes`]). A lane fetches its row groups
//! by ranges ahead of the decoder, decodes the columns that some view needs, evaluates the selection, and turns each mapped
//! column into sums of hashes in one typed loop. What remains of a row is its key hash, its attribute hash and its position:
//! 28 bytes, put into one of many parts by the first bits of the key hash. The parts are then sorted one by one, in lanes
//! again. Of a row that D has just so, one bit remains. Row groups of which statistics tell that a selection takes nothing are not read.
//!
//! What holds here:
//!
//! * Equal values hash the same, whatever wrote them and in whatever order (`docs/hash-recipe.md`), which DL-5 rests on.
//! * Of several rows of one key one is taken, and an identifier belongs to one record (protocol rule 6), whatever the
//!   order of the rows (DL-6) and the number of lanes.
//! * Memory is 28 bytes a selected row, 12 for each identifier that may be shared, and a bounded buffer a lane, whatever a file
//!   declares (DL-9). A file that asks for more than [`Limits`] is refused before the memory is.
//! * A file that is not what it should be is refused with its object, row group, column and cause; nothing here panics
//!   on input. A sync that the data does not fit fails alone, with the exact column or place in its SQL.
//! * SQL reads the row and nothing else: no other table, no file, no clock, no randomness.
//! * No task is spawned, no clock is read: a pass runs wherever its future is polled, and on the lanes that it is given.
//!
//! [`locate`] says which objects make a snapshot. What does not belong here: what the hashes are compared with.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod keyed;
mod limits;
pub mod locate;
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
    Digest, DigestRange, Digested, Digests, Invalid, Known, KnownRange, KnownSpan, Outcome, PackedState, PackedStates,
    Record, Report, Sifted, Source, Unchanged, View, Walk, can_sift, digest, digest_against, each_record,
    packed_states, records, schema, states, verify,
};
pub use spec::ViewSpec;
pub use view::{check_view, selected_schema};
