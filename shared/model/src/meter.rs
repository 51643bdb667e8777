//! Where usage is counted while work goes on.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Clock, Millis, SyncId, Usage};

/// Counts what this process uses. The stores count on it where a request is made, the function takes from it where it knows
/// on whose behalf the work was done. Clones count together. Counting is telemetry: it never fails and nothing waits for it.
#[derive(Clone, Default)]
pub struct Meter {
    inner: Arc<Inner>,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// The clock and the megabytes that its time is multiplied with.
    compute: Option<(Arc<dyn Clock>, u64)>,
}

#[derive(Default)]
struct State {
    counted: Usage,
    total: Usage,
    since: Millis,
    owed: BTreeMap<SyncId, Usage>,
}

impl Meter {
    /// Counts time too: each [`Self::take`] adds the time since the last one, times the function's memory. It begins now.
    #[must_use]
    pub fn timed(clock: Arc<dyn Clock>, memory_mb: u64) -> Self {
        let state = Mutex::new(State { since: clock.now(), ..State::default() });
        Self { inner: Arc::new(Inner { state, compute: Some((clock, memory_mb)) }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was used.
    pub fn count(&self, usage: Usage) {
        let mut state = self.state();
        state.counted += usage;
        state.total += usage;
    }

    /// Everything that was ever counted, taken or not; without time.
    #[must_use]
    pub fn total(&self) -> Usage {
        self.state().total
    }

    /// New work begins now. What was counted before and not taken belongs to nobody, and the time between was idle.
    pub fn begin(&self) {
        let mut state = self.state();
        state.counted = Usage::default();
        if let Some((clock, _)) = &self.inner.compute {
            state.since = clock.now();
        }
    }

    /// What was used since the last time, or since work began. It is counted for the taker and no longer here.
    #[must_use]
    pub fn take(&self) -> Usage {
        let mut state = self.state();
        let mut usage = core::mem::take(&mut state.counted);
        if let Some((clock, memory_mb)) = &self.inner.compute {
            let now = clock.now();
            let ms = u64::try_from(now.0.saturating_sub(state.since.0)).unwrap_or_default();
            usage.compute = usage.compute.saturating_add(ms.saturating_mul(*memory_mb));
            state.since = now;
        }
        usage
    }

    /// Remembers what no write has carried for the sync's next one, as long as this process lives.
    pub fn owe(&self, sync: &SyncId, usage: Usage) {
        *self.state().owed.entry(sync.clone()).or_default() += usage;
    }

    /// As [`Self::take`], with what is owed from earlier work for the same sync.
    #[must_use]
    pub fn take_for(&self, sync: &SyncId) -> Usage {
        let usage = self.take();
        usage + self.state().owed.remove(sync).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[derive(Default)]
    struct At(AtomicI64);

    impl Clock for At {
        fn now(&self) -> Millis {
            Millis(self.0.load(Ordering::Relaxed))
        }
    }

    fn one_get() -> Usage {
        Usage { gets: 1, ..Usage::default() }
    }

    #[test]
    fn what_is_taken_is_taken_once_and_clones_count_together() {
        let meter = Meter::default();
        meter.clone().count(one_get());
        meter.count(one_get());
        assert_eq!(meter.take(), Usage { gets: 2, ..Usage::default() });
        assert!(meter.take().is_nothing());
        meter.count(one_get());
        meter.begin();
        assert!(meter.take().is_nothing(), "what nobody took belongs to nobody");
        assert_eq!(meter.total().gets, 3);
    }

    #[test]
    fn time_is_counted_from_the_beginning_of_work_and_divides_among_the_takers() {
        let clock = Arc::new(At::default());
        let meter = Meter::timed(Arc::clone(&clock) as Arc<dyn Clock>, 512);
        let at = |ms| clock.0.store(ms, Ordering::Relaxed);
        at(40);
        assert_eq!(meter.take().compute, 40 * 512, "starting up is paid for");
        at(100_000);
        meter.begin();
        at(100_250);
        assert_eq!(meter.take().compute, 250 * 512);
        at(100_251);
        assert_eq!(meter.take().compute, 512);
        at(99_000);
        assert_eq!(meter.take().compute, 0, "a clock that was set back");
    }

    #[test]
    fn what_is_owed_waits_for_its_own_sync() {
        let meter = Meter::default();
        let (a, b): (SyncId, SyncId) = ("a".parse().unwrap(), "b".parse().unwrap());
        meter.count(one_get());
        meter.owe(&a, meter.take());
        meter.begin();
        assert!(meter.take_for(&b).is_nothing());
        meter.count(one_get());
        assert_eq!(meter.take_for(&a).gets, 2);
        assert!(meter.take_for(&a).is_nothing());
    }
}
