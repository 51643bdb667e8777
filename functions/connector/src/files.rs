//! The buckets that destinations of files are written to.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use driftless_connector::{Buckets, FileTrouble, Files, OnlyIf, StoredFile};
use driftless_model::Meter;
use driftless_objects::{Condition, DropError, S3Drop};

/// S3, for whatever bucket a destination names. What the function may write to is the matter of its role.
pub struct S3Buckets<F> {
    open: F,
    meter: Meter,
}

/// One bucket of S3.
struct S3Files(S3Drop);

impl<F: Fn(&str) -> S3Drop> S3Buckets<F> {
    /// `open` makes the door to a bucket from a client that is there already.
    pub const fn new(open: F, meter: Meter) -> Self {
        Self { open, meter }
    }
}

impl<F: Fn(&str) -> S3Drop + Send + Sync> Buckets for S3Buckets<F> {
    fn bucket(&self, name: &str) -> Arc<dyn Files> {
        Arc::new(S3Files((self.open)(name).metered(self.meter.clone())))
    }
}

#[async_trait]
impl Files for S3Files {
    async fn read(&self, key: &str) -> Result<Option<StoredFile>, FileTrouble> {
        let found = self.0.read(key).await.map_err(trouble)?;
        Ok(found.map(|(bytes, etag)| StoredFile { bytes, etag }))
    }

    async fn write(
        &self,
        key: &str,
        bytes: Bytes,
        content_type: &'static str,
        only: OnlyIf<'_>,
    ) -> Result<bool, FileTrouble> {
        let condition = match only {
            OnlyIf::Absent => Condition::Absent,
            OnlyIf::Matches(etag) => Condition::Matches(etag),
            OnlyIf::Always => Condition::Always,
        };
        self.0.write(key, bytes, content_type, condition).await.map_err(trouble)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, FileTrouble> {
        self.0.list(prefix).await.map_err(trouble)
    }

    async fn delete(&self, key: &str) -> Result<(), FileTrouble> {
        self.0.delete(key).await.map_err(trouble)
    }
}

/// The client's own text stays out: it may have keys.
fn trouble(error: DropError) -> FileTrouble {
    match error {
        DropError::Refused { code } => FileTrouble::Denied { reason: code },
        DropError::Throttled => FileTrouble::Throttled { after: None },
        other => FileTrouble::NoAnswer { reason: other.to_string() },
    }
}
