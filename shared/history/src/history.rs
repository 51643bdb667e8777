use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use driftless_model::{AckRow, KeyHash};
use driftless_objects::Objects;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::file::statistics::Statistics;

use crate::ack_columns::{AckColumns, decode, schema};
use crate::columns::{KEY_HASH, key_hashes};
use crate::hashes::Hashes;
use crate::header::Header;
use crate::table::{Part, Scan, Table};
use crate::writer::{BATCH_ROWS, Cut, TableWriter};
use crate::{Error, FileKind, FileMeta, Malformation, Result};

/// 64 Ki rows are some ten megabytes: what a reader holds at once. Pages of a thousand rows are what `explain` fetches.
const CUT: Cut = Cut { group_rows: 64 << 10, page_rows: 1_024 };

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
        Hashes::new(&self.table, self.groups_of(|low, high| low <= to && from <= high), from, to)
    }

    /// The rows of `wanted` that the file has. Finds them by their hashes, then reads the other columns only of the pages
    /// that hold them.
    pub async fn rows(&self, wanted: &BTreeSet<KeyHash>) -> Result<BTreeMap<KeyHash, AckRow>> {
        let groups = self.groups_of(|low, high| wanted.range(low..=high).next().is_some());
        if groups.is_empty() {
            return Ok(BTreeMap::new());
        }
        let part = Part { columns: Some(&[KEY_HASH]), groups: Some(groups.clone()), ..Part::default() };
        let mut scan = self.table.scan(part)?;
        let mut selection = Selection::default();
        while let Some(batch) = scan.next().await? {
            for key_hash in key_hashes(&batch).map_err(|e| self.table.malformed(e))? {
                selection.push(wanted.contains(&key_hash));
            }
        }
        let Some(selection) = selection.finish() else { return Ok(BTreeMap::new()) };
        let part = Part { groups: Some(groups), selection: Some(selection), ..Part::default() };
        self.collect(part).await
    }

    /// One row, for `explain`.
    pub async fn row(&self, key: KeyHash) -> Result<Option<AckRow>> {
        Ok(self.rows(&BTreeSet::from([key])).await?.remove(&key))
    }

    /// Every row. Takes all of it into memory: for small lists and tests; [`crate::fold`] streams.
    pub async fn all(&self) -> Result<BTreeMap<KeyHash, AckRow>> {
        self.collect(Part::default()).await
    }

    async fn collect(&self, part: Part<'_>) -> Result<BTreeMap<KeyHash, AckRow>> {
        let mut rows = Rows { table: &self.table, scan: self.table.scan(part)? };
        let mut all = BTreeMap::new();
        while let Some(batch) = rows.next().await? {
            all.extend(batch.into_iter().map(|row| (row.key_hash, row)));
        }
        Ok(all)
    }

    /// Every row in key-hash order, some thousand at a time.
    pub(crate) fn stream(&self) -> Result<Rows<'_, 'a>> {
        Ok(Rows { table: &self.table, scan: self.table.scan(Part::default())? })
    }

    /// The row groups whose bounds, lowest and highest key hash, admit a wanted key.
    fn groups_of(&self, admits: impl Fn(KeyHash, KeyHash) -> bool) -> Vec<usize> {
        let bound = |bytes: Option<&[u8]>| bytes.and_then(|b| b.try_into().ok()).map(KeyHash::from_bytes);
        let holds = |statistics: Option<&Statistics>| {
            let low = bound(statistics.and_then(Statistics::min_bytes_opt)).unwrap_or(KeyHash(0));
            let high = bound(statistics.and_then(Statistics::max_bytes_opt)).unwrap_or(KeyHash(u128::MAX));
            low <= high && admits(low, high)
        };
        let groups = self.table.metadata().row_groups().iter().enumerate();
        groups.filter(|(_, g)| holds(g.columns().first().and_then(|c| c.statistics()))).map(|(at, _)| at).collect()
    }
}

/// Rows of a history file being read, in key-hash order.
pub(crate) struct Rows<'t, 'a> {
    table: &'t Table<'a>,
    scan: Scan<'t, 'a>,
}

impl Rows<'_, '_> {
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<AckRow>>> {
        let Some(batch) = self.scan.next().await? else { return Ok(None) };
        let rows = decode(&batch, false).map_err(|e| self.table.malformed(e))?;
        Ok(Some(rows.into_iter().filter_map(|(_, row)| row).collect()))
    }

    pub(crate) fn unsorted(&self) -> Error {
        self.table.malformed(Malformation::Unsorted)
    }
}

/// Which of a sequence of rows to read, as runs.
#[derive(Default)]
pub(crate) struct Selection {
    runs: Vec<RowSelector>,
    any: bool,
}

impl Selection {
    pub(crate) fn push(&mut self, wanted: bool) {
        self.any |= wanted;
        match self.runs.last_mut() {
            Some(run) if run.skip != wanted => run.row_count += 1,
            _ => self.runs.push(RowSelector { row_count: 1, skip: !wanted }),
        }
    }

    /// `None` if no row is wanted.
    pub(crate) fn finish(self) -> Option<RowSelection> {
        self.any.then(|| self.runs.into())
    }
}
