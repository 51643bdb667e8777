use std::borrow::Cow;

use arrow::array::{ArrayRef, RecordBatch};
use driftless_config::FieldMapping;
use driftless_model::{AttrHash, Identifier, IdentifierSet, InvalidReason, RecordKey};
use driftless_normalize as normalize;
use serde_json::{Map, Value};

use crate::keyed::RecordHasher;
use crate::sql::Evaluated;
use crate::value::{Column, Scalar};
use crate::view::Bound;

/// Evaluates the key columns of a batch.
pub(super) fn keys(view: &Bound<'_>, batch: &RecordBatch) -> Result<Vec<ArrayRef>, Evaluated> {
    view.key.iter().map(|e| e.evaluate(batch)).collect()
}

/// Evaluates the mapped columns of a batch.
pub(super) fn fields(view: &Bound<'_>, batch: &RecordBatch) -> Result<Vec<ArrayRef>, Evaluated> {
    view.fields.iter().map(|(_, e)| e.evaluate(batch)).collect()
}

/// Evaluates the mapped columns of a batch that identify records. With the numbers of their fields.
pub(super) fn identifying(view: &Bound<'_>, batch: &RecordBatch) -> Result<Vec<(usize, ArrayRef)>, Evaluated> {
    let fields = view.fields.iter().enumerate().filter(|(_, (mapping, _))| mapping.identifier);
    fields.map(|(number, (_, e))| Ok((number, e.evaluate(batch)?))).collect()
}

/// Reads keys, row by row.
pub(super) struct Keys<'a> {
    columns: Vec<Column<'a>>,
    text: String,
    parts: Vec<String>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(view: &'a Bound<'_>, arrays: &'a [ArrayRef]) -> Self {
        let columns = arrays.iter().zip(&view.key).filter_map(|(a, e)| Column::new(a, &e.field)).collect();
        Self { columns, text: String::new(), parts: Vec::new() }
    }

    /// The canonical text of a row's key: of its one value, or a JSON array of the texts of several. `None` if one is null.
    pub(super) fn text(&mut self, row: usize) -> Option<&str> {
        self.text.clear();
        if let [column] = self.columns.as_slice() {
            let value = column.scalar(row)?;
            if value.is_null() {
                return None;
            }
            value.write_text(&mut self.text);
            return Some(&self.text);
        }
        self.parts.clear();
        for column in &self.columns {
            let value = column.scalar(row)?;
            if value.is_null() {
                return None;
            }
            self.parts.push(value.text());
        }
        self.text = serde_json::to_string(&self.parts).ok()?;
        Some(&self.text)
    }

    /// The same, owned.
    pub(super) fn key(&mut self, row: usize) -> Option<RecordKey> {
        self.text(row).map(RecordKey::new)
    }
}

/// Reads the mapped fields, row by row.
pub(super) struct Fields<'a> {
    fields: Vec<Field<'a>>,
}

struct Field<'a> {
    mapping: &'a FieldMapping,
    column: Column<'a>,
}

