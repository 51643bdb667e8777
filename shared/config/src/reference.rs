//! `docs/settings.md`: tables of every setting, made from the JSON Schemas and so from the doc comments of the types.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Map, Value};

use crate::schema;

const HEAD: &str = "# Settings

<!-- Generated from the types in shared/config. To change it, change their doc comments and run
     DRIFTLESS_BLESS=1 cargo test -p driftless-config --test settings_reference -->

Configuration is a folder with `syncs/<name>.yaml`, `destinations/<name>.yaml` and, if need be, `driftless.yaml`. A key that is
not listed here is refused. Durations are written `90s`, `15m`, `1h 30m`, `2d`, `1w`; percentages `10%` or `0.5%`.
";

/// The reference of all settings, in Markdown.
#[must_use]
pub fn settings_reference() -> String {
    let mut out = HEAD.to_owned();
    let sync = schema::sync_schema();
    Tables::new(&sync).chapter(&mut out, "A sync: `syncs/<name>.yaml`", &sync);
    let destination = schema::destination_schema();
    let mut tables = Tables::new(&destination);
    for kind in destination["anyOf"].as_array().into_iter().flatten() {
        let kind = Value::Object(merged(kind, &destination));
        let name = merged(&kind["properties"]["kind"], &destination)["oneOf"][0]["const"].clone();
        let title = format!("A destination of kind {}: `destinations/<name>.yaml`", code(&name));
        tables.chapter(&mut out, &title, &kind);
    }
    let project = schema::project_schema();
    Tables::new(&project).chapter(&mut out, "The project: `driftless.yaml`", &project);
    out
}

/// A schema with what it refers to put in its place; what it says itself wins.
fn merged(schema: &Value, root: &Value) -> Map<String, Value> {
    let mut own = schema.as_object().cloned().unwrap_or_default();
    let parts = own.shift_remove("allOf").into_iter().flat_map(|all| all.as_array().cloned().unwrap_or_default());
    let named = own.shift_remove("$ref").map(|name| serde_json::json!({ "$ref": name }));
    let referred: Vec<Value> = match named {
        Some(name) => {
            name["$ref"].as_str().and_then(|p| root.pointer(p.trim_start_matches('#'))).cloned().into_iter().collect()
        }
        None => parts.collect(),
    };
    for part in referred {
        for (key, value) in merged(&part, root) {
            own.entry(key).or_insert(value);
        }
    }
    own
}

/// The name of the definition that a schema refers to.
fn definition(schema: &Value) -> Option<&str> {
    let alone =
        schema.get("allOf").and_then(Value::as_array).filter(|all| all.len() == 1).map_or(schema, |all| &all[0]);
    alone.get("$ref").and_then(Value::as_str)
}

struct Tables<'r> {
    root: &'r Value,
    /// Maps met in the table being written, which get tables of their own behind it.
    inner: Vec<(String, Value)>,
    /// Under which path each definition has its table.
    written: BTreeMap<String, String>,
    /// Under which path the words of each definition are explained.
    explained: BTreeMap<String, String>,
}

impl<'r> Tables<'r> {
    fn new(root: &'r Value) -> Self {
        Self { root, inner: Vec::new(), written: BTreeMap::new(), explained: BTreeMap::new() }
    }

    fn chapter(&mut self, out: &mut String, title: &str, schema: &Value) {
        let _ = write!(out, "\n## {title}\n\n{}\n", paragraph(schema));
        self.table(out, "", schema);
    }

