//! A stub of Meta Custom Audiences: one audience, with the rules of its replacement sessions. Its shapes are those that the
//! vendor's SDK reads and writes (`tests/vendor/meta.py`); the rules are those of the vendor's guide.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::{
    Does, Got, Server,
    faults::{Bad, Dialect},
    list::List,
};

/// Replacement sessions, and what else the suites look at.
#[derive(Clone, Default)]
pub struct Audience {
    pub list: List,
    pub state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub struct State {
    pub sessions: BTreeMap<u64, Replacing>,
    /// Audiences of the account, by id.
    pub audiences: BTreeMap<String, String>,
}

#[derive(Default)]
pub struct Replacing {
    schema: Value,
    staged: BTreeMap<String, String>,
    parts: BTreeSet<u64>,
    finished: bool,
    /// More than 90 minutes have passed since its first part.
    pub late: bool,
}

fn error(status: u16, code: u64, subcode: u64) -> Does {
    let error = json!({ "message": "m", "type": "OAuthException", "code": code, "error_subcode": subcode });
    Does::json(status, &json!({ "error": error }))
}

/// How Meta says what goes wrong: by code, mostly under status 400.
pub fn dialect() -> Dialect {
    Dialect {
        throttled: |_| {
            let usage = r#"{"1":[{"type":"custom_audience","call_count":100,"estimated_time_to_regain_access":1}]}"#;
            error(400, 80_003, 0).with("x-business-use-case-usage", usage)
        },
        server_error: || error(500, 2, 0),
        unavailable: || Does::status(503),
        login_expired: || error(401, 190, 463),
        login_gone: || error(400, 190, 0),
        list_gone: |_| Some(error(400, 100, 33)),
    }
}

/// The parameters of a request: query and form; the SDK puts them into the query where there is no body.
fn parameters(got: &Got) -> BTreeMap<String, String> {
    let (_, query) = got.target.split_once('?').unwrap_or_default();
    let pairs = url::form_urlencoded::parse(query.as_bytes()).chain(url::form_urlencoded::parse(&got.body));
    pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

impl Audience {
    pub async fn start(&self) -> Server {
        let audience = self.clone();
        Server::start(move |got: &Got, _| audience.answer(got)).await
    }

    /// What it answers, and does.
    pub fn answer(&self, got: &Got) -> Does {
        let parameters = parameters(got);
        let bearer = got.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if bearer.or(parameters.get("access_token").map(String::as_str)) != Some("s3cr3t") {
            return error(400, 190, 0);
        }
        let path: Vec<&str> = got.path().trim_matches('/').split('/').collect();
        let deletes =
            got.method == "DELETE" || parameters.get("method").is_some_and(|m| m.eq_ignore_ascii_case("delete"));
        let payload: Value =
            parameters.get("payload").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let session: Value =
            parameters.get("session").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        match (got.method.as_str(), path.as_slice()) {
            ("POST" | "DELETE", ["v25.0", "77", "users"]) => {
                let work = |bad: &Bad| self.users(&payload, deletes, bad);
                self.list.faults.on_change(&dialect(), got, work)
            }
            ("POST", ["v25.0", "77", "usersreplace"]) => {
                self.list.faults.on_change(&dialect(), got, |_| self.replace(&payload, &session))
            }
            ("GET", ["v25.0", "77", "sessions"]) => {
                let wanted: u64 = parameters["session_id"].parse().unwrap();
                let known = self.state.lock().unwrap().sessions.contains_key(&wanted);
                let data: Vec<Value> = known.then(|| json!({ "session_id": wanted.to_string() })).into_iter().collect();
                Does::json(200, &json!({ "data": data }))
            }
            ("GET", ["v25.0", "77"]) => self.list.faults.on_read(&dialect(), got).unwrap_or_else(|| {
                let status = json!({ "code": 200, "description": "Normal" });
                Does::json(200, &json!({ "id": "77", "subtype": "CUSTOM", "operation_status": status }))
            }),
            ("GET", ["v25.0", "act_9", "customaudiences"]) => {
                let state = self.state.lock().unwrap();
                let data: Vec<Value> =
                    state.audiences.iter().map(|(id, name)| json!({ "id": id, "name": name })).collect();
                Does::json(200, &json!({ "data": data, "paging": { "cursors": { "after": "x" } } }))
            }
            ("POST", ["v25.0", "act_9", "customaudiences"]) => {
                let known = ["USER_PROVIDED_ONLY", "PARTNER_PROVIDED_ONLY", "BOTH_USER_AND_PARTNER_PROVIDED"];
                let source = parameters.get("customer_file_source").map(String::as_str).unwrap_or_default();
                if parameters.get("subtype").is_none_or(|s| s != "CUSTOM") || !known.contains(&source) {
                    return error(400, 100, 0);
                }
                let mut state = self.state.lock().unwrap();
                let id = (100 + state.audiences.len()).to_string();
                state.audiences.insert(id.clone(), parameters["name"].clone());
                Does::json(200, &json!({ "id": id }))
            }
            ("DELETE", ["v25.0", id]) => match self.state.lock().unwrap().audiences.remove(*id) {
                Some(_) => Does::json(200, &json!({ "success": true })),
                None => error(400, 100, 33),
            },
            _ => error(400, 2635, 0),
        }
    }

    /// The lines of a payload by their e-mail digest, each with its first name; how many are invalid.
    fn lines(payload: &Value) -> Option<(Vec<(String, String)>, u64)> {
        let schema: Vec<&str> = payload["schema"].as_array()?.iter().filter_map(Value::as_str).collect();
        let data = payload["data"].as_array()?;
        if data.len() > 10_000 {
            return None;
        }
        let at = |key: &str| schema.iter().position(|name| *name == key);
        let (email, phone, first_name) = (at("EMAIL"), at("PHONE"), at("FN"));
        let mut invalid = 0;
        let mut lines = Vec::new();
        for line in data {
            if line.as_array()?.len() != schema.len() {
                return None;
            }
            let value = |column: Option<usize>| column.and_then(|c| line[c].as_str()).unwrap_or_default().to_owned();
            let name = [value(email), value(phone)].into_iter().find(|name| !name.is_empty());
            match name.filter(|name| name.len() == 64) {
                Some(name) => lines.push((name, value(first_name))),
                None => invalid += 1,
            }
        }
        Some((lines, invalid))
    }

    fn users(&self, payload: &Value, deletes: bool, bad: &Bad) -> Does {
        if self.state.lock().unwrap().sessions.values().any(|session| !session.finished && !session.late) {
            return error(400, 2650, 1_870_145);
        }
        let Some((lines, mut invalid)) = Self::lines(payload) else { return error(400, 100, 0) };
        let mut members = self.list.members();
        let received = lines.len() as u64 + invalid;
        for (name, first_name) in lines {
            if bad.has(&name) {
                invalid += 1;
            } else if deletes {
                members.remove(&name);
            } else {
                members.insert(name, first_name);
            }
        }
        Self::received(1, received, invalid)
    }

    fn received(session: u64, received: u64, invalid: u64) -> Does {
        let samples = json!({ "not": "looked at" });
        let body = json!({ "audience_id": "77", "session_id": session.to_string(), "num_received": received,
            "num_invalid_entries": invalid, "invalid_entry_samples": samples });
        Does::json(200, &body)
    }

    fn replace(&self, payload: &Value, session: &Value) -> Does {
        let (Some(number), Some(part)) = (session["session_id"].as_u64(), session["batch_seq"].as_u64()) else {
            return error(400, 100, 0);
        };
        let Some((lines, invalid)) = Self::lines(payload) else { return error(400, 100, 0) };
        let mut state = self.state.lock().unwrap();
        if state.sessions.get(&number).is_some_and(|s| s.finished) {
            return error(400, 2650, 1_870_159);
        }
        if state.sessions.get(&number).is_some_and(|s| s.late) {
            return error(400, 2650, 1_870_158);
        }
        if part == 1 {
            if state.sessions.values().any(|s| !s.finished && !s.late) {
                return error(400, 2650, 1_870_145);
            }
            state.sessions.insert(number, Replacing { schema: payload["schema"].clone(), ..Replacing::default() });
        }
        let Some(session_of) = state.sessions.get_mut(&number) else { return error(400, 2650, 1_870_147) };
        if session_of.schema != payload["schema"] {
            return error(400, 100, 0);
        }
        session_of.parts.insert(part);
        let received = lines.len() as u64 + invalid;
        session_of.staged.extend(lines);
        if session["last_batch_flag"] == true {
            session_of.finished = true;
            *self.list.members() = session_of.staged.clone();
        }
        Self::received(number, received, invalid)
    }
}
