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
    /// What it is a part of.
    whole: Option<Meter>,
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
        Self { inner: Arc::new(Inner { state, compute: Some((clock, memory_mb)), whole: None }) }
    }

    /// A meter for one of several pieces of work that go on at once. What is counted on it is taken from it alone. Time, and what
    /// else the whole counts on nobody's behalf, is taken with it by whichever part takes first: each once, so that the sums are right.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { inner: Arc::new(Inner { whole: Some(self.clone()), ..Inner::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was used.
    pub fn count(&self, usage: Usage) {
        if let Some(whole) = &self.inner.whole {
            whole.state().total += usage;
        }
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
        drop(state);
        usage + self.inner.whole.as_ref().map(Self::take).unwrap_or_default()
    }

    /// Remembers what no write has carried for the sync's next one, as long as this process lives.
    pub fn owe(&self, sync: &SyncId, usage: Usage) {
        let lasting = self.inner.whole.as_ref().unwrap_or(self);
        *lasting.state().owed.entry(sync.clone()).or_default() += usage;
    }

    /// As [`Self::take`], with what is owed from earlier work for the same sync.
    #[must_use]
    pub fn take_for(&self, sync: &SyncId) -> Usage {
        let usage = self.take();
        let lasting = self.inner.whole.as_ref().unwrap_or(self);
        usage + lasting.state().owed.remove(sync).unwrap_or_default()
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
    fn parts_take_what_is_their_own_and_whoever_is_first_what_is_nobodys() {
        let clock = Arc::new(At::default());
        let whole = Meter::timed(Arc::clone(&clock) as Arc<dyn Clock>, 512);
        let (a, b) = (whole.part(), whole.part());
        a.count(one_get());
        b.count(one_get() + one_get());
        whole.count(Usage { puts: 1, ..Usage::default() });
        clock.0.store(10, Ordering::Relaxed);
        assert_eq!(b.take(), Usage { gets: 2, puts: 1, compute: 10 * 512, ..Usage::default() });
        assert_eq!(a.take(), one_get());
        assert_eq!((whole.total().gets, whole.total().puts), (3, 1));
        let sync: SyncId = "a".parse().unwrap();
        a.owe(&sync, one_get());
        drop(a);
        assert_eq!(b.take_for(&sync), one_get(), "what a part owes outlives it");
        assert!(whole.take_for(&sync).is_nothing());
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
