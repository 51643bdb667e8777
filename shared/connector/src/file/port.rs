use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

/// The buckets that a connector may write to.
pub trait Buckets: Send + Sync {
    /// One of them. No I/O happens.
    fn bucket(&self, name: &str) -> Arc<dyn Files>;
}

/// Files in one bucket. A file appears whole or not at all. Every method is one request, and repeatable.
#[async_trait]
pub trait Files: Send + Sync {
    /// A file; `None` if there is none of that key.
    async fn read(&self, key: &str) -> Result<Option<StoredFile>, FileTrouble>;

    /// Writes a file, if the condition holds at the write. False: it does not, and nothing was written.
    async fn write(
        &self,
        key: &str,
        bytes: Bytes,
        content_type: &'static str,
        only: OnlyIf<'_>,
    ) -> Result<bool, FileTrouble>;

    /// The keys that begin with `prefix`, in order.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, FileTrouble>;

    /// Deletes a file. One that is gone already is deleted.
    async fn delete(&self, key: &str) -> Result<(), FileTrouble>;
}

/// When a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlyIf<'a> {
    /// There is none of that key.
    Absent,
    /// It is still the one with this entity tag.
    Matches(&'a str),
    /// In any case.
    Always,
}

/// A file and its entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its bytes.
    pub bytes: Bytes,
    /// Changes with every write.
    pub etag: String,
}

/// Why a bucket did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileTrouble {
    /// The bucket is not there, or we may not.
    #[error("the bucket refuses us: {reason}")]
    Denied {
        /// Why, without keys.
        reason: String,
    },
    /// Too many requests; nothing was done.
    #[error("the bucket is throttling")]
    Throttled {
        /// The wait that was asked for.
        after: Option<Duration>,
    },
    /// It may have been done.
    #[error("the bucket did not answer: {reason}")]
    NoAnswer {
        /// Why, without keys.
        reason: String,
    },
}
