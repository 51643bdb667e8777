//! Contacts: upserted and found.

use std::collections::{BTreeMap, BTreeSet};

use driftless_model::Outcome;
use reqwest::Method;
use serde_json::{Map, Value};

use super::{
    Hubspot,
    service::{body, harmless, refusal},
    wire::{self, Input, Inputs, Object, Results},
};
use crate::{Answered, OutRow, http::Session, outcomes::Outcomes, reason};

/// A record's contact.
pub(super) struct Contact {
    /// The row's place in the batch.
    pub(super) row: usize,
    pub(super) id: String,
    /// It was not there before.
    pub(super) new: bool,
}

/// Inputs of one read.
const PER_READ: usize = 100;

impl Hubspot {
    /// Gives every row's contact the row's values, making it where it is missing. Rows that are refused get an outcome; the
    /// second part is what became of rows that are neither refused nor upserted.
    pub(super) async fn upsert(
        &self,
        session: &Session<'_>,
        rows: &[OutRow],
        outcomes: &mut Outcomes,
    ) -> Result<(Vec<Contact>, Option<Answered>), Answered> {
        let mut inputs = Vec::new();
        let mut asked: BTreeMap<usize, &str> = BTreeMap::new();
        for (row, out) in rows.iter().enumerate() {
            let Some(value) = self.match_values(out).next() else {
                outcomes.reject(row, "the record has no identifier to find its contact by");
                continue;
            };
            asked.insert(row, value);
            inputs.push(Input {
                id: value,
                id_property: Some(&self.config.match_by),
                object_write_trace_id: Some(trace_id(row)),
                properties: Some(self.properties(out)),
            });
        }
        if inputs.is_empty() {
            return Ok((Vec::new(), None));
        }
        let inputs = Inputs { id_property: None, properties: &[], each: inputs };
        let path = [&self.config.paths.objects, "batch", "upsert"];
        let json = serde_json::to_vec(&inputs).unwrap_or_default();
        let reply = self.call(session, Method::POST, &path, &[], Some(json), false).await?;
        if !reply.is_success() {
            return Err(refusal(&reply));
        }
        let answer: Results = body(&reply)?;
        let mut contacts = Vec::new();
        for object in answer.results {
            if let Some(row) = self.row_of(&object, &asked) {
                asked.remove(&row);
                contacts.push(Contact { row, new: object.new, id: object.id.text() });
            }
        }
        let mut unnamed = None;
        for error in &answer.errors {
            let code = error.category.as_deref().and_then(|category| reason::code(category, rows));
            let reason = reason::http(reply.status, code.as_deref());
            let by_trace = error.named("objectWriteTraceId").filter_map(row_of_trace).collect::<Vec<_>>();
            let by_value = error.named("ids").filter_map(|value| place(value, &asked)).collect::<Vec<_>>();
            let named = if by_trace.is_empty() { by_value } else { by_trace };
            let mut known = named.into_iter().filter(|row| asked.remove(row).is_some()).peekable();
            if known.peek().is_none() {
                unnamed.get_or_insert(reason);
            } else {
                known.for_each(|row| outcomes.reject(row, reason.clone()));
            }
        }
        let left = match (unnamed, asked.len()) {
            (Some(reason), 1) => {
                asked.keys().for_each(|row| outcomes.reject(*row, reason.clone()));
                None
            }
            // Some of them were refused, and nothing says which.
            (Some(reason), 2..) => Some(Answered::BatchRejected { reason }),
            (_, _) => {
                asked.keys().for_each(|row| outcomes.set(*row, Outcome::Unknown));
                None
            }
        };
        Ok((contacts, left))
    }

