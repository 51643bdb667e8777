//! ingest: from a new object in the bucket to a new log version of every sync of its dataset.
//!
//! Fed by S3 notifications through SQS, and by requests of ours (`apply`, a tick that saw no newer version). It finds out which
//! snapshot an object announces, reads it once for all syncs of the dataset, joins it with each sync's D and appends what
//! changed (US 2025/0265237, FIG. 4): as log items, or, where that is too much, as a file with all of D (the new base version of
//! the change-log filing of 2000). An unchanged snapshot costs one write.
//!
//! Invariants: DL-6 (the head is the claim: duplicate, late and replayed events find the snapshot seen), DL-7 (versions are
//! checked at the write), DL-8 (what a guard holds is named in the head), DL-9 (bounded memory).
//!
//! What does not belong here: deciding what to send, talking to destinations.

mod bulk;
mod error;
pub mod guards;
mod handler;
mod join;
mod take_up;
mod time;

pub use bulk::Bulk;
pub use error::Error;
pub use handler::{IngestFunction, init};
pub use take_up::{Ingest, Taken};
pub use time::Pace;
