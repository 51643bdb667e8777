use driftless_model::{Identifier, RecordKey};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::*;

fn rows(n: usize) -> Vec<OutRow> {
    let row = |i: usize| OutRow {
        key: RecordKey::new(format!("key-{i}")),
        identifiers: [Identifier::new("email", format!("P{i}@Example.com"))].into(),
        remote_id: Some(format!("id-{i}")),
        fields: serde_json::Map::new(),
    };
    (0..n).map(row).collect()
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, headers: HeaderMap::new(), body: Ok(body.as_bytes().to_vec()) }
}

fn answer(yaml: &str) -> Answer {
    serde_saphyr::from_str(yaml).expect("an answer")
}

fn verdicts(read: Read) -> Vec<Verdict> {
    match read {
        Read::Rows(rows) => rows.into_iter().map(|row| row.verdict).collect(),
        Read::Whole(answered) => panic!("about the whole request: {answered:?}"),
        Read::Partly => panic!("about some rows"),
    }
}

fn whole(read: Read) -> Answered {
    match read {
        Read::Whole(answered) => answered,
        Read::Rows(rows) => panic!("about rows: {rows:?}"),
        Read::Partly => panic!("about some rows"),
    }
}

#[test]
fn the_defaults_by_status_are_those_of_the_reference() {
    let many = Classifier::new(Answer::default(), false, true);
    let is = |status| whole(many.read(Operation::Add, &reply(status, ""), &rows(2)));
    assert_eq!(verdicts(many.read(Operation::Add, &reply(204, ""), &rows(2))), [Verdict::Delivered; 2]);
    assert_eq!(is(429), Answered::Throttled { after: None, reason: "HTTP 429".into() });
    for status in [301, 401, 403, 404, 410, 415, 501] {
        assert_eq!(is(status), Answered::Fatal { reason: format!("HTTP {status}") });
    }
    for status in [400, 409, 413, 422] {
        assert_eq!(is(status), Answered::BatchRejected { reason: format!("HTTP {status}") });
    }
    for status in [408, 500, 502, 503, 504, 599] {
        assert_eq!(is(status), Answered::NoAnswer { reason: format!("HTTP {status}") });
    }
    assert_eq!(is(425), Answered::Unavailable { reason: "HTTP 425".into() });
}

#[test]
fn a_503_that_says_when_to_come_back_was_not_applied() {
    let headers = [(HeaderName::from_static("retry-after"), HeaderValue::from_static("9"))].into_iter().collect();
    let reply = Reply { headers, ..reply(503, "") };
    let classifier = Classifier::new(Answer::default(), false, true);
    let read = whole(classifier.read(Operation::Add, &reply, &rows(1)));
    assert!(matches!(read, Answered::Throttled { after: Some(after), .. } if after.as_secs() == 9));
}

#[test]
fn a_status_is_about_the_record_only_where_requests_carry_one() {
    let single = Classifier::new(Answer::default(), true, true);
    assert_eq!(verdicts(single.read(Operation::Add, &reply(409, ""), &rows(1))), [Verdict::Exists]);
    assert_eq!(verdicts(single.read(Operation::Remove, &reply(404, ""), &rows(1))), [Verdict::Absent]);
    let many = Classifier::new(Answer::default(), false, true);
    // The last request of a call may carry one record too; its 404 is still about the list.
    assert!(matches!(whole(many.read(Operation::Remove, &reply(404, ""), &rows(1))), Answered::Fatal { .. }));
}

