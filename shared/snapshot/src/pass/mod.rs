//! The passes over a snapshot: digests for the join with D, and records for the changeset.

mod content;
mod digest;
mod entries;
mod fields;
mod files;
mod packed;
mod parts;
mod prefer;
mod records;
mod report;
mod rows;
mod shared;
mod states;
mod verify;

pub use digest::{Digested, View, digest};
pub use entries::{Digest, DigestRange, Digests};
pub use files::{Source, schema};
pub use packed::{PackedState, PackedStates};
pub use records::{Record, each_record, records};
pub use report::{Invalid, Report};
pub use states::{packed_states, states};
pub use verify::verify;
