//! The conformance suite and the simulation on `rest`, described in several ways, and on `scim`.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Mutex;

use driftless_connector::conformance::{Login, Manners, Refuses};
use serde_json::{Value, json};
use support::{
    Does, Got, Server, connector,
    faults::Dialect,
    list::{Kind, List, Running},
};

/// What a request asks for: records as they were sent, and whether they are removed.
fn records(got: &Got) -> (Vec<Value>, bool) {
    (got.json()["records"].as_array().cloned().unwrap_or_default(), got.path().ends_with("remove"))
}

fn email(record: &Value) -> String {
    record["email"].as_str().unwrap().to_owned()
}

/// Adds a record, or removes it.
fn apply(list: &List, record: &Value, remove: bool) {
    if remove {
        list.members().remove(&email(record));
    } else {
        list.members().insert(email(record), record["first_name"].as_str().unwrap().to_owned());
    }
}

/// A page of the list from an offset, and whether it is the last.
fn page(list: &List, offset: usize, size: usize) -> (Vec<Value>, bool) {
    let members = list.members();
    let page = members.iter().skip(offset).take(size).map(|(email, _)| json!({ "email": email })).collect();
    (page, offset + size >= members.len())
}

fn parameter(got: &Got, name: &str) -> Option<String> {
    let (_, query) = got.target.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes()).find_map(|(n, v)| (n == name).then(|| v.into_owned()))
}

const BATCHES: &str = "batch: {records: 8}
add: {method: POST, path: /members, body: {json: {records: {$each_record: '{{ record.fields }}'}}}}
remove: {method: POST, path: /members/remove, body: {json: {records: {$each_record: '{{ record.identifiers }}'}}}}
";

/// Requests that are refused as a whole; the answer says nothing but its status; the list is read by offset.
async fn refused_whole(list: List) -> Running {
    let server = Server::start(move |got: &Got, _| {
        if got.method == "GET" {
            let offset = parameter(got, "offset").map_or(0, |offset| offset.parse().unwrap());
            let refused = list.faults.on_read(&Dialect::default(), got);
            return refused.unwrap_or_else(|| Does::json(200, &json!({ "members": page(&list, offset, 5).0 })));
        }
        list.faults.on_change(&Dialect::default(), got, |bad| {
            let (records, remove) = records(got);
            if records.len() > 8 || (!remove && records.iter().any(|record| bad.has(&email(record)))) {
                return Does::json(422, &json!({ "error": "bad_row" }));
            }
            records.iter().for_each(|record| apply(&list, record, remove));
            Does::status(204)
        })
    })
    .await;
    let yaml = format!(
        "version: 1
kind: rest
base_url: {}
auth: {{bearer: {{token: {{secret: token}}}}}}
{BATCHES}
list:
  path: /members
  query: {{offset: '{{{{ offset }}}}'}}
  items: /members
  identifiers: {{email: /email}}
  next: {{offset: {{size: 5}}}}
",
        server.url
    );
    let connector = connector(&yaml, "news");
    (server, connector)
}

fn refused_whole_kind() -> Kind {
    Kind {
        manners: Manners { reads_answers: false, ..Manners::default() },
        ..Kind::new(|list| Box::pin(refused_whole(list)))
    }
}

/// One result per record, in the order of the request, inside an envelope with a code of its own; pages are counted.
async fn results_in_order(list: List) -> Running {
    let dialect = Dialect {
        throttled: |_| Does::json(200, &json!({ "code": 429 })),
        login_expired: || Does::json(200, &json!({ "code": 401 })),
        login_gone: || Does::json(200, &json!({ "code": 401 })),
        ..Dialect::default()
    };
    let server = Server::start(move |got: &Got, _| {
        if got.method == "GET" {
            let number: usize = parameter(got, "page").unwrap().parse().unwrap();
            let answer = || json!({ "code": 0, "members": page(&list, (number - 1) * 7, 7).0 });
            return list.faults.on_read(&dialect, got).unwrap_or_else(|| Does::json(200, &answer()));
        }
        list.faults.on_change(&dialect, got, |bad| {
            let (records, remove) = records(got);
            let results: Vec<Value> = records
                .iter()
                .map(|record| {
                    if !remove && bad.has(&email(record)) {
                        return json!({ "status": 400, "why": "invalid_email" });
                    }
                    apply(&list, record, remove);
                    json!({ "status": 201 })
                })
                .collect();
            Does::json(200, &json!({ "code": 0, "results": results }))
        })
    })
    .await;
    let yaml = format!(
        "version: 1
kind: rest
base_url: {}
auth: {{bearer: {{token: {{secret: token}}}}}}
answer:
  codes: [{{at: /code, means: {{delivered: [0], throttled: [429], fatal: [401]}}, otherwise: unknown}}]
  results: {{by_position: {{items: /results, code: /status, reason: /why}}}}
{BATCHES}
list:
  path: /members
  query: {{page: '{{{{ page }}}}'}}
  items: /members
  identifiers: {{email: /email}}
  next: {{page: {{size: 7}}}}
",
        server.url
    );
    let connector = connector(&yaml, "news");
    (server, connector)
}

