//! A stub of Klaviyo: profiles, one list, import jobs. Its shapes are those that the vendor's SDK accepts
//! (`tests/vendor/klaviyo.py`), which checks every attribute.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::{
    Does, Got, Server,
    faults::{Bad, Dialect},
    list::List,
};

#[derive(Clone, Default)]
pub struct Account {
    /// The members of the list `L1`, by lower-case e-mail address.
    pub list: List,
    pub state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub struct State {
    /// Ids by lower-case e-mail address.
    pub profiles: BTreeMap<String, String>,
    jobs: BTreeMap<String, Import>,
    /// Refused profiles are listed without what was sent.
    pub nameless: bool,
    /// Lists beside `L1`, by id.
    pub lists: BTreeMap<String, String>,
}

struct Import {
    asked: u32,
    total: usize,
    errors: Vec<Value>,
}

fn error(status: u16, code: &str) -> Does {
    let error = json!({ "id": "e", "status": status, "code": code, "title": "t", "detail": "d", "source": { "pointer": "/data" } });
    Does::json(status, &json!({ "errors": [error] }))
}

/// How Klaviyo says what goes wrong.
pub fn dialect() -> Dialect {
    Dialect {
        throttled: |after| {
            let answer = error(429, "throttled");
            match after {
                Some(seconds) => answer.with("retry-after", seconds.to_string()),
                None => answer,
            }
        },
        server_error: || error(500, "error"),
        unavailable: || error(503, "service_unavailable"),
        login_expired: || error(401, "not_authenticated"),
        login_gone: || error(403, "permission_denied"),
        list_gone: |_| Some(error(404, "not_found")),
    }
}

fn links(path: &str, next: Option<usize>) -> Value {
    let next = next.map(|at| format!("https://a.klaviyo.com{path}?page%5Bcursor%5D={at}"));
    json!({ "self": format!("https://a.klaviyo.com{path}"), "next": next, "prev": null })
}

impl Account {
    pub async fn start(&self) -> Server {
        let account = self.clone();
        Server::start(move |got: &Got, _| account.answer(got)).await
    }

    /// What it answers, and does.
    pub fn answer(&self, got: &Got) -> Does {
        if got.header("authorization") != Some("Klaviyo-API-Key s3cr3t") {
            return error(401, "not_authenticated");
        }
        if got.header("revision").is_none_or(|revision| revision.len() != 10) {
            return error(400, "invalid");
        }
        let path: Vec<&str> = got.path().trim_matches('/').split('/').collect();
        let read = || self.list.faults.on_read(&dialect(), got);
        match (got.method.as_str(), path.as_slice()) {
            ("POST", ["api", "profile-bulk-import-jobs"]) => {
                self.list.faults.on_change(&dialect(), got, |bad| self.import(&got.json(), bad))
            }
            ("GET", ["api", "profile-bulk-import-jobs", id]) => read().unwrap_or_else(|| self.job(id)),
            ("GET", ["api", "profile-bulk-import-jobs", id, "import-errors"]) => {
                read().unwrap_or_else(|| self.errors(got, id))
            }
            ("GET", ["api", "profiles"]) => read().unwrap_or_else(|| self.found(got)),
            ("DELETE" | "POST", ["api", "lists", "L1", "relationships", "profiles"]) => {
                let remove = got.method == "DELETE";
                self.list.faults.on_change(&dialect(), got, |_| self.relate(&got.json(), remove))
            }
            ("GET", ["api", "lists", "L1", "profiles"]) => read().unwrap_or_else(|| self.members(got)),
            ("GET", ["api", "lists"]) => {
                let state = self.state.lock().unwrap();
                let wanted = got.parameter("filter").unwrap_or_default();
                let named = state.lists.iter().filter(|(_, name)| wanted == format!("equals(name,\"{name}\")"));
                let data: Vec<Value> = named.map(|(id, name)| list(id, name)).collect();
                Does::json(200, &json!({ "data": data, "links": links("/api/lists", None) }))
            }
            ("POST", ["api", "lists"]) => {
                let mut state = self.state.lock().unwrap();
                let (id, body) = (format!("L{}", state.lists.len() + 2), got.json());
                let name = body["data"]["attributes"]["name"].as_str().unwrap().to_owned();
                state.lists.insert(id.clone(), name.clone());
                Does::json(201, &json!({ "data": list(&id, &name) }))
            }
            ("DELETE", ["api", "lists", id]) => match self.state.lock().unwrap().lists.remove(*id) {
                Some(_) => Does::status(204),
                None => error(404, "not_found"),
            },
            _ => error(404, "not_found"),
        }
    }

