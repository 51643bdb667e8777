use core::slice;
use std::sync::Arc;

use arrow::array::{Array, FixedSizeBinaryArray, RecordBatch, StringArray, StringBuilder, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use driftless_changeset::{Changeset, PlannedRow, Transfer};
use driftless_model::{KeyHash, Operation, RecordKey};
use driftless_objects::{Abandoned, Objects, Parts};
use parquet::arrow::arrow_reader::RowSelection;
use parquet::errors::ParquetError;

use crate::columns::{
    ATTR_HASH, HashColumn, IDENTIFIERS, IdentifierColumn, Identifiers, KEY, KEY_HASH, REMOTE_ID, attr_hashes, column,
    hash_at, hash_field, identifiers_field, key_hashes, required, text_at,
};
use crate::find::Selection;
use crate::header::Header;
use crate::table::{Part, Table};
use crate::writer::{Cut, TableWriter};
use crate::{Error, FileKind, Malformation, Result};

const OPERATION: &str = "operation";
const FIELDS: &str = "fields";
const OWNER: &str = "owner";
/// The operation of the rows after the last planned one.
const TRANSFER: &str = "transfer";

/// A call reads a range of some hundred or thousand rows: pages of 512 keep what it fetches near to that.
const CUT: Cut = Cut { group_rows: 8 << 10, page_rows: 512 };

/// Payloads may be large: a batch ends here, so that its text stays far below Arrow's 2 GiB.
const BATCH_BYTES: usize = 16 << 20;
const BATCH_ROWS: usize = 4_096;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        hash_field(KEY_HASH, false),
        Field::new(OPERATION, DataType::Utf8, false),
        Field::new(ATTR_HASH, DataType::UInt64, true),
        Field::new(KEY, DataType::Utf8, true),
        identifiers_field(&[]),
        Field::new(REMOTE_ID, DataType::Utf8, true),
        Field::new(FIELDS, DataType::Utf8, true),
        hash_field(OWNER, true),
    ]))
}

struct Columns {
    key_hash: HashColumn,
    operation: StringBuilder,
    attr_hash: UInt64Builder,
    key: StringBuilder,
    identifiers: IdentifierColumn,
    remote_id: StringBuilder,
    fields: StringBuilder,
    owner: HashColumn,
    rows: usize,
    bytes: usize,
}

impl Columns {
    fn new() -> Self {
        Self {
            key_hash: HashColumn::new(),
            operation: StringBuilder::new(),
            attr_hash: UInt64Builder::new(),
            key: StringBuilder::new(),
            identifiers: IdentifierColumn::new(&[]),
            remote_id: StringBuilder::new(),
            fields: StringBuilder::new(),
            owner: HashColumn::new(),
            rows: 0,
            bytes: 0,
        }
    }

    const fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    fn push_row(&mut self, row: &PlannedRow) -> Result<(), ParquetError> {
        self.rows += 1;
        self.bytes += row.key.as_str().len() + row.fields.as_ref().map_or(0, String::len);
        self.key_hash.push(row.key_hash)?;
        self.operation.append_value(row.operation.as_str());
        self.attr_hash.append_option(row.attr_hash.map(|h| h.0));
        self.key.append_value(row.key.as_str());
        for identifier in &row.identifiers {
            self.bytes += identifier.value.len();
            self.identifiers.push(Some(row.key.as_str()), &identifier.field, &identifier.value, &[]);
        }
        self.identifiers.end_row()?;
        self.remote_id.append_option(row.remote_id.as_deref());
        self.fields.append_option(row.fields.as_deref());
        Ok(self.owner.push_option(None)?)
    }

    fn push_transfer(&mut self, transfer: &Transfer) -> Result<(), ParquetError> {
        self.rows += 1;
        self.bytes += transfer.identifier.value.len();
        self.key_hash.push(transfer.from)?;
        self.operation.append_value(TRANSFER);
        self.attr_hash.append_null();
        self.key.append_null();
        self.identifiers.push(None, &transfer.identifier.field, &transfer.identifier.value, &[]);
        self.identifiers.end_row()?;
        self.remote_id.append_null();
        self.fields.append_null();
        Ok(self.owner.push(transfer.owner)?)
    }

