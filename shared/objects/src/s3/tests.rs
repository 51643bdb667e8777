use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_sdk_s3::{Client, Config};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use bytes::Bytes;
use driftless_model::{Millis, ObjectVersion};

use super::S3Objects;
use crate::{Abandoned, Condition, Error, MemoryObjects, Objects, Parts, S3Drop, Written, conformance};

fn config() -> aws_sdk_s3::config::Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .force_path_style(true)
}

/// Answers requests from a list, in order, and keeps what was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scripted {
    answers: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl HttpConnector for Scripted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let headers: Vec<_> = request.headers().iter().map(|(k, v)| format!("{k}: {v}")).collect();
        self.asked.lock().unwrap().push(format!("{} {}\n{}", request.method(), request.uri(), headers.join("\n")));
        let (status, body) = self.answers.lock().unwrap().pop_front().expect("no more requests than answers");
        let status: aws_smithy_runtime_api::http::StatusCode = status.try_into().expect("a status code");
        let mut response = HttpResponse::new(status, SdkBody::from(body));
        if status.as_u16() == 206 {
            response.headers_mut().insert("content-range", "bytes 3-4/10");
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl Scripted {
    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

pub(crate) fn scripted_client(answers: impl IntoIterator<Item = (u16, &'static str)>) -> (Client, Scripted) {
    let script = Scripted { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Scripted::default() };
    let connector = SharedHttpConnector::new(script.clone());
    let config = config()
        .retry_config(RetryConfig::disabled())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build();
    (Client::from_conf(config), script)
}

fn scripted(answers: impl IntoIterator<Item = (u16, &'static str)>) -> (S3Objects, Scripted) {
    let (client, script) = scripted_client(answers);
    (S3Objects::new(client, "bucket"), script)
}

fn object(version_id: Option<&str>) -> ObjectVersion {
    ObjectVersion { key: "k".into(), version_id: version_id.map(Into::into), etag: "e".into(), size: 10 }
}

const CONFLICT: (u16, &str) = (409, "<Error><Code>ConditionalRequestConflict</Code></Error>");

#[tokio::test]
async fn a_conflict_of_a_create_is_tried_again_and_not_taken_for_existing() {
    let (objects, script) = scripted([CONFLICT, CONFLICT, (200, "")]);
    assert_eq!(objects.create("k", Bytes::new()).await.expect("creates"), Written::Created);
    assert_eq!(script.asked.lock().unwrap().len(), 3);
    assert!(script.asked.lock().unwrap().iter().all(|r| r.contains("if-none-match: *")));
    let (objects, _) = scripted([CONFLICT; 6]);
    assert!(matches!(objects.create("k", Bytes::new()).await, Err(Error::Unavailable { .. })));
}

/// Parts of a megabyte each; then the end, or a failure.
struct Megabytes {
    left: usize,
    fails: bool,
}

#[async_trait::async_trait]
impl Parts for Megabytes {
    async fn next(&mut self) -> Result<Option<Bytes>, Abandoned> {
        if self.left == 0 {
            return if self.fails { Err("the maker's own".into()) } else { Ok(None) };
        }
        self.left -= 1;
        Ok(Some(vec![1; 1 << 20].into()))
    }
}

const BEGUN: (u16, &str) =
    (200, "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>");
const COMPLETE: (u16, &str) = (200, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>");
const EXISTS: (u16, &str) = (412, "<Error><Code>PreconditionFailed</Code></Error>");

#[tokio::test]
async fn a_large_object_is_uploaded_in_parts_and_appears_under_the_same_condition() {
    let (objects, script) = scripted([BEGUN, (200, ""), (200, ""), (200, ""), COMPLETE]);
    let written = objects.create_from("k", &mut Megabytes { left: 18, fails: false }).await;
    assert_eq!(written.expect("creates"), Written::Created);
    let asked = script.asked.lock().unwrap().clone();
    assert_eq!(asked.iter().filter(|r| r.starts_with("PUT") && r.contains("partNumber=")).count(), 3);
    let last = asked.last().unwrap();
    assert!(last.starts_with("POST") && last.contains("uploadId=u1") && last.contains("if-none-match: *"), "{last}");

    let (objects, script) = scripted([(200, "")]);
    let written = objects.create_from("k", &mut Megabytes { left: 3, fails: false }).await;
    assert_eq!(written.expect("creates"), Written::Created);
    assert!(script.asked.lock().unwrap()[0].contains("if-none-match: *"), "a small one is one request");
}

#[tokio::test]
async fn an_upload_that_is_not_completed_is_aborted() {
    let aborts = |script: &Scripted| script.asked.lock().unwrap().last().is_some_and(|r| r.starts_with("DELETE"));
    let (objects, script) = scripted([BEGUN, (200, ""), (200, ""), EXISTS, (204, "")]);
    let written = objects.create_from("k", &mut Megabytes { left: 10, fails: false }).await;
    assert_eq!(written.expect("answers"), Written::Existed);
    assert!(aborts(&script));

    let (objects, script) = scripted([BEGUN, (200, ""), (204, "")]);
    let error = objects.create_from("k", &mut Megabytes { left: 10, fails: true }).await.unwrap_err();
    assert!(matches!(error, Error::Abandoned { .. }), "{error}");
    assert!(aborts(&script));

    let (objects, script) = scripted([BEGUN, (503, "<Error><Code>SlowDown</Code></Error>"), (204, "")]);
    let error = objects.create_from("k", &mut Megabytes { left: 10, fails: false }).await.unwrap_err();
    assert!(error.disposition().is_retry(), "{error}");
    assert!(aborts(&script));
}

#[tokio::test]
async fn a_read_pins_the_version_or_else_the_entity_tag() {
    for (version, pinned, matched) in [(Some("v7"), true, false), (Some("null"), true, true), (None, false, true)] {
        let (objects, script) = scripted([(206, "34")]);
        assert_eq!(objects.read_range(&object(version), 3..5).await.expect("reads"), "34");
        let asked = script.asked.lock().unwrap()[0].clone();
        assert!(asked.contains("range: bytes=3-4"), "{asked}");
        assert_eq!(asked.contains("versionId="), pinned, "{asked}");
        assert_eq!(asked.contains("if-match: \"e\""), matched, "{asked}");
    }
}

#[tokio::test]
async fn answers_become_the_error_that_says_what_to_do() {
    type Is = fn(&Error) -> bool;
    let table: [((u16, &'static str), Is); 7] = [
        ((404, "<Error><Code>NoSuchVersion</Code></Error>"), |e| matches!(e, Error::NotFound { .. })),
        ((405, "<Error><Code>MethodNotAllowed</Code></Error>"), |e| matches!(e, Error::NotFound { .. })),
        ((404, "<Error><Code>NoSuchBucket</Code></Error>"), |e| matches!(e, Error::NoBucket { .. })),
        ((403, "<Error><Code>AccessDenied</Code></Error>"), |e| matches!(e, Error::Denied { .. })),
        ((412, "<Error><Code>PreconditionFailed</Code></Error>"), |e| matches!(e, Error::Replaced { .. })),
        ((503, "<Error><Code>SlowDown</Code></Error>"), |e| e.disposition().is_retry()),
        ((400, "<Error><Code>ExpiredToken</Code></Error>"), |e| e.disposition().is_retry()),
    ];
    for (answer, is) in table {
        let (objects, _) = scripted([answer]);
        let error = objects.read_range(&object(Some("v")), 0..1).await.expect_err("an error was answered");
        assert!(is(&error), "{answer:?} became {error:?}");
    }
}

#[tokio::test]
async fn the_whole_object_in_answer_to_a_range_is_cut_to_it() {
    let (objects, _) = scripted([(200, "0123456789")]);
    assert_eq!(objects.read_range(&object(Some("v")), 3..5).await.expect("reads"), "34");
}

#[tokio::test]
async fn an_empty_range_asks_nothing() {
    let (objects, _) = scripted([]);
    assert_eq!(objects.read_range(&object(None), 10..20).await.expect("nothing to read"), "");
}

#[tokio::test]
async fn the_store_in_memory_conforms() {
    let objects = MemoryObjects::default();
    conformance::all(&objects, async |key: &str, bytes| objects.upload(key, bytes, Millis(1_000)).object).await;
}

/// The emulated AWS of the environment, which must be on this machine.
fn endpoint() -> Option<String> {
    let endpoint = std::env::var("DRIFTLESS_TEST_ENDPOINT").ok()?;
    let local = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"];
    assert!(local.iter().any(|l| endpoint.starts_with(l)), "DRIFTLESS_TEST_ENDPOINT must be an http loopback address");
    Some(endpoint)
}

#[tokio::test]
#[allow(clippy::print_stderr)] // the reason of a skipped test belongs to the test's output
async fn s3_as_emulated_conforms() {
    let Some(endpoint) = endpoint() else {
        eprintln!("skipped: DRIFTLESS_TEST_ENDPOINT names no emulated AWS");
        return;
    };
    let client = Client::from_conf(config().endpoint_url(endpoint).build());
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_nanos();
    let bucket = format!("driftless-conformance-{since}");
    client
        .create_bucket()
        .bucket(&bucket)
        .create_bucket_configuration(
            aws_sdk_s3::types::CreateBucketConfiguration::builder()
                .location_constraint(aws_sdk_s3::types::BucketLocationConstraint::EuCentral1)
                .build(),
        )
        .send()
        .await
        .expect("creates the bucket");
    client
        .put_bucket_versioning()
        .bucket(&bucket)
        .versioning_configuration(VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build())
        .send()
        .await
        .expect("turns versions on");
    let objects = S3Objects::new(client.clone(), &bucket);
    conformance::all(&objects, async |key: &str, bytes: Bytes| {
        let put = client.put_object().bucket(&bucket).key(key).body(bytes.clone().into());
        let put = put.send().await.expect("uploads");
        ObjectVersion {
            key: key.to_owned(),
            version_id: put.version_id().map(ToOwned::to_owned),
            etag: super::etag(put.e_tag()),
            size: bytes.len() as u64,
        }
    })
    .await;
    files_are_written_under_their_condition(&S3Drop::new(client.clone(), &bucket)).await;
    let missing = S3Objects::new(client, "driftless-no-such-bucket");
    assert!(matches!(missing.read("k").await, Err(Error::NoBucket { .. })));
}

/// Once, by compare-and-swap, and in any case; a list names what is there.
async fn files_are_written_under_their_condition(files: &S3Drop) {
    let key = "lists/news/current.json";
    let write = async |text: &'static str, condition: Condition<'_>| {
        files.write(key, Bytes::from_static(text.as_bytes()), "application/json", condition).await.expect("answers")
    };
    assert_eq!(files.read(key).await.expect("answers"), None);
    assert!(write("first", Condition::Absent).await);
    assert!(!write("another first", Condition::Absent).await);
    let (bytes, etag) = files.read(key).await.expect("answers").expect("is there");
    assert_eq!(bytes, "first");
    assert!(write("second", Condition::Matches(&etag)).await);
    assert!(!write("another second", Condition::Matches(&etag)).await, "it is not the first any more");
    assert!(write("third", Condition::Always).await);
    assert_eq!(files.read(key).await.expect("answers").expect("is there").0, "third");
    assert_eq!(files.list("lists/news/").await.expect("answers"), [key]);
    for _ in 0..2 {
        files.delete(key).await.expect("deletes");
    }
    assert!(!write("fourth", Condition::Matches(&etag)).await, "there is none to replace");
    assert_eq!(files.list("lists/").await.expect("answers"), Vec::<String>::new());
}
