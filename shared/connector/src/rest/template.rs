//! Templates of a `rest` destination: compiled once, rendered per request.

use std::sync::Arc;

use md5::Md5;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior,
    value::{Object, ObjectRepr, Rest, Serde, Value},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use crate::BuildError;

/// What may stand in a path segment as it is (RFC 3986 section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// All templates of a destination, while they are compiled.
pub(super) struct Book {
    environment: Environment<'static>,
    pages: usize,
}

/// One compiled template.
#[derive(Clone, Debug)]
pub(super) enum Page {
    /// Text without expressions.
    Fixed(String),
    /// Text with expressions, by its name in the book.
    Text(String),
    /// One expression, by its name in the book: it keeps its type.
    Value(String),
}

/// A template could not be rendered for these rows. Names the template and the rule, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template {key}: {what}")]
pub(super) struct Fault {
    pub(super) key: String,
    pub(super) what: &'static str,
}

/// A finished book.
#[derive(Clone)]
pub(super) struct Templates(Arc<Environment<'static>>);

/// What `omit` stands for: the entry is left out.
#[derive(Debug)]
struct Omit;

impl Object for Omit {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

impl Book {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_auto_escape_callback(|name| {
            if name.ends_with("path") { AutoEscape::Custom("path".into()) } else { AutoEscape::None }
        });
        environment.set_formatter(print);
        environment.add_global("omit", Value::from_object(Omit));
        environment.add_filter("md5", |text: String| hex::encode(Md5::digest(text)));
        environment.add_filter("sha256", |text: String| hex::encode(Sha256::digest(text)));
        environment.add_filter("digest", digest);
        environment.add_filter("merge", merge);
        environment.add_filter("without", without);
        Self { environment, pages: 0 }
    }

    /// A path: values are percent-encoded and keep to their segment.
    pub(super) fn path(&mut self, key: &str, text: &str) -> Result<Page, BuildError> {
        if outside_expressions(text).contains(['?', '#']) {
            return Err(BuildError::Template {
                key: key.to_owned(),
                line: 1,
                what: "a path has no query; use `query`".into(),
            });
        }
        self.text(&format!("{key} path"), text)
    }

    /// Text, or a value if the template is one expression.
    pub(super) fn value(&mut self, key: &str, text: &str) -> Result<Page, BuildError> {
        match single_expression(text) {
            Some(expression) => {
                let name = self.add(key, &format!("{{% set value = ({expression}) %}}"))?;
                Ok(Page::Value(name))
            }
            None => self.text(key, text),
        }
    }

    fn text(&mut self, key: &str, text: &str) -> Result<Page, BuildError> {
        if text.contains("{{") || text.contains("{%") || text.contains("{#") {
            self.add(key, text).map(Page::Text)
        } else {
            Ok(Page::Fixed(text.to_owned()))
        }
    }

    fn add(&mut self, key: &str, source: &str) -> Result<String, BuildError> {
        self.pages += 1;
        // Keys need not be unique (a list has no keys); the number is.
        let name = format!("{} {key}", self.pages);
        self.environment.add_template_owned(name.clone(), source.to_owned()).map_err(|error| BuildError::Template {
            key: key.to_owned(),
            line: error.line().unwrap_or(1),
            what: error.detail().unwrap_or("is not a template").to_owned(),
        })?;
        Ok(name)
    }

    pub(super) fn finish(self) -> Templates {
        Templates(Arc::new(self.environment))
    }
}

impl Templates {
    /// The text of a page; `None` if it is to be left out (`omit`, or null).
    pub(super) fn text(&self, page: &Page, context: &Value) -> Result<Option<String>, Fault> {
        match self.json(page, context)? {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(Json::Array(_) | Json::Object(_)) => Err(fault(page, "a list or map where text is wanted")),
            Some(scalar) => Ok(Some(scalar.to_string())),
        }
    }

    /// The value of a page; `None` if it is to be left out (`omit`).
    pub(super) fn json(&self, page: &Page, context: &Value) -> Result<Option<Json>, Fault> {
        let name = match page {
            Page::Fixed(text) => return Ok(Some(Json::String(text.clone()))),
            Page::Text(name) | Page::Value(name) => name,
        };
        let failed = |error: Error| fault(page, rule(&error));
        let template = self.0.get_template(name).map_err(failed)?;
        let rendered = template.render_captured(context).map_err(failed)?;
        if matches!(page, Page::Text(_)) {
            return Ok(Some(Json::String(rendered.into_output())));
        }
        let value = rendered.state().lookup("value").unwrap_or(Value::UNDEFINED);
        if value.downcast_object_ref::<Omit>().is_some() {
            return Ok(None);
        }
        if value.is_undefined() {
            return Err(fault(page, "a name that does not exist"));
        }
        serde_json::to_value(&value).map(Some).map_err(|_| fault(page, "a value that JSON cannot hold"))
    }
}

/// Anything serialisable, as templates see it.
pub(super) fn value(of: impl serde::Serialize) -> Value {
    Value::from(Serde(of))
}

/// What `digest` says of anything else. Told apart from other invalid operations by this very text.
const NO_DIGEST: &str = "a value that is not a hash: the mapping must hash it";

/// A SHA-256 or SHA-512 in hex, as it is. Anything else is refused: a destination that wants hashes must not get who they are of.
fn digest(text: String) -> Result<String, Error> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if matches!(text.len(), 64 | 128) && text.bytes().all(hex) {
        Ok(text)
    } else {
        Err(Error::new(ErrorKind::InvalidOperation, NO_DIGEST))
    }
}

