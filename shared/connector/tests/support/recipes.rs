//! Stubs of the vendors that the shipped recipes speak to, with each one's rules: what it takes, how it refuses single records, how
//! it says that it is too much. What a vendor has not confirmed is said in its recipe.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use driftless_connector::{
    OutRow,
    conformance::{Manners, Person, Refuses},
};
use driftless_model::{Identifier, IdentifierSet, RecordKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Does, Got, Server, connector,
    faults::Dialect,
    list::{Kind, List, Running},
};

/// The secret that `support::secrets` has.
const SECRET: &str = "s3cr3t";

/// The list that the stubs have.
pub const LIST: &str = "9e67587f52";

/// A destination of a recipe, on a stub.
pub fn recipe(name: &str, base_url: &str, with: &str) -> String {
    format!("version: 1\nkind: recipe\nrecipe: {name}\nbase_url: {base_url}\nwith: {{{with}}}\n")
}

fn text<'v>(value: &'v Value, at: &str) -> &'v str {
    value.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

fn array(value: &Value, at: &str) -> Vec<Value> {
    value.pointer(at).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn parameter(got: &Got, name: &str) -> Option<String> {
    let (_, query) = got.target.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes()).find_map(|(n, v)| (n == name).then(|| v.into_owned()))
}

/// The names of lists that fold capitals.
fn folded(identifiers: &IdentifierSet) -> std::collections::BTreeSet<String> {
    identifiers.iter().map(|identifier| identifier.value.to_lowercase()).collect()
}

fn md5(text: &str) -> String {
    hex::encode(md5::Md5::digest(text.to_lowercase()))
}

/// `application/problem+json`.
fn problem(status: u16, title: &str) -> Does {
    Does::json(status, &json!({ "type": "about:blank", "title": title, "status": status, "detail": "see the docs" }))
        .typed("application/problem+json; charset=utf-8")
}

/// Mailchimp: up to 500 members a request, 200 with the failures listed, members under the MD5 of their address in lower case.
pub async fn mailchimp_stub(list: List) -> Server {
    let dialect = Dialect {
        throttled: |_| problem(429, "Too Many Requests"),
        login_expired: || problem(401, "API Key Invalid"),
        login_gone: || problem(403, "Forbidden"),
        // A contact that is not there is answered in the same way.
        list_gone: |got| (got.method != "DELETE").then(|| problem(404, "Resource Not Found")),
        ..Dialect::default()
    };
    Server::start(move |got: &Got, _| {
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
                let number =
                    |name, otherwise| parameter(got, name).map_or(otherwise, |n| n.parse().unwrap_or(otherwise));
                let (count, offset) = (number("count", 10_usize).min(1000), number("offset", 0));
                let members: Vec<Value> =
                    list.members().iter().skip(offset).take(count).map(|(email, name)| member(email, name)).collect();
                let total = list.members().len();
                list.faults.on_read(&dialect, got).unwrap_or_else(|| {
                    Does::json(200, &json!({ "members": members, "list_id": LIST, "total_items": total }))
                })
            }
            ("POST", ["lists", LIST]) => list.faults.on_change(&dialect, got, |bad| {
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
                list.faults.on_change(&dialect, got, |_| one_member(&list, got, hash))
            }
            _ => problem(404, "Resource Not Found"),
        }
    })
    .await
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

async fn mailchimp(list: List) -> Running {
    let server = mailchimp_stub(list).await;
    let yaml = recipe("mailchimp@1", &format!("{}/3.0", server.url), "data_center: us1, api_key: {secret: token}");
    let connector = connector(&yaml, LIST);
    (server, connector)
}

pub fn mailchimp_kind() -> Kind {
    Kind {
        names: folded,
        manners: Manners { refuses: Refuses::ByName, says_how_long: false, ..Manners::default() },
        ..Kind::new(|list| Box::pin(mailchimp(list)))
    }
}

