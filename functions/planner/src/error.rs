use driftless_model::Disposition;
use driftless_state::room::DoesNotFit;

/// Why a run could not be planned now.
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
    /// A changeset or hold could not be written.
    #[error("a file of ours could not be built or read")]
    History(#[from] driftless_history::Error),
    /// The snapshot's objects could not be read now.
    #[error("the snapshot could not be read")]
    Snapshot(#[from] driftless_snapshot::ReadError),
    /// The newest snapshot could not be looked up.
    #[error("the newest snapshot could not be looked up")]
    Locate(#[from] driftless_snapshot::locate::LocateError),
    /// A message could not be sent.
    #[error("a message could not be queued")]
    Queue(#[from] driftless_delivery::Error),
    /// The plan, or the commit of what would be planned, does not fit its function. A person must act; the next tick finds out
    /// whether somebody has.
    #[error(transparent)]
    DoesNotFit(#[from] DoesNotFit),
    /// The destination of the sync is not registered.
    #[error("destination {destination} is not registered; run `driftless apply`")]
    NoDestination {
        /// Its name.
        destination: String,
    },
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
            Self::Snapshot(e) => e.disposition(),
            Self::Locate(_) => Disposition::RETRY,
            Self::Queue(e) => e.disposition(),
            Self::DoesNotFit(_) | Self::NoDestination { .. } => Disposition::Fatal,
        }
    }
}
