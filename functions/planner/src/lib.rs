//! planner: from a tick to queued calls.
//!
//! Asked by the schedule, by ingest (on change) and by hand. It aggregates the uncommitted log versions, derives what differs
//! between D and A, checks the run's guard, joins the records with the very snapshot that was ingested for their payloads,
//! writes the changeset, and queues its calls.
//!
//! Invariants: DL-5 (one entry a record, the fewest calls), DL-6 (a tick makes at most one run), DL-7 (activation is checked
//! against everything the plan depends on), DL-8 (nine per cent a day must not empty a list in a week).
//!
//! What does not belong here: talking to destinations, moving A.

pub mod calls;
mod decision;
mod error;
mod handler;
mod payloads;
pub mod plan;
mod preview;
mod room;
mod setting;
pub mod strategy;

pub use error::Error;
pub use handler::{PlannerFunction, init};
pub use preview::Preview;
pub use room::Room;
