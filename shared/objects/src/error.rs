use driftless_model::Disposition;

/// Why an object could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such object, or not that version of it. The caller decides what its absence means.
    #[error("object {key} (version {version}) does not exist")]
    NotFound {
        /// The object key.
        key: String,
        /// The version id that was asked for, or `latest`.
        version: String,
    },
    /// The object is there, but is not the one that was named: its entity tag differs.
    #[error("object {key} was replaced since it was named")]
    Replaced {
        /// The object key.
        key: String,
    },
    /// We may not read or write it.
    #[error("access to {key} is denied; check the function's policy and the bucket's key policy")]
    Denied {
        /// The object key or prefix.
        key: String,
    },
    /// The bucket itself does not exist.
    #[error("bucket {bucket} does not exist; is the stack deployed and the stage right?")]
    NoBucket {
        /// Its name.
        bucket: String,
    },
    /// Whoever makes the object gave up half-way: nothing was created.
    #[error("object {key} was given up half-way")]
    Abandoned {
        /// The object key.
        key: String,
        /// Why, as its maker says.
        #[source]
        source: Abandoned,
    },
    /// The store did not answer, or answered that it cannot now.
    #[error("the object store is not available for {operation}")]
    Unavailable {
        /// The API call.
        operation: &'static str,
        /// What the client said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why an object that comes in parts will not be whole: the error of whoever makes it, to be taken back by `downcast`.
pub type Abandoned = Box<dyn std::error::Error + Send + Sync>;

/// The result of an object operation.
pub type Result<T, E = Error> = core::result::Result<T, E>;

impl Error {
    /// The error of whoever made an object that was given up, if this is one; else the error itself.
    ///
    /// # Errors
    /// Any other error, as it was.
    pub fn of_maker<E: std::error::Error + 'static>(self) -> Result<E> {
        match self {
            Self::Abandoned { key, source } => {
                source.downcast::<E>().map(|e| *e).map_err(|source| Self::Abandoned { key, source })
            }
            other => Err(other),
        }
    }

    /// What the caller does next.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::NotFound { .. } | Self::Replaced { .. } => Disposition::Reject,
            Self::Denied { .. } | Self::NoBucket { .. } => Disposition::Fatal,
            Self::Unavailable { .. } | Self::Abandoned { .. } => Disposition::RETRY,
        }
    }
}
