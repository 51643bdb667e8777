//! The objects of ours that hold records: history, delta, residue, hold, changeset and members files.
//!
//! All are Parquet, written once and never changed; the head or a run item names them. This crate turns values
//! into bytes and objects into values, and folds a history with what runs have delivered since.
//!
//! | file | holds | named by |
//! |---|---|---|
//! | history | A: one [`AckRow`](driftless_model::AckRow) per member, sorted by key hash | head |
//! | delta | the rows of A that one committed run changed | head (`delivered`) |
//! | residue | the part of D that a run did not deliver | head |
//! | hold | the keys that a guard keeps back | head (`holds`) |
//! | bulk | all of D as of one log version, sorted by key hash | head (`versions`) |
//! | changeset | what a run sends, in call order | run |
//! | members | a part of a remote list as it was read | call |
//!
//! * Equal input gives equal bytes: no clock, no randomness, no order that depends on a hash map.
//! * DL-9: digests are read from two columns, rows only where they match, and a fold is a streaming merge whose output
//!   leaves in parts. Only what the caller asked for, one row group and one part are in memory.
//! * A file of ours that cannot be read is [`Disposition::Fatal`](driftless_model::Disposition::Fatal): nothing of that
//!   sync can go on until a person has looked. Errors name the object and what is wrong with it, never a value.
//! * Reading is I/O only through [`Objects`](driftless_objects::Objects) and needs no async runtime.
//!
//! What does not belong here: which file is current, when to fold, what to send.
//!
//! The history file is the one of US 6,044,381: both sides remember the state of the last synchronisation, under six names
//! and a stamp, and a record counts as sent only once it was acknowledged.

mod ack_columns;
mod bulk;
mod changeset;
mod columns;
mod delta;
mod error;
mod find;
mod fold;
mod hashes;
mod header;
mod history;
mod hold;
mod members;
mod residue;
mod stream;
mod table;
mod writer;

pub use bulk::{BulkFile, BulkRecord, BulkRow, BulkWriter, Updates};
pub use changeset::{ChangesetParts, encode_changeset, find_rows, read_changeset, read_outline, read_rows};
pub use delta::{Delta, encode_delta, read_delta};
pub use error::{Error, Malformation, Result};
pub use fold::{Against, Fold, Folded, fold};
pub use hashes::{HashRows, Hashes};
pub use header::{FileKind, FileMeta};
pub use history::{HistoryFile, Rows, encode_history};
pub use hold::{encode_holds, read_holds};
pub use members::{encode_members, read_members};
pub use residue::{Residue, encode_residue, read_residue};
