use core::num::{NonZeroU16, NonZeroU32, NonZeroU64};
use std::collections::BTreeMap;

use driftless_model::Operation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Answer, Auth, BaseUrl, Flaw, FormatVersion, Pointer, Rate, Template, Value, default};
use crate::value::HumanDuration;

/// An HTTP API, described by the requests that add, update, remove and list, and by how their answers are read. What is
/// not described cannot be done: without `remove` nobody is removed.
///
/// Templates see `list` (the name of the remote list, from the sync), `operation` (`add`, `update` or `remove`),
/// `idempotency_key` (the same when the same records are sent again), `records`, and `record` where a request carries one
/// record (`batch.records: 1`) or inside `$each_record`. A record has `key`, `identifiers` and `fields` (maps by destination
/// field; a removal has no fields), and `remote_id` (none until known). A name that does not exist is an error;
/// `{{ record.fields.phone | default(omit) }}` leaves the entry out instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestDestination {
    /// The version of this file's format: 1.
    pub version: FormatVersion,
    /// `rest`.
    pub kind: RestKind,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The root of all URLs.
    pub base_url: BaseUrl,
    /// How we log in.
    #[serde(default)]
    pub auth: Auth,
    /// How many requests the destination allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many calls may be in flight at once, 2 to 1,000; not fewer than its stack's `Concurrency`. Without it, as many as
    /// that times `CallsPerInvocation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    pub concurrency: Option<NonZeroU16>,
    /// How long one request may take, from connecting to the last byte of the answer.
    #[serde(default = "default::timeout")]
    pub timeout: HumanDuration,
    /// Headers of every request; templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Template>,
    /// How much one request may carry, unless an operation says otherwise. One record, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// True: a request that is refused is refused for one of its records, and is cut in half until that one is found.
    /// False: a refusal is that of every record in it.
    #[serde(default = "default::yes")]
    pub all_or_nothing: bool,
    /// True: sending a record twice does no harm, so a request without an answer is sent again. False: it is not, and its
    /// records stay uncertain until the next run; use an `Idempotency-Key` header and `true` where the API has one.
    #[serde(default = "default::yes")]
    pub repeatable: bool,
    /// How answers are read, unless an operation says otherwise.
    #[serde(default)]
    pub answer: Answer,
    /// A request that asks for a record's remote id before the record is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup: Option<Lookup>,
    /// Puts records into the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<RestOperation>,
    /// Changes records that are in the list. Left out: `add` is used for both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<RestOperation>,
    /// Takes records out of the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove: Option<RestOperation>,
    /// Reads the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListMembers>,
}

/// `rest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestKind {
    /// An HTTP API, described by its requests.
    #[default]
    Rest,
}

/// How much one request may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The most records.
    pub records: NonZeroU32,
    /// The most bytes of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<NonZeroU64>,
}

/// One operation: a request and how its answer is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestOperation {
    /// The HTTP method.
    pub method: Method,
    /// The path below `base_url`; a template. Values are percent-encoded and cannot leave their place in the path.
    pub path: Template,
    /// The query; templates. A list gives the name once per element.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, Template>,
    /// Headers of this operation, beside the common ones; templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Template>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// How much one request of this operation may carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// How answers to this operation are read; a key given here replaces that of the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// A second request for the records with which the first one went through: for APIs where a record is made first and then
    /// put into the list. A record is delivered once both went through; `exists` (on `add` and `update`) and `absent` (on
    /// `remove`) count as success here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<RestStep>,
}

/// The second request of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestStep {
    /// The HTTP method.
    pub method: Method,
    /// The path below `base_url`; a template. `record.remote_id` is what the first answer, or a look-up, gave.
    pub path: Template,
    /// The query; templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, Template>,
    /// Headers, beside the common ones; templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Template>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// How much one request may carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// How answers are read; a key given here replaces that of the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

impl RestStep {
    /// The step as an operation without a further step.
    #[must_use]
    pub fn operation(&self) -> RestOperation {
        RestOperation {
            method: self.method,
            path: self.path.clone(),
            query: self.query.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            batch: self.batch,
            answer: self.answer.clone(),
            then: None,
        }
    }
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

/// A body, written as YAML. Every text in it is a template. A text that is one expression, such as `"{{ record.fields }}"`,
/// becomes the value with its type; any other becomes text. `$each_record: …` becomes a list with one element per record.
/// The values are put in after the structure is built, so no value can break it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A JSON document, sent as `application/json` unless a `Content-Type` header says otherwise.
    Json(Json),
    /// A form, sent as `application/x-www-form-urlencoded`. A list gives the name once per element.
    Form(BTreeMap<String, Json>),
    /// One JSON document per record, one a line, sent as `application/x-ndjson`.
    Ndjson(Json),
}

/// A request that asks for a record's remote id. What it finds is kept with the record, so it is asked once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The HTTP method.
    #[serde(default)]
    pub method: Method,
    /// The path below `base_url`; a template.
    pub path: Template,
    /// The query; templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, Template>,
    /// Headers, beside the common ones; templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Template>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// Where the answer has the id. Nothing there: the record is absent.
    pub remote_id: Pointer,
    /// The statuses that mean: absent.
    #[serde(default = "not_found", skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Value>,
    /// The operations before which records without remote id are looked up. A record found before `add` is sent as an
    /// update, one not found before `update` as an add, and one not found before `remove` is gone already.
    #[serde(default = "before")]
    #[schemars(schema_with = "crate::schema::sending_operations")]
    pub before: Vec<Operation>,
}

