use core::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use driftless_model::ObjectVersion;
use driftless_objects::{Error, Listed, ObjectMeta, Objects, Result, Written};

use crate::Steps;
use crate::steps::Injected;

/// A bucket of which every access is a step.
pub struct StepObjects {
    inner: Arc<dyn Objects>,
    steps: Steps,
}

impl StepObjects {
    /// Steps to `inner`.
    pub fn new(inner: Arc<dyn Objects>, steps: Steps) -> Self {
        Self { inner, steps }
    }
}

fn fail(operation: &'static str) -> impl FnOnce() -> Error + Send {
    move || Error::Unavailable { operation, source: Box::new(Injected) }
}

#[async_trait]
impl Objects for StepObjects {
    async fn head(&self, key: &str, version_id: Option<&str>) -> Result<ObjectMeta> {
        self.steps.step("head_object", self.inner.head(key, version_id), fail("HeadObject")).await
    }
    async fn read_range(&self, object: &ObjectVersion, range: Range<u64>) -> Result<Bytes> {
        self.steps.step("read_range", self.inner.read_range(object, range), fail("GetObject")).await
    }
    async fn read(&self, key: &str) -> Result<Bytes> {
        self.steps.step("read_object", self.inner.read(key), fail("GetObject")).await
    }
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Written> {
        self.steps.step("create_object", self.inner.create(key, bytes), fail("PutObject")).await
    }
    async fn list(&self, prefix: &str) -> Result<Listed> {
        self.steps.step("list_objects", self.inner.list(prefix), fail("ListObjectsV2")).await
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.steps.step("delete_object", self.inner.delete(key), fail("DeleteObject")).await
    }
}
