//! D and A of a sync, read as its head names them.
//!
//! *D*, what the list should be, = history ⊕ residue ⊕ log versions; from a bulk version on, = its file ⊕ the versions after it.
//! *A*, what the destination acknowledged, = history ⊕ the deltas of committed runs. Everything that a head names is immutable for the grace period, so one consistent read of the
//! head gives one consistent state, whatever happens meanwhile.
//!
//! Also here, because every function and the command line need the same answer: where our objects lie ([`names`]) and how
//! an applied configuration is read back ([`documents`]).
//!
//! Invariants: DL-9 (only the two hash columns of the history are read for the whole list), DL-10 (layers are aggregated
//! oldest to newest). Protocol rule 12: an incomplete version is an error, never an empty one; the caller starts again from the
//! head.
//!
//! What does not belong here: writing the head, deciding what to send.

mod base;
mod bulk;
mod digests;
pub mod documents;
mod error;
pub mod names;
mod new_head;
mod state;

pub use base::Base;
pub use digests::D;
pub use error::{Error, Result};
pub use new_head::new_head;
pub use state::{SyncState, Touched};