fn results_in_order_kind() -> Kind {
    Kind {
        manners: Manners { refuses: Refuses::InOrder, says_how_long: false, ..Manners::default() },
        ..Kind::new(|list| Box::pin(results_in_order(list)))
    }
}

/// Failures by name, in lower case; tokens are fetched and expire; the list is read by cursor.
async fn failures_by_name(list: List) -> Running {
    let server = Server::start(move |got: &Got, number| match (got.method.as_str(), got.path()) {
        (_, "/token") => Does::json(200, &json!({ "access_token": format!("t{number}"), "expires_in": 60 })),
        ("GET", _) => {
            let from = parameter(got, "after").map_or(0, |after| after.parse().unwrap());
            let (members, last) = page(&list, from, 4);
            let next = if last { Value::Null } else { json!((from + 4).to_string()) };
            let refused = list.faults.on_read(&Dialect::default(), got);
            refused.unwrap_or_else(|| Does::json(200, &json!({ "members": members, "next": next })))
        }
        _ => list.faults.on_change(&Dialect::default(), got, |bad| {
            let (records, remove) = records(got);
            let mut failed: Vec<String> = Vec::new();
            for record in &records {
                if !remove && bad.has(&email(record)) {
                    failed.push(email(record).to_lowercase());
                } else {
                    apply(&list, record, remove);
                }
            }
            if bad.reordered {
                failed.reverse();
            }
            Does::json(200, &json!({ "failed": { "invalid": failed } }))
        }),
    })
    .await;
    let yaml = format!(
        "version: 1
kind: rest
base_url: {url}
auth: {{oauth2_client_credentials: {{token_url: {url}/token, client_id: us, client_secret: {{secret: token}}}}}}
answer: {{results: {{by_key: {{failures: [/failed/invalid], matches: {{identifier: email}}}}}}}}
{BATCHES}
list:
  path: /members
  query: {{after: '{{{{ cursor | default(omit) }}}}'}}
  items: /members
  identifiers: {{email: /email}}
  next: {{cursor: /next}}
",
        url = server.url
    );
    let connector = connector(&yaml, "news");
    (server, connector)
}

fn failures_by_name_kind() -> Kind {
    Kind {
        manners: Manners { refuses: Refuses::ByName, login: Login::Renewed, ..Manners::default() },
        ..Kind::new(|list| Box::pin(failures_by_name(list)))
    }
}

/// One record a request; 409 for who is there, 404 for who is not.
async fn one_by_one(list: List) -> Running {
    let server = Server::start(move |got: &Got, _| {
        list.faults.on_change(&Dialect::default(), got, |bad| {
            let email = match got.path().strip_prefix("/members/") {
                Some(encoded) => encoded.replace("%40", "@"),
                None => email(&got.json()),
            };
            let there = list.members().contains_key(&email);
            match (got.method.as_str(), there) {
                ("POST", true) => Does::status(409),
                ("PATCH" | "DELETE", false) => Does::status(404),
                ("POST" | "PATCH", _) if bad.has(&email) => Does::status(422),
                (method, _) => {
                    apply(
                        &list,
                        &json!({ "email": email, "first_name": got.json()["first_name"] }),
                        method == "DELETE",
                    );
                    Does::status(204)
                }
            }
        })
    })
    .await;
    let yaml = format!(
        "version: 1
kind: rest
base_url: {}
add: {{method: POST, path: /members, body: {{json: '{{{{ record.fields }}}}'}}}}
update: {{method: PATCH, path: '/members/{{{{ record.identifiers.email }}}}', body: {{json: '{{{{ record.fields }}}}'}}}}
remove: {{method: DELETE, path: '/members/{{{{ record.identifiers.email }}}}'}}
",
        server.url
    );
    let connector = connector(&yaml, "news");
    (server, connector)
}

fn one_by_one_kind() -> Kind {
    Kind {
        manners: Manners { list_can_go: false, reads_answers: false, login: Login::Fixed, ..Manners::default() },
        ..Kind::new(|list| Box::pin(one_by_one(list)))
    }
}