fn not_found() -> Vec<Value> {
    vec![Value::Number(404)]
}

fn before() -> Vec<Operation> {
    vec![Operation::Update, Operation::Remove]
}

/// The request that reads the list, page by page. Its templates see `list`, and `cursor`, `offset` or `page` according to
/// `next`. There is no `cursor` on the first page: `{{ cursor | default(omit) }}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListMembers {
    /// The HTTP method.
    #[serde(default)]
    pub method: Method,
    /// The path below `base_url`; a template.
    pub path: Template,
    /// The query; templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, Template>,
    /// Headers, beside the common ones; templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Template>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// What the answer is.
    #[serde(default)]
    pub format: Shape,
    /// Where the answer has the array of members; left out, the answer is that array.
    #[serde(default)]
    pub items: Pointer,
    /// Identifiers by destination field, and where a member has each. Empty pointer: the member itself is the value.
    pub identifiers: BTreeMap<String, Pointer>,
    /// Where a member has its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<Pointer>,
    /// How the next page is asked for. Left out: there is one page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// The most bytes of a page that are read; 16 MiB unless said otherwise. A list that comes in one piece may need more, and the
    /// function the memory for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 268_435_456))]
    pub max_bytes: Option<NonZeroU32>,
}

/// What an answer that lists members is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A JSON document with an array of members.
    #[default]
    Json,
    /// Plain text, one member a line, which is its identifier.
    Lines,
}

/// How the next page of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// The answer has a cursor here; none, null or empty on the last page. The templates see it as `cursor`.
    Cursor(Pointer),
    /// Members are counted; the templates see `offset`, from 0.
    Offset(Offset),
    /// Pages are counted; the templates see `page`.
    Page(Page),
    /// A `Link` header with `rel="next"` (RFC 8288), on the same host.
    Link,
}

/// Counting members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Offset {
    /// Members asked for per page; a page with fewer is the last.
    pub size: NonZeroU32,
}

/// Counting pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The number of the first page.
    #[serde(default = "one")]
    pub first: u32,
    /// Members asked for per page; a page with fewer is the last.
    pub size: NonZeroU32,
}

const fn one() -> u32 {
    1
}

super::described_by_its_keys!(RestDestination);

impl RestDestination {
    /// The request of an operation: of an update it is `add`'s where there is no other.
    #[must_use]
    pub fn operation(&self, operation: Operation) -> Option<&RestOperation> {
        match operation {
            Operation::Add => self.add.as_ref(),
            Operation::Update => self.update.as_ref().or(self.add.as_ref()),
            Operation::Remove => self.remove.as_ref(),
            Operation::Inspect | Operation::Prepare | Operation::List | Operation::Clear => None,
        }
    }

    /// How much one request of an operation may carry.
    #[must_use]
    pub fn batch_of(&self, operation: &RestOperation) -> Batch {
        operation.batch.or(self.batch).unwrap_or(Batch { records: NonZeroU32::MIN, bytes: None })
    }

    /// How answers to an operation are read: its own keys, else those of the destination.
    #[must_use]
    pub fn answer_of(&self, operation: &RestOperation) -> Answer {
        let common = self.answer.clone();
        let Some(own) = operation.answer.clone() else { return common };
        Answer {
            status: if own.status.is_empty() { common.status } else { own.status },
            codes: if own.codes.is_empty() { common.codes } else { own.codes },
            results: own.results.or(common.results),
            reason: own.reason.or(common.reason),
            remote_id: own.remote_id.or(common.remote_id),
            retry_after: own.retry_after.or(common.retry_after),
        }
    }

    pub(super) fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if self.add.is_none() && self.update.is_none() && self.remove.is_none() {
            flaws.push(Flaw {
                key: "add",
                message: "no operation is described, so nothing can be sent".into(),
                remedy: "describe `add`, and `remove` if records leave the list",
            });
        }
        for (key, operation) in [("add", &self.add), ("update", &self.update), ("remove", &self.remove)] {
            let Some(operation) = operation else { continue };
            if operation.method == Method::Get {
                flaws.push(Flaw {
                    key,
                    message: format!("`{key}` is a GET, which does not change anything"),
                    remedy: "use POST, PUT, PATCH or DELETE",
                });
            }
            if operation.body.is_none() && self.batch_of(operation).records.get() > 1 {
                flaws.push(Flaw {
                    key,
                    message: format!("`{key}` carries several records but has no body"),
                    remedy: "describe the body, or set batch.records to 1",
                });
            }
        }
        for (key, operation) in [("add.then", &self.add), ("update.then", &self.update), ("remove.then", &self.remove)]
        {
            let Some(step) = operation.as_ref().and_then(|operation| operation.then.as_ref()) else { continue };
            if step.body.is_none() && self.batch_of(&step.operation()).records.get() > 1 {
                flaws.push(Flaw {
                    key,
                    message: format!("`{key}` carries several records but has no body"),
                    remedy: "describe the body, or set batch.records to 1",
                });
            }
        }
        if self.list.as_ref().is_some_and(|list| list.format == Shape::Lines && list.identifiers.len() > 1) {
            flaws.push(Flaw {
                key: "list.identifiers",
                message: "a line of plain text is one identifier".into(),
                remedy: "name one identifier with an empty pointer, as in `email: ''`",
            });
        }
        if self.list.as_ref().is_some_and(|list| list.identifiers.is_empty()) {
            flaws.push(Flaw {
                key: "list.identifiers",
                message: "no identifier is read from the members".into(),
                remedy: "name each identifier of the mapping and where a member has it, as in `email: /email`",
            });
        }
        flaws
    }
}
