use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::Value as Json;

use super::Argument;

/// Every shipped recipe, in every version that was published.
const FILES: &[&str] = &[
    include_str!("../../../../connector/recipes/braze@1.yaml"),
    include_str!("../../../../connector/recipes/iterable@1.yaml"),
    include_str!("../../../../connector/recipes/linkedin@1.yaml"),
    include_str!("../../../../connector/recipes/mailchimp@1.yaml"),
    include_str!("../../../../connector/recipes/tiktok@1.yaml"),
];

static RECIPES: LazyLock<Vec<Recipe>> = LazyLock::new(|| {
    let read = |text: &&str| Recipe::read(text).expect("every shipped recipe is read by a test");
    FILES.iter().map(read).collect()
});

/// A shipped recipe: an API described once, with parameters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The API's short name.
    pub name: String,
    /// Its version, from 1. What a published version means is not changed.
    pub version: u32,
    /// What it is, in a few words.
    pub title: String,
    /// What being a member means there, and what a removal does.
    pub about: String,
    /// What the `list` of a sync is.
    pub list: String,
    /// Which API it speaks to, and what it was made against.
    pub api: String,
    /// How one logs in.
    pub login: String,
    /// Which destination fields a mapping gives.
    pub fields: String,
    /// What the vendor has not confirmed.
    pub assumptions: Vec<String>,
    /// The normalisation that each identifier field wants.
    pub normalisation: BTreeMap<String, String>,
    /// What a file gives.
    pub parameters: BTreeMap<String, Parameter>,
    /// A `rest` destination, with `${name}` where a parameter is put in.
    pub(super) destination: Json,
    /// Where each parameter stands in a file.
    #[serde(skip)]
    keys: BTreeMap<String, String>,
    /// Pairs of field and normalisation.
    #[serde(skip)]
    wants: &'static [(&'static str, &'static str)],
}

/// A parameter of a recipe.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What it is.
    pub about: String,
    /// What may be given.
    #[serde(rename = "type")]
    pub takes: ParameterType,
    /// The only values.
    #[serde(default)]
    pub one_of: Vec<String>,
    /// Taken where nothing is given; without it the parameter must be given.
    #[serde(default)]
    pub default: Option<Argument>,
    /// For people who look for one.
    #[serde(default)]
    pub example: Option<Argument>,
}

/// What may be given for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterType {
    /// A secret reference.
    Secret,
    /// Letters, digits, `-`, `_` and `.`: nothing that could end a host name, a path or a template.
    Name,
}

/// Every shipped recipe.
#[must_use]
pub fn recipes() -> &'static [Recipe] {
    &RECIPES
}

impl Recipe {
    pub(super) fn read(text: &str) -> Result<Self, serde_saphyr::Error> {
        let mut recipe: Self = serde_saphyr::from_str(text)?;
        recipe.keys = recipe.parameters.keys().map(|name| (name.clone(), format!("with.{name}"))).collect();
        // Read once and kept for the life of the process, as the recipes themselves are.
        let text = |text: &String| -> &'static str { text.clone().leak() };
        let wants: Vec<_> = recipe.normalisation.iter().map(|(field, name)| (text(field), text(name))).collect();
        recipe.wants = wants.leak();
        Ok(recipe)
    }

    /// The name that a file gives, such as `mailchimp@1`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The normalisation that each identifier field wants, as pairs of field and recipe.
    #[must_use]
    pub const fn wants(&self) -> &'static [(&'static str, &'static str)] {
        self.wants
    }

    /// The dotted path of a parameter in a file.
    pub(super) fn key(&self, parameter: &str) -> &str {
        self.keys.get(parameter).map_or("with", String::as_str)
    }
}
