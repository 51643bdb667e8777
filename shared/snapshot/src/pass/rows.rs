use std::collections::BTreeSet;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use driftless_config::Selection;
use driftless_model::{AttrHash, InvalidReason, KeyHash};

use super::fields::{Fields, Keys, fields, keys};
use super::shared::Identifiers;
use crate::keyed::RecordHasher;
use crate::sql::Evaluated;
use crate::value::{Column, Rank};
use crate::view::Bound;
use crate::{Failure, HashKey, ViewSpec};

/// What the selection made of one row that it took.
pub(super) enum Row<'r> {
    Erased,
    NullKey,
    Invalid(KeyHash, InvalidReason),
    Valid(KeyHash, AttrHash, &'r [u128]),
}

/// Turns batches into rows of hashes, for one view.
pub(super) struct RowReader {
    key: HashKey,
    hasher: RecordHasher,
    ids: Option<BTreeSet<KeyHash>>,
    pub(super) identifiers: Identifiers,
    needs_identifiers: bool,
    hashes: Vec<Vec<u64>>,
}

impl RowReader {
    pub(super) fn new(spec: &ViewSpec, key: &HashKey) -> Self {
        let ids = match &spec.selection {
            Selection::Ids(ids) => Some(ids.iter().map(|id| key.key_hash(id)).collect()),
            _ => None,
        };
        let mut identifiers = spec.mapping.identifiers();
        let (first, second) = (identifiers.next(), identifiers.next());
        let is_key =
            |f: &driftless_config::FieldMapping| spec.key.single() == Some(&f.column) && f.normalize.is_empty();
        let unique = match (first, second) {
            (None, _) => true,
            (Some(only), None) => is_key(only),
            _ => false,
        };
        Self {
            key: key.clone(),
            hasher: RecordHasher::new(key, spec.mapping.fields().iter().map(|f| f.field.as_str())),
            ids,
            identifiers: if unique { Identifiers::Unique } else { Identifiers::MayBeShared },
            needs_identifiers: first.is_some(),
            hashes: Vec::new(),
        }
    }

    /// Calls `each` with every row of a batch that the selection takes, and with the row's number among them. Returns
    /// the batch of these rows.
    pub(super) fn read(
        &mut self,
        view: &Bound<'_>,
        batch: &RecordBatch,
        erased: &BTreeSet<KeyHash>,
        mut each: impl FnMut(usize, Row<'_>),
    ) -> Result<RecordBatch, Evaluated> {
        let batch = select(view, batch)?;
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(batch);
        }
        let key_arrays = keys(view, &batch)?;
        let field_arrays = fields(view, &batch)?;
        let mut key_reader = Keys::new(view, &key_arrays);
        let reader = Fields::new(view, &field_arrays);
        let mut refused: Vec<Option<InvalidReason>> = vec![None; rows];
        let mut found: Vec<(usize, u128)> = Vec::new();
        let mut has_identifier = vec![!self.needs_identifiers; rows];
        self.hashes.resize_with(reader.len(), Vec::new);
        for (field, hashes) in self.hashes.iter_mut().enumerate() {
            let number = u32::try_from(field).unwrap_or(u32::MAX);
            reader.hash(
                field,
                rows,
                &self.key,
                hashes,
                |row, reason| refused[row] = Some(refused[row].map_or(reason, |r| r.min(reason))),
                |row, text| {
                    has_identifier[row] = true;
                    if self.identifiers == Identifiers::MayBeShared {
                        found.push((row, self.key.identifier_hash(number, text)));
                    }
                },
            );
        }
        // By row; the sort is stable and the rows of one field are in order already.
        found.sort_by_key(|(row, _)| *row);
        let mut next = 0;
        let mut ids = Vec::new();
        for row in 0..rows {
            ids.clear();
            while let Some((_, id)) = found.get(next).filter(|(r, _)| *r == row) {
                ids.push(*id);
                next += 1;
            }
            let Some(hash) = key_reader.text(row).map(|text| self.key.text_hash(text)) else {
                each(row, Row::NullKey);
                continue;
            };
            if self.ids.as_ref().is_some_and(|ids| !ids.contains(&hash)) {
                continue;
            }
            if !erased.is_empty() && erased.contains(&hash) {
                each(row, Row::Erased);
            } else if let Some(reason) = refused[row] {
                each(row, Row::Invalid(hash, reason));
            } else if !has_identifier[row] {
                each(row, Row::Invalid(hash, InvalidReason::NullIdentifiers));
            } else {
                let attr = self.hasher.hash(self.hashes.iter().map(|column| column[row]));
                each(row, Row::Valid(hash, attr, &ids));
            }
        }
        Ok(batch)
    }
}

/// The rows for which the condition is true.
pub(super) fn select(view: &Bound<'_>, batch: &RecordBatch) -> Result<RecordBatch, Evaluated> {
    let Some(condition) = &view.condition else { return Ok(batch.clone()) };
    let rows = condition.is_true(batch)?;
    if rows.true_count() == batch.num_rows() {
        return Ok(batch.clone());
    }
    filtered(batch, &rows)
}

/// Some columns of a batch.
pub(super) fn project(batch: &RecordBatch, columns: &[usize]) -> Result<RecordBatch, Evaluated> {
    batch.project(columns).map_err(|_| internal("the list of columns"))
}

/// A part of a batch.
pub(super) fn filtered(batch: &RecordBatch, rows: &BooleanArray) -> Result<RecordBatch, Evaluated> {
    filter_record_batch(batch, rows).map_err(|_| internal("the selection of rows"))
}

fn internal(what: &str) -> Evaluated {
    Evaluated { expression: what.to_owned(), failure: Failure::Other, message: None }
}

/// The values of the preferred column, one a row.
pub(super) fn ranks(view: &Bound<'_>, batch: &RecordBatch) -> Result<Vec<Rank>, Evaluated> {
    let Some((prefer, _)) = &view.prefer else { return Ok(Vec::new()) };
    let array = prefer.evaluate(batch)?;
    let column = Column::new(&array, &prefer.field);
    let rank = |row| column.as_ref().and_then(|c| c.scalar(row)).map_or(Rank::Absent, Rank::new);
    Ok((0..batch.num_rows()).map(rank).collect())
}
