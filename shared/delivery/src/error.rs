use driftless_model::Disposition;

/// Why messages could not be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Some messages were not accepted, even when they were sent again; the others were. Sending all again is harmless.
    #[error("{} of {of} messages were not accepted ({reason})", .failed.len())]
    NotSent {
        /// Positions in the slice that was given, ascending.
        failed: Vec<usize>,
        /// Messages given.
        of: usize,
        /// The service's code for the first of them.
        reason: String,
    },
    /// A message is larger than ours may be. Nothing was sent.
    #[error("message {at} has {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its position in the slice that was given.
        at: usize,
        /// Its size.
        bytes: usize,
        /// See [`crate::limits::MESSAGE_BYTES`].
        limit: usize,
    },
    /// There is no such queue.
    #[error("queue {queue} does not exist; is the stack deployed and the stage right?")]
    NoQueue {
        /// Its name or URL.
        queue: String,
    },
    /// We may not.
    #[error("access to the queue is denied for {operation}; check the function's policy")]
    Denied {
        /// The API call.
        operation: &'static str,
    },
    /// No answer, or one that says to try later.
    #[error("the queue is not available for {operation}")]
    Unavailable {
        /// The API call.
        operation: &'static str,
        /// What the client said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The result of a queue operation.
pub type Result<T, E = Error> = core::result::Result<T, E>;

impl Error {
    /// What the caller does next.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::NotSent { .. } | Self::Unavailable { .. } => Disposition::RETRY,
            Self::TooLarge { .. } => Disposition::Reject,
            Self::NoQueue { .. } | Self::Denied { .. } => Disposition::Fatal,
        }
    }
}

/// Why a body is not a message. Tells what is wrong without its content; always a reject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The record has no body.
    #[error("the record has no body")]
    NoBody,
    /// Not JSON, or not an object.
    #[error("the body is not a JSON object")]
    NotJson,
    /// Neither a message of ours nor an S3 notification.
    #[error("the body is neither a message of this product nor an S3 notification")]
    Unrecognised,
    /// Written by a newer version of the product.
    #[error("the message has version {found}; this version reads up to {known}")]
    NewerVersion {
        /// Its version.
        found: u64,
        /// The newest that we read.
        known: u32,
    },
    /// A kind that this version does not know.
    #[error("the kind of the message is not known")]
    UnknownKind,
    /// A known kind that some other function handles.
    #[error("a message of kind {kind} does not belong into this queue")]
    WrongQueue {
        /// The kind.
        kind: &'static str,
    },
    /// A field is missing or of another type.
    #[error("the message of kind {kind} lacks a field, or one has another type")]
    Shape {
        /// Its kind.
        kind: &'static str,
    },
    /// An S3 notification without the parts that are needed.
    #[error("record {at} of the S3 notification: {problem}")]
    Notification {
        /// From 0.
        at: usize,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Malformed {
    /// A malformed body will never be read: reject.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        Disposition::Reject
    }
}
