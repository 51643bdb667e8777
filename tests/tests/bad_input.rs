//! Bad input, kind by kind, given to the functions as their queues would: what is refused, what goes on, and what a person is
//! told.
//!
//! | input | shown here by |
//! |---|---|
//! | not Parquet, truncated, encrypted, corrupt pages, absurd sizes | `a_snapshot_that_is_not_what_it_should_be_…` |
//! | missing or retyped column, SQL error, unknown function | `a_sync_that_does_not_fit_its_snapshot_…` |
//! | snapshot gone when planning | `a_snapshot_that_is_gone_when_planning_…` |
//! | null key, null identifiers | `rows_without_a_key_or_identifiers_…` |
//! | duplicate key | `of_rows_with_one_key_one_wins_…` |
//! | oversized field, invalid e-mail or phone | `values_that_the_destination_would_refuse_…`, `a_record_that_is_larger_than_a_request_…` |
//! | malformed event or message body | `a_message_that_cannot_be_read_…` (and the rest of its batch: `runtime`, `delivery`) |
//! | unknown or unparsable configuration key | `a_key_that_nobody_knows_…` (all of them: `config/samples`) |

#[path = "bad_input/stage.rs"]
mod stage;

use driftless_config::parse_sync;
use driftless_delivery::Verdict;
use driftless_model::{InvalidReason, RecordKey};
use serde_json::json;
use stage::{Stage, people, texts};

#[test]
fn a_snapshot_that_is_not_what_it_should_be_is_refused_and_the_list_stays() {
    let good = people(&[("a", "a@x.example")]);
    let mut truncated = good.to_vec();
    truncated.drain(4..40);
    let mut encrypted = good.to_vec();
    let end = encrypted.len();
    encrypted.splice(end - 4.., *b"PARE");
    let mut corrupt = good.to_vec();
    // Inside the first page: its compressed bytes.
    corrupt[40..60].fill(0xff);
    let mut absurd = good.to_vec();
    // The footer's length: more than the file has.
    absurd.splice(end - 8..end - 4, 0x7fff_ffff_u32.to_le_bytes());
    for (name, bytes, cause) in [
        ("text", b"id,email\n1,a@x.example\n".to_vec(), "not a Parquet file"),
        ("truncated", truncated, "truncated"),
        ("encrypted", encrypted, "encrypted"),
        ("corrupt", corrupt, "page"),
        ("absurd", absurd, "footer"),
    ] {
        let stage = Stage::new(&[("list", json!({}))], None);
        assert_eq!(stage.drop_in("first", &good), Verdict::Done);
        let before = stage.head("list");
        assert_eq!(stage.drop_in(name, &bytes), Verdict::Done, "{name}: acknowledged");
        assert_eq!(stage.head("list"), before, "{name}: the head is unchanged");
        let kept = stage.refused("acme/people");
        assert_eq!(kept.len(), 1, "{name}: {kept:?}");
        assert!(kept[0].reason.contains(cause), "{name}: {}", kept[0].reason);
        let told = format!("{} {}", kept[0].subject, kept[0].reason);
        assert!(told.contains(&format!("datasets/acme/people/{name}.parquet")), "{name} is named: {told}");
        assert!(!told.contains("x.example"), "{name}: nobody's values");
        assert_eq!(stage.drop_in("next", &people(&[("b", "b@x.example")])), Verdict::Done);
        assert_eq!(stage.members("list"), ["b"], "{name}: the next good snapshot goes on");
    }
}

