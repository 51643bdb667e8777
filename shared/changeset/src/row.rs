use driftless_model::{AttrHash, Identifier, IdentifierSet, KeyHash, Operation, RecordKey};

/// One row of a changeset: what a call asks for one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRow {
    /// Add, update or remove.
    pub operation: Operation,
    /// The record.
    pub key_hash: KeyHash,
    /// Its key.
    pub key: RecordKey,
    /// Fingerprint of what is sent; `None` for a removal.
    pub attr_hash: Option<AttrHash>,
    /// The identifiers to send with, or to remove. A removal has at most one value per destination field.
    pub identifiers: IdentifierSet,
    /// The record's id at the destination, if known.
    pub remote_id: Option<String>,
    /// The mapped fields as a JSON object, exactly as they will be sent; `None` for a removal.
    pub fields: Option<String>,
}

/// An identifier that the destination holds on behalf of one record and that D gives to another: not removed, but passed
/// on when the owner's send is delivered (protocol rule 6).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transfer {
    /// The record that loses it.
    pub from: KeyHash,
    /// The identifier.
    pub identifier: Identifier,
    /// The record of D that carries it now.
    pub owner: KeyHash,
}

/// What a changeset object holds: the rows in call order, then the transfers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changeset {
    /// Rows; calls are ranges of it.
    pub rows: Vec<PlannedRow>,
    /// Identifiers that change hands.
    pub transfers: Vec<Transfer>,
}
