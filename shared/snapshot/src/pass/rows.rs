use std::collections::BTreeSet;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Field;
use driftless_config::{FieldMapping, Selection, VendorHash};
use driftless_model::{AttrHash, InvalidReason, KeyHash};

use super::dictionary::{EntrySums, Sum};
use super::entries::Entry;
use super::fields::{Keys, Normalized, fields, keys, normalized};
use super::shared::{IdEntry, Identifiers};
use crate::keyed::{FieldHasher, RecordHasher};
use crate::sql::Evaluated;
use crate::value::{Column, Rank, Scalar, Visitor, visit};
use crate::view::{Bound, is_only_hashed};
use crate::{Failure, HashKey, ViewSpec};

/// What the selection made of one row that it took. Where content identifies it, its key is the content: the number comes when
/// all rows are known.
pub(super) enum Row<'r> {
    Erased,
    NullKey,
    Invalid(KeyHash, InvalidReason),
    /// With the hashes of its identifiers, where records can share one.
    Valid(KeyHash, AttrHash, &'r [u128]),
}

/// Rows that a selection took of a batch.
pub(super) struct Selected {
    pub(super) rows: RecordBatch,
    /// Where they stood in the batch; `None` if all were taken.
    taken: Option<Vec<u32>>,
}

impl Selected {
    /// The place in the batch of a row that was taken.
    #[inline]
    pub(super) fn position(&self, row: usize) -> u32 {
        match &self.taken {
            Some(taken) => taken.get(row).copied().unwrap_or(u32::MAX),
            None => u32::try_from(row).unwrap_or(u32::MAX),
        }
    }
}

/// Turns batches into rows of hashes, for one view: column by column, in buffers that are used again.
pub(super) struct RowReader {
    key: HashKey,
    hasher: Hashing,
    /// Where its content identifies a record.
    twin: Option<Hashing>,
    ids: Option<BTreeSet<KeyHash>>,
    identifiers: Identifiers,
    needs_identifiers: bool,
    columns: Columns,
}

/// A hasher, and what it has made of the dictionaries that it saw last, by field.
struct Hashing {
    hasher: RecordHasher,
    entries: Vec<EntrySums>,
}

impl Hashing {
    fn new(hasher: RecordHasher, fields: usize) -> Self {
        Self { hasher, entries: (0..fields).map(|_| EntrySums::default()).collect() }
    }
}

/// What the columns of one batch say, one place a row.
#[derive(Default)]
struct Columns {
    keys: Vec<KeyHash>,
    /// Rows without a key. Empty if there are none, as is `refused`.
    keyless: Vec<bool>,
    sums: Vec<u128>,
    refused: Vec<Option<InvalidReason>>,
    identified: Vec<bool>,
    /// By field; 0 where the row has no such identifier.
    ids: Vec<Vec<u128>>,
    /// By field, of all batches: how many values were digests already. Empty if none was.
    digests: Vec<u64>,
}

impl RowReader {
    pub(super) fn new(spec: &ViewSpec, key: &HashKey) -> Self {
        let ids = match &spec.selection {
            Selection::Ids(ids) => Some(ids.iter().map(|id| key.key_hash(id)).collect()),
            _ => None,
        };
        let names = || spec.column_fields().map(|f| f.field.as_str());
        let hashing = |hasher| Hashing::new(hasher, names().count());
        Self {
            key: key.clone(),
            hasher: hashing(RecordHasher::new(key, names())),
            twin: spec.key.is_content().then(|| hashing(RecordHasher::twin(key, names()))),
            ids,
            identifiers: Identifiers::of(spec),
            needs_identifiers: spec.mapping.identifiers().next().is_some() && !spec.key_fields().any(|f| f.identifier),
            columns: Columns::default(),
        }
    }

    /// How many values came as digests, by the number of the field; since it was asked last.
    pub(super) fn take_digests(&mut self) -> Vec<u64> {
        core::mem::take(&mut self.columns.digests)
    }

    /// Bytes that are kept of a row that is selected, at most.
    pub(super) fn row_bytes(spec: &ViewSpec) -> u64 {
        let ids = match Identifiers::of(spec) {
            Identifiers::Unique => 0,
            Identifiers::MayBeShared => spec.mapping.identifiers().count(),
        };
        (size_of::<Entry>() + ids * size_of::<IdEntry>()) as u64
    }

