use std::collections::VecDeque;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type as Physical};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::ParquetError;

use super::buffers::Buffers;
use super::codes::{self, Entries};
use super::delta;
use super::header::{PageHeader, PageKind};
use crate::Cause;

/// Lengths that one page of a delta encoding may hold; the decoder keeps eight bytes of each.
const MAX_DELTA_VALUES: u64 = 16 << 20;

/// What all pages of a column chunk have in common.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) codec: Compression,
    pub(crate) physical: Physical,
    /// Bytes of a fixed-length value.
    pub(crate) length: u64,
    pub(crate) max_definition: i16,
    pub(crate) max_repetition: i16,
    /// Bytes of one page, decompressed.
    pub(crate) page_limit: u64,
}

/// A page as it stands in the file.
#[derive(Debug)]
pub(crate) struct RawPage {
    pub(crate) header: PageHeader,
    pub(crate) bytes: Bytes,
}

/// The pages of one column chunk between the reader of the file, which puts them in, and the decoder, which takes them out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    pages: VecDeque<RawPage>,
    /// Their bytes.
    waiting: u64,
    complete: bool,
    /// The dictionary, if the column is read as codes.
    entries: Option<Entries>,
    /// Why a page could not be handed out; the decoder's own error has only text.
    failure: Option<Cause>,
}

impl Inner {
    fn pop(&mut self) -> Option<RawPage> {
        let page = self.pages.pop_front()?;
        self.waiting -= page.bytes.len() as u64;
        Some(page)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, page: RawPage) {
        let mut inner = self.lock();
        inner.waiting += page.bytes.len() as u64;
        inner.pages.push_back(page);
    }

    /// No page will be added any more.
    pub(crate) fn complete(&self) {
        self.lock().complete = true;
    }

    /// The dictionary that came before the codes.
    pub(super) fn entries(&self) -> Option<Entries> {
        self.lock().entries.clone()
    }

    pub(crate) fn failure(&self) -> Option<Cause> {
        self.lock().failure.take()
    }

    /// Bytes of the pages that wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.lock().waiting
    }
}

/// Bytes of decompressed pages that the columns of a row group hold at once.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    bytes: Arc<AtomicU64>,
    limit: u64,
}

impl Held {
    pub(crate) fn new(limit: u64) -> Self {
        Self { bytes: Arc::default(), limit }
    }

    fn swap(&self, old: u64, new: u64) -> Result<(), Cause> {
        // One thread decodes; the counter is atomic only because page readers must be `Send`.
        let now = (self.bytes.load(Ordering::Relaxed) + new).saturating_sub(old);
        self.bytes.store(now, Ordering::Relaxed);
        if now > self.limit {
            let what = "the decompressed pages of a row group, held at once, in bytes";
            return Err(Cause::TooLarge { what, found: now, limit: self.limit });
        }
        Ok(())
    }
}

/// Hands pages to the decoder: verifies, decompresses.
pub(crate) struct Pages {
    queue: Queue,
    leaf: Leaf,
    held: Held,
    buffers: Buffers,
    /// Hands out codes, and keeps the dictionary for whoever puts them together.
    coded: bool,
    dictionary_bytes: u64,
    page_bytes: u64,
    /// Made for the first page, used for all.
    zstd: Option<Zstd>,
}

type Zstd = zstd::bulk::Decompressor<'static>;

impl Pages {
    pub(crate) fn new(queue: Queue, leaf: Leaf, held: Held, buffers: Buffers, coded: bool) -> Self {
        Self { queue, leaf, held, buffers, coded, dictionary_bytes: 0, page_bytes: 0, zstd: None }
    }

