//! The passes over a snapshot: digests for the join with D, and records for the changeset.

mod content;
mod dictionary;
mod digest;
mod entries;
mod fields;
mod files;
mod kept;
mod known;
mod merged;
mod packed;
mod parts;
mod prefer;
mod pruned;
mod records;
mod report;
mod rows;
mod shared;
mod sift;
mod states;
mod verify;

pub use digest::{Digested, Outcome, Sifted, View, digest, digest_against};
pub use entries::{Digest, DigestRange, Digests};
pub use files::{Source, schema};
pub use known::{Known, KnownRange, KnownSpan, Unchanged, Walk};
pub use packed::{PackedState, PackedStates};
pub use records::{Record, each_record, records};
pub use report::{Invalid, Report};
pub use sift::can_sift;
pub use states::{packed_states, states};
pub use verify::verify;