    fn finish(&mut self) -> Result<RecordBatch, ParquetError> {
        (self.rows, self.bytes) = (0, 0);
        let columns = vec![
            self.key_hash.finish(),
            Arc::new(self.operation.finish()),
            Arc::new(self.attr_hash.finish()),
            Arc::new(self.key.finish()),
            self.identifiers.finish()?,
            Arc::new(self.remote_id.finish()),
            Arc::new(self.fields.finish()),
            self.owner.finish(),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}

/// A changeset file: the rows in call order, then the transfers in row groups of their own.
pub fn encode_changeset(changeset: &Changeset) -> Result<Bytes> {
    let mut parts = ChangesetParts::new(changeset)?;
    let mut whole = Vec::new();
    while let Some(bytes) = parts.part()? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.into())
}

/// Bytes of a changeset that are handed on together.
const PART_BYTES: usize = 4 << 20;

/// A changeset file that is made while it is written: some row groups are in memory, and one part of the output.
pub struct ChangesetParts<'c> {
    rows: slice::Iter<'c, PlannedRow>,
    transfers: slice::Iter<'c, Transfer>,
    columns: Columns,
    table: Option<TableWriter>,
}

impl<'c> ChangesetParts<'c> {
    /// Begins a file.
    pub fn new(changeset: &'c Changeset) -> Result<Self> {
        let header = Header::with_rows(FileKind::Changeset, changeset.rows.len() as u64);
        let table = Some(TableWriter::new(&header, schema(), CUT)?);
        let (rows, transfers) = (changeset.rows.iter(), changeset.transfers.iter());
        Ok(Self { rows, transfers, columns: Columns::new(), table })
    }

    /// The next bytes of the file; `None` when it is whole.
    pub fn part(&mut self) -> Result<Option<Bytes>> {
        let encode = |source| Error::Encode { kind: FileKind::Changeset, source };
        let Some(mut table) = self.table.take() else { return Ok(None) };
        loop {
            if let Some(bytes) = table.take(PART_BYTES) {
                self.table = Some(table);
                return Ok(Some(bytes));
            }
            let mut more = false;
            while !self.columns.is_full()
                && let Some(row) = self.rows.next()
            {
                more = true;
                self.columns.push_row(row).map_err(encode)?;
            }
            if !more {
                break;
            }
            table.write(&self.columns.finish().map_err(encode)?)?;
        }
        table.section()?;
        for transfer in self.transfers.by_ref() {
            self.columns.push_transfer(transfer).map_err(encode)?;
            if self.columns.is_full() {
                table.write(&self.columns.finish().map_err(encode)?)?;
            }
        }
        table.write(&self.columns.finish().map_err(encode)?)?;
        Ok(Some(table.finish()?.0))
    }
}

#[async_trait]
impl Parts for ChangesetParts<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Abandoned> {
        self.part().map_err(Into::into)
    }
}

