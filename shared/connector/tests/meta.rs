//! Meta Custom Audiences: the suites, the rules of replacement sessions, removals, new audiences, and the vendor's SDK.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)]

mod support;

use driftless_connector::{
    Connector, Driven, OutRow, Session, Stop, Work,
    conformance::{Fault, Manners, Person, Refuses},
    drive,
};
use driftless_model::{Identifier, Millis, Operation, RecordKey};
use serde_json::{Map, json};
use sha2::{Digest, Sha256};
use support::{
    Server, Virtual, connector, letters,
    list::{Kind, List, Running},
    meta::Audience,
    vendor,
};

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.trim().to_lowercase()))
}

fn row(person: &Person) -> OutRow {
    let (email, name) = (digest(&person.email), digest(&person.first_name));
    OutRow {
        key: RecordKey::new(&person.key),
        identifiers: [Identifier::new("email", &email)].into(),
        remote_id: None,
        fields: json!({ "email": email, "first_name": name }).as_object().cloned().unwrap(),
    }
}

fn rows(numbers: impl IntoIterator<Item = u32>) -> Vec<(u32, OutRow)> {
    numbers.into_iter().map(|n| (n, row(&Person::numbered(n)))).collect()
}

fn talks_to(url: &str) -> Box<dyn Connector> {
    let yaml = format!(
        "version: 1
kind: meta
base_url: {url}
auth: {{bearer: {{token: {{secret: token}}}}}}
account: '9'
keys: {{EMAIL: email, PHONE: phone, FN: first_name}}
records: 8
"
    );
    connector(&yaml, "77")
}

async fn started(list: List) -> Running {
    let server = Audience { list, ..Audience::default() }.start().await;
    let connector = talks_to(&server.url);
    (server, connector)
}

fn kind() -> Kind {
    let manners = Manners { refuses: Refuses::Silently, says_how_long: false, ..Manners::default() };
    Kind { row, manners, values: false, ..Kind::new(|list| Box::pin(started(list))) }
}

#[tokio::test]
async fn it_conforms() {
    kind().conforms().await;
}

#[tokio::test]
async fn twenty_snapshots_in_bad_weather_end_equal() {
    kind().converges().await;
}

async fn audience() -> (Audience, Server, Box<dyn Connector>) {
    let audience = Audience::default();
    let server = audience.start().await;
    let connector = talks_to(&server.url);
    (audience, server, connector)
}

async fn part(connector: &dyn Connector, session: u64, part: u32, parts: u32, rows: &[(u32, OutRow)]) -> Driven {
    let session = Session { number: session, part, parts, records: 20 };
    let work =
        Work { stop_before: Millis(600_000), session: Some(session), ..Work::new(Operation::Add, rows, "run-1") };
    let time = Virtual::default();
    drive(connector, &time, &time, work).await
}

#[tokio::test]
async fn a_session_replaces_the_audience_whatever_is_lost_or_comes_twice() {
    let (audience, _server, connector) = audience().await;
    audience.list.members().insert("somebody else".into(), String::new());
    let faults = [None, Some(Fault::LoseAnswer), Some(Fault::LoseRequest), Some(Fault::Slow), Some(Fault::ServerError)];
    for (number, fault) in (1..).zip(faults) {
        let all: Vec<Vec<(u32, OutRow)>> = vec![rows(0..8), rows(8..16), rows(16..20)];
        for (at, rows) in (1..).zip(&all) {
            for _ in 0..2 {
                if at != 3 {
                    audience.list.faults.inject(fault.clone().filter(|f| *f != Fault::Slow));
                }
                let driven = part(&*connector, number, at, 3, rows).await;
                assert_eq!(
                    (letters(&driven), driven.stop),
                    ("D".repeat(rows.len()), None),
                    "part {at} after {fault:?}"
                );
                audience.list.faults.inject(None);
            }
            let replaced =
                audience.list.members().len() == 20 && !audience.list.members().contains_key("somebody else");
            assert!(at < 3 || replaced, "the last part replaces the audience");
        }
    }
}

#[tokio::test]
async fn the_last_part_whose_answer_is_lost_is_known_to_have_ended_the_session() {
    let (audience, _server, connector) = audience().await;
    assert_eq!(part(&*connector, 5, 1, 2, &rows(0..3)).await.stop, None);
    audience.list.faults.inject(Some(Fault::LoseAnswer));
    let driven = part(&*connector, 5, 2, 2, &rows(3..5)).await;
    assert_eq!((letters(&driven).as_str(), driven.stop), ("DD", None));
    assert_eq!(audience.list.members().len(), 5);
}

