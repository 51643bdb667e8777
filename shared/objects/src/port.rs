use core::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use driftless_model::{Millis, ObjectVersion};

use crate::Result;

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

    /// Every object whose key starts with `prefix`, in key order, newest versions only. A listing names no version ids:
    /// whoever takes an object up asks [`Objects::head`] for its version first.
    async fn list(&self, prefix: &str) -> Result<Listed>;

    /// Deletes an object of ours. Deleting what is not there succeeds.
    async fn delete(&self, key: &str) -> Result<()>;
}
