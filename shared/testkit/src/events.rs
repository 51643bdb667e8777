//! Events in the shape that AWS sends them.

use driftless_objects::ObjectMeta;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// What S3 leaves as it is in the key of a notification. A space becomes `+`.
const ENCODED: AsciiSet =
    NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');

/// A key as S3 writes it in a notification.
#[must_use]
pub fn encode_key(key: &str) -> String {
    utf8_percent_encode(key, &ENCODED).to_string().replace(' ', "+")
}

/// The body of an S3 notification that `object` was created in `bucket`; `sequencer` orders the events of one key.
#[must_use]
pub fn object_created(bucket: &str, object: &ObjectMeta, sequencer: u64) -> Value {
    let ObjectMeta { object, .. } = object;
    let mut described = json!({
        "key": encode_key(&object.key),
        "size": object.size,
        "eTag": object.etag,
        "sequencer": format!("{sequencer:016X}"),
    });
    if let Some(version) = &object.version_id {
        described["versionId"] = version.as_str().into();
    }
    json!({
        "Records": [{
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "eu-central-1",
            "eventTime": "2026-01-05T06:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
            "requestParameters": {"sourceIPAddress": "192.0.2.1"},
            "responseElements": {"x-amz-request-id": "EXAMPLE", "x-amz-id-2": "EXAMPLE"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "datasets",
                "bucket": {
                    "name": bucket,
                    "ownerIdentity": {"principalId": "EXAMPLE"},
                    "arn": format!("arn:aws:s3:::{bucket}"),
                },
                "object": described,
            },
        }],
    })
}

/// What S3 sends when notifications of a bucket are set up.
#[must_use]
pub fn test_event(bucket: &str) -> Value {
    json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2026-01-05T06:00:00.000Z",
        "Bucket": bucket,
        "RequestId": "EXAMPLE",
        "HostId": "EXAMPLE",
    })
}

/// The event of a Lambda function that is triggered by `queue`: one record a body, with the message ids `m0`, `m1`, …
#[must_use]
pub fn sqs_event<B: AsRef<str>>(queue: &str, bodies: impl IntoIterator<Item = B>) -> Value {
    let records: Vec<Value> = bodies
        .into_iter()
        .enumerate()
        .map(|(at, body)| {
            json!({
                "messageId": format!("m{at}"),
                "receiptHandle": format!("receipt-{at}"),
                "body": body.as_ref(),
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1767600000000",
                    "SenderId": "AIDAEXAMPLE",
                    "ApproximateFirstReceiveTimestamp": "1767600000001",
                },
                "messageAttributes": {},
                "md5OfBody": "00000000000000000000000000000000",
                "eventSource": "aws:sqs",
                "eventSourceARN": format!("arn:aws:sqs:eu-central-1:000000000000:{queue}"),
                "awsRegion": "eu-central-1",
            })
        })
        .collect();
    json!({ "Records": records })
}

#[cfg(test)]
mod tests {
    use driftless_delivery::{parse_notification, records};
    use driftless_model::{Millis, ObjectVersion};

    use super::*;

    #[test]
    fn what_is_built_is_what_the_product_reads() {
        for key in ["datasets/acme/c/a b/ü+1.parquet", "100%.parquet", "version=3/_SUCCESS", "a&b(c)'*~.parquet"] {
            let object = ObjectVersion { key: key.into(), version_id: Some("v0".into()), etag: "e".into(), size: 3 };
            let body = object_created("b", &ObjectMeta { object, modified: Millis(0) }, 7).to_string();
            let changes = parse_notification(&body).unwrap();
            assert_eq!((changes[0].key.as_str(), changes[0].size), (key, Some(3)));
            assert_eq!(changes[0].sequencer.as_deref(), Some("0000000000000007"));
        }
        assert_eq!(encode_key("a b/ü+1.parquet"), "a+b/%C3%BC%2B1.parquet");
        assert_eq!(parse_notification(&test_event("b").to_string()), Ok(vec![]));
        let all = records(&sqs_event("q", ["x", "y"])).unwrap();
        assert_eq!((all[1].message_id.as_str(), all[1].queue.as_str()), ("m1", "q"));
    }
}
