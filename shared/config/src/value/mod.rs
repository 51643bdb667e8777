//! Values that people write as text: durations, shares, limits. Their schemas let an editor check them while typing.

mod duration;
mod limit;
mod share;

pub use duration::{HumanDuration, InvalidDuration};
pub use limit::{Limit, ShareAtLeast};
pub use share::{InvalidShare, Share};

/// Serde for a value that is written as text: through `FromStr` and `Display`, and with words for what is expected.
macro_rules! written_as_text {
    ($value:ty, $expected:literal) => {
        impl serde::Serialize for $value {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $value {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $value;

                    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$value, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                d.deserialize_str(Visitor)
            }
        }
    };
}
use written_as_text;
