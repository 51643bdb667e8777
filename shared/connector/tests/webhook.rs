//! `webhook`: what a receiver gets, verified by the reference library, and what it may answer.
//!
//! `DRIFTLESS_VENV` names the Python environment that has `standardwebhooks`; without it the test with it says so and passes.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use driftless_connector::{Connector, FetchedSecrets, Ports, Stop, build_with};
use driftless_model::{Clock, Millis, Operation};
use serde_json::{Value, json};
use support::{Does, Got, Server, Virtual, deliver, destination, letters, local, removals, rows};

const CURRENT: &str = driftless_stubs::receiver::SIGNING;
const NEXT: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A clock that is a second later each time.
struct Ticking(Mutex<i64>);

impl Clock for Ticking {
    fn now(&self) -> Millis {
        let mut now = self.0.lock().unwrap();
        *now += 1_000;
        Millis(*now)
    }
}

fn webhook(url: &str, more: &str, from: i64) -> Box<dyn Connector> {
    let yaml = format!(
        "version: 1
kind: webhook
base_url: {url}/hooks/members
signing_secrets: [{{secret: current}}, {{secret: next}}]
{more}
"
    );
    let secrets: FetchedSecrets = [("current", CURRENT), ("next", NEXT)]
        .map(|(name, secret)| (name.parse().unwrap(), secret.to_owned().into()))
        .into_iter()
        .collect();
    let ports = Ports { clock: Some(Arc::new(Ticking(Mutex::new(from)))), ..Ports::default() };
    build_with(&destination(&yaml), "news", &secrets, local(), &ports).unwrap_or_else(|error| panic!("{error}"))
}

fn header<'a>(got: &'a Got, name: &str) -> &'a str {
    got.header(name).unwrap_or_else(|| panic!("no header {name}"))
}

#[tokio::test]
async fn a_request_says_what_to_do_with_which_records() {
    let server = Server::start(|_, _| Does::status(204)).await;
    let connector = webhook(&server.url, "headers: {X-Tenant: acme}", 0);
    assert_eq!(letters(&deliver(&*connector, Operation::Add, &rows(2)).await), "DD");
    assert_eq!(letters(&deliver(&*connector, Operation::Remove, &removals(1)).await), "D");
    let got = server.got();
    assert!(got.iter().all(|g| (g.method.as_str(), g.path()) == ("POST", "/hooks/members")));
    assert!(got.iter().all(|g| header(g, "x-tenant") == "acme" && header(g, "content-type") == "application/json"));
    let add = got[0].json();
    assert_eq!((&add["type"], &add["data"]["list"]), (&json!("list.records.added"), &json!("news")));
    assert_eq!(
        add["data"]["records"][1],
        json!({ "key": "c1", "identifiers": { "email": ["p1@example.com"] }, "fields": { "email": "p1@example.com", "name": "N1" } })
    );
    let remove = got[1].json();
    assert_eq!(
        (&remove["type"], &remove["data"]["records"]),
        (&json!("list.records.removed"), &json!([{ "key": "c0", "identifiers": { "email": ["p0@example.com"] } }]))
    );
    assert_eq!(header(&got[0], "idempotency-key"), format!("\"{}\"", header(&got[0], "webhook-id")));
    assert_ne!(header(&got[0], "webhook-id"), header(&got[1], "webhook-id"));
}

#[tokio::test]
async fn a_retry_has_the_same_id_and_bytes_and_its_own_time() {
    let server = Server::start(|_, number| match number {
        0 => Does::status(502),
        1 => Does::Cuts,
        2 => Does::status(409),
        _ => Does::status(200),
    })
    .await;
    let connector = webhook(&server.url, "", 0);
    assert_eq!(letters(&deliver(&*connector, Operation::Add, &rows(3)).await), "DDD");
    let got = server.got();
    assert_eq!(got.len(), 4);
    assert!(got.iter().all(|g| g.body == got[0].body && header(g, "webhook-id") == header(&got[0], "webhook-id")));
    let times: Vec<i64> = got.iter().map(|g| header(g, "webhook-timestamp").parse().unwrap()).collect();
    assert!(times.windows(2).all(|w| w[0] < w[1]), "{times:?}");
    let signatures: Vec<&str> = got.iter().map(|g| header(g, "webhook-signature")).collect();
    assert!(signatures.windows(2).all(|w| w[0] != w[1]), "the time is signed");
}

