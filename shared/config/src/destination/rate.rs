use core::{fmt, num::NonZeroU32};
use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::value::HumanDuration;

/// How many requests the destination allows in spans of time, over all invocations together. Every request counts: look-ups,
/// retries and bisections too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Shortest span first.
    windows: [Option<Window>; Rate::MOST],
}

/// How many requests the destination allows in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Requests allowed.
    pub requests: NonZeroU32,
    /// In this span of time.
    pub per: HumanDuration,
}

/// No window, or too many for a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate has one to four windows")]
pub struct InvalidRate;

impl Rate {
    const MOST: usize = 4;

    /// So many requests in a span of time.
    #[must_use]
    pub const fn of(requests: NonZeroU32, per: HumanDuration) -> Self {
        Self { windows: [Some(Window { requests, per }), None, None, None] }
    }

    /// A rate of several windows, all of which are kept.
    ///
    /// # Errors
    /// [`InvalidRate`]: there is none, or there are more than four.
    pub fn new(mut windows: Vec<Window>) -> Result<Self, InvalidRate> {
        if windows.is_empty() || windows.len() > Self::MOST {
            return Err(InvalidRate);
        }
        windows.sort_by_key(|window| window.per);
        let mut kept = [None; Self::MOST];
        for (place, window) in kept.iter_mut().zip(windows) {
            *place = Some(window);
        }
        Ok(Self { windows: kept })
    }

    /// The windows, shortest span first.
    pub fn windows(&self) -> impl Iterator<Item = Window> + '_ {
        self.windows.iter().filter_map(|window| *window)
    }

    /// The time from one request to the next that all windows together allow in the long run.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.windows().map(|w| Duration::from(w.per) / w.requests.get()).max().unwrap_or_default()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let windows: Vec<String> = self.windows().map(|w| format!("{} per {}", w.requests, w.per)).collect();
        f.write_str(&windows.join(", "))
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One window is written as such, as it always was.
impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.windows {
            [Some(only), None, ..] => only.serialize(s),
            _ => s.collect_seq(self.windows()),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`requests` and `per`, or a list of such")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Rate, A::Error> {
                let window = Window::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Rate::new(vec![window]).map_err(de::Error::custom)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Rate, A::Error> {
                let windows = Vec::deserialize(de::value::SeqAccessDeserializer::new(seq))?;
                Rate::new(windows).map_err(de::Error::custom)
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let window = generator.subschema_for::<Window>();
        json_schema!({ "anyOf": [window, { "type": "array", "items": window, "minItems": 1, "maxItems": Self::MOST }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Rate, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn a_rate_is_a_window_or_several() {
        let one = read(r#"{"requests": 10, "per": "1s"}"#).unwrap();
        assert_eq!(one.to_string(), "10 per 1s");
        assert_eq!(serde_json::to_value(one).unwrap(), serde_json::json!({ "requests": 10, "per": "1s" }));
        let two = read(r#"[{"requests": 150, "per": "1m"}, {"requests": 10, "per": "1s"}]"#).unwrap();
        assert_eq!((two.to_string().as_str(), two.interval()), ("10 per 1s, 150 per 1m", Duration::from_millis(400)));
        assert_eq!(serde_json::from_value::<Rate>(serde_json::to_value(two).unwrap()).unwrap(), two);
        for (bad, why) in [("[]", "one to four"), ("7", "`requests`")] {
            assert!(read(bad).unwrap_err().contains(why), "{bad}");
        }
    }
}
