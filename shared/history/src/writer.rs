use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use crate::columns::{ATTR_HASH, IDENTIFIERS, KEY, KEY_HASH};
use crate::header::Header;
use crate::{Error, FileKind, Result};

/// The columns of keys and identifiers.
const NAMES: [&[&str]; 5] = [
    &[KEY],
    &[IDENTIFIERS, "list", "element", "field"],
    &[IDENTIFIERS, "list", "element", "value"],
    &[IDENTIFIERS, "list", "element", "held"],
    &[IDENTIFIERS, "list", "element", "acknowledged"],
];

/// Rows that are turned into one Arrow batch at a time.
pub(crate) const BATCH_ROWS: usize = 4_096;

/// How a kind of file is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Rows of a row group: what a reader decodes at once.
    pub(crate) group_rows: usize,
    /// Rows of a page: what a reader of few rows fetches.
    pub(crate) page_rows: usize,
}

/// A file in the making, in memory. The bytes depend on the rows and the header only.
pub(crate) struct TableWriter {
    kind: FileKind,
    rows: u64,
    writer: ArrowWriter<Vec<u8>>,
}

impl TableWriter {
    pub(crate) fn new(header: &Header, schema: SchemaRef, cut: Cut) -> Result<Self> {
        let kind = header.kind();
        let writer = arrow_writer(header, schema, cut)?;
        Ok(Self { kind, rows: 0, writer })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(|source| Error::Encode { kind: self.kind, source })
    }

    /// Starts a new row group.
    pub(crate) fn section(&mut self) -> Result<()> {
        self.writer.flush().map_err(|source| Error::Encode { kind: self.kind, source })
    }

    /// The bytes that are final, once there are at least so many: the file is their sequence, ended by [`Self::finish`]. What is
    /// taken need not be kept in memory.
    pub(crate) fn take(&mut self, at_least: usize) -> Option<Bytes> {
        let written = self.writer.inner_mut();
        (written.len() >= at_least).then(|| core::mem::take(written).into())
    }

    /// The whole file, or what was not taken of it, and its number of rows.
    pub(crate) fn finish(self) -> Result<(Bytes, u64)> {
        let Self { kind, rows, writer } = self;
        let bytes = writer.into_inner().map_err(|source| Error::Encode { kind, source })?;
        Ok((bytes.into(), rows))
    }
}

fn arrow_writer(header: &Header, schema: SchemaRef, cut: Cut) -> Result<ArrowWriter<Vec<u8>>> {
    let kind = header.kind();
    let encode = |source| Error::Encode { kind, source };
    let header = header.to_key_value().map_err(|e| encode(ParquetError::External(e.into())))?;
    let mut properties = WriterProperties::builder()
        // Not the library's version: upgrading it must not change what a content address is made of.
        .set_created_by("driftless".to_owned())
        .set_key_value_metadata(Some(vec![header]))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(encode)?))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(cut.group_rows))
        .set_max_row_group_bytes(Some(64 << 20))
        .set_data_page_row_count_limit(cut.page_rows)
        .set_write_batch_size(cut.page_rows)
        // The bounds of the hashes find the row group of a key.
        .set_column_statistics_enabled(ColumnPath::from(KEY_HASH), EnabledStatistics::Chunk);
    for hash in [KEY_HASH, ATTR_HASH] {
        // Random bits: compressing them costs time and saves nothing.
        properties = properties.set_column_compression(ColumnPath::from(hash), Compression::UNCOMPRESSED);
    }
    for path in NAMES {
        // Ingest reads the names of who left out of nearly every page, and unpacks the pages for it: several times as fast, at half as
        // many bytes again.
        let path = ColumnPath::new(path.iter().map(|&s| s.to_owned()).collect());
        properties = properties.set_column_compression(path, Compression::SNAPPY);
    }
    for repetitive in [&["operation"][..], &["identifiers", "list", "element", "field"]] {
        let path = ColumnPath::new(repetitive.iter().map(|&s| s.to_owned()).collect());
        properties = properties.set_column_dictionary_enabled(path, true);
    }
    let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(Vec::new(), schema, options).map_err(encode)
}

/// A file in the making whose row groups are encoded side by side, and appended in order.
pub(crate) struct GroupsWriter {
    kind: FileKind,
    rows: u64,
    writer: SerializedFileWriter<Vec<u8>>,
    factory: ArrowRowGroupWriterFactory,
}

/// A row group, encoded and not yet in a file.
pub(crate) struct EncodedGroup {
    rows: u64,
    columns: Vec<ArrowColumnChunk>,
}

impl EncodedGroup {
    pub(crate) const fn rows(&self) -> u64 {
        self.rows
    }
}

/// Encodes a row group, of any file that the factory is of.
pub(crate) fn encode_group(
    factory: &ArrowRowGroupWriterFactory,
    batch: &RecordBatch,
) -> Result<EncodedGroup, ParquetError> {
    let mut writers = factory.create_column_writers(0)?.into_iter();
    let mut columns = Vec::with_capacity(writers.len());
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        for (leaf, mut writer) in compute_leaves(field, array)?.into_iter().zip(writers.by_ref()) {
            writer.write(&leaf)?;
            columns.push(writer.close()?);
        }
    }
    Ok(EncodedGroup { rows: batch.num_rows() as u64, columns })
}

impl GroupsWriter {
    pub(crate) fn new(header: &Header, schema: SchemaRef, cut: Cut) -> Result<Self> {
        let kind = header.kind();
        let writer = arrow_writer(header, schema, cut)?;
        let (writer, factory) = writer.into_serialized_writer().map_err(|source| Error::Encode { kind, source })?;
        Ok(Self { kind, rows: 0, writer, factory })
    }

    /// Makes the column writers of [`encode_group`].
    pub(crate) const fn factory(&self) -> &ArrowRowGroupWriterFactory {
        &self.factory
    }

    pub(crate) fn append(&mut self, group: EncodedGroup) -> Result<()> {
        self.rows += group.rows;
        let append = || {
            let mut writer = self.writer.next_row_group()?;
            group.columns.into_iter().try_for_each(|column| column.append_to_row_group(&mut writer))?;
            writer.close()
        };
        append().map(drop).map_err(|source| Error::Encode { kind: self.kind, source })
    }

    /// See [`TableWriter::take`].
    pub(crate) fn take(&mut self, at_least: usize) -> Option<Bytes> {
        let written = self.writer.inner_mut();
        (written.len() >= at_least).then(|| core::mem::take(written).into())
    }

    /// See [`TableWriter::finish`].
    pub(crate) fn finish(self) -> Result<(Bytes, u64)> {
        let Self { kind, rows, writer, .. } = self;
        let bytes = writer.into_inner().map_err(|source| Error::Encode { kind, source })?;
        Ok((bytes.into(), rows))
    }
}
