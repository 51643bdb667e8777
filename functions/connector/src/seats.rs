//! How many calls are in flight at once.

use core::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// This process's share of the calls that a destination allows at once (its setting `concurrency`).
///
/// As many processes run as the stack's parameter `Concurrency` allows, and each keeps to its share, so that all together keep to
/// the whole without asking each other. More processes than calls cannot: then each has one, and a warning says so.
pub struct Seats {
    processes: NonZeroU16,
    /// With what the destination allows.
    kept: Mutex<Option<(NonZeroU16, Arc<Semaphore>)>>,
}

impl Seats {
    /// No more than `processes` run at once.
    #[must_use]
    pub const fn new(processes: NonZeroU16) -> Self {
        Self { processes, kept: Mutex::new(None) }
    }

    /// Waits for a seat, which is free again when the answer is dropped. Without a limit nobody waits.
    pub async fn take(&self, allowed: Option<NonZeroU16>) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.of(allowed?).acquire_owned().await.ok()
    }

    fn of(&self, allowed: NonZeroU16) -> Arc<Semaphore> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, seats)) = kept.as_ref().filter(|(of, _)| *of == allowed) {
            return Arc::clone(seats);
        }
        if allowed < self.processes {
            tracing::warn!(
                concurrency = allowed.get(),
                invocations = self.processes.get(),
                "more invocations may run than the destination allows calls at once: lower the parameter Concurrency of its stack"
            );
        }
        let share = (allowed.get() / self.processes).max(1);
        let seats = Arc::new(Semaphore::new(share.into()));
        *kept = Some((allowed, Arc::clone(&seats)));
        seats
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn number(n: u16) -> NonZeroU16 {
        NonZeroU16::new(n).expect("not zero")
    }

    /// How many seats there are at once, up to 20.
    fn seats(processes: u16, allowed: Option<u16>) -> usize {
        let seats = Seats::new(number(processes));
        let taken: Vec<_> = (0..20).map_while(|_| seats.take(allowed.map(number)).now_or_never()).collect();
        taken.len()
    }

    #[test]
    fn all_processes_together_keep_to_what_the_destination_allows() {
        assert_eq!(seats(2, Some(10)), 5);
        assert_eq!(seats(4, Some(10)), 2);
        assert_eq!(seats(1, Some(10)), 10);
        assert_eq!(seats(4, Some(2)), 1, "nobody is without a seat");
        assert_eq!(seats(4, None), 20, "no limit");
    }

    #[test]
    fn a_seat_is_free_again_when_its_call_is_over_and_a_new_limit_counts_for_who_comes() {
        let seats = Seats::new(number(2));
        let first = seats.take(Some(number(2))).now_or_never();
        assert!(first.is_some());
        assert!(seats.take(Some(number(2))).now_or_never().is_none());
        drop(first);
        assert!(seats.take(Some(number(2))).now_or_never().is_some());
        let more: Vec<_> = (0..3).map_while(|_| seats.take(Some(number(6))).now_or_never()).collect();
        assert_eq!(more.len(), 3);
    }
}