#[test]
fn a_sync_that_does_not_fit_its_snapshot_waits_with_the_exact_place_and_the_others_go_on() {
    for (what, wish, told) in [
        ("a missing column", json!({ "mapping": { "mail": { "column": "e_mail", "identifier": true } } }), "e_mail"),
        ("a retyped column", json!({ "selection": { "where": "email + 1 > 2" } }), "line 1, column 1"),
        ("an SQL error", json!({ "selection": { "where": "email = = 'x'" } }), "line 1, column 9"),
        ("an unknown function", json!({ "selection": { "where": "lowr(email) = 'x'" } }), "lowr"),
    ] {
        let stage = Stage::new(&[("broken", wish), ("whole", json!({}))], None);
        assert_eq!(stage.drop_in("first", &people(&[("a", "a@x.example")])), Verdict::Done);
        let attention = stage.head("broken").and_then(|h| h.attention).expect(what);
        assert!(attention.reason.contains(told), "{what}: {}", attention.reason);
        assert_eq!(stage.head("broken").map(|h| h.version), Some(0), "{what}: nothing was taken up");
        assert_eq!(stage.members("whole"), ["a"], "{what}: the other sync of the dataset goes on");
        assert!(stage.refused("acme/people").is_empty(), "{what}: the snapshot itself is good");
    }
}

#[test]
fn a_snapshot_that_is_gone_when_planning_is_told_with_its_object_and_nothing_is_sent() {
    let stage = Stage::new(&[("list", json!({}))], None);
    assert_eq!(stage.drop_in("first", &people(&[("a", "a@x.example")])), Verdict::Done);
    stage.remove_for_good("first");
    assert_eq!(stage.plan("list"), Verdict::Done);
    let head = stage.head("list").expect("ingested");
    let reason = head.attention.expect("it waits for a person").reason;
    assert!(reason.contains("datasets/acme/people/first.parquet"), "{reason}");
    assert!(head.active_run.is_none() && stage.calls().is_empty(), "nothing is sent");
}

#[test]
fn rows_without_a_key_or_identifiers_are_counted_and_a_member_that_becomes_invalid_leaves() {
    let stage = Stage::new(&[("list", json!({}))], None);
    let columns = ["id", "email", "name"];
    let first = texts(&columns, &[&[Some("a"), Some("a@x.example"), None], &[Some("b"), Some("b@x.example"), None]]);
    assert_eq!(stage.drop_in("first", &first), Verdict::Done);
    let rows: [&[Option<&str>]; 3] =
        [&[Some("a"), None, None], &[Some("b"), Some("b@x.example"), None], &[None, Some("c@x.example"), None]];
    let second = texts(&columns, &rows);
    let report = stage.report("list", &second);
    assert_eq!(report.null_keys, 1);
    let nameless = &report.invalid[&InvalidReason::NullIdentifiers];
    assert_eq!(nameless.sample, [stage::hash_key().key_hash(&RecordKey::new("a"))], "a sample of key hashes");
    assert_eq!(stage.drop_in("second", &second), Verdict::Done);
    assert_eq!(stage.members("list"), ["b"], "a leaves D, under the guards");
    assert_eq!(stage.head("list").expect("ingested").versions[&2].removals, 1);
    // The same, with guards that a removal trips.
    let strict = json!({ "guards": { "max_removals": 0 } });
    let stage = Stage::new(&[("list", strict)], None);
    stage.drop_in("first", &first);
    stage.drop_in("second", &second);
    assert_eq!(stage.head("list").expect("ingested").active_holds().map(|(_, h)| h.count).sum::<u64>(), 1);
}

#[test]
fn of_rows_with_one_key_one_wins_whatever_their_order_and_they_are_counted() {
    let stage = Stage::new(&[("list", json!({}))], None);
    let one = people(&[("a", "a1@x.example"), ("a", "a2@x.example"), ("b", "b@x.example")]);
    let other = people(&[("b", "b@x.example"), ("a", "a2@x.example"), ("a", "a1@x.example")]);
    assert_eq!(stage.report("list", &one).duplicate_keys, 1);
    stage.drop_in("one", &one);
    let before = stage.head("list").expect("ingested");
    stage.drop_in("other", &other);
    let after = stage.head("list").expect("ingested");
    assert_eq!(after.version, before.version, "the other order of rows is no change");
    assert_ne!(after.snapshot, before.snapshot, "but it was taken up");
    let preferring = json!({ "prefer": { "column": "email", "order": "highest" } });
    let stage = Stage::new(&[("list", preferring)], None);
    stage.drop_in("one", &one);
    assert_eq!(stage.identifiers("list", "a"), ["a2@x.example"], "the sync's preference decides");
}

