//! Objects in the bucket, as the rest of the product sees them.
//!
//! Two kinds of object exist. The user's, under `datasets/`: read by the very version that an event or a listing named,
//! never written. Ours, under `history/`, `changesets/`, `reports/` and `config/`: written once
//! (`If-None-Match: *`), never changed, deleted only by the janitor after a grace period; a table item points at the
//! current one. Whoever wants to overwrite an object of ours is wrong. Files that a destination consists of are neither, and
//! have a door of their own ([`S3Drop`]).
//!
//! What does not belong here: what the bytes mean, and any decision about which object is current.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod drop;
mod error;
mod memory;
mod port;
mod s3;

pub use drop::{Condition, DropError, S3Drop};
pub use error::{Abandoned, Error, Result};
pub use memory::MemoryObjects;
pub use port::{Listed, ObjectMeta, Objects, Parts, Written};
pub use s3::S3Objects;
