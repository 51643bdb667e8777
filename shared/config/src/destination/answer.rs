use core::{fmt, str::FromStr};
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How an answer is read. Three places can say what became of a request, and each is classed by the same words: the HTTP
/// status, a value in the body, and a value per record. A record's own value wins over the body's, the body's over the
/// status; what none of them names falls to the defaults by status.
///
/// Defaults: 2xx `delivered`; 429, and 503 with `Retry-After`, `throttled`; 401, 403, 407 `fatal`; where requests
/// carry one record (`batch.records: 1`), 404 and 410 `absent` and 409 on `add` `exists`; else 404 and 410 `fatal`; 3xx, 405, 406, 415, 426,
/// 501 and 505 `fatal`; any other 4xx `rejected`, except 408 `unknown` and 425 `retry`; any other 5xx `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Verdicts by HTTP status, before the defaults.
    #[serde(default, skip_serializing_if = "Verdicts::is_empty")]
    pub status: Verdicts,
    /// Values in the body that decide, for APIs that report errors inside a 200. The first that applies counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<BodyCode>,
    /// Where the body says what happened to each record. Without it, the verdict is that of every record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Results>,
    /// Where the body of a refusal holds a code that says why. Shown to people; text that holds a record's values is
    /// dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Pointer>,
    /// Where the id is that the destination gave to the record, in the answer to a request with one record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<Pointer>,
    /// How long to wait after `throttled`, where it is not the `Retry-After` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<RetryAfter>,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Done.
    Delivered,
    /// The record is in the list already. On `add`, it is sent as an update if `update` is configured, else it counts as
    /// delivered.
    Exists,
    /// The record is not in the list. On `remove` that is success; on `update`, it is sent as an add.
    Absent,
    /// Too many requests: wait, then the same again.
    Throttled,
    /// Not applied, and may succeed later.
    Retry,
    /// It may or may not have been applied.
    Unknown,
    /// Some of the records were done, and the answer does not say which. The request is cut in half until the others are found;
    /// those that were done are sent again by that. A record alone is rejected.
    Partly,
    /// Refused, and the same will be refused again.
    Rejected,
    /// Nothing will succeed before somebody acts: the login, a permission, a list that is gone.
    Fatal,
}

/// Values and what they mean: whole numbers, text (compared without regard to case), `true` and `false`; `2xx` and
/// `200-299` stand for the numbers of a class or range, and `*in progress*` for any text that has these words in it. The first list that has the value counts, in the order here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdicts {
    /// Values that mean: done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivered: Vec<Value>,
    /// Values that mean: it is in the list already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exists: Vec<Value>,
    /// Values that mean: it is not in the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Value>,
    /// Values that mean: too many requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub throttled: Vec<Value>,
    /// Values that mean: not applied, may succeed later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry: Vec<Value>,
    /// Values that mean: it may or may not have been applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Value>,
    /// Values that mean: some records were done, and nobody says which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partly: Vec<Value>,
    /// Values that mean: refused for good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Value>,
    /// Values that mean: somebody must act first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fatal: Vec<Value>,
}

/// A value in the body that says what became of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyCode {
    /// Where the value is.
    pub at: Pointer,
    /// The HTTP statuses with which it is looked at.
    #[serde(default = "success")]
    pub on: Vec<Value>,
    /// What its values mean.
    pub means: Verdicts,
    /// What any other value means. Without it, a value that is not listed decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Verdict>,
}

fn success() -> Vec<Value> {
    vec![Value::Range(200, 299)]
}

/// Where the body says what happened to each record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Results {
    /// An array with one element per record, in the order of the request.
    ByPosition(ResultsByPosition),
    /// Arrays of the records that failed; all others were delivered.
    ByKey(ResultsByKey),
}

/// One result per record, in the order of the request. Another number of results makes every record `unknown`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultsByPosition {
    /// The array.
    pub items: Pointer,
    /// Where, in an element, the value is that decides.
    pub code: Pointer,
    /// What its values mean. Left out: 2xx, `ok`, `success`, `created`, `updated`, `deleted` and `true` mean delivered.
    #[serde(default, skip_serializing_if = "Verdicts::is_empty")]
    pub means: Verdicts,
    /// What any other value means.
    #[serde(default = "rejected")]
    pub otherwise: Verdict,
    /// Where, in an element, a code says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Pointer>,
    /// Where, in an element, the id is that the destination gave to the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<Pointer>,
}

