//! The shipped recipes on stubs with each vendor's rules: the conformance suite, the simulation, and what is peculiar to one.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Stdio;

use driftless_connector::{Stop, capabilities_of};
use driftless_model::{Identifier, Operation, Outcome};
use driftless_stubs::recipes::{mailchimp, tiktok};
use serde_json::json;
use sha2::{Digest, Sha256};
use support::{
    Does, Got, Server, connector, deliver, destination, letters,
    list::List,
    recipes::{LIST, braze_kind, iterable_kind, linkedin_kind, mailchimp_kind, recipe, tiktok_kind, tiktok_yaml},
    rows,
};
use tokio::process::Command;

#[tokio::test]
async fn mailchimp_conforms() {
    mailchimp_kind().conforms().await;
}

#[tokio::test]
async fn mailchimp_converges() {
    mailchimp_kind().converges().await;
}

#[tokio::test]
async fn iterable_conforms() {
    iterable_kind().conforms().await;
}

#[tokio::test]
async fn iterable_converges() {
    iterable_kind().converges().await;
}

#[tokio::test]
async fn linkedin_conforms() {
    linkedin_kind().conforms().await;
}

#[tokio::test]
async fn linkedin_converges() {
    linkedin_kind().converges().await;
}

#[tokio::test]
async fn tiktok_conforms() {
    tiktok_kind().conforms().await;
}

#[tokio::test]
async fn tiktok_converges() {
    tiktok_kind().converges().await;
}

#[tokio::test]
async fn braze_conforms() {
    braze_kind().conforms().await;
}

#[tokio::test]
async fn braze_converges() {
    braze_kind().converges().await;
}

/// The vendor's own library, of which only the host is changed, works on the stub as on the service: the shapes of the stub are the
/// vendor's. `DRIFTLESS_VENV` has the library; without it the test says so and passes.
#[tokio::test]
async fn the_mailchimp_stub_serves_the_vendors_own_library() {
    let python = std::env::var("DRIFTLESS_VENV").map(|venv| format!("{venv}/bin/python"));
    let Ok(python) = python.and_then(|python| {
        let there = std::path::Path::new(&python).exists();
        if there { Ok(python) } else { Err(std::env::VarError::NotPresent) }
    }) else {
        #[allow(clippy::print_stderr)]
        {
            eprintln!("skipped: DRIFTLESS_VENV does not name an environment with mailchimp-marketing");
        }
        return;
    };
    let list = List::default();
    let server = list.behind(mailchimp::answer).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/mailchimp.py");
    let done = Command::new(python)
        .args([script, &format!("{}/3.0", server.url), LIST])
        .stdin(Stdio::null())
        .output()
        .await
        .expect("python starts");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    let left: Vec<String> = list.members().keys().cloned().collect();
    assert_eq!(left, ["ada@example.com"], "what the library did is in the list");
}

#[tokio::test]
async fn mailchimp_is_asked_for_members_by_the_hash_of_their_address() {
    let server = Server::start(|_, _| Does::status(204)).await;
    let yaml = recipe("mailchimp@1", &server.url, "data_center: us1, api_key: {secret: token}");
    let mut row = rows(1);
    row[0].1.identifiers = [Identifier::new("email", "Urist.McVankab@Freddiesjokes.com")].into();
    let driven = deliver(&*connector(&yaml, LIST), Operation::Remove, &row).await;
    assert_eq!(letters(&driven), "D");
    assert_eq!(server.got()[0].target, "/lists/9e67587f52/members/62eeb292278cc15f5817cb78f7790b08");
}

#[tokio::test]
async fn mailchimp_counts_failures_that_it_does_not_name() {
    let server = Server::start(|_, _| Does::json(200, &json!({ "errors": [], "error_count": 1 }))).await;
    let yaml = recipe("mailchimp@1", &server.url, "data_center: us1, api_key: {secret: token}");
    let driven = deliver(&*connector(&yaml, LIST), Operation::Add, &rows(2)).await;
    assert_eq!(letters(&driven), "UU", "nobody knows which of them failed");
    assert_eq!(driven.stop, Some(Stop::NoAnswer { reason: "1 failures, of which 0 are named".into() }));
}

#[tokio::test]
async fn a_segment_that_was_just_made_is_tried_again() {
    let server = Server::start(|got: &Got, number| {
        if number == 0 {
            return Does::status(404);
        }
        let elements = got.json()["elements"].as_array().map_or(0, Vec::len);
        Does::json(200, &json!({ "elements": vec![json!({ "status": 201 }); elements] }))
    })
    .await;
    let yaml = recipe("linkedin@1", &server.url, "access_token: {secret: token}");
    let driven = deliver(&*connector(&yaml, LIST), Operation::Add, &digests(2)).await;
    assert_eq!((letters(&driven).as_str(), driven.requests), ("DD", 2));
}

/// Rows whose mapping hashes e-mail and phone.
fn digests(count: u32) -> Vec<(u32, driftless_connector::OutRow)> {
    let hash = |text: String| hex::encode(Sha256::digest(text));
    let mut rows = rows(count);
    for (number, row) in &mut rows {
        row.identifiers = [
            Identifier::new("email", hash(format!("p{number}@example.com"))),
            Identifier::new("phone", hash(format!("+4915100{number}"))),
        ]
        .into();
    }
    rows
}

#[tokio::test]
async fn addresses_that_the_mapping_did_not_hash_are_not_sent() {
    for (name, with) in [
        ("linkedin@1", "access_token: {secret: token}"),
        ("tiktok@1", "advertiser_id: '7000000000000000001', access_token: {secret: token}"),
    ] {
        let server = Server::start(|_, _| Does::status(500)).await;
        let driven = deliver(&*connector(&recipe(name, &server.url, with), LIST), Operation::Add, &rows(2)).await;
        assert_eq!((letters(&driven).as_str(), server.got().len()), ("XX", 0), "{name}");
        let Outcome::Rejected { reason } = &driven.outcomes[&0].outcome else { panic!("rejected") };
        assert!(reason.contains("the mapping must hash it"), "{reason}");
    }
}

#[tokio::test]
async fn tiktok_gets_both_kinds_of_identifiers_and_a_gap_where_one_is_missing() {
    let list = List::default();
    let server = list.behind(tiktok::answer).await;
    let connector = connector(&tiktok_yaml(&server), LIST);
    let mut rows = digests(3);
    rows[1].1.identifiers.retain(|identifier| identifier.field == "email");
    rows[2].1.identifiers.retain(|identifier| identifier.field == "phone");
    assert_eq!(letters(&deliver(&*connector, Operation::Add, &rows).await), "DDD");
    assert_eq!(list.members().len(), 4);
    assert_eq!(server.got()[0].json()["batch_data"][1][1], json!({}));
    assert_eq!(letters(&deliver(&*connector, Operation::Remove, &rows).await), "DDD");
    assert!(list.members().is_empty());
}

#[test]
fn a_recipe_says_which_normalisation_its_identifiers_want() {
    let yaml = recipe("tiktok@1", "http://127.0.0.1:1", "advertiser_id: a, access_token: {secret: token}");
    let capabilities = capabilities_of(&destination(&yaml));
    assert_eq!(capabilities.normalisation, [("email", "tiktok.email@1"), ("phone", "tiktok.phone@1")]);
    assert_eq!(*connector(&yaml, LIST).capabilities(), capabilities);
}
