//! Iterable: named arrays of failures, in lower case and twice over, with a count; the list as plain text.

use serde_json::json;

use crate::{Does, Got, SECRET, array, faults::Dialect, list::List, text};

/// How Iterable says what goes wrong.
fn dialect() -> Dialect {
    Dialect {
        throttled: |_| Does::json(429, &json!({ "msg": "slow down", "code": "RateLimitExceeded", "params": null })),
        server_error: || Does::json(500, &json!({ "msg": "oops", "code": "GenericError", "params": null })),
        login_expired: || Does::json(401, &json!({ "msg": "no", "code": "BadApiKey", "params": null })),
        login_gone: || Does::json(401, &json!({ "msg": "no", "code": "BadApiKey", "params": null })),
        ..Dialect::default()
    }
}

/// What it answers, and does.
pub fn answer(list: &List, got: &Got) -> Does {
    if got.header("api-key") != Some(SECRET) {
        return (dialect().login_gone)();
    }
    let body = got.json();
    let bad_request = |code: &str| Does::json(400, &json!({ "msg": "no", "code": code, "params": null }));
    match (got.method.as_str(), got.path()) {
        ("GET", "/api/lists/getUsers") if got.parameter("listId").as_deref() == Some("17") => {
            let lines: String = list.members().keys().map(|email| format!("{email}\n")).collect();
            let plain = vec![("content-type", "text/plain;charset=utf-8".to_owned())];
            list.faults.on_read(&dialect(), got).unwrap_or(Does::Answers(200, plain, lines.into_bytes()))
        }
        ("POST", path @ ("/api/lists/subscribe" | "/api/lists/unsubscribe")) => {
            let removes = path.ends_with("unsubscribe");
            list.faults.on_change(&dialect(), got, |bad| {
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
}
