//! TikTok: everything inside a 200, with a code; a partial success names nobody.

use serde_json::json;

use crate::{Does, Got, SECRET, array, faults::Dialect, list::List, text};

use super::{LIST, is_digest};

fn says(code: u32, message: &str) -> Does {
    Does::json(200, &json!({ "code": code, "message": message, "request_id": "2026", "data": {} }))
}

/// How TikTok says what goes wrong.
fn dialect() -> Dialect {
    Dialect {
        throttled: |_| says(40100, "Too many requests"),
        server_error: || says(50000, "System error"),
        unavailable: || says(40002, "The audience is currently being updated or under processing"),
        login_expired: || says(40105, "Access token is incorrect or has been revoked"),
        login_gone: || says(40001, "No permission to operate advertiser"),
        list_gone: |_| Some(says(40007, "The audience does not exist")),
    }
}

/// What it answers, and does.
pub fn answer(list: &List, got: &Got) -> Does {
    if got.path() != "/open_api/v1.3/segment/mapping/" {
        return Does::status(404);
    }
    if got.header("access-token") != Some(SECRET) {
        return (dialect().login_expired)();
    }
    list.faults.on_change(&dialect(), got, |bad| {
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
}
