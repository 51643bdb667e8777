use parquet::basic::Encoding;

use super::thrift::{Kind, Reader, ThriftError};

/// The header of one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageHeader {
    /// Bytes after decompression, levels included.
    pub(crate) uncompressed: u64,
    /// Bytes in the file after this header.
    pub(crate) compressed: u64,
    /// CRC-32 of the bytes in the file, if the writer made one.
    pub(crate) crc: Option<u32>,
    pub(crate) kind: PageKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PageKind {
    /// Not a page of values; passed over.
    Other,
    Dictionary {
        values: u32,
        encoding: Encoding,
        sorted: bool,
    },
    V1 {
        values: u32,
        encoding: Encoding,
        definition: Encoding,
        repetition: Encoding,
    },
    V2 {
        values: u32,
        nulls: u32,
        rows: u32,
        encoding: Encoding,
        definition_bytes: u32,
        repetition_bytes: u32,
        compressed: bool,
    },
}

type Result<T> = core::result::Result<T, ThriftError>;

impl PageHeader {
    /// Parses a header and returns it with its length. `Eof` if `bytes` end within it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Self, usize)> {
        let mut r = Reader::new(bytes);
        let (mut page_type, mut uncompressed, mut compressed, mut crc) = (None, None, None, None);
        let (mut v1, mut v2, mut dictionary) = (None, None, None);
        let mut last = 0;
        while let Some((id, kind)) = r.field(last)? {
            match (id, kind) {
                (1, Kind::Int) => page_type = Some(r.int32()?),
                (2, Kind::Int) => uncompressed = Some(r.int32()?),
                (3, Kind::Int) => compressed = Some(r.int32()?),
                (4, Kind::Int) => crc = Some(r.int32()?.cast_unsigned()),
                (5, Kind::Struct) => v1 = Some(data_page_v1(&mut r)?),
                (7, Kind::Struct) => dictionary = Some(dictionary_page(&mut r)?),
                (8, Kind::Struct) => v2 = Some(data_page_v2(&mut r)?),
                _ => r.skip(kind)?,
            }
            last = id;
        }
        let kind = match page_type {
            Some(0) => v1.ok_or(ThriftError::Bad("a data page without its header"))?,
            Some(2) => dictionary.ok_or(ThriftError::Bad("a dictionary page without its header"))?,
            Some(3) => v2.ok_or(ThriftError::Bad("a data page without its header"))?,
            Some(_) => PageKind::Other,
            None => return Err(ThriftError::Bad("no page type")),
        };
        let header = Self { uncompressed: size(uncompressed)?, compressed: size(compressed)?, crc, kind };
        Ok((header, r.position()))
    }
}

fn size(n: Option<i32>) -> Result<u64> {
    let n = n.ok_or(ThriftError::Bad("no page size"))?;
    u64::try_from(n).map_err(|_| ThriftError::Bad("a negative page size"))
}

fn count(n: Option<i32>) -> Result<u32> {
    let n = n.ok_or(ThriftError::Bad("no number of values"))?;
    u32::try_from(n).map_err(|_| ThriftError::Bad("a negative number of values"))
}

fn encoding(n: Option<i32>) -> Result<Encoding> {
    Ok(match n.ok_or(ThriftError::Bad("no encoding"))? {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        #[allow(deprecated)] // old writers used it for levels
        4 => Encoding::BIT_PACKED,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        7 => Encoding::DELTA_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        9 => Encoding::BYTE_STREAM_SPLIT,
        _ => return Err(ThriftError::Bad("an unknown encoding")),
    })
}

fn data_page_v1(r: &mut Reader<'_>) -> Result<PageKind> {
    let mut ints = [None; 5];
    let mut last = 0;
    while let Some((id, kind)) = r.field(last)? {
        match (id, kind) {
            (1..=4, Kind::Int) => ints[usize::from(id.unsigned_abs())] = Some(r.int32()?),
            _ => r.skip(kind)?,
        }
        last = id;
    }
    let [_, values, values_encoding, definition, repetition] = ints;
    Ok(PageKind::V1 {
        values: count(values)?,
        encoding: encoding(values_encoding)?,
        definition: encoding(definition)?,
        repetition: encoding(repetition)?,
    })
}

fn dictionary_page(r: &mut Reader<'_>) -> Result<PageKind> {
    let (mut values, mut values_encoding, mut sorted) = (None, None, false);
    let mut last = 0;
    while let Some((id, kind)) = r.field(last)? {
        match (id, kind) {
            (1, Kind::Int) => values = Some(r.int32()?),
            (2, Kind::Int) => values_encoding = Some(r.int32()?),
            (3, Kind::True) => sorted = true,
            _ => r.skip(kind)?,
        }
        last = id;
    }
    Ok(PageKind::Dictionary { values: count(values)?, encoding: encoding(values_encoding)?, sorted })
}

fn data_page_v2(r: &mut Reader<'_>) -> Result<PageKind> {
    let mut ints = [None; 7];
    let mut compressed = true;
    let mut last = 0;
    while let Some((id, kind)) = r.field(last)? {
        match (id, kind) {
            (1..=6, Kind::Int) => ints[usize::from(id.unsigned_abs())] = Some(r.int32()?),
            (7, Kind::True | Kind::False) => compressed = kind == Kind::True,
            _ => r.skip(kind)?,
        }
        last = id;
    }
    let [_, values, nulls, rows, values_encoding, definition_bytes, repetition_bytes] = ints;
    Ok(PageKind::V2 {
        values: count(values)?,
        nulls: count(nulls)?,
        rows: count(rows)?,
        encoding: encoding(values_encoding)?,
        definition_bytes: count(definition_bytes)?,
        repetition_bytes: count(repetition_bytes)?,
        compressed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// type 0, 20 bytes uncompressed, 10 compressed, { 3 values, PLAIN, RLE, RLE }
    const V1: [u8; 18] = [0x15, 0, 0x15, 40, 0x15, 20, 0x2c, 0x15, 6, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0, 0xff];

    #[test]
    fn a_header_is_read_with_its_length() {
        let (header, length) = PageHeader::parse(&V1).expect("valid");
        assert_eq!((header.uncompressed, header.compressed, header.crc, length), (20, 10, None, 17));
        assert!(matches!(header.kind, PageKind::V1 { values: 3, encoding: Encoding::PLAIN, .. }));
    }

    #[test]
    fn every_prefix_of_a_header_asks_for_more() {
        for n in 0..17 {
            assert_eq!(PageHeader::parse(&V1[..n]).map(|_| ()), Err(ThriftError::Eof), "{n}");
        }
    }

    #[test]
    fn negative_counts_and_sizes_are_refused() {
        let mut negative = V1;
        negative[8] = 5; // -3 values
        assert_eq!(PageHeader::parse(&negative).map(|_| ()), Err(ThriftError::Bad("a negative number of values")));
        let mut negative = V1;
        negative[5] = 19;
        assert_eq!(PageHeader::parse(&negative).map(|_| ()), Err(ThriftError::Bad("a negative page size")));
    }
}
