//! The stubs, virtual time, and rows. Each test file uses a part of it.
#![allow(dead_code, missing_docs, unreachable_pub, unused_imports, clippy::unwrap_used)]

#[cfg(feature = "conformance")]
pub mod list;
#[cfg(feature = "conformance")]
pub mod recipes;
#[cfg(feature = "conformance")]
pub mod simulation;
#[cfg(feature = "conformance")]
pub mod vendor;

pub mod files;

pub use driftless_stubs::{Does, Got, Server, faults, google, hubspot, klaviyo, meta};

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use driftless_config::{Destination, SecretRef};
use driftless_connector::{
    Connector, Driven, FetchedSecrets, HttpPolicy, OutRow, Pacer, PacerError, Work, build, drive,
};
use driftless_model::{Clock, Identifier, Millis, Operation, Outcome, RecordKey};
use serde_json::{Map, Value, json};

/// Time that passes only when somebody waits for it.
#[derive(Default)]
pub struct Virtual {
    now: Mutex<i64>,
    pub slots: Mutex<u32>,
}

impl Clock for Virtual {
    fn now(&self) -> Millis {
        Millis(*self.now.lock().unwrap())
    }
}

#[async_trait]
impl Pacer for Virtual {
    async fn slot(&self) -> Result<Millis, PacerError> {
        *self.slots.lock().unwrap() += 1;
        Ok(self.now())
    }
    async fn sleep_until(&self, at: Millis) {
        let mut now = self.now.lock().unwrap();
        *now = (*now).max(at.0);
    }
}

pub fn destination(yaml: &str) -> Destination {
    Destination::from_yaml(yaml).unwrap_or_else(|error| panic!("{error}"))
}

/// The secret `token` is `s3cr3t`.
pub fn secrets() -> FetchedSecrets {
    let reference: SecretRef = "token".parse().expect("a name");
    [(reference, "s3cr3t".to_owned().into())].into_iter().collect()
}

pub fn local() -> HttpPolicy {
    HttpPolicy { allow_private: true, max_answer_bytes: 4 << 20, ..HttpPolicy::default() }
}

pub fn connector(yaml: &str, list: &str) -> Box<dyn Connector> {
    build(&destination(yaml), list, &secrets(), local()).unwrap_or_else(|error| panic!("{error}"))
}

pub fn row(number: u32, fields: Value) -> (u32, OutRow) {
    let email = format!("p{number}@example.com");
    let mut all: Map<String, Value> = [("email".to_owned(), json!(email))].into_iter().collect();
    all.extend(fields.as_object().cloned().unwrap_or_default());
    let row = OutRow {
        key: RecordKey::new(format!("c{number}")),
        identifiers: [Identifier::new("email", email)].into(),
        remote_id: None,
        fields: all,
    };
    (number, row)
}

/// A person's record with `email` and `first_name`; the address is its only identifier.
#[cfg(feature = "conformance")]
pub fn row_of(person: &driftless_connector::conformance::Person) -> OutRow {
    let fields = json!({ "email": person.email, "first_name": person.first_name });
    OutRow {
        key: RecordKey::new(&person.key),
        identifiers: [Identifier::new("email", &person.email)].into(),
        remote_id: None,
        fields: fields.as_object().cloned().unwrap_or_default(),
    }
}

pub fn rows(count: u32) -> Vec<(u32, OutRow)> {
    (0..count).map(|n| row(n, json!({ "name": format!("N{n}") }))).collect()
}

pub fn removals(count: u32) -> Vec<(u32, OutRow)> {
    rows(count).into_iter().map(|(n, row)| (n, OutRow { fields: Map::new(), ..row })).collect()
}

pub async fn deliver(connector: &dyn Connector, operation: Operation, rows: &[(u32, OutRow)]) -> Driven {
    deliver_with(connector, operation, rows, &Virtual::default()).await
}

pub async fn deliver_with(
    connector: &dyn Connector,
    operation: Operation,
    rows: &[(u32, OutRow)],
    time: &Virtual,
) -> Driven {
    let work = Work {
        stop_before: Millis(600_000),
        request_timeout: Duration::from_secs(30),
        ..Work::new(operation, rows, "run-1-0")
    };
    drive(connector, time, time, work).await
}

/// The outcomes in one letter each: Delivered, rejected (X), Retry, Unknown.
pub fn letters(driven: &Driven) -> String {
    let letter = |outcome: &Outcome| match outcome {
        Outcome::Delivered => 'D',
        Outcome::Rejected { .. } => 'X',
        Outcome::Retry => 'R',
        Outcome::Unknown => 'U',
        Outcome::Suppressed => 'S',
    };
    driven.outcomes.values().map(|row| letter(&row.outcome)).collect()
}