    /// Calls `each` with every row of a batch that the selection takes, and with the row's number among them. Returns
    /// these rows.
    pub(super) fn read(
        &mut self,
        view: &Bound<'_>,
        batch: &RecordBatch,
        erased: &BTreeSet<KeyHash>,
        mut each: impl FnMut(&Selected, usize, Row<'_>),
    ) -> Result<Selected, Evaluated> {
        let selected = select(view, batch)?;
        let rows = selected.rows.num_rows();
        if rows == 0 {
            return Ok(selected);
        }
        let key_arrays = keys(view, &selected.rows)?;
        let field_arrays = fields(view, &selected.rows)?;
        self.columns.start(rows, self.needs_identifiers);
        if let Some(twin) = &mut self.twin {
            self.columns.read_fields(view, &field_arrays, twin, self.identifiers);
            self.columns.turn_over();
        } else {
            self.columns.read_keys(view, &key_arrays, &self.key);
        }
        self.columns.read_fields(view, &field_arrays, &mut self.hasher, self.identifiers);
        if self.twin.is_some() {
            self.columns.key_by_content(&self.key);
        }
        let columns = &self.columns;
        let mut ids = Vec::new();
        for row in 0..rows {
            if columns.keyless.get(row).is_some_and(|keyless| *keyless) {
                each(&selected, row, Row::NullKey);
                continue;
            }
            let key = columns.keys[row];
            if self.ids.as_ref().is_some_and(|ids| !ids.contains(&key)) {
                continue;
            }
            if !erased.is_empty() && erased.contains(&key) {
                each(&selected, row, Row::Erased);
            } else if let Some(Some(reason)) = columns.refused.get(row) {
                each(&selected, row, Row::Invalid(key, *reason));
            } else if !columns.identified[row] {
                each(&selected, row, Row::Invalid(key, InvalidReason::NullIdentifiers));
            } else {
                if !columns.ids.is_empty() {
                    ids.clear();
                    ids.extend(columns.ids.iter().filter_map(|field| field.get(row)).filter(|id| **id != 0));
                }
                each(&selected, row, Row::Valid(key, self.hasher.hasher.finish(columns.sums[row]), &ids));
            }
        }
        Ok(selected)
    }
}

impl Columns {
    fn start(&mut self, rows: usize, needs_identifiers: bool) {
        // What is there from the last batch is overwritten, or the row is keyless.
        self.keys.resize(rows, KeyHash(0));
        self.keyless.clear();
        self.sums.clear();
        self.sums.resize(rows, 0);
        self.refused.clear();
        self.identified.clear();
        self.identified.resize(rows, !needs_identifiers);
        self.ids.iter_mut().for_each(Vec::clear);
    }

    fn read_keys(&mut self, view: &Bound<'_>, arrays: &[ArrayRef], key: &HashKey) {
        if let ([array], [e]) = (arrays, view.key.as_slice()) {
            let mut of = OneKey { key, text: String::new(), columns: self };
            visit(array, &e.field, &mut of);
            return;
        }
        let mut reader = Keys::new(view, arrays);
        for row in 0..self.keys.len() {
            match reader.text(row) {
                Some(text) => self.keys[row] = key.text_hash(text),
                None => self.without_key(row),
            }
        }
    }

    fn read_fields(&mut self, view: &Bound<'_>, arrays: &[ArrayRef], hashing: &mut Hashing, identifiers: Identifiers) {
        let Hashing { hasher, entries } = hashing;
        for (number, (array, (mapping, e))) in arrays.iter().zip(&view.fields).enumerate() {
            let (Some(of_field), Some(entries)) = (hasher.field(number), entries.get_mut(number)) else { continue };
            if !is_only_hashed(mapping) {
                self.read_checked(number, array, &e.field, mapping, hasher, identifiers);
            } else if !entries.add(array, &e.field, of_field, &mut self.sums) {
                self.read_plain(array, &e.field, of_field);
            }
        }
    }

    fn read_plain(&mut self, array: &ArrayRef, field: &Field, hasher: &FieldHasher) {
        if visit(array, field, &mut Sum { hasher, sums: &mut self.sums }) {
            return;
        }
        let Some(column) = Column::new(array, field) else { return };
        let mut words = Vec::new();
        for (row, sum) in self.sums.iter_mut().enumerate() {
            words.clear();
            column.encode(row, &mut words);
            *sum = sum.wrapping_add(hasher.encoded(&words));
        }
    }

    /// The fields were read with the twin's numbers; they are read once more.
    fn turn_over(&mut self) {
        for (key, sum) in self.keys.iter_mut().zip(&mut self.sums) {
            *key = KeyHash(core::mem::take(sum));
        }
    }

    /// In the place of a key stands the twin's sum, and then the content.
    fn key_by_content(&mut self, key: &HashKey) {
        for (twin, sum) in self.keys.iter_mut().zip(&self.sums) {
            *twin = KeyHash(key.content(*sum, twin.0));
        }
    }

    #[cold]
    fn without_key(&mut self, row: usize) {
        self.keyless.resize(self.keys.len(), false);
        self.keyless[row] = true;
    }