/// Only the records that failed are listed. A failure that names no record of the request makes every record `unknown`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultsByKey {
    /// The arrays that may hold failures; one that is missing is empty.
    pub failures: Vec<Pointer>,
    /// Where, in an element, the value is that names the record. Left out: the element itself is the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Pointer>,
    /// What that value is equal to.
    pub matches: FailedKey,
    /// Where, in an element, a code says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Pointer>,
    /// What the codes mean.
    #[serde(default, skip_serializing_if = "Verdicts::is_empty")]
    pub means: Verdicts,
    /// What any other code, or none, means.
    #[serde(default = "rejected")]
    pub otherwise: Verdict,
    /// The arrays that may hold records that are not in the list; named as in `failures`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Pointer>,
    /// Where the body counts the records that were not done. A count that is missing, or greater than the records that are named,
    /// makes every record `unknown`: something failed of which the arrays do not speak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Pointer>,
}

const fn rejected() -> Verdict {
    Verdict::Rejected
}

/// What a failure names a record by. Text is compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailedKey {
    /// The value of this identifier.
    Identifier(String),
    /// The record key.
    Key,
    /// The id that the destination gave to the record.
    RemoteId,
    /// The record's place in the request, counted from 0.
    Position,
}

/// How long to wait after `throttled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryAfter {
    /// Where the number is.
    pub from: WaitFrom,
    /// What it counts.
    #[serde(default)]
    pub unit: WaitUnit,
}

/// Where the wait is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitFrom {
    /// In this response header.
    Header(String),
    /// In the body.
    Body(Pointer),
}

/// What a number that says how long to wait counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitUnit {
    /// Seconds from now.
    #[default]
    Seconds,
    /// Milliseconds from now.
    Milliseconds,
    /// Seconds since 1970; compared with the answer's `Date` header.
    EpochSeconds,
}

/// A place in a JSON document (RFC 6901): empty for the whole, else `/` before every step, as in `/data/0/id`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer(String);

impl Pointer {
    /// The text, as `serde_json::Value::pointer` wants it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Pointer {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() || text.starts_with('/') {
            Ok(Self(text))
        } else {
            Err("a JSON pointer starts with `/`, as in /data/id")
        }
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.0
    }
}

impl JsonSchema for Pointer {
    fn schema_name() -> Cow<'static, str> {
        "Pointer".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "json-pointer", "pattern": "^(/.*)?$" })
    }
}

/// A value to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number; text with the same digits is equal to it.
    Number(i64),
    /// Text, compared without regard to case.
    Text(String),
    /// Numbers from and including, to and including: written `2xx` or `200-299`.
    Range(i64, i64),
    /// Text that has this in it, without regard to case: written `*in progress*`.
    Part(String),
}

impl Value {
    /// True for a JSON value that this stands for.
    #[must_use]
    pub fn is(&self, value: &serde_json::Value) -> bool {
        let number = || value.as_i64().or_else(|| value.as_str().and_then(|s| s.trim().parse().ok()));
        match self {
            Self::Bool(b) => value.as_bool() == Some(*b),
            Self::Number(n) => number() == Some(*n),
            Self::Text(t) => value.as_str().is_some_and(|s| s.to_lowercase() == t.to_lowercase()),
            Self::Range(from, to) => number().is_some_and(|n| (*from..=*to).contains(&n)),
            Self::Part(part) => value.as_str().is_some_and(|s| s.to_lowercase().contains(&part.to_lowercase())),
        }
    }
}

impl FromStr for Value {
    type Err = core::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(read(text))
    }
}

