use core::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use driftless_model::ObjectVersion;
use driftless_objects::Objects;
use futures::future::try_join_all;
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder, RowGroupMetaData};

use crate::header::Header;
use crate::{Error, FileKind, Malformation, Result};

/// Files up to this size are fetched whole: one request is cheaper than several.
const WHOLE: u64 = 1 << 20;

/// Fetched with the footer at first: holds the metadata and page index of most files.
const TAIL: u64 = 256 << 10;

/// Ranges that lie closer together than this are fetched as one.
const GAP: u64 = 256 << 10;

/// Rows decoded at a time, unless something else is asked for.
const BATCH_ROWS: usize = 1_024;

/// Where the bytes come from.
enum Source<'a> {
    Whole(Bytes),
    Ranges { objects: &'a dyn Objects, object: ObjectVersion },
}

/// An opened file of ours: its footer is read, its rows are not.
pub(crate) struct Table<'a> {
    source: Source<'a>,
    object: String,
    kind: FileKind,
    reader: ArrowReaderMetadata,
    header: Header,
}

impl<'a> Table<'a> {
    /// Opens a file of which parts will be read.
    pub(crate) async fn open(objects: &'a dyn Objects, key: &str, kind: FileKind) -> Result<Self> {
        let fetch = |source| Error::Fetch { object: key.to_owned(), kind, source };
        let object = objects.head(key, None).await.map_err(fetch)?.object;
        let size = object.size;
        let source = if size <= WHOLE {
            Source::Whole(objects.read_range(&object, 0..size).await.map_err(fetch)?)
        } else {
            Source::Ranges { objects, object }
        };
        Self::from_source(source, size, key, kind).await
    }

    /// Opens a file that will be read from beginning to end.
    pub(crate) async fn open_whole(objects: &'a dyn Objects, key: &str, kind: FileKind) -> Result<Self> {
        let bytes = objects.read(key).await.map_err(|source| Error::Fetch { object: key.to_owned(), kind, source })?;
        let size = bytes.len() as u64;
        Self::from_source(Source::Whole(bytes), size, key, kind).await
    }

    async fn from_source(source: Source<'a>, size: u64, key: &str, kind: FileKind) -> Result<Self> {
        let malformed = |source| Error::Malformed { object: key.to_owned(), kind, source };
        let parquet = |e| malformed(Malformation::NotParquet(Some(e)));
        let metadata = read_metadata(&source, size, key, kind).await?;
        let header = Header::of(metadata.file_metadata(), kind).map_err(malformed)?;
        let reader = ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new()).map_err(parquet)?;
        Ok(Self { source, object: key.to_owned(), kind, reader, header })
    }

    pub(crate) const fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.reader.metadata()
    }

    /// Rows of all row groups.
    pub(crate) fn rows(&self) -> u64 {
        self.group_rows().iter().sum()
    }

    /// Rows of each row group.
    pub(crate) fn group_rows(&self) -> Vec<u64> {
        self.metadata().row_groups().iter().map(|g| u64::try_from(g.num_rows()).unwrap_or(0)).collect()
    }

    pub(crate) fn malformed(&self, source: Malformation) -> Error {
        Error::Malformed { object: self.object.clone(), kind: self.kind, source }
    }

    fn parquet(&self, e: ParquetError) -> Error {
        self.malformed(Malformation::NotParquet(Some(e)))
    }

    /// Reads rows, one row group after the other.
    pub(crate) fn scan(&self, part: Part<'_>) -> Result<Scan<'_, 'a>> {
        let batch_rows = part.batch_rows.unwrap_or(BATCH_ROWS);
        let mut builder = ParquetPushDecoderBuilder::new_with_metadata(self.reader.clone()).with_batch_size(batch_rows);
        if let Some(columns) = part.columns {
            let fields = self.reader.schema().fields();
            let mut roots = Vec::with_capacity(columns.len());
            for &column in columns {
                let (at, _) = fields.find(column).ok_or_else(|| self.malformed(Malformation::Column { column }))?;
                roots.push(at);
            }
            let mask = ProjectionMask::roots(self.reader.parquet_schema(), roots);
            builder = builder.with_projection(mask);
        }
        if let Some(groups) = part.groups {
            builder = builder.with_row_groups(groups);
        }
        if let Some(selection) = part.selection {
            builder = builder.with_row_selection(selection);
        }
        let decoder = builder.build().map_err(|e| self.parquet(e))?;
        Ok(Scan { table: self, decoder, fetched: None })
    }

    /// Fetches some columns of one row group, to be given to [`Scan::prepared`].
    pub(crate) async fn fetch(&self, group: usize, columns: &[&'static str]) -> Result<Fetched> {
        let fields = self.reader.schema().fields();
        let chunks = self.metadata().row_groups().get(group).map(RowGroupMetaData::columns).unwrap_or_default();
        let mut ranges = Vec::with_capacity(columns.len());
        for &column in columns {
            // The columns of hashes are not nested, and come first: root and leaf have one number.
            let chunk = fields.find(column).and_then(|(at, _)| chunks.get(at));
            let (start, length) = chunk.ok_or_else(|| self.malformed(Malformation::Column { column }))?.byte_range();
            ranges.push(start..start.saturating_add(length));
        }
        let bytes = self.source.fetch(&ranges, &self.object, self.kind).await?;
        Ok(Fetched { ranges, bytes })
    }
}

/// Bytes of a file that were fetched before they were asked for.
#[derive(Clone)]
pub(crate) struct Fetched {
    ranges: Vec<Range<u64>>,
    bytes: Vec<Bytes>,
}

impl Fetched {
    fn find(&self, range: &Range<u64>) -> Option<Bytes> {
        let mut both = self.ranges.iter().zip(&self.bytes);
        both.find_map(|(held, bytes)| slice(bytes, held.start, range))
    }
}