#[test]
fn a_code_inside_a_200_decides() {
    let classifier = Classifier::new(
        answer(
            "codes: [{at: /code, means: {delivered: [0], throttled: [40100], fatal: [40105]}, otherwise: rejected}]",
        ),
        false,
        true,
    );
    let is = |body: &str| classifier.read(Operation::Add, &reply(200, body), &rows(2));
    assert_eq!(verdicts(is(r#"{"code":0}"#)), [Verdict::Delivered; 2]);
    assert!(matches!(whole(is(r#"{"code":40100}"#)), Answered::Throttled { .. }));
    assert!(matches!(whole(is(r#"{"code":"40105"}"#)), Answered::Fatal { .. }));
    assert!(matches!(whole(is(r#"{"code":40002}"#)), Answered::BatchRejected { .. }));
    // Garbage acknowledges nothing.
    assert!(matches!(whole(is("<html>")), Answered::NoAnswer { .. }));
    assert!(matches!(whole(is("{}")), Answered::NoAnswer { .. }));
}

#[test]
fn a_code_can_decide_about_a_refusal_too() {
    let classifier = Classifier::new(
        answer("{codes: [{at: /title, on: [400], means: {exists: [Member Exists]}}], reason: /title}"),
        true,
        true,
    );
    let read = |body: &str| classifier.read(Operation::Add, &reply(400, body), &rows(1));
    assert_eq!(verdicts(read(r#"{"title":"Member Exists"}"#)), [Verdict::Exists]);
    let refused = whole(read(r#"{"title":"Invalid Resource"}"#));
    assert_eq!(refused, Answered::BatchRejected { reason: "HTTP 400 Invalid Resource".into() });
    let echoing = whole(read(r#"{"title":"p0@example.com looks fake"}"#));
    assert_eq!(echoing, Answered::BatchRejected { reason: "HTTP 400".into() });
}

#[test]
fn results_by_position_are_the_rows_own() {
    let classifier = Classifier::new(
        answer(
            "results: {by_position: {items: /results, code: /status, reason: /code, remote_id: /id, \
             means: {delivered: [ok], exists: [dup], absent: [gone], retry: [busy]}}}",
        ),
        false,
        true,
    );
    let body = r#"{"results":[{"status":"ok","id":7},{"status":"dup"},{"status":"gone"},{"status":"busy"},{"status":"error","code":"bad_email"},{}]}"#;
    let Read::Rows(read) = classifier.read(Operation::Add, &reply(200, body), &rows(6)) else { panic!("rows") };
    let verdicts: Vec<Verdict> = read.iter().map(|r| r.verdict).collect();
    assert_eq!(
        verdicts,
        [Verdict::Delivered, Verdict::Exists, Verdict::Absent, Verdict::Retry, Verdict::Rejected, Verdict::Unknown]
    );
    assert_eq!((read[0].remote_id.as_deref(), read[4].reason.as_str()), (Some("7"), "bad_email"));
    // Fewer or more results than records say nothing about any of them.
    assert!(matches!(whole(classifier.read(Operation::Add, &reply(200, body), &rows(5))), Answered::NoAnswer { .. }));
    assert!(matches!(whole(classifier.read(Operation::Add, &reply(200, "{}"), &rows(5))), Answered::NoAnswer { .. }));
    // A refusal may speak of the records, or not.
    assert!(matches!(
        whole(classifier.read(Operation::Add, &reply(400, "{}"), &rows(5))),
        Answered::BatchRejected { .. }
    ));
    assert!(matches!(classifier.read(Operation::Add, &reply(400, body), &rows(6)), Read::Rows(_)));
}

#[test]
fn usual_words_and_numbers_mean_delivered_where_nothing_else_is_said() {
    let classifier = Classifier::new(answer("results: {by_position: {items: '', code: /status}}"), false, true);
    let body = r#"[{"status":201},{"status":"OK"},{"status":true},{"status":400},{"status":"failed"}]"#;
    let read = verdicts(classifier.read(Operation::Add, &reply(200, body), &rows(5)));
    assert_eq!(
        read,
        [Verdict::Delivered, Verdict::Delivered, Verdict::Delivered, Verdict::Rejected, Verdict::Rejected]
    );
}

#[test]
fn failures_are_found_by_what_they_name() {
    let by_email = "{failures: [/errors, /failed/invalidEmails], key: /email, matches: {identifier: email}, \
                    code: /code, means: {exists: [dup]}}";
    let classifier = Classifier::new(answer(&format!("results: {{by_key: {by_email}}}")), false, true);
    let body = r#"{"errors":[{"email":"p1@example.com","code":"dup"},{"email":"p2@example.com","code":"fake"}]}"#;
    let Read::Rows(read) = classifier.read(Operation::Add, &reply(200, body), &rows(4)) else { panic!("rows") };
    let verdicts_of: Vec<Verdict> = read.iter().map(|r| r.verdict).collect();
    assert_eq!(verdicts_of, [Verdict::Delivered, Verdict::Exists, Verdict::Rejected, Verdict::Delivered]);
    assert_eq!(read[2].reason, "fake");
    let stranger = r#"{"errors":[{"email":"other@example.com"}]}"#;
    assert!(matches!(
        whole(classifier.read(Operation::Add, &reply(200, stranger), &rows(2))),
        Answered::NoAnswer { .. }
    ));
    // Who is not listed was delivered only if the request went through.
    assert!(matches!(
        whole(classifier.read(Operation::Add, &reply(400, body), &rows(4))),
        Answered::BatchRejected { .. }
    ));

    for (matches, item) in [("key", "\"KEY-1\""), ("remote_id", "\"id-1\""), ("position", "1")] {
        let config = format!("results: {{by_key: {{failures: [/bad], matches: {matches}}}}}");
        let classifier = Classifier::new(answer(&config), false, true);
        let body = format!("{{\"bad\":[{item}]}}");
        let read = verdicts(classifier.read(Operation::Remove, &reply(200, &body), &rows(2)));
        assert_eq!(read, [Verdict::Delivered, Verdict::Rejected], "{matches}");
    }
}

#[test]
fn a_refusal_is_everybodys_where_requests_are_not_all_or_nothing() {
    let classifier = Classifier::new(Answer::default(), false, false);
    assert_eq!(verdicts(classifier.read(Operation::Add, &reply(422, ""), &rows(3))), [Verdict::Rejected; 3]);
}

#[test]
fn a_count_of_failures_that_are_not_named_makes_every_row_unknown() {
    let by_key = answer(
        "results: {by_key: {failures: [/bad, /worse], absent: [/gone], count: /failed, matches: {identifier: email}}}",
    );
    let classifier = Classifier::new(by_key, false, true);
    let read = |body: &str| classifier.read(Operation::Remove, &reply(200, body), &rows(3));
    let named = r#"{"bad": ["p0@example.com"], "worse": ["P0@example.com"], "gone": ["p1@example.com"], "failed": 2}"#;
    assert_eq!(verdicts(read(named)), [Verdict::Rejected, Verdict::Absent, Verdict::Delivered]);
    for body in [r#"{"bad": ["p0@example.com"], "failed": 2}"#, r#"{"bad": []}"#] {
        assert!(matches!(whole(read(body)), Answered::NoAnswer { .. }), "{body}");
    }
}

#[test]
fn a_success_in_part_is_cut_in_half_until_a_record_is_alone() {
    let partly = answer("codes: [{at: /code, means: {delivered: [0], partly: [20001]}, otherwise: rejected}]");
    let classifier = Classifier::new(partly, false, true);
    let read = |count| classifier.read(Operation::Add, &reply(200, r#"{"code": 20001}"#), &rows(count));
    assert!(matches!(read(2), Read::Partly));
    assert!(matches!(whole(read(1)), Answered::BatchRejected { .. }));
}

#[test]
fn an_envelope_of_a_question_is_read_where_it_says_something() {
    let codes = answer("codes: [{at: /code, means: {delivered: [0], fatal: [401]}, otherwise: unknown}]");
    let classifier = Classifier::new(codes, true, true);
    assert_eq!(classifier.envelope(200, &serde_json::json!({ "code": 401 })), Some(Verdict::Fatal));
    assert_eq!(classifier.envelope(200, &serde_json::json!({ "code": 7 })), Some(Verdict::Unknown));
    assert_eq!(classifier.envelope(200, &serde_json::json!({ "members": [] })), None);
}
