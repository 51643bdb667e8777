//! Klaviyo: the suites, errors per profile, look-ups of ids, pages, new lists, and the vendor's SDK.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use driftless_connector::{
    Connector, ListState, Open, OutRow,
    conformance::{Fault, Manners, Refuses},
};
use driftless_model::{Identifier, IdentifierSet, Operation, RecordKey};
use serde_json::{Map, json};
use support::{
    Server, connector, deliver,
    klaviyo::Account,
    letters,
    list::{Kind, List, Running},
    removals, row, rows, vendor,
};

fn talks_to(url: &str, records: u32) -> Box<dyn Connector> {
    let yaml = format!(
        "version: 1
kind: klaviyo
base_url: {url}
auth: {{header: {{name: Authorization, prefix: 'Klaviyo-API-Key ', value: {{secret: token}}}}}}
records: {records}
"
    );
    connector(&yaml, "L1")
}

async fn started(list: List) -> Running {
    let server = Account { list, ..Account::default() }.start().await;
    let connector = talks_to(&server.url, 8);
    (server, connector)
}

/// Klaviyo keeps addresses in lower case.
fn folded(identifiers: &IdentifierSet) -> BTreeSet<String> {
    identifiers.iter().map(|identifier| identifier.value.to_lowercase()).collect()
}

fn kind() -> Kind {
    let manners = Manners { refuses: Refuses::ByName, ..Manners::default() };
    Kind { names: folded, manners, ..Kind::new(|list| Box::pin(started(list))) }
}

#[tokio::test]
async fn it_conforms() {
    kind().conforms().await;
}

#[tokio::test]
async fn twenty_snapshots_in_bad_weather_end_equal() {
    kind().converges().await;
}

async fn account(records: u32) -> (Account, Server, Box<dyn Connector>) {
    let account = Account::default();
    let server = account.start().await;
    let connector = talks_to(&server.url, records);
    (account, server, connector)
}

#[tokio::test]
async fn failures_on_several_pages_find_their_rows() {
    let (account, _server, connector) = account(400).await;
    let bad: BTreeSet<String> = (0..400).filter(|n| n % 3 == 0).map(|n| format!("p{n}@example.com")).collect();
    account.list.faults.inject(Some(Fault::RefuseReordered(bad)));
    let driven = deliver(&*connector, Operation::Add, &rows(400)).await;
    let wanted: String = (0..400).map(|n| if n % 3 == 0 { 'X' } else { 'D' }).collect();
    assert_eq!((letters(&driven), driven.stop), (wanted, None));
}

#[tokio::test]
async fn failures_that_name_nobody_are_found_by_halving() {
    let (account, _server, connector) = account(8).await;
    account.state.lock().unwrap().nameless = true;
    account.list.faults.inject(Some(Fault::Refuse(["p5@example.com".to_owned()].into())));
    let driven = deliver(&*connector, Operation::Add, &rows(8)).await;
    assert_eq!((letters(&driven).as_str(), driven.stop), ("DDDDDXDD", None));
}

#[tokio::test]
async fn a_removal_looks_up_the_profiles_and_leaves_them() {
    let (account, server, connector) = account(1_000).await;
    let all = rows(120);
    deliver(&*connector, Operation::Add, &all).await;
    let before = server.got().len();
    let driven = deliver(&*connector, Operation::Remove, &removals(130)).await;
    assert_eq!(letters(&driven), "D".repeat(130), "who has no profile is not in the list");
    let asked = server.got().len() - before;
    assert_eq!((asked, driven.requests), (4, 4), "130 ids are looked up by three requests, and one removes");
    assert_eq!((account.list.members().len(), account.state.lock().unwrap().profiles.len()), (0, 120));
}

#[tokio::test]
async fn every_address_that_a_record_had_leaves_the_list() {
    let (account, _server, connector) = account(8).await;
    deliver(&*connector, Operation::Add, &rows(3)).await;
    let identifiers = ["p0@example.com", "p2@example.com"].map(|value| Identifier::new("email", value));
    let row = OutRow { key: RecordKey::new("c"), identifiers: identifiers.into(), remote_id: None, fields: Map::new() };
    deliver(&*connector, Operation::Remove, &[(0, row)]).await;
    assert_eq!(account.list.members().keys().collect::<Vec<_>>(), ["p1@example.com"]);
}

#[tokio::test]
async fn fields_become_attributes_and_the_rest_properties() {
    let (_account, server, connector) = account(8).await;
    let fields =
        json!({ "first_name": "Ada", "location.country": "GB", "plan": "gold", "phone_number": "+441234567890" });
    deliver(&*connector, Operation::Add, &[row(1, fields)]).await;
    let sent = server.got()[0].json()["data"]["attributes"]["profiles"]["data"][0]["attributes"].clone();
    let wanted = json!({ "email": "p1@example.com", "first_name": "Ada", "phone_number": "+441234567890",
        "location": { "country": "GB" }, "properties": { "plan": "gold" } });
    assert_eq!(sent, wanted);
    let driven = deliver(
        &*connector,
        Operation::Add,
        &[row(2, json!({ "email": "" })), row(3, json!({ "x": "y".repeat(100_000) }))],
    )
    .await;
    assert_eq!((letters(&driven).as_str(), driven.requests), ("XX", 0), "no identifier; too large");
}

#[tokio::test]
async fn the_list_is_read_page_by_page() {
    let (_account, _server, connector) = account(300).await;
    assert_eq!(connector.inspect().await, Ok(ListState::Empty));
    deliver(&*connector, Operation::Add, &rows(250)).await;
    assert_eq!(connector.inspect().await, Ok(ListState::NotEmpty));
    let (mut members, mut cursor, mut pages) = (0, None, 0);
    loop {
        let page = connector.list(cursor, &Open).await.expect("a page");
        (members, pages) = (members + page.members.len(), pages + 1);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((members, pages), (250, 3));
}

#[tokio::test]
async fn a_new_list_is_made_once_and_retired() {
    let (account, _server, connector) = account(8).await;
    let id = connector.create_list("list 2026").await.expect("made");
    assert_eq!(connector.create_list("list 2026").await, Ok(id.clone()), "the one of that name is taken");
    assert_eq!(account.state.lock().unwrap().lists.len(), 1);
    for _ in 0..2 {
        connector.retire_list(&id).await.expect("gone already is success");
    }
    assert!(connector.check().await.iter().all(|step| step.result.is_ok()));
}

/// The shapes of the stub are the vendor's: its SDK imports, polls, reads errors, adds, removes and lists with only the host
/// changed, and checks every attribute that it is given.
#[tokio::test]
async fn the_vendors_sdk_drives_the_same_stub() {
    let (account, server, _) = account(8).await;
    account.list.faults.inject(Some(Fault::Refuse(["bad@example.com".to_owned()].into())));
    let Some(said) = vendor::run("klaviyo.py", "klaviyo_api", vec![server.url.clone()]).await else { return };
    assert_eq!(
        said.trim(),
        "complete, 1 failed for bad@example.com; 1 after the removal, 2 after the addition; list L2"
    );
    assert_eq!(account.list.members().len(), 2);
}
