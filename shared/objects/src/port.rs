use core::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use driftless_model::{Millis, ObjectVersion};

use crate::{Abandoned, Error, Result};

/// What the store says of one object version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Key, version id, entity tag and size.
    pub object: ObjectVersion,
    /// When this version was written (second precision on S3).
    pub modified: Millis,
}

/// One page-less listing: every object under a prefix.
pub type Listed = Vec<ObjectMeta>;

/// The result of a create-once write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// This call created the object.
    Created,
    /// An object of that name was there already. Because names are private to one attempt or are content addresses,
    /// it is our own earlier write or an equal one; the bytes are not compared.
    Existed,
}

/// An object of ours that is made while it is written, so that it need not be in memory whole.
#[async_trait]
pub trait Parts: Send {
    /// The next bytes, as many as there are; `None` when the object is complete.
    async fn next(&mut self) -> Result<Option<Bytes>, Abandoned>;
}

/// Access to one bucket. Every method is one I/O step: a crash may happen before or after it, never within.
#[async_trait]
pub trait Objects: Send + Sync {
    /// Metadata of `key`: of the version given, or of the newest.
    async fn head(&self, key: &str, version_id: Option<&str>) -> Result<ObjectMeta>;

    /// The bytes `range` of the very version named by `object`, less what lies beyond its end. Repeatable; several ranges
    /// may be read at a time.
    ///
    /// # Errors
    /// [`crate::Error::Replaced`] where the bucket has no versions and the entity tag differs.
    async fn read_range(&self, object: &ObjectVersion, range: Range<u64>) -> Result<Bytes>;

    /// All bytes of an object of ours.
    async fn read(&self, key: &str) -> Result<Bytes>;

    /// Creates an object of ours. Never overwrites (`If-None-Match: *`). Repeatable: a second call says `Existed`.
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Written>;

    /// As [`Objects::create`], with bytes that come in parts. The object appears whole or not at all: when the parts fail, when
    /// this future is dropped and when we die in between, nothing was created. Repeatable with another maker of the same bytes.
    ///
    /// # Errors
    /// [`Error::Abandoned`] with what the maker said.
    async fn create_from(&self, key: &str, parts: &mut dyn Parts) -> Result<Written> {
        let mut whole = Vec::new();
        while let Some(part) = next(key, parts).await? {
            whole.extend_from_slice(&part);
        }
        self.create(key, whole.into()).await
    }

    /// Every object whose key starts with `prefix`, in key order, newest versions only. A listing names no version ids:
    /// whoever takes an object up asks [`Objects::head`] for its version first.
    async fn list(&self, prefix: &str) -> Result<Listed>;

    /// Deletes an object of ours. Deleting what is not there succeeds.
    async fn delete(&self, key: &str) -> Result<()>;
}

/// The next part of an object, with the object's key in the error.
pub(crate) async fn next(key: &str, parts: &mut dyn Parts) -> Result<Option<Bytes>> {
    parts.next().await.map_err(|source| Error::Abandoned { key: key.to_owned(), source })
}
