//! Braze: users by external id, membership as an attribute; errors by index, waits as seconds since 1970.

use serde_json::{Value, json};

use crate::{Does, Got, array, faults::Dialect, list::List, text};

/// How Braze says what goes wrong.
fn dialect() -> Dialect {
    Dialect {
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
    }
}

/// What it answers, and does.
pub fn answer(list: &List, got: &Got) -> Does {
    if got.header("authorization") != Some("Bearer s3cr3t") {
        return Does::json(401, &json!({ "message": "Invalid API key" }));
    }
    if got.path() != "/users/track" {
        return Does::status(404);
    }
    list.faults.on_change(&dialect(), got, |bad| {
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
}