    fn import(&self, body: &Value, bad: &Bad) -> Does {
        let data = &body["data"];
        let profiles = data["attributes"]["profiles"]["data"].as_array().cloned().unwrap_or_default();
        if data["type"] != "profile-bulk-import-job" || profiles.is_empty() || profiles.len() > 10_000 {
            return error(400, "invalid");
        }
        if data["relationships"]["lists"]["data"] != json!([{ "type": "list", "id": "L1" }]) {
            return error(404, "not_found");
        }
        let mut state = self.state.lock().unwrap();
        let mut errors = Vec::new();
        for (at, profile) in profiles.iter().enumerate() {
            let attributes = &profile["attributes"];
            let email = attributes["email"].as_str().unwrap_or_default().to_lowercase();
            if bad.has(&email) {
                let payload = if state.nameless { Value::Null } else { attributes.clone() };
                let pointer =
                    if state.nameless { "/data".into() } else { format!("/data/attributes/profiles/data/{at}") };
                errors.push(json!({ "type": "import-error", "id": format!("e{at}"), "attributes": {
                    "code": "invalid", "title": "Invalid input.", "detail": format!("{email} is not accepted"),
                    "source": { "pointer": pointer }, "original_payload": payload } }));
                continue;
            }
            let id = format!("P{}", state.profiles.len());
            state.profiles.entry(email.clone()).or_insert(id);
            let first_name = attributes["first_name"].as_str().unwrap_or_default();
            self.list.members().insert(email, first_name.to_owned());
        }
        if bad.reordered {
            errors.reverse();
        }
        let id = format!("J{}", state.jobs.len());
        state.jobs.insert(id.clone(), Import { asked: 0, total: profiles.len(), errors });
        Does::json(202, &json!({ "data": state.shown(&id) }))
    }

    fn job(&self, id: &str) -> Does {
        let mut state = self.state.lock().unwrap();
        match state.jobs.get_mut(id) {
            None => error(404, "not_found"),
            Some(job) => {
                job.asked += 1;
                Does::json(200, &json!({ "data": state.shown(id) }))
            }
        }
    }

    fn errors(&self, got: &Got, id: &str) -> Does {
        let state = self.state.lock().unwrap();
        let Some(job) = state.jobs.get(id) else { return error(404, "not_found") };
        let from: usize = got.parameter("page[cursor]").map_or(0, |at| at.parse().unwrap());
        let size: usize = got.parameter("page[size]").map_or(20, |size| size.parse().unwrap());
        let page: Vec<Value> = job.errors.iter().skip(from).take(size).cloned().collect();
        let next = (from + size < job.errors.len()).then_some(from + size);
        Does::json(200, &json!({ "data": page, "links": links(got.path(), next) }))
    }

    fn found(&self, got: &Got) -> Does {
        let filter = got.parameter("filter").unwrap_or_default();
        let names = filter.strip_prefix("any(email,").and_then(|rest| rest.strip_suffix(')'));
        let Some(names) = names.and_then(|names| serde_json::from_str::<Vec<String>>(names).ok()) else {
            return error(400, "invalid");
        };
        let state = self.state.lock().unwrap();
        let of = |name: &String| Some(profile(state.profiles.get(&name.to_lowercase())?, &name.to_lowercase()));
        let data: Vec<Value> = names.iter().filter_map(of).collect();
        Does::json(200, &json!({ "data": data, "links": links("/api/profiles", None) }))
    }

    fn relate(&self, body: &Value, remove: bool) -> Does {
        let ids: Vec<&str> = body["data"].as_array().into_iter().flatten().filter_map(|p| p["id"].as_str()).collect();
        if ids.is_empty() || ids.len() > 1_000 {
            return error(400, "invalid");
        }
        let state = self.state.lock().unwrap();
        for (email, _) in state.profiles.iter().filter(|(_, id)| ids.contains(&id.as_str())) {
            if remove {
                self.list.members().remove(email);
            } else {
                self.list.members().insert(email.clone(), String::new());
            }
        }
        Does::status(204)
    }

    fn members(&self, got: &Got) -> Does {
        let state = self.state.lock().unwrap();
        let members = self.list.members();
        let from: usize = got.parameter("page[cursor]").map_or(0, |at| at.parse().unwrap());
        let size: usize = got.parameter("page[size]").map_or(20, |size| size.parse().unwrap());
        let shown = |email: &String| {
            let mut member = profile(state.profiles.get(email).map_or("P", String::as_str), email);
            member["attributes"]["joined_group_at"] = json!("2026-11-27T00:00:00+00:00");
            member
        };
        let page: Vec<Value> = members.keys().skip(from).take(size.min(100)).map(shown).collect();
        let next = (from + size < members.len()).then_some(from + size);
        Does::json(200, &json!({ "data": page, "links": links(got.path(), next) }))
    }
}

impl State {
    fn shown(&self, id: &str) -> Value {
        let job = &self.jobs[id];
        let done = job.asked >= 2;
        let count = |n: usize| if done { n } else { 0 };
        json!({ "type": "profile-bulk-import-job", "id": id, "attributes": {
            "status": match job.asked { 0 => "queued", 1 => "processing", _ => "complete" },
            "created_at": "2026-11-27T00:00:00+00:00", "total_count": job.total,
            "completed_count": count(job.total - job.errors.len()), "failed_count": count(job.errors.len()),
            "completed_at": done.then_some("2026-11-27T00:00:09+00:00"), "expires_at": "2026-12-04T00:00:00+00:00",
        }, "links": { "self": format!("https://a.klaviyo.com/api/profile-bulk-import-jobs/{id}") } })
    }
}

fn profile(id: &str, email: &str) -> Value {
    let link = json!({ "self": format!("https://a.klaviyo.com/api/profiles/{id}") });
    json!({ "type": "profile", "id": id, "attributes": { "email": email }, "links": link })
}

fn list(id: &str, name: &str) -> Value {
    let link = json!({ "self": format!("https://a.klaviyo.com/api/lists/{id}") });
    let at = "2026-11-27T00:00:00+00:00";
    json!({ "type": "list", "id": id, "attributes": { "name": name, "created": at, "updated": at }, "links": link })
}
