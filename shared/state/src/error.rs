use driftless_model::Disposition;

/// Why a sync's state could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The table.
    #[error("the deltalog could not be read")]
    Deltalog(#[from] driftless_deltalog::Error),
    /// The bucket.
    #[error("an object could not be read")]
    Objects(#[from] driftless_objects::Error),
    /// An object of ours does not have the form that we write.
    #[error("a state file could not be read")]
    History(#[from] driftless_history::Error),
    /// An applied configuration document cannot be read by this version of the product.
    #[error("the configuration document {object} cannot be read: {problem}; run `driftless apply` again")]
    Document {
        /// Object key.
        object: String,
        /// What is wrong.
        problem: String,
    },
    /// A record has no state although the history says that its state is uncertain: the residue is missing.
    #[error("the state of {count} uncertain records is undefined; run `driftless resync`")]
    Undefined {
        /// How many.
        count: usize,
    },
    /// Records that must be planned together are more than fit: see [`crate::Cut`].
    #[error("{records} records leave the list or change identifiers, and must be planned together")]
    CannotWait {
        /// How many.
        records: usize,
    },
}

/// The result of reading a state.
pub type Result<T, E = Error> = core::result::Result<T, E>;

impl Error {
    /// What the caller does next. An object that a head named and that is gone means that the head is old: start again.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Deltalog(e) => e.disposition(),
            Self::Objects(driftless_objects::Error::NotFound { .. })
            | Self::History(driftless_history::Error::Fetch {
                source: driftless_objects::Error::NotFound { .. },
                ..
            }) => Disposition::RETRY,
            Self::Objects(e) => e.disposition(),
            Self::History(e) => e.disposition(),
            Self::Document { .. } | Self::Undefined { .. } | Self::CannotWait { .. } => Disposition::Fatal,
        }
    }
}
