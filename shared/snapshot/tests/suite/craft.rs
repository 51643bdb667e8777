//! Parquet files made byte by byte, so that they can lie.

#![allow(clippy::cast_possible_truncation)] // bytes of small numbers

use bytes::Bytes;

/// A struct of Thrift's compact protocol being written.
#[derive(Default)]
pub(crate) struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

pub(crate) fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)).cast_unsigned()
}

impl Struct {
    fn field(&mut self, id: u8, kind: u8) {
        self.bytes.push((id - self.last) << 4 | kind);
        self.last = id;
    }

    pub(crate) fn int(mut self, id: u8, n: i64) -> Self {
        self.field(id, if n > i64::from(i32::MAX) { 6 } else { 5 });
        varint(zigzag(n), &mut self.bytes);
        self
    }

    pub(crate) fn long(mut self, id: u8, n: i64) -> Self {
        self.field(id, 6);
        varint(zigzag(n), &mut self.bytes);
        self
    }

    pub(crate) fn text(mut self, id: u8, text: &str) -> Self {
        self.field(id, 8);
        varint(text.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    pub(crate) fn nested(mut self, id: u8, inner: Self) -> Self {
        self.field(id, 12);
        self.bytes.extend(inner.end());
        self
    }

    /// A list of structs that says it has `count`.
    pub(crate) fn list(mut self, id: u8, count: u64, items: Vec<Self>) -> Self {
        self.field(id, 9);
        self.bytes.push(0xfc);
        varint(count, &mut self.bytes);
        for item in items {
            self.bytes.extend(item.end());
        }
        self
    }

    fn ints(mut self, id: u8, items: &[i64]) -> Self {
        self.field(id, 9);
        self.bytes.push((items.len() as u8) << 4 | 5);
        for n in items {
            varint(zigzag(*n), &mut self.bytes);
        }
        self
    }

    fn texts(mut self, id: u8, items: &[&str]) -> Self {
        self.field(id, 9);
        self.bytes.push((items.len() as u8) << 4 | 8);
        for text in items {
            varint(text.len() as u64, &mut self.bytes);
            self.bytes.extend_from_slice(text.as_bytes());
        }
        self
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

/// A file of one row group with one column `x`, and what it says of itself.
pub(crate) struct Lie {
    pub(crate) physical: i64,
    pub(crate) type_length: Option<i64>,
    /// 0 required, 1 optional, 2 repeated.
    pub(crate) repetition: i64,
    pub(crate) codec: i64,
    pub(crate) rows: i64,
    pub(crate) values: i64,
    pub(crate) uncompressed: i64,
    pub(crate) compressed: Option<i64>,
    pub(crate) pages: Vec<u8>,
}

impl Default for Lie {
    fn default() -> Self {
        Self {
            physical: 2,
            type_length: None,
            repetition: 0,
            codec: 0,
            rows: 2,
            values: 2,
            uncompressed: 100,
            compressed: None,
            pages: page(16, 16, data(2, 0), &[0; 16]),
        }
    }
}

/// The header of a version-1 data page: number of values, encoding.
pub(crate) fn data(values: i64, encoding: i64) -> Struct {
    Struct::default().int(1, values).int(2, encoding).int(3, 3).int(4, 3)
}

/// A version-1 data page.
pub(crate) fn page(uncompressed: i64, compressed: i64, header: Struct, body: &[u8]) -> Vec<u8> {
    let header = Struct::default().int(1, 0).int(2, uncompressed).int(3, compressed).nested(5, header);
    [header.end(), body.to_vec()].concat()
}

/// A dictionary page.
pub(crate) fn dictionary(values: i64, body: &[u8]) -> Vec<u8> {
    let size = i64::try_from(body.len()).expect("small");
    let header = Struct::default().int(1, 2).int(2, size).int(3, size);
    let header = header.nested(7, Struct::default().int(1, values).int(2, 0));
    [header.end(), body.to_vec()].concat()
}

impl Lie {
    pub(crate) fn file(self) -> Bytes {
        let column = Struct::default().int(1, self.physical);
        let column = match self.type_length {
            Some(length) => column.int(2, length),
            None => column,
        };
        let schema = vec![Struct::default().text(4, "schema").int(5, 1), column.int(3, self.repetition).text(4, "x")];
        let size = i64::try_from(self.pages.len()).expect("small");
        let meta = Struct::default()
            .int(1, self.physical)
            .ints(2, &[0])
            .texts(3, &["x"])
            .int(4, self.codec)
            .long(5, self.values)
            .long(6, self.uncompressed)
            .long(7, self.compressed.unwrap_or(size))
            .long(9, 4);
        let chunk = Struct::default().long(2, 4).nested(3, meta);
        let group = Struct::default().list(1, 1, vec![chunk]).long(2, size).long(3, self.rows);
        let footer = Struct::default().int(1, 1).list(2, 2, schema).long(3, self.rows).list(4, 1, vec![group]);
        with_footer(&self.pages, &footer.end())
    }
}

pub(crate) fn with_footer(pages: &[u8], footer: &[u8]) -> Bytes {
    let length = u32::try_from(footer.len()).expect("small").to_le_bytes();
    [b"PAR1", pages, footer, &length, b"PAR1"].concat().into()
}
