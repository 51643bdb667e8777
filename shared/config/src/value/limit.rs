use core::fmt;
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::Share;

/// How many records may be concerned: a count, or a share of the list with a floor for small lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Limit {
    /// So many records.
    Count(u64),
    /// A share of the list.
    Share(Share),
    /// A share of the list, and never less than a count.
    ShareAtLeast(ShareAtLeast),
}

/// A share of the list, and never less than a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareAtLeast {
    /// The share of the list.
    pub share: Share,
    /// What is allowed however small the list is.
    pub at_least: u64,
}

impl Limit {
    /// The number of records allowed for a list of `list` records.
    #[must_use]
    pub fn of(self, list: u64) -> u64 {
        match self {
            Self::Count(count) => count,
            Self::Share(share) => share.of(list),
            Self::ShareAtLeast(ShareAtLeast { share, at_least }) => share.of(list).max(at_least),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Share(share) => write!(f, "{share}"),
            Self::ShareAtLeast(ShareAtLeast { share, at_least }) => write!(f, "{share}, at least {at_least}"),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Limit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of records, a percentage such as `10%`, or a map with `share` and `at_least`")
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Limit, E> {
                Ok(Limit::Count(count))
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Limit, E> {
                u64::try_from(count)
                    .map(Limit::Count)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(count), &"a number of records"))
            }

            fn visit_str<E: de::Error>(self, share: &str) -> Result<Limit, E> {
                share.parse().map(Limit::Share).map_err(E::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Limit, A::Error> {
                ShareAtLeast::deserialize(de::value::MapAccessDeserializer::new(map)).map(Limit::ShareAtLeast)
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "title": "count", "minimum": 0 },
                generator.subschema_for::<Share>(),
                generator.subschema_for::<ShareAtLeast>()
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_a_small_list_is_lifted_to_its_floor() {
        let limit = Limit::ShareAtLeast(ShareAtLeast { share: Share::percent(10), at_least: 100 });
        assert_eq!((limit.of(50), limit.of(1_000), limit.of(5_000)), (100, 100, 500));
        assert_eq!(Limit::Share(Share::percent(10)).of(50), 5);
        assert_eq!(Limit::Count(7).of(1_000_000), 7);
    }

    #[test]
    fn a_limit_reads_back_from_each_of_its_forms() {
        for text in ["12", r#""10%""#, r#"{"share":"2.5%","at_least":100}"#] {
            let limit: Limit = serde_json::from_str(text).expect("valid");
            assert_eq!(serde_json::to_string(&limit).expect("serialises"), text);
        }
        for bad in ["-1", "1.5", "true", r#""10""#, r#"{"share":"1%"}"#, r#"{"share":"1%","at_least":1,"x":1}"#] {
            assert!(serde_json::from_str::<Limit>(bad).is_err(), "{bad}");
        }
    }
}
