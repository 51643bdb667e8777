//! From rows to requests.

use std::collections::BTreeMap;

use driftless_config::destination::{Body, Method, Template};
use driftless_model::Operation;
use minijinja::{Value, context};
use reqwest::header::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use url::form_urlencoded;

use super::template::{Book, Fault, Page, Templates, value};
use crate::{
    BuildError, OutRow,
    http::{Http, Outgoing},
};

/// The key of a mapping that stands for one element per record.
const EACH: &str = "$each_record";

/// A compiled request.
pub(super) struct Request {
    method: Method,
    path: Page,
    query: Vec<(String, Page)>,
    headers: Vec<(HeaderName, Page)>,
    body: Option<Content>,
}

enum Content {
    Json(Node),
    Form(Vec<(String, Node)>),
    Ndjson(Node),
}

/// A piece of a body.
enum Node {
    Fixed(Json),
    Page(Page),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    Each(Box<Node>),
}

/// The parts of a request as they are configured.
pub(super) struct Parts<'a> {
    pub(super) key: &'a str,
    pub(super) method: Method,
    pub(super) path: &'a Template,
    pub(super) query: &'a BTreeMap<String, Template>,
    pub(super) common: &'a BTreeMap<String, Template>,
    pub(super) headers: &'a BTreeMap<String, Template>,
    pub(super) body: Option<&'a Body>,
}

/// A record as templates see it.
#[derive(Serialize)]
struct Seen<'a> {
    key: &'a str,
    identifiers: BTreeMap<&'a str, &'a str>,
    fields: &'a Map<String, Json>,
    remote_id: Option<&'a str>,
}

/// What all templates of a batch see.
pub(super) fn context_of(list: &str, operation: Operation, key: &str, rows: &[OutRow]) -> Value {
    let records: Vec<Value> = rows.iter().map(|row| value(Seen::of(row))).collect();
    let record = match records.as_slice() {
        [record] => record.clone(),
        _ => Value::UNDEFINED,
    };
    context! { list, operation => operation.as_str(), idempotency_key => key, records, record }
}

impl<'a> Seen<'a> {
    fn of(row: &'a OutRow) -> Self {
        Self {
            key: row.key.as_str(),
            identifiers: row.identifiers.iter().map(|i| (i.field.as_str(), i.value.as_str())).collect(),
            fields: &row.fields,
            remote_id: row.remote_id.as_deref(),
        }
    }
}

impl Request {
    pub(super) fn compile(book: &mut Book, parts: &Parts<'_>) -> Result<Self, BuildError> {
        let key = parts.key;
        let path = book.path(&format!("{key}.path"), parts.path.as_str())?;
        let mut query = Vec::new();
        for (name, template) in parts.query {
            query.push((name.clone(), book.value(&format!("{key}.query.{name}"), template.as_str())?));
        }
        let mut headers = Vec::new();
        for (name, template) in parts.common.iter().chain(parts.headers) {
            let header = name.parse().map_err(|_| BuildError::Header { key: "headers" })?;
            headers.push((header, book.value(&format!("{key}.headers.{name}"), template.as_str())?));
        }
        let body = match parts.body {
            None => None,
            Some(Body::Json(json)) => Some(Content::Json(Node::compile(book, &format!("{key}.body.json"), json)?)),
            Some(Body::Ndjson(json)) => {
                Some(Content::Ndjson(Node::compile(book, &format!("{key}.body.ndjson"), json)?))
            }
            Some(Body::Form(form)) => {
                let mut fields = Vec::new();
                for (name, json) in form {
                    fields.push((name.clone(), Node::compile(book, &format!("{key}.body.form.{name}"), json)?));
                }
                Some(Content::Form(fields))
            }
        };
        Ok(Self { method: parts.method, path, query, headers, body })
    }

    /// The request for what the context holds.
    pub(super) fn render(&self, http: &Http, templates: &Templates, context: &Value) -> Result<Outgoing, Fault> {
        let path = templates.text(&self.path, context)?.unwrap_or_default();
        let mut url = http.url(&path);
        if !self.query.is_empty() {
            let mut pairs = url.query_pairs_mut();
            for (name, page) in &self.query {
                for text in texts(templates.json(page, context)?, name)? {
                    pairs.append_pair(name, &text);
                }
            }
        }
        if url.query() == Some("") {
            url.set_query(None);
        }
        let mut request = Outgoing::new(method(self.method), url);
        for (name, page) in &self.headers {
            if let Some(text) = templates.text(page, context)? {
                let value = HeaderValue::try_from(text)
                    .map_err(|_| Fault { key: name.to_string(), what: "a value that no header can hold" })?;
                request = request.header(name.clone(), value);
            }
        }
        Ok(match &self.body {
            None => request,
            Some(content) => {
                let (body, content_type) = content.render(templates, context)?;
                request.body(body, content_type)
            }
        })
    }

