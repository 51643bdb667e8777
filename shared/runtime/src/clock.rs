use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use driftless_model::{Clock, Millis, Token, Tokens};
use ulid::Ulid;

/// The time of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that reads the clock
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Tokens of 26 characters: 48 bits of time, then 80 random bits (ULID). They sort by the millisecond they were made in.
pub struct UlidTokens {
    clock: Arc<dyn Clock>,
}

impl UlidTokens {
    /// Dated by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl Tokens for UlidTokens {
    fn token(&self) -> Token {
        let ms = u64::try_from(self.clock.now().0).unwrap_or_default();
        Token::new(Ulid::from_parts(ms, rand::random()).to_string().to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_sort_by_time() {
        struct At(i64);
        impl Clock for At {
            fn now(&self) -> Millis {
                Millis(self.0)
            }
        }
        let token = |at| UlidTokens::new(Arc::new(At(at))).token();
        assert_ne!(token(5), token(5));
        assert!(token(5) < token(6) && token(31) < token(32));
        assert!(token(7).as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        assert!(SystemClock.now().0 > 1_700_000_000_000);
    }
}
