use core::fmt;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// One value by which a destination matches a record: a destination field and the value as it was sent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identifier {
    /// The destination field, for example `email`.
    pub field: String,
    /// The value as sent (normalised; hashed if the mapping says so).
    pub value: String,
}

/// The identifiers of a record. A set: only a delivered removal takes one out (protocol rule 5).
pub type IdentifierSet = BTreeSet<Identifier>;

impl Identifier {
    /// An identifier from its parts.
    pub fn new(field: impl Into<String>, value: impl Into<String>) -> Self {
        Self { field: field.into(), value: value.into() }
    }
}

/// Never prints the value: identifiers are personal data.
impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…", self.field)
    }
}
