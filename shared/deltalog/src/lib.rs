//! The deltalog: what changed since the destination last acknowledged, and who may do what about it.
//!
//! Per sync there is one **head** item that names the acknowledged state (a history file) and the log versions after it;
//! **log items**, one per changed record and version; a ledger of **runs** and **calls**; **rejects**, **ticks** and
//! **tombstones**. The crate is the port ([`Deltalog`]), the values that pass through it, a store in memory and one on
//! `DynamoDB`, and one conformance suite that both pass.
//!
//! Invariants kept here, at the write: DL-2 (only an outcome under one's own claim settles), DL-6 (every write is
//! repeatable by its caller), DL-7 (a head moves only from exactly the state that was read).
//!
//! What does not belong here: what to send (`driftless-changeset`), file formats (`driftless-history`), queues.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod dynamodb;
pub mod error;
pub mod head;
pub mod item;
pub mod ledger;
mod memory;
#[cfg(any(test, feature = "conformance"))]
mod metered;
pub mod port;
pub mod registry;

pub use dynamodb::DynamoDeltalog;
pub use error::{Error, Result};
pub use memory::MemoryDeltalog;
#[cfg(any(test, feature = "conformance"))]
pub use metered::Metered;
pub use port::Deltalog;
