use core::fmt;
use std::borrow::Cow;

use driftless_normalize::{Normalize, Region, Rule, VendorHash};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IntoDeserializer},
};
use serde_json::Value;

/// The column by which a mapping names the key of a record that its content identifies.
pub const RECORD_KEY: &str = "$key";

/// The mapped fields, in the order of their names, so that two spellings of one mapping are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Mapping(Vec<FieldMapping>);

/// One destination field and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldMapping {
    /// The field at the destination.
    pub field: String,
    /// The selected column whose value the field carries.
    pub column: String,
    /// The destination matches records by this field. If no field is marked, a field of the key column is the identifier.
    #[serde(default)]
    pub identifier: bool,
    /// `none`, a step, or a list of steps applied to the value, in this order, before it is compared and sent. Or a recipe
    /// (see identifiers.md), which does what one vendor wants of one kind of value, its hash included.
    #[serde(default, deserialize_with = "steps", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "steps_schema", extend("default" = "none"))]
    pub normalize: Vec<Normalize>,
    /// The country in whose numbering plan a recipe for telephone numbers reads numbers without country code, as two letters;
    /// or `international`, if all numbers begin with one, with or without `+`. Without it such numbers make the record invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// The hash of the normalised value that the destination wants in place of the value. What is compared from snapshot
    /// to snapshot is the value before it. A recipe implies its hash; this chooses another one that the vendor takes.
    #[serde(default, deserialize_with = "vendor_hash", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "hash_schema", extend("default" = "none"))]
    pub hash: Option<VendorHash>,
    /// The most characters that the destination accepts, counted after `normalize`. A longer value makes the record invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_length: Option<u32>,
}

impl Mapping {
    /// The fields, put in the order of their names.
    #[must_use]
    pub fn new(mut fields: Vec<FieldMapping>) -> Self {
        fields.sort_by(|a, b| a.field.cmp(&b.field));
        Self(fields)
    }

    /// The fields, in the order of their names.
    #[must_use]
    pub fn fields(&self) -> &[FieldMapping] {
        &self.0
    }

    /// The fields by which the destination matches records.
    pub fn identifiers(&self) -> impl Iterator<Item = &FieldMapping> {
        self.0.iter().filter(|f| f.identifier)
    }

    /// Marks the fields of `key` as identifiers if no field is marked: what identifies a record here is what the
    /// destination is asked to match by, unless the mapping says otherwise.
    pub(crate) fn identify_by(&mut self, key: &str) {
        if self.identifiers().next().is_none() {
            for field in self.0.iter_mut().filter(|f| f.column == key) {
                field.identifier = true;
            }
        }
    }
}

impl FieldMapping {
    /// A field that carries a column as it is.
    pub fn new(field: impl Into<String>, column: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            column: column.into(),
            identifier: false,
            normalize: Vec::new(),
            region: None,
            hash: None,
            max_length: None,
        }
    }

    /// How its values are brought into form.
    #[must_use]
    pub fn rule(&self) -> Rule<'_> {
        Rule::new(&self.normalize, self.region, self.hash)
    }
}

impl<'de> Deserialize<'de> for Mapping {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Mapping;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of destination fields, or a list of fields")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Mapping, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_key::<String>()? {
                    fields.push(map.next_value_seed(NamedField(field))?);
                }
                Ok(Mapping::new(fields))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Mapping, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Mapping::new)
            }
        }
        d.deserialize_any(Visitor)
    }
}

/// Reads a field whose name is the key of a map: a column's name, or a map with the settings but for `field`.
struct NamedField(String);

impl<'de> de::DeserializeSeed<'de> for NamedField {
    type Value = FieldMapping;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<FieldMapping, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for NamedField {
    type Value = FieldMapping;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column name, or a map with `column` and its settings")
    }

    fn visit_str<E: de::Error>(self, column: &str) -> Result<FieldMapping, E> {
        Ok(FieldMapping::new(self.0, column))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<FieldMapping, A::Error> {
        FieldMapping::deserialize(de::value::MapAccessDeserializer::new(WithName {
            name: Some(self.0),
            given: false,
            map,
        }))
    }
}

/// A map that begins with the entry `field: <name>`.
struct WithName<A> {
    name: Option<String>,
    given: bool,
    map: A,
}

impl<'de, A: de::MapAccess<'de>> de::MapAccess<'de> for WithName<A> {
    type Error = A::Error;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        if !self.given {
            self.given = true;
            return seed.deserialize("field".into_deserializer()).map(Some);
        }
        self.map.next_key_seed(seed)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        match self.name.take() {
            Some(name) => seed.deserialize(name.into_deserializer()),
            None => self.map.next_value_seed(seed),
        }
    }
}

fn steps<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Normalize>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<Normalize>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`none`, a step, or a list of steps")
        }

        fn visit_str<E: de::Error>(self, step: &str) -> Result<Self::Value, E> {
            if step == "none" {
                return Ok(Vec::new());
            }
            Normalize::deserialize(de::value::StrDeserializer::new(step)).map(|step| vec![step])
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(de::value::SeqAccessDeserializer::new(seq))
        }
    }
    d.deserialize_any(Visitor)
}

fn vendor_hash<'de, D: Deserializer<'de>>(d: D) -> Result<Option<VendorHash>, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = Option<VendorHash>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`none` or the name of a hash")
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
            if name == "none" {
                return Ok(None);
            }
            VendorHash::deserialize(de::value::StrDeserializer::new(name)).map(Some)
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    d.deserialize_any(Visitor)
}

fn steps_schema(generator: &mut SchemaGenerator) -> Schema {
    let step = generator.subschema_for::<Normalize>();
    json_schema!({ "anyOf": [{ "const": "none" }, step, { "type": "array", "items": step }] })
}

fn hash_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "const": "none" }, generator.subschema_for::<VendorHash>()] })
}

impl JsonSchema for Mapping {
    fn schema_name() -> Cow<'static, str> {
        "Mapping".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let listed = generator.subschema_for::<FieldMapping>();
        // The same settings without `field`, which is the key of the map.
        let mut named = FieldMapping::json_schema(generator);
        if let Some(properties) = named.get_mut("properties").and_then(Value::as_object_mut) {
            properties.shift_remove("field");
        }
        if let Some(required) = named.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| name != "field");
        }
        json_schema!({
            "anyOf": [
                {
                    "type": "object",
                    "additionalProperties": { "anyOf": [{ "type": "string", "minLength": 1 }, named] },
                    "minProperties": 1
                },
                { "type": "array", "items": listed, "minItems": 1 }
            ]
        })
    }
}