/// Both maps as one; where both have a key, the second's value.
fn merge(first: Value, second: Value) -> Result<Value, Error> {
    let mut map = as_map(&first)?;
    map.extend(as_map(&second)?);
    Ok(value(map))
}

/// The map without some of its keys.
fn without(map: Value, names: Rest<String>) -> Result<Value, Error> {
    let mut map = as_map(&map)?;
    map.retain(|key, _| !names.contains(key));
    Ok(value(map))
}

fn as_map(of: &Value) -> Result<Map<String, Json>, Error> {
    match serde_json::to_value(of) {
        Ok(Json::Object(map)) => Ok(map),
        _ => Err(Error::new(ErrorKind::InvalidOperation, "not a map")),
    }
}

fn fault(page: &Page, what: &'static str) -> Fault {
    let key = match page {
        Page::Fixed(_) => "",
        // Without the number that makes it unique.
        Page::Text(name) | Page::Value(name) => name.split_once(' ').map_or("", |(_, key)| key),
    };
    Fault { key: key.trim_end_matches(" path").to_owned(), what }
}

/// The kind of an error in fixed words: its own text may hold values.
fn rule(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::UndefinedError => "a name that does not exist",
        ErrorKind::UnknownFilter => "an unknown filter",
        ErrorKind::UnknownFunction | ErrorKind::UnknownMethod => "an unknown function",
        ErrorKind::InvalidOperation if error.detail() == Some(NO_DIGEST) => NO_DIGEST,
        ErrorKind::InvalidOperation => "an operation that the value does not allow",
        ErrorKind::BadEscape => "an empty value, or one of dots only, in a path",
        _ => "cannot be rendered",
    }
}

/// Prints a value inside text.
fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    if value.downcast_object_ref::<Omit>().is_some() {
        return Err(Error::new(ErrorKind::InvalidOperation, "omit inside text"));
    }
    let text = if value.is_none() { String::new() } else { value.to_string() };
    if matches!(state.auto_escape(), AutoEscape::Custom(_)) {
        // An empty or dotted segment would name something else: the collection, or its parent.
        if text.chars().all(|c| c == '.') {
            return Err(ErrorKind::BadEscape.into());
        }
        return write(out, utf8_percent_encode(&text, SEGMENT));
    }
    write(out, text)
}

fn write(out: &mut Output, text: impl core::fmt::Display) -> Result<(), Error> {
    write!(out, "{text}").map_err(|_| ErrorKind::WriteFailure.into())
}

/// The expression of a template that is nothing else.
fn single_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    let inner = inner.strip_suffix('-').unwrap_or(inner);
    (!inner.contains("{{") && !inner.contains("}}")).then(|| inner.trim())
}

