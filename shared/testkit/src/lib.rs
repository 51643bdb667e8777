//! What tests are made of: time and tokens that a test controls, snapshots and events as they really look, and ports that
//! crash, fail and interleave on command.
//!
//! * [`ManualClock`], [`CountingTokens`], [`Random`]: nothing depends on the machine; a seed replays a run exactly.
//! * [`Snapshot`] writes small Parquet files; [`events`] builds what S3 and SQS send.
//! * [`Steps`] makes every call of a port a step that a hook can let pass, fail, or crash before or after ([`StepDeltalog`],
//!   [`StepObjects`], [`StepQueue`]); [`Executor`] polls the functions of a simulation in an order drawn from a seed.
//!
//! A crash is a future that never completes again and is dropped: what was written stays written, what was not is lost,
//! just as when Lambda kills a function.
//!
//! What does not belong here: expectations about the product. This crate is for `dev-dependencies` and the test package.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod clock;
mod deltalog;
pub mod events;
mod executor;
mod objects;
mod queue;
mod random;
mod snapshot;
mod steps;

pub use clock::{CountingTokens, ManualClock};
pub use deltalog::StepDeltalog;
pub use executor::{Ended, Executor, How, TaskId};
pub use objects::StepObjects;
pub use queue::StepQueue;
pub use random::Random;
pub use snapshot::{Cell, Kind, Snapshot};
pub use steps::{Hook, Life, Next, Point, Steps, Visits, When, yield_now};
