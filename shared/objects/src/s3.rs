use core::ops::Range;
use core::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use driftless_model::{Meter, Millis, ObjectVersion, Usage};

use crate::port::next;
use crate::{Error, Listed, ObjectMeta, Objects, Parts, Result, Written};

/// How often a create-once write is tried again after `409 ConditionalRequestConflict`, which S3 answers while another
/// write or a delete of the same key is in progress and which says nothing about the condition
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>, read 2026-07).
pub(crate) const CONFLICT_RETRIES: usize = 5;

/// Bytes that are sent at a time of an object that comes in parts. S3 takes 10,000 parts of at least 5 MiB, the last one excepted
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>, read 2026-07): objects up to 80 GB.
const PART_BYTES: usize = 8 << 20;

/// The version id of objects that were written while the bucket kept no versions; unlike other ids it can be overwritten.
const NULL_VERSION: &str = "null";

/// One S3 bucket. Retries, timeouts, endpoint and path style are the client's matter.
///
/// No read or write goes through a file or a buffer of ours: callers bound their memory by the ranges they ask for, and
/// may ask for several at a time through one shared reference.
#[derive(Clone, Debug)]
pub struct S3Objects {
    client: Client,
    bucket: String,
    meter: Meter,
}

impl S3Objects {
    /// The bucket as seen through the client.
    #[must_use]
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into(), meter: Meter::default() }
    }

    /// Counts requests, and bytes that are read. A request counts when it is made, whatever its answer.
    #[must_use]
    pub fn metered(self, meter: Meter) -> Self {
        Self { meter, ..self }
    }

    fn asks(&self, gets: u64, puts: u64) {
        self.meter.count(Usage { gets, puts, ..Usage::default() });
    }

    fn has_read(&self, bytes: Bytes) -> Bytes {
        self.meter.count(Usage { bytes: bytes.len() as u64, ..Usage::default() });
        bytes
    }

    fn error<E>(
        &self,
        operation: &'static str,
        key: &str,
        version: Option<&str>,
        error: &SdkError<E, HttpResponse>,
    ) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|r| r.status().as_u16());
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        match (status, code) {
            (_, Some("NoSuchBucket")) => Error::NoBucket { bucket: self.bucket.clone() },
            // 405: the version named is a delete marker. `Invalid version id`: it never was one.
            (Some(404 | 405), _) => not_found(key, version),
            (Some(400), Some("InvalidArgument")) if version.is_some() => not_found(key, version),
            (Some(412), _) => Error::Replaced { key: key.to_owned() },
            (Some(403), _) => Error::Denied { key: key.to_owned() },
            _ => Error::Unavailable { operation, source: texts(error).into() },
        }
    }
}

impl S3Objects {
    /// The parts of an upload that has begun, `waiting` first, and its end under the same condition as a plain create.
    async fn upload(&self, key: &str, upload: &str, mut waiting: Vec<u8>, parts: &mut dyn Parts) -> Result<Written> {
        let mut completed = CompletedMultipartUpload::builder();
        let mut more = true;
        for number in 1.. {
            while more && waiting.len() < PART_BYTES {
                match next(key, parts).await? {
                    Some(part) => waiting.extend_from_slice(&part),
                    None => more = false,
                }
            }
            if waiting.is_empty() {
                break;
            }
            let request = self.client.upload_part().bucket(&self.bucket).key(key).upload_id(upload).part_number(number);
            let body = core::mem::take(&mut waiting);
            let sent = request.body(body.into()).send().await.map_err(|e| self.error("UploadPart", key, None, &e))?;
            let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag().map(ToOwned::to_owned));
            completed = completed.parts(part.build());
        }
        let request = self.client.complete_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
        let answer = request.if_none_match("*").multipart_upload(completed.build()).send().await;
        let Err(error) = answer else { return Ok(Written::Created) };
        match error.raw_response().map(|r| r.status().as_u16()) {
            Some(412) => Ok(Written::Existed),
            _ => Err(self.error("CompleteMultipartUpload", key, None, &error)),
        }
    }
}

fn not_found(key: &str, version: Option<&str>) -> Error {
    Error::NotFound { key: key.to_owned(), version: version.unwrap_or("latest").to_owned() }
}

pub(crate) async fn whole(body: ByteStream) -> Result<Bytes> {
    match body.collect().await {
        Ok(bytes) => Ok(bytes.into_bytes()),
        Err(error) => Err(Error::Unavailable { operation: "GetObject", source: texts(&error).into() }),
    }
}