#[tokio::test]
async fn what_is_too_large_goes_out_in_more_requests_and_one_record_that_is_too_large_is_refused() {
    let server = Server::start(|_, _| Does::status(200)).await;
    let connector = webhook(&server.url, "bytes: 700\nrecords: 40", 0);
    let mut all = rows(20);
    all[7].1.fields.insert("note".into(), json!("x".repeat(800)));
    let driven = deliver(&*connector, Operation::Add, &all).await;
    assert_eq!((letters(&driven), driven.stop), (format!("{}X{}", "D".repeat(7), "D".repeat(12)), None));
    let got = server.got();
    assert!(got.len() > 2 && got.iter().all(|g| g.body.len() <= 700), "{} requests", got.len());
}

#[tokio::test]
async fn a_refusal_finds_the_record_and_an_endpoint_that_is_gone_stops_the_call() {
    let server = Server::start(|got: &Got, _| {
        let bad = got.json()["data"]["records"].as_array().unwrap().iter().any(|r| r["key"] == "c5");
        Does::status(if bad { 422 } else { 200 })
    })
    .await;
    let connector = webhook(&server.url, "", 0);
    let driven = deliver(&*connector, Operation::Add, &rows(9)).await;
    assert_eq!((letters(&driven), driven.stop), ("DDDDDXDDD".into(), None));

    for (status, stop) in [
        (410, "HTTP 410: the receiver wants no more requests at this URL"),
        (301, "HTTP 301"),
        (401, "HTTP 401"),
        (404, "HTTP 404"),
    ] {
        let server = Server::start(move |_, _| Does::status(status)).await;
        let driven = deliver(&*webhook(&server.url, "", 0), Operation::Add, &rows(2)).await;
        assert_eq!((letters(&driven), driven.requests), ("RR".into(), 1));
        assert_eq!(driven.stop, Some(Stop::Fatal { reason: stop.into() }));
    }
}

