//! `scim` against the independent `scim2-server`, and against a scripted server for what that one does not do.
//!
//! `DRIFTLESS_SCIM2_SERVER` is the path of its executable; without it the tests against it say so and pass.
#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::BTreeSet, process::Stdio, time::Duration};

use driftless_connector::{Answered, Batch, Connector, Driven, ListState, Open, OutRow, Replace, Stop};
use driftless_model::{Identifier, Millis, Operation, Outcome};
use serde_json::{Map, Value, json};
use support::{Does, Server, connector, deliver, letters, row, rows};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// The independent server, on a port of its own.
struct Independent {
    url: String,
    _child: Child,
}

impl Independent {
    async fn start() -> Option<Self> {
        let Ok(program) = std::env::var("DRIFTLESS_SCIM2_SERVER") else {
            #[allow(clippy::print_stderr)]
            {
                eprintln!("skipped: DRIFTLESS_SCIM2_SERVER does not name the scim2-server executable");
            }
            return None;
        };
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let mut child = Command::new(program)
            .args(["--hostname", "127.0.0.1", "--port", &port, "--bearer-token", "s3cr3t"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("scim2-server starts");
        // Its first line says that it serves.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next_line().await.unwrap().expect("it serves");
        Some(Self { url: format!("http://127.0.0.1:{port}/v2"), _child: child })
    }

    /// With its list, as before a first run.
    async fn connector(&self, more: &str) -> Box<dyn Connector> {
        let connector = connector(&scim(&self.url, more), "news");
        connector.prepare().await.unwrap();
        connector
    }
}

fn scim(url: &str, more: &str) -> String {
    format!(
        "version: 1
kind: scim
base_url: {url}
auth: {{bearer: {{token: {{secret: token}}}}}}
attributes: {{userName: email, name.givenName: name, emails: email}}
{more}
"
    )
}

const GROUP: &str = "group: {create: true}";

fn removals_of(driven: &Driven, numbers: &[u32], known: bool) -> Vec<(u32, OutRow)> {
    let removal = |&n: &u32| {
        let (_, row) = row(n, json!({}));
        let remote_id = driven.outcomes[&n].remote_id.clone().filter(|_| known);
        (n, OutRow { fields: Map::new(), remote_id, ..row })
    };
    numbers.iter().map(removal).collect()
}

async fn members(connector: &dyn Connector) -> BTreeSet<String> {
    let (mut members, mut cursor) = (BTreeSet::new(), None);
    loop {
        let page = connector.list(cursor, &Open).await.unwrap();
        members.extend(
            page.members.into_iter().flat_map(|m| m.identifiers).filter(|i| i.field == "email").map(|i| i.value),
        );
        cursor = page.next;
        if cursor.is_none() {
            return members;
        }
    }
}

fn emails(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
    numbers.into_iter().map(|n| format!("p{n}@example.com")).collect()
}

#[tokio::test]
async fn a_group_gets_and_loses_members_and_no_user_is_deleted() {
    let Some(server) = Independent::start().await else { return };
    let connector = server.connector(GROUP).await;
    assert_eq!(connector.inspect().await, Ok(ListState::Empty));
    let added = deliver(&*connector, Operation::Add, &rows(150)).await;
    assert_eq!((letters(&added), added.stop.clone()), ("D".repeat(150), None));
    assert!(added.outcomes.values().all(|o| o.remote_id.is_some()));
    // Configuration, bulk, members; then bulk and members for the other 50.
    assert_eq!(added.requests, 5);
    assert_eq!(members(&*connector).await, emails(0..150));
    assert_eq!(connector.inspect().await, Ok(ListState::NotEmpty));

    let removed = deliver(&*connector, Operation::Remove, &removals_of(&added, &[3, 4], true)).await;
    assert_eq!((letters(&removed).as_str(), removed.requests), ("DD", 1));
    // Not knowing the id costs a look-up; nobody by that name is gone already.
    let mut others = removals_of(&added, &[5], false);
    others.push((900, removals_of(&added, &[6], false)[0].1.clone()));
    others[1].1.identifiers = [Identifier::new("email", "nobody@example.com")].into();
    let removed = deliver(&*connector, Operation::Remove, &others).await;
    assert_eq!((letters(&removed).as_str(), removed.requests), ("DD", 3));
    assert_eq!(members(&*connector).await, emails((0..3).chain(6..150)));

    // Twice is harmless, and who returns is adopted: the user was never deleted.
    let again = deliver(&*connector, Operation::Remove, &removals_of(&added, &[3], true)).await;
    assert_eq!(letters(&again), "D");
    let back = deliver(&*connector, Operation::Add, &[row(3, json!({ "name": "Back" }))]).await;
    assert_eq!(back.outcomes[&3].remote_id, added.outcomes[&3].remote_id);
    assert!(members(&*connector).await.contains("p3@example.com"));
}

#[tokio::test]
async fn the_group_is_made_once_before_anybody_is_added_and_never_by_adding() {
    let Some(server) = Independent::start().await else { return };
    let unprepared = connector(&scim(&server.url, GROUP), "news");
    let driven = deliver(&*unprepared, Operation::Add, &rows(1)).await;
    assert_eq!(driven.stop, Some(Stop::Fatal { reason: "there is no group of this name".into() }));
    server.connector(GROUP).await;
    server.connector(GROUP).await;
    assert_eq!(letters(&deliver(&*unprepared, Operation::Add, &rows(1)).await), "D", "one group, whoever made it");
}

#[tokio::test]
async fn a_group_is_cleared_at_once_and_new_groups_are_made_and_retired() {
    let Some(server) = Independent::start().await else { return };
    let connector = server.connector("group: {create: true, supports_replace: true}").await;
    assert_eq!(connector.capabilities().replace, Some(Replace::ClearFirst));
    deliver(&*connector, Operation::Add, &rows(30)).await;
    let batch = Batch {
        operation: Operation::Clear,
        rows: &[],
        idempotency_key: "clear",
        session: None,
        timeout: Duration::from_secs(30),
        gate: &Open,
    };
    for _ in 0..2 {
        assert_eq!(connector.clear(Millis(0), &batch).await.is, Answered::Rows(Vec::new()), "twice is once");
        assert_eq!(members(&*connector).await, emails([]));
    }
    assert_eq!(letters(&deliver(&*connector, Operation::Add, &rows(3)).await), "DDD");

    let made = connector.create_list("news 2").await.unwrap();
    assert_eq!(connector.create_list("news 2").await.as_ref(), Ok(&made), "the one that is there is taken");
    assert!(made.starts_with("id:"), "it is found whatever name it gets");
    let second = support::connector(&scim(&server.url, ""), &made);
    assert_eq!(letters(&deliver(&*second, Operation::Add, &rows(2)).await), "DD");
    for _ in 0..2 {
        connector.retire_list("news").await.unwrap();
    }
    assert_eq!(members(&*second).await, emails(0..2), "users stay when a group of theirs goes");
    let driven = deliver(&*connector, Operation::Add, &rows(1)).await;
    assert_eq!(driven.stop, Some(Stop::Fatal { reason: "the group is gone".into() }));
    let by_id = support::connector(&scim(&server.url, "group: {by: id}"), "none");
    let id = by_id.create_list("news 3").await.unwrap();
    assert_eq!(by_id.create_list("news 3").await, Ok(id.clone()));
    by_id.retire_list(&id).await.unwrap();
}

#[tokio::test]
async fn the_group_that_takes_the_place_of_another_gets_its_name() {
    for more in ["group: {create: true}", "group: {by: id}"] {
        let Some(server) = Independent::start().await else { return };
        let named = server.connector("group: {create: true}").await;
        deliver(&*named, Operation::Add, &rows(3)).await;
        let by_id = more.contains("by: id");
        let made = connector(&scim(&server.url, more), "none").create_list("news").await.unwrap();
        let first = if by_id { made } else { "news".to_owned() };
        let current = connector(&scim(&server.url, more), &first);
        let second = current.create_list("newsletter-1").await.unwrap();
        deliver(&*connector(&scim(&server.url, more), &second), Operation::Add, &rows(5)).await;

        let mut old = String::new();
        for _ in 0..2 {
            old = current.pass_name_on(&first, &second, " (before r1)").await.unwrap();
            assert_ne!(old, second);
            // Whoever knows the name finds the new one by it.
            let people = connector(&scim(&server.url, ""), "news");
            assert_eq!(members(&*people).await, emails(0..5));
            let before = connector(&scim(&server.url, ""), "news (before r1)");
            assert_eq!(members(&*before).await, emails(0..3), "the old one stands aside, unchanged");
        }
        for _ in 0..2 {
            current.retire_list(&old).await.unwrap();
        }
        assert!(
            current.pass_name_on(&old, &second, " (before r1)").await.is_ok(),
            "who is gone has nothing to pass on"
        );
        let current = connector(&scim(&server.url, more), &second);
        assert_eq!(members(&*current).await, emails(0..5));
    }
}

#[tokio::test]
async fn the_same_call_twice_changes_nothing_more() {
    let Some(server) = Independent::start().await else { return };
    let connector = server.connector(GROUP).await;
    let first = deliver(&*connector, Operation::Add, &rows(5)).await;
    let second = deliver(&*connector, Operation::Add, &rows(5)).await;
    assert_eq!(first.outcomes, second.outcomes);
    assert_eq!(members(&*connector).await, emails(0..5));
}

#[tokio::test]
async fn an_update_changes_the_user_and_makes_one_who_was_deleted_anew() {
    let Some(server) = Independent::start().await else { return };
    for more in [GROUP, "group: {create: true}\nbulk: off"] {
        let connector = server.connector(more).await;
        let added = deliver(&*connector, Operation::Add, &rows(3)).await;
        let mut changed = rows(3);
        for (n, row) in &mut changed {
            row.fields.insert("name".into(), json!("Changed"));
            row.remote_id.clone_from(&added.outcomes[n].remote_id);
        }
        changed[1].1.remote_id = None;
        let gone = changed[2].1.remote_id.clone().unwrap();
        let client = reqwest::Client::new();
        let users = format!("{}/Users", server.url);
        client.delete(format!("{users}/{gone}")).bearer_auth("s3cr3t").send().await.unwrap();
        let updated = deliver(&*connector, Operation::Update, &changed).await;
        assert_eq!((letters(&updated).as_str(), updated.stop.clone()), ("DDD", None));
        assert_ne!(updated.outcomes[&2].remote_id.as_ref(), Some(&gone));
        for outcome in updated.outcomes.values() {
            let url = format!("{users}/{}", outcome.remote_id.as_ref().unwrap());
            let user: Value = client.get(url).bearer_auth("s3cr3t").send().await.unwrap().json().await.unwrap();
            assert_eq!(user["name"]["givenName"], "Changed");
        }
        assert_eq!(members(&*connector).await, emails(0..3));
        let ids: Vec<u32> = (0..3).collect();
        deliver(&*connector, Operation::Remove, &removals_of(&updated, &ids, true)).await;
    }
}

#[tokio::test]
async fn replacing_the_members_takes_out_only_those_who_leave() {
    let Some(server) = Independent::start().await else { return };
    let connector = server.connector("group: {create: true, removal: replace}").await;
    let added = deliver(&*connector, Operation::Add, &rows(10)).await;
    let removed = deliver(&*connector, Operation::Remove, &removals_of(&added, &[0, 1, 2], true)).await;
    assert_eq!((letters(&removed).as_str(), removed.requests), ("DDD", 2));
    assert_eq!(members(&*connector).await, emails(3..10));
    let rest: Vec<u32> = (3..10).collect();
    deliver(&*connector, Operation::Remove, &removals_of(&added, &rest, true)).await;
    assert_eq!(connector.inspect().await, Ok(ListState::Empty));
}

#[tokio::test]
async fn in_mode_user_a_removal_deactivates_or_deletes() {
    for (more, deleted) in
        [("mode: user", false), ("mode: user\non_remove: delete", true), ("mode: user\nbulk: off", false)]
    {
        let Some(server) = Independent::start().await else { return };
        let connector = server.connector(more).await;
        let added = deliver(&*connector, Operation::Add, &rows(3)).await;
        assert_eq!((letters(&added).as_str(), members(&*connector).await), ("DDD", emails(0..3)));
        let removed = deliver(&*connector, Operation::Remove, &removals_of(&added, &[1, 2], true)).await;
        assert_eq!((letters(&removed).as_str(), members(&*connector).await), ("DD", emails([0])));
        let url = format!("{}/Users/{}", server.url, added.outcomes[&1].remote_id.as_ref().unwrap());
        let status = reqwest::Client::new().get(url).bearer_auth("s3cr3t").send().await.unwrap().status();
        assert_eq!(status == 404, deleted, "{more}");
        // Whoever returns is active again.
        deliver(&*connector, Operation::Add, &rows(3)).await;
        assert_eq!(members(&*connector).await, emails(0..3));
    }
}

#[tokio::test]
async fn one_bad_user_does_not_stop_the_others() {
    let Some(server) = Independent::start().await else { return };
    let connector = server.connector(GROUP).await;
    let mut some = rows(4);
    // Not text, which a user name must be.
    some[2].1.fields.insert("email".into(), json!(7));
    let driven = deliver(&*connector, Operation::Add, &some).await;
    assert_eq!(letters(&driven), "DDXD");
    let Outcome::Rejected { reason } = &driven.outcomes[&2].outcome else { panic!("rejected") };
    assert_eq!(reason, "HTTP 400 invalidValue");
    assert_eq!(members(&*connector).await.len(), 3);
}

#[tokio::test]
async fn the_login_and_the_group_are_checked() {
    let Some(server) = Independent::start().await else { return };
    let steps = server.connector("").await.check().await;
    assert_eq!(steps[0].result, Ok("bulk of 1000 operations".into()));
    assert!(steps[1].result.as_ref().is_err_and(|e| e.contains("no group of this name")), "{steps:?}");
    let without = connector(&scim(&server.url, "").replace("auth:", "description: x #"), "news");
    assert!(without.check().await[1].result.as_ref().is_err_and(|e| e.contains("HTTP 401")));
    let driven = deliver(&*server.connector("").await, Operation::Add, &rows(2)).await;
    assert_eq!(driven.stop, Some(Stop::Fatal { reason: "there is no group of this name".into() }));
    assert_eq!(letters(&driven), "RR");
}

/// A service that has groups and no bulk, and answers as told otherwise.
async fn scripted(answer: impl Fn(&support::Got) -> Option<Does> + Send + Sync + 'static) -> Server {
    Server::start(move |got, number| {
        answer(got).unwrap_or_else(|| match (got.method.as_str(), got.path()) {
            ("GET", "/ServiceProviderConfig") => Does::status(404),
            ("GET", "/Groups") => Does::json(200, &json!({ "totalResults": 1, "Resources": [{ "id": "g1" }] })),
            ("POST", "/Users") => Does::json(201, &json!({ "id": format!("u{number}") })),
            _ => Does::status(204),
        })
    })
    .await
}

#[tokio::test]
async fn members_are_taken_out_by_their_values_where_a_service_wants_that() {
    let server = scripted(|_| None).await;
    let connector = connector(&scim(&server.url, "group: {removal: values}"), "news");
    let mut leaving = support::removals(2);
    for (n, row) in &mut leaving {
        row.remote_id = Some(format!("u{n}"));
    }
    assert_eq!(letters(&deliver(&*connector, Operation::Remove, &leaving).await), "DD");
    let got = server.got();
    let operation = &got.last().unwrap().json()["Operations"][0];
    assert_eq!(
        *operation,
        json!({ "op": "remove", "path": "members", "value": [{ "value": "u0" }, { "value": "u1" }] })
    );
}

#[tokio::test]
async fn without_bulk_there_is_a_request_per_user_and_one_for_the_members() {
    let server = scripted(|_| None).await;
    let driven = deliver(&*connector(&scim(&server.url, ""), "news"), Operation::Add, &rows(3)).await;
    assert_eq!((letters(&driven).as_str(), driven.requests), ("DDD", 6));
    let added = server.got().last().unwrap().json()["Operations"][0]["value"].as_array().map(Vec::len);
    assert_eq!(added, Some(3));
}

#[tokio::test]
async fn a_group_changed_meanwhile_is_read_again() {
    let changes = std::sync::Mutex::new(0);
    let server = scripted(move |got| match (got.method.as_str(), got.path()) {
        ("GET", "/Groups/g1") => {
            let version = *changes.lock().unwrap();
            let members = json!({ "id": "g1", "members": [{ "value": "u0" }, { "value": "u9" }] });
            Some(Does::json(200, &members).with("etag", format!("W/\"{version}\"")))
        }
        ("PATCH", "/Groups/g1") => {
            let mut version = changes.lock().unwrap();
            *version += 1;
            Some(Does::status(if got.header("if-match") == Some("W/\"1\"") { 204 } else { 412 }))
        }
        _ => None,
    })
    .await;
    let connector = connector(&scim(&server.url, "group: {removal: replace}"), "news");
    let mut leaving = support::removals(1);
    leaving[0].1.remote_id = Some("u0".into());
    let driven = deliver(&*connector, Operation::Remove, &leaving).await;
    assert_eq!((letters(&driven).as_str(), driven.stop), ("D", None));
    let got = server.got();
    assert_eq!(got.last().unwrap().json()["Operations"][0]["value"], json!([{ "value": "u9" }]));
}

#[tokio::test]
async fn a_service_that_refuses_to_remove_a_stranger_is_bisected_to_success() {
    let server = scripted(|got| {
        let operations = got.json()["Operations"].as_array().cloned().unwrap_or_default();
        let stranger = operations.iter().any(|o| o["path"] == "members[value eq \"u2\"]");
        (got.method == "PATCH" && stranger)
            .then(|| Does::json(400, &json!({ "status": "400", "scimType": "noTarget" })))
    })
    .await;
    let connector = connector(&scim(&server.url, ""), "news");
    let mut leaving = support::removals(4);
    for (n, row) in &mut leaving {
        row.remote_id = Some(format!("u{n}"));
    }
    let driven = deliver(&*connector, Operation::Remove, &leaving).await;
    assert_eq!((letters(&driven).as_str(), driven.stop), ("DDDD", None));
}

#[tokio::test]
async fn a_service_that_is_cut_off_in_the_middle_leaves_the_rest_unknown_and_is_tried_again() {
    let cut = std::sync::atomic::AtomicBool::new(false);
    let server = scripted(move |got| {
        let second = got.path() == "/Users" && got.json()["userName"] == "p1@example.com";
        (second && !cut.swap(true, std::sync::atomic::Ordering::SeqCst)).then_some(Does::Cuts)
    })
    .await;
    let driven = deliver(&*connector(&scim(&server.url, ""), "news"), Operation::Add, &rows(3)).await;
    assert_eq!((letters(&driven).as_str(), driven.unanswered), ("DDD", false));
}

#[tokio::test]
async fn a_throttled_service_is_waited_for() {
    let throttled = std::sync::atomic::AtomicBool::new(false);
    let server = scripted(move |got| {
        let first = got.path() == "/Groups/g1" && !throttled.swap(true, std::sync::atomic::Ordering::SeqCst);
        first.then(|| Does::status(429).with("retry-after", "5"))
    })
    .await;
    let time = support::Virtual::default();
    let connector = connector(&scim(&server.url, ""), "news");
    let driven = support::deliver_with(&*connector, Operation::Add, &rows(1), &time).await;
    assert_eq!((letters(&driven).as_str(), driftless_model::Clock::now(&time).0), ("D", 5_000));
}
