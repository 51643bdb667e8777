//! The passes over a snapshot: digests for the join with D, and records for the changeset.

mod digest;
mod entries;
mod fields;
mod files;
mod prefer;
mod records;
mod report;
mod rows;
mod shared;
mod verify;

pub use digest::{Digest, Digested, View, digest};
pub use files::{Source, schema};
pub use records::{Record, records};
pub use report::{Invalid, Report};
pub use verify::verify;
