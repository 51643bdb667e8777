//! `rest` against a scripted server on loopback: what it sends, and what it makes of every answer.
#![allow(clippy::unwrap_used)]

#[path = "rest/lists.rs"]
mod lists;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use driftless_connector::{
    BuildError, Failure, HttpPolicy, ListState, Open, Stop, Work, build, capabilities_of, drive, read_page,
};
use driftless_model::{Clock as _, Millis, Operation, Outcome};
use lists::listed;
use serde_json::{Value, json};
use support::{
    Does, Got, Server, Virtual, connector, deliver, deliver_with, destination, letters, local, removals, row, rows,
    secrets,
};

/// A destination with batches and a result per position.
fn batched(url: &str) -> String {
    format!(
        "version: 1
kind: rest
base_url: {url}
auth: {{bearer: {{token: {{secret: token}}}}}}
headers: {{Idempotency-Key: '{{{{ idempotency_key }}}}'}}
batch: {{records: 4, bytes: 400}}
answer:
  reason: /error
  results: {{by_position: {{items: /results, code: /status, reason: /code}}}}
add: {{method: POST, path: '/lists/{{{{ list }}}}/members', body: {{json: {{records: {{$each_record: '{{{{ record.fields }}}}'}}}}}}}}
update: {{method: PUT, path: '/lists/{{{{ list }}}}/members', body: {{json: {{records: {{$each_record: '{{{{ record.fields }}}}'}}}}}}}}
remove: {{method: POST, path: '/lists/{{{{ list }}}}/members/remove', body: {{json: {{records: {{$each_record: '{{{{ record.identifiers }}}}'}}}}}}}}
"
    )
}

/// A destination with one record a request and ids in the path.
fn single(url: &str) -> String {
    format!(
        "version: 1
kind: rest
base_url: {url}
add: {{method: POST, path: /members, body: {{form: {{email: '{{{{ record.identifiers.email }}}}', name: '{{{{ record.fields.name }}}}'}}}}}}
update: {{method: PATCH, path: '/members/{{{{ record.identifiers.email }}}}', body: {{json: '{{{{ record.fields }}}}'}}}}
remove: {{method: DELETE, path: '/members/{{{{ record.identifiers.email }}}}'}}
"
    )
}

/// `ok` for every record, but for those whose e-mail is in the set.
fn by_position(got: &Got, bad: &BTreeSet<&str>) -> Does {
    let result = |record: &Value| match record["email"].as_str() {
        Some(email) if bad.contains(email) => json!({ "status": "error", "code": "invalid_email" }),
        _ => json!({ "status": "ok" }),
    };
    let results: Vec<Value> = got.json()["records"].as_array().into_iter().flatten().map(result).collect();
    Does::json(200, &json!({ "results": results }))
}

fn ok(got: &Got) -> Does {
    by_position(got, &BTreeSet::new())
}

/// Answers the first requests as told, the others with `ok`.
async fn first(answers: impl Fn(usize) -> Option<Does> + Send + Sync + 'static) -> Server {
    Server::start(move |got, number| answers(number).unwrap_or_else(|| ok(got))).await
}

#[tokio::test]
async fn requests_carry_the_limit_and_no_more() {
    for (count, sizes) in [(1, vec![1]), (4, vec![4]), (5, vec![4, 1]), (9, vec![4, 4, 1])] {
        let server = Server::start(|got, _| ok(got)).await;
        let driven = deliver(&*connector(&batched(&server.url), "news"), Operation::Add, &rows(count)).await;
        assert_eq!((letters(&driven), driven.stop), ("D".repeat(count as usize), None));
        let got = server.got();
        let sent: Vec<usize> = got.iter().map(|g| g.json()["records"].as_array().unwrap().len()).collect();
        assert_eq!(sent, sizes);
        assert_eq!((got[0].method.as_str(), got[0].target.as_str()), ("POST", "/lists/news/members"));
        assert_eq!(got[0].header("authorization"), Some("Bearer s3cr3t"));
        let keys: BTreeSet<&str> = got.iter().filter_map(|g| g.header("idempotency-key")).collect();
        assert_eq!(keys.len(), sizes.len());
    }
}

