//! A bulk file: all of D as of one log version.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, RecordBatch, StringArray, StringBuilder, TimestampMillisecondArray, TimestampMillisecondBuilder,
    UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use driftless_model::{AttrHash, IdentifierSet, KeyHash, Lanes, Millis, RecordKey, RecordState, Task, in_lanes};
use driftless_objects::Objects;
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::errors::ParquetError;

use crate::columns::{
    ATTR_HASH, HashColumn, IdentifierColumn, Identifiers, KEY, KEY_HASH, attr_hashes, column, hash_field,
    identifiers_field, key_hashes, required,
};
use crate::hashes::Hashes;
use crate::header::Header;
use crate::stream::Batches;
use crate::table::{Part, Scan, Table};
use crate::writer::{Cut, EncodedGroup, GroupsWriter, encode_group};
use crate::{Error, FileKind, FileMeta, Malformation, Result};

const UPDATED_AT: &str = "updated_at";

/// As a history file is cut: it is read in the same ways.
const CUT: Cut = Cut { group_rows: 64 << 10, page_rows: 1_024 };

/// One record of D.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkRow {
    /// What the list should hold of it.
    pub state: RecordState,
    /// The time of the snapshot that last changed it, as a log item has it; `None` where no version since the last fold did.
    pub updated_at: Option<Millis>,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        hash_field(KEY_HASH, false),
        Field::new(ATTR_HASH, DataType::UInt64, false),
        Field::new(KEY, DataType::Utf8, false),
        identifiers_field(&[]),
        Field::new(UPDATED_AT, DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
    ]))
}

struct Columns {
    key_hash: HashColumn,
    attr_hash: UInt64Builder,
    key: StringBuilder,
    identifiers: IdentifierColumn,
    updated_at: TimestampMillisecondBuilder,
}

impl Columns {
    fn new() -> Self {
        Self {
            key_hash: HashColumn::new(),
            attr_hash: UInt64Builder::new(),
            key: StringBuilder::new(),
            identifiers: IdentifierColumn::new(&[]),
            updated_at: TimestampMillisecondBuilder::new().with_timezone("UTC"),
        }
    }

    fn push<'r>(
        &mut self,
        record: BulkRecord<'r, impl Iterator<Item = (&'r str, &'r str)>>,
    ) -> Result<(), ParquetError> {
        self.key_hash.push(record.key_hash)?;
        self.attr_hash.append_value(record.attr_hash.0);
        self.key.append_value(record.key);
        for (field, value) in record.identifiers {
            self.identifiers.push(Some(record.key), field, value, &[]);
        }
        self.updated_at.append_option(record.updated_at.map(|t| t.0));
        Ok(self.identifiers.end_row()?)
    }

    fn finish(mut self) -> Result<RecordBatch, ParquetError> {
        let columns = vec![
            self.key_hash.finish(),
            Arc::new(self.attr_hash.finish()),
            Arc::new(self.key.finish()),
            self.identifiers.finish()?,
            Arc::new(self.updated_at.finish()),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}

/// One record, as a bulk file is made of it.
#[derive(Clone, Copy, Debug)]
pub struct BulkRecord<'r, I> {
    /// Which.
    pub key_hash: KeyHash,
    /// What it holds.
    pub attr_hash: AttrHash,
    /// Its key.
    pub key: &'r str,
    /// What the destination matches it by: fields and values, in order.
    pub identifiers: I,
    /// See [`BulkRow`].
    pub updated_at: Option<Millis>,
}

/// A bulk file that is being written, in key-hash order. Its row groups are encoded in lanes, one a lane at a time; what is final of it
/// can be taken on the way, so that a few row groups are in memory, whatever the length of the list.
pub struct BulkWriter {
    groups: GroupsWriter,
    last: Option<KeyHash>,
    rows: u64,
}

/// A row group, and the lowest and highest key hash in it.
struct Group {
    ends: (KeyHash, KeyHash),
    encoded: EncodedGroup,
}

impl BulkWriter {
    /// Begins a file.
    pub fn new(meta: &FileMeta) -> Result<Self> {
        let header = Header::with_meta(FileKind::Bulk, meta.clone());
        Ok(Self { groups: GroupsWriter::new(&header, schema(), CUT)?, last: None, rows: 0 })
    }

