use crate::{Millis, Token};

/// The time, as the edges inject it. Nothing below `runtime` reads a clock.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Millis;
}

/// Where private tokens and run ids come from. Nothing below `runtime` draws randomness.
pub trait Tokens: Send + Sync {
    /// A token that no other attempt has: short, URL- and key-safe, sorting by creation time.
    fn token(&self) -> Token;
}
