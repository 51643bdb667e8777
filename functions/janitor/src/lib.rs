//! janitor: commits runs, folds them into the history, and repairs what a crash left.
//!
//! Asked when a run's phase has settled, and every 15 minutes for every sync. It is the only one that moves A: a settled or
//! closed run becomes a delta, or a new history file with its residue. It queues the calls of the next phase, resumes parked
//! runs (the probe of a destination that was away), closes overtaken ones, merges long chains of uncommitted versions, stamps and
//! expires the items of retired versions and deletes, after a grace period, what nobody refers to.
//!
//! Invariants: DL-2, DL-3 (through `driftless-changeset`'s `settle` and `residue`), DL-7 (closing waits for claims in flight).
//! Every step is repeatable: sweeps may run at the same time.
//!
//! What does not belong here: deciding what to send, talking to destinations.

mod commit;
mod compact;
mod error;
mod fits;
mod go_on;
mod handler;
mod sweep;

pub use compact::{Compacting, mergeable};
pub use error::Error;
pub use handler::init;
pub use sweep::{Folding, Janitor, Keeping, Swept};
