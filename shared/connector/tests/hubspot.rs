//! `hubspot` against a stub that the vendor's own SDK drives, too.
//!
//! `DRIFTLESS_VENV` names the Python environment that has `hubspot-api-client`; without it the test with it says so and passes.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use driftless_connector::{Answered, Batch, Connector, ListState, Open, OutRow, Stop};
use driftless_model::{Identifier, Millis, Operation, Outcome};
use serde_json::{Map, json};
use support::{
    Does, Server, Virtual, connector, deliver, deliver_with,
    hubspot::{Account, Shared},
    letters, removals, row, rows,
};

async fn serve(account: &Shared) -> Server {
    let account = Arc::clone(account);
    Server::start(move |got, _| account.lock().unwrap().answer(got)).await
}

fn hubspot(url: &str, more: &str) -> Box<dyn Connector> {
    let yaml = format!(
        "version: 1
kind: hubspot
base_url: {url}
auth: {{bearer: {{token: {{secret: token}}}}}}
properties: {{email: email, firstname: name}}
{more}
"
    );
    connector(&yaml, "news")
}

fn emails(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
    numbers.into_iter().map(|n| format!("p{n}@example.com")).collect()
}

#[tokio::test]
async fn a_record_becomes_a_contact_and_a_member_in_two_requests() {
    let account = Account::shared();
    account.lock().unwrap().add_list("news", "MANUAL");
    let server = serve(&account).await;
    let connector = hubspot(&server.url, "");
    let added = deliver(&*connector, Operation::Add, &rows(150)).await;
    assert_eq!((letters(&added), added.stop.clone()), ("D".repeat(150), None));
    // The list once, then an upsert and a change of memberships for each hundred.
    assert_eq!(added.requests, 5);
    assert_eq!(account.lock().unwrap().members("news"), emails(0..150));
    assert!(added.outcomes.values().all(|o| o.remote_id.is_some()));

    // Who is updated is a member already.
    let known = |n: u32| {
        let (_, new) = row(n, json!({ "name": "New" }));
        (n, OutRow { remote_id: added.outcomes[&n].remote_id.clone(), ..new })
    };
    let updated = deliver(&*connector, Operation::Update, &[known(3), known(4)]).await;
    assert_eq!((letters(&updated).as_str(), updated.requests), ("DD", 1));
    let id = added.outcomes[&3].remote_id.clone().unwrap();
    assert_eq!(account.lock().unwrap().contacts[&id]["firstname"], "New");

    // A contact that was deleted is made anew, and a member.
    account.lock().unwrap().contacts.remove(&id);
    let anew = deliver(&*connector, Operation::Update, &[known(3)]).await;
    assert_eq!((letters(&anew).as_str(), anew.requests), ("D", 2));
    assert_eq!(account.lock().unwrap().members("news"), emails(0..150));

    // Contacts are found by the identifiers that are to be removed. Nobody by that name is gone already.
    let known_removal = OutRow { fields: Map::new(), ..known(5).1 };
    let removed = deliver(&*connector, Operation::Remove, &[(5, known_removal)]).await;
    assert_eq!((letters(&removed).as_str(), removed.requests), ("D", 2));
    let mut unknown = removals(8)[6..].to_vec();
    unknown.push((
        9,
        OutRow { identifiers: [Identifier::new("email", "nobody@example.com")].into(), ..unknown[0].1.clone() },
    ));
    let removed = deliver(&*connector, Operation::Remove, &unknown).await;
    assert_eq!((letters(&removed).as_str(), removed.requests), ("DDD", 2));
    assert_eq!(account.lock().unwrap().members("news"), emails((0..5).chain(8..150)));
    assert!(account.lock().unwrap().contacts.len() >= 150, "no contact is deleted");
}

#[tokio::test]
async fn each_bad_row_of_a_207_is_refused_by_itself_whatever_the_order_of_results() {
    for (silent, whole) in [(false, false), (true, false), (false, true)] {
        let account = Account::shared();
        {
            let mut account = account.lock().unwrap();
            account.add_list("news", "MANUAL");
            (account.silent_about_traces, account.refuses_whole) = (silent, whole);
            account.bad = emails([1, 4]);
        }
        let server = serve(&account).await;
        let driven = deliver(&*hubspot(&server.url, ""), Operation::Add, &rows(6)).await;
        assert_eq!((letters(&driven).as_str(), driven.stop), ("DXDDXD", None), "{silent} {whole}");
        assert_eq!(account.lock().unwrap().members("news"), emails([0, 2, 3, 5]));
        let Outcome::Rejected { reason } = &driven.outcomes[&1].outcome else { panic!("rejected") };
        assert!(reason.ends_with("VALIDATION_ERROR") && !reason.contains('@'), "{reason}");
    }
}

