//! Mailchimp: up to 500 members a request, 200 with the failures listed, members under the MD5 of their address in lower case.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use crate::{Does, Got, SECRET, array, faults::Dialect, list::List, text};

use super::LIST;

fn md5(text: &str) -> String {
    hex::encode(Md5::digest(text.to_lowercase()))
}

/// `application/problem+json`.
fn problem(status: u16, title: &str) -> Does {
    Does::json(status, &json!({ "type": "about:blank", "title": title, "status": status, "detail": "see the docs" }))
        .typed("application/problem+json; charset=utf-8")
}

/// How Mailchimp says what goes wrong.
fn dialect() -> Dialect {
    Dialect {
        throttled: |_| problem(429, "Too Many Requests"),
        login_expired: || problem(401, "API Key Invalid"),
        login_gone: || problem(403, "Forbidden"),
        // A contact that is not there is answered in the same way.
        list_gone: |got| (got.method != "DELETE").then(|| problem(404, "Resource Not Found")),
        ..Dialect::default()
    }
}

/// What it answers, and does.
pub fn answer(list: &List, got: &Got) -> Does {
    let login = got.header("authorization").and_then(|basic| STANDARD.decode(basic.strip_prefix("Basic ")?).ok());
    let login = String::from_utf8(login.unwrap_or_default()).unwrap_or_default();
    if login.split_once(':').is_none_or(|(_, key)| key != SECRET) {
        return problem(401, "API Key Invalid");
    }
    let path = got.path().trim_start_matches("/3.0").to_owned();
    let steps: Vec<&str> = path.split('/').skip(1).collect();
    match (got.method.as_str(), steps.as_slice()) {
        ("GET", ["ping"]) => Does::json(200, &json!({ "health_status": "Everything's Chimpy!" })),
        ("GET", ["lists", LIST, "members"]) => {
            let number = |name, otherwise| got.parameter(name).map_or(otherwise, |n| n.parse().unwrap_or(otherwise));
            let (count, offset) = (number("count", 10_usize).min(1000), number("offset", 0));
            let members: Vec<Value> =
                list.members().iter().skip(offset).take(count).map(|(email, name)| member(email, name)).collect();
            let total = list.members().len();
            list.faults.on_read(&dialect(), got).unwrap_or_else(|| {
                Does::json(200, &json!({ "members": members, "list_id": LIST, "total_items": total }))
            })
        }
        ("POST", ["lists", LIST]) => list.faults.on_change(&dialect(), got, |bad| {
            let body = got.json();
            let members = array(&body, "/members");
            if members.len() > 500 || members.iter().any(|m| text(m, "/email_address").is_empty()) {
                return problem(400, "Invalid Resource");
            }
            let mut errors = Vec::new();
            let (mut new, mut updated) = (Vec::new(), Vec::new());
            for entry in &members {
                let email = text(entry, "/email_address");
                let key = email.to_lowercase();
                let known = list.members().contains_key(&key);
                let failed = |code: &str| {
                    json!({
                        "email_address": email, "error": format!("{email} looks fake or invalid"),
                        "error_code": code, "field": "", "field_message": ""
                    })
                };
                if bad.has(&key) {
                    errors.push(failed("ERROR_GENERIC"));
                } else if known && body["update_existing"] != json!(true) {
                    errors.push(failed("ERROR_CONTACT_EXISTS"));
                } else {
                    let name = text(entry, "/merge_fields/first_name");
                    list.members().insert(key.clone(), name.to_owned());
                    let into = if known { &mut updated } else { &mut new };
                    into.push(member(&key, name));
                }
            }
            if bad.reordered {
                errors.reverse();
            }
            let (created, changed, failed) = (new.len(), updated.len(), errors.len());
            Does::json(
                200,
                &json!({
                    "new_members": new, "updated_members": updated, "errors": errors,
                    "total_created": created, "total_updated": changed, "error_count": failed
                }),
            )
        }),
        ("DELETE" | "PUT" | "GET", ["lists", LIST, "members", hash]) => {
            list.faults.on_change(&dialect(), got, |_| one_member(list, got, hash))
        }
        _ => problem(404, "Resource Not Found"),
    }
}

fn member(email: &str, name: &str) -> Value {
    json!({ "id": md5(email), "email_address": email, "status": "subscribed", "merge_fields": { "first_name": name } })
}

fn one_member(list: &List, got: &Got, hash: &str) -> Does {
    let known = list.members().iter().find(|(email, _)| md5(email) == hash).map(|(e, n)| (e.clone(), n.clone()));
    match (got.method.as_str(), known) {
        ("PUT", _) => {
            let (email, name) = (text(&got.json(), "/email_address").to_lowercase(), got.json());
            let name = text(&name, "/merge_fields/first_name").to_owned();
            list.members().insert(email.clone(), name.clone());
            Does::json(200, &member(&email, &name))
        }
        ("DELETE", Some((email, _))) => {
            list.members().remove(&email);
            Does::status(204)
        }
        (_, Some((email, name))) => Does::json(200, &member(&email, &name)),
        (_, None) => problem(404, "Resource Not Found"),
    }
}
