//! What a record's traces mean: `driftless explain`.
//!
//! [`gather`] collects the traces (head, log items, residue, history, runs, calls, rejects, holds), [`story`] decides what they
//! mean, [`render`] says it. Only the first reads anything.

mod facts;
mod render;
mod story;
#[cfg(test)]
mod tests;

use driftless_model::RecordKey;

pub(crate) use facts::{gather, standing};
pub(crate) use render::render;
pub(crate) use story::story;

/// What stands for the snapshot of a log version that a person made (`driftless erase`). No object key is like it.
pub(crate) const ERASURE: &str = "(erasure)";

/// The canonical text of a key as it was typed: the value, or a JSON array of the values where the key has several columns.
pub(crate) fn key_of(parts: &[String]) -> RecordKey {
    match parts {
        [one] => RecordKey::new(one.as_str()),
        several => RecordKey::new(serde_json::Value::from(several.to_vec()).to_string()),
    }
}