#[tokio::test]
async fn a_session_that_is_late_or_unknown_stops_the_run() {
    let (audience, _server, connector) = audience().await;
    let unknown = part(&*connector, 6, 2, 3, &rows(0..2)).await;
    assert!(matches!(&unknown.stop, Some(Stop::Fatal { reason }) if reason.contains("2650/1870147")), "{unknown:?}");
    part(&*connector, 6, 1, 3, &rows(0..2)).await;
    audience.state.lock().unwrap().sessions.get_mut(&6).unwrap().late = true;
    for at in [2, 3] {
        let late = part(&*connector, 6, at, 3, &rows(2..4)).await;
        assert!(matches!(&late.stop, Some(Stop::Fatal { reason }) if reason.contains("2650/1870158")), "{late:?}");
    }
}

#[tokio::test]
async fn nothing_else_is_sent_while_a_replacement_is_in_progress() {
    let (_audience, _server, connector) = audience().await;
    part(&*connector, 7, 1, 3, &rows(0..2)).await;
    let time = Virtual::default();
    let work = Work { stop_before: Millis(40_000), ..Work::new(Operation::Add, &[], "k") };
    let rows_of = rows(5..7);
    let driven = drive(&*connector, &time, &time, Work { rows: &rows_of, ..work }).await;
    assert!(matches!(driven.stop, Some(Stop::Throttled { .. })), "it waits: {:?}", driven.stop);
    // Nor is another session: whose the replacement is has been asked for.
    let session = Some(Session { number: 8, part: 1, parts: 1, records: 2 });
    let driven =
        drive(&*connector, &time, &time, Work { rows: &rows_of, session, stop_before: Millis(80_000), ..work }).await;
    assert!(matches!(driven.stop, Some(Stop::Throttled { .. })), "it waits: {:?}", driven.stop);
}

#[tokio::test]
async fn every_identifier_that_was_sent_is_removed_by_itself() {
    let (audience, server, connector) = audience().await;
    let identifiers: Vec<String> = (0..12).map(|n| digest(&format!("old{n}@example.com"))).collect();
    for name in &identifiers {
        audience.list.members().insert(name.clone(), String::new());
    }
    let of = |range: std::ops::Range<usize>| OutRow {
        key: RecordKey::new("c"),
        identifiers: identifiers[range].iter().map(|value| Identifier::new("email", value)).collect(),
        remote_id: None,
        fields: Map::new(),
    };
    let rows = vec![(0, of(0..5)), (1, of(5..10)), (2, of(10..12))];
    let driven = support::deliver(&*connector, Operation::Remove, &rows).await;
    assert_eq!((letters(&driven).as_str(), audience.list.members().len()), ("DDD", 0));
    assert!(driven.requests > 1, "8 lines a request: {}", server.got().len());
}

#[tokio::test]
async fn a_plain_value_is_never_sent_where_a_digest_belongs() {
    let (_audience, server, connector) = audience().await;
    let mut rows = rows(0..2);
    rows[1].1.fields.insert("email".into(), json!("mary@example.com"));
    let driven = support::deliver(&*connector, Operation::Add, &rows).await;
    assert_eq!(letters(&driven), "DX");
    let got = server.got();
    assert!(got.iter().all(|got| !String::from_utf8_lossy(&got.body).contains("mary")), "it did not leave us");
}

#[tokio::test]
async fn a_new_audience_is_made_once_and_retired() {
    let (audience, _server, connector) = audience().await;
    let id = connector.create_list("list-2026-11").await.expect("made");
    assert_eq!(connector.create_list("list-2026-11").await, Ok(id.clone()), "the one of that name is taken");
    assert_eq!(audience.state.lock().unwrap().audiences.len(), 1);
    for _ in 0..2 {
        connector.retire_list(&id).await.expect("gone already is success");
    }
    assert!(connector.check().await.iter().all(|step| step.result.is_ok()));
}

/// The shapes of the stub are the vendor's: its SDK adds, removes, replaces and lists sessions with only the host changed.
#[tokio::test]
async fn the_vendors_sdk_drives_the_same_stub() {
    let (audience, server, _) = audience().await;
    let Some(said) = vendor::run("meta.py", "facebook_business", vec![server.url.clone()]).await else { return };
    assert_eq!(said.trim(), "added 2, removed 1, replaced by 3 in session 42, audience 100");
    assert_eq!(audience.list.members().len(), 3);
}
