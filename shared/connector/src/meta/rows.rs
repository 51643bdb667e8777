//! Rows as Meta takes them: a schema of keys, and a line of values per person.

use driftless_config::destination::MetaDestination;
use driftless_model::Operation;
use serde_json::{Value, json};

use super::Meta;
use crate::{OutRow, digest, outcomes::Outcomes};

/// The payload of a request.
pub(super) struct Payload {
    /// One line per person, or per identifier of a removal.
    pub(super) lines: Vec<Vec<String>>,
}

impl Meta {
    /// The lines of the rows that can be sent; the others are rejected. A removal names each identifier by itself: whoever was
    /// added by one of them must go, also where a record has had several (DL-4).
    pub(super) fn payload(&self, operation: Operation, rows: &[OutRow], outcomes: &mut Outcomes) -> Payload {
        let mut lines = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let of_row = if operation == Operation::Remove { self.removals(row) } else { self.person(row) };
            match of_row {
                Ok(of_row) => lines.extend(of_row),
                Err(reason) => outcomes.reject(index, reason),
            }
        }
        Payload { lines }
    }

    /// How many lines the rows take.
    pub(super) fn lines(&self, operation: Operation, rows: &[OutRow]) -> usize {
        match operation {
            Operation::Remove => rows.iter().map(|row| row.identifiers.len()).sum(),
            _ => rows.len(),
        }
    }

    pub(super) fn body(&self, payload: &Payload) -> Value {
        let schema: Vec<&String> = self.config.keys.keys().collect();
        json!({ "schema": schema, "data": payload.lines })
    }

    fn person(&self, row: &OutRow) -> Result<Vec<Vec<String>>, String> {
        let value = |field: &String| match row.fields.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let line: Vec<String> = self.config.keys.values().map(value).collect();
        if line.iter().all(String::is_empty) {
            return Err("none of the keys has a value".into());
        }
        for (key, value) in self.config.keys.keys().zip(&line) {
            checked(key, value)?;
        }
        Ok(vec![line])
    }

    fn removals(&self, row: &OutRow) -> Result<Vec<Vec<String>>, String> {
        let mut lines = Vec::new();
        for identifier in &row.identifiers {
            let mut line = vec![String::new(); self.config.keys.len()];
            let keys = self.config.keys.iter().zip(&mut line).find(|((_, field), _)| **field == identifier.field);
            if let Some(((key, _), place)) = keys {
                checked(key, &identifier.value)?;
                place.clone_from(&identifier.value);
                lines.push(line);
            }
        }
        if lines.is_empty() { Err("none of the identifiers is a key".into()) } else { Ok(lines) }
    }
}

/// Whoever puts a plain value where a digest belongs must not have it sent.
fn checked(key: &str, value: &str) -> Result<(), String> {
    if value.is_empty() || !MetaDestination::is_hashed(key) || digest::is_hex(value) {
        Ok(())
    } else {
        Err(format!("{key} is not a SHA-256 digest in hex"))
    }
}