#[tokio::test]
async fn a_contact_is_found_without_regard_to_case_and_a_removal_names_all_of_its_identifiers() {
    let account = Account::shared();
    account.lock().unwrap().add_list("news", "MANUAL");
    let server = serve(&account).await;
    let connector = hubspot(&server.url, "");
    let mut upper = rows(2);
    upper[0].1.identifiers = [Identifier::new("email", "P0@Example.com")].into();
    upper[0].1.fields.insert("email".into(), json!("P0@Example.com"));
    account.lock().unwrap().spells_as_documented = true;
    account.lock().unwrap().silent_about_traces = true;
    assert_eq!(letters(&deliver(&*connector, Operation::Add, &upper).await), "DD");
    let both = [Identifier::new("email", "p0@example.com"), Identifier::new("email", "p1@example.com")];
    let removal = OutRow { identifiers: both.into(), ..removals(1)[0].1.clone() };
    assert_eq!(letters(&deliver(&*connector, Operation::Remove, &[(0, removal)]).await), "D");
    assert_eq!(account.lock().unwrap().members("news"), BTreeSet::new());
}

#[tokio::test]
async fn a_contact_that_vanishes_between_the_two_requests_is_tried_again() {
    let account = Account::shared();
    account.lock().unwrap().add_list("news", "MANUAL");
    let state = Arc::clone(&account);
    let server = Server::start(move |got, number| {
        let mut account = state.lock().unwrap();
        let answer = account.answer(got);
        if number == 1 {
            let first = account.contacts.keys().next().cloned().unwrap();
            account.contacts.remove(&first);
        }
        answer
    })
    .await;
    let driven = deliver(&*hubspot(&server.url, ""), Operation::Add, &rows(3)).await;
    assert_eq!((letters(&driven).as_str(), driven.stop), ("DDD", None));
    assert_eq!(account.lock().unwrap().members("news"), emails(0..3));
}

#[tokio::test]
async fn an_active_list_is_not_written_to_and_a_missing_one_is_made_once_where_that_is_allowed() {
    let account = Account::shared();
    let active = account.lock().unwrap().add_list("news", "DYNAMIC");
    let server = serve(&account).await;
    let driven = deliver(&*hubspot(&server.url, ""), Operation::Add, &rows(1)).await;
    let reason = "the list is an active one, whose members HubSpot chooses; use a static list";
    assert_eq!(driven.stop, Some(Stop::Fatal { reason: reason.into() }));
    assert!(account.lock().unwrap().contacts.is_empty(), "no contact is made for a list that cannot be used");

    account.lock().unwrap().lists.remove(&active);
    let driven = deliver(&*hubspot(&server.url, ""), Operation::Add, &rows(1)).await;
    assert_eq!(driven.stop, Some(Stop::Fatal { reason: "there is no list of this name".into() }));
    let creating = hubspot(&server.url, "list: {create: true}");
    assert_eq!(creating.inspect().await, Ok(ListState::Empty));
    for _ in 0..2 {
        creating.prepare().await.unwrap();
        hubspot(&server.url, "list: {create: true}").prepare().await.unwrap();
    }
    assert_eq!(account.lock().unwrap().lists.len(), 1);
    assert_eq!(letters(&deliver(&*creating, Operation::Add, &rows(1)).await), "D");
    assert_eq!(creating.inspect().await, Ok(ListState::NotEmpty));
}

