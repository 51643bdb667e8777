//! Google Data Manager: the suites, partial successes, clearing, request ids that are forgotten, and the vendor's classes.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)]

mod support;

use driftless_connector::{
    Connector, OutRow, Stop, Work,
    conformance::{Manners, Person},
    drive,
};
use driftless_model::{Identifier, Millis, Operation, Outcome, RecordKey};
use serde_json::{Map, json};
use sha2::{Digest, Sha256};
use support::{
    Server, Virtual, connector, deliver,
    google::UserList,
    letters,
    list::{Kind, List, Running},
    vendor,
};

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.trim().to_lowercase()))
}

fn row(person: &Person) -> OutRow {
    let email = digest(&person.email);
    OutRow {
        key: RecordKey::new(&person.key),
        identifiers: [Identifier::new("email", &email)].into(),
        remote_id: None,
        fields: json!({ "email": email, "given": digest("n"), "family": digest("m"), "region": "DE", "zip": "10115" })
            .as_object()
            .cloned()
            .unwrap(),
    }
}

fn rows(numbers: impl IntoIterator<Item = u32>) -> Vec<(u32, OutRow)> {
    numbers.into_iter().map(|n| (n, row(&Person::numbered(n)))).collect()
}

fn talks_to(url: &str, more: &str) -> Box<dyn Connector> {
    let yaml = format!(
        "version: 1
kind: google_data_manager
base_url: {url}
auth: {{bearer: {{token: {{secret: token}}}}}}
account: {{id: '1234567890'}}
login_account: {{id: '99'}}
identifiers: {{address: {{given_name: given, family_name: family, region_code: region, postal_code: zip}}}}
consent: {{ad_user_data: granted, ad_personalization: granted}}
customer_match_terms_accepted: true
records: 8
{more}"
    );
    connector(&yaml, "55")
}

async fn started(list: List) -> Running {
    let server = UserList { list, ..UserList::default() }.start().await;
    let connector = talks_to(&server.url, "");
    (server, connector)
}

fn kind() -> Kind {
    Kind { row, manners: Manners::default(), values: false, ..Kind::new(|list| Box::pin(started(list))) }
}

#[tokio::test]
async fn it_conforms() {
    kind().conforms().await;
}

#[tokio::test]
async fn twenty_snapshots_in_bad_weather_end_equal() {
    kind().converges().await;
}

async fn user_list(more: &str) -> (UserList, Server, Box<dyn Connector>) {
    let list = UserList::default();
    let server = list.start().await;
    let connector = talks_to(&server.url, more);
    (list, server, connector)
}

fn bad(list: &UserList, numbers: &[u32]) {
    let names =
        rows(numbers.iter().copied()).into_iter().map(|(_, row)| row.fields["email"].as_str().unwrap().to_owned());
    list.state.lock().unwrap().without_consent = names.collect();
}

#[tokio::test]
async fn records_that_google_counts_and_does_not_name_are_counted() {
    let (list, _server, connector) = user_list("").await;
    bad(&list, &[2, 5]);
    let driven = deliver(&*connector, Operation::Add, &rows(0..8)).await;
    assert_eq!((letters(&driven).as_str(), driven.stop), ("DDDDDDDD", None));
    let counted: Vec<(String, u64)> = driven.unnamed.into_iter().collect();
    assert_eq!(counted, [("PROCESSING_ERROR_REASON_NO_CONSENT".to_owned(), 2)]);
}

#[tokio::test]
async fn where_it_is_asked_for_they_are_found_by_halving() {
    let (list, _server, connector) = user_list("on_partial_success: bisect\n").await;
    bad(&list, &[2, 5]);
    let rows = rows(0..8);
    let time = Virtual::default();
    let work = Work { stop_before: Millis(3_600_000), ..Work::new(Operation::Add, &rows, "k") };
    let driven = drive(&*connector, &time, &time, work).await;
    assert_eq!((letters(&driven).as_str(), driven.stop), ("DDXDDXDD", None));
    assert!(driven.unnamed.is_empty());
}

#[tokio::test]
async fn a_request_that_fails_for_all_rejects_them_with_the_reason() {
    let (list, _server, connector) = user_list("").await;
    bad(&list, &[0, 1]);
    let driven = deliver(&*connector, Operation::Add, &rows(0..2)).await;
    let rejected = Outcome::Rejected { reason: "PROCESSING_ERROR_REASON_NO_CONSENT".into() };
    assert!(driven.outcomes.values().all(|row| row.outcome == rejected), "{driven:?}");
}

