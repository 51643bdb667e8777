//! Stubs of the services that a list can be kept in.
//!
//! Each has the rules of its vendor and is driven by the vendor's own SDK where there is one (`shared/connector/tests`). There is one set of
//! them: the tests of the connectors start each by itself, and the program `driftless-stubs` serves all of them on one port, for the
//! deployed templates on the local cloud (`tests/e2e/kinds.py`).
#![allow(missing_docs, clippy::unwrap_used)] // for tests only: a request that no vendor's SDK would send may panic

pub mod faults;
pub mod google;
pub mod http;
pub mod hubspot;
pub mod klaviyo;
pub mod list;
pub mod meta;
pub mod receiver;
pub mod recipes;

use serde_json::Value;

pub use driftless_testkit::Random;
pub use http::{Does, Got, Server};
pub use list::List;

/// The secret that every stub takes.
pub const SECRET: &str = "s3cr3t";

fn text<'v>(value: &'v Value, at: &str) -> &'v str {
    value.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

fn array(value: &Value, at: &str) -> Vec<Value> {
    value.pointer(at).and_then(Value::as_array).cloned().unwrap_or_default()
}