    fn open(&mut self, page: RawPage) -> Result<Page, Cause> {
        let RawPage { header, bytes } = page;
        if header.crc.is_some_and(|crc| crc != crc32fast::hash(&bytes)) {
            return Err(Cause::Checksum);
        }
        let counted = if matches!(header.kind, PageKind::Dictionary { .. }) {
            &mut self.dictionary_bytes
        } else {
            &mut self.page_bytes
        };
        self.held.swap(*counted, header.uncompressed)?;
        *counted = header.uncompressed;
        let (plain, packed) = match header.kind {
            PageKind::V2 { definition_bytes, repetition_bytes, compressed, .. } => {
                let levels = u64::from(definition_bytes) + u64::from(repetition_bytes);
                if levels > header.uncompressed || levels > bytes.len() as u64 {
                    return Err(Cause::PageHeader("the levels are longer than the page"));
                }
                (to_usize(levels), compressed)
            }
            _ => (0, true),
        };
        let buf = if packed && self.leaf.codec != Compression::UNCOMPRESSED {
            let mut out = self.buffers.take(to_usize(header.uncompressed));
            decompress(self.leaf.codec, &bytes, plain, &mut out, &mut self.zstd)?;
            self.buffers.lend(out)
        } else {
            bytes
        };
        self.check(&header.kind, &buf)?;
        let (kind, buf) = if self.coded { self.code(header.kind, buf)? } else { self.decodable(header.kind, buf)? };
        Ok(match kind {
            PageKind::Dictionary { values, encoding, sorted } => {
                Page::DictionaryPage { buf, num_values: values, encoding, is_sorted: sorted }
            }
            PageKind::V1 { values, encoding, definition, repetition } => Page::DataPage {
                buf,
                num_values: values,
                encoding,
                def_level_encoding: definition,
                rep_level_encoding: repetition,
                statistics: None,
            },
            PageKind::V2 { values, nulls, rows, encoding, definition_bytes, repetition_bytes, compressed } => {
                Page::DataPageV2 {
                    buf,
                    num_values: values,
                    encoding,
                    num_nulls: nulls,
                    num_rows: rows,
                    def_levels_byte_len: definition_bytes,
                    rep_levels_byte_len: repetition_bytes,
                    is_compressed: compressed,
                    statistics: None,
                }
            }
            PageKind::Other => return Err(Cause::PageHeader("a page without values")),
        })
    }

    /// Checks the counts by which the decoder allocates.
    fn check(&self, kind: &PageKind, buf: &Bytes) -> Result<(), Cause> {
        match *kind {
            PageKind::Dictionary { values, .. } => {
                let least = match self.leaf.physical {
                    Physical::BOOLEAN => 1,
                    Physical::INT32 | Physical::FLOAT | Physical::BYTE_ARRAY => 4,
                    Physical::INT64 | Physical::DOUBLE => 8,
                    Physical::INT96 => 12,
                    Physical::FIXED_LEN_BYTE_ARRAY => self.leaf.length.max(1),
                };
                if u64::from(values) * least > buf.len() as u64 {
                    return Err(Cause::Inconsistent("a dictionary has more values than bytes for them"));
                }
                Ok(())
            }
            PageKind::V1 { values, encoding, definition, repetition } if is_delta_bytes(encoding) => {
                let at = self.levels(buf, values, repetition, definition)?;
                self.check_delta(encoding, values, buf.get(at..).unwrap_or_default())
            }
            PageKind::V2 { values, encoding, definition_bytes, repetition_bytes, .. } if is_delta_bytes(encoding) => {
                let at = to_usize(u64::from(definition_bytes) + u64::from(repetition_bytes));
                self.check_delta(encoding, values, buf.get(at..).unwrap_or_default())
            }
            _ => Ok(()),
        }
    }

    /// The page as the decoder takes it: delta-encoded 32-bit integers that are far apart are decoded here.
    fn decodable(&self, mut kind: PageKind, buf: Bytes) -> Result<(PageKind, Bytes), Cause> {
        let (encoding, values, levels) = match &mut kind {
            PageKind::V1 { values, encoding, definition, repetition } if self.may_be_wide(*encoding) => {
                let levels = self.levels(&buf, *values, *repetition, *definition)?;
                (encoding, *values, levels)
            }
            PageKind::V2 { values, encoding, definition_bytes, repetition_bytes, .. }
                if self.may_be_wide(*encoding) =>
            {
                (encoding, *values, to_usize(u64::from(*definition_bytes) + u64::from(*repetition_bytes)))
            }
            _ => return Ok((kind, buf)),
        };
        let (levels, data) = buf.split_at_checked(levels).unwrap_or((&buf, &[]));
        let plain = delta::widened(data, u64::from(values)).map_err(|what| Cause::Decode(what.to_owned()))?;
        let Some(plain) = plain else { return Ok((kind, buf)) };
        *encoding = Encoding::PLAIN;
        Ok((kind, [levels, plain.as_slice()].concat().into()))
    }

