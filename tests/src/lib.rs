//! The simulation of Driftless: its four functions, as they are, on stores in memory, under every kind of misfortune, with the
//! invariants DL-1 to DL-8 checked against what really happened.
//!
//! * [`World`] holds one simulation: time stands still until it is moved, every access of a port is a step, and every
//!   invocation is a task that can be paused, killed and resumed between any two steps.
//! * [`history`] makes a random history from a seed; the traces of the protocol are written by hand on the same world.
//! * [`Ghosts`] remember what the destination was really sent and check every swap of a head.
//! * [`Forgotten`] and `driftless_changeset::switch_off` take single rules away, to see that each is needed.
//!
//! What does not belong here: a model of the product. What runs is the product's own code.

// A world panics where a test of its own is wrong, never on what the product does.
#![allow(clippy::missing_panics_doc)]

use core::task::{Context, Poll};

mod dataset;
mod faults;
mod functions;
mod ghosts;
pub mod history;
mod invoke;
mod list;
mod named;
mod scenes;
mod store;
mod swaps;
mod task;
mod world;

pub use dataset::{Mapping, People, Person, Replaces, Settings, key_hash, people, person};
pub use faults::Faults;
pub use ghosts::Ghosts;
pub use list::{Mood, Remote};
pub use store::Forgotten;
pub use task::TaskId;
pub use world::{Setup, World};

/// The result of a future that waits for nobody: the stores in memory are ready at the first poll.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = core::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(core::task::Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a store in memory made somebody wait"),
    }
}
