//! Acknowledged rows as columns: the layout of history and delta files.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBuilder, RecordBatch, StringArray, StringBuilder, TimestampMillisecondArray,
    TimestampMillisecondBuilder, UInt64Array, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use driftless_model::{AckRow, Acknowledged, IdentifierSet, KeyHash, Millis, RecordKey};
use parquet::errors::ParquetError;

use crate::Malformation;
use crate::columns::{
    ATTR_HASH, HashColumn, IDENTIFIERS, IdentifierColumn, Identifiers, KEY, KEY_HASH, REMOTE_ID, attr_hashes, column,
    hash_field, identifiers_field, key_hashes, required, text_at,
};

/// In the set: it is, or may be, in the remote list on behalf of the record.
const HELD: &str = "held";
/// It was sent with the last acknowledged send.
const ACKNOWLEDGED: &str = "acknowledged";
const FLAGS: [&str; 2] = [HELD, ACKNOWLEDGED];
const ADDED_AT: &str = "added_at";
const LAST_SENT_AT: &str = "last_sent_at";
/// Delta files only: the record has no acknowledged row any more.
const GONE: &str = "gone";

/// The columns of a history file; of a delta file, with `gone`.
pub(crate) fn schema(delta: bool) -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let mut fields = vec![
        hash_field(KEY_HASH, false),
        Field::new(ATTR_HASH, DataType::UInt64, true),
        Field::new(KEY, DataType::Utf8, delta),
        identifiers_field(&FLAGS),
        Field::new(REMOTE_ID, DataType::Utf8, true),
        Field::new(ADDED_AT, time(), true),
        Field::new(LAST_SENT_AT, time(), true),
    ];
    if delta {
        fields.push(Field::new(GONE, DataType::Boolean, false));
    }
    Arc::new(Schema::new(fields))
}

/// Collects rows for one batch.
pub(crate) struct AckColumns {
    schema: SchemaRef,
    rows: usize,
    key_hash: HashColumn,
    attr_hash: UInt64Builder,
    key: StringBuilder,
    identifiers: IdentifierColumn,
    remote_id: StringBuilder,
    added_at: TimestampMillisecondBuilder,
    last_sent_at: TimestampMillisecondBuilder,
    gone: Option<BooleanBuilder>,
}

