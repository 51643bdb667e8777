//! What travels in the queues, how it is sent, and how a batch of it is worked off.
//!
//! * [`Message`] is the contract between the functions: versioned JSON without personal data (names, numbers, row ranges).
//!   [`Incoming`] is what arrives at ingest: S3 notifications or a message of ours.
//! * [`Queue`] sends, in as few requests as both limits of SQS allow, and sends again what a batch answer lists as failed.
//!   [`SqsQueue`] is the real one, [`MemoryQueue`] the one of tests and simulation.
//! * [`drive_batch`] works off one invocation's records and answers which of them failed.
//!
//! Invariants: a queue only ever triggers work that is claimed elsewhere, so a message twice, late or out of order changes
//! nothing more (DL-6). A record that cannot be read is put aside with its reason and acknowledged; it never costs another
//! record of its batch. A record is acknowledged only after its handler said `Done` or its rejection was stored.
//!
//! What does not belong here: what a message makes a function do, and reading or writing any state.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod batch;
mod error;
mod event;
pub mod limits;
mod memory;
mod message;
mod notification;
mod queue;
mod sqs;

pub use batch::{Batch, BatchResponse, Handler, RejectSink, SinkError, Verdict, drive_batch};
pub use error::{Error, Malformed, Result};
pub use event::{Record, records};
pub use memory::{MemoryMessage, MemoryQueue};
pub use message::Message;
pub use notification::{Incoming, S3Change, parse_notification};
pub use queue::{Outgoing, Queue, sending};
pub use sqs::SqsQueue;
