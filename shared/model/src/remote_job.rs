use serde::{Deserialize, Serialize};

use crate::Millis;

/// Work that a destination took on and will tell of later, in the words by which it is asked for. Opaque; it holds no
/// personal data, and at most [`RemoteJob::LONGEST`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemoteJob(String);

/// Text that is too long, or empty, to name a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job is named by 1 to {} bytes", RemoteJob::LONGEST)]
pub struct InvalidJob;

impl RemoteJob {
    /// The most bytes of a job's text: it is kept in the item of its call.
    pub const LONGEST: usize = 1_024;

    /// A job from its text.
    ///
    /// # Errors
    /// [`InvalidJob`]: empty, or too long to keep.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidJob> {
        let text = text.into();
        if text.is_empty() || text.len() > Self::LONGEST { Err(InvalidJob) } else { Ok(Self(text)) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RemoteJob {
    type Error = InvalidJob;

    fn try_from(text: String) -> Result<Self, InvalidJob> {
        Self::new(text)
    }
}

impl From<RemoteJob> for String {
    fn from(job: RemoteJob) -> Self {
        job.0
    }
}

/// A job that was accepted and not heard of to its end, with the rows that it is about. Accepted is not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// What the destination is asked by.
    pub job: RemoteJob,
    /// The rows of the call, ascending. Empty for a call without rows.
    pub rows: Vec<u32>,
    /// When it was accepted.
    pub since: Millis,
    /// Nothing is expected of it any more after this: its rows are unknown, and their run may close.
    pub until: Millis,
    /// It is not asked for before this.
    pub poll_at: Millis,
    /// How often it was asked for; the next wait grows with it.
    #[serde(default)]
    pub polls: u32,
}

impl InFlight {
    /// True while it may still end: nothing that it is about may be sent in another run (protocol rule 16).
    #[must_use]
    pub fn lives(&self, now: Millis) -> bool {
        now < self.until
    }
}
