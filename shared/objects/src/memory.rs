use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use driftless_model::{Meter, Millis, ObjectVersion, Usage};

use crate::{Error, Listed, ObjectMeta, Objects, Result, Written};

/// A versioned bucket in memory, for tests and simulation. Time comes from the caller of [`MemoryObjects::upload`].
#[derive(Debug, Default)]
pub struct MemoryObjects {
    versions: Mutex<BTreeMap<String, Vec<(Millis, Bytes)>>>,
    meter: Meter,
}

/// Objects of a page of S3's listings.
const PAGE: usize = 1_000;

impl MemoryObjects {
    /// Counts what S3 would bill, and bytes that are read.
    #[must_use]
    pub fn metered(self, meter: Meter) -> Self {
        Self { meter, ..self }
    }

    fn asks(&self, gets: u64, puts: u64, bytes: usize) {
        self.meter.count(Usage { gets, puts, bytes: bytes as u64, ..Usage::default() });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<(Millis, Bytes)>>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a new version of a user's object, as an upload does, and returns its metadata.
    pub fn upload(&self, key: &str, bytes: Bytes, at: Millis) -> ObjectMeta {
        let mut all = self.lock();
        let versions = all.entry(key.to_owned()).or_default();
        versions.push((at, bytes));
        meta(key, versions.len() - 1, &versions[versions.len() - 1])
    }

    /// The keys that start with `prefix`.
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.lock().keys().filter(|k| k.starts_with(prefix)).cloned().collect()
    }

    fn find(&self, key: &str, version_id: Option<&str>) -> Result<(ObjectMeta, Bytes)> {
        let all = self.lock();
        let missing = || Error::NotFound { key: key.to_owned(), version: version_id.unwrap_or("latest").to_owned() };
        let versions = all.get(key).ok_or_else(missing)?;
        let at = match version_id {
            Some(v) => v.strip_prefix('v').and_then(|n| n.parse::<usize>().ok()).ok_or_else(missing)?,
            None => versions.len().checked_sub(1).ok_or_else(missing)?,
        };
        let found = versions.get(at).ok_or_else(missing)?;
        Ok((meta(key, at, found), found.1.clone()))
    }
}

fn meta(key: &str, at: usize, (modified, bytes): &(Millis, Bytes)) -> ObjectMeta {
    ObjectMeta {
        object: ObjectVersion {
            key: key.to_owned(),
            version_id: Some(format!("v{at}")),
            etag: format!("{at}-{}", bytes.len()),
            size: bytes.len() as u64,
        },
        modified: *modified,
    }
}

/// As a listing shows it: S3's has no version ids.
fn unversioned(mut found: ObjectMeta) -> ObjectMeta {
    found.object.version_id = None;
    found
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn head(&self, key: &str, version_id: Option<&str>) -> Result<ObjectMeta> {
        self.asks(1, 0, 0);
        Ok(self.find(key, version_id)?.0)
    }

    async fn read_range(&self, object: &ObjectVersion, range: Range<u64>) -> Result<Bytes> {
        let (found, bytes) = self.find(&object.key, object.version_id.as_deref())?;
        if object.version_id.is_none() && found.object.etag != object.etag {
            return Err(Error::Replaced { key: object.key.clone() });
        }
        let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(bytes.len());
        let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
        // Nothing is asked for what is empty.
        self.asks(u64::from(start < end), 0, end - start);
        Ok(bytes.slice(start..end))
    }

    async fn read(&self, key: &str) -> Result<Bytes> {
        let found = self.find(key, None)?.1;
        self.asks(1, 0, found.len());
        Ok(found)
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Written> {
        self.asks(0, 1, 0);
        let mut all = self.lock();
        if all.contains_key(key) {
            return Ok(Written::Existed);
        }
        all.insert(key.to_owned(), vec![(Millis(0), bytes)]);
        Ok(Written::Created)
    }

    async fn list(&self, prefix: &str) -> Result<Listed> {
        let found: Listed = self
            .lock()
            .range(prefix.to_owned()..)
            .take_while(|(k, _)| k.starts_with(prefix))
            .filter_map(|(k, v)| v.last().map(|last| unversioned(meta(k, v.len() - 1, last))))
            .collect();
        self.asks(0, found.len().div_ceil(PAGE).max(1) as u64, 0);
        Ok(found)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.lock().remove(key);
        Ok(())
    }
}
