use core::fmt;
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The column, or the columns together, that identify a record within the sync, in the order given. Without a column the content
/// of a row identifies it: all its mapped fields, and of equal rows their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumns(Vec<String>);

/// A key with a column that has no name, or with the same column twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyColumnsError {
    /// A column has no name.
    #[error(
        "the key has a column without a name; name the column, or the columns, that identify a record, or write `key: []` if \
         only its content does"
    )]
    Empty,
    /// One column was named twice.
    #[error("the key names column `{column}` twice; name it once")]
    Twice {
        /// The column.
        column: String,
    },
}

impl KeyColumns {
    /// Checks that the columns have names and that none is named twice.
    pub fn new(columns: Vec<String>) -> Result<Self, KeyColumnsError> {
        if columns.iter().any(String::is_empty) {
            return Err(KeyColumnsError::Empty);
        }
        for (i, column) in columns.iter().enumerate() {
            if columns[..i].contains(column) {
                return Err(KeyColumnsError::Twice { column: column.clone() });
            }
        }
        Ok(Self(columns))
    }

    /// True if no column identifies a record: its content does.
    #[must_use]
    pub fn is_content(&self) -> bool {
        self.0.is_empty()
    }

    /// The columns, in the order of the key.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.0
    }

    /// The column of a key that has only one.
    #[must_use]
    pub fn single(&self) -> Option<&str> {
        match self.0.as_slice() {
            [column] => Some(column),
            _ => None,
        }
    }
}

impl Serialize for KeyColumns {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.single() {
            Some(column) => s.serialize_str(column),
            None => self.0.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for KeyColumns {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = KeyColumns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column name, a list of column names, or an empty list")
            }

            fn visit_str<E: de::Error>(self, column: &str) -> Result<KeyColumns, E> {
                KeyColumns::new(vec![column.to_owned()]).map_err(E::custom)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<KeyColumns, A::Error> {
                let columns = Vec::deserialize(de::value::SeqAccessDeserializer::new(seq))?;
                KeyColumns::new(columns).map_err(de::Error::custom)
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for KeyColumns {
    fn schema_name() -> Cow<'static, str> {
        "KeyColumns".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": { "type": "string", "minLength": 1 }, "uniqueItems": true }
            ]
        })
    }
}
