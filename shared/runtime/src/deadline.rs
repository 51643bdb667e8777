use core::time::Duration;

use driftless_model::{Clock, Millis};

/// When an invocation ends. A function that is killed loses the answer for its whole batch, so work stops a margin earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The function is killed at this time.
    pub at: Millis,
    /// No new work is begun, and nothing that must be finished is started, at or after this time.
    pub stop_at: Millis,
}

impl Deadline {
    /// The deadline of an invocation that begins `now`: the margin is a tenth of its time, between 1 and 10 seconds.
    #[must_use]
    pub fn new(now: Millis, at: Millis) -> Self {
        let time = at.0.saturating_sub(now.0).max(0);
        let margin = (time / 10).clamp(1_000, 10_000);
        Self { at, stop_at: Millis(at.0.saturating_sub(margin)) }
    }

    /// Time until work should stop; zero after it.
    #[must_use]
    pub fn left(&self, clock: &dyn Clock) -> Duration {
        let ms = self.stop_at.0.saturating_sub(clock.now().0);
        Duration::from_millis(u64::try_from(ms).unwrap_or_default())
    }

    /// Time to stop.
    #[must_use]
    pub fn is_near(&self, clock: &dyn Clock) -> bool {
        clock.now() >= self.stop_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_grows_with_the_time_there_is() {
        let stop = |seconds: i64| Deadline::new(Millis(0), Millis(seconds * 1000)).stop_at.0;
        assert_eq!([stop(3), stop(30), stop(900)], [2_000, 27_000, 890_000]);
    }
}