impl AckColumns {
    pub(crate) fn new(delta: bool) -> Self {
        Self {
            schema: schema(delta),
            rows: 0,
            key_hash: HashColumn::new(),
            attr_hash: UInt64Builder::new(),
            key: StringBuilder::new(),
            identifiers: IdentifierColumn::new(&FLAGS),
            remote_id: StringBuilder::new(),
            added_at: TimestampMillisecondBuilder::new().with_timezone("UTC"),
            last_sent_at: TimestampMillisecondBuilder::new().with_timezone("UTC"),
            gone: delta.then(BooleanBuilder::new),
        }
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row; `None` says that it is gone.
    pub(crate) fn push(&mut self, key_hash: KeyHash, row: Option<&AckRow>) -> Result<(), ParquetError> {
        self.rows += 1;
        self.key_hash.push(key_hash)?;
        let acknowledged = row.and_then(|r| r.acknowledged.as_ref());
        self.attr_hash.append_option(acknowledged.map(|a| a.attr_hash.0));
        self.key.append_option(row.map(|r| r.key.as_str()));
        if let Some(row) = row {
            let none = IdentifierSet::new();
            let sent = acknowledged.map_or(&none, |a| &a.identifiers);
            for identifier in row.identifiers.union(sent) {
                self.identifiers.push(
                    Some(row.key.as_str()),
                    &identifier.field,
                    &identifier.value,
                    &[row.identifiers.contains(identifier), sent.contains(identifier)],
                );
            }
        }
        self.identifiers.end_row()?;
        self.remote_id.append_option(row.and_then(|r| r.remote_id.as_deref()));
        self.added_at.append_option(row.and_then(|r| r.added_at).map(|t| t.0));
        self.last_sent_at.append_option(row.and_then(|r| r.last_sent_at).map(|t| t.0));
        if let Some(gone) = &mut self.gone {
            gone.append_value(row.is_none());
        }
        Ok(())
    }

    /// The rows collected since the last call.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ParquetError> {
        self.rows = 0;
        let mut columns: Vec<ArrayRef> = vec![
            self.key_hash.finish(),
            Arc::new(self.attr_hash.finish()),
            Arc::new(self.key.finish()),
            self.identifiers.finish()?,
            Arc::new(self.remote_id.finish()),
            Arc::new(self.added_at.finish()),
            Arc::new(self.last_sent_at.finish()),
        ];
        if let Some(gone) = &mut self.gone {
            columns.push(Arc::new(gone.finish()));
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// What [`decode_names`] reads.
pub(crate) const NAMES: [&str; 4] = [KEY_HASH, ATTR_HASH, KEY, IDENTIFIERS];

/// Keys and identifiers of the rows of a batch that has these columns: what was acknowledged, else what may be there.
pub(crate) fn decode_names(batch: &RecordBatch) -> Result<Vec<(KeyHash, RecordKey, IdentifierSet)>, Malformation> {
    let attr_hash: &UInt64Array = column(batch, ATTR_HASH)?;
    let key: &StringArray = column(batch, KEY)?;
    let identifiers = Identifiers::of(batch, &FLAGS)?;
    let name = |(row, key_hash): (usize, KeyHash)| {
        let key = text_at(key, row).ok_or(Malformation::Value { column: KEY })?;
        // The flags are *held*, then *sent*.
        let flag = usize::from(attr_hash.is_valid(row));
        let all = identifiers.row(row, &key);
        let set = all.filter(|(_, flags)| flags.get(flag) == Some(&true)).map(|(identifier, _)| identifier).collect();
        Ok((key_hash, RecordKey::new(key), set))
    };
    key_hashes(batch)?.into_iter().enumerate().map(name).collect()
}

/// Keys and acknowledged identifiers of the rows of a batch.
pub(crate) fn acknowledged_names(batch: &RecordBatch) -> Result<Vec<(RecordKey, IdentifierSet)>, Malformation> {
    let keys: &StringArray = required(batch, KEY)?;
    let identifiers = Identifiers::of(batch, &[ACKNOWLEDGED])?;
    let name = |row| {
        let key = keys.value(row);
        let sent = identifiers.row(row, key).filter(|(_, flags)| flags.first() == Some(&true));
        (RecordKey::new(key), sent.map(|(identifier, _)| identifier).collect())
    };
    Ok((0..batch.num_rows()).map(name).collect())
}

/// The rows of a batch; `None` for those that are gone.
pub(crate) fn decode(batch: &RecordBatch, delta: bool) -> Result<Vec<(KeyHash, Option<AckRow>)>, Malformation> {
    let key_hash = key_hashes(batch)?;
    let attr_hash = attr_hashes(batch)?;
    let key: &StringArray = column(batch, KEY)?;
    let identifiers = Identifiers::of(batch, &FLAGS)?;
    let remote_id: &StringArray = column(batch, REMOTE_ID)?;
    let added_at: &TimestampMillisecondArray = column(batch, ADDED_AT)?;
    let last_sent_at: &TimestampMillisecondArray = column(batch, LAST_SENT_AT)?;
    let gone = if delta { Some(column::<BooleanArray>(batch, GONE)?) } else { None };
    let time = |array: &TimestampMillisecondArray, row| array.is_valid(row).then(|| Millis(array.value(row)));

    let mut rows = Vec::with_capacity(key_hash.len());
    for (row, (key_hash, attr_hash)) in key_hash.into_iter().zip(attr_hash).enumerate() {
        if gone.is_some_and(|gone| gone.value(row)) {
            rows.push((key_hash, None));
            continue;
        }
        let key = text_at(key, row).ok_or(Malformation::Value { column: KEY })?;
        let (mut held, mut sent) = (IdentifierSet::new(), IdentifierSet::new());
        for (identifier, flags) in identifiers.row(row, &key) {
            match flags.as_slice() {
                [true, true] => {
                    sent.insert(identifier.clone());
                    held.insert(identifier);
                }
                [true, false] => drop(held.insert(identifier)),
                [false, true] => drop(sent.insert(identifier)),
                _ => return Err(Malformation::Value { column: IDENTIFIERS }),
            }
        }
        let acknowledged = attr_hash.map(|attr_hash| Acknowledged { attr_hash, identifiers: sent });
        rows.push((
            key_hash,
            Some(AckRow {
                key_hash,
                key: RecordKey::new(key),
                acknowledged,
                identifiers: held,
                remote_id: text_at(remote_id, row),
                added_at: time(added_at, row),
                last_sent_at: time(last_sent_at, row),
            }),
        ));
    }
    Ok(rows)
}