    /// The page as the decoder of codes takes it.
    fn code(&mut self, kind: PageKind, buf: Bytes) -> Result<(PageKind, Bytes), Cause> {
        match kind {
            PageKind::Dictionary { values, sorted, .. } => {
                // No more than the entries take, of which every one has four bytes or more.
                let with_numbers = self.dictionary_bytes + 4 * u64::from(values);
                self.held.swap(self.dictionary_bytes, with_numbers)?;
                self.dictionary_bytes = with_numbers;
                self.queue.lock().entries = Some(Entries { bytes: buf, count: values });
                let encoding = Encoding::PLAIN;
                Ok((PageKind::Dictionary { values, encoding, sorted }, codes::numbers(values)))
            }
            PageKind::V1 { encoding, .. } | PageKind::V2 { encoding, .. } if !codes::is_codes(encoding) => {
                Err(Cause::Inconsistent("a column has pages of an encoding that the footer does not tell of"))
            }
            other => Ok((other, buf)),
        }
    }

    fn may_be_wide(&self, encoding: Encoding) -> bool {
        self.leaf.physical == Physical::INT32 && encoding == Encoding::DELTA_BINARY_PACKED
    }

    /// Bytes of the levels of a version-1 page.
    fn levels(&self, buf: &Bytes, values: u32, repetition: Encoding, definition: Encoding) -> Result<usize, Cause> {
        let mut at = 0;
        for (max, levels) in [(self.leaf.max_repetition, repetition), (self.leaf.max_definition, definition)] {
            if max > 0 {
                at += levels_length(buf.get(at..).unwrap_or_default(), levels, max, values)?;
            }
        }
        Ok(at)
    }

    fn check_delta(&self, encoding: Encoding, values: u32, data: &[u8]) -> Result<(), Cause> {
        let values = u64::from(values);
        if values > MAX_DELTA_VALUES {
            let what = "the number of delta-encoded values of a page";
            return Err(Cause::TooLarge { what, found: values, limit: MAX_DELTA_VALUES });
        }
        let bad = |what: &'static str| Cause::Decode(what.to_owned());
        let mut total = 0_u64;
        let mut add = |length: i64| total = total.saturating_add(length.unsigned_abs());
        let prefixes = delta::read(data, values, &mut add).map_err(bad)?;
        if encoding == Encoding::DELTA_BYTE_ARRAY {
            delta::read(data.get(prefixes..).unwrap_or_default(), values, &mut add).map_err(bad)?;
        }
        if total > self.leaf.page_limit {
            let what = "the values of a page in bytes";
            return Err(Cause::TooLarge { what, found: total, limit: self.leaf.page_limit });
        }
        Ok(())
    }
}

fn is_delta_bytes(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY)
}

/// Bytes that the levels at the start of a version-1 page take.
fn levels_length(data: &[u8], encoding: Encoding, max: i16, values: u32) -> Result<usize, Cause> {
    if encoding == Encoding::RLE {
        let mut length = [0; 4];
        length.copy_from_slice(data.get(..4).ok_or(Cause::PageHeader("the levels are longer than the page"))?);
        return Ok(4 + to_usize(u64::from(u32::from_le_bytes(length))));
    }
    let width = u64::from(16 - max.leading_zeros());
    Ok(to_usize((u64::from(values) * width).div_ceil(8)))
}

/// Sizes here are below a page limit.
fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Decompresses a page whose first `plain` bytes are not compressed. Never makes more bytes than `out` has; all of them must be
/// made.
fn decompress(
    codec: Compression,
    input: &[u8],
    plain: usize,
    out: &mut Vec<u8>,
    context: &mut Option<Zstd>,
) -> Result<(), Cause> {
    let failed = |e: &dyn core::fmt::Display| Cause::Decompress(e.to_string());
    let too_short = Cause::PageHeader("the levels are longer than the page");
    let Some((levels, packed)) = input.split_at_checked(plain) else { return Err(too_short) };
    let expected = out.len() - plain;
    let (begin, rest) = out.split_at_mut(plain);
    begin.copy_from_slice(levels);
    // A page without values that are not null has nothing to decompress.
    if expected == 0 {
        return Ok(());
    }
    let found = match codec {
        Compression::SNAPPY => snap::raw::Decoder::new().decompress(packed, rest).map_err(|e| failed(&e))?,
        Compression::LZ4_RAW => lz4_flex::block::decompress_into(packed, rest).map_err(|e| failed(&e))?,
        Compression::LZ4 => hadoop_lz4(packed, rest)?,
        Compression::ZSTD(_) => {
            let context = match context {
                Some(context) => context,
                None => context.insert(Zstd::new().map_err(|e| failed(&e))?),
            };
            context.decompress_to_buffer(packed, rest).map_err(|e| failed(&e))?
        }
        Compression::GZIP(_) => {
            out.truncate(plain);
            at_most(flate2::read::MultiGzDecoder::new(packed), expected, out).map_err(|e| failed(&e))?
        }
        Compression::BROTLI(_) => {
            out.truncate(plain);
            at_most(brotli::Decompressor::new(packed, 1 << 14), expected, out).map_err(|e| failed(&e))?
        }
        other => return Err(Cause::Unsupported(format!("the codec {other}"))),
    };
    if found != expected {
        return Err(Cause::Decompress("the page is not as long as its header says".to_owned()));
    }
    Ok(())
}

