use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups, RowSelection};
use parquet::column::page::PageIterator;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::buffers::Buffers;
use super::chunk::Chunk;
use super::codes;
use super::file::ParquetFile;
use super::page::{Held, OneChunk, Pages};
use super::scan::Columns;
use super::schema::Root;
use crate::{Cause, Limits, SnapshotError};

/// One row group being read: a decoder for each column, and the chunks that feed it.
pub(crate) struct RowGroup {
    pub(crate) index: usize,
    /// Rows that are read.
    pub(crate) rows: u64,
    /// The places of these rows; `None` if all are read.
    wanted: Option<Vec<u32>>,
    /// Rows decoded so far.
    pub(crate) emitted: u64,
    batch_rows: u64,
    schema: SchemaRef,
    columns: Vec<Column>,
    pub(crate) chunks: Vec<Chunk>,
}

struct Column {
    name: String,
    decoder: ParquetRecordBatchReader,
    chunks: core::ops::Range<usize>,
    coded: Option<Coded>,
}

/// A column that is read as codes.
#[derive(Default)]
struct Coded {
    /// The dictionary, once it is decoded.
    entries: Option<ArrayRef>,
}

/// What the decoder of one column is built on.
struct Source<'a> {
    metadata: &'a ParquetMetaData,
    index: usize,
    rows: usize,
    chunks: &'a [Chunk],
    held: &'a Held,
    buffers: &'a Buffers,
    coded: bool,
}

impl RowGroups for Source<'_> {
    fn num_rows(&self) -> usize {
        self.rows
    }

    fn column_chunks(&self, i: usize) -> parquet::errors::Result<Box<dyn PageIterator>> {
        let chunk = self.chunks.get(i).ok_or_else(|| ParquetError::IndexOutOfBound(i, self.chunks.len()))?;
        let (queue, leaf) = (chunk.queue.clone(), chunk.leaf.clone());
        let pages = Pages::new(queue, leaf, self.held.clone(), self.buffers.clone(), self.coded);
        Ok(Box::new(OneChunk(Some(pages))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.metadata.row_groups().get(self.index).into_iter())
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata
    }
}