    /// Adds the first of some records, which `record` knows by their numbers: as many as the lanes encode at once. Returns the others.
    /// Where row groups end follows from the records, not from the lanes.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] if one does not come after the one before it, or is not there.
    pub async fn extend<'r, I>(
        &mut self,
        lanes: &dyn Lanes,
        rows: Range<usize>,
        record: impl Fn(usize) -> Option<BulkRecord<'r, I>> + Send + Sync,
    ) -> Result<Range<usize>>
    where
        I: Iterator<Item = (&'r str, &'r str)>,
    {
        let (factory, before, record) = (self.groups.factory(), self.rows, &record);
        let starts = rows.clone().step_by(CUT.group_rows).take(lanes.count().max(1));
        let cuts: Vec<_> = starts.map(|start| start..rows.end.min(start + CUT.group_rows)).collect();
        let rest = cuts.last().map_or(rows.end, |last| last.end)..rows.end;
        let tasks = cuts.into_iter().map(|rows| {
            let task: Task<'_, Result<Group>> = Box::pin(async move { encoded(factory, before, rows, record) });
            task
        });
        for group in in_lanes(lanes, tasks.collect()).await {
            let Group { ends: (first, last), encoded } = group?;
            if self.last.is_some_and(|before| before >= first) {
                return Err(Error::OutOfOrder { kind: FileKind::Bulk, row: self.rows });
            }
            self.last = Some(last);
            self.rows += encoded.rows();
            self.groups.append(encoded)?;
        }
        Ok(rest)
    }

    /// The bytes that are final and were not taken before, once there are at least so many.
    pub fn take(&mut self, at_least: usize) -> Option<Bytes> {
        self.groups.take(at_least)
    }

    /// The rest of the file.
    pub fn finish(self) -> Result<Bytes> {
        Ok(self.groups.finish()?.0)
    }
}

fn encoded<'r, I>(
    factory: &ArrowRowGroupWriterFactory,
    before: u64,
    rows: Range<usize>,
    record: &impl Fn(usize) -> Option<BulkRecord<'r, I>>,
) -> Result<Group>
where
    I: Iterator<Item = (&'r str, &'r str)>,
{
    let mut columns = Columns::new();
    let mut ends: Option<(KeyHash, KeyHash)> = None;
    let out_of_order = |row: usize| Error::OutOfOrder { kind: FileKind::Bulk, row: before + row as u64 };
    let first = rows.start;
    for row in rows {
        let record = record(row).ok_or_else(|| out_of_order(row))?;
        let key_hash = record.key_hash;
        if ends.is_some_and(|(_, last)| last >= key_hash) {
            return Err(out_of_order(row));
        }
        ends = Some((ends.map_or(key_hash, |(first, _)| first), key_hash));
        columns.push(record).map_err(encode)?;
    }
    let ends = ends.ok_or_else(|| out_of_order(first))?;
    let encoded = columns.finish().and_then(|batch| encode_group(factory, &batch)).map_err(encode)?;
    Ok(Group { ends, encoded })
}

const fn encode(source: ParquetError) -> Error {
    Error::Encode { kind: FileKind::Bulk, source }
}

/// An opened bulk file. Opening reads the footer (small files whole); the methods read what they need.
pub struct BulkFile<'a> {
    table: Table<'a>,
}

impl<'a> BulkFile<'a> {
    /// Opens the bulk file `key`.
    pub async fn open(objects: &'a dyn Objects, key: &str) -> Result<Self> {
        let table = Table::open(objects, key, FileKind::Bulk).await?;
        if table.header().meta.is_some() { Ok(Self { table }) } else { Err(table.malformed(Malformation::NoHeader)) }
    }

    /// Members of D.
    pub fn len(&self) -> u64 {
        self.table.rows()
    }

    /// True when nobody is in D.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The two hashes of every record, in key-hash order; 32 bytes a record.
    pub async fn digests(&self) -> Result<Vec<(KeyHash, AttrHash)>> {
        let mut stream = self.hashes(KeyHash(0), KeyHash(u128::MAX));
        let mut digests = Vec::with_capacity(usize::try_from(self.len()).unwrap_or_default());
        while let Some(batch) = stream.next().await? {
            digests.extend(batch.into_iter().filter_map(|(key, hash)| hash.map(|hash| (key, hash))));
        }
        Ok(digests)
    }

