//! Items to and from values.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// An item, or the values of an expression.
pub(crate) type Attributes = HashMap<String, AttributeValue>;

pub(crate) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn n(number: impl Display) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A nested value as JSON text: nothing is conditioned on its inside, and the console shows it.
pub(crate) fn json(value: &impl Serialize) -> Result<AttributeValue> {
    serde_json::to_string(value).map(AttributeValue::S).map_err(|_| malformed("a value to write", "is not JSON"))
}

pub(crate) fn malformed(item: impl Into<String>, problem: impl Into<String>) -> Error {
    Error::Malformed { item: item.into(), problem: problem.into() }
}

/// Reads the attributes of one item. `kind` names it in errors; values never appear there.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    item: &'a Attributes,
    kind: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(item: &'a Attributes, kind: &'static str) -> Self {
        Self { item, kind }
    }

    fn problem(self, name: &str, is: &str) -> Error {
        malformed(self.kind, format!("attribute {name} {is}"))
    }

    fn required<T>(self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.problem(name, "is missing"))
    }

    pub(crate) fn opt_text(self, name: &str) -> Result<Option<&'a str>> {
        match self.item.get(name) {
            None => Ok(None),
            Some(AttributeValue::S(text)) => Ok(Some(text)),
            Some(_) => Err(self.problem(name, "is not a string")),
        }
    }

    pub(crate) fn text(self, name: &str) -> Result<&'a str> {
        self.required(name, self.opt_text(name)?)
    }

    pub(crate) fn opt_parsed<T: FromStr>(self, name: &str) -> Result<Option<T>> {
        let text = self.opt_text(name)?;
        text.map(|t| t.parse().map_err(|_| self.problem(name, "has another form"))).transpose()
    }

    pub(crate) fn parsed<T: FromStr>(self, name: &str) -> Result<T> {
        self.required(name, self.opt_parsed(name)?)
    }

    pub(crate) fn opt_number<T: FromStr>(self, name: &str) -> Result<Option<T>> {
        match self.item.get(name) {
            None => Ok(None),
            Some(AttributeValue::N(digits)) => {
                digits.parse().map(Some).map_err(|_| self.problem(name, "is out of range"))
            }
            Some(_) => Err(self.problem(name, "is not a number")),
        }
    }

    pub(crate) fn number<T: FromStr>(self, name: &str) -> Result<T> {
        self.required(name, self.opt_number(name)?)
    }

    pub(crate) fn flag(self, name: &str) -> Result<bool> {
        match self.item.get(name) {
            Some(AttributeValue::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.problem(name, "is not a flag")),
            None => Err(self.problem(name, "is missing")),
        }
    }

    pub(crate) fn opt_json<T: DeserializeOwned>(self, name: &str) -> Result<Option<T>> {
        let text = self.opt_text(name)?;
        // The parser's message may quote the value, which may be personal data.
        text.map(|t| serde_json::from_str(t).map_err(|_| self.problem(name, "has another shape"))).transpose()
    }

    pub(crate) fn json<T: DeserializeOwned>(self, name: &str) -> Result<T> {
        self.required(name, self.opt_json(name)?)
    }

    /// The elements of a list of JSON texts.
    pub(crate) fn json_list<T: DeserializeOwned>(self, name: &str) -> Result<Vec<T>> {
        let Some(AttributeValue::L(list)) = self.item.get(name) else {
            return Err(self.problem(name, "is not a list"));
        };
        list.iter().map(|v| self.parse_json(name, v)).collect()
    }

    /// The entries of a map whose keys are numbers.
    pub(crate) fn numbered(self, name: &str) -> Result<Vec<(u64, &'a AttributeValue)>> {
        let Some(AttributeValue::M(map)) = self.item.get(name) else {
            return Err(self.problem(name, "is not a map"));
        };
        let number = |key: &String| key.parse().map_err(|_| self.problem(name, "has a key that is not a number"));
        map.iter().map(|(k, v)| Ok((number(k)?, v))).collect()
    }

    pub(crate) fn parse_json<T: DeserializeOwned>(self, name: &str, value: &AttributeValue) -> Result<T> {
        let text = value.as_s().map_err(|_| self.problem(name, "holds something that is not a string"))?;
        serde_json::from_str(text).map_err(|_| self.problem(name, "has another shape"))
    }
}
