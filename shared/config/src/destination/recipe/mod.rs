//! Destinations that a recipe describes: an API told once, as data, of which a file says only what differs.

mod book;
mod fill;

use core::{fmt, num::NonZeroU16, time::Duration};
use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{BaseUrl, Described, Flaw, FormatVersion, Rate, RestDestination};
use crate::{SecretRef, value::HumanDuration};

pub use book::{Parameter, ParameterType, Recipe, recipes};

/// A destination that a shipped recipe describes. The recipe says how the API is spoken to; the file gives its parameters.
/// `docs/destinations.md` lists the recipes with their parameters. What a published version of a recipe means is not changed: a
/// new version is a new recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipeDestination {
    /// The version of this file's format: 1.
    pub version: FormatVersion,
    /// `recipe`.
    pub kind: RecipeKind,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The recipe and its version, such as `mailchimp@1`.
    #[schemars(schema_with = "names")]
    pub recipe: String,
    /// The recipe's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, Argument>,
    /// Another root of all URLs than the recipe's: a proxy, or a server for tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<BaseUrl>,
    /// How many requests the destination allows, where it is not what the recipe says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many calls may be in flight at once, 2 to 1,000, where it is not what the recipe says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    pub concurrency: Option<NonZeroU16>,
    /// How long one request may take, where it is not what the recipe says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
}

/// `recipe`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecipeKind {
    /// An API that a shipped recipe describes.
    #[default]
    Recipe,
}

/// What is given for a parameter of a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Argument {
    /// A secret.
    Secret(SecretRef),
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(i64),
    /// Text.
    Text(String),
}

fn names(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<String> = recipes().iter().map(Recipe::full_name).collect();
    json_schema!({ "enum": names })
}

impl RecipeDestination {
    /// The recipe that it names.
    #[must_use]
    pub fn named(&self) -> Option<&'static Recipe> {
        recipes().iter().find(|recipe| recipe.full_name() == self.recipe)
    }

    /// The destination that the recipe describes with these parameters.
    ///
    /// # Errors
    /// What is wrong with the recipe's name or the parameters.
    pub fn expand(&self) -> Result<RestDestination, Vec<Flaw>> {
        let recipe = self.named().ok_or_else(|| {
            let known: Vec<String> = recipes().iter().map(Recipe::full_name).collect();
            vec![Flaw {
                key: "recipe",
                message: format!("there is no recipe `{}`; there are {}", self.recipe, known.join(", ")),
                remedy: "name one of them, with its version",
            }]
        })?;
        let document = fill::fill(recipe, &self.with)?;
        let described: RestDestination = serde_json::from_value(document).map_err(|error| {
            vec![Flaw {
                key: "with",
                message: format!("with these parameters the recipe says nothing that can be used: {error}"),
                remedy: "mend the parameters",
            }]
        })?;
        Ok(RestDestination {
            description: self.description.clone(),
            base_url: self.base_url.clone().unwrap_or(described.base_url),
            rate: self.rate.or(described.rate),
            concurrency: self.concurrency.or(described.concurrency),
            timeout: self.timeout.unwrap_or(described.timeout),
            ..described
        })
    }
}

impl Described for RecipeDestination {
    fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    fn base_url(&self) -> Option<&BaseUrl> {
        self.base_url.as_ref()
    }

    fn rate(&self) -> Option<Rate> {
        self.rate.or_else(|| self.expand().ok()?.rate)
    }

    fn concurrency(&self) -> Option<NonZeroU16> {
        self.concurrency.or_else(|| self.expand().ok()?.concurrency)
    }

    fn timeout(&self) -> Duration {
        let timeout = self.timeout.or_else(|| self.expand().ok().map(|described| described.timeout));
        timeout.unwrap_or_else(super::default::timeout).into()
    }

    /// Those that are given as parameters.
    fn more_secrets(&self) -> Vec<&SecretRef> {
        let secrets = self.with.values().filter_map(|argument| match argument {
            Argument::Secret(secret) => Some(secret),
            _ => None,
        });
        secrets.collect()
    }

    fn flaws(&self) -> Vec<Flaw> {
        match self.expand() {
            Ok(described) => described.flaws(),
            Err(flaws) => flaws,
        }
    }
}

/// As it is put into a text.
impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("a secret"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Argument {
    /// The text of a parameter that is a name; numbers are taken for their digits.
    fn name(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Number(number) => Some(Cow::Owned(number.to_string())),
            Self::Secret(_) | Self::Flag(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
