//! HubSpot as far as the connector uses it: contacts by id, static lists, and the rules that the vendor's documentation and
//! SDK state. What a rule rests on is said beside it; `assumed` ones are not confirmed by the vendor.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use serde_json::{Map, Value, json};

use crate::{
    Does, Got,
    faults::{Dialect, Faults},
};

/// A contact's properties.
type Properties = BTreeMap<String, String>;

#[derive(Clone, Debug)]
pub struct List {
    pub name: String,
    /// `MANUAL`, `SNAPSHOT` or `DYNAMIC`.
    pub processing: String,
    pub members: BTreeSet<String>,
}

/// One account.
#[derive(Debug)]
pub struct Account {
    pub contacts: BTreeMap<String, Properties>,
    pub lists: BTreeMap<String, List>,
    /// Properties that are unique and can be used to find contacts by; `email` is one.
    pub unique: BTreeSet<String>,
    /// Values of a unique property that are refused, as an address without a domain would be.
    pub bad: BTreeSet<String>,
    /// Refuse a whole request for one bad value with 400, as for a property that does not exist; else 207 for the bad ones.
    pub refuses_whole: bool,
    /// An older account: results and errors do not repeat `objectWriteTraceId`.
    pub silent_about_traces: bool,
    /// Spell it as the documentation does (`recordIdsAdded`), not as the SDK (`recordsIdsAdded`).
    pub spells_as_documented: bool,
    /// Lists of this size and more are not truncated (assumed: 100,000).
    pub truncates_below: usize,
    /// The token that is accepted.
    pub token: String,
    next: u64,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            contacts: BTreeMap::new(),
            lists: BTreeMap::new(),
            unique: BTreeSet::from(["email".to_owned()]),
            bad: BTreeSet::new(),
            refuses_whole: false,
            silent_about_traces: false,
            spells_as_documented: false,
            truncates_below: 100_000,
            token: "s3cr3t".into(),
            next: 100,
        }
    }
}

/// The most inputs of a batch (assumed).
const MOST: usize = 100;
/// The most members of a page (SDK).
const PAGE: usize = 250;

pub type Shared = Arc<Mutex<Account>>;

/// An account with the faults that stand before it.
#[derive(Clone, Default)]
pub struct Service {
    pub account: Shared,
    pub faults: Faults,
}

impl Service {
    /// What it answers, and does.
    pub fn answer(&self, got: &Got) -> Does {
        let dialect = Dialect::default();
        let answer = |bad: &dyn Fn(&str) -> bool| {
            self.account.lock().unwrap().answer_but(got, &|value| bad(&value.to_lowercase()))
        };
        if got.method == "GET" || got.path().ends_with("/read") {
            return self.faults.on_read(&dialect, got).unwrap_or_else(|| answer(&|_| false));
        }
        self.faults.on_change(&dialect, got, |bad| answer(&|value| bad.has(value)))
    }
}

impl Account {
    pub fn shared() -> Shared {
        Arc::default()
    }

    /// Makes a list and returns its id.
    pub fn add_list(&mut self, name: &str, processing: &str) -> String {
        let id = self.id();
        let list = List { name: name.into(), processing: processing.into(), members: BTreeSet::new() };
        self.lists.insert(id.clone(), list);
        id
    }

    /// The e-mail addresses of a list's members.
    pub fn members(&self, name: &str) -> BTreeSet<String> {
        let list = self.lists.values().find(|list| list.name == name);
        let ids = list.into_iter().flat_map(|list| &list.members);
        ids.filter_map(|id| self.contacts.get(id)?.get("email").cloned()).collect()
    }

    /// The first names of a list's members, by e-mail address.
    pub fn first_names(&self, name: &str) -> BTreeMap<String, String> {
        let first_name = |contact: &Properties| contact.get("firstname").cloned().unwrap_or_default();
        let list = self.lists.values().find(|list| list.name == name);
        let contacts = list.into_iter().flat_map(|list| &list.members).filter_map(|id| self.contacts.get(id));
        contacts.filter_map(|contact| Some((contact.get("email")?.clone(), first_name(contact)))).collect()
    }

