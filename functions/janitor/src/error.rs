use driftless_model::Disposition;

/// Why a sweep could not go on now. Everything it had written stands; the next sweep goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The table.
    #[error("the deltalog could not be used")]
    Deltalog(#[from] driftless_deltalog::Error),
    /// The bucket.
    #[error("the bucket could not be used")]
    Objects(#[from] driftless_objects::Error),
    /// A sync's state or configuration.
    #[error("a sync's state could not be read")]
    State(#[from] driftless_state::Error),
    /// A state file could not be built or read.
    #[error("a state file could not be built or read")]
    History(#[from] driftless_history::Error),
    /// A message could not be sent.
    #[error("a message could not be queued")]
    Queue(#[from] driftless_delivery::Error),
    /// The function's own time is over: nobody swaps a head after their deadline (protocol rule 12).
    #[error("the function's time is over before the head could be swapped; raise its timeout or memory")]
    Deadline,
}

impl Error {
    /// What the caller does next.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Deltalog(e) => e.disposition(),
            Self::Objects(e) => e.disposition(),
            Self::State(e) => e.disposition(),
            Self::History(e) => e.disposition(),
            Self::Queue(e) => e.disposition(),
            Self::Deadline => Disposition::RETRY,
        }
    }
}