/// Appends what `from` has, and stops one byte beyond what is expected.
fn at_most(from: impl Read, expected: usize, out: &mut Vec<u8>) -> std::io::Result<usize> {
    from.take(expected as u64 + 1).read_to_end(out)
}

/// `LZ4` means three things: blocks framed as Hadoop does, LZ4's own frames, or (older) one block alone.
fn hadoop_lz4(input: &[u8], out: &mut [u8]) -> Result<usize, Cause> {
    if let Some(n) = hadoop_blocks(input, out) {
        return Ok(n);
    }
    let mut framed = Vec::new();
    if let Ok(n) = at_most(lz4_flex::frame::FrameDecoder::new(input), out.len(), &mut framed)
        && n == out.len()
    {
        out.copy_from_slice(&framed);
        return Ok(n);
    }
    lz4_flex::block::decompress_into(input, out).map_err(|e| Cause::Decompress(e.to_string()))
}

fn hadoop_blocks(mut input: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut written = 0_usize;
    while !input.is_empty() {
        let (plain, rest) = input.split_first_chunk::<4>()?;
        let (packed, rest) = rest.split_first_chunk::<4>()?;
        let plain = usize::try_from(u32::from_be_bytes(*plain)).ok()?;
        let packed = usize::try_from(u32::from_be_bytes(*packed)).ok()?;
        let (block, rest) = rest.split_at_checked(packed)?;
        let to = out.get_mut(written..written.checked_add(plain)?)?;
        if lz4_flex::block::decompress_into(block, to).ok()? != plain {
            return None;
        }
        written += plain;
        input = rest;
    }
    Some(written)
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> parquet::errors::Result<Option<Page>> {
        let page = {
            let mut queue = self.queue.lock();
            match queue.pop() {
                Some(page) => page,
                None if queue.complete => return Ok(None),
                None => {
                    queue.failure = Some(Cause::Inconsistent("a page has fewer values than its header says"));
                    return Err(ParquetError::General("no page".to_owned()));
                }
            }
        };
        self.open(page).map(Some).map_err(|cause| {
            let error = ParquetError::General(cause.to_string());
            self.queue.lock().failure = Some(cause);
            error
        })
    }

    fn peek_next_page(&mut self) -> parquet::errors::Result<Option<PageMetadata>> {
        let queue = self.queue.lock();
        Ok(queue.pages.front().map(|page| match page.header.kind {
            PageKind::V2 { rows, values, .. } => PageMetadata {
                num_rows: usize::try_from(rows).ok(),
                num_levels: usize::try_from(values).ok(),
                is_dict: false,
            },
            PageKind::V1 { values, .. } => {
                PageMetadata { num_rows: None, num_levels: usize::try_from(values).ok(), is_dict: false }
            }
            PageKind::Dictionary { .. } | PageKind::Other => {
                PageMetadata { num_rows: None, num_levels: None, is_dict: true }
            }
        }))
    }

    fn skip_next_page(&mut self) -> parquet::errors::Result<()> {
        self.queue.lock().pop();
        Ok(())
    }

    fn at_record_boundary(&mut self) -> parquet::errors::Result<bool> {
        // Pages of version 2 begin with a record; of version 1 the next page must be seen.
        Ok(self.peek_next_page()?.is_none_or(|next| next.num_rows.is_some()))
    }
}

impl Iterator for Pages {
    type Item = parquet::errors::Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// The one column chunk that a decoder of one row group reads.
pub(crate) struct OneChunk(pub(crate) Option<Pages>);

impl Iterator for OneChunk {
    type Item = parquet::errors::Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|pages| Ok(Box::new(pages) as Box<dyn PageReader>))
    }
}

impl PageIterator for OneChunk {}
