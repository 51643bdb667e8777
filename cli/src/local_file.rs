//! A Parquet file on this machine, seen as an object, so that `validate` and `init` read it exactly as ingest would.

use core::ops::Range;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use driftless_model::{Millis, ObjectVersion};
use driftless_objects::{Error, Listed, ObjectMeta, Objects, Result, Written};

/// One file, read by ranges.
pub(crate) struct LocalFile {
    path: PathBuf,
    object: ObjectVersion,
}

impl LocalFile {
    /// The file, which must be there.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let size = path.metadata().with_context(|| format!("{} cannot be read", path.display()))?.len();
        let object = ObjectVersion { key: path.display().to_string(), version_id: None, etag: "local".into(), size };
        Ok(Self { path: path.to_owned(), object })
    }

    /// The snapshot's only part.
    pub(crate) fn part(&self) -> ObjectVersion {
        self.object.clone()
    }

    fn bytes(&self, range: Range<u64>) -> std::io::Result<Bytes> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(range.start))?;
        let mut bytes = Vec::new();
        file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

#[async_trait]
impl Objects for LocalFile {
    async fn head(&self, _: &str, _: Option<&str>) -> Result<ObjectMeta> {
        Ok(ObjectMeta { object: self.object.clone(), modified: Millis(0) })
    }

    async fn read_range(&self, _: &ObjectVersion, range: Range<u64>) -> Result<Bytes> {
        let unavailable = |e: std::io::Error| Error::Unavailable { operation: "reading a file", source: e.into() };
        self.bytes(range).map_err(unavailable)
    }

    async fn read(&self, _: &str) -> Result<Bytes> {
        self.read_range(&self.object, 0..self.object.size).await
    }

    async fn create(&self, key: &str, _: Bytes) -> Result<Written> {
        Err(Error::Denied { key: key.to_owned() })
    }

    async fn list(&self, _: &str) -> Result<Listed> {
        Ok(vec![self.head("", None).await?])
    }

    async fn delete(&self, key: &str) -> Result<()> {
        Err(Error::Denied { key: key.to_owned() })
    }
}
