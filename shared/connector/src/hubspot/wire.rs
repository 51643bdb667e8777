//! The messages of the objects and lists APIs, as far as they are used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A batch of inputs.
#[derive(Debug, Serialize)]
pub(super) struct Inputs<'a> {
    #[serde(rename = "idProperty", skip_serializing_if = "Option::is_none")]
    pub(super) id_property: Option<&'a str>,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    pub(super) properties: &'a [&'a str],
    #[serde(rename = "inputs")]
    pub(super) each: Vec<Input<'a>>,
}

/// One input of an upsert or a read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Input<'a> {
    pub(super) id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id_property: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object_write_trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) properties: Option<Map<String, Value>>,
}

/// The answer to a batch: 200, 201 or 207.
#[derive(Debug, Deserialize)]
pub(super) struct Results {
    pub(super) results: Vec<Object>,
    #[serde(default)]
    pub(super) errors: Vec<Refused>,
}

/// A contact.
#[derive(Debug, Deserialize)]
pub(super) struct Object {
    pub(super) id: Id,
    /// It was made by this request.
    #[serde(default)]
    pub(super) new: bool,
    #[serde(default, rename = "objectWriteTraceId")]
    pub(super) trace_id: Option<String>,
    #[serde(default)]
    pub(super) properties: BTreeMap<String, Option<String>>,
}

/// Inputs that were refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refused {
    pub(super) category: Option<String>,
    /// Lists of texts by name: `objectWriteTraceId` and `ids` say which inputs.
    pub(super) context: BTreeMap<String, Value>,
}

impl Refused {
    /// The texts under a name of the context.
    pub(super) fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let value = self.context.get(name);
        let one = value.and_then(Value::as_str);
        value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).chain(one)
    }
}

/// The body of an answer that is not a success.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Error {
    pub(super) category: Option<String>,
    pub(super) sub_category: Option<Value>,
    /// Which limit was reached, in an answer 429.
    pub(super) policy_name: Option<String>,
}

/// An id: text in the SDKs, a number in some answers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Id {
    Text(String),
    Number(u64),
}

impl Id {
    pub(super) fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// A change of memberships.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MembershipChange<'a> {
    pub(super) record_ids_to_add: &'a [String],
    pub(super) record_ids_to_remove: &'a [String],
}

/// What became of a change of memberships. The vendor's SDK spells one key as `recordsIdsAdded`, its documentation
/// `recordIdsAdded`; what is there already is in neither.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MembershipsUpdated {
    #[serde(alias = "recordIdsAdded")]
    pub(super) records_ids_added: Option<Vec<Id>>,
    #[serde(alias = "recordsIdsRemoved")]
    pub(super) record_ids_removed: Option<Vec<Id>>,
    #[serde(default, alias = "recordsIdsMissing")]
    pub(super) record_ids_missing: Vec<Id>,
}

/// A page of members.
#[derive(Debug, Deserialize)]
pub(super) struct Members {
    #[serde(default)]
    pub(super) total: Option<u64>,
    pub(super) results: Vec<Membership>,
    #[serde(default)]
    pub(super) paging: Option<Paging>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Membership {
    pub(super) record_id: Id,
}

#[derive(Debug, Deserialize)]
pub(super) struct Paging {
    #[serde(default)]
    pub(super) next: Option<Next>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    pub(super) after: Option<String>,
}

/// A list, wrapped as every answer has it.
#[derive(Debug, Deserialize)]
pub(super) struct ListAnswer {
    pub(super) list: List,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    pub(super) list_id: Id,
    #[serde(default)]
    pub(super) processing_type: Option<String>,
}

/// A value as a property: text, with nothing for null, which clears it.
pub(super) fn property(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // Several values of a property of choices.
        Value::Array(items) => items.iter().map(property).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_spellings_of_the_membership_answer_are_read() {
        for body in [
            json!({ "recordsIdsAdded": ["1"], "recordIdsRemoved": [], "recordIdsMissing": ["2"] }),
            json!({ "recordIdsAdded": [1], "recordsIdsRemoved": [], "recordsIdsMissing": [2] }),
        ] {
            let read: MembershipsUpdated = serde_json::from_value(body).unwrap();
            assert_eq!(read.records_ids_added.unwrap().into_iter().map(Id::text).collect::<Vec<_>>(), ["1"]);
            assert_eq!(read.record_ids_missing.into_iter().map(Id::text).collect::<Vec<_>>(), ["2"]);
        }
    }

    #[test]
    fn values_become_the_texts_that_properties_are() {
        for (value, text) in [
            (json!(null), ""),
            (json!("a"), "a"),
            (json!(1.5), "1.5"),
            (json!(true), "true"),
            (json!(["a", "b"]), "a;b"),
        ] {
            assert_eq!(property(&value), text);
        }
    }
}
