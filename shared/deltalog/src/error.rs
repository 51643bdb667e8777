//! Why the deltalog could not answer.

use driftless_model::Disposition;

/// Why the deltalog could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Items of a version ≠ its count: they were compacted or retired since the head was read (protocol rule 12).
    /// Start again from the head.
    #[error("version {version} has {found} of {expected} items")]
    Incomplete {
        /// The version.
        version: u64,
        /// Named in the head.
        expected: u64,
        /// Read.
        found: u64,
    },
    /// An item does not have the shape that this version of the product writes.
    #[error("item {item} cannot be read: {problem}")]
    Malformed {
        /// Its partition or kind, without record values.
        item: String,
        /// What is wrong.
        problem: String,
    },
    /// The item would pass the store's size limit.
    #[error("{what} does not fit into one item; {remedy}")]
    TooLarge {
        /// Which item.
        what: &'static str,
        /// What the user changes.
        remedy: &'static str,
    },
    /// We may not.
    #[error("access to the table is denied for {operation}; check the function's policy")]
    Denied {
        /// The API call.
        operation: &'static str,
    },
    /// The table does not exist.
    #[error("table {table} does not exist; is the stack deployed and the stage right?")]
    NoTable {
        /// Its name.
        table: String,
    },
    /// Throttled, or no answer. `reason` tells a hot partition from missing capacity.
    #[error("the table is not available for {operation} ({reason})")]
    Unavailable {
        /// The API call.
        operation: &'static str,
        /// The service's reason.
        reason: String,
        /// What the client said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// The result of a deltalog operation.
pub type Result<T, E = Error> = core::result::Result<T, E>;

impl Error {
    /// What the caller does next.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Incomplete { .. } | Self::Unavailable { .. } => Disposition::RETRY,
            Self::Malformed { .. } | Self::TooLarge { .. } => Disposition::Reject,
            Self::Denied { .. } | Self::NoTable { .. } => Disposition::Fatal,
        }
    }
}
