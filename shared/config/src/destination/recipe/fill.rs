use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{Argument, Parameter, ParameterType, Recipe};
use crate::destination::Flaw;

/// The longest name that may be given for a parameter.
const LONGEST: usize = 128;

/// The recipe's destination with the parameters put in. Values are put into the parsed structure, so none can break it, and a name
/// has no character that means something in a URL or a template.
pub(super) fn fill(recipe: &'static Recipe, with: &BTreeMap<String, Argument>) -> Result<Json, Vec<Flaw>> {
    let mut flaws = Vec::new();
    for name in with.keys().filter(|name| !recipe.parameters.contains_key(*name)) {
        let known: Vec<&str> = recipe.parameters.keys().map(String::as_str).collect();
        flaws.push(Flaw {
            key: "with",
            message: format!("`{}` has no parameter `{name}`; it has {}", recipe.full_name(), known.join(", ")),
            remedy: "take it out, or mend its name",
        });
    }
    let mut values = BTreeMap::new();
    for (name, parameter) in &recipe.parameters {
        match value(recipe, name, parameter, with.get(name).or(parameter.default.as_ref())) {
            Ok(value) => drop(values.insert(name.as_str(), value)),
            Err(flaw) => flaws.push(flaw),
        }
    }
    if !flaws.is_empty() {
        return Err(flaws);
    }
    let mut document = put(&recipe.destination, &values);
    if let Some(map) = document.as_object_mut() {
        map.insert("version".to_owned(), json!(1));
        map.insert("kind".to_owned(), json!("rest"));
    }
    Ok(document)
}

fn value(recipe: &'static Recipe, name: &str, parameter: &Parameter, given: Option<&Argument>) -> Result<Json, Flaw> {
    let flaw = |message: String, remedy| Flaw { key: recipe.key(name), message, remedy };
    let Some(given) = given else {
        let about = parameter.about.split(". ").next().unwrap_or_default().trim_end_matches('.');
        let missing = format!("`{}` needs `{name}`: {about}", recipe.full_name());
        return Err(Flaw { key: "with", message: missing, remedy: "add it under `with`" });
    };
    match (parameter.takes, given) {
        (ParameterType::Secret, Argument::Secret(secret)) => Ok(json!({ "secret": secret.to_string() })),
        // What was given is not repeated: it may be the secret itself.
        (ParameterType::Secret, _) => {
            let message = format!("`{name}` is a secret, which is never written into a file");
            Err(flaw(message, "store it in AWS Secrets Manager and write { secret: its-name }"))
        }
        (ParameterType::Name, given) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let Some(text) = given.name().filter(|t| !t.is_empty() && t.len() <= LONGEST && t.chars().all(plain))
            else {
                let message = format!("`{name}` is a name of letters, digits, `-`, `_` and `.`");
                return Err(flaw(message, "write such a name"));
            };
            if parameter.one_of.is_empty() || parameter.one_of.iter().any(|one| *one == text) {
                Ok(json!(text))
            } else {
                let message = format!("`{text}` is none of {}", parameter.one_of.join(", "));
                Err(flaw(message, "write one of them"))
            }
        }
    }
}

/// Puts the values in, in keys as well.
fn put(template: &Json, values: &BTreeMap<&str, Json>) -> Json {
    match template {
        Json::String(text) => match values.iter().find(|(name, _)| *text == format!("${{{name}}}")) {
            Some((_, value)) => value.clone(),
            None => Json::String(inside(text, values)),
        },
        Json::Array(items) => items.iter().map(|item| put(item, values)).collect(),
        Json::Object(map) => {
            let entries = map.iter().map(|(key, item)| (inside(key, values), put(item, values)));
            Json::Object(entries.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn inside(text: &str, values: &BTreeMap<&str, Json>) -> String {
    let mut out = text.to_owned();
    for (name, value) in values {
        if let Some(value) = value.as_str() {
            out = out.replace(&format!("${{{name}}}"), value);
        }
    }
    out
}
