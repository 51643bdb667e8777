//! The conformance suite on `rest` as batches, on `rest` with one record a request, and on `scim`.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use driftless_connector::{
    Connector, OutRow,
    conformance::{Fault, Remote, Subject, VirtualTime, delivers, withstands},
};
use serde_json::{Value, json};
use support::{Does, Got, Server, connector, row};

/// A list in memory, with the fault that its next request meets.
#[derive(Clone, Default)]
struct List(Arc<Mutex<(BTreeSet<String>, Option<Fault>)>>);

#[async_trait]
impl Remote for List {
    async fn members(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().0.clone()
    }
    async fn inject(&self, fault: Option<Fault>) {
        self.0.lock().unwrap().1 = fault;
    }
}

impl List {
    /// Applies a change of these identifiers, unless the fault says otherwise; `refused` is the answer for bad ones.
    fn change(&self, emails: &[String], remove: bool, refused: impl Fn(&BTreeSet<String>) -> Does, ok: Does) -> Does {
        let mut state = self.0.lock().unwrap();
        let (members, fault) = &mut *state;
        let lose = match fault.clone() {
            Some(Fault::LoginGone) => return Does::status(403),
            Some(Fault::Refuse(bad)) if emails.iter().any(|e| bad.contains(e)) => return refused(&bad),
            None | Some(Fault::Refuse(_)) => false,
            Some(once) => {
                *fault = None;
                match once {
                    Fault::Throttle(None) => return Does::status(429),
                    Fault::Throttle(Some(after)) => return Does::status(429).with("retry-after", after.to_string()),
                    Fault::ServerError => return Does::status(500),
                    _ => true,
                }
            }
        };
        for email in emails {
            if remove {
                members.remove(email)
            } else {
                members.insert(email.clone())
            };
        }
        if lose { Does::Cuts } else { ok }
    }
}

fn a_row(number: u32) -> OutRow {
    row(number, json!({ "name": "N" })).1
}

async fn run(connector: &dyn Connector, list: &List) {
    let time = VirtualTime::default();
    let subject = Subject { connector, remote: list, pacer: &time, clock: &time, row: a_row };
    delivers(subject).await;
    withstands(subject).await;
}

#[tokio::test]
async fn rest_in_batches_conforms() {
    let list = List::default();
    let remote = list.clone();
    let server = Server::start(move |got: &Got, _| {
        let records = got.json()["records"].as_array().cloned().unwrap_or_default();
        let emails: Vec<String> = records.iter().map(|r| r["email"].as_str().unwrap().to_owned()).collect();
        let whole = |_: &BTreeSet<String>| Does::json(422, &json!({ "error": "bad_row" }));
        remote.change(&emails, got.path().ends_with("remove"), whole, Does::json(200, &json!({})))
    })
    .await;
    let yaml = format!(
        "version: 1
kind: rest
base_url: {}
batch: {{records: 8}}
add: {{method: POST, path: /members, body: {{json: {{records: {{$each_record: '{{{{ record.fields }}}}'}}}}}}}}
remove: {{method: POST, path: /members/remove, body: {{json: {{records: {{$each_record: '{{{{ record.identifiers }}}}'}}}}}}}}
",
        server.url
    );
    run(&*connector(&yaml, "news"), &list).await;
}

#[tokio::test]
async fn rest_with_one_record_a_request_conforms() {
    let list = List::default();
    let remote = list.clone();
    let server = Server::start(move |got: &Got, _| {
        let (there, is_add) = (remote.0.lock().unwrap().0.clone(), got.method == "POST");
        let email = match got.path().strip_prefix("/members/") {
            Some(encoded) => encoded.replace("%40", "@"),
            None => got.json()["email"].as_str().unwrap().to_owned(),
        };
        let ok = match (there.contains(&email), is_add) {
            (true, true) => Does::status(409),
            (false, false) => Does::status(404),
            _ => Does::status(204),
        };
        let changes = is_add || got.method == "DELETE";
        let emails = if changes { vec![email] } else { Vec::new() };
        remote.change(&emails, got.method == "DELETE", |_| Does::status(422), ok)
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
    run(&*connector(&yaml, "news"), &list).await;
}

/// A SCIM service without bulk whose ids are the user names.
#[tokio::test]
async fn scim_conforms() {
    let list = List::default();
    let (remote, users) = (list.clone(), Mutex::new(BTreeSet::<String>::new()));
    let server = Server::start(move |got: &Got, _| {
        let ids = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().map(|m| m["value"].as_str().unwrap().to_owned()).collect()
        };
        match (got.method.as_str(), got.path()) {
            ("GET", "/ServiceProviderConfig") => Does::status(404),
            ("GET", "/Groups") => Does::json(200, &json!({ "totalResults": 1, "Resources": [{ "id": "g" }] })),
            ("GET", "/Users") => {
                let users = users.lock().unwrap();
                let found = users.iter().find(|u| got.target.contains(&u.replace('@', "%40")));
                let found: Vec<Value> = found.into_iter().map(|u| json!({ "id": u })).collect();
                Does::json(200, &json!({ "totalResults": found.len(), "Resources": found }))
            }
            ("POST", "/Users") => {
                let name = got.json()["userName"].as_str().unwrap().to_owned();
                let new = users.lock().unwrap().insert(name.clone());
                Does::json(if new { 201 } else { 409 }, &json!({ "id": name }))
            }
            ("PATCH", "/Groups/g") => {
                let operation = &got.json()["Operations"][0];
                let bad = |_: &BTreeSet<String>| Does::json(400, &json!({ "scimType": "invalidValue" }));
                remote.change(&ids(&operation["value"]), operation["op"] == "remove", bad, Does::status(204))
            }
            _ => Does::status(204),
        }
    })
    .await;
    let yaml = format!(
        "version: 1
kind: scim
base_url: {}
group: {{members_per_patch: 5, removal: values}}
attributes: {{userName: email, displayName: name}}
",
        server.url
    );
    run(&*connector(&yaml, "news"), &list).await;
}