    /// The bytes of the body for what the context holds.
    pub(super) fn body_len(&self, templates: &Templates, context: &Value) -> Result<usize, Fault> {
        self.body.as_ref().map_or(Ok(0), |content| content.render(templates, context).map(|(body, _)| body.len()))
    }
}

impl Content {
    fn render(&self, templates: &Templates, context: &Value) -> Result<(Vec<u8>, &'static str), Fault> {
        match self {
            Self::Json(node) => {
                let json = node.render(templates, context)?.unwrap_or(Json::Null);
                Ok((json.to_string().into_bytes(), "application/json"))
            }
            Self::Ndjson(node) => {
                let mut lines = Vec::new();
                for record in records(context) {
                    if let Some(json) = node.render(templates, &for_record(context, record))? {
                        lines.extend_from_slice(json.to_string().as_bytes());
                        lines.push(b'\n');
                    }
                }
                Ok((lines, "application/x-ndjson"))
            }
            Self::Form(fields) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                for (name, node) in fields {
                    for text in texts(node.render(templates, context)?, name)? {
                        form.append_pair(name, &text);
                    }
                }
                Ok((form.finish().into_bytes(), "application/x-www-form-urlencoded"))
            }
        }
    }
}

impl Node {
    fn compile(book: &mut Book, key: &str, json: &Json) -> Result<Self, BuildError> {
        Ok(match json {
            Json::String(text) => match book.value(key, text)? {
                Page::Fixed(text) => Self::Fixed(Json::String(text)),
                page => Self::Page(page),
            },
            Json::Array(items) => {
                let nodes = items.iter().map(|item| Self::compile(book, key, item));
                Self::List(nodes.collect::<Result<_, _>>()?)
            }
            Json::Object(map) => match map.get(EACH) {
                Some(each) if map.len() == 1 => Self::Each(Box::new(Self::compile(book, key, each)?)),
                Some(_) => {
                    let what = "`$each_record` makes a list, so it has no other key beside it".into();
                    return Err(BuildError::Template { key: key.to_owned(), line: 1, what });
                }
                None => {
                    let entries = map
                        .iter()
                        .map(|(name, json)| Ok((name.clone(), Self::compile(book, &format!("{key}.{name}"), json)?)));
                    Self::Map(entries.collect::<Result<_, BuildError>>()?)
                }
            },
            other => Self::Fixed(other.clone()),
        })
    }

    /// The value; `None` if it is to be left out.
    fn render(&self, templates: &Templates, context: &Value) -> Result<Option<Json>, Fault> {
        Ok(Some(match self {
            Self::Fixed(json) => json.clone(),
            Self::Page(page) => return templates.json(page, context),
            Self::List(nodes) => {
                let items = nodes.iter().filter_map(|node| node.render(templates, context).transpose());
                Json::Array(items.collect::<Result<_, _>>()?)
            }
            Self::Map(entries) => {
                let mut map = Map::new();
                for (name, node) in entries {
                    if let Some(json) = node.render(templates, context)? {
                        map.insert(name.clone(), json);
                    }
                }
                Json::Object(map)
            }
            Self::Each(node) => {
                let mut items = Vec::new();
                for record in records(context) {
                    items.extend(node.render(templates, &for_record(context, record))?);
                }
                Json::Array(items)
            }
        }))
    }
}

fn records(context: &Value) -> Vec<Value> {
    let records = context.get_attr("records").ok();
    records.and_then(|r| r.try_iter().ok().map(Iterator::collect)).unwrap_or_default()
}

/// The same context with another `record`. `records` is left out: a template for one record has no use for the others.
fn for_record(context: &Value, record: Value) -> Value {
    let of = |name| context.get_attr(name).unwrap_or_default();
    context! { list => of("list"), operation => of("operation"), idempotency_key => of("idempotency_key"), record }
}

/// A value as the texts of a form or query: none for null, several for a list.
fn texts(json: Option<Json>, name: &str) -> Result<Vec<String>, Fault> {
    let text = |json| match json {
        Json::String(text) => Ok(text),
        Json::Bool(_) | Json::Number(_) => Ok(json.to_string()),
        _ => Err(Fault { key: name.to_owned(), what: "a list or map where text is wanted" }),
    };
    match json {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::Array(items)) => items.into_iter().map(text).collect(),
        Some(json) => text(json).map(|text| vec![text]),
    }
}

const fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

#[cfg(test)]
mod tests;