    fn read_checked(
        &mut self,
        number: usize,
        array: &ArrayRef,
        field: &Field,
        mapping: &FieldMapping,
        hasher: &RecordHasher,
        identifiers: Identifiers,
    ) {
        let Some(of_field) = hasher.field(number) else { return };
        let shared = mapping.identifier && identifiers == Identifiers::MayBeShared;
        if shared && self.ids.len() <= number {
            self.ids.resize_with(number + 1, Vec::new);
        }
        if shared {
            self.ids[number].resize(self.sums.len(), 0);
        }
        // A recipe passes digests on, so two records may carry one identifier of which one came hashed: then what is sent
        // must be compared.
        let rule = mapping.rule();
        let compared = rule.recipe().and_then(|_| rule.hash());
        let text = String::new();
        let mut checked = Checked { number, hasher, of_field, mapping, compared, shared, text, columns: self };
        visit(array, field, &mut checked);
    }
}

/// Hashes keys of one column.
struct OneKey<'c> {
    key: &'c HashKey,
    text: String,
    columns: &'c mut Columns,
}

impl<'a> Visitor<'a> for OneKey<'_> {
    #[inline(always)]
    #[allow(clippy::inline_always)]
    fn visit(&mut self, row: usize, value: Scalar<'a>) {
        let hash = match value {
            Scalar::Null => return self.columns.without_key(row),
            Scalar::Text(text) => self.key.text_hash(text),
            other => {
                self.text.clear();
                other.write_text(&mut self.text);
                self.key.text_hash(&self.text)
            }
        };
        self.columns.keys[row] = hash;
    }
}

/// Normalises and checks the values of a field, adds them, and notes which rows are identified by it.
struct Checked<'c> {
    number: usize,
    hasher: &'c RecordHasher,
    of_field: &'c FieldHasher,
    mapping: &'c FieldMapping,
    /// The hash by which identifiers are compared, if not by their values.
    compared: Option<VendorHash>,
    /// Whether another record can carry the same identifier.
    shared: bool,
    text: String,
    columns: &'c mut Columns,
}

impl<'a> Visitor<'a> for Checked<'_> {
    #[inline]
    fn visit(&mut self, row: usize, value: Scalar<'a>) {
        let columns = &mut *self.columns;
        let (sum, identifier) = match normalized(self.mapping, value) {
            Err(reason) => {
                columns.refused.resize(columns.sums.len(), None);
                let refused = &mut columns.refused[row];
                *refused = Some(refused.map_or(reason, |other| other.min(reason)));
                return;
            }
            Ok(Normalized::Null) => (self.of_field.scalar(Scalar::Null), false),
            Ok(Normalized::Text(text)) => {
                let sum = self.of_field.scalar(Scalar::Text(&text));
                if self.shared && !text.is_empty() {
                    columns.ids[self.number][row] = match self.compared {
                        Some(hash) => self.hasher.identifier(self.number, &hash.of(&text)),
                        None => self.hasher.identifier(self.number, &text),
                    };
                }
                (sum, !text.is_empty())
            }
            Ok(Normalized::Digest(digest)) => {
                if columns.digests.len() <= self.number {
                    columns.digests.resize(self.number + 1, 0);
                }
                columns.digests[self.number] += 1;
                if self.shared {
                    columns.ids[self.number][row] = self.hasher.identifier(self.number, &digest);
                }
                (self.of_field.scalar(Scalar::Text(&digest)), true)
            }
            Ok(Normalized::Same) => {
                let sum = self.of_field.scalar(value);
                let text = match value {
                    Scalar::Text(text) => text,
                    _ if self.mapping.identifier => {
                        self.text.clear();
                        value.write_text(&mut self.text);
                        self.text.as_str()
                    }
                    _ => "",
                };
                if self.shared && !text.is_empty() {
                    columns.ids[self.number][row] = self.hasher.identifier(self.number, text);
                }
                (sum, !text.is_empty())
            }
        };
        columns.sums[row] = columns.sums[row].wrapping_add(sum);
        if self.mapping.identifier && identifier {
            columns.identified[row] = true;
        }
    }
}

/// The rows for which the condition is true.
pub(super) fn select(view: &Bound<'_>, batch: &RecordBatch) -> Result<Selected, Evaluated> {
    let all = || Selected { rows: batch.clone(), taken: None };
    let Some(condition) = &view.condition else { return Ok(all()) };
    let taken = condition.is_true(batch)?;
    if taken.true_count() == batch.num_rows() {
        return Ok(all());
    }
    let rows = filtered(batch, &taken)?;
    // A null is not true; the filter sees it so too.
    let places = taken.iter().enumerate().filter(|(_, is)| *is == Some(true));
    let taken = places.map(|(row, _)| u32::try_from(row).unwrap_or(u32::MAX)).collect();
    Ok(Selected { rows, taken: Some(taken) })
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
