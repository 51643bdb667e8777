//! LinkedIn: one status per element, in the order of the request, inside a 200.

use serde_json::{Value, json};

use crate::{Does, Got, array, faults::Dialect, list::List, text};

use super::{LIST, is_digest};

/// What it answers, and does.
pub fn answer(list: &List, got: &Got) -> Does {
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
}