/// A field's value in one row, after `normalize`.
pub(super) enum Normalized<'a> {
    /// As the column has it.
    Same,
    Null,
    Text(Cow<'a, str>),
    /// A digest that came in the place of the value: it is never hashed again.
    Digest(Cow<'a, str>),
}

impl<'a> Fields<'a> {
    pub(super) fn new(view: &'a Bound<'_>, arrays: &'a [ArrayRef]) -> Self {
        let fields = arrays.iter().zip(&view.fields);
        let fields =
            fields.filter_map(|(array, (mapping, e))| Some(Field { mapping, column: Column::new(array, &e.field)? }));
        Self { fields: fields.collect() }
    }

    /// Some of the fields, by their numbers.
    pub(super) fn some(view: &'a Bound<'_>, arrays: &'a [(usize, ArrayRef)]) -> Self {
        let fields = arrays.iter().filter_map(|(number, array)| {
            let (mapping, e) = view.fields.get(*number)?;
            Some(Field { mapping, column: Column::new(array, &e.field)? })
        });
        Self { fields: fields.collect() }
    }

    /// The attribute hash of one row, unless a value is refused.
    pub(super) fn attr_hash(&self, row: usize, hasher: &RecordHasher) -> Option<AttrHash> {
        self.sum(row, hasher).map(|sum| hasher.finish(sum))
    }

    /// The sum of a row's values, unless one is refused.
    pub(super) fn sum(&self, row: usize, hasher: &RecordHasher) -> Option<u128> {
        let mut words = Vec::new();
        let mut sum = 0_u128;
        for (number, field) in self.fields.iter().enumerate() {
            words.clear();
            match field.normalized(row).ok()? {
                Normalized::Null => Scalar::Null.encode(&mut words),
                Normalized::Text(text) | Normalized::Digest(text) => Scalar::Text(&text).encode(&mut words),
                Normalized::Same => field.column.encode(row, &mut words),
            }
            sum = sum.wrapping_add(hasher.field(number)?.encoded(&words));
        }
        Some(sum)
    }

    /// The identifiers of one row, as they are sent. `None` if a value is refused.
    pub(super) fn identifiers(&self, row: usize) -> Option<IdentifierSet> {
        let mut identifiers = IdentifierSet::new();
        for field in self.fields.iter().filter(|f| f.mapping.identifier) {
            let text = match field.normalized(row).ok()? {
                Normalized::Null => continue,
                Normalized::Digest(digest) => {
                    identifiers.insert(Identifier::new(field.mapping.field.as_str(), digest));
                    continue;
                }
                Normalized::Text(text) => text,
                Normalized::Same => match field.column.scalar(row)? {
                    Scalar::Text(text) => Cow::Borrowed(text),
                    other => Cow::Owned(other.text()),
                },
            };
            if !text.is_empty() {
                let sent = field.mapping.rule().hash().map_or_else(|| text.to_string(), |hash| hash.of(&text));
                identifiers.insert(Identifier::new(field.mapping.field.as_str(), sent));
            }
        }
        Some(identifiers)
    }

    /// One row as it is sent: all fields, and the identifiers among them that have a value. `None` if one is refused.
    pub(super) fn sent(&self, row: usize) -> Option<(Map<String, Value>, IdentifierSet)> {
        let (mut sent, mut identifiers) = (Map::new(), IdentifierSet::new());
        for field in &self.fields {
            let Field { mapping, column } = field;
            let mut hash = mapping.rule().hash();
            let (value, text) = match field.normalized(row).ok()? {
                Normalized::Null => (Value::Null, String::new()),
                Normalized::Text(text) => (Value::String(text.clone().into_owned()), text.into_owned()),
                Normalized::Digest(digest) => {
                    hash = None;
                    (Value::String(digest.clone().into_owned()), digest.into_owned())
                }
                Normalized::Same => (column.json(row), column.scalar(row).map_or_else(String::new, |s| s.text())),
            };
            // A null stays null and an empty text stays empty: the hash of nothing is a value that matches nobody.
            let hashed = hash.filter(|_| !text.is_empty()).map(|hash| hash.of(&text));
            if mapping.identifier && !text.is_empty() {
                identifiers.insert(Identifier::new(mapping.field.as_str(), hashed.clone().unwrap_or(text)));
            }
            sent.insert(mapping.field.clone(), hashed.map_or(value, Value::String));
        }
        Some((sent, identifiers))
    }
}

impl<'a> Field<'a> {
    fn normalized(&self, row: usize) -> Result<Normalized<'a>, InvalidReason> {
        // Only values that are not nested are normalised.
        self.column.scalar(row).map_or(Ok(Normalized::Same), |value| normalized(self.mapping, value))
    }
}

/// Applies a mapping's `normalize` and `max_length` to one value.
#[inline]
pub(super) fn normalized<'a>(mapping: &FieldMapping, value: Scalar<'a>) -> Result<Normalized<'a>, InvalidReason> {
    if mapping.normalize.is_empty() && mapping.max_length.is_none() {
        return Ok(Normalized::Same);
    }
    if value.is_null() {
        return Ok(Normalized::Null);
    }
    let text = match value {
        Scalar::Text(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.text()),
    };
    let rule = mapping.rule();
    let normalized = match text {
        Cow::Borrowed(text) => rule.apply(text),
        Cow::Owned(text) => rule.apply(&text).map(normalize::Normalized::into_owned),
    };
    let text = match normalized.map_err(|_| InvalidReason::Malformed)? {
        normalize::Normalized::Absent => return Ok(Normalized::Null),
        // Its length says nothing of the value.
        normalize::Normalized::Digest(digest) => return Ok(Normalized::Digest(digest)),
        normalize::Normalized::Plain(text) => text,
    };
    let limit = mapping.max_length.and_then(|m| usize::try_from(m).ok());
    // A character takes at least a byte.
    if limit.is_some_and(|limit| text.len() > limit && text.chars().count() > limit) {
        return Err(InvalidReason::Oversized);
    }
    // A length alone does not make a number a text.
    Ok(if mapping.normalize.is_empty() { Normalized::Same } else { Normalized::Text(text) })
}
