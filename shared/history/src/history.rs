use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use driftless_model::{AckRow, IdentifierSet, KeyHash, RecordKey};
use driftless_objects::Objects;

use crate::ack_columns::{AckColumns, NAMES, acknowledged_names, decode, decode_names, schema};
use crate::hashes::Hashes;
use crate::header::Header;
use crate::table::{Part, Scan, Table};
use crate::writer::{BATCH_ROWS, Cut, TableWriter};
use crate::{Error, FileKind, FileMeta, Malformation, Result};

/// 64 Ki rows are some ten megabytes: what a reader holds at once. Pages of a thousand rows are what `explain` fetches.
pub(crate) const CUT: Cut = Cut { group_rows: 64 << 10, page_rows: 1_024 };

/// A history file that is being written, row by row in key-hash order.
pub(crate) struct HistoryWriter {
    table: TableWriter,
    columns: AckColumns,
    last: Option<KeyHash>,
    rows: u64,
}

impl HistoryWriter {
    pub(crate) fn new(meta: &FileMeta) -> Result<Self> {
        let header = Header::with_meta(FileKind::History, meta.clone());
        let table = TableWriter::new(&header, schema(false), CUT)?;
        Ok(Self { table, columns: AckColumns::new(false), last: None, rows: 0 })
    }

    pub(crate) fn push(&mut self, row: &AckRow) -> Result<()> {
        if self.last.is_some_and(|last| last >= row.key_hash) {
            return Err(Error::OutOfOrder { kind: FileKind::History, row: self.rows });
        }
        self.last = Some(row.key_hash);
        self.rows += 1;
        self.columns.push(row.key_hash, Some(row)).map_err(encode)?;
        if self.columns.rows() >= BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let batch = self.columns.finish().map_err(encode)?;
        self.table.write(&batch)
    }

    pub(crate) fn finish(mut self) -> Result<(Bytes, u64)> {
        self.flush()?;
        self.table.finish()
    }
}

const fn encode(source: parquet::errors::ParquetError) -> Error {
    Error::Encode { kind: FileKind::History, source }
}

/// A history file of rows that come in key-hash order. Equal input gives equal bytes.
///
/// # Errors
/// [`Error::OutOfOrder`] if a row does not come after the one before it.
pub fn encode_history(rows: impl IntoIterator<Item = AckRow>, meta: &FileMeta) -> Result<Bytes> {
    let mut writer = HistoryWriter::new(meta)?;
    for row in rows {
        writer.push(&row)?;
    }
    Ok(writer.finish()?.0)
}

/// An opened history file. Opening reads the footer (small files whole); the methods read what they need.
pub struct HistoryFile<'a> {
    table: Table<'a>,
    meta: FileMeta,
}

impl<'a> HistoryFile<'a> {
    /// Opens the history file `key`.
    pub async fn open(objects: &'a dyn Objects, key: &str) -> Result<Self> {
        let table = Table::open(objects, key, FileKind::History).await?;
        let meta = table.header().meta.clone().ok_or_else(|| table.malformed(Malformation::NoHeader))?;
        Ok(Self { table, meta })
    }

    pub(crate) const fn table(&self) -> &Table<'a> {
        &self.table
    }

    /// What the file belongs to.
    pub const fn meta(&self) -> &FileMeta {
        &self.meta
    }

    /// Members of the list, uncertain ones included.
    pub fn len(&self) -> u64 {
        self.table.rows()
    }

    /// True when nothing was acknowledged.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The two hashes of the rows with key hashes from `from` to `to`, in key-hash order, in a stream.
    pub fn hashes(&self, from: KeyHash, to: KeyHash) -> Hashes<'_> {
        Hashes::new(&self.table, from, to)
    }

    /// The rows of `wanted` that the file has. Finds them by their hashes, then reads the other columns only of the pages
    /// that hold them.
    pub async fn rows(&self, wanted: &BTreeSet<KeyHash>) -> Result<BTreeMap<KeyHash, AckRow>> {
        let mut found = self.table.find(wanted, None);
        let mut rows = BTreeMap::new();
        while let Some(batch) = found.next().await? {
            let decoded = decode(&batch, false).map_err(|e| self.table.malformed(e))?;
            rows.extend(decoded.into_iter().filter_map(|(key, row)| Some((key, row?))));
        }
        Ok(rows)
    }

    /// Keys and identifiers of the rows of `wanted` that the file has, as [`Self::rows`] finds them: the identifiers that were
    /// acknowledged, else those that may be there. Reads less.
    pub async fn names(&self, wanted: &BTreeSet<KeyHash>) -> Result<BTreeMap<KeyHash, (RecordKey, IdentifierSet)>> {
        let mut found = self.table.find(wanted, Some(&NAMES));
        let mut names = BTreeMap::new();
        while let Some(batch) = found.next().await? {
            let rows = decode_names(&batch).map_err(|e| self.table.malformed(e))?;
            names.extend(rows.into_iter().map(|(key_hash, key, identifiers)| (key_hash, (key, identifiers))));
        }
        Ok(names)
    }

    /// Keys and acknowledged identifiers of the rows at these places, which come in order: as [`HashRows::first`](crate::HashRows::first) tells them.
    pub async fn names_at(&self, rows: &[u64]) -> Result<Vec<(RecordKey, IdentifierSet)>> {
        self.table.names_at(rows, acknowledged_names).await
    }

    /// One row, for `explain`.
    pub async fn row(&self, key: KeyHash) -> Result<Option<AckRow>> {
        Ok(self.rows(&BTreeSet::from([key])).await?.remove(&key))
    }

    /// Every row. Takes all of it into memory: for small lists and tests; [`crate::fold`] streams.
    pub async fn all(&self) -> Result<BTreeMap<KeyHash, AckRow>> {
        let mut rows = self.stream()?;
        let mut all = BTreeMap::new();
        while let Some(batch) = rows.next().await? {
            all.extend(batch.into_iter().map(|row| (row.key_hash, row)));
        }
        Ok(all)
    }

    /// Every row in key-hash order, a batch at a time.
    pub fn stream(&self) -> Result<Rows<'_, 'a>> {
        Ok(Rows { table: &self.table, scan: self.table.scan(Part::default())? })
    }
}

/// Rows of a history file being read, in key-hash order.
pub struct Rows<'t, 'a> {
    table: &'t Table<'a>,
    scan: Scan<'t, 'a>,
}

impl Rows<'_, '_> {
    /// The next rows; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<AckRow>>> {
        let Some(batch) = self.scan.next().await? else { return Ok(None) };
        let rows = decode(&batch, false).map_err(|e| self.table.malformed(e))?;
        Ok(Some(rows.into_iter().filter_map(|(_, row)| row).collect()))
    }
}