#[test]
fn values_that_the_destination_would_refuse_make_the_record_invalid_with_the_rule() {
    let mapping = json!({ "mapping": {
        "email": { "column": "email", "identifier": true, "normalize": "email" },
        "phone": { "column": "phone", "normalize": "phone" },
        "name": { "column": "name", "max_length": 5 },
    } });
    let stage = Stage::new(&[("list", mapping)], None);
    let columns = ["id", "email", "phone", "name"];
    let row = |id, email, phone, name| [Some(id), Some(email), Some(phone), Some(name)];
    let rows = [
        row("good", " Ann@X.example ", "+49 30 123456", "Ann"),
        row("mail", "not an address", "+49 30 123456", "Ann"),
        row("phone", "p@x.example", "12", "Ann"),
        row("long", "l@x.example", "+49 30 123456", "Annabella"),
    ];
    let rows: Vec<&[Option<&str>]> = rows.iter().map(<[_; 4]>::as_slice).collect();
    let file = texts(&columns, &rows);
    let report = stage.report("list", &file);
    let count = |reason| report.invalid.get(&reason).map_or(0, |i| i.count);
    assert_eq!((count(InvalidReason::Malformed), count(InvalidReason::Oversized)), (2, 1));
    stage.drop_in("first", &file);
    assert_eq!(stage.members("list"), ["good"]);
}

#[test]
fn a_record_that_is_larger_than_a_request_may_be_is_listed_and_the_others_are_sent() {
    let stage = Stage::new(&[("list", json!({}))], Some(2_000));
    let long = "x".repeat(4_000);
    let columns = ["id", "email", "name"];
    let rows: [&[Option<&str>]; 2] =
        [&[Some("a"), Some("a@x.example"), Some(&long)], &[Some("b"), Some("b@x.example"), None]];
    stage.drop_in("first", &texts(&columns, &rows));
    assert_eq!(stage.plan("list"), Verdict::Done);
    let rejects = stage.rejects("list");
    assert_eq!(rejects.iter().map(|r| r.reason.as_str()).collect::<Vec<_>>(), ["oversized"]);
    assert_eq!(stage.calls().iter().map(|c| c["rows"].clone()).collect::<Vec<_>>(), [json!(1)]);
}

#[test]
fn a_message_that_cannot_be_read_is_put_aside_with_its_reason() {
    let stage = Stage::new(&[("list", json!({}))], None);
    for body in ["", "nonsense", "{}", r#"{"Records": 3}"#, r#"{"v": 99, "kind": "plan"}"#, r#"{"v":1,"kind":"dance"}"#]
    {
        for verdict in [stage.ingest(body), stage.planner(body)] {
            let Verdict::Reject { reason } = verdict else { panic!("{body}: {verdict:?}") };
            assert!(!reason.is_empty() && !reason.contains("dance"), "{body}: a reason without its content: {reason}");
        }
    }
    // A message of another function's queue is no better.
    let sweep = r#"{"v":1,"kind":"sweep"}"#;
    assert!(matches!(stage.ingest(sweep), Verdict::Reject { .. }));
    assert!(matches!(stage.planner(sweep), Verdict::Reject { .. }));
    // The event that S3 sends when notifications are set up brings nothing and is no mistake.
    assert_eq!(stage.ingest(&driftless_testkit::events::test_event("bucket").to_string()), Verdict::Done);
}

#[test]
fn a_key_that_nobody_knows_is_named_with_file_line_and_the_nearest_known() {
    let text = "version: 1\ndataset: acme/people\nkey: id\nselction: everything\n";
    let problems = parse_sync(text, std::path::Path::new("syncs/list.yaml")).expect_err("refused");
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let told = told.join("\n");
    for part in ["syncs/list.yaml:4", "selction", "selection"] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
}
