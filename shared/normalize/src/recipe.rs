use core::{cmp::Ordering, fmt, hash, str::FromStr};
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Digest, Normalized, Refusal, Region, Step, VendorHash, vendor};

/// One vendor's rule for one kind of value, in one version: `meta.email@1`. What a name means never changes.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Recipe(&'static Spec);

/// What a recipe is.
#[derive(Debug)]
pub struct Spec {
    /// Whose rule it is; `plain` for nobody's in particular.
    pub vendor: &'static str,
    /// What it is for, a singular noun: `email`, `birth_year`.
    pub kind: &'static str,
    /// Counts from 1.
    pub version: u16,
    /// What is done, in this order, to the value without the white space at its ends.
    pub steps: &'static [Step],
    /// A value that breaks a rule makes the record invalid. Else only the value is left out, because people are not matched by
    /// it alone.
    pub strict: bool,
    /// The hashes that the vendor takes. The first is applied if the mapping names none; empty for plain values.
    pub hashes: &'static [VendorHash],
    /// Where the vendor states the rule.
    pub source: &'static str,
    /// What was chosen where the vendor's pages disagree or are silent. Empty if they do not.
    pub choice: &'static str,
}

/// No recipe has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no recipe of this name{}; docs/identifiers.md lists them all", .nearest.map(|r| format!(", did you mean `{r}`?")).unwrap_or_default())]
pub struct UnknownRecipe {
    /// The one whose name is most like it.
    pub nearest: Option<Recipe>,
}

impl Recipe {
    /// A recipe of one's own, for tests.
    #[must_use]
    pub const fn new(spec: &'static Spec) -> Self {
        Self(spec)
    }

    /// All recipes, by vendor.
    pub fn all() -> impl Iterator<Item = Self> {
        vendor::RECIPES.iter().map(Self)
    }

    /// What it is.
    #[must_use]
    pub const fn spec(self) -> &'static Spec {
        self.0
    }

    /// The hash that it implies.
    #[must_use]
    pub fn hash(self) -> Option<VendorHash> {
        self.0.hashes.first().copied()
    }

    /// Whether `region` says something to it.
    #[must_use]
    pub fn reads_region(self) -> bool {
        self.0.steps.contains(&Step::E164)
    }

    /// Applies it, for a mapping that wants `hash`. `seen` is told each step and its result.
    pub(crate) fn apply<'a>(
        self,
        text: &'a str,
        region: Option<Region>,
        hash: Option<VendorHash>,
        seen: &mut impl FnMut(&'static str, &str),
    ) -> Result<Normalized<'a>, Refusal> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Normalized::Absent);
        }
        let digest = Digest::find(text);
        if let (Some(digest), Some(wanted)) = (digest, hash) {
            let written = digest.written(wanted).ok_or(Refusal::OtherDigest)?;
            return Ok(Normalized::Digest(written));
        }
        let mut value = Cow::Borrowed(text);
        for step in self.0.steps {
            match step.apply(value, region) {
                Ok(Some(after)) => {
                    seen(step.about(), &after);
                    value = after;
                }
                Ok(None) => return Ok(Normalized::Absent),
                Err(_) if !self.0.strict => return Ok(Normalized::Absent),
                Err(_) if digest.is_some() => return Err(Refusal::Hashed),
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(if value.is_empty() { Normalized::Absent } else { Normalized::Plain(value) })
    }

    fn order(self) -> (&'static str, &'static str, u16) {
        (self.0.vendor, self.0.kind, self.0.version)
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}@{}", self.0.vendor, self.0.kind, self.0.version)
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Recipe {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Recipe {}

impl PartialOrd for Recipe {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Recipe {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl hash::Hash for Recipe {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.order().hash(state);
    }
}

impl FromStr for Recipe {
    type Err = UnknownRecipe;

    fn from_str(name: &str) -> Result<Self, UnknownRecipe> {
        if let Some(recipe) = Self::all().find(|recipe| recipe.to_string() == name) {
            return Ok(recipe);
        }
        let likeness = |recipe: &Self| strsim::jaro_winkler(&recipe.to_string(), name);
        let nearest = Self::all().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        Err(UnknownRecipe { nearest: nearest.filter(|recipe| likeness(recipe) > 0.8) })
    }
}

impl TryFrom<String> for Recipe {
    type Error = UnknownRecipe;

    fn try_from(name: String) -> Result<Self, UnknownRecipe> {
        name.parse()
    }
}

impl From<Recipe> for String {
    fn from(recipe: Recipe) -> Self {
        recipe.to_string()
    }
}

impl JsonSchema for Recipe {
    fn schema_name() -> Cow<'static, str> {
        "Recipe".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<String> = Self::all().map(|recipe| recipe.to_string()).collect();
        json_schema!({ "type": "string", "title": "vendor.kind@version", "enum": names })
    }
}
