use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

use crate::{Malformed, Message};

/// One object version that was created in the bucket, as an S3 event notification tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Change {
    /// The bucket.
    pub bucket: String,
    /// The object key, decoded.
    pub key: String,
    /// The version created; `None` on a bucket without versioning.
    pub version_id: Option<String>,
    /// The entity tag, without quotes.
    pub etag: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// Orders the events of one key; upper-case hex of varying length.
    pub sequencer: Option<String>,
    /// For example `ObjectCreated:Put`.
    pub event_name: String,
}

/// What may lie in the queue of ingest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Objects were created. Empty for the test event that S3 sends when notifications are set up, and for deletions.
    Created(Vec<S3Change>),
    /// A message of ours.
    Message(Message),
}

impl Incoming {
    /// Tells the two apart.
    ///
    /// # Errors
    /// [`Malformed`]: reject the record; it will never be readable.
    pub fn parse(body: &str) -> Result<Self, Malformed> {
        match serde_json::from_str(body) {
            Ok(Value::Object(object)) if object.contains_key("v") => Message::from_object(object).map(Self::Message),
            Ok(Value::Object(object)) => changes(&Value::Object(object)).map(Self::Created),
            _ => Err(Malformed::NotJson),
        }
    }
}

/// The objects that an S3 event notification says were created. Deletions are left out: a snapshot that was taken up is
/// read by its version. `s3:TestEvent` has none.
///
/// # Errors
/// [`Malformed`]: reject the record; it will never be readable.
pub fn parse_notification(body: &str) -> Result<Vec<S3Change>, Malformed> {
    changes(&serde_json::from_str(body).map_err(|_| Malformed::NotJson)?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRecord {
    event_source: String,
    event_name: String,
    s3: RawS3,
}

#[derive(Deserialize)]
struct RawS3 {
    bucket: RawBucket,
    object: RawObject,
}

#[derive(Deserialize)]
struct RawBucket {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawObject {
    key: String,
    size: Option<u64>,
    e_tag: Option<String>,
    version_id: Option<String>,
    sequencer: Option<String>,
}

fn changes(body: &Value) -> Result<Vec<S3Change>, Malformed> {
    if body.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(Vec::new());
    }
    let records = body.get("Records").and_then(Value::as_array).ok_or(Malformed::Unrecognised)?;
    let mut changes = Vec::with_capacity(records.len());
    for (at, record) in records.iter().enumerate() {
        let bad = |problem| Malformed::Notification { at, problem };
        let raw = RawRecord::deserialize(record).map_err(|_| bad("a field is missing or has another type"))?;
        if raw.event_source != "aws:s3" {
            return Err(bad("it does not come from S3"));
        }
        let event_name = raw.event_name.strip_prefix("s3:").unwrap_or(&raw.event_name);
        if !event_name.starts_with("ObjectCreated:") {
            continue;
        }
        let key = decode_key(&raw.s3.object.key).ok_or_else(|| bad("the key is not UTF-8 once decoded"))?;
        changes.push(S3Change {
            bucket: raw.s3.bucket.name,
            key,
            version_id: raw.s3.object.version_id.filter(|v| !v.is_empty()),
            etag: raw.s3.object.e_tag.map(|e| e.trim_matches('"').to_owned()),
            size: raw.s3.object.size,
            sequencer: raw.s3.object.sequencer,
            event_name: event_name.to_owned(),
        });
    }
    Ok(changes)
}

/// The only place where a key is decoded: S3 notifications write a space as `+` and the rest percent-encoded
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>). Every other key in the
/// product is the plain one.
fn decode_key(encoded: &str) -> Option<String> {
    let spaced = encoded.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(key: &str) -> Value {
        json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-central-1",
            "eventTime": "2026-01-05T06:00:00.000Z", "eventName": "ObjectCreated:Put",
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "datasets",
                "bucket": {"name": "driftless-dev", "arn": "arn:aws:s3:::driftless-dev"},
                "object": {"key": key, "size": 1024, "eTag": "d41d8", "versionId": "v7", "sequencer": "0055AED6DCD90281E5"},
            },
        })
    }

    fn keys(body: &Value) -> Vec<String> {
        parse_notification(&body.to_string()).unwrap().into_iter().map(|c| c.key).collect()
    }

    #[test]
    fn keys_are_decoded_once_plus_first() {
        for (encoded, key) in [
            ("a+b/%C3%BC%2B1.parquet", "a b/ü+1.parquet"),
            ("datasets/acme/c/2026-01-05.parquet", "datasets/acme/c/2026-01-05.parquet"),
            ("100%2525.parquet", "100%25.parquet"),
            ("version%3D3/_SUCCESS", "version=3/_SUCCESS"),
        ] {
            assert_eq!(keys(&json!({"Records": [record(encoded)]})), [key]);
        }
    }

    #[test]
    fn every_record_is_read_and_duplicates_are_kept() {
        let body = json!({"Records": [record("a"), record("b"), record("a")]});
        assert_eq!(keys(&body), ["a", "b", "a"]);
        let all = parse_notification(&body.to_string()).unwrap();
        assert_eq!(
            all[0],
            S3Change {
                bucket: "driftless-dev".into(),
                key: "a".into(),
                version_id: Some("v7".into()),
                etag: Some("d41d8".into()),
                size: Some(1024),
                sequencer: Some("0055AED6DCD90281E5".into()),
                event_name: "ObjectCreated:Put".into(),
            }
        );
    }

    #[test]
    fn a_bucket_without_versions_names_none() {
        let mut record = record("a");
        record["s3"]["object"].as_object_mut().unwrap().remove("versionId");
        let all = parse_notification(&json!({"Records": [record]}).to_string()).unwrap();
        assert_eq!(all[0].version_id, None);
    }

    #[test]
    fn the_test_event_and_deletions_bring_nothing() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b", "RequestId": "r"});
        assert_eq!(Incoming::parse(&test.to_string()), Ok(Incoming::Created(vec![])));
        let mut removed = record("a");
        removed["eventName"] = "ObjectRemoved:DeleteMarkerCreated".into();
        assert_eq!(keys(&json!({"Records": [removed, record("b")]})), ["b"]);
    }

    #[test]
    fn our_own_messages_share_the_queue() {
        let message = Message::Sweep { sync: None, run: None };
        assert_eq!(Incoming::parse(&message.to_body()), Ok(Incoming::Message(message)));
    }

    #[test]
    fn what_is_neither_is_refused_with_its_place() {
        assert_eq!(Incoming::parse("Hello"), Err(Malformed::NotJson));
        assert_eq!(Incoming::parse("{}"), Err(Malformed::Unrecognised));
        let bad = json!({"Records": [record("a"), {"eventSource": "aws:s3"}]});
        assert!(matches!(parse_notification(&bad.to_string()), Err(Malformed::Notification { at: 1, .. })));
        let latin = json!({"Records": [record("%FC.parquet")]});
        assert!(matches!(parse_notification(&latin.to_string()), Err(Malformed::Notification { at: 0, .. })));
    }
}