/// The text of a template without its expressions and statements.
fn outside_expressions(text: &str) -> String {
    let mut rest = text;
    let mut outside = String::new();
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min() {
        let (before, tag) = rest.split_at(start);
        outside.push_str(before);
        let close = if tag.starts_with("{{") {
            "}}"
        } else if tag.starts_with("{%") {
            "%}"
        } else {
            "#}"
        };
        rest = tag.find(close).map_or("", |end| tag.split_at(end + 2).1);
    }
    outside.push_str(rest);
    outside
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn render(text: &str, context: &Json) -> Result<Option<Json>, Fault> {
        let mut book = Book::new();
        let page = book.value("body.x", text).expect("compiles");
        book.finish().json(&page, &value(context))
    }

    fn path(text: &str, context: &Json) -> Result<Option<String>, Fault> {
        let mut book = Book::new();
        let page = book.path("add.path", text).expect("compiles");
        book.finish().text(&page, &value(context))
    }

    #[test]
    fn one_expression_keeps_its_type_and_any_other_template_is_text() {
        let context = json!({ "n": 7, "m": { "a": [1, null] }, "s": "x", "nothing": null });
        assert_eq!(render("{{ n }}", &context), Ok(Some(json!(7))));
        assert_eq!(render("{{ m }}", &context), Ok(Some(json!({ "a": [1, null] }))));
        assert_eq!(render("{{ nothing }}", &context), Ok(Some(Json::Null)));
        assert_eq!(render("n={{ n }}{{ nothing }}", &context), Ok(Some(json!("n=7"))));
        assert_eq!(render("plain", &context), Ok(Some(json!("plain"))));
        assert_eq!(render("{{ s | upper | md5 }}", &context), Ok(Some(json!("02129bb861061d1a052c592e2dc6b383"))));
    }

    #[test]
    fn a_name_that_does_not_exist_is_an_error_unless_it_is_to_be_omitted() {
        let context = json!({ "record": { "fields": {} } });
        let missing = Err(Fault { key: "body.x".into(), what: "a name that does not exist" });
        assert_eq!(render("{{ record.fields.phone }}", &context), missing);
        assert_eq!(render("tel:{{ record.fields.phone }}", &context), missing);
        assert_eq!(render("{{ record.fields.phone | default(omit) }}", &context), Ok(None));
    }

    #[test]
    fn maps_are_merged_and_cut_and_keys_may_be_names() {
        let context = json!({ "list": "news", "fields": { "email": "m@x.y", "city": "Ulm" } });
        let rendered = render("{{ fields | without('email') | merge({'id': 7, list: true}) }}", &context);
        assert_eq!(rendered, Ok(Some(json!({ "city": "Ulm", "id": 7, "news": true }))));
        let chosen = |context: &Json| render("{{ {'id': email | digest} if email else {} }}", context);
        assert_eq!(chosen(&json!({})), Ok(Some(json!({}))));
        assert_eq!(chosen(&json!({ "email": "a".repeat(64) })), Ok(Some(json!({ "id": "a".repeat(64) }))));
    }

    #[test]
    fn who_is_behind_a_hash_is_not_sent_where_a_hash_is_wanted() {
        for text in ["mary@example.com".to_owned(), "A".repeat(64), "a".repeat(63), String::new()] {
            let fault = render("{{ email | digest }}", &json!({ "email": text })).expect_err("not a digest");
            assert_eq!(fault.what, NO_DIGEST);
        }
    }

    #[test]
    fn a_value_in_a_path_keeps_to_its_segment() {
        let at = |id: &str| path("/lists/{{ id }}/members", &json!({ "id": id }));
        assert_eq!(at("a/../b?c#d"), Ok(Some("/lists/a%2F..%2Fb%3Fc%23d/members".into())));
        for bad in ["", ".", ".."] {
            assert!(at(bad).is_err_and(|f| f.key == "add.path"), "{bad:?}");
        }
        assert!(path("/lists/{{ id }}", &json!({ "id": null })).is_err());
    }

    #[test]
    fn errors_of_a_template_name_the_key_and_never_a_value() {
        let mut book = Book::new();
        let error = book.value("add.body.json.email", "{{ record.email | }}").expect_err("does not parse");
        assert!(error.to_string().contains("add.body.json.email"), "{error}");
        assert!(book.path("add.path", "/x?y={{ 'a?b' }}").is_err());
        assert!(book.path("add.path", "/x/{{ 'a?b' }}").is_ok());
        let fault = render("{{ email + 1 }}", &json!({ "email": "mary@example.com" })).expect_err("text plus number");
        assert!(!fault.to_string().contains("mary"), "{fault}");
    }

    proptest! {
        #[test]
        fn any_text_comes_through_a_value_as_it_is(text in ".*") {
            prop_assert_eq!(render("{{ s }}", &json!({ "s": text })), Ok(Some(json!(text))));
        }

        #[test]
        fn no_value_adds_a_segment_a_query_or_a_fragment(text in ".+") {
            if let Ok(Some(rendered)) = path("/a/{{ s }}/b", &json!({ "s": text })) {
                prop_assert_eq!(rendered.matches('/').count(), 3);
                prop_assert!(!rendered.contains(['?', '#', ' ', '\\']));
            }
        }
    }
}
