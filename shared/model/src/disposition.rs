use core::time::Duration;

/// What the caller of a failed operation does next. Every error type of the product answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The same call may succeed later: try again, not before `after` if it is given.
    Retry {
        /// The wait that the other side asked for.
        after: Option<Duration>,
    },
    /// This input will never succeed: put it aside with its reason and go on with the rest.
    Reject,
    /// Nothing of this kind will succeed until a person or the janitor acts: stop, keep the work.
    Fatal,
}

impl Disposition {
    /// A retry without a stated wait.
    pub const RETRY: Self = Self::Retry { after: None };

    /// True when trying again is the answer.
    #[must_use]
    pub const fn is_retry(self) -> bool {
        matches!(self, Self::Retry { .. })
    }
}
