use core::{fmt, str::FromStr};
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};

/// Where a secret lies in AWS Secrets Manager, written `secret: name#json_key`. The secret itself is never configuration.
///
/// The name is a secret's name or ARN; the JSON key names one member of a secret that is a JSON object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    name: String,
    json_key: Option<String>,
}

/// Text that cannot be the name of a secret. It is not repeated: it may be the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not the name of a secret; store the secret in AWS Secrets Manager and write its name or ARN, with #json_key after it if the secret is a JSON object"
)]
pub struct InvalidSecretRef;

impl SecretRef {
    /// The name or ARN to ask Secrets Manager for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The member of the JSON object to take; `None` takes the whole text.
    #[must_use]
    pub fn json_key(&self) -> Option<&str> {
        self.json_key.as_deref()
    }

    /// True when the name is a full ARN, so that it can stand in a policy as it is.
    #[must_use]
    pub fn is_arn(&self) -> bool {
        self.name.starts_with("arn:")
    }
}

impl FromStr for SecretRef {
    type Err = InvalidSecretRef;

    fn from_str(text: &str) -> Result<Self, InvalidSecretRef> {
        let (name, json_key) = match text.split_once('#') {
            Some((name, key)) => (name, Some(key)),
            None => (text, None),
        };
        if json_key.is_some_and(|key| key.is_empty() || key.len() > 256) {
            return Err(InvalidSecretRef);
        }
        // Names have 1 to 512 characters of these (Secrets Manager, CreateSecret); an ARN adds the colons.
        let path = match name.strip_prefix("arn:") {
            Some(arn) => arn_resource(arn).ok_or(InvalidSecretRef)?,
            None => name,
        };
        let named = |b: u8| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b);
        if path.is_empty() || path.len() > 512 || !path.bytes().all(named) {
            return Err(InvalidSecretRef);
        }
        Ok(Self { name: name.to_owned(), json_key: json_key.map(str::to_owned) })
    }
}

/// The name in `aws:secretsmanager:<region>:<account>:secret:<name>`.
fn arn_resource(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        [partition, "secretsmanager", region, account, "secret", name]
            if partition.starts_with("aws")
                && !region.is_empty()
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit()) =>
        {
            Some(name)
        }
        _ => None,
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.json_key {
            Some(key) => write!(f, "#{key}"),
            None => Ok(()),
        }
    }
}

/// Prints the name only.
impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretRef({})", self.name)
    }
}

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(1))?;
        map.serialize_entry("secret", &self.to_string())?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            #[serde(deserialize_with = "reference")]
            secret: SecretRef,
        }

        fn reference<'de, D: Deserializer<'de>>(d: D) -> Result<SecretRef, D::Error> {
            String::deserialize(d)?.parse().map_err(de::Error::custom)
        }

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = SecretRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a reference to a secret, `secret: name#json_key`")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretRef, E> {
                Err(E::custom(
                    "a secret is never written into a file; store it in AWS Secrets Manager and write `secret: name#json_key` \
                     here, below this key",
                ))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<SecretRef, A::Error> {
                Written::deserialize(de::value::MapAccessDeserializer::new(map)).map(|w| w.secret)
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for SecretRef {
    fn schema_name() -> Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where a secret lies in AWS Secrets Manager. The secret itself is never written into a file.",
            "type": "object",
            "properties": {
                "secret": {
                    "description": "The secret's name or ARN, with `#json_key` after it if the secret is a JSON object.",
                    "type": "string",
                    "title": "name#json_key",
                    "pattern": "^[A-Za-z0-9/_+=.@:-]+(#.+)?$",
                    "examples": ["driftless/newsletter#api_key"]
                }
            },
            "required": ["secret"],
            "additionalProperties": false
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_back_and_debug_shows_the_name_only() {
        let json = r#"{"secret":"driftless/newsletter#api_key"}"#;
        let secret: SecretRef = serde_json::from_str(json).expect("valid");
        assert_eq!((secret.name(), secret.json_key()), ("driftless/newsletter", Some("api_key")));
        assert_eq!(serde_json::to_string(&secret).expect("serialises"), json);
        assert_eq!(format!("{secret:?}"), "SecretRef(driftless/newsletter)");
    }

    #[test]
    fn a_plain_secret_is_refused_without_repeating_it() {
        let plain = serde_json::from_str::<SecretRef>(r#""hunter2""#).expect_err("refused").to_string();
        let spaced =
            serde_json::from_str::<SecretRef>(r#"{"secret":"hunter2 is it"}"#).expect_err("refused").to_string();
        assert!(plain.contains("Secrets Manager") && !plain.contains("hunter2"), "{plain}");
        assert!(spaced.contains("Secrets Manager") && !spaced.contains("hunter2"), "{spaced}");
    }

    #[test]
    fn an_arn_must_be_one_of_secrets_manager() {
        let good = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:driftless/x-AbCdEf#k";
        assert!(good.parse::<SecretRef>().is_ok_and(|s| s.is_arn() && s.json_key() == Some("k")));
        for bad in ["", "#k", "a#", "arn:aws:s3:::bucket", "arn:aws:secretsmanager:eu:1:secret:x", "a b", "ä"] {
            assert!(bad.parse::<SecretRef>().is_err(), "{bad}");
        }
    }
}