    /// Somebody puts a contact into a list, new or not.
    pub fn put(&mut self, name: &str, email: &str, first_name: &str) {
        let there = self.contacts.iter().find(|(_, contact)| contact.get("email").is_some_and(|e| e == email));
        let id = match there.map(|(id, _)| id.clone()) {
            Some(id) => id,
            None => self.id(),
        };
        let contact = [("email", email), ("firstname", first_name)].map(|(name, value)| (name.into(), value.into()));
        self.contacts.insert(id.clone(), contact.into());
        for list in self.lists.values_mut().filter(|list| list.name == name) {
            list.members.insert(id.clone());
        }
    }

    /// Somebody takes a contact out of a list.
    pub fn take(&mut self, name: &str, email: &str) {
        let of = |contact: &Properties| contact.get("email").is_some_and(|e| e == email);
        let ids: Vec<String> = self.contacts.iter().filter(|(_, c)| of(c)).map(|(id, _)| id.clone()).collect();
        for list in self.lists.values_mut().filter(|list| list.name == name) {
            list.members.retain(|id| !ids.contains(id));
        }
    }

    fn id(&mut self) -> String {
        self.next += 1;
        self.next.to_string()
    }

    /// What it answers, and does.
    pub fn answer(&mut self, got: &Got) -> Does {
        let bad = self.bad.clone();
        self.answer_but(got, &|value| bad.contains(value))
    }

    /// The same, where values of the unique property are refused for which `bad` is true.
    pub fn answer_but(&mut self, got: &Got, bad: &dyn Fn(&str) -> bool) -> Does {
        if got.header("authorization") != Some(&format!("Bearer {}", self.token)) {
            return error(401, "INVALID_AUTHENTICATION");
        }
        let path: Vec<&str> = got.path().trim_matches('/').split('/').collect();
        match (got.method.as_str(), path.as_slice()) {
            ("GET", ["crm", "v3", "objects", "contacts"]) => Does::json(200, &json!({ "results": [] })),
            ("POST", ["crm", "v3", "objects", "contacts", "batch", "upsert"]) => self.upsert(&got.json(), bad),
            ("POST", ["crm", "v3", "objects", "contacts", "batch", "read"]) => self.read(&got.json()),
            ("POST", ["crm", "v3", "objects", "contacts", "batch", "archive"]) => {
                for input in inputs(&got.json()) {
                    let id = text(&input["id"]);
                    self.contacts.remove(&id);
                    self.lists.values_mut().for_each(|list| {
                        list.members.remove(&id);
                    });
                }
                Does::status(204)
            }
            ("POST", ["crm", "v3", "lists"]) => self.create_list(&got.json()),
            ("GET", ["crm", "v3", "lists", "object-type-id", "0-1", "name", name]) => {
                let name = decoded(name);
                self.show(|_, list| list.name == name)
            }
            ("GET", ["crm", "v3", "lists", id]) => self.show(|found, _| found == *id),
            ("DELETE", ["crm", "v3", "lists", id]) => {
                Does::status(if self.lists.remove(*id).is_some() { 204 } else { 404 })
            }
            (method, ["crm", "v3", "lists", id, "memberships", rest @ ..]) => {
                let spells_as_documented = self.spells_as_documented;
                let known: BTreeSet<String> = self.contacts.keys().cloned().collect();
                let truncates = self.truncates_below;
                let Some(list) = self.lists.get_mut(*id) else { return error(404, "OBJECT_NOT_FOUND") };
                if method != "GET" && !matches!(list.processing.as_str(), "MANUAL" | "SNAPSHOT") {
                    return error(400, "VALIDATION_ERROR");
                }
                let (add, remove) = match (method, rest) {
                    ("GET", []) => return list.page(got),
                    ("DELETE", []) if list.members.len() >= truncates => return error(400, "VALIDATION_ERROR"),
                    ("DELETE", []) => {
                        list.members.clear();
                        return Does::status(204);
                    }
                    ("PUT", ["add"]) => (texts(&got.json()), Vec::new()),
                    ("PUT", ["remove"]) => (Vec::new(), texts(&got.json())),
                    ("PUT", ["add-and-remove"]) => {
                        let body = got.json();
                        (texts(&body["recordIdsToAdd"]), texts(&body["recordIdsToRemove"]))
                    }
                    _ => return Does::status(405),
                };
                let missing: Vec<&String> = add.iter().filter(|id| !known.contains(*id)).collect();
                // Who is in it already, and who is not, is in no answer (SDK: "that were added", "that were removed").
                let added: Vec<&String> =
                    add.iter().filter(|id| known.contains(*id) && list.members.insert((*id).clone())).collect();
                let removed: Vec<&String> = remove.iter().filter(|id| list.members.remove(*id)).collect();
                let key = if spells_as_documented { "recordIdsAdded" } else { "recordsIdsAdded" };
                Does::json(200, &json!({ key: added, "recordIdsRemoved": removed, "recordIdsMissing": missing }))
            }
            _ => error(404, "NOT_FOUND"),
        }
    }

