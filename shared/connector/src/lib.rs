//! Connectors: the code that talks to the remote systems, and the stack around it.
//!
//! A *destination* is a remote system as a file under `destinations/` describes it; its *kind* says which code talks to it.
//! [`build`] makes the [`Connector`] of one list; [`drive`] delivers a call through it: paced, retried, bisected, never past
//! its deadline. [`capabilities_of`] says what a destination can do, without secrets or network, for the planner.
//!
//! ```text
//!  drive ── slot ──► Pacer (the rate budget that all invocations share)
//!    │
//!    ├─ send ──► Connector (rest, scim) ──► HTTP session ──► the destination
//!    │             rows → requests            login, limits, which failures
//!    │             answers → outcomes         exclude that it was applied
//!    └─ outcomes per row, and why it stopped
//! ```
//!
//! # What holds
//!
//! * DL-2 (no early commit): `Delivered` is said only of a row whose request, or whose own result, the destination
//!   acknowledged. An answer that cannot be read acknowledges nothing.
//! * DL-3 (nothing lost): every row of a call gets an outcome.
//! * DL-4 (remove what was sent): a removal sends the identifiers it is given and no others.
//! * Protocol rule 4: a rejection after an attempt that may have been applied is `Unknown`.
//! * Protocol rule 16: no request starts that could still run when the claim ends.
//! * No value of a record, no identifier and no secret appears in a reason, an error, a log or a debug output.
//!
//! # What does not belong here
//!
//! Queues, claims and stores: a connector does not know that SQS feeds it. Normalisation: rows come as they are to be sent.
//! Clocks, randomness and tasks: time comes through [`driftless_model::Clock`], waiting through [`Pacer`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod budget;
mod build;
mod capability;
#[cfg(feature = "conformance")]
pub mod conformance;
mod contract;
mod digest;
mod drive;
mod file;
mod google_data_manager;
mod http;
mod hubspot;
mod klaviyo;
mod meta;
mod outcomes;
mod pacer;
mod ports;
mod reason;
mod recipe;
mod rest;
mod scim;
mod secrets;
mod token;
mod webhook;

pub use build::{BuildError, build, build_with, capabilities_of};
pub use capability::{Acknowledges, Capabilities, Limits, Replace};
pub use contract::{
    Answer, Answered, Batch, CheckStep, Connector, Failure, Gate, ListState, NoSlot, Open, OutRow, Page,
};
pub use driftless_model::{InFlight, Member, RemoteJob as Job, Session};
pub use drive::{Driven, Forget, Jobs, KeepJobs, Kept, NotKept, ReadPage, Stop, Work, drive, read_page};
pub use file::{Buckets, FileTrouble, Files, OnlyIf, StoredFile};
pub use http::HttpPolicy;
pub use pacer::{Pacer, PacerError};
pub use ports::Ports;
pub use secrets::{FetchedSecrets, MissingSecret, Secrets};
pub use token::{LocalTokens, TokenClaim, TokenItem, TokenSharing, TokenStore, TokenStoreError};