#[tokio::test]
async fn requests_keep_to_the_limit_of_bytes() {
    let server = Server::start(|got, _| ok(got)).await;
    let mut some = rows(3);
    some.push(row(3, json!({ "name": "x".repeat(250) })));
    some.push(row(4, json!({ "name": "x".repeat(500) })));
    let driven = deliver(&*connector(&batched(&server.url), "news"), Operation::Add, &some).await;
    assert_eq!(letters(&driven), "DDDDX");
    assert!(server.got().iter().all(|got| got.body.len() <= 400));
    let reason = Outcome::Rejected { reason: "larger than a request may be".into() };
    assert_eq!(driven.outcomes[&4].outcome, reason);
}

#[tokio::test]
async fn a_removal_sends_the_identifiers_it_is_given() {
    let server = Server::start(|got, _| ok(got)).await;
    let driven = deliver(&*connector(&batched(&server.url), "news"), Operation::Remove, &removals(2)).await;
    assert_eq!(letters(&driven), "DD");
    assert_eq!(server.got()[0].target, "/lists/news/members/remove");
    assert_eq!(
        server.got()[0].json(),
        json!({ "records": [{ "email": "p0@example.com" }, { "email": "p1@example.com" }] })
    );
}

#[tokio::test]
async fn results_by_position_reject_single_records() {
    let server = Server::start(|got, _| by_position(got, &BTreeSet::from(["p2@example.com", "p5@example.com"]))).await;
    let driven = deliver(&*connector(&batched(&server.url), "news"), Operation::Add, &rows(6)).await;
    assert_eq!((letters(&driven).as_str(), driven.requests), ("DDXDDX", 2));
    assert_eq!(driven.outcomes[&2].outcome, Outcome::Rejected { reason: "invalid_email".into() });
}

#[tokio::test]
async fn an_all_or_nothing_refusal_is_bisected() {
    let server = Server::start(|got, _| {
        let bad = got.json()["records"].as_array().unwrap().iter().any(|r| r["email"] == "p2@example.com");
        if bad { Does::json(400, &json!({ "error": "bad_record" })) } else { ok(got) }
    })
    .await;
    let driven = deliver(&*connector(&batched(&server.url), "news"), Operation::Add, &rows(4)).await;
    assert_eq!((letters(&driven).as_str(), driven.requests), ("DDXD", 4));
    assert_eq!(driven.outcomes[&2].outcome, Outcome::Rejected { reason: "HTTP 400 bad_record".into() });
}

#[tokio::test]
async fn failures_by_key_leave_the_others_delivered() {
    let server = Server::start(|_, _| {
        Does::json(
            200,
            &json!({ "failedUpdates": { "invalidEmails": ["P1@example.com"], "notFoundEmails": ["p2@example.com"] } }),
        )
    })
    .await;
    let yaml = format!(
        "version: 1
kind: rest
base_url: {}
batch: {{records: 100}}
remove:
  method: POST
  path: /unsubscribe
  body: {{json: {{subscribers: {{$each_record: {{email: '{{{{ record.identifiers.email }}}}'}}}}}}}}
  answer:
    results: {{by_key: {{failures: [/failedUpdates/invalidEmails], matches: {{identifier: email}}}}}}
",
        server.url
    );
    let driven = deliver(&*connector(&yaml, "news"), Operation::Remove, &removals(4)).await;
    assert_eq!(letters(&driven), "DXDD");
}

#[tokio::test]
async fn an_envelope_inside_a_200_throttles_and_delivers() {
    let server =
        Server::start(|_, number| Does::json(200, &json!({ "code": if number == 0 { 40100 } else { 0 } }))).await;
    let yaml = format!(
        "version: 1
kind: rest
base_url: {}
batch: {{records: 100}}
answer: {{codes: [{{at: /code, means: {{delivered: [0], throttled: [40100]}}, otherwise: rejected}}]}}
add: {{method: POST, path: /map, body: {{json: {{batch_data: {{$each_record: '{{{{ record.identifiers.email | sha256 }}}}'}}}}}}}}
",
        server.url
    );
    let time = Virtual::default();
    let driven = deliver_with(&*connector(&yaml, "news"), Operation::Add, &rows(2), &time).await;
    assert_eq!((letters(&driven).as_str(), driven.requests), ("DD", 2));
    assert_eq!(server.got()[0].json()["batch_data"][0].as_str().map(str::len), Some(64));
}