/// Never fails: what is neither a range nor a part is text.
fn read(text: &str) -> Value {
    let part = || text.strip_prefix('*')?.strip_suffix('*').filter(|part| !part.is_empty());
    range(text)
        .or_else(|| part().map(|part| Value::Part(part.to_owned())))
        .unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn range(text: &str) -> Option<Value> {
    if let [class @ b'1'..=b'5', b'x', b'x'] = text.as_bytes() {
        let from = i64::from(class - b'0') * 100;
        return Some(Value::Range(from, from + 99));
    }
    let (from, to) = text.split_once('-')?;
    let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (from <= to).then_some(Value::Range(from, to))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Number(n) => write!(f, "{n}"),
            Self::Text(t) => f.write_str(t),
            Self::Range(from, to) => write!(f, "{from}-{to}"),
            Self::Part(part) => write!(f, "*{part}*"),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(b) => s.serialize_bool(*b),
            Self::Number(n) => s.serialize_i64(*n),
            Self::Text(_) | Self::Range(..) | Self::Part(_) => s.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, text, `true` or `false`, or a range such as `2xx` or `200-299`")
            }

            fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
                Ok(Value::Bool(b))
            }

            fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
                Ok(Value::Number(n))
            }

            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Value, E> {
                i64::try_from(n).map(Value::Number).map_err(|_| E::custom("the number is too large"))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(read(text))
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for Value {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string", "boolean"] })
    }
}

impl Verdicts {
    /// True when nothing is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists().iter().all(|(values, _)| values.is_empty())
    }

    /// What a value means, if it is listed.
    #[must_use]
    pub fn of(&self, value: &serde_json::Value) -> Option<Verdict> {
        let (_, verdict) = self.lists().into_iter().find(|(values, _)| values.iter().any(|v| v.is(value)))?;
        Some(verdict)
    }

    fn lists(&self) -> [(&[Value], Verdict); 9] {
        [
            (&self.delivered, Verdict::Delivered),
            (&self.exists, Verdict::Exists),
            (&self.absent, Verdict::Absent),
            (&self.throttled, Verdict::Throttled),
            (&self.retry, Verdict::Retry),
            (&self.unknown, Verdict::Unknown),
            (&self.partly, Verdict::Partly),
            (&self.rejected, Verdict::Rejected),
            (&self.fatal, Verdict::Fatal),
        ]
    }
}

impl ResultsByPosition {
    /// What the value of one element means.
    #[must_use]
    pub fn verdict(&self, value: &serde_json::Value) -> Verdict {
        if self.means.is_empty() && usual_success(value) {
            return Verdict::Delivered;
        }
        self.means.of(value).unwrap_or(self.otherwise)
    }
}

/// The values that APIs commonly give to a record that went through.
fn usual_success(value: &serde_json::Value) -> bool {
    const WORDS: [&str; 5] = ["ok", "success", "created", "updated", "deleted"];
    value.as_bool() == Some(true)
        || Value::Range(200, 299).is(value)
        || value.as_str().is_some_and(|s| WORDS.iter().any(|word| s.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Value {
        text.parse().expect("never fails")
    }

    #[test]
    fn a_class_and_a_range_stand_for_their_numbers() {
        assert!(value("2xx").is(&json!(204)) && value("2xx").is(&json!("201")) && !value("2xx").is(&json!(300)));
        assert!(value("400-404").is(&json!(404)) && !value("400-404").is(&json!(405)));
        assert_eq!(value("not-found"), Value::Text("not-found".into()));
    }

    #[test]
    fn text_is_compared_without_case_and_numbers_as_numbers() {
        assert!(value("OK").is(&json!("ok")) && !value("ok").is(&json!(true)));
        assert!(
            Value::Number(0).is(&json!(0)) && Value::Number(0).is(&json!("0")) && !Value::Number(0).is(&json!(null))
        );
    }

    #[test]
    fn the_first_list_that_has_the_value_counts() {
        let verdicts = Verdicts { delivered: vec![value("2xx")], unknown: vec![value("202")], ..Verdicts::default() };
        assert_eq!(verdicts.of(&json!(202)), Some(Verdict::Delivered));
        assert_eq!(verdicts.of(&json!(500)), None);
    }

    #[test]
    fn a_part_is_looked_for_in_the_text() {
        let part = value("*Being Updated*");
        assert!(part.is(&json!("the audience is currently being updated.")) && !part.is(&json!("updated")));
        assert_eq!(value("**"), Value::Text("**".into()));
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["2xx", "200-299", "ok", "*in progress*"] {
            let read: Value = serde_json::from_value(json!(text)).expect("text");
            let back: Value = serde_json::from_value(serde_json::to_value(&read).expect("writes")).expect("reads");
            assert_eq!(read, back);
        }
    }
}