#[tokio::test]
async fn without_repeats_a_lost_answer_leaves_its_records_uncertain() {
    let server = Server::start(|_, _| Does::Cuts).await;
    let driven = deliver(&*webhook(&server.url, "repeatable: false", 0), Operation::Add, &rows(2)).await;
    assert_eq!((letters(&driven), driven.requests), ("UU".into(), 1));
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_kept() {
    for (status, more) in [(429, ""), (503, ""), (502, ""), (504, ""), (502, "repeatable: false\nrecords: 1")] {
        let server = Server::start(move |_, number| match number {
            0 => Does::status(status).with("retry-after", "40"),
            _ => Does::status(200),
        })
        .await;
        let time = Virtual::default();
        let connector = webhook(&server.url, more, 0);
        let driven = support::deliver_with(&*connector, Operation::Add, &rows(2), &time).await;
        // What must not be sent again waits no less: the next record would be too early.
        let wanted = if more.is_empty() { "DD" } else { "UD" };
        assert_eq!((letters(&driven).as_str(), time.now()), (wanted, Millis(40_000)), "{status} {more}");
    }
}

#[tokio::test]
async fn a_pause_that_is_longer_than_the_claim_says_when_to_come_back() {
    for status in [500, 502, 503, 504] {
        let server = Server::start(move |_, _| Does::status(status).with("retry-after", "3600")).await;
        let driven = deliver(&*webhook(&server.url, "", 0), Operation::Add, &rows(1)).await;
        let wanted = Stop::Throttled { until: Millis(3_600_000), reason: format!("HTTP {status}") };
        assert_eq!((driven.requests, driven.stop), (1, Some(wanted)));
    }
}

#[tokio::test]
async fn checking_sends_an_event_without_records() {
    let server = Server::start(|_, _| Does::status(202)).await;
    let steps = webhook(&server.url, "", 0).check().await;
    assert_eq!(steps[0].result, Ok("HTTP 202".into()));
    let got = &server.got()[0];
    assert_eq!(got.json(), json!({ "type": "list.checked", "data": { "list": "news", "records": [] } }));
    assert!(got.header("webhook-signature").is_some());
}

/// Reads `[secret, headers, body]` from its input and says what the library says.
const VERIFIER: &str = "
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
for secret, headers, body in json.load(sys.stdin):
    try:
        Webhook(secret).verify(body, headers)
        print('verified')
    except WebhookVerificationError as error:
        print(error)
";

#[tokio::test]
async fn the_reference_library_verifies_what_is_sent_by_either_secret() {
    let Ok(venv) = std::env::var("DRIFTLESS_VENV") else {
        #[allow(clippy::print_stderr)]
        {
            eprintln!("skipped: DRIFTLESS_VENV does not name the Python environment");
        }
        return;
    };
    let server = Server::start(|_, _| Does::status(200)).await;
    #[allow(clippy::disallowed_methods)] // the library compares with the real time
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = i64::try_from(now).unwrap();
    for from in [now, now - 600_000, now + 600_000] {
        let connector = webhook(&server.url, "", from);
        let mut row = rows(1);
        row[0].1.fields.insert("name".into(), json!("Zoë 🙂 \"x\"\n"));
        assert_eq!(letters(&deliver(&*connector, Operation::Add, &row).await), "D");
    }
    let got = server.got();
    let cases: Vec<Value> =
        [(0, CURRENT), (0, NEXT), (0, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), (1, NEXT), (2, NEXT)]
            .iter()
            .map(|(request, secret)| {
                json!([secret, got[*request].headers, String::from_utf8(got[*request].body.clone()).unwrap()])
            })
            .chain([json!([CURRENT, got[0].headers, format!("{} ", String::from_utf8_lossy(&got[0].body))])])
            .collect();
    let mut verifier = Command::new(format!("{venv}/bin/python"))
        .args(["-c", VERIFIER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    verifier.stdin.take().unwrap().write_all(Value::from(cases).to_string().as_bytes()).unwrap();
    let said = verifier.wait_with_output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let wanted = [
        "verified",
        "verified",
        "No matching signature found",
        "Message timestamp too old",
        "Message timestamp too new",
        "No matching signature found",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), wanted);
}

/// The conformance suite, and the simulation of twenty snapshots, with a receiver that keeps a list.
#[cfg(feature = "conformance")]
mod suites {
    use std::collections::BTreeSet;

    use driftless_connector::conformance::{Login, Manners};
    use driftless_model::IdentifierSet;
    use driftless_stubs::receiver::Receiver;

    use super::*;
    use crate::support::list::{Kind, List, Running};

    fn all_values(identifiers: &IdentifierSet) -> BTreeSet<String> {
        identifiers.iter().map(|identifier| identifier.value.clone()).collect()
    }

    async fn receiver(list: List) -> Running {
        let receiver = Receiver::new(list, 8);
        let server = Server::start(move |got: &Got, _| receiver.answer(got)).await;
        let connector = webhook(&server.url, "records: 8", 0);
        (server, connector)
    }

    fn kind() -> Kind {
        Kind {
            manners: Manners { login: Login::None, reads_answers: false, ..Manners::default() },
            names: all_values,
            ..Kind::new(|list| Box::pin(receiver(list)))
        }
    }

    #[tokio::test]
    async fn webhook_conforms() {
        kind().conforms().await;
    }

    #[tokio::test]
    async fn webhook_converges() {
        kind().converges().await;
    }
}
