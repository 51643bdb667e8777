//! A stub of the Data Manager API: one user list. Requests are accepted and processed later; what it answers is read by the
//! vendor's message classes (`tests/vendor/data_manager.py`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::{
    Does, Got, SECRET, Server,
    faults::{Bad, Dialect},
    list::List,
};

#[derive(Clone, Default)]
pub struct UserList {
    pub list: List,
    pub state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub struct State {
    /// By request id: how often it was asked for, and how it ends.
    jobs: BTreeMap<String, (u32, Value)>,
    /// When each member was last added, by the stub's own time.
    added: BTreeMap<String, String>,
    /// The time, as the API writes it.
    pub now: String,
    /// Members whom the processing refuses, without naming them.
    pub without_consent: BTreeSet<String>,
    /// Refused requests do not name the members that they are refused for.
    pub nameless: bool,
    /// Nobody knows the request ids any more.
    pub forgetful: bool,
    /// Lists of the account, by id.
    pub lists: BTreeMap<String, String>,
    /// Every answer with its kind, for the vendor's classes.
    pub said: Vec<(&'static str, Value)>,
}

fn error(status: u16, name: &str, details: &Value) -> Does {
    Does::json(status, &json!({ "error": { "code": status, "message": "m", "status": name, "details": details } }))
}

fn info(reason: &str) -> Value {
    json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "datamanager.googleapis.com" })
}

/// How Google says what goes wrong.
pub fn dialect() -> Dialect {
    Dialect {
        throttled: |after| {
            let mut info = info("RESOURCE_EXHAUSTED");
            info["metadata"] = json!({ "quota_limit": "IngestionMutateRequestsPerMinutePerProject" });
            let answer = error(429, "RESOURCE_EXHAUSTED", &json!([info]));
            match after {
                Some(seconds) => answer.with("retry-after", seconds.to_string()),
                None => answer,
            }
        },
        server_error: || error(500, "INTERNAL", &json!([info("INTERNAL_ERROR")])),
        unavailable: || error(503, "UNAVAILABLE", &json!([])),
        login_expired: || error(401, "UNAUTHENTICATED", &json!([])),
        login_gone: || error(403, "PERMISSION_DENIED", &json!([info("PERMISSION_DENIED")])),
        list_gone: |_| Some(error(400, "INVALID_ARGUMENT", &json!([info("INVALID_USER_LIST_ID")]))),
    }
}

/// The issuer of access tokens.
fn token(got: &Got) -> Does {
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(&got.body).into_owned().collect();
    let given = |name: &str| form.get(name).map(String::as_str);
    if given("grant_type") != Some("refresh_token")
        || given("refresh_token") != Some(SECRET)
        || given("client_secret") != Some(SECRET)
    {
        return Does::json(400, &json!({ "error": "invalid_grant" }));
    }
    Does::json(200, &json!({ "access_token": SECRET, "expires_in": 3_599, "token_type": "Bearer" }))
}

/// The digests of a member.
fn names(member: &Value) -> Vec<String> {
    let identifiers = member["userData"]["userIdentifiers"].as_array().into_iter().flatten();
    identifiers.filter_map(|i| i["emailAddress"].as_str().or(i["phoneNumber"].as_str())).map(str::to_owned).collect()
}

impl UserList {
    pub async fn start(&self) -> Server {
        let list = self.clone();
        Server::start(move |got: &Got, _| list.answer(got)).await
    }

    /// What it answers, and does.
    pub fn answer(&self, got: &Got) -> Does {
        if got.path() == "/token" {
            return token(got);
        }
        if got.header("authorization") != Some("Bearer s3cr3t") {
            return error(401, "UNAUTHENTICATED", &json!([]));
        }
        let lists = "/v1/accountTypes/GOOGLE_ADS/accounts/1234567890/userLists";
        match (got.method.as_str(), got.path()) {
            ("POST", "/v1/audienceMembers:ingest") => {
                self.list.faults.on_change(&dialect(), got, |bad| self.members(&got.json(), false, bad))
            }
            ("POST", "/v1/audienceMembers:remove") => {
                self.list.faults.on_change(&dialect(), got, |bad| self.members(&got.json(), true, bad))
            }
            ("POST", "/v1/audienceMembers:removeAll") => {
                self.list.faults.on_change(&dialect(), got, |_| self.remove_all(&got.json()))
            }
            ("GET", "/v1/requestStatus:retrieve") => {
                self.list.faults.on_read(&dialect(), got).unwrap_or_else(|| self.status(got))
            }
            ("GET", path) if path == lists => {
                let state = self.state.lock().unwrap();
                let all = state.lists.iter().map(|(id, name)| json!({ "id": id, "displayName": name }));
                Does::json(200, &json!({ "userLists": all.collect::<Vec<_>>() }))
            }
            ("POST", path) if path == lists => {
                let mut state = self.state.lock().unwrap();
                let id = (500 + state.lists.len()).to_string();
                state.lists.insert(id.clone(), got.json()["displayName"].as_str().unwrap().to_owned());
                Does::json(200, &json!({ "id": id, "displayName": got.json()["displayName"] }))
            }
            ("DELETE", path) => match self.state.lock().unwrap().lists.remove(path.rsplit('/').next().unwrap()) {
                Some(_) => Does::json(200, &json!({})),
                None => error(404, "NOT_FOUND", &json!([info("NOT_FOUND")])),
            },
            ("GET", path) if path.starts_with(lists) => Does::json(200, &json!({ "id": "55", "readOnly": false })),
            _ => Does::status(404),
        }
    }

