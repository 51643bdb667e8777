use driftless_model::Disposition;

use driftless_snapshot::locate::LocateError;

/// Why a snapshot could not be taken up now. What is wrong with the snapshot or with one sync is not an error: it is recorded
/// and acknowledged.
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
    /// A state file could not be written.
    #[error("a state file could not be built")]
    History(#[from] driftless_history::Error),
    /// The snapshot cannot be put together.
    #[error("the snapshot could not be located")]
    Locate(#[from] LocateError),
    /// The snapshot's objects could not be read now.
    #[error("the snapshot could not be read")]
    Snapshot(#[from] driftless_snapshot::SnapshotError),
    /// The changed records could not be read again.
    #[error("the changed records could not be read")]
    Records(#[from] driftless_snapshot::ReadError),
    /// A message could not be sent.
    #[error("a message could not be queued")]
    Queue(#[from] driftless_delivery::Error),
    /// Other writers moved the heads again and again.
    #[error("{syncs} syncs were changed by others meanwhile; the message comes back")]
    Contended {
        /// How many.
        syncs: usize,
    },
    /// The function's own time is over: nobody swaps a head after their deadline (protocol rule 12).
    #[error("the function's time is over before the head could be swapped; raise its timeout or memory")]
    Deadline,
    /// A changed record was in the first pass over the snapshot and not in the second.
    #[error("{missing} changed records were not found again in the snapshot")]
    Vanished {
        /// How many.
        missing: usize,
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
            Self::Locate(e) if e.is_refusal() => Disposition::Reject,
            Self::Locate(_) => Disposition::RETRY,
            Self::Snapshot(e) => e.disposition(),
            Self::Records(e) => e.disposition(),
            Self::Queue(e) => e.disposition(),
            Self::Contended { .. } | Self::Deadline | Self::Vanished { .. } => Disposition::RETRY,
        }
    }
}