    /// The ids of the rows' contacts: all that a row's identifiers name, and where they name none, the one that is known of
    /// the record. The identifiers come first because they are what is to be removed: the id that is known may be that of
    /// another identifier of the same record.
    pub(super) async fn find(&self, session: &Session<'_>, rows: &[OutRow]) -> Result<Vec<String>, Answered> {
        let mut found: Vec<(usize, String)> = Vec::new();
        let values = |(row, out)| self.match_values(out).map(move |value| (row, value));
        let asked: Vec<(usize, &str)> = rows.iter().enumerate().flat_map(values).collect();
        for chunk in asked.chunks(PER_READ) {
            let values: Vec<&str> = chunk.iter().map(|(_, value)| *value).collect();
            for object in self.read(session, &values, Some(&self.config.match_by)).await? {
                let value = self.value_of(&object).unwrap_or_default().to_lowercase();
                let id = object.id.text();
                let rows = chunk.iter().filter(|(_, asked)| asked.to_lowercase() == value);
                found.extend(rows.map(|(row, _)| (*row, id.clone())));
            }
        }
        let named: BTreeSet<usize> = found.iter().map(|(row, _)| *row).collect();
        let rest = rows.iter().enumerate().filter(|(row, _)| !named.contains(row));
        let known = rest.filter_map(|(_, out)| out.remote_id.clone());
        let ids: BTreeSet<String> = found.into_iter().map(|(_, id)| id).chain(known).collect();
        Ok(ids.into_iter().collect())
    }

    /// Contacts by their ids, or by the values of a unique property; those that are there.
    pub(super) async fn read(
        &self,
        session: &Session<'_>,
        ids: &[&str],
        by: Option<&str>,
    ) -> Result<Vec<Object>, Answered> {
        let inputs =
            ids.iter().map(|id| Input { id, id_property: None, object_write_trace_id: None, properties: None });
        let properties = [self.config.match_by.as_str()];
        let inputs = Inputs { id_property: by, properties: &properties, each: inputs.collect() };
        let json = serde_json::to_vec(&inputs).unwrap_or_default();
        let path = [&self.config.paths.objects, "batch", "read"];
        let reply = self.call(session, Method::POST, &path, &[], Some(json), true).await?;
        if !reply.is_success() {
            return Err(harmless(refusal(&reply)));
        }
        Ok(body::<Results>(&reply).map_err(harmless)?.results)
    }

    /// The value of the property that contacts are found by.
    pub(super) fn value_of<'a>(&self, object: &'a Object) -> Option<&'a str> {
        object.properties.get(&self.config.match_by)?.as_deref()
    }

    fn match_values<'a>(&self, row: &'a OutRow) -> impl Iterator<Item = &'a str> {
        let field = self.config.match_field();
        row.identifiers.iter().filter(move |i| i.field == field).map(|i| i.value.as_str())
    }

    fn properties(&self, row: &OutRow) -> Map<String, Value> {
        let pairs: Vec<(&String, &Value)> = if self.config.properties.is_empty() {
            row.fields.iter().collect()
        } else {
            let fields = self.config.properties.iter();
            fields.filter_map(|(property, field)| Some((property, row.fields.get(field)?))).collect()
        };
        pairs.into_iter().map(|(name, value)| (name.clone(), wire::property(value).into())).collect()
    }

    fn row_of(&self, object: &Object, asked: &BTreeMap<usize, &str>) -> Option<usize> {
        match object.trace_id.as_deref() {
            Some(id) => row_of_trace(id).filter(|row| asked.contains_key(row)),
            None => place(self.value_of(object)?, asked),
        }
    }
}

/// What names a row of this request.
fn trace_id(row: usize) -> String {
    format!("row-{row}")
}

fn row_of_trace(id: &str) -> Option<usize> {
    id.strip_prefix("row-")?.parse().ok()
}

/// The row that asked for this value.
fn place(value: &str, asked: &BTreeMap<usize, &str>) -> Option<usize> {
    let value = value.to_lowercase();
    asked.iter().find(|(_, asked)| asked.to_lowercase() == value).map(|(row, _)| *row)
}
