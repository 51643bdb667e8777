use core::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Recipe, Step};

/// A step applied to a value before it is compared and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Normalize {
    /// White space at both ends is removed.
    Trim,
    /// Letters become lower-case.
    Lowercase,
    /// Letters become upper-case.
    Uppercase,
    /// Everything but the digits 0 to 9 is removed.
    Digits,
    /// Trimmed and lower-cased; a value that is not an e-mail address makes the record invalid.
    Email,
    /// E.164 (`+4930123456`): spaces and punctuation are removed, a leading `00` becomes `+`; a value without country code
    /// makes the record invalid.
    Phone,
    /// A recipe by its name, such as `meta.email@1`.
    #[schemars(untagged)]
    Recipe(Recipe),
}

impl Normalize {
    /// The steps that are not recipes.
    pub const STEPS: [Self; 6] = [Self::Trim, Self::Lowercase, Self::Uppercase, Self::Digits, Self::Email, Self::Phone];

    const NAMES: [&'static str; 6] = ["trim", "lowercase", "uppercase", "digits", "email", "phone"];

    /// The step, or the recipe to be applied in its place.
    pub(crate) const fn step(self) -> Result<Step, Recipe> {
        match self {
            Self::Trim => Ok(Step::Trim),
            Self::Lowercase => Ok(Step::Lowercase),
            Self::Uppercase => Ok(Step::Uppercase),
            Self::Digits => Ok(Step::Digits),
            Self::Email => Ok(Step::Email),
            Self::Phone => Ok(Step::Phone),
            Self::Recipe(recipe) => Err(recipe),
        }
    }
}

impl fmt::Display for Normalize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::STEPS.iter().position(|step| step == self) {
            Some(at) => f.write_str(Self::NAMES[at]),
            None => match self.step() {
                Err(recipe) => recipe.fmt(f),
                Ok(_) => Ok(()),
            },
        }
    }
}

impl Serialize for Normalize {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Normalize {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Normalize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a step, or the name of a recipe")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Normalize, E> {
                if let Some(at) = Normalize::NAMES.iter().position(|step| *step == name) {
                    return Ok(Normalize::STEPS[at]);
                }
                if name.contains(['.', '@']) {
                    return name.parse().map(Normalize::Recipe).map_err(E::custom);
                }
                Err(E::unknown_variant(name, &Normalize::NAMES))
            }
        }
        d.deserialize_str(Visitor)
    }
}
