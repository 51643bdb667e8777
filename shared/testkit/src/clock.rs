use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use driftless_model::{Clock, Millis, Token, Tokens};

/// A clock that stands still until a test moves it. Whoever sleeps on it wakes when it is moved far enough.
#[derive(Debug)]
pub struct ManualClock(Mutex<Hands>);

#[derive(Debug)]
struct Hands {
    now: Millis,
    sleepers: Vec<(Millis, Waker)>,
}

impl ManualClock {
    /// Shows `at`.
    #[must_use]
    pub fn new(at: Millis) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Hands { now: at, sleepers: Vec::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Hands> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves it forward to `at`. It never goes back.
    pub fn set(&self, at: Millis) {
        let due: Vec<Waker> = {
            let mut hands = self.lock();
            hands.now = hands.now.max(at);
            let now = hands.now;
            let (due, rest) = core::mem::take(&mut hands.sleepers).into_iter().partition(|(at, _)| *at <= now);
            hands.sleepers = rest;
            let due: Vec<(Millis, Waker)> = due;
            due.into_iter().map(|(_, waker)| waker).collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// Moves it forward by a number of milliseconds.
    pub fn advance(&self, ms: i64) {
        self.set(self.now().plus(ms));
    }

    /// When the next sleeper wakes: where a simulation in which nothing happens any more moves the clock.
    pub fn next_sleeper(&self) -> Option<Millis> {
        self.lock().sleepers.iter().map(|(at, _)| *at).min()
    }

    /// Completes when the clock shows `at` or later.
    pub fn sleep_until(self: &Arc<Self>, at: Millis) -> impl Future<Output = ()> + Send + use<> {
        Sleep { clock: Arc::clone(self), at }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.lock().now
    }
}

struct Sleep {
    clock: Arc<ManualClock>,
    at: Millis,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut hands = self.clock.lock();
        if hands.now >= self.at {
            return Poll::Ready(());
        }
        hands.sleepers.push((self.at, cx.waker().clone()));
        Poll::Pending
    }
}

/// Tokens that count: `7f-000001`, `7f-000002`, … for the seed 0x7f. Two generators of different seeds never make the same.
#[derive(Debug)]
pub struct CountingTokens {
    seed: u64,
    made: AtomicU64,
}

impl CountingTokens {
    /// Starts at 1.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, made: AtomicU64::new(0) }
    }
}

impl Tokens for CountingTokens {
    fn token(&self) -> Token {
        let n = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        Token::new(format!("{:x}-{n:06}", self.seed))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::task::noop_waker;

    use super::*;

    #[test]
    fn a_sleeper_wakes_when_its_time_has_come() {
        let clock = ManualClock::new(Millis(100));
        let mut sleep = clock.sleep_until(Millis(200)).boxed();
        let mut poll = || sleep.poll_unpin(&mut Context::from_waker(&noop_waker()));
        assert!(poll().is_pending());
        assert_eq!(clock.next_sleeper(), Some(Millis(200)));
        clock.advance(99);
        assert!(poll().is_pending());
        clock.set(Millis(200));
        assert!(poll().is_ready());
        assert_eq!(clock.next_sleeper(), None);
        clock.set(Millis(0));
        assert_eq!(clock.now(), Millis(200));
    }

    #[test]
    fn tokens_sort_in_the_order_they_were_made() {
        let tokens = CountingTokens::new(0x7f);
        let (a, b) = (tokens.token(), tokens.token());
        assert_eq!((a.as_str(), b.as_str()), ("7f-000001", "7f-000002"));
        assert!(a < b);
    }
}