#[tokio::test]
async fn already_there_and_already_gone_are_success() {
    let server = Server::start(|got, _| match got.method.as_str() {
        "DELETE" => Does::status(404),
        "POST" => Does::status(409),
        _ => Does::status(200),
    })
    .await;
    let connector = connector(&single(&server.url), "news");
    assert_eq!(letters(&deliver(&*connector, Operation::Remove, &removals(2)).await), "DD");
    // There already, perhaps with older values: sent again as an update.
    assert_eq!(letters(&deliver(&*connector, Operation::Add, &rows(1)).await), "D");
    let got = server.got();
    assert_eq!(got[2].body, b"email=p0%40example.com&name=N0");
    assert_eq!((got[3].method.as_str(), got[3].target.as_str()), ("PATCH", "/members/p0%40example.com"));
    assert_eq!(got[3].json(), json!({ "email": "p0@example.com", "name": "N0" }));
}

#[tokio::test]
async fn an_update_of_one_who_is_not_there_becomes_an_add() {
    let server = Server::start(|got, _| Does::status(if got.method == "PATCH" { 404 } else { 201 })).await;
    let driven = deliver(&*connector(&single(&server.url), "news"), Operation::Update, &rows(1)).await;
    assert_eq!((letters(&driven).as_str(), driven.requests), ("D", 2));
}

#[tokio::test]
async fn an_update_without_a_request_of_its_own_is_an_add() {
    let server = Server::start(|got, _| ok(got)).await;
    let yaml = batched(&server.url);
    let without: String = yaml.lines().filter(|l| !l.starts_with("update")).map(|l| format!("{l}\n")).collect();
    let driven = deliver(&*connector(&without, "news"), Operation::Update, &rows(1)).await;
    assert_eq!((letters(&driven).as_str(), server.got()[0].method.as_str()), ("D", "POST"));
    assert!(capabilities_of(&destination(&without)).update.is_some());
}

#[tokio::test]
async fn a_429_is_waited_out_with_and_without_a_stated_wait() {
    let server = first(|number| match number {
        0 => Some(Does::status(429).with("retry-after", "7")),
        1 => Some(Does::status(429)),
        _ => None,
    })
    .await;
    let time = Virtual::default();
    let driven = deliver_with(&*connector(&batched(&server.url), "news"), Operation::Add, &rows(1), &time).await;
    assert_eq!((letters(&driven).as_str(), driven.stop), ("D", None));
    assert_eq!(driftless_model::Clock::now(&time), Millis(9_000));
    assert_eq!(*time.slots.lock().unwrap(), 3);
}

#[tokio::test]
async fn an_error_of_the_server_may_have_been_applied() {
    let server = first(|_| Some(Does::status(502))).await;
    let driven = deliver(&*connector(&batched(&server.url), "news"), Operation::Add, &rows(1)).await;
    assert_eq!((letters(&driven).as_str(), driven.unanswered), ("U", true));
    assert_eq!(driven.stop, Some(Stop::NoAnswer { reason: "HTTP 502".into() }));
}