/// The rows `first_row..first_row + count` of a changeset: what one call sends. Fetches the pages that hold them only.
///
/// # Errors
/// [`Malformation::TooShort`] if the changeset does not have these rows.
pub async fn read_rows(objects: &dyn Objects, key: &str, first_row: u64, count: u32) -> Result<Vec<PlannedRow>> {
    let table = Table::open(objects, key, FileKind::Changeset).await?;
    let has = planned(&table)?;
    let end = first_row.saturating_add(u64::from(count));
    if end > has {
        return Err(table.malformed(Malformation::TooShort { has, wanted: end }));
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    // The row groups that overlap the range, and where the first of them begins.
    let (mut groups, mut base, mut from) = (Vec::new(), 0_u64, None);
    let mut rows = 0_u64;
    for (at, n) in table.group_rows().into_iter().enumerate() {
        if base < end && base + n > first_row {
            groups.push(at);
            from.get_or_insert(base);
            rows += n;
        }
        base += n;
    }
    let skip = first_row - from.unwrap_or(first_row);
    let whole = |n: u64| usize::try_from(n).map_err(|_| table.malformed(Malformation::NotParquet(None)));
    let range = whole(skip)?..whole(skip + u64::from(count))?;
    let selection = RowSelection::from_consecutive_ranges(core::iter::once(range), whole(rows)?);
    let found = collect(&table, Part { groups: Some(groups), selection: Some(selection), ..Part::default() }).await?;
    Ok(found.rows)
}

/// The whole changeset.
pub async fn read_changeset(objects: &dyn Objects, key: &str) -> Result<Changeset> {
    whole(objects, key, Part::default()).await
}

/// All but the fields of the whole changeset: what a commit needs. The fields are most of it, and are not fetched.
pub async fn read_outline(objects: &dyn Objects, key: &str) -> Result<Changeset> {
    const OUTLINE: [&str; 7] = [KEY_HASH, OPERATION, ATTR_HASH, KEY, IDENTIFIERS, REMOTE_ID, OWNER];
    whole(objects, key, Part { columns: Some(&OUTLINE), ..Part::default() }).await
}

async fn whole(objects: &dyn Objects, key: &str, part: Part<'_>) -> Result<Changeset> {
    let table = Table::open(objects, key, FileKind::Changeset).await?;
    let expected = planned(&table)?;
    let changeset = collect(&table, part).await?;
    let has = changeset.rows.len() as u64;
    if has == expected { Ok(changeset) } else { Err(table.malformed(Malformation::TooShort { has, wanted: expected })) }
}

/// The rows of one record, with their numbers, for `explain`.
pub async fn find_rows(objects: &dyn Objects, key: &str, record: KeyHash) -> Result<Vec<(u64, PlannedRow)>> {
    let table = Table::open(objects, key, FileKind::Changeset).await?;
    let planned = planned(&table)?;
    let mut scan = table.scan(Part { columns: Some(&[KEY_HASH]), ..Part::default() })?;
    let (mut selection, mut numbers, mut number) = (Selection::default(), Vec::new(), 0_u64);
    while let Some(batch) = scan.next().await? {
        for key_hash in key_hashes(&batch).map_err(|e| table.malformed(e))? {
            let wanted = key_hash == record && number < planned;
            selection.push(wanted);
            if wanted {
                numbers.push(number);
            }
            number += 1;
        }
    }
    let Some(selection) = selection.finish() else { return Ok(Vec::new()) };
    let found = collect(&table, Part { selection: Some(selection), ..Part::default() }).await?;
    Ok(numbers.into_iter().zip(found.rows).collect())
}

/// Rows before the transfers.
fn planned(table: &Table<'_>) -> Result<u64> {
    let rows = table.header().rows.ok_or_else(|| table.malformed(Malformation::NoHeader))?;
    let has = table.rows();
    if rows <= has { Ok(rows) } else { Err(table.malformed(Malformation::TooShort { has, wanted: rows })) }
}

async fn collect(table: &Table<'_>, part: Part<'_>) -> Result<Changeset> {
    let mut scan = table.scan(part)?;
    let mut changeset = Changeset::default();
    while let Some(batch) = scan.next().await? {
        decode(&batch, &mut changeset).map_err(|e| table.malformed(e))?;
    }
    Ok(changeset)
}

fn decode(batch: &RecordBatch, into: &mut Changeset) -> Result<(), Malformation> {
    let operations: &StringArray = required(batch, OPERATION)?;
    let keys: &StringArray = column(batch, KEY)?;
    let identifiers = Identifiers::of(batch, &[])?;
    let remote_ids: &StringArray = column(batch, REMOTE_ID)?;
    let fields: Option<&StringArray> = batch.column_by_name(FIELDS).map(|_| column(batch, FIELDS)).transpose()?;
    let owners: &FixedSizeBinaryArray = column(batch, OWNER)?;
    for (row, (key_hash, attr_hash)) in key_hashes(batch)?.into_iter().zip(attr_hashes(batch)?).enumerate() {
        let key = if keys.is_valid(row) { keys.value(row) } else { "" };
        let mut identifiers = identifiers.row(row, key).map(|(identifier, _)| identifier);
        let operation = match operations.value(row) {
            "add" => Operation::Add,
            "update" => Operation::Update,
            "remove" => Operation::Remove,
            TRANSFER => {
                let identifier = identifiers.next().ok_or(Malformation::Value { column: IDENTIFIERS })?;
                if owners.is_null(row) {
                    return Err(Malformation::Value { column: OWNER });
                }
                let owner = hash_at(owners, row, OWNER)?;
                into.transfers.push(Transfer { from: key_hash, identifier, owner });
                continue;
            }
            _ => return Err(Malformation::Value { column: OPERATION }),
        };
        into.rows.push(PlannedRow {
            operation,
            key_hash,
            key: RecordKey::new(text_at(keys, row).ok_or(Malformation::Value { column: KEY })?),
            attr_hash,
            identifiers: identifiers.collect(),
            remote_id: text_at(remote_ids, row),
            fields: fields.and_then(|fields| text_at(fields, row)),
        });
    }
    Ok(())
}
