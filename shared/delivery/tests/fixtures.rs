//! The events of `events/` are what this crate says it reads.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;

use driftless_delivery::{Incoming, Message, Record, records};

/// The records of every event of a function, by file name.
fn events(function: &str) -> Vec<(String, Vec<Record>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events").join(function);
    let files = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
    let events: Vec<_> = files
        .map(|path| {
            let event = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, records(&event).expect("an SQS event"))
        })
        .collect();
    assert!(!events.is_empty());
    events
}

#[test]
fn every_event_of_a_function_brings_messages_of_its_kind() {
    for (function, kind) in [("planner", "plan"), ("connector", "call"), ("janitor", "sweep")] {
        for (name, records) in events(function) {
            let bad = name.starts_with("malformed") || name.starts_with("unknown");
            for record in &records {
                assert!(
                    !record.message_id.is_empty() && record.queue.starts_with("driftless-dev-"),
                    "{function}/{name}"
                );
                match Message::parse(record.body.as_deref().unwrap_or_default()) {
                    Ok(message) => assert_eq!(message.kind(), kind, "{function}/{name}"),
                    Err(malformed) => assert!(bad, "{function}/{name}: {malformed}"),
                }
            }
        }
    }
}

#[test]
fn every_event_of_ingest_brings_objects_or_a_request() {
    for (name, records) in events("ingest") {
        let incoming: Vec<_> = records.iter().map(|r| Incoming::parse(r.body.as_deref().unwrap_or_default())).collect();
        match name.as_str() {
            "malformed_body" => assert!(incoming.iter().any(Result::is_err)),
            "test_event" | "delete_marker" => assert_eq!(incoming, [Ok(Incoming::Created(vec![]))], "{name}"),
            _ if name.starts_with("requested") => {
                assert!(incoming.iter().all(|i| matches!(i, Ok(Incoming::Message(Message::Ingest { .. })))), "{name}");
            }
            _ => assert!(incoming.iter().all(|i| matches!(i, Ok(Incoming::Created(c)) if !c.is_empty())), "{name}"),
        }
    }
}

#[test]
fn encoded_keys_come_out_plain() {
    let key = |wanted: &str| {
        let (_, records) = events("ingest").into_iter().find(|(name, _)| name == wanted).unwrap();
        match Incoming::parse(records[0].body.as_deref().unwrap()).unwrap() {
            Incoming::Created(changes) => changes[0].key.clone(),
            Incoming::Message(_) => String::new(),
        }
    };
    assert_eq!(key("plus_in_key"), "datasets/acme/customers/week 1 of+2026.parquet");
    assert!(!key("percent_encoded_key").contains('%'));
}