#[tokio::test]
async fn a_connection_that_is_cut_after_the_request_is_no_answer_and_the_next_one_settles_it() {
    let server = first(|number| (number == 0).then_some(Does::Cuts)).await;
    let driven = deliver(&*connector(&batched(&server.url), "news"), Operation::Add, &rows(2)).await;
    assert_eq!((letters(&driven).as_str(), driven.requests, driven.unanswered), ("DD", 2, false));
    let got = server.got();
    assert_eq!(got[0].header("idempotency-key"), got[1].header("idempotency-key"));
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_no_answer() {
    let server = first(|_| Some(Does::Waits)).await;
    let connector = connector(&batched(&server.url), "news");
    let (time, rows) = (Virtual::default(), rows(1));
    let work = Work {
        stop_before: Millis(600_000),
        request_timeout: Duration::from_millis(100),
        ..Work::new(Operation::Add, &rows, "k")
    };
    let driven = drive(&*connector, &time, &time, work).await;
    assert_eq!(driven.stop, Some(Stop::NoAnswer { reason: "no answer in time".into() }));
    assert_eq!(letters(&driven), "U");
}

#[tokio::test]
async fn a_200_that_cannot_be_read_acknowledges_nothing_where_it_should_say_something() {
    for (bad, why) in [
        (0, "the answer is not JSON"),
        (1, "the answer is longer than the limit"),
        (2, "the answer was cut off"),
        (3, "the answer has no results"),
        (4, "1 results for 2 records"),
    ] {
        let server = first(move |_| {
            Some(match bad {
                0 => Does::Answers(200, vec![("content-type", "text/html".into())], b"<html>hello".to_vec()),
                1 => Does::GoesOnForEver(200),
                2 => Does::CutsTheBody(200),
                3 => Does::json(200, &json!({})),
                _ => Does::json(200, &json!({ "results": [{ "status": "ok" }] })),
            })
        })
        .await;
        let driven = deliver(&*connector(&batched(&server.url), "news"), Operation::Add, &rows(2)).await;
        assert_eq!((letters(&driven), driven.stop), ("UU".to_owned(), Some(Stop::NoAnswer { reason: why.into() })));
    }
}

#[tokio::test]
async fn a_body_that_nobody_needs_does_no_harm() {
    let server =
        Server::start(|_, number| if number == 0 { Does::GoesOnForEver(200) } else { Does::CutsTheBody(200) }).await;
    let driven = deliver(&*connector(&single(&server.url), "news"), Operation::Remove, &removals(2)).await;
    assert_eq!(letters(&driven), "DD");
}

#[tokio::test]
async fn a_wrong_content_type_is_read_for_what_it_is() {
    let server = Server::start(|got, _| match ok(got) {
        Does::Answers(status, _, body) => Does::Answers(status, vec![("content-type", "text/plain".into())], body),
        other => other,
    })
    .await;
    let driven = deliver(&*connector(&batched(&server.url), "news"), Operation::Add, &rows(2)).await;
    assert_eq!(letters(&driven), "DD");
}

fn with_oauth(url: &str) -> String {
    let auth = format!(
        "auth: {{oauth2_client_credentials: {{token_url: {url}/token, client_id: 'id:1', client_secret: {{secret: token}}, scope: a b}}}}"
    );
    batched(url).replace("auth: {bearer: {token: {secret: token}}}", &auth)
}

#[tokio::test]
async fn an_expired_token_is_fetched_anew_once() {
    let tokens = Mutex::new(0);
    let server = Server::start(move |got, _| {
        let mut issued = tokens.lock().unwrap();
        if got.path() == "/token" {
            *issued += 1;
            return Does::json(200, &json!({ "access_token": format!("t{issued}"), "expires_in": 1 }));
        }
        // The first token is good for one request.
        let used = got.header("authorization").unwrap_or_default();
        if used == "Bearer t1" && got.json()["records"][0]["email"] != "p0@example.com" {
            Does::status(401)
        } else {
            ok(got)
        }
    })
    .await;
    let driven = deliver(&*connector(&with_oauth(&server.url), "news"), Operation::Add, &rows(8)).await;
    assert_eq!((letters(&driven).as_str(), driven.stop), ("DDDDDDDD", None));
    let got = server.got();
    let paths: Vec<&str> = got.iter().map(Got::path).collect();
    assert_eq!(paths, ["/token", "/lists/news/members", "/lists/news/members", "/token", "/lists/news/members"]);
    assert_eq!(driven.requests, 5);
    assert_eq!(
        got[0].header("authorization"),
        Some("Basic aWQlM0ExOnMzY3IzdA=="),
        "id and secret are form-encoded first"
    );
    assert_eq!(got[0].body, b"grant_type=client_credentials&scope=a+b");
}

#[tokio::test]
async fn a_login_that_is_gone_stops_and_was_not_applied() {
    let server = Server::start(|_, _| Does::status(401)).await;
    for yaml in [batched(&server.url), with_oauth(&server.url)] {
        let driven = deliver(&*connector(&yaml, "news"), Operation::Add, &rows(2)).await;
        assert_eq!(letters(&driven), "RR");
        assert!(matches!(driven.stop, Some(Stop::Fatal { .. })), "{:?}", driven.stop);
        assert_eq!(driven.requests, 1);
    }
    // The token is issued, and refused: once more, then no more.
    let server = Server::start(|got, _| match got.path() {
        "/token" => Does::json(200, &json!({ "access_token": "t" })),
        _ => Does::status(401),
    })
    .await;
    let connector = connector(&with_oauth(&server.url), "news");
    assert_eq!(deliver(&*connector, Operation::Add, &rows(1)).await.requests, 2);
    assert_eq!(deliver(&*connector, Operation::Add, &rows(1)).await.requests, 3);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_not_a_refused_login() {
    for (status, fatal) in [(500, false), (429, false), (400, true)] {
        let server = Server::start(move |_, _| Does::status(status)).await;
        let (time, rows) = (Virtual::default(), rows(1));
        let connector = connector(&with_oauth(&server.url), "news");
        let work = Work {
            stop_before: Millis(60_000),
            request_timeout: Duration::from_secs(30),
            ..Work::new(Operation::Add, &rows, "k")
        };
        let driven = drive(&*connector, &time, &time, work).await;
        assert_eq!(
            (letters(&driven).as_str(), matches!(driven.stop, Some(Stop::Fatal { .. }))),
            ("R", fatal),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Server::start(|got, _| ok(got)).await;
    let to = format!("{}/internal", target.url);
    let server = Server::start(move |_, _| Does::status(307).with("location", to.clone())).await;
    let driven = deliver(&*connector(&batched(&server.url), "news"), Operation::Add, &rows(1)).await;
    assert_eq!(driven.stop, Some(Stop::Fatal { reason: "HTTP 307".into() }));
    assert_eq!(target.got().len(), 0);
}

#[tokio::test]
async fn private_addresses_are_refused_unless_the_deployment_allows_them() {
    let public = HttpPolicy::default();
    for url in [
        "https://127.0.0.1:9",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "http://example.com",
    ] {
        let refused = build(&destination(&batched(url)), "news", &secrets(), public);
        assert!(matches!(refused.err(), Some(BuildError::Url { .. })), "{url}");
    }
    let server = Server::start(|got, _| ok(got)).await;
    // A name is checked when it is resolved.
    let by_name = server.url.replace("http://127.0.0.1", "https://localhost");
    let connector = build(&destination(&batched(&by_name)), "news", &secrets(), public).unwrap();
    let driven = deliver(&*connector, Operation::Add, &rows(1)).await;
    let reason = "the destination's name leads to a private, loopback or link-local address".into();
    assert_eq!((letters(&driven).as_str(), driven.stop), ("R", Some(Stop::Fatal { reason })));
    assert_eq!(server.got().len(), 0);
    let mut token =
        with_oauth("https://api.example.com").replace("https://api.example.com/token", "https://10.0.0.7/token");
    token.push('\n');
    assert!(build(&destination(&token), "news", &secrets(), public).is_err());
}

#[tokio::test]
async fn a_destination_that_refuses_connections_is_down() {
    let server = Server::start(|got, _| ok(got)).await;
    let url = server.url.clone();
    drop(server);
    let port_is_closed = || async {
        // The listener closes when its task is dropped, which the runtime does in its own time.
        while tokio::net::TcpStream::connect(url.trim_start_matches("http://")).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    port_is_closed().await;
    let driven = deliver(&*connector(&batched(&url), "news"), Operation::Add, &rows(2)).await;
    assert_eq!((letters(&driven).as_str(), driven.stop), ("RR", Some(Stop::Down { reason: "no connection".into() })));
}

#[tokio::test]
async fn ids_are_looked_up_first_and_kept() {
    let server = Server::start(|got, _| match (got.method.as_str(), got.target.as_str()) {
        ("GET", "/people?email=p0%40example.com") => Does::json(200, &json!({ "people": [{ "id": 70 }] })),
        ("GET", "/people?email=p1%40example.com") => Does::json(200, &json!({ "people": [] })),
        ("GET", _) => Does::status(404),
        ("POST", _) => Does::json(201, &json!({ "id": "new" })),
        _ => Does::status(204),
    })
    .await;
    let yaml = format!(
        "version: 1
kind: rest
base_url: {}
lookup: {{path: /people, query: {{email: '{{{{ record.identifiers.email }}}}'}}, remote_id: /people/0/id, before: [add, update, remove]}}
add: {{method: POST, path: /people, body: {{json: '{{{{ record.fields }}}}'}}, answer: {{remote_id: /id}}}}
update: {{method: PUT, path: '/people/{{{{ record.remote_id }}}}', body: {{json: '{{{{ record.fields }}}}'}}}}
remove: {{method: DELETE, path: '/people/{{{{ record.remote_id }}}}'}}
",
        server.url
    );
    let connector = connector(&yaml, "news");
    let removed = deliver(&*connector, Operation::Remove, &removals(3)).await;
    assert_eq!((letters(&removed).as_str(), removed.requests), ("DDD", 4));
    assert_eq!(removed.outcomes[&0].remote_id.as_deref(), Some("70"));
    // The one that is there is updated, the others are added.
    let added = deliver(&*connector, Operation::Add, &rows(2)).await;
    assert_eq!(letters(&added), "DD");
    let ids: Vec<_> = added.outcomes.values().map(|o| o.remote_id.as_deref()).collect();
    assert_eq!(ids, [Some("70"), Some("new")]);
    let mut known = rows(1);
    known[0].1.remote_id = Some("70".into());
    assert_eq!(deliver(&*connector, Operation::Update, &known).await.requests, 1);
    let calls: Vec<String> =
        server.got().iter().filter(|g| g.method != "GET").map(|g| format!("{} {}", g.method, g.target)).collect();
    assert_eq!(calls, ["DELETE /people/70", "PUT /people/70", "POST /people", "PUT /people/70"]);
}

#[tokio::test]
async fn every_request_inside_a_batch_takes_a_slot() {
    let server = Server::start(|got, _| Does::status(if got.method == "POST" { 409 } else { 200 })).await;
    let time = Virtual::default();
    let driven = deliver_with(&*connector(&single(&server.url), "news"), Operation::Add, &rows(3), &time).await;
    assert_eq!((driven.requests, *time.slots.lock().unwrap()), (6, 6));
}

#[tokio::test]
async fn a_record_that_a_template_cannot_render_is_rejected_alone() {
    let server = Server::start(|got, _| ok(got)).await;
    let yaml = batched(&server.url).replace("'{{ record.fields }}'", "{name: '{{ record.fields.name }}'}");
    let mut some = rows(4);
    some[1].1.fields.remove("name");
    let driven = deliver(&*connector(&yaml, "news"), Operation::Add, &some).await;
    assert_eq!((letters(&driven).as_str(), driven.requests), ("DXDD", 1));
    let Outcome::Rejected { reason } = &driven.outcomes[&1].outcome else { panic!("rejected") };
    assert!(reason.contains("add.body.json.records.name"), "{reason}");
}

#[tokio::test]
async fn nothing_of_a_record_or_secret_is_in_what_people_may_see() {
    let server = Server::start(|_, _| Does::json(422, &json!({ "error": "p0@example.com is not valid" }))).await;
    let (config, secrets) = (destination(&batched(&server.url)), secrets());
    let connector = build(&config, "news", &secrets, local()).unwrap();
    let rows = rows(1);
    let driven = deliver(&*connector, Operation::Add, &rows).await;
    let seen = format!("{config:?} {secrets:?} {driven:?} {rows:?}");
    assert!(!seen.contains("s3cr3t") && !seen.contains("p0@example"), "{seen}");
}

#[test]
fn capabilities_follow_from_what_is_described() {
    let all = capabilities_of(&destination(&batched("https://api.example.com")));
    assert_eq!(all.add.map(|l| (l.records.get(), l.bytes.map(std::num::NonZero::get))), Some((4, Some(400))));
    assert!(all.remove.is_some() && !all.list && all.repeatable);
    let one = capabilities_of(&destination(&listed("https://api.example.com", "link", "")));
    assert!(one.add.is_none() && one.update.is_none() && one.list);
    assert_eq!(one.remove.map(|l| l.records.get()), Some(1));
}

/// What an error means for its records is the destination's to describe; the wait beside it is kept whatever that is.
#[tokio::test]
async fn a_wait_beside_any_error_of_the_server_is_kept_by_writes_and_by_reads() {
    for status in [500, 502, 504] {
        let server = Server::start(move |got: &Got, number| match (got.method.as_str(), number) {
            (_, 0) => Does::status(status).with("retry-after", "20"),
            ("GET", _) => Does::json(200, &json!({ "members": [] })),
            _ => by_position(got, &BTreeSet::new()),
        })
        .await;
        let time = Virtual::default();
        let driven = deliver_with(&*connector(&batched(&server.url), "news"), Operation::Add, &rows(2), &time).await;
        assert_eq!((letters(&driven).as_str(), time.now()), ("DD", Millis(20_000)), "{status}");
    }
    let server = Server::start(|_, number| match number {
        0 => Does::status(502).with("retry-after", "20"),
        _ => Does::json(200, &json!({ "members": [{ "email": "a@example.com" }] })),
    })
    .await;
    let time = Virtual::default();
    let listed =
        format!("{}list: {{path: /members, items: /members, identifiers: {{email: /email}}}}\n", single(&server.url));
    let read =
        read_page(&*connector(&listed, "news"), &time, &time, None, Millis(600_000), Duration::from_secs(30)).await;
    assert_eq!((read.page.map(|page| page.members.len()), time.now()), (Ok(1), Millis(20_000)));
}
