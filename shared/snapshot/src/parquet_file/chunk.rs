use core::ops::Range;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::file::metadata::ColumnChunkMetaData;

use super::buffers::Buffers;
use super::header::{PageHeader, PageKind};
use super::page::{Leaf, Queue, RawPage};
use super::thrift::ThriftError;
use crate::{Cause, Limits};

/// No header of a page is longer, statistics of two long values included.
const MAX_HEADER: usize = 1 << 20;
/// Values of a nested column in one row group, whatever the file says.
const MAX_NESTED_VALUES: u64 = 64 << 20;
/// Values of a nested column that need no bytes to be believed.
const FREE_NESTED_VALUES: u64 = 4 << 20;

/// One column chunk on its way from the file to the decoder: the bytes that have come, cut into pages.
pub(crate) struct Chunk {
    /// Where it lies in the file.
    range: Range<u64>,
    /// Bytes before this have been asked for.
    requested: u64,
    /// Bytes before this have come.
    loaded: u64,
    /// What has come and is not a whole page yet; with `more` it ends at `loaded`.
    rest: Bytes,
    /// Pieces that came after it, to be put together when the page that begins in it is whole.
    more: Vec<Bytes>,
    buffers: Buffers,
    /// Bytes that the page at the start of `rest` needs, if its header is there.
    wants: Option<(PageHeader, usize)>,
    pub(crate) leaf: Leaf,
    pub(crate) queue: Queue,
    /// Rows of the row group.
    rows: u64,
    bytes_limit: u64,
    /// Values in whole pages, and rows where they are known.
    values: u64,
    known_rows: u64,
    uncompressed: u64,
    /// A nested column whose pages do not say how many rows they have: decoded only once all of it has come.
    opaque: bool,
}

impl Chunk {
    pub(crate) fn new(
        meta: &ColumnChunkMetaData,
        rows: u64,
        data_end: u64,
        limits: &Limits,
        buffers: &Buffers,
    ) -> Result<Self, Cause> {
        if meta.file_path().is_some_and(|p| !p.is_empty()) {
            return Err(Cause::Unsupported("column data in another file".to_owned()));
        }
        let codec = meta.compression();
        if matches!(codec, Compression::LZO) {
            return Err(Cause::Unsupported(format!("the codec {codec}")));
        }
        let number = |n: i64, what| u64::try_from(n).map_err(|_| Cause::Inconsistent(what));
        let data = number(meta.data_page_offset(), "a column begins before the file")?;
        // Some writers leave 0 where there is no dictionary.
        let start = match meta.dictionary_page_offset() {
            Some(offset) if offset > 0 => number(offset, "a column begins before the file")?.min(data),
            _ => data,
        };
        let length = number(meta.compressed_size(), "a column has a negative size")?;
        let end = start.checked_add(length).ok_or(Cause::Inconsistent("a column ends beyond all files"))?;
        if end > data_end {
            return Err(Cause::Truncated { what: "a column", needed: end, found: data_end });
        }
        let descriptor = meta.column_descr();
        let max_repetition = descriptor.max_rep_level();
        let values = number(meta.num_values(), "a column has a negative number of values")?;
        if max_repetition == 0 && values != rows {
            return Err(Cause::Inconsistent("a column has not one value a row"));
        }
        let queue = Queue::default();
        let mut chunk = Self {
            range: start..end,
            requested: start,
            loaded: start,
            rest: Bytes::new(),
            more: Vec::new(),
            buffers: buffers.clone(),
            wants: None,
            leaf: Leaf {
                codec,
                physical: descriptor.physical_type(),
                length: u64::try_from(descriptor.type_length()).unwrap_or(0),
                max_definition: descriptor.max_def_level(),
                max_repetition,
                page_limit: limits.page_bytes,
            },
            queue,
            rows,
            bytes_limit: limits.chunk_bytes,
            values: 0,
            known_rows: 0,
            uncompressed: 0,
            opaque: false,
        };
        chunk.cut()?;
        Ok(chunk)
    }

    /// True when the decoder can read rows up to `row` without another page.
    pub(crate) fn has(&self, row: u64) -> bool {
        self.is_complete() || (!self.opaque && self.known_rows >= row)
    }

    fn is_complete(&self) -> bool {
        self.loaded == self.range.end && self.rest.is_empty() && self.more.is_empty()
    }

    /// True when all of it has been asked for.
    pub(crate) fn is_requested(&self) -> bool {
        self.requested == self.range.end
    }

    /// True while bytes that were asked for have not come.
    pub(crate) fn is_waiting(&self) -> bool {
        self.requested > self.loaded
    }

    /// Bytes that are held for it or on their way.
    pub(crate) fn held(&self) -> u64 {
        self.unread() + self.queue.waiting() + self.requested - self.loaded
    }

