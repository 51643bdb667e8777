use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{AttrHash, IdentifierSet, KeyHash, Millis};

/// The canonical text of a record's key column, or a JSON array of the texts where the key has several columns.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordKey(String);

impl RecordKey {
    /// A key from its canonical text.
    pub fn new(s: impl Into<String>) -> Self {
        Self(s.into())
    }
    /// The canonical text. Personal data: never log it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Never prints the key: it is personal data.
impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordKey(…)")
    }
}

/// What the list should hold of one record (its part of D).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordState {
    /// The record's key.
    pub key: RecordKey,
    /// Fingerprint of the mapped field values.
    pub attr_hash: AttrHash,
    /// The identifiers it carries now.
    pub identifiers: IdentifierSet,
}

/// The send that the destination acknowledged last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The fingerprint of what was sent.
    pub attr_hash: AttrHash,
    /// The identifiers it was sent with.
    pub identifiers: IdentifierSet,
}

/// One row of the history file: what the destination acknowledged of one record (its part of A).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckRow {
    /// Keyed hash of `key`.
    pub key_hash: KeyHash,
    /// The record's key.
    pub key: RecordKey,
    /// The last acknowledged send. `None`: the record is *uncertain*, it differs from every D, absence included.
    pub acknowledged: Option<Acknowledged>,
    /// Every identifier that is, or may be, in the remote list on behalf of this record.
    pub identifiers: IdentifierSet,
    /// The record's id at the destination, where it assigns one.
    pub remote_id: Option<String>,
    /// When the record first became a member; `None` if that is not known (it was uncertain).
    pub added_at: Option<Millis>,
    /// When it was last acknowledged.
    pub last_sent_at: Option<Millis>,
}

impl AckRow {
    /// A row of which nothing has been acknowledged yet.
    #[must_use]
    pub fn unacknowledged(key_hash: KeyHash, key: RecordKey) -> Self {
        Self {
            key_hash,
            key,
            acknowledged: None,
            identifiers: IdentifierSet::new(),
            remote_id: None,
            added_at: None,
            last_sent_at: None,
        }
    }

    /// In sync ⇔ the hash is equal and the set of identifiers is exactly the current one (protocol rule 5).
    #[must_use]
    pub fn in_sync_with(&self, d: &RecordState) -> bool {
        self.acknowledged.as_ref().is_some_and(|a| a.attr_hash == d.attr_hash) && self.identifiers == d.identifiers
    }
}

/// Why a record was refused by us before sending. Counted, with a sample of key hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvalidReason {
    /// A key column is null.
    NullKey,
    /// Every identifier is null or empty.
    NullIdentifiers,
    /// Another record of the snapshot carries the identifier (the first in key-hash order keeps it).
    SharedIdentifier,
    /// A value does not satisfy its `normalize` rule (an e-mail without `@`, a phone number with letters).
    Malformed,
    /// A value is longer than the mapping or the destination allows.
    Oversized,
}

impl InvalidReason {
    /// The rule's name as shown to users.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NullKey => "null_key",
            Self::NullIdentifiers => "null_identifiers",
            Self::SharedIdentifier => "shared_identifier",
            Self::Malformed => "malformed",
            Self::Oversized => "oversized",
        }
    }
}
