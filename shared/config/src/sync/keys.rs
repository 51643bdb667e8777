use core::fmt;
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The column, or the columns together, that identify a record within the sync. At least one, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumns(Vec<String>);

/// A key without columns, or with the same column twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyColumnsError {
    /// No column was named.
    #[error("the key names no column; name the column, or the columns, that identify a record")]
    Empty,
    /// One column was named twice.
    #[error("the key names column `{column}` twice; name it once")]
    Twice {
        /// The column.
        column: String,
    },
}

impl KeyColumns {
    /// Checks that there is a column and that none is named twice.
    pub fn new(columns: Vec<String>) -> Result<Self, KeyColumnsError> {
        if columns.is_empty() || columns.iter().any(String::is_empty) {
            return Err(KeyColumnsError::Empty);
        }
        for (i, column) in columns.iter().enumerate() {
            if columns[..i].contains(column) {
                return Err(KeyColumnsError::Twice { column: column.clone() });
            }
        }
        Ok(Self(columns))
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
                f.write_str("a column name or a list of column names")
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
                { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1, "uniqueItems": true }
            ]
        })
    }
}