impl RowGroup {
    /// Checks what the footer says of the columns, and builds their decoders: for all rows, or for the `wanted` ones, which
    /// are places within the row group, in order.
    pub(crate) fn open(
        file: &ParquetFile<'_>,
        index: usize,
        wanted: Option<&[u32]>,
        columns: &Columns,
        limits: &Limits,
        buffers: &Buffers,
    ) -> Result<Self, SnapshotError> {
        let metadata = &file.metadata;
        let group = metadata.row_group(index);
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        let held = Held::new(2 * limits.page_bytes);
        let mut chunks = Vec::new();
        let mut spans = Vec::with_capacity(columns.schema.fields().len());
        let mut bytes = 0;
        for field in columns.schema.fields() {
            let refuse = |cause| refused(file, index, Some(field.name()), cause);
            let root = file
                .root(field.name())
                .ok_or_else(|| refuse(Cause::Unsupported("a column that is not in this file".to_owned())))?;
            let first = chunks.len();
            for leaf in root.leaves.clone() {
                let meta = group.column(leaf);
                bytes += u64::try_from(meta.uncompressed_size())
                    .map_err(|_| refuse(Cause::Inconsistent("a column has a negative size")))?
                    .max(rows.saturating_mul(root.fixed_width));
                chunks.push(Chunk::new(meta, rows, file.data_end, limits, buffers).map_err(refuse)?);
            }
            let may_be_coded = root.codes.is_some() && columns.only_hashed.contains(field.name());
            let coded = may_be_coded && codes::are_all_of(group.column(root.leaves.start));
            spans.push((root, first..chunks.len(), coded));
        }
        let fields = spans.iter().map(|(root, _, coded)| match coded {
            true => codes::field(&root.field),
            false => Arc::clone(&root.field),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let width = (bytes / rows.max(1)).max(1);
        let batch_rows = (limits.batch_bytes / width).clamp(1, limits.batch_rows as u64);
        let mut decoders = Vec::with_capacity(spans.len());
        for (root, span, coded) in spans {
            let name = root.field.name();
            let source = Source {
                metadata,
                index,
                rows: usize::try_from(rows).unwrap_or(usize::MAX),
                chunks: &chunks[span.clone()],
                held: &held,
                buffers,
                coded,
            };
            let levels = root.codes.as_ref().filter(|_| coded).unwrap_or(&root.levels);
            let size = usize::try_from(batch_rows).unwrap_or(1);
            let decoder = catch_unwind(AssertUnwindSafe(|| {
                let selection = wanted.map(|wanted| selection(wanted, source.rows));
                ParquetRecordBatchReader::try_new_with_row_groups(levels, &source, size, selection)
            }));
            let decoder = match decoder {
                Ok(Ok(decoder)) => decoder,
                Ok(Err(e)) => return Err(refused(file, index, Some(name), Cause::Unsupported(e.to_string()))),
                Err(_) => {
                    let cause = Cause::Unsupported("its type cannot be decoded".to_owned());
                    return Err(refused(file, index, Some(name), cause));
                }
            };
            let coded = coded.then(Coded::default);
            decoders.push(Column { name: name.clone(), decoder, chunks: span, coded });
        }
        let rows = wanted.map_or(rows, |wanted| wanted.len() as u64);
        let wanted = wanted.map(<[u32]>::to_vec);
        Ok(Self { index, rows, wanted, emitted: 0, batch_rows, schema, columns: decoders, chunks })
    }

    /// How many rows are read when the next batch is.
    fn next_emitted(&self) -> u64 {
        (self.emitted + self.batch_rows).min(self.rows)
    }

    /// The row of the row group up to which the next batch goes.
    pub(crate) fn next_row(&self) -> u64 {
        let Some(wanted) = &self.wanted else { return self.next_emitted() };
        let last = usize::try_from(self.next_emitted()).ok().and_then(|n| wanted.get(n.checked_sub(1)?));
        last.map_or(0, |last| u64::from(*last) + 1)
    }

    /// The place in the row group of the first row of the next batch.
    pub(crate) fn first_row(&self) -> u32 {
        let first = usize::try_from(self.emitted).unwrap_or(usize::MAX);
        let Some(wanted) = &self.wanted else { return u32::try_from(first).unwrap_or(u32::MAX) };
        wanted.get(first).copied().unwrap_or(u32::MAX)
    }

    /// The places in the row group of all rows of the next batch, if some are left out.
    pub(crate) fn places(&self) -> Option<Vec<u32>> {
        let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let rows = place(self.emitted)..place(self.next_emitted());
        self.wanted.as_ref().map(|wanted| wanted.get(rows).unwrap_or_default().to_vec())
    }

    /// True when the next batch can be decoded without another byte.
    pub(crate) fn is_ready(&self) -> bool {
        self.chunks.iter().all(|c| c.has(self.next_row()))
    }

    /// Names the column that a chunk belongs to.
    pub(crate) fn column_of(&self, chunk: usize) -> Option<&str> {
        self.columns.iter().find(|c| c.chunks.contains(&chunk)).map(|c| c.name.as_str())
    }

    /// Decodes the next batch, each column apart, so that an error or a panic is known to be that column's.
    pub(crate) fn decode(&mut self, file: &ParquetFile<'_>) -> Result<RecordBatch, SnapshotError> {
        let rows = usize::try_from(self.next_emitted() - self.emitted).unwrap_or(0);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            let decoded = catch_unwind(AssertUnwindSafe(|| column.decoder.next()));
            let failure = || self.chunks[column.chunks.clone()].iter().find_map(|c| c.queue.failure());
            let cause = match decoded {
                Ok(Some(Ok(batch))) if batch.num_rows() == rows && batch.num_columns() == 1 => {
                    let decoded = match (&mut column.coded, file.root(&column.name)) {
                        (Some(coded), Some(root)) => {
                            coded.put_together(batch.column(0), &self.chunks[column.chunks.start], root, &file.metadata)
                        }
                        _ => Ok(Arc::clone(batch.column(0))),
                    };
                    match decoded {
                        Ok(array) => {
                            arrays.push(array);
                            continue;
                        }
                        Err(cause) => cause,
                    }
                }
                Ok(Some(Ok(_)) | None) => {
                    failure().unwrap_or(Cause::Inconsistent("a column has fewer rows than its row group"))
                }
                Ok(Some(Err(e))) => failure().unwrap_or_else(|| Cause::Decode(e.to_string())),
                Err(_) => {
                    failure().unwrap_or_else(|| Cause::Decode("its bytes are not what its encoding says".to_owned()))
                }
            };
            return Err(refused(file, self.index, Some(&column.name), cause));
        }
        self.emitted += rows as u64;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .map_err(|e| refused(file, self.index, None, Cause::Decode(e.to_string())))
    }
}

impl Coded {
    fn put_together(
        &mut self,
        codes: &ArrayRef,
        chunk: &Chunk,
        root: &Root,
        file: &ParquetMetaData,
    ) -> Result<ArrayRef, Cause> {
        let entries =
            match &self.entries {
                Some(entries) => entries,
                None => {
                    let missing = Cause::Inconsistent("a column has codes and no dictionary");
                    let raw = chunk.queue.entries().ok_or(missing)?;
                    let decoded = catch_unwind(AssertUnwindSafe(|| codes::decode(&raw, root, file)));
                    self.entries.insert(decoded.unwrap_or_else(|_| {
                        Err(Cause::Decode("its bytes are not what its encoding says".to_owned()))
                    })?)
                }
            };
        codes::together(codes, entries)
    }
}

/// Rows of a row group as runs. Rows beyond its end are left out.
fn selection(wanted: &[u32], rows: usize) -> RowSelection {
    let place = |row: &u32| usize::try_from(*row).unwrap_or(usize::MAX);
    let runs = wanted.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    let runs = runs.filter_map(|run| Some(place(run.first()?)..(place(run.last()?) + 1).min(rows)));
    RowSelection::from_consecutive_ranges(runs.filter(|run| run.start < run.end), rows)
}

pub(crate) fn refused(file: &ParquetFile<'_>, row_group: usize, column: Option<&str>, cause: Cause) -> SnapshotError {
    SnapshotError::Refused {
        object: file.object.key.clone(),
        row_group: Some(row_group),
        column: column.map(str::to_owned),
        cause,
    }
}