    fn upsert(&mut self, body: &Value, bad: &dyn Fn(&str) -> bool) -> Does {
        let inputs = inputs(body);
        let ids: BTreeSet<String> = inputs.iter().map(|input| text(&input["id"]).to_lowercase()).collect();
        let by: BTreeSet<String> = inputs.iter().map(|input| text(&input["idProperty"])).collect();
        // One property for all of them, which is unique; no contact twice.
        if inputs.is_empty()
            || inputs.len() > MOST
            || ids.len() < inputs.len()
            || by.len() != 1
            || !by.is_subset(&self.unique)
        {
            return error(400, "VALIDATION_ERROR");
        }
        if self.refuses_whole && inputs.iter().any(|input| bad(&text(&input["id"]))) {
            return error(400, "VALIDATION_ERROR");
        }
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for input in &inputs {
            let (property, value) = (text(&input["idProperty"]), text(&input["id"]));
            let trace = input.get("objectWriteTraceId").filter(|_| !self.silent_about_traces);
            if bad(&value) {
                let context = match trace {
                    Some(trace) => json!({ "objectWriteTraceId": [trace] }),
                    None => json!({}),
                };
                let message = format!("Property values were not valid: {value}");
                errors.push(json!({ "status": "error", "category": "VALIDATION_ERROR", "message": message, "context": context }));
                continue;
            }
            let same = |p: &Properties| p.get(&property).is_some_and(|v| v.eq_ignore_ascii_case(&value));
            let found = self.contacts.iter().find(|(_, properties)| same(properties)).map(|(id, _)| id.clone());
            let new = found.is_none();
            let id = found.unwrap_or_else(|| self.id());
            let properties = self.contacts.entry(id.clone()).or_default();
            if new {
                properties.insert(property, value);
            }
            let given = input["properties"].as_object().cloned().unwrap_or_default();
            properties.extend(given.into_iter().map(|(name, value)| (name, text(&value))));
            // Addresses are kept in lower case (assumed).
            properties.entry("email".into()).and_modify(|email| *email = email.to_lowercase());
            let mut result = json!({
                "id": id, "new": new, "properties": properties, "archived": false,
                "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
            });
            if let Some(trace) = trace {
                result["objectWriteTraceId"] = trace.clone();
            }
            results.push(result);
        }
        // The order of results says nothing.
        results.reverse();
        let status = if errors.is_empty() { 200 } else { 207 };
        batch(status, results, errors)
    }