    /// The two hashes of the records with key hashes from `from` to `to`, in key-hash order, in a stream.
    pub fn hashes(&self, from: KeyHash, to: KeyHash) -> Hashes<'_> {
        Hashes::new(&self.table, from, to)
    }

    /// When each record was last changed, in key-hash order, some thousand at a time.
    pub fn update_stream(&self) -> Result<Updates<'_>> {
        let scan = self.table.scan(Part { columns: Some(&[KEY_HASH, UPDATED_AT]), ..Part::default() })?;
        Ok(Updates { table: &self.table, scan })
    }

    /// The records of `wanted` that the file has. Finds them by their hashes, then reads the other columns only of the pages that
    /// hold them.
    pub async fn rows(&self, wanted: &BTreeSet<KeyHash>) -> Result<BTreeMap<KeyHash, BulkRow>> {
        let mut found = self.table.find(wanted, None);
        let mut rows = BTreeMap::new();
        while let Some(batch) = found.next().await? {
            rows.extend(decode(&batch).map_err(|e| self.table.malformed(e))?);
        }
        Ok(rows)
    }

    /// Keys and identifiers of the rows at these places, which come in order: as [`HashRows::first`](crate::HashRows::first) tells them.
    pub async fn names_at(&self, rows: &[u64]) -> Result<Vec<(RecordKey, IdentifierSet)>> {
        let names = |batch: &RecordBatch| {
            let keys: &StringArray = required(batch, KEY)?;
            let identifiers = Identifiers::of(batch, &[])?;
            let all = |row| identifiers.row(row, keys.value(row)).map(|(identifier, _)| identifier).collect();
            Ok((0..batch.num_rows()).map(|row| (RecordKey::new(keys.value(row)), all(row))).collect())
        };
        self.table.names_at(rows, names).await
    }

    /// Every record. Takes all of it into memory: for small lists and tests.
    pub async fn all(&self) -> Result<BTreeMap<KeyHash, BulkRow>> {
        let mut rows = self.stream()?;
        let mut all = BTreeMap::new();
        while let Some(batch) = rows.next().await? {
            all.extend(batch);
        }
        Ok(all)
    }

    /// Every record in key-hash order, some thousand at a time.
    pub(crate) fn stream(&self) -> Result<BulkRows<'_, '_>> {
        Ok(BulkRows { table: &self.table, scan: self.table.scan(Part::default())? })
    }
}

/// Records of a bulk file being read, in key-hash order.
pub(crate) struct BulkRows<'t, 'a> {
    table: &'t Table<'a>,
    scan: Scan<'t, 'a>,
}

impl Batches for BulkRows<'_, '_> {
    type Row = BulkRow;

    async fn next(&mut self) -> Result<Option<Vec<(KeyHash, BulkRow)>>> {
        let Some(batch) = self.scan.next().await? else { return Ok(None) };
        decode(&batch).map(Some).map_err(|e| self.table.malformed(e))
    }

    fn unsorted(&self) -> Error {
        self.table.malformed(Malformation::Unsorted)
    }
}

/// See [`BulkFile::update_stream`].
pub struct Updates<'t> {
    table: &'t Table<'t>,
    scan: Scan<'t, 't>,
}

impl Updates<'_> {
    /// The next records; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<(KeyHash, Option<Millis>)>>> {
        let Some(batch) = self.scan.next().await? else { return Ok(None) };
        let read = || {
            let updated_at: &TimestampMillisecondArray = column(&batch, UPDATED_AT)?;
            let times = updated_at.iter().map(|at| at.map(Millis));
            Ok(key_hashes(&batch)?.into_iter().zip(times).collect())
        };
        read().map(Some).map_err(|e| self.table.malformed(e))
    }
}

fn decode(batch: &RecordBatch) -> Result<Vec<(KeyHash, BulkRow)>, Malformation> {
    let keys: &StringArray = required(batch, KEY)?;
    let identifiers = Identifiers::of(batch, &[])?;
    let updated_at: &TimestampMillisecondArray = column(batch, UPDATED_AT)?;
    let mut rows = Vec::with_capacity(batch.num_rows());
    for (row, (key_hash, attr_hash)) in key_hashes(batch)?.into_iter().zip(attr_hashes(batch)?).enumerate() {
        let state = RecordState {
            key: RecordKey::new(keys.value(row)),
            attr_hash: attr_hash.ok_or(Malformation::Value { column: ATTR_HASH })?,
            identifiers: identifiers.row(row, keys.value(row)).map(|(identifier, _)| identifier).collect(),
        };
        let updated_at = updated_at.is_valid(row).then(|| Millis(updated_at.value(row)));
        rows.push((key_hash, BulkRow { state, updated_at }));
    }
    Ok(rows)
}