    fn members(&self, body: &Value, remove: bool, bad: &Bad) -> Does {
        let members = body["audienceMembers"].as_array().cloned().unwrap_or_default();
        let is_bad = |member: &Value| !remove && names(member).iter().any(|name| bad.has(name));
        let refused: Vec<usize> = (0..members.len()).filter(|&i| is_bad(&members[i])).collect();
        let mut state = self.state.lock().unwrap();
        if members.is_empty() || members.len() > 10_000 {
            return error(400, "INVALID_ARGUMENT", &json!([info("TOO_MANY_AUDIENCE_MEMBERS")]));
        }
        if !refused.is_empty() {
            let field = |i: &usize| json!({ "field": format!("audience_members[{i}].user_data"), "description": "x" });
            let violations: Vec<Value> = refused.iter().map(field).collect();
            let request =
                json!({ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations });
            let named = json!([info("INVALID_SHA256_FORMAT"), request]);
            let details = if state.nameless { json!([info("INVALID_SHA256_FORMAT")]) } else { named };
            return error(400, "INVALID_ARGUMENT", &details);
        }
        let without = members.iter().filter(|m| names(m).iter().any(|n| state.without_consent.contains(n))).count();
        let mut list = self.list.members();
        for name in members.iter().flat_map(names) {
            if remove {
                list.remove(&name);
                state.added.remove(&name);
            } else if !state.without_consent.contains(&name) {
                list.insert(name.clone(), String::new());
                let now = state.now.clone();
                state.added.insert(name, now);
            }
        }
        let status = match (without, members.len()) {
            (0, _) => "SUCCESS",
            (some, all) if some == all => "FAILED",
            _ => "PARTIAL_SUCCESS",
        };
        let kind = if remove { "audienceMembersRemovalStatus" } else { "audienceMembersIngestionStatus" };
        let of_kind = if remove { "userDataRemovalStatus" } else { "userDataIngestionStatus" };
        let mut told =
            json!({ "requestStatus": status, kind: { of_kind: { "recordCount": members.len().to_string() } } });
        if without > 0 {
            let reason = json!({ "recordCount": without.to_string(), "reason": "PROCESSING_ERROR_REASON_NO_CONSENT" });
            told["errorInfo"] = json!({ "errorCounts": [reason] });
        }
        state.accept(told)
    }

    fn remove_all(&self, body: &Value) -> Does {
        let mut state = self.state.lock().unwrap();
        let before = body["removeAsOfTime"].as_str().unwrap_or_default().to_owned();
        if before > state.now {
            return error(400, "INVALID_ARGUMENT", &json!([info("INVALID_REMOVE_AS_OF_TIME")]));
        }
        let mut list = self.list.members();
        list.retain(|name, _| state.added.get(name).is_some_and(|at| *at >= before));
        state.accept(json!({ "requestStatus": "SUCCESS", "removeAllAudienceMembersStatus": {} }))
    }

    fn status(&self, got: &Got) -> Does {
        let mut state = self.state.lock().unwrap();
        let (_, id) = got.target.split_once("requestId=").unwrap();
        let forgetful = state.forgetful;
        let Some((asked, told)) = state.jobs.get_mut(id).filter(|_| !forgetful) else {
            return error(404, "NOT_FOUND", &json!([info("INVALID_REQUEST_ID")]));
        };
        *asked += 1;
        let status = if *asked < 2 { json!({ "requestStatus": "PROCESSING" }) } else { told.clone() };
        let body = json!({ "requestStatusPerDestination": [status] });
        state.said.push(("status", body.clone()));
        Does::json(200, &body)
    }
}

impl State {
    fn accept(&mut self, ends: Value) -> Does {
        let id = format!("r{}", self.jobs.len());
        self.jobs.insert(id.clone(), (0, ends));
        let body = json!({ "requestId": id });
        self.said.push(("accepted", body.clone()));
        Does::json(200, &body)
    }
}