/// Iterable: named arrays of failures, in lower case and twice over, with a count; the list as plain text.
async fn iterable(list: List) -> Running {
    let dialect = Dialect {
        throttled: |_| Does::json(429, &json!({ "msg": "slow down", "code": "RateLimitExceeded", "params": null })),
        server_error: || Does::json(500, &json!({ "msg": "oops", "code": "GenericError", "params": null })),
        login_expired: || Does::json(401, &json!({ "msg": "no", "code": "BadApiKey", "params": null })),
        login_gone: || Does::json(401, &json!({ "msg": "no", "code": "BadApiKey", "params": null })),
        ..Dialect::default()
    };
    let server = Server::start(move |got: &Got, _| {
        if got.header("api-key") != Some(SECRET) {
            return (dialect.login_gone)();
        }
        let body = got.json();
        let bad_request = |code: &str| Does::json(400, &json!({ "msg": "no", "code": code, "params": null }));
        match (got.method.as_str(), got.path()) {
            ("GET", "/api/lists/getUsers") if parameter(got, "listId").as_deref() == Some("17") => {
                let lines: String = list.members().keys().map(|email| format!("{email}\n")).collect();
                let plain = vec![("content-type", "text/plain;charset=utf-8".to_owned())];
                list.faults.on_read(&dialect, got).unwrap_or(Does::Answers(200, plain, lines.into_bytes()))
            }
            ("POST", path @ ("/api/lists/subscribe" | "/api/lists/unsubscribe")) => {
                let removes = path.ends_with("unsubscribe");
                list.faults.on_change(&dialect, got, |bad| {
                    let subscribers = array(&body, "/subscribers");
                    if body["listId"] != json!(17) || (removes && body["channelUnsubscribe"] != json!(false)) {
                        return bad_request("BadParams");
                    }
                    if subscribers.len() > 1000 {
                        return bad_request("BatchTooLarge");
                    }
                    let (mut invalid, mut not_found) = (Vec::new(), Vec::new());
                    for subscriber in &subscribers {
                        let key = text(subscriber, "/email").to_lowercase();
                        let name = text(subscriber, "/dataFields/first_name").to_owned();
                        if bad.has(&key) && !removes {
                            invalid.push(key);
                        } else if !removes {
                            list.members().insert(key, name);
                        } else if list.members().remove(&key).is_none() {
                            not_found.push(key);
                        }
                    }
                    if bad.reordered {
                        invalid.reverse();
                    }
                    let failed = invalid.len() + not_found.len();
                    Does::json(
                        200,
                        &json!({
                            "successCount": subscribers.len() - failed, "failCount": failed,
                            "invalidEmails": invalid, "invalidUserIds": [],
                            "failedUpdates": {
                                "invalidEmails": invalid, "notFoundEmails": not_found, "forgottenEmails": [],
                                "conflictEmails": [], "invalidDataEmails": []
                            }
                        }),
                    )
                })
            }
            _ => bad_request("BadParams"),
        }
    })
    .await;
    let yaml = recipe("iterable@1", &format!("{}/api", server.url), "api_key: {secret: token}");
    let connector = connector(&yaml, "17");
    (server, connector)
}

pub fn iterable_kind() -> Kind {
    Kind {
        names: folded,
        manners: Manners { refuses: Refuses::ByName, says_how_long: false, ..Manners::default() },
        ..Kind::new(|list| Box::pin(iterable(list)))
    }
}