/// What of a table is read; by default everything.
#[derive(Default)]
pub(crate) struct Part<'c> {
    /// These columns.
    pub(crate) columns: Option<&'c [&'static str]>,
    /// These row groups, in order.
    pub(crate) groups: Option<Vec<usize>>,
    /// These rows, counted over the row groups read.
    pub(crate) selection: Option<RowSelection>,
    /// So many rows at a time.
    pub(crate) batch_rows: Option<usize>,
}

/// Rows being read.
pub(crate) struct Scan<'t, 'a> {
    table: &'t Table<'a>,
    decoder: ParquetPushDecoder,
    fetched: Option<Fetched>,
}

impl Scan<'_, '_> {
    /// Uses these bytes before any are fetched.
    pub(crate) fn prepared(mut self, fetched: Fetched) -> Self {
        self.fetched = Some(fetched);
        self
    }

    /// The next rows; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            match self.decoder.try_decode().map_err(|e| self.table.parquet(e))? {
                DecodeResult::Data(batch) => return Ok(Some(batch)),
                DecodeResult::Finished => return Ok(None),
                DecodeResult::NeedsData(ranges) => {
                    let data = self.table.bytes(self.fetched.as_ref(), &ranges).await?;
                    self.decoder.push_ranges(ranges, data).map_err(|e| self.table.parquet(e))?;
                }
            }
        }
    }
}

impl Table<'_> {
    /// The bytes of each range: those that are held, and what has to be fetched.
    async fn bytes(&self, held: Option<&Fetched>, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let held = |range| held.and_then(|fetched| fetched.find(range));
        let held: Vec<Option<Bytes>> = ranges.iter().map(held).collect();
        let missing = ranges.iter().zip(&held).filter(|(_, held)| held.is_none()).map(|(range, _)| range.clone());
        let missing: Vec<Range<u64>> = missing.collect();
        let mut fetched = Vec::new();
        if !missing.is_empty() {
            fetched = self.source.fetch(&missing, &self.object, self.kind).await?;
        }
        // One for each that is missing.
        let mut fetched = fetched.into_iter();
        Ok(held.into_iter().filter_map(|held| held.or_else(|| fetched.next())).collect())
    }
}

impl Source<'_> {
    /// The bytes of each range, in few requests.
    async fn fetch(&self, ranges: &[Range<u64>], key: &str, kind: FileKind) -> Result<Vec<Bytes>> {
        let short = || Error::Malformed { object: key.to_owned(), kind, source: Malformation::NotParquet(None) };
        match self {
            Self::Whole(bytes) => ranges.iter().map(|range| slice(bytes, 0, range).ok_or_else(short)).collect(),
            Self::Ranges { objects, object } => {
                let spans = coalesce(ranges);
                let reads = spans.iter().map(|span| objects.read_range(object, span.clone()));
                let read = try_join_all(reads).await;
                let read = read.map_err(|source| Error::Fetch { object: key.to_owned(), kind, source })?;
                let covering = |range: &Range<u64>| {
                    let mut both = spans.iter().zip(&read);
                    both.find(|(span, _)| span.start <= range.start && range.end <= span.end)
                };
                let part = |range| covering(range).and_then(|(span, bytes)| slice(bytes, span.start, range));
                ranges.iter().map(|range| part(range).ok_or_else(short)).collect()
            }
        }
    }
}

/// The bytes of `range`, out of bytes that begin at `base`; `None` if they end before.
fn slice(bytes: &Bytes, base: u64, range: &Range<u64>) -> Option<Bytes> {
    let start = usize::try_from(range.start.checked_sub(base)?).ok()?;
    let end = usize::try_from(range.end.checked_sub(base)?).ok()?;
    (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
}

/// The fewest spans that cover the ranges without fetching much between them.
fn coalesce(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|r| (r.start, r.end));
    let mut spans: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match spans.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP) => last.end = last.end.max(range.end),
            _ => spans.push(range),
        }
    }
    spans
}

async fn read_metadata(source: &Source<'_>, size: u64, key: &str, kind: FileKind) -> Result<ParquetMetaData> {
    let malformed = |e| Error::Malformed { object: key.to_owned(), kind, source: Malformation::NotParquet(e) };
    let parquet = |e: ParquetError| malformed(Some(e));
    let mut decoder = ParquetMetaDataPushDecoder::try_new(size)
        .map_err(parquet)?
        .with_column_index_policy(PageIndexPolicy::Skip)
        .with_offset_index_policy(PageIndexPolicy::Optional);
    let tail = size.saturating_sub(TAIL)..size;
    let bytes = source.fetch(core::slice::from_ref(&tail), key, kind).await?.pop().ok_or_else(|| malformed(None))?;
    // The decoder subtracts this length from the size without looking.
    let length = bytes.iter().rev().skip(4).take(4).fold(0_u64, |n, byte| (n << 8) | u64::from(*byte));
    if length > size - 8 {
        return Err(malformed(None));
    }
    decoder.push_range(tail, bytes).map_err(parquet)?;
    loop {
        match decoder.try_decode().map_err(parquet)? {
            DecodeResult::Data(metadata) => return Ok(metadata),
            DecodeResult::Finished => return Err(malformed(None)),
            DecodeResult::NeedsData(ranges) => {
                let data = source.fetch(&ranges, key, kind).await?;
                decoder.push_ranges(ranges, data).map_err(parquet)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_are_fetched_as_one_and_far_ones_apart() {
        let far = 10 * GAP;
        let spans = coalesce(&[far..far + 5, 10..20, 20..30, 25..26]);
        assert_eq!(spans, [10..30, far..far + 5]);
    }
}
