//! A folder as a bucket.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use driftless_model::{Millis, ObjectVersion};
use driftless_objects::{Error, Listed, ObjectMeta, Objects, Parts, Result, Written};

/// Objects as files below a folder, and how much of them was read.
pub(crate) struct Files {
    root: PathBuf,
    read: AtomicU64,
    requests: AtomicU64,
    written: AtomicU64,
    writes: AtomicU64,
}

impl Files {
    pub(crate) fn new(root: &Path) -> Self {
        let [read, requests, written, writes] = [const { AtomicU64::new(0) }; 4];
        Self { root: root.to_owned(), read, requests, written, writes }
    }

    /// Bytes read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Ranges and objects read so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes written so far.
    #[allow(dead_code)] // one of the programs that have this module
    pub(crate) fn bytes_written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Objects, and parts of them, written so far.
    #[allow(dead_code)] // one of the programs that have this module
    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    fn make(&self, key: &str) -> std::io::Result<File> {
        let path = self.root.join(key);
        std::fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        File::create_new(path)
    }

    fn wrote(&self, bytes: &Bytes) {
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Where an object lies.
    #[allow(dead_code)] // one of the programs that have this module
    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn count(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn open(&self, key: &str) -> Result<File> {
        File::open(self.root.join(key)).map_err(|e| failed(key, e))
    }

    fn meta(&self, key: &str) -> Result<ObjectMeta> {
        let found = self.open(key)?.metadata().map_err(|e| failed(key, e))?;
        let object = ObjectVersion { key: key.to_owned(), version_id: None, etag: String::new(), size: found.len() };
        Ok(ObjectMeta { object, modified: Millis(0) })
    }
}

fn failed(key: &str, error: std::io::Error) -> Error {
    let key = key.to_owned();
    match error.kind() {
        ErrorKind::NotFound => Error::NotFound { key, version: "latest".to_owned() },
        _ => Error::Unavailable { operation: "a file", source: error.into() },
    }
}

#[async_trait]
impl Objects for Files {
    async fn head(&self, key: &str, _: Option<&str>) -> Result<ObjectMeta> {
        self.meta(key)
    }

    async fn read_range(&self, object: &ObjectVersion, range: Range<u64>) -> Result<Bytes> {
        let end = range.end.min(object.size);
        let mut bytes = Vec::with_capacity(usize::try_from(end.saturating_sub(range.start)).unwrap_or_default());
        let mut file = self.open(&object.key)?;
        let read = file
            .seek(SeekFrom::Start(range.start))
            .and_then(|_| file.take(end.saturating_sub(range.start)).read_to_end(&mut bytes));
        self.count(read.map_err(|e| failed(&object.key, e))?);
        Ok(bytes.into())
    }

    async fn read(&self, key: &str) -> Result<Bytes> {
        let bytes = std::fs::read(self.root.join(key)).map_err(|e| failed(key, e))?;
        self.count(bytes.len());
        Ok(bytes.into())
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Written> {
        self.wrote(&bytes);
        match self.make(key).and_then(|mut file| file.write_all(&bytes)) {
            Ok(()) => Ok(Written::Created),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(Written::Existed),
            Err(e) => Err(failed(key, e)),
        }
    }

    async fn create_from(&self, key: &str, parts: &mut dyn Parts) -> Result<Written> {
        let mut file = self.make(key).map_err(|e| failed(key, e))?;
        let abandoned = |source| Error::Abandoned { key: key.to_owned(), source };
        while let Some(bytes) = parts.next().await.map_err(abandoned)? {
            self.wrote(&bytes);
            file.write_all(&bytes).map_err(|e| failed(key, e))?;
        }
        Ok(Written::Created)
    }

    async fn list(&self, prefix: &str) -> Result<Listed> {
        let (folder, _) = prefix.rsplit_once('/').unwrap_or_default();
        let entries = std::fs::read_dir(self.root.join(folder)).map_err(|e| failed(prefix, e))?;
        let mut keys = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| failed(prefix, e))?.file_name();
            keys.push(format!("{folder}/{}", name.to_string_lossy()));
        }
        keys.retain(|key| key.starts_with(prefix));
        keys.sort();
        keys.iter().map(|key| self.meta(key)).collect()
    }

    async fn delete(&self, key: &str) -> Result<()> {
        match std::fs::remove_file(self.root.join(key)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(failed(key, e)),
            _ => Ok(()),
        }
    }
}