/// The texts of an error and its sources. The error itself is not kept: its debug form may hold content.
pub(crate) fn texts(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |e| e.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn slice(bytes: &Bytes, range: Range<u64>) -> Bytes {
    let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(within(range.start)..within(range.end))
}

fn millis(at: Option<DateTime>) -> Millis {
    Millis(at.and_then(|at| at.to_millis().ok()).unwrap_or_default())
}

fn size(bytes: Option<i64>) -> u64 {
    bytes.and_then(|b| u64::try_from(b).ok()).unwrap_or_default()
}

pub(crate) fn etag(quoted: Option<&str>) -> String {
    quoted.unwrap_or_default().trim_matches('"').to_owned()
}

#[async_trait]
impl Objects for S3Objects {
    async fn head(&self, key: &str, version_id: Option<&str>) -> Result<ObjectMeta> {
        self.asks(1, 0);
        let request = self.client.head_object().bucket(&self.bucket).key(key);
        let found = request
            .set_version_id(version_id.map(ToOwned::to_owned))
            .send()
            .await
            .map_err(|e| self.error("HeadObject", key, version_id, &e))?;
        Ok(ObjectMeta {
            object: ObjectVersion {
                key: key.to_owned(),
                version_id: found.version_id().map(ToOwned::to_owned),
                etag: etag(found.e_tag()),
                size: size(found.content_length()),
            },
            modified: millis(found.last_modified().copied()),
        })
    }

    async fn read_range(&self, object: &ObjectVersion, range: Range<u64>) -> Result<Bytes> {
        let end = range.end.min(object.size);
        if range.start >= end {
            return Ok(Bytes::new());
        }
        self.asks(1, 0);
        let version = object.version_id.as_deref();
        let pinned = version.is_some_and(|v| v != NULL_VERSION);
        let answer = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(&object.key)
            .set_version_id(version.map(ToOwned::to_owned))
            .set_if_match((!pinned && !object.etag.is_empty()).then(|| format!("\"{}\"", object.etag)))
            // Both ends of a range are inclusive on the wire.
            .range(format!("bytes={}-{}", range.start, end - 1))
            .send()
            .await
            .map_err(|e| self.error("GetObject", &object.key, version, &e))?;
        let ranged = answer.content_range.is_some();
        let bytes = self.has_read(whole(answer.body).await?);
        // HTTP lets a server ignore `Range` and answer the whole (RFC 9110 §14.2). S3 does not; stand-ins for it do.
        Ok(if ranged { bytes } else { slice(&bytes, range.start..end) })
    }

    async fn read(&self, key: &str) -> Result<Bytes> {
        self.asks(1, 0);
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        let answer = request.send().await.map_err(|e| self.error("GetObject", key, None, &e))?;
        Ok(self.has_read(whole(answer.body).await?))
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<Written> {
        let mut waits = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(20))
            .with_max_times(CONFLICT_RETRIES)
            .with_jitter()
            .build();
        loop {
            self.asks(0, 1);
            let request = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*");
            let Err(error) = request.body(bytes.clone().into()).send().await else { return Ok(Written::Created) };
            match error.raw_response().map(|r| r.status().as_u16()) {
                // Also after an answer of ours was lost and the client sent again.
                Some(412) => return Ok(Written::Existed),
                Some(409) => match waits.next() {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(self.error("PutObject", key, None, &error)),
                },
                _ => return Err(self.error("PutObject", key, None, &error)),
            }
        }
    }

    async fn create_from(&self, key: &str, parts: &mut dyn Parts) -> Result<Written> {
        let mut waiting = Vec::new();
        while waiting.len() < PART_BYTES {
            match next(key, parts).await? {
                Some(part) => waiting.extend_from_slice(&part),
                None => return self.create(key, waiting.into()).await,
            }
        }
        let begun = self.client.create_multipart_upload().bucket(&self.bucket).key(key).send().await;
        let begun = begun.map_err(|e| self.error("CreateMultipartUpload", key, None, &e))?;
        let upload = begun.upload_id().unwrap_or_default();
        let written = self.upload(key, upload, waiting, parts).await;
        if !matches!(written, Ok(Written::Created)) {
            // What is left of it costs storage until the bucket's lifecycle takes it; asking is worth one try.
            let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
            drop(abort.send().await);
        }
        written
    }

    async fn list(&self, prefix: &str) -> Result<Listed> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = request.into_paginator().send();
        let mut listed = Listed::new();
        while let Some(page) = pages.next().await {
            self.asks(0, 1);
            let page = page.map_err(|e| self.error("ListObjectsV2", prefix, None, &e))?;
            listed.extend(page.contents.unwrap_or_default().into_iter().filter_map(|found| {
                Some(ObjectMeta {
                    modified: millis(found.last_modified),
                    object: ObjectVersion {
                        version_id: None,
                        etag: etag(found.e_tag.as_deref()),
                        size: size(found.size),
                        key: found.key?,
                    },
                })
            }));
        }
        Ok(listed)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let request = self.client.delete_object().bucket(&self.bucket).key(key);
        match request.send().await.map_err(|e| self.error("DeleteObject", key, None, &e)) {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
