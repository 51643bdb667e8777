//! connector: drains the queue of one destination.
//!
//! One deployed function and one queue per destination. A message names a call of a run: a row range of a changeset. The
//! function claims the call, waits for the destination's shared rate budget, sends the rows and writes down what became of
//! each of them, once. What the destination does not answer stays open in the ledger. It also retires lists that others took the
//! place of.
//!
//! Invariants: DL-2 (an outcome is what the destination acknowledged), DL-6 (a message twice, late or at the same time finds the
//! call claimed or settled), DL-7 (the run is read again after the claim; nothing is sent for one that is closing).
//!
//! What does not belong here: what to send (planner), what an outcome means for the list (janitor), how an API is spoken to
//! (`driftless-connector`).

mod budget;
mod clear;
mod deliver;
mod error;
mod files;
mod handler;
mod new_list;
mod reading;
mod seats;
mod split;
mod tokens;

pub use budget::{BudgetItem, SharedBudget, Sleep};
pub use deliver::{Delivered, Delivery, Timing};
pub use error::Error;
pub use files::S3Buckets;
pub use handler::init;
pub use new_list::{Retired, list_of, retire};
pub use seats::Seats;
pub use tokens::DeltalogTokens;
