//! A receiver of signed webhooks that keeps the list it is told of, and verifies every signature (Standard Webhooks 1.0.0).

use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{Does, Got, List, array, faults::Dialect};

/// The signing secret of the receiver, the first of those that the tests sign with.
pub const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[derive(Clone)]
pub struct Receiver {
    pub list: List,
    /// The most records of an event.
    pub most: usize,
    /// What was applied, oldest first, each under its `webhook-id`.
    pub events: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    pub fn new(list: List, most: usize) -> Self {
        Self { list, most, events: Arc::default() }
    }

    /// What it answers, and does.
    pub fn answer(&self, got: &Got) -> Does {
        let dialect = Dialect { list_gone: |_| Some(Does::status(410)), ..Dialect::default() };
        if !is_signed(got) {
            return Does::status(401);
        }
        let event = got.json();
        if event["type"] == "list.checked" {
            return self.list.faults.on_read(&dialect, got).unwrap_or_else(|| Does::status(204));
        }
        self.list.faults.on_change(&dialect, got, |bad| {
            let records = array(&event, "/data/records");
            let removes = event["type"] == "list.records.removed";
            // Whoever refuses an address takes it out all the same.
            let refused = !removes && records.iter().flat_map(emails).any(|email| bad.has(&email));
            if records.len() > self.most || refused {
                return Does::status(422);
            }
            for record in &records {
                for email in emails(record) {
                    if removes {
                        self.list.members().remove(&email);
                    } else {
                        let name = record["fields"]["first_name"].as_str().unwrap().to_owned();
                        self.list.members().insert(email, name);
                    }
                }
            }
            let id = got.header("webhook-id").unwrap_or_default();
            self.events.lock().unwrap().push(json!({ "id": id, "event": event }));
            Does::status(202)
        })
    }
}

fn emails(record: &Value) -> Vec<String> {
    array(record, "/identifiers/email").iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether one of the signatures is that of the secret over id, time and body.
fn is_signed(got: &Got) -> bool {
    let header = |name| got.header(name).unwrap_or_default();
    let secret = STANDARD.decode(SIGNING.trim_start_matches("whsec_")).unwrap();
    let mut signed = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).into_bytes();
    signed.extend(&got.body);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let signatures = header("webhook-signature").split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
    signatures.filter_map(|signature| STANDARD.decode(signature).ok()).any(|s| hmac::verify(&key, &signed, &s).is_ok())
}
