use serde_json::Value;

/// One received message of a queue.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Identifies the message in the answer.
    pub message_id: String,
    /// Identifies this receipt of it, for [`crate::Queue::defer`].
    pub receipt: String,
    /// The queue's name, the last part of its ARN; empty if that was not told.
    pub queue: String,
    /// The body; `None` if the record came without one.
    pub body: Option<String>,
    /// How often it was received, this time included; 1 if that was not told.
    pub receive_count: u32,
}

/// Without body and receipt: the one may be anything, the other is a capability.
impl core::fmt::Debug for Record {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Record")
            .field("message_id", &self.message_id)
            .field("queue", &self.queue)
            .field("receive_count", &self.receive_count)
            .finish_non_exhaustive()
    }
}

/// The records of an SQS event, read one by one from raw JSON so that a malformed one does not cost the others; `None` if
/// it is not an SQS event.
#[must_use]
pub fn records(event: &Value) -> Option<Vec<Record>> {
    let records = event.get("Records")?.as_array()?;
    let from_sqs = |r: &Value| r.get("eventSource").and_then(Value::as_str) == Some("aws:sqs");
    records.iter().any(from_sqs).then(|| records.iter().map(record).collect())
}

fn record(raw: &Value) -> Record {
    let text = |name: &str| raw.get(name).and_then(Value::as_str);
    let count = raw.pointer("/attributes/ApproximateReceiveCount").and_then(Value::as_str);
    Record {
        message_id: text("messageId").unwrap_or_default().to_owned(),
        receipt: text("receiptHandle").unwrap_or_default().to_owned(),
        queue: text("eventSourceARN").and_then(|arn| arn.rsplit(':').next()).unwrap_or_default().to_owned(),
        body: text("body").map(ToOwned::to_owned),
        receive_count: count.and_then(|n| n.parse().ok()).unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_odd_record_leaves_the_others_readable() {
        let event = json!({"Records": [
            {"messageId": "m1", "receiptHandle": "r1", "body": "{}", "eventSource": "aws:sqs",
             "eventSourceARN": "arn:aws:sqs:eu-central-1:000000000000:driftless-dev-planner",
             "attributes": {"ApproximateReceiveCount": "3"}},
            {"messageId": "m2", "body": 7, "eventSource": "aws:sqs"},
            "nonsense",
        ]});
        let all = records(&event).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!((all[0].queue.as_str(), all[0].receive_count), ("driftless-dev-planner", 3));
        assert_eq!((all[1].message_id.as_str(), &all[1].body), ("m2", &None));
        assert_eq!(all[2].message_id, "");
    }

    #[test]
    fn other_events_are_told_apart() {
        assert_eq!(records(&json!({"Records": [{"eventSource": "aws:s3"}]})), None);
        assert_eq!(records(&json!({"v": 1, "kind": "sweep"})), None);
    }
}