/// A SCIM service without bulk whose ids are the user names.
async fn scim(list: List) -> Running {
    let users = Mutex::new(std::collections::BTreeMap::<String, Value>::new());
    let server = Server::start(move |got: &Got, _| {
        let ids = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().map(|m| m["value"].as_str().unwrap().to_owned()).collect()
        };
        let name_of = |user: &Value| user["displayName"].as_str().unwrap_or_default().to_owned();
        // A user that is not there says nothing of the group.
        let dialect = Dialect {
            list_gone: |got| got.path().starts_with("/Groups").then(|| Does::status(404)),
            ..Dialect::default()
        };
        let refused = list.faults.on_read(&dialect, got);
        match (got.method.as_str(), got.path()) {
            _ if refused.is_some() => refused.unwrap(),
            ("GET", "/ServiceProviderConfig") => Does::status(404),
            ("GET", "/Groups") => Does::json(200, &json!({ "totalResults": 1, "Resources": [{ "id": "g" }] })),
            ("GET", "/Groups/g") => {
                let members: Vec<Value> =
                    list.members().keys().map(|email| json!({ "value": email, "display": email })).collect();
                Does::json(200, &json!({ "id": "g", "members": members }))
            }
            ("GET", "/Users") => {
                let users = users.lock().unwrap();
                let user = |name: &String| json!({ "id": name, "userName": name });
                let Some(filter) = parameter(got, "filter") else {
                    let number = |name| parameter(got, name).map_or(0, |n| n.parse::<usize>().unwrap());
                    let page = users.keys().skip(number("startIndex") - 1).take(number("count").min(20));
                    let page: Vec<Value> = page.map(user).collect();
                    return Does::json(200, &json!({ "totalResults": users.len(), "Resources": page }));
                };
                let found = users.keys().filter(|name| filter == format!("userName eq \"{name}\""));
                let found: Vec<Value> = found.map(user).collect();
                Does::json(200, &json!({ "totalResults": found.len(), "Resources": found }))
            }
            ("POST", "/Users") => list.faults.on_change(&dialect, got, |_| {
                let user = got.json();
                let name = user["userName"].as_str().unwrap().to_owned();
                let mut users = users.lock().unwrap();
                if users.contains_key(&name) {
                    return Does::json(409, &json!({ "scimType": "uniqueness" }));
                }
                users.insert(name.clone(), user);
                Does::json(201, &json!({ "id": name, "userName": name }))
            }),
            ("PATCH", "/Groups/g") => list.faults.on_change(&dialect, got, |bad| {
                let operation = &got.json()["Operations"][0];
                let (ids, remove) = (ids(&operation["value"]), operation["op"] == "remove");
                if ids.len() > 5 || (!remove && ids.iter().any(|id| bad.has(id))) {
                    return Does::json(400, &json!({ "scimType": "invalidValue" }));
                }
                for id in ids {
                    let user = users.lock().unwrap().get(&id).map(name_of).unwrap_or_default();
                    apply(&list, &json!({ "email": id, "first_name": user }), remove);
                }
                Does::status(204)
            }),
            ("PATCH", path) => list.faults.on_change(&dialect, got, |_| {
                let id = path.trim_start_matches("/Users/").replace("%40", "@");
                let change = got.json();
                let operations = change["Operations"].as_array().into_iter().flatten();
                let name = operations.filter(|o| o["path"] == "displayName").find_map(|o| o["value"].as_str());
                let mut users = users.lock().unwrap();
                let Some(user) = users.get_mut(&id) else { return Does::status(404) };
                if let Some(name) = name {
                    user["displayName"] = json!(name);
                    list.members().entry(id).and_modify(|kept| name.clone_into(kept));
                }
                Does::status(204)
            }),
            _ => Does::status(204),
        }
    })
    .await;
    let yaml = format!(
        "version: 1
kind: scim
base_url: {}
auth: {{bearer: {{token: {{secret: token}}}}}}
group: {{members_per_patch: 5, removal: values}}
attributes: {{userName: email, displayName: first_name}}
",
        server.url
    );
    let connector = connector(&yaml, "news");
    (server, connector)
}

fn scim_kind() -> Kind {
    Kind { manners: Manners { reads_answers: false, ..Manners::default() }, ..Kind::new(|list| Box::pin(scim(list))) }
}

#[tokio::test]
async fn rest_refused_whole_conforms() {
    refused_whole_kind().conforms().await;
}

#[tokio::test]
async fn rest_refused_whole_converges() {
    refused_whole_kind().converges().await;
}

#[tokio::test]
async fn rest_with_results_in_order_conforms() {
    results_in_order_kind().conforms().await;
}

#[tokio::test]
async fn rest_with_results_in_order_converges() {
    results_in_order_kind().converges().await;
}

#[tokio::test]
async fn rest_with_failures_by_name_conforms() {
    failures_by_name_kind().conforms().await;
}

#[tokio::test]
async fn rest_with_failures_by_name_converges() {
    failures_by_name_kind().converges().await;
}

#[tokio::test]
async fn rest_with_one_record_a_request_conforms() {
    one_by_one_kind().conforms().await;
}

#[tokio::test]
async fn rest_with_one_record_a_request_converges() {
    one_by_one_kind().converges().await;
}

#[tokio::test]
async fn scim_conforms() {
    scim_kind().conforms().await;
}

#[tokio::test]
async fn scim_converges() {
    scim_kind().converges().await;
}