    fn table(&mut self, out: &mut String, path: &str, schema: &Value) {
        out.push_str("\n| key | type | default | description |\n|---|---|---|---|\n");
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let kind = self.kind(property, &at);
            let default = match property.get("default") {
                Some(value) if !is_table(property, self.root) => code(value),
                Some(_) => "see below".to_owned(),
                None if required.iter().any(|r| r == key) => "required".to_owned(),
                None => String::new(),
            };
            let description = self.description(property, &at);
            let _ = writeln!(out, "| `{key}` | {} | {} | {} |", cell(&kind), cell(&default), cell(&description));
        }
        for (path, schema) in core::mem::take(&mut self.inner) {
            let _ = write!(out, "\n### `{path}`\n\n{}\n", paragraph(&schema));
            self.table(out, &path, &schema);
        }
    }

    /// What may be written, in words. Maps with keys of their own are put in the queue.
    fn kind(&mut self, schema: &Value, path: &str) -> String {
        if let Some(name) = definition(schema) {
            if let Some(elsewhere) = self.written.get(name).filter(|at| *at != path) {
                return format!("as [`{elsewhere}`](#{})", anchor(elsewhere));
            }
            let whole = Value::Object(merged(schema, self.root));
            if is_table(&whole, self.root) || choices(&whole).next().is_some() {
                self.written.insert(name.to_owned(), path.to_owned());
            }
        }
        let own = Value::Object(merged(schema, self.root));
        if let Some(title) = own.get("title").and_then(Value::as_str) {
            // A form to copy (`tenant/name`) is code, a word for a form (duration) is not.
            let is_word = title.chars().all(|c| c.is_ascii_lowercase() || c == ' ');
            return if is_word { title.to_owned() } else { format!("`{title}`") };
        }
        if let Some(forms) = own.get("anyOf").or(own.get("oneOf")).and_then(Value::as_array) {
            return self.forms(&own, forms, path);
        }
        if let Some(value) = own.get("const") {
            return code(value);
        }
        if let Some(values) = own.get("enum").and_then(Value::as_array) {
            return either(values.iter().map(code).collect());
        }
        let types = match &own["type"] {
            Value::Array(types) => types.clone(),
            Value::Null => return "anything".to_owned(),
            one => vec![one.clone()],
        };
        let types = types.iter().filter_map(Value::as_str).filter(|t| *t != "null");
        either(types.map(|t| self.plain(t, &own, path)).collect())
    }

    fn plain(&mut self, name: &str, schema: &Value, path: &str) -> String {
        match name {
            "string" => match schema["format"].as_str() {
                Some("json-pointer") => "JSON pointer".to_owned(),
                Some("uri") => "URL".to_owned(),
                _ => "text".to_owned(),
            },
            "integer" => match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
                (Some(least), Some(greatest)) => format!("whole number, {least} to {greatest}"),
                (Some(least), None) if least > 0 => format!("whole number, from {least}"),
                _ => "whole number".to_owned(),
            },
            "number" => "number".to_owned(),
            "boolean" => "true or false".to_owned(),
            "array" => format!("list of {}", self.kind(&schema["items"], &format!("{path}[]"))),
            _ if schema["properties"].is_object() => {
                self.inner.push((path.to_owned(), schema.clone()));
                format!("[map](#{})", anchor(path))
            }
            _ => match &schema["additionalProperties"] {
                values @ Value::Object(_) => {
                    format!("map of names to {}", self.kind(values, &format!("{path}.<name>")))
                }
                _ => "map".to_owned(),
            },
        }
    }

    /// Several forms of one value. Forms that are maps with one key become one table, of which one key is written.
    fn forms(&mut self, own: &Value, forms: &[Value], path: &str) -> String {
        let mut words = Vec::new();
        let mut keys = Map::new();
        for (key, value, description) in choices(own) {
            let mut value = Value::Object(merged(value, self.root));
            if let Some(description) = description {
                value["description"] = description.clone();
            }
            keys.insert(key.clone(), value);
        }
        for form in forms.iter().filter(|form| form["type"] != "null" && choice(form).is_none()) {
            let items = definition(&form["items"]);
            if items.is_some() && forms.iter().any(|other| definition(other) == items) {
                words.push("list of these".to_owned());
            } else {
                words.push(self.kind(form, path));
            }
        }
        if !keys.is_empty() {
            let about = format!("{} Exactly one of the keys is written.", paragraph(own));
            let table = serde_json::json!({ "description": about.trim(), "properties": keys });
            self.inner.push((path.to_owned(), table));
            words.push(format!("[map with one key](#{})", anchor(path)));
        }
        words.dedup();
        either(words)
    }

    /// The description of a key, of each of its words, and its examples.
    fn description(&mut self, schema: &Value, path: &str) -> String {
        let own = Value::Object(merged(schema, self.root));
        let mut text = paragraph(&own);
        for example in own["examples"].as_array().into_iter().flatten() {
            let _ = write!(text, " Example: {}.", code(example));
        }
        let forms = own.get("oneOf").or(own.get("anyOf")).and_then(Value::as_array).cloned().unwrap_or_default();
        let named = forms.iter().chain([schema]).find_map(|form| definition(form)).map(str::to_owned);
        let words: Vec<(String, String)> = forms
            .iter()
            .flat_map(|form| {
                let form = Value::Object(merged(form, self.root));
                form["oneOf"].as_array().cloned().unwrap_or_else(|| vec![form])
            })
            .filter_map(|form| Some((form["const"].as_str()?.to_owned(), paragraph(&form))))
            // A word that says no more than itself ("GET: GET.") is in the type already.
            .filter(|(word, about)| !about.is_empty() && !about.trim_end_matches('.').eq_ignore_ascii_case(word))
            .collect();
        if words.len() < 2 {
            return text;
        }
        if let Some(name) = named {
            let first = self.explained.entry(name).or_insert_with(|| path.to_owned());
            if first != path {
                let _ = write!(text, " The words are those of `{first}`.");
                return text;
            }
        }
        for (word, about) in words {
            let _ = write!(text, "<br>`{word}`: {about}");
        }
        text
    }
}

/// The key, the schema of its value, and the description of a form that is a map with one key.
fn choice(form: &Value) -> Option<(&String, &Value, Option<&Value>)> {
    let properties = form.get("properties")?.as_object().filter(|p| p.len() == 1)?;
    let (key, value) = properties.iter().next()?;
    Some((key, value, form.get("description")))
}

fn choices(schema: &Value) -> impl Iterator<Item = (&String, &Value, Option<&Value>)> {
    let forms = schema.get("oneOf").or(schema.get("anyOf")).and_then(Value::as_array);
    forms.into_iter().flatten().filter_map(choice)
}

/// True for a map with keys of its own, whose defaults are in its table.
fn is_table(schema: &Value, root: &Value) -> bool {
    merged(schema, root).get("properties").is_some_and(Value::is_object)
}

fn paragraph(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn either(mut words: Vec<String>) -> String {
    match words.pop() {
        None => "anything".to_owned(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
    }
}

/// A value as one line of YAML.
fn code(value: &Value) -> String {
    format!("`{}`", flow(value))
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<_> = map.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The anchor that GitHub gives to a heading of code.
fn anchor(path: &str) -> String {
    path.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect::<String>().to_lowercase()
}