#[tokio::test]
async fn members_are_listed_page_by_page_with_the_value_they_are_found_by() {
    let account = Account::shared();
    let id = account.lock().unwrap().add_list("news", "SNAPSHOT");
    let server = serve(&account).await;
    deliver(&*hubspot(&server.url, ""), Operation::Add, &rows(230)).await;
    let by_id = format!(
        "version: 1\nkind: hubspot\nbase_url: {}\nauth: {{bearer: {{token: {{secret: token}}}}}}\nlist: {{by: id}}\n",
        server.url
    );
    let connector = connector(&by_id, &id);
    let (mut found, mut cursor, mut pages) = (BTreeSet::new(), None, 0);
    loop {
        let page = connector.list(cursor, &Open).await.unwrap();
        assert!(page.members.iter().all(|member| member.remote_id.is_some()));
        found.extend(page.members.into_iter().flat_map(|member| member.identifiers).map(|i| i.value));
        (cursor, pages) = (page.next, pages + 1);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((found, pages), (emails(0..230), 3));
    let steps = connector.check().await;
    assert_eq!(steps[1].result, Ok("230 members".into()), "{steps:?}");
}

#[tokio::test]
async fn each_limit_is_waited_for_as_long_as_it_lasts() {
    for (body, header, wait) in [
        (json!({ "errorType": "RATE_LIMIT", "policyName": "SECONDLY" }), None, 1_000),
        (json!({ "errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING" }), None, 10_000),
        (json!({ "errorType": "RATE_LIMIT", "policyName": "SECONDLY" }), Some("7"), 7_000),
    ] {
        let account = Account::shared();
        account.lock().unwrap().add_list("news", "MANUAL");
        let state = Arc::clone(&account);
        let server = Server::start(move |got, number| match (number, header) {
            (1, Some(header)) => Does::json(429, &body).with("retry-after", header),
            (1, None) => Does::json(429, &body),
            _ => state.lock().unwrap().answer(got),
        })
        .await;
        let time = Virtual::default();
        let driven = deliver_with(&*hubspot(&server.url, ""), Operation::Add, &rows(1), &time).await;
        assert_eq!((letters(&driven), driftless_model::Clock::now(&time)), ("D".into(), Millis(wait)));
    }
    // A daily limit ends the claim.
    let server = Server::start(|_, _| Does::json(429, &json!({ "policyName": "DAILY" }))).await;
    let driven = deliver(&*hubspot(&server.url, ""), Operation::Add, &rows(1)).await;
    let wanted = Stop::Throttled { until: Millis(3_600_000), reason: "HTTP 429 DAILY".into() };
    assert_eq!(driven.stop, Some(wanted));
}

#[tokio::test]
async fn a_list_is_cleared_at_once_or_page_by_page_where_it_is_too_large_and_new_ones_are_made() {
    for truncates_below in [100_000, 100] {
        let account = Account::shared();
        {
            let mut account = account.lock().unwrap();
            account.add_list("news", "MANUAL");
            account.truncates_below = truncates_below;
        }
        let server = serve(&account).await;
        let connector = hubspot(&server.url, "");
        deliver(&*connector, Operation::Add, &rows(300)).await;
        let batch = Batch {
            operation: Operation::Clear,
            rows: &[],
            idempotency_key: "clear",
            session: None,
            timeout: Duration::from_secs(30),
            gate: &Open,
        };
        for _ in 0..2 {
            let cleared = connector.clear(Millis(0), &batch).await;
            assert_eq!(cleared.is, Answered::Rows(Vec::new()));
            assert_eq!(account.lock().unwrap().members("news"), BTreeSet::new());
        }
        assert_eq!(account.lock().unwrap().contacts.len(), 300);
        for _ in 0..2 {
            assert_eq!(connector.create_list("news 2").await, Ok("news 2".into()));
        }
        for _ in 0..2 {
            connector.retire_list("news").await.unwrap();
        }
        assert_eq!(account.lock().unwrap().lists.len(), 1);
    }
}

/// What the vendor's client does with the stub: only its host is changed.
const SDK: &str = r#"
import sys
from hubspot import HubSpot
from hubspot.crm.contacts import BatchInputSimplePublicObjectBatchInputUpsert, BatchReadInputSimplePublicObjectId
from hubspot.crm.lists import ListCreateRequest, MembershipChangeRequest

host = sys.argv[1]
client = HubSpot(access_token="s3cr3t")

def hosted(api):
    api.api_client.configuration.host = host
    return api

contacts, lists, members = (hosted(api) for api in (client.crm.contacts.batch_api, client.crm.lists.lists_api, client.crm.lists.memberships_api))

upsert = lambda names: contacts.upsert(BatchInputSimplePublicObjectBatchInputUpsert(inputs=[
    {"idProperty": "email", "id": f"{name}@example.com", "objectWriteTraceId": name, "properties": {"firstname": name}} for name in names
]))
made = upsert(["a", "b", "c"])
assert made.status == "COMPLETE" and sorted(r.object_write_trace_id for r in made.results) == ["a", "b", "c"], made
assert all(r.new for r in made.results) and not any(r.new for r in upsert(["a", "b"]).results)
ids = {r.object_write_trace_id: r.id for r in made.results}
refused = upsert(["d", "bad"])
assert type(refused).__name__.endswith("WithErrors") and refused.num_errors == 1, refused
assert refused.errors[0].category == "VALIDATION_ERROR" and refused.errors[0].context == {"objectWriteTraceId": ["bad"]}, refused

created = lists.create(ListCreateRequest(name="sdk", object_type_id="0-1", processing_type="MANUAL")).list
assert lists.get_by_name("sdk", "0-1").list.list_id == created.list_id
added = members.add(created.list_id, [ids["a"], ids["b"], "999"])
assert sorted(added.records_ids_added) == sorted([ids["a"], ids["b"]]) and added.record_ids_missing == ["999"], added
both = members.add_and_remove(created.list_id, MembershipChangeRequest(record_ids_to_add=[ids["a"], ids["c"]], record_ids_to_remove=[ids["b"]]))
assert both.records_ids_added == [ids["c"]] and both.record_ids_removed == [ids["b"]], both
first = members.get_page(created.list_id, limit=1)
assert [m.record_id for m in first.results] == [ids["a"]] and first.paging.next.after, first
second = members.get_page(created.list_id, limit=1, after=first.paging.next.after)
assert [m.record_id for m in second.results] == [ids["c"]] and second.paging is None, second
read = contacts.read(BatchReadInputSimplePublicObjectId(id_property="email", properties=["email"], properties_with_history=[], inputs=[{"id": "a@example.com"}]))
assert [(r.id, r.properties["email"]) for r in read.results] == [(ids["a"], "a@example.com")], read
members.remove_all(created.list_id)
assert members.get_page(created.list_id).results == []
lists.remove(created.list_id)
print("driven")
"#;

#[tokio::test]
async fn the_vendors_own_client_can_do_with_the_stub_what_we_do() {
    let Ok(venv) = std::env::var("DRIFTLESS_VENV") else {
        #[allow(clippy::print_stderr)]
        {
            eprintln!("skipped: DRIFTLESS_VENV does not name the Python environment");
        }
        return;
    };
    let account = Account::shared();
    account.lock().unwrap().bad = BTreeSet::from(["bad@example.com".to_owned()]);
    let server = serve(&account).await;
    let url = server.url.clone();
    let driven = tokio::task::spawn_blocking(move || {
        Command::new(format!("{venv}/bin/python"))
            .args(["-c", SDK, &url])
            .stdin(Stdio::null())
            .output()
            .expect("python starts")
    })
    .await
    .unwrap();
    let said = String::from_utf8_lossy(&driven.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&driven.stdout), "driven\n", "{said}");
    assert!(account.lock().unwrap().lists.is_empty());
}

