use driftless_model::Disposition;

/// Why a call could not be worked on now. What the destination answers is not an error: it is an outcome, or the run parks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The table.
    #[error("the deltalog could not be used")]
    Deltalog(#[from] driftless_deltalog::Error),
    /// The changeset could not be read.
    #[error("the changeset could not be read")]
    History(#[from] driftless_history::Error),
    /// A configuration document could not be read.
    #[error("the configuration could not be read")]
    State(#[from] driftless_state::Error),
    /// What was read of the list could not be kept.
    #[error("the bucket could not be used")]
    Objects(#[from] driftless_objects::Error),
    /// A message could not be sent.
    #[error("a message could not be queued")]
    Queue(#[from] driftless_delivery::Error),
    /// A row's payload is not the JSON object that the planner wrote.
    #[error("row {row} of the changeset cannot be read")]
    Payload {
        /// Its number in the changeset.
        row: u64,
    },
}

impl Error {
    /// What the caller does next.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Deltalog(e) => e.disposition(),
            Self::History(e) => e.disposition(),
            Self::State(e) => e.disposition(),
            Self::Objects(e) => e.disposition(),
            Self::Queue(e) => e.disposition(),
            Self::Payload { .. } => Disposition::Fatal,
        }
    }
}
