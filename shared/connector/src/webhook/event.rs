//! The body of a request.

use std::collections::BTreeMap;

use driftless_model::{Operation, Session};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::OutRow;

/// What is sent. Field order is part of the bytes, and so of the signature and the id.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    list: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Session>,
    records: Vec<Record<'a>>,
}

#[derive(Serialize)]
struct Record<'a> {
    key: &'a str,
    /// Every value by its field: a removal may carry several of one field.
    identifiers: BTreeMap<&'a str, Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<&'a Map<String, Value>>,
}

/// The body of a request about these rows.
pub(super) fn body(operation: Operation, list: &str, session: Option<Session>, rows: &[OutRow]) -> Vec<u8> {
    let kind = match (session, operation) {
        (Some(_), _) => "list.replaced",
        (None, Operation::Add) => "list.records.added",
        (None, Operation::Update) => "list.records.updated",
        (None, Operation::Remove) => "list.records.removed",
        // Without rows: is somebody there?
        (None, _) => "list.checked",
    };
    let records = rows.iter().map(|row| Record::of(row, operation)).collect();
    let event = Event { kind, data: Data { list, session, records } };
    serde_json::to_vec(&event).unwrap_or_default()
}

/// The id of a request: a function of the key that names these rows of this call, and of the body, so that it is never used
/// with another body. It has no dot, which would end it in what is signed.
pub(super) fn id(idempotency_key: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update((idempotency_key.len() as u64).to_be_bytes());
    hash.update(idempotency_key.as_bytes());
    hash.update(body);
    format!("msg_{}", hex::encode(hash.finalize().get(..16).unwrap_or_default()))
}

impl<'a> Record<'a> {
    fn of(row: &'a OutRow, operation: Operation) -> Self {
        let mut identifiers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for identifier in &row.identifiers {
            identifiers.entry(&identifier.field).or_default().push(&identifier.value);
        }
        Self { key: row.key.as_str(), identifiers, fields: operation.sends().then_some(&row.fields) }
    }
}

#[cfg(test)]
mod tests {
    use driftless_model::{Identifier, RecordKey};
    use serde_json::json;

    use super::*;

    fn row() -> OutRow {
        OutRow {
            key: RecordKey::new("c-17"),
            identifiers: [Identifier::new("email", "a@example.com"), Identifier::new("email", "b@example.com")].into(),
            remote_id: Some("learned between two tries".into()),
            fields: json!({ "plan": "pro" }).as_object().expect("an object").clone(),
        }
    }

    #[test]
    fn a_removal_names_every_identifier_and_no_field() {
        let removal: Value = serde_json::from_slice(&body(Operation::Remove, "news", None, &[row()])).unwrap();
        assert_eq!(
            removal,
            json!({ "type": "list.records.removed", "data": { "list": "news", "records": [
                { "key": "c-17", "identifiers": { "email": ["a@example.com", "b@example.com"] } }
            ] } })
        );
        let add: Value = serde_json::from_slice(&body(Operation::Add, "news", None, &[row()])).unwrap();
        assert_eq!(add["data"]["records"][0]["fields"], json!({ "plan": "pro" }));
    }

    #[test]
    fn the_bytes_do_not_change_with_what_was_learned_meanwhile() {
        let known = OutRow { remote_id: None, ..row() };
        assert_eq!(body(Operation::Add, "news", None, &[row()]), body(Operation::Add, "news", None, &[known]));
    }

    #[test]
    fn an_id_is_stable_has_no_dot_and_belongs_to_one_body() {
        assert_eq!(id("r1.2-0-add", b"{}"), id("r1.2-0-add", b"{}"));
        assert!(!id("r1.2-0-add", b"{}").contains('.'));
        assert_ne!(id("r1.2-0-add", b"{}"), id("r1.2-0-add", b"{} "));
        assert_ne!(id("ab", b"c"), id("a", b"bc"));
    }
}