/// The conformance suite, and the simulation of twenty snapshots.
#[cfg(feature = "conformance")]
mod suites {
    use std::collections::BTreeMap;

    use async_trait::async_trait;
    use driftless_connector::conformance::{Fault, Manners, Refuses, Remote, Subject, VirtualTime, conforms};
    use driftless_model::IdentifierSet;

    use super::*;
    use crate::support::{
        Got,
        hubspot::Service,
        row_of,
        simulation::{seeds, simulate},
    };

    #[derive(Clone, Default)]
    struct Side(Service);

    #[async_trait]
    impl Remote for Side {
        async fn members(&self) -> BTreeSet<String> {
            self.0.account.lock().unwrap().members("news")
        }
        async fn first_names(&self) -> Option<BTreeMap<String, String>> {
            Some(self.0.account.lock().unwrap().first_names("news"))
        }
        async fn inject(&self, fault: Option<Fault>) {
            self.0.faults.inject(fault);
        }
    }

    impl Side {
        async fn start(&self) -> (Server, Box<dyn Connector>) {
            self.0.account.lock().unwrap().add_list("news", "MANUAL");
            let service = self.0.clone();
            let server = Server::start(move |got: &Got, _| service.answer(got)).await;
            let yaml = format!(
                "version: 1
kind: hubspot
base_url: {}
auth: {{bearer: {{token: {{secret: token}}}}}}
properties: {{email: email, firstname: first_name}}
records: 8
",
                server.url
            );
            let connector = connector(&yaml, "news");
            (server, connector)
        }

        fn subject<'a>(&'a self, connector: &'a dyn Connector, time: &'a VirtualTime) -> Subject<'a> {
            let manners = Manners { refuses: Refuses::ByName, ..Manners::default() };
            Subject::new(connector, self, time, row_of).keeping(in_lower_case).with(manners)
        }
    }

    fn in_lower_case(identifiers: &IdentifierSet) -> BTreeSet<String> {
        identifiers.iter().map(|identifier| identifier.value.to_lowercase()).collect()
    }

    #[tokio::test]
    async fn hubspot_conforms() {
        let (side, time) = (Side::default(), VirtualTime::default());
        let (_server, connector) = side.start().await;
        conforms(side.subject(&*connector, &time)).await;
    }

    #[tokio::test]
    async fn hubspot_converges() {
        for seed in seeds() {
            let (side, time) = (Side::default(), VirtualTime::default());
            let (_server, connector) = side.start().await;
            simulate(side.subject(&*connector, &time), &side.0.faults, seed).await;
        }
    }
}
