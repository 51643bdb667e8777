use core::fmt;

use serde::de;

use super::Position;
use crate::problem::{enumerate, nearest};

/// What a type found wrong with a part of the document. Values are never repeated, as one may be a secret, but for words
/// out of a fixed set and numbers.
#[derive(Debug)]
pub(crate) struct Fault(Box<Inner>);

#[derive(Debug)]
struct Inner {
    what: What,
    /// From the innermost outwards; filled while the error goes up.
    path: Vec<String>,
    at: Option<Position>,
    /// It follows from a part that was left out because it is reported already.
    consequence: bool,
}

#[derive(Debug)]
pub(crate) enum What {
    /// A key that the type does not have.
    UnknownKey { key: String, known: &'static [&'static str] },
    /// A word that is none of a fixed set.
    UnknownWord { word: String, known: &'static [&'static str] },
    /// A key that must be there and is not.
    Missing { key: &'static str },
    /// Of the wrong type, or refused by the type with its own words.
    Wrong { message: String, remedy: Option<String> },
}

impl Fault {
    pub(crate) fn new(what: What) -> Self {
        Self(Box::new(Inner { what, path: Vec::new(), at: None, consequence: false }))
    }

    pub(crate) fn wrong(message: String, remedy: String) -> Self {
        Self::new(What::Wrong { message, remedy: Some(remedy) })
    }

    /// True until [`Fault::place`] was called: the part being read is the one at fault.
    pub(crate) fn is_unplaced(&self) -> bool {
        self.0.at.is_none()
    }

    pub(crate) fn place(&mut self, at: Position) {
        self.0.at = Some(at);
    }

    pub(crate) fn below(&mut self, segment: impl FnOnce() -> String) {
        self.0.path.push(segment());
    }

    pub(crate) fn follows(&mut self) {
        self.0.consequence = true;
    }

    /// What is a word out of a set in the type is a key of a map in the file.
    pub(crate) fn into_unknown_key(mut self) -> Self {
        self.0.what = match self.0.what {
            What::UnknownWord { word, known } => What::UnknownKey { key: word, known },
            other => other,
        };
        self
    }

    pub(crate) fn is_consequence(&self) -> bool {
        self.0.consequence
    }

    pub(crate) fn what(&self) -> &What {
        &self.0.what
    }

    pub(crate) fn at(&self) -> Option<Position> {
        self.0.at
    }

    /// The key path of the part at fault; for an unknown or missing key, of the map around it.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for segment in self.0.path.iter().rev() {
            if !path.is_empty() && !segment.starts_with('[') {
                path.push('.');
            }
            path.push_str(segment);
        }
        path
    }
}

impl What {
    /// What is wrong, and what to do about it.
    pub(crate) fn words(&self) -> (String, String) {
        match self {
            Self::UnknownKey { key, known } => {
                ("unknown key".to_owned(), suggestion(key, known, "the keys known here are"))
            }
            Self::UnknownWord { word, known } => {
                let word: String = word.chars().take(40).collect();
                (format!("unknown value `{word}`"), suggestion(&word, known, "the values known here are"))
            }
            Self::Missing { key } => (format!("`{key}` is missing"), format!("add the key `{key}`")),
            Self::Wrong { message, remedy } => (
                message.clone(),
                remedy.clone().unwrap_or_else(|| "see docs/settings.md for what may stand here".to_owned()),
            ),
        }
    }
}

fn suggestion(word: &str, known: &[&str], listing: &str) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("{listing} {}", enumerate(known.iter().copied())),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (message, remedy) = self.0.what.words();
        write!(f, "{message}; {remedy}")
    }
}

impl std::error::Error for Fault {}

/// What a type expects, in words for people: serde says `u32`, `a string`, `struct Guards`.
fn expected(exp: &dyn de::Expected) -> String {
    let said = exp.to_string();
    let (least, name) = match said.strip_prefix("a nonzero ") {
        Some(name) => (1, name),
        None => (0, said.as_str()),
    };
    let whole = |greatest: u64| format!("a whole number from {least} to {greatest}");
    match name {
        "a string" => "text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a map of keys".to_owned(),
        "u8" => whole(u8::MAX.into()),
        "u16" => whole(u16::MAX.into()),
        "u32" => whole(u32::MAX.into()),
        "u64" | "usize" => whole(u64::MAX),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        _ if name.starts_with("struct ") => "a map of keys".to_owned(),
        _ => said,
    }
}

fn found(unexpected: &de::Unexpected<'_>) -> String {
    match unexpected {
        de::Unexpected::Bool(value) => format!("`{value}`"),
        de::Unexpected::Unsigned(value) => format!("the number {value}"),
        de::Unexpected::Signed(value) => format!("the number {value}"),
        de::Unexpected::Float(value) => format!("the number {value}"),
        de::Unexpected::Str(_) | de::Unexpected::Char(_) => "text".to_owned(),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Map | de::Unexpected::StructVariant => "a map".to_owned(),
        de::Unexpected::Unit | de::Unexpected::Option => "nothing".to_owned(),
        _ => "something else".to_owned(),
    }
}

impl de::Error for Fault {
    /// Types of this crate word their refusals as `what is wrong; what to do`.
    fn custom<T: fmt::Display>(msg: T) -> Self {
        let said = msg.to_string();
        let (message, remedy) = match said.rsplit_once("; ") {
            Some((message, remedy)) => (message.to_owned(), Some(remedy.to_owned())),
            None => (said, None),
        };
        Self::new(What::Wrong { message, remedy })
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, exp: &dyn de::Expected) -> Self {
        if unexpected == de::Unexpected::UnitVariant {
            return Self::wrong(
                "this word needs a value".to_owned(),
                "write it as a key, a colon and its value".to_owned(),
            );
        }
        let expected = expected(exp);
        let remedy = match unexpected {
            de::Unexpected::Bool(_)
            | de::Unexpected::Unsigned(_)
            | de::Unexpected::Signed(_)
            | de::Unexpected::Float(_)
                if expected == "text" =>
            {
                "put it in quotes".to_owned()
            }
            _ => format!("write {expected}"),
        };
        Self::wrong(format!("expected {expected}, found {}", found(&unexpected)), remedy)
    }

    fn invalid_value(unexpected: de::Unexpected<'_>, exp: &dyn de::Expected) -> Self {
        let expected = expected(exp);
        Self::wrong(format!("expected {expected}, found {}", found(&unexpected)), format!("write {expected}"))
    }

    fn invalid_length(len: usize, exp: &dyn de::Expected) -> Self {
        let expected = expected(exp);
        Self::wrong(format!("expected {expected}, found {len} elements"), format!("write {expected}"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(What::UnknownWord { word: variant.to_owned(), known: expected })
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(What::UnknownKey { key: field.to_owned(), known: expected })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(What::Missing { key: field })
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::wrong(format!("`{field}` is given twice"), "keep one of them".to_owned())
    }
}