    fn read(&self, body: &Value) -> Does {
        let inputs = inputs(body);
        if inputs.is_empty() || inputs.len() > MOST {
            return error(400, "VALIDATION_ERROR");
        }
        let wanted: Vec<String> = texts(&body["properties"]);
        let (mut results, mut missing) = (Vec::new(), Vec::new());
        for input in &inputs {
            let asked = text(&input["id"]);
            let found = match body.get("idProperty").map(text) {
                Some(property) => {
                    self.contacts.iter().find(|(_, p)| p.get(&property).is_some_and(|v| v.eq_ignore_ascii_case(&asked)))
                }
                None => self.contacts.get_key_value(&asked),
            };
            match found {
                Some((id, properties)) => {
                    let properties: Map<String, Value> = wanted
                        .iter()
                        .map(|name| (name.clone(), properties.get(name).map_or(Value::Null, |v| json!(v))))
                        .collect();
                    results.push(json!({
                        "id": id, "properties": properties, "archived": false,
                        "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
                    }));
                }
                None => missing.push(asked),
            }
        }
        let errors = match missing.is_empty() {
            true => Vec::new(),
            false => vec![json!({
                "status": "error", "category": "OBJECT_NOT_FOUND", "message": "Could not get some CONTACT objects",
                "context": { "ids": missing },
            })],
        };
        batch(if errors.is_empty() { 200 } else { 207 }, results, errors)
    }

    fn create_list(&mut self, body: &Value) -> Does {
        let (name, processing) = (text(&body["name"]), text(&body["processingType"]));
        let known = matches!(processing.as_str(), "MANUAL" | "SNAPSHOT" | "DYNAMIC");
        // Names are unique in an account.
        if name.is_empty() || !known || body["objectTypeId"] != "0-1" || self.lists.values().any(|l| l.name == name) {
            return error(400, "VALIDATION_ERROR");
        }
        let id = self.add_list(&name, &processing);
        self.show(|found, _| found == id)
    }

    fn show(&self, which: impl Fn(&str, &List) -> bool) -> Does {
        match self.lists.iter().find(|(id, list)| which(id, list)) {
            Some((id, list)) => Does::json(
                200,
                &json!({ "list": {
                    "listId": id, "name": list.name, "objectTypeId": "0-1", "processingType": list.processing,
                    "processingStatus": "COMPLETE", "listVersion": 1, "additionalProperties": {},
                } }),
            ),
            None => error(404, "OBJECT_NOT_FOUND"),
        }
    }
}

impl List {
    /// Members in ascending order of their ids, as the SDK says of a page with `after`.
    fn page(&self, got: &Got) -> Does {
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(got.target.split_once('?').map_or("", |(_, q)| q).as_bytes())
                .into_owned()
                .collect();
        let limit = query.get("limit").map_or(PAGE, |limit| limit.parse().unwrap());
        if limit == 0 || limit > PAGE {
            return error(400, "VALIDATION_ERROR");
        }
        let after = query.get("after").cloned().unwrap_or_default();
        let mut rest = self.members.iter().filter(|id| **id > after);
        let page: Vec<&String> = rest.by_ref().take(limit).collect();
        let results: Vec<Value> =
            page.iter().map(|id| json!({ "recordId": id, "membershipTimestamp": "2026-01-01T00:00:00Z" })).collect();
        let mut body = json!({ "total": self.members.len(), "results": results });
        if rest.next().is_some() {
            body["paging"] = json!({ "next": { "after": page.last(), "link": "https://api.hubapi.com" } });
        }
        Does::json(200, &body)
    }
}

fn batch(status: u16, results: Vec<Value>, errors: Vec<Value>) -> Does {
    let mut body = json!({
        "status": "COMPLETE", "results": results,
        "startedAt": "2026-01-01T00:00:00Z", "completedAt": "2026-01-01T00:00:00Z",
    });
    if !errors.is_empty() {
        body["numErrors"] = json!(errors.len());
        body["errors"] = json!(errors);
    }
    Does::json(status, &body)
}

fn error(status: u16, category: &str) -> Does {
    let body = json!({ "status": "error", "category": category, "message": "no", "correlationId": "c" });
    Does::json(status, &body)
}

fn inputs(body: &Value) -> Vec<Value> {
    body["inputs"].as_array().cloned().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned).trim_matches('"').to_owned()
}

fn decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}
