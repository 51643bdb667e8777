//! What goes over the wire, and what partial failures make of it.

use std::collections::BTreeMap;

use driftless_model::{AttrHash, Identifier, KeyHash, Millis, RecordKey, RunId, Token};

use super::{Value, json, scripted};
use crate::item::{ChangeOp, ItemFate, LogItem, LogPartition};
use crate::{Deltalog, Error};

fn partition() -> LogPartition {
    LogPartition { sync: "news".parse().unwrap(), incarnation: 1, version: 7, token: Token::new("01T") }
}

fn item(n: u128) -> LogItem {
    LogItem {
        key_hash: KeyHash(n),
        key: RecordKey::new("customer 1"),
        op: ChangeOp::Add,
        attr_hash: Some(AttrHash(0xab)),
        identifiers: [Identifier::new("email", "a@example.com")].into(),
        updated_at: Millis(1_700_000_000_000),
        committed_at: None,
        superseded_by: None,
        expires_at: None,
    }
}

fn puts(request: &Value) -> Vec<&Value> {
    let entries = request["RequestItems"]["driftless-test"].as_array().expect("a batch of the table");
    entries.iter().map(|e| &e["PutRequest"]["Item"]).collect()
}

#[tokio::test]
async fn a_log_item_has_this_form() {
    let (store, script) = scripted([(200, json!({}))]);
    store.put_items(&partition(), &[item(5)]).await.expect("writes");
    let asked = script.asked.lock().unwrap();
    let expected = json!({
        "pk": {"S": "LOG#news#1#7#01T#0"},
        "sk": {"S": "00000000000000000000000000000005"},
        "key": {"S": "customer 1"},
        "op": {"S": "add"},
        "in_dataset": {"BOOL": true},
        "attr_hash": {"S": "00000000000000ab"},
        "identifiers": {"S": "[{\"field\":\"email\",\"value\":\"a@example.com\"}]"},
        "version": {"N": "7"},
        "updated_at": {"N": "1700000000000"},
    });
    assert_eq!(puts(&asked[0]), [&expected]);
}

#[tokio::test]
async fn what_a_batch_leaves_unprocessed_is_sent_again_and_only_that() {
    let items: Vec<_> = (0..30).map(item).collect();
    let left = |request: &Value| request["RequestItems"]["driftless-test"].as_array().expect("a batch").clone();
    let (probe, asked) = scripted([(200, json!({})), (200, json!({}))]);
    probe.put_items(&partition(), &items).await.expect("writes");
    let batches: Vec<_> = asked.asked.lock().unwrap().iter().map(left).collect();
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [25, 5]);

    let unprocessed = json!({"UnprocessedItems": {"driftless-test": batches[0][3..5]}});
    let (store, script) = scripted([(200, unprocessed), (200, json!({}))]);
    store.put_items(&partition(), &items[..25]).await.expect("writes");
    let asked = script.asked.lock().unwrap();
    assert_eq!(left(&asked[1]), batches[0][3..5]);
}

#[tokio::test]
async fn a_throttled_write_says_whether_the_key_or_the_table_is_hot() {
    let throttled = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": "too fast",
        "ThrottlingReasons": [{"reason": "TableWriteKeyRangeThroughputExceeded", "resource": "arn:aws:dynamodb:…"}],
    });
    let (store, _) = scripted([(400, throttled)]);
    let error = store.put_items(&partition(), &[item(1)]).await.expect_err("is throttled");
    assert!(error.disposition().is_retry());
    assert!(error.to_string().contains("TableWriteKeyRangeThroughputExceeded"), "{error}");
}

#[tokio::test]
async fn errors_say_what_to_do_and_never_what_was_written() {
    type Is = fn(&Error) -> bool;
    let table: [(&str, &str, Is); 5] = [
        ("AccessDeniedException", "not allowed", |e| matches!(e, Error::Denied { operation: "BatchWriteItem" })),
        ("ResourceNotFoundException", "no table", |e| matches!(e, Error::NoTable { .. })),
        ("ValidationException", "Item size has exceeded the maximum allowed size", |e| {
            matches!(e, Error::TooLarge { .. })
        }),
        ("ValidationException", "One or more parameter values were invalid", |e| matches!(e, Error::Malformed { .. })),
        ("InternalServerError", "oops", |e| e.disposition().is_retry()),
    ];
    for (code, message, is) in table {
        let (store, _) = scripted([(400, json!({"__type": format!("x#{code}"), "message": message}))]);
        let error = store.put_items(&partition(), &[item(1)]).await.expect_err("is refused");
        assert!(is(&error), "{code} became {error:?}");
        assert!(!format!("{error:?}").contains("example.com"), "{error:?}");
    }
}