#[tokio::test]
async fn a_refusal_that_names_nobody_is_bisected() {
    let (list, _server, connector) = user_list("").await;
    list.state.lock().unwrap().nameless = true;
    let name = rows([3])[0].1.fields["email"].as_str().unwrap().to_owned();
    list.list.faults.inject(Some(driftless_connector::conformance::Fault::Refuse([name].into())));
    let driven = deliver(&*connector, Operation::Add, &rows(0..8)).await;
    assert_eq!((letters(&driven).as_str(), driven.stop), ("DDDXDDDD", None));
}

#[tokio::test]
async fn a_list_is_cleared_of_whom_was_last_added_before_the_run() {
    let (list, _server, connector) = user_list("").await;
    list.state.lock().unwrap().now = "1970-01-01T00:01:00.000Z".into();
    deliver(&*connector, Operation::Add, &rows(0..5)).await;
    list.state.lock().unwrap().now = "1970-01-01T00:03:00.000Z".into();
    deliver(&*connector, Operation::Add, &rows(3..8)).await;
    let time = Virtual::default();
    let clear = Work { before: Millis(120_000), stop_before: Millis(600_000), ..Work::new(Operation::Clear, &[], "k") };
    assert_eq!(drive(&*connector, &time, &time, clear).await.stop, None);
    assert_eq!(list.list.members().len(), 5, "who was added again stays");
    let future = Work { before: Millis(999_000), ..clear };
    let refused = drive(&*connector, &time, &time, future).await.stop;
    assert!(
        matches!(&refused, Some(Stop::Fatal { reason }) if reason.contains("INVALID_REMOVE_AS_OF_TIME")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_request_id_that_is_forgotten_leaves_its_members_uncertain() {
    let (list, _server, connector) = user_list("").await;
    list.state.lock().unwrap().forgetful = true;
    let driven = deliver(&*connector, Operation::Add, &rows(0..3)).await;
    assert!(matches!(driven.stop, Some(Stop::NoAnswer { .. })), "sent again, and given up for now: {driven:?}");
    assert_eq!(letters(&driven), "UUU");
}

#[tokio::test]
async fn a_plain_value_is_never_sent_where_a_digest_belongs() {
    let (_list, server, connector) = user_list("").await;
    let mut rows = rows(0..2);
    rows[0].1.fields.insert("email".into(), json!("mary@example.com"));
    assert_eq!(letters(&deliver(&*connector, Operation::Add, &rows).await), "XD");
    assert!(server.got().iter().all(|got| !String::from_utf8_lossy(&got.body).contains("mary")), "it did not leave us");
}

#[tokio::test]
async fn a_new_list_is_made_once_and_retired() {
    let (list, _server, connector) = user_list("").await;
    let id = connector.create_list("list \"2026\"").await.expect("made");
    assert_eq!(connector.create_list("list \"2026\"").await, Ok(id.clone()), "the one of that name is taken");
    assert_eq!(list.state.lock().unwrap().lists.len(), 1);
    for _ in 0..2 {
        connector.retire_list(&id).await.expect("gone already is success");
    }
    assert!(connector.check().await.iter().all(|step| step.result.is_ok()));
}

/// What we send is read by the vendor's message classes with unknown fields forbidden, and so is what the stub answers.
#[tokio::test]
async fn the_vendors_classes_read_what_is_sent_and_what_the_stub_says() {
    let (list, server, connector) = user_list("").await;
    list.state.lock().unwrap().now = "1970-01-01T00:03:00.000Z".into();
    bad(&list, &[1]);
    deliver(&*connector, Operation::Add, &rows(0..3)).await;
    let gone = rows(0..2).into_iter().map(|(n, row)| (n, OutRow { fields: Map::new(), ..row })).collect::<Vec<_>>();
    deliver(&*connector, Operation::Remove, &gone).await;
    let time = Virtual::default();
    let clear = Work { before: Millis(120_000), stop_before: Millis(600_000), ..Work::new(Operation::Clear, &[], "k") };
    drive(&*connector, &time, &time, clear).await;
    connector.create_list("new").await.expect("made");
    let sent = server.got().into_iter().filter(|got| got.method == "POST").map(|got| json!([got.path(), got.json()]));
    let said = list.state.lock().unwrap().said.clone().into_iter().map(|(kind, body)| json!([kind, body]));
    let all: Vec<_> = sent.chain(said).collect();
    let file = std::env::temp_dir().join(format!("driftless-google-{}.json", std::process::id()));
    std::fs::write(&file, json!(all).to_string()).expect("a temporary file");
    let path = file.to_string_lossy().into_owned();
    let read = vendor::run("data_manager.py", "google.ads.datamanager_v1", vec![path]).await;
    std::fs::remove_file(&file).expect("it is there");
    if let Some(read) = read {
        assert_eq!(read.trim(), format!("{} read", all.len()));
    }
}
