//! What names the files of a list. Whoever reads takes up only what a manifest names, and checks it by its digest.

use std::collections::BTreeSet;

use driftless_model::{Millis, Session};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One data file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    /// Its key, below the list's own prefix.
    pub(super) name: String,
    /// The records in it.
    pub(super) records: u64,
    /// Its size.
    pub(super) bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub(super) sha256: String,
}

/// How the data files are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Schema {
    /// `csv` or `json_lines`.
    pub(super) format: String,
    /// The columns of CSV, in order; none for JSON lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) columns: Vec<String>,
    /// The fields that identify a member.
    pub(super) identifiers: BTreeSet<String>,
    /// Texts that look like formulas have an apostrophe before them.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub(super) neutralised: bool,
}

/// What `what` says a manifest is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// Changes.
    Delta,
    /// A whole list.
    Full,
}

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The version of this format: 1.
    pub(super) version: u32,
    pub(super) what: What,
    pub(super) list: String,
    /// When it was made, in milliseconds since 1970. Of two that say something of one record the later one counts, and a
    /// whole list counts for everything before it.
    pub(super) written_at: Millis,
    /// The session that sent a whole list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<u64>,
    /// The records of all files together.
    pub(super) records: u64,
    pub(super) schema: Schema,
    pub(super) files: Vec<Named>,
}

/// One part of a whole list that is still being sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartNote {
    pub(super) file: Named,
    pub(super) identifiers: BTreeSet<String>,
}

/// Which whole list is the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Current {
    /// The version of this format: 1.
    pub(super) version: u32,
    /// The key of its manifest, below the list's own prefix.
    pub(super) manifest: String,
    /// The SHA-256 of its manifest, hexadecimal.
    pub(super) sha256: String,
    /// The manifest's own.
    pub(super) written_at: Millis,
}

/// Whose list it is that is written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Once {
    pub(super) session: u64,
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The text of a document, with a line end for people who read it in a terminal.
pub(super) fn text(document: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(document).unwrap_or_default();
    text.push(b'\n');
    text
}

/// Where things lie below a list's prefix.
pub(super) mod place {
    use super::Session;

    pub(crate) const CURRENT: &str = "current.json";
    pub(crate) const DELTAS: &str = "deltas/";
    pub(crate) const MANIFEST: &str = "manifest.json";

    /// Changes that were sent with this key. The key is ours (letters, digits, hyphens); anything else becomes a hyphen.
    pub(crate) fn delta(idempotency_key: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        format!("{DELTAS}{}", idempotency_key.chars().map(plain).collect::<String>())
    }

    /// The folder of a session.
    pub(crate) fn session(number: u64) -> String {
        format!("full/{number:019}/")
    }

    /// A part of a session, without its digest.
    pub(crate) fn part(session: &Session) -> String {
        format!("{}part-{:06}", self::session(session.number), session.part)
    }
}
