//! Invocations as tasks that are polled by hand.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, PoisonError};

use driftless_model::Millis;
use driftless_testkit::{Hook, Life, Point, Steps, Visits, When};

use crate::faults::Faults;

/// Names an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId(pub(crate) u64);

/// Where an invocation is.
pub(crate) type Whereabouts = Arc<Mutex<Option<(Point, When)>>>;

/// One invocation.
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) name: String,
    pub(crate) started: Millis,
    pub(crate) life: Life,
    pub(crate) at: Whereabouts,
    pub(crate) future: Pin<Box<dyn Future<Output = ()>>>,
}

impl Task {
    /// Polls it once. True when it has ended, by itself or by a crash.
    pub(crate) fn poll(&mut self) -> bool {
        let ready = self.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        matches!(ready, Poll::Ready(())) || self.life.is_dead()
    }

    /// The step that it passed last.
    pub(crate) fn passed(&self) -> Option<(Point, When)> {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The steps of one invocation, which tell where it is.
pub(crate) fn steps(
    function: &'static str,
    life: &Life,
    at: &Whereabouts,
    faults: &Arc<Faults>,
    visits: &Visits,
) -> Steps {
    let (at, faults) = (Arc::clone(at), Arc::clone(faults));
    let hook: Hook = Arc::new(move |point, when| {
        *at.lock().unwrap_or_else(PoisonError::into_inner) = Some((point, when));
        faults.decide(point, when)
    });
    Steps::new(function, life.clone(), hook, visits.clone())
}
