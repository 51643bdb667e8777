//! Files in somebody's bucket: written for others to read, and the newest named by a file that is overwritten.

use core::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use driftless_model::{Meter, Usage};

use crate::s3::{CONFLICT_RETRIES, etag, texts, whole};

/// One bucket that destinations write files to. Unlike [`crate::S3Objects`], whose objects are never overwritten.
#[derive(Clone, Debug)]
pub struct S3Drop {
    client: Client,
    bucket: String,
    meter: Meter,
}

/// When a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    /// There is none of that key (`If-None-Match: *`).
    Absent,
    /// It is still the one with this entity tag (`If-Match`).
    Matches(&'a str),
    /// In any case.
    Always,
}

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DropError {
    /// The bucket is not there, or we may not.
    #[error("the bucket refuses us: {code}")]
    Refused {
        /// The service's code.
        code: String,
    },
    /// Too many requests. Nothing was done.
    #[error("the bucket is throttling")]
    Throttled,
    /// It may have been done.
    #[error("the bucket did not answer {operation}")]
    Unavailable {
        /// The API call.
        operation: &'static str,
        /// What the client said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl S3Drop {
    /// The bucket as seen through the client.
    #[must_use]
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into(), meter: Meter::default() }
    }

    /// Counts requests. A request counts when it is made, whatever its answer.
    #[must_use]
    pub fn metered(self, meter: Meter) -> Self {
        Self { meter, ..self }
    }

    /// A file with its entity tag; `None` if there is none of that key.
    pub async fn read(&self, key: &str) -> Result<Option<(Bytes, String)>, DropError> {
        self.meter.count(Usage { gets: 1, ..Usage::default() });
        match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(found) => {
                let etag = etag(found.e_tag());
                let source = |e: crate::Error| DropError::Unavailable { operation: "GetObject", source: e.into() };
                Ok(Some((whole(found.body).await.map_err(source)?, etag)))
            }
            Err(error) => match failure("GetObject", &error) {
                (Some(404), _) if code(&error) != Some("NoSuchBucket") => Ok(None),
                (_, error) => Err(error),
            },
        }
    }

    /// Writes a file, if the condition holds at the write. False: it does not. Repeatable: after an answer that was lost a
    /// conditional write says false, and the file is what was written.
    pub async fn write(
        &self,
        key: &str,
        bytes: Bytes,
        content_type: &str,
        condition: Condition<'_>,
    ) -> Result<bool, DropError> {
        for attempt in 0.. {
            self.meter.count(Usage { puts: 1, ..Usage::default() });
            let request = self.client.put_object().bucket(&self.bucket).key(key).content_type(content_type);
            let request = match condition {
                Condition::Absent => request.if_none_match("*"),
                Condition::Matches(etag) => request.if_match(format!("\"{etag}\"")),
                Condition::Always => request,
            };
            let Err(error) = request.body(bytes.clone().into()).send().await else { return Ok(true) };
            match failure("PutObject", &error) {
                (Some(412), _) => return Ok(false),
                // `If-Match` of a key that is gone.
                (Some(404), _) if matches!(condition, Condition::Matches(_)) && code(&error) == Some("NoSuchKey") => {
                    return Ok(false);
                }
                // Another write of the key is in progress, which says nothing about the condition.
                (Some(409), _) if attempt < CONFLICT_RETRIES => {
                    tokio::time::sleep(Duration::from_millis(20 << attempt)).await;
                }
                (_, error) => return Err(error),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// The keys that begin with `prefix`, in order.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, DropError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = request.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            self.meter.count(Usage { puts: 1, ..Usage::default() });
            let page = page.map_err(|error| failure("ListObjectsV2", &error).1)?;
            keys.extend(page.contents.unwrap_or_default().into_iter().filter_map(|found| found.key));
        }
        Ok(keys)
    }

    /// Deletes a file. One that is gone already is deleted.
    pub async fn delete(&self, key: &str) -> Result<(), DropError> {
        match self.client.delete_object().bucket(&self.bucket).key(key).send().await {
            Ok(_) => Ok(()),
            Err(error) => match failure("DeleteObject", &error) {
                (Some(404), _) if code(&error) != Some("NoSuchBucket") => Ok(()),
                (_, error) => Err(error),
            },
        }
    }
}

fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// The status, and what it means where the caller makes nothing else of it.
fn failure<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> (Option<u16>, DropError)
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|r| r.status().as_u16());
    let meaning = match (status, code(error)) {
        (_, Some("SlowDown")) | (Some(503), Some("ServiceUnavailable")) => DropError::Throttled,
        (Some(403), code) => DropError::Refused { code: code.unwrap_or("AccessDenied").to_owned() },
        (_, Some("NoSuchBucket")) => DropError::Refused { code: "NoSuchBucket".to_owned() },
        (Some(301 | 307), _) => DropError::Refused { code: "the bucket is in another region".to_owned() },
        _ => DropError::Unavailable { operation, source: texts(error).into() },
    };
    (status, meaning)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::tests::scripted_client;

    const CONFLICT: (u16, &str) = (409, "<Error><Code>ConditionalRequestConflict</Code></Error>");

    fn dropped(answers: impl IntoIterator<Item = (u16, &'static str)>) -> (S3Drop, crate::s3::tests::Scripted) {
        let (client, script) = scripted_client(answers);
        (S3Drop::new(client, "bucket"), script)
    }

    #[tokio::test]
    async fn a_write_asks_for_its_condition_and_says_if_it_held() {
        let (files, script) = dropped([(200, ""), (412, ""), CONFLICT, (200, ""), (412, "")]);
        let write = async |condition| files.write("k", Bytes::from_static(b"x"), "text/csv", condition).await;
        assert!(write(Condition::Always).await.unwrap());
        assert!(!write(Condition::Absent).await.unwrap());
        assert!(write(Condition::Absent).await.unwrap(), "a conflict is tried again");
        assert!(!write(Condition::Matches("e1")).await.unwrap());
        let asked = script.asked();
        assert!(!asked[0].contains("if-none-match") && asked[1].contains("if-none-match: *"));
        assert!(asked[4].contains("if-match: \"e1\"") && asked[0].contains("content-type: text/csv"));
    }

    #[tokio::test]
    async fn failures_say_whether_something_may_have_been_done() {
        let slow = (503, "<Error><Code>SlowDown</Code></Error>");
        let gone = (404, "<Error><Code>NoSuchBucket</Code></Error>");
        let none = (404, "<Error><Code>NoSuchKey</Code></Error>");
        let (files, _) = dropped([slow, (403, ""), gone, (500, ""), none, gone]);
        let write = async || files.write("k", Bytes::new(), "t", Condition::Always).await.unwrap_err();
        assert!(matches!(write().await, DropError::Throttled));
        assert!(matches!(write().await, DropError::Refused { code } if code == "AccessDenied"));
        assert!(matches!(write().await, DropError::Refused { code } if code == "NoSuchBucket"));
        assert!(matches!(write().await, DropError::Unavailable { operation: "PutObject", .. }));
        assert_eq!(files.read("k").await.unwrap(), None);
        assert!(files.read("k").await.is_err());
    }
}