#[tokio::test]
async fn an_item_of_another_shape_is_refused_without_its_values() {
    let odd = json!({
        "pk": {"S": "LOG#news#1#7#01T#0"},
        "sk": {"S": "00000000000000000000000000000005"},
        "key": {"S": "secret-key"},
        "op": {"S": "add"},
        "identifiers": {"S": "[{\"field\":\"email\",\"value\":\"secret@example.com\""},
        "updated_at": {"N": "1"},
    });
    let (store, _) = scripted([(200, json!({"Items": [odd], "Count": 1, "ScannedCount": 1}))]);
    let error = store.items(&partition(), 1).await.expect_err("cannot be read");
    assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_not_kept() {
    let (store, _) = scripted([(200, json!({"Items": "secret@example.com"}))]);
    let error = store.items(&partition(), 1).await.expect_err("cannot be read");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn a_query_follows_its_pages_consistently() {
    let page = |n: u128, last: bool| {
        let mut answer = json!({"Items": [{
            "pk": {"S": "TOMBSTONE#acme/customers"}, "sk": {"S": KeyHash(n).to_string()},
        }]});
        if !last {
            answer["LastEvaluatedKey"] = answer["Items"][0].clone();
        }
        (200, answer)
    };
    let (store, script) = scripted([page(1, false), page(2, false), page(3, true)]);
    let erased = store.tombstones(&"acme/customers".parse().unwrap()).await.expect("reads");
    assert!(erased.into_iter().eq([1, 2, 3].map(KeyHash)));
    let asked = script.asked.lock().unwrap();
    assert!(asked.iter().all(|r| r["ConsistentRead"] == true));
    assert_eq!(asked[2]["ExclusiveStartKey"]["sk"]["S"], KeyHash(2).to_string());
}

#[tokio::test]
async fn stamping_a_small_version_writes_once_an_item() {
    let (store, script) = scripted([(200, json!({})), (200, json!({}))]);
    let fates = BTreeMap::from([
        (KeyHash(1), ItemFate::Committed(Millis(5))),
        (KeyHash(u128::MAX), ItemFate::Superseded(RunId::new("r1"))),
    ]);
    store.stamp_items(&partition(), &fates, 9).await.expect("stamps");
    let asked = script.asked.lock().unwrap();
    assert!(asked.iter().all(|r| r["Key"]["pk"]["S"] == "LOG#news#1#7#01T#0"));
    assert!(asked.iter().all(|r| r["ConditionExpression"] == "attribute_exists(#pk)"));
}

#[tokio::test]
async fn a_conflict_of_a_transaction_is_a_retry_and_not_a_lost_race() {
    let cancelled = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "message": "cancelled",
        "CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}],
    });
    let (store, _) = scripted([(400, cancelled)]);
    let head = crate::head::HeadGuard { incarnation: 1, version: 1, order: None, epoch: 1 };
    let append = crate::head::Append {
        snapshot: driftless_model::SnapshotRef { order: order(), parts: Vec::new() },
        config: crate::head::ConfigStamp { epoch: 1, fingerprint: "f".into() },
        entry: crate::head::VersionEntry {
            token: Token::new("t"),
            kind: crate::head::VersionKind::Items,
            count: 1,
            adds: 0,
            updates: 0,
            removals: 1,
            order: order(),
            logged_at: Millis(1),
        },
        hold: None,
    };
    let dataset = "acme/customers".parse().unwrap();
    let swap = store.erase(&"news".parse().unwrap(), &dataset, KeyHash(1), &head, &append).await;
    let error = swap.expect_err("nobody knows yet");
    assert!(error.disposition().is_retry() && error.to_string().contains("TransactionConflict"), "{error}");
}

fn order() -> driftless_model::SnapshotOrder {
    driftless_model::SnapshotOrder { version: None, modified: Millis(1), key: "k".into(), sequencer: None }
}