    /// Bytes that have come and are not whole pages.
    fn unread(&self) -> u64 {
        self.rest.len() as u64 + self.more.iter().map(|piece| piece.len() as u64).sum::<u64>()
    }

    /// The next bytes to ask for: a window, or what the page that has begun still needs, if that is more.
    pub(crate) fn request(&mut self, window: u64) -> Option<Range<u64>> {
        if self.is_waiting() || self.is_requested() {
            return None;
        }
        let page = self.wants.as_ref().map_or(0, |(header, length)| *length as u64 + header.compressed);
        let missing = page.saturating_sub(self.unread());
        let end = (self.loaded + window.max(missing)).min(self.range.end);
        let range = self.loaded..end;
        self.requested = end;
        Some(range)
    }

    /// Takes the bytes that were asked for.
    pub(crate) fn feed(&mut self, bytes: Bytes) -> Result<(), Cause> {
        self.loaded += bytes.len() as u64;
        if self.rest.is_empty() {
            self.rest = bytes;
        } else {
            self.more.push(bytes);
            let wanted = self.wants.as_ref().map_or(0, |(header, length)| *length as u64 + header.compressed);
            if wanted > self.unread() {
                return Ok(());
            }
            self.put_together();
        }
        self.cut()
    }

    /// In memory that an earlier page has left, if there is some.
    fn put_together(&mut self) {
        let mut whole = self.buffers.take(usize::try_from(self.unread()).unwrap_or(usize::MAX));
        let mut at = 0;
        for piece in core::iter::once(&self.rest).chain(&self.more) {
            whole[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
        self.more.clear();
        self.rest = self.buffers.lend(whole);
    }

    /// Cuts whole pages off what has come.
    fn cut(&mut self) -> Result<(), Cause> {
        let end = self.loaded == self.range.end;
        while !self.rest.is_empty() {
            let (header, length) = match self.wants.take() {
                Some(known) => known,
                None => match PageHeader::parse(&self.rest) {
                    Ok(parsed) => parsed,
                    Err(ThriftError::Eof) if !end && self.rest.len() <= MAX_HEADER => return Ok(()),
                    Err(ThriftError::Eof) => return Err(Cause::PageHeader("it ends too early")),
                    Err(ThriftError::Bad(what)) => return Err(Cause::PageHeader(what)),
                },
            };
            self.believe(&header)?;
            let size = length as u64 + header.compressed;
            if size > self.rest.len() as u64 {
                if self.loaded - self.rest.len() as u64 + size > self.range.end {
                    return Err(Cause::PageHeader("the page is longer than its column"));
                }
                self.wants = Some((header, length));
                return Ok(());
            }
            let size = length + usize::try_from(header.compressed).unwrap_or(usize::MAX);
            let bytes = self.rest.split_to(size).slice(length..);
            self.count(&header)?;
            if header.kind != PageKind::Other {
                self.queue.push(RawPage { header, bytes });
            }
        }
        if end {
            if self.leaf.max_repetition == 0 && self.values != self.rows {
                return Err(Cause::Inconsistent("the pages of a column have not one value a row"));
            }
            self.queue.complete();
        }
        Ok(())
    }

    /// Checks what a header declares before its page is fetched.
    fn believe(&self, header: &PageHeader) -> Result<(), Cause> {
        for (what, found) in
            [("a page in bytes", header.compressed), ("a page in bytes, decompressed", header.uncompressed)]
        {
            if found > self.leaf.page_limit {
                return Err(Cause::TooLarge { what, found, limit: self.leaf.page_limit });
            }
        }
        Ok(())
    }

    fn count(&mut self, header: &PageHeader) -> Result<(), Cause> {
        let (values, rows) = match header.kind {
            PageKind::Other | PageKind::Dictionary { .. } => (0, Some(0)),
            PageKind::V1 { values, .. } => (values, None),
            PageKind::V2 { values, rows, .. } => (values, Some(rows)),
        };
        self.values += u64::from(values);
        self.uncompressed += header.uncompressed;
        if self.leaf.max_repetition == 0 {
            self.known_rows = self.values;
            if self.values > self.rows {
                return Err(Cause::Inconsistent("the pages of a column have more values than the row group has rows"));
            }
            return Ok(());
        }
        match rows {
            Some(rows) => self.known_rows += u64::from(rows),
            None => self.opaque = true,
        }
        let plausible = (self.rows + FREE_NESTED_VALUES + 8 * self.uncompressed).min(MAX_NESTED_VALUES);
        if self.values > plausible {
            let what = "the number of values of a nested column in one row group";
            return Err(Cause::TooLarge { what, found: self.values, limit: plausible });
        }
        if self.opaque && self.range.end - self.range.start > self.bytes_limit {
            let what = "a nested column of one row group in bytes (its pages do not say where records begin)";
            return Err(Cause::TooLarge { what, found: self.range.end - self.range.start, limit: self.bytes_limit });
        }
        Ok(())
    }
}