/// The digest that a mapping makes of a person's address.
pub fn hashed(person: &Person) -> OutRow {
    let email = hex::encode(Sha256::digest(person.email.to_lowercase()));
    let fields = json!({ "email": email, "first_name": person.first_name });
    OutRow {
        key: RecordKey::new(&person.key),
        identifiers: [Identifier::new("email", email)].into(),
        remote_id: None,
        fields: fields.as_object().cloned().unwrap_or_default(),
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// LinkedIn: one status per element, in the order of the request, inside a 200.
async fn linkedin(list: List) -> Running {
    let server = Server::start(move |got: &Got, _| {
        let headers = [
            ("authorization", "Bearer s3cr3t"),
            ("linkedin-version", "202603"),
            ("x-restli-protocol-version", "2.0.0"),
            ("x-restli-method", "BATCH_CREATE"),
        ];
        if let Some((name, _)) = headers.iter().find(|(name, value)| got.header(name) != Some(*value)) {
            return Does::json(if *name == "authorization" { 401 } else { 426 }, &json!({ "code": "HEADER" }));
        }
        if got.path() != format!("/rest/dmpSegments/{LIST}/users") {
            return Does::json(404, &json!({ "code": "RESOURCE_NOT_FOUND" }));
        }
        list.faults.on_change(&Dialect::default(), got, |bad| {
            let elements = array(&got.json(), "/elements");
            if elements.len() > 5_000 {
                return Does::json(400, &json!({ "code": "BATCH_TOO_LARGE" }));
            }
            let status = |element: &Value| {
                let (hash, action) = (text(element, "/userIds/0/idValue"), text(element, "/action"));
                let refused = action == "ADD" && bad.has(hash);
                if text(element, "/userIds/0/idType") != "SHA256_EMAIL" || !is_digest(hash) || refused {
                    return json!({ "status": 400, "message": "INVALID_USER_ID" });
                }
                match action {
                    "ADD" => drop(list.members().insert(hash.to_owned(), String::new())),
                    "REMOVE" => drop(list.members().remove(hash)),
                    _ => return json!({ "status": 400, "message": "INVALID_ACTION" }),
                }
                json!({ "status": 201 })
            };
            Does::json(200, &json!({ "elements": elements.iter().map(status).collect::<Vec<_>>() }))
        })
    })
    .await;
    let yaml = recipe("linkedin@1", &format!("{}/rest", server.url), "access_token: {secret: token}");
    let connector = connector(&yaml, LIST);
    (server, connector)
}

pub fn linkedin_kind() -> Kind {
    Kind {
        row: hashed,
        values: false,
        // A 404 may be a segment that was just made.
        manners: Manners { refuses: Refuses::InOrder, list_can_go: false, ..Manners::default() },
        ..Kind::new(|list| Box::pin(linkedin(list)))
    }
}

/// TikTok: everything inside a 200, with a code; a partial success names nobody.
pub async fn tiktok_stub(list: List) -> Server {
    fn says(code: u32, message: &str) -> Does {
        Does::json(200, &json!({ "code": code, "message": message, "request_id": "2026", "data": {} }))
    }
    let dialect = Dialect {
        throttled: |_| says(40100, "Too many requests"),
        server_error: || says(50000, "System error"),
        unavailable: || says(40002, "The audience is currently being updated or under processing"),
        login_expired: || says(40105, "Access token is incorrect or has been revoked"),
        login_gone: || says(40001, "No permission to operate advertiser"),
        list_gone: |_| Some(says(40007, "The audience does not exist")),
    };
    Server::start(move |got: &Got, _| {
        if got.path() != "/open_api/v1.3/segment/mapping/" {
            return Does::status(404);
        }
        if got.header("access-token") != Some(SECRET) {
            return (dialect.login_expired)();
        }
        list.faults.on_change(&dialect, got, |bad| {
            let body = got.json();
            let rows = array(&body, "/batch_data");
            let schema = array(&body, "/id_schema");
            if rows.len() > 1_000
                || schema != [json!("EMAIL_SHA256"), json!("PHONE_SHA256")]
                || array(&body, "/advertiser_ids") != [json!("7000000000000000001")]
                || rows.iter().any(|row| row.as_array().is_none_or(|ids| ids.len() != schema.len()))
            {
                return says(40002, "Invalid parameter");
            }
            let mut refused = false;
            for row in rows {
                let ids: Vec<String> = row
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|id| **id != json!({}))
                    .map(|id| if array(id, "/audience_ids") == [json!(LIST)] { text(id, "/id") } else { "" }.to_owned())
                    .collect();
                let adds = text(&body, "/action") == "add";
                if ids.iter().any(|id| !is_digest(id) || (adds && bad.has(id))) {
                    refused = true;
                    continue;
                }
                for id in ids {
                    match text(&body, "/action") {
                        "add" => drop(list.members().insert(id, String::new())),
                        "delete" => drop(list.members().remove(&id)),
                        _ => return says(40002, "Invalid action"),
                    }
                }
            }
            if refused { says(20001, "Partial success") } else { says(0, "OK") }
        })
    })
    .await
}

pub fn tiktok_yaml(server: &Server) -> String {
    recipe(
        "tiktok@1",
        &format!("{}/open_api/v1.3", server.url),
        "advertiser_id: '7000000000000000001', access_token: {secret: token}",
    )
}

async fn tiktok(list: List) -> Running {
    let server = tiktok_stub(list).await;
    let connector = connector(&tiktok_yaml(&server), LIST);
    (server, connector)
}

pub fn tiktok_kind() -> Kind {
    Kind {
        row: hashed,
        values: false,
        manners: Manners { refuses: Refuses::Whole, says_how_long: false, ..Manners::default() },
        ..Kind::new(|list| Box::pin(tiktok(list)))
    }
}

/// Braze: users by external id, membership as an attribute; errors by index, waits as seconds since 1970.
async fn braze(list: List) -> Running {
    let dialect = Dialect {
        throttled: |after| {
            let answer = Does::json(429, &json!({ "message": "You have exceeded the limit" }));
            match after {
                // Counted from the answer's own date.
                Some(seconds) => answer
                    .with("date", "Sun, 06 Nov 1994 08:49:37 GMT")
                    .with("x-ratelimit-reset", (784_111_777 + seconds).to_string()),
                None => answer,
            }
        },
        ..Dialect::default()
    };
    let server = Server::start(move |got: &Got, _| {
        if got.header("authorization") != Some("Bearer s3cr3t") {
            return Does::json(401, &json!({ "message": "Invalid API key" }));
        }
        if got.path() != "/users/track" {
            return Does::status(404);
        }
        list.faults.on_change(&dialect, got, |bad| {
            let attributes = array(&got.json(), "/attributes");
            if attributes.len() > 75 {
                return Does::json(400, &json!({ "message": "Too many objects" }));
            }
            let mut errors = Vec::new();
            for (index, object) in attributes.iter().enumerate() {
                let id = text(object, "/external_id").to_owned();
                let known = list.members().contains_key(&id);
                if id.is_empty() || (object["in_news"] == json!(true) && bad.has(&id)) {
                    errors.push(json!({
                        "type": "'external_id' is invalid", "input_array": "attributes", "index": index
                    }));
                    continue;
                }
                match (object["in_news"].as_bool(), object["_update_existing_only"] == json!(true)) {
                    (Some(true), _) => {
                        drop(list.members().insert(id, text(object, "/first_name").to_owned()));
                    }
                    (Some(false), only) if known || only => drop(list.members().remove(&id)),
                    // A removal that makes a user is a bug of the recipe: the suite finds nobody of this name.
                    _ => drop(list.members().insert(format!("created:{id}"), String::new())),
                }
            }
            if bad.reordered {
                errors.reverse();
            }
            let processed = attributes.len() - errors.len();
            let mut answer = json!({ "message": "success", "attributes_processed": processed });
            if !errors.is_empty() {
                answer["errors"] = Value::Array(errors);
            }
            Does::json(201, &answer)
        })
    })
    .await;
    let yaml = recipe("braze@1", &server.url, "host: rest.example.com, api_key: {secret: token}");
    let connector = connector(&yaml, "in_news");
    (server, connector)
}

fn by_external_id(person: &Person) -> OutRow {
    let fields = json!({ "external_id": person.email, "first_name": person.first_name });
    OutRow {
        key: RecordKey::new(&person.key),
        identifiers: [Identifier::new("external_id", &person.email)].into(),
        remote_id: None,
        fields: fields.as_object().cloned().unwrap_or_default(),
    }
}

pub fn braze_kind() -> Kind {
    Kind {
        row: by_external_id,
        manners: Manners { refuses: Refuses::ByName, ..Manners::default() },
        ..Kind::new(|list| Box::pin(braze(list)))
    }
}
