//! A small reader of `CloudFormation` templates: short tags become their long form, and a value that comes from a parameter
//! becomes the parameter's default, also across nested stacks.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// Where the repository begins.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace").to_owned()
}

/// A template as it is deployed with its defaults, the stacks nested in it included.
pub(crate) struct Stack {
    /// The file, from the root of the repository.
    pub(crate) file: String,
    /// The whole document, in long form.
    pub(crate) document: Value,
    /// Parameters and their values: what the parent passes, else the default.
    parameters: BTreeMap<String, Value>,
    /// Nested stacks by the logical id of their resource.
    pub(crate) nested: BTreeMap<String, Stack>,
}

/// A resource that was found, and the stack that it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) id: &'a str,
    pub(crate) resource: &'a Value,
}

impl Stack {
    /// Reads a template and what is nested in it.
    pub(crate) fn load(file: &str) -> Result<Self> {
        Self::load_with(file, &BTreeMap::new())
    }

    fn load_with(file: &str, passed: &BTreeMap<String, Value>) -> Result<Self> {
        let path = root().join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
        let documents = Yaml::load_from_str(&text).with_context(|| format!("{file} is not YAML"))?;
        let [document] = documents.as_slice() else { bail!("{file} is not one document") };
        let document = long_form(document).with_context(|| format!("in {file}"))?;
        let mut parameters = BTreeMap::new();
        for (name, parameter) in document["Parameters"].as_object().into_iter().flatten() {
            let value = passed.get(name).or_else(|| parameter.get("Default"));
            if let Some(value) = value {
                parameters.insert(name.clone(), value.clone());
            }
        }
        let mut stack = Self { file: file.to_owned(), document, parameters, nested: BTreeMap::new() };
        let mut nested = BTreeMap::new();
        for found in stack.of_type("AWS::CloudFormation::Stack") {
            let file = found.property("TemplateURL");
            let file = file.as_str().context("TemplateURL is not a path")?;
            let passed = found.property("Parameters");
            let passed = passed.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
            nested.insert(found.id.to_owned(), Self::load_with(file, &passed)?);
        }
        stack.nested = nested;
        Ok(stack)
    }

    /// This stack and all that are nested in it.
    pub(crate) fn all(&self) -> Vec<&Self> {
        let mut stacks = vec![self];
        stacks.extend(self.nested.values().flat_map(Self::all));
        stacks
    }

    /// The resources of one type, in this stack alone.
    pub(crate) fn of_type<'a>(&'a self, kind: &str) -> Vec<Found<'a>> {
        let resources = self.document["Resources"].as_object().into_iter().flatten();
        resources
            .filter(|(_, resource)| resource["Type"] == *kind)
            .map(|(id, resource)| Found { stack: self, id, resource })
            .collect()
    }

    /// The resources of one type, in this stack and below.
    pub(crate) fn everywhere<'a>(&'a self, kind: &str) -> Vec<Found<'a>> {
        self.all().into_iter().flat_map(|stack| stack.of_type(kind)).collect()
    }

    /// A value with every `Ref` to a parameter replaced by what the parameter is.
    pub(crate) fn resolve(&self, value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                if let Some(default) =
                    single(map, "Ref").and_then(Value::as_str).and_then(|name| self.parameters.get(name))
                {
                    return default.clone();
                }
                map.iter().map(|(k, v)| (k.clone(), self.resolve(v))).collect::<Map<_, _>>().into()
            }
            Value::Array(items) => items.iter().map(|item| self.resolve(item)).collect(),
            other => other.clone(),
        }
    }

    /// The text of a `Fn::Sub` with every parameter replaced by what it is.
    pub(crate) fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.parameters {
            if let Some(value) = value.as_str() {
                text = text.replace(&format!("${{{name}}}"), value);
            }
        }
        text
    }

    /// The resource that a reference leads to: `Ref`, `Fn::GetAtt`, or an output of a nested stack.
    pub(crate) fn follow<'a>(&'a self, reference: &Value) -> Option<Found<'a>> {
        let map = reference.as_object()?;
        let path = single(map, "Ref").or_else(|| single(map, "Fn::GetAtt"))?.as_str()?;
        let (id, attribute) = path.split_once('.').unwrap_or((path, ""));
        if let (Some(nested), Some(output)) = (self.nested.get(id), attribute.strip_prefix("Outputs.")) {
            return nested.follow(&nested.document["Outputs"][output]["Value"]);
        }
        let (id, resource) = self.document["Resources"].as_object()?.get_key_value(id)?;
        Some(Found { stack: self, id, resource })
    }
}

impl Found<'_> {
    /// A property with parameters resolved; null when it is not there.
    pub(crate) fn property(&self, name: &str) -> Value {
        self.stack.resolve(&self.resource["Properties"][name])
    }

    /// A number that is a property.
    pub(crate) fn number(&self, name: &str) -> u64 {
        number(&self.property(name)).unwrap_or_else(|| panic!("{self}: {name} is not a number"))
    }

    /// Whether two were found in one place.
    pub(crate) fn is(&self, other: &Found<'_>) -> bool {
        self.stack.file == other.stack.file && self.id == other.id
    }
}

impl std::fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.stack.file, self.id)
    }
}

/// A number, or text that is one.
pub(crate) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The value of an object's only entry, if that entry has this name.
fn single<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    (map.len() == 1).then(|| map.get(name))?
}

/// YAML as JSON, `!Ref x` as `{"Ref": x}` and every other tag as `{"Fn::tag": …}`.
fn long_form(node: &Yaml<'_>) -> Result<Value> {
    Ok(match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(b)) => json!(b),
        Yaml::Value(Scalar::Integer(i)) => json!(i),
        Yaml::Value(Scalar::FloatingPoint(f)) => json!(f.into_inner()),
        Yaml::Value(Scalar::String(s)) => json!(s),
        Yaml::Sequence(items) => items.iter().map(long_form).collect::<Result<_>>()?,
        Yaml::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let key = match key {
                    Yaml::Value(Scalar::String(s)) => s.to_string(),
                    other => bail!("a key is not text: {other:?}"),
                };
                map.insert(key, long_form(value)?);
            }
            Value::Object(map)
        }
        Yaml::Tagged(tag, node) => {
            let name = match tag.suffix.as_str() {
                short @ ("Ref" | "Condition") => short.to_owned(),
                function => format!("Fn::{function}"),
            };
            json!({ name: long_form(node)? })
        }
        other => bail!("not in a template: {other:?}"),
    })
}
