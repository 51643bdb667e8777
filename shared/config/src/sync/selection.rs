use core::fmt;
use std::collections::BTreeSet;

use driftless_model::RecordKey;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// Which records of the dataset belong into the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = with_ids_file)]
pub enum Selection {
    /// All of them, also when `selection` is absent.
    #[default]
    Everything,
    /// A whole statement over one table, `SELECT … FROM dataset WHERE …`. The columns named by `key`, `mapping` and
    /// `prefer` are columns of its result. Functions whose answer changes (`now()`, `random()`) are refused.
    Sql(String),
    /// An SQL condition on the columns of the dataset, for example `country = 'DE' AND consent`.
    Where(String),
    /// The records with these keys. Where the key has several columns, each is a list of their values.
    Ids(
        #[serde(deserialize_with = "ids")]
        #[schemars(schema_with = "ids_schema")]
        // In canonical text, as the snapshot's keys are.
        BTreeSet<RecordKey>,
    ),
}

fn ids<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeSet<RecordKey>, D::Error> {
    let ids = Vec::<Id<true>>::deserialize(d)?;
    Ok(ids.into_iter().map(|id| RecordKey::new(id.0)).collect())
}

/// One id as it is written: text, a whole number, or (where `LIST`) a list of these for a key of several columns.
struct Id<const LIST: bool>(String);

impl<'de, const LIST: bool> Deserialize<'de> for Id<LIST> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(IdVisitor::<LIST>)
    }
}

struct IdVisitor<const LIST: bool>;

impl<'de, const LIST: bool> de::Visitor<'de> for IdVisitor<LIST> {
    type Value = Id<LIST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record key: text, a whole number, or a list of these if the key has several columns")
    }

    fn visit_str<E: de::Error>(self, id: &str) -> Result<Self::Value, E> {
        Ok(Id(id.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, id: i64) -> Result<Self::Value, E> {
        Ok(Id(id.to_string()))
    }

    fn visit_u64<E: de::Error>(self, id: u64) -> Result<Self::Value, E> {
        Ok(Id(id.to_string()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        if !LIST {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        let parts = Vec::<Id<false>>::deserialize(de::value::SeqAccessDeserializer::new(seq))?;
        let parts: Vec<_> = parts.into_iter().map(|id| id.0).collect();
        serde_json::to_string(&parts).map(Id).map_err(de::Error::custom)
    }
}

/// `ids_file` is read when the configuration is loaded and becomes `ids`, so it is in the schema and not in the type.
fn with_ids_file(schema: &mut Schema) {
    let ids_file = json_schema!({
        "description": "A text file with one record key a line, beside this file or below it; empty lines are skipped. Where \
                        the key has several columns, a line is a JSON array of their texts. It is read when the \
                        configuration is loaded.",
        "type": "object",
        "properties": { "ids_file": { "type": "string" } },
        "required": ["ids_file"],
        "additionalProperties": false
    });
    if let Some(forms) = schema.get_mut("oneOf").and_then(serde_json::Value::as_array_mut) {
        forms.push(ids_file.into());
    }
}

fn ids_schema(_: &mut SchemaGenerator) -> Schema {
    let one = serde_json::json!({ "type": ["string", "integer"] });
    json_schema!({ "type": "array", "items": { "title": "record key", "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] } })
}
