//! The compact protocol of Thrift, as far as page headers and a check of footers need it.
//!
//! The `parquet` crate parses footers itself, but allocates by counts that the footer states and builds nested schemas by
//! recursion. A process that runs out of memory or stack dies without an error, so counts and depth are checked here first.

/// Input that is not the compact protocol, or ends too early. `Eof` tells a reader of a growing window to get more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThriftError {
    Eof,
    Bad(&'static str),
}

/// The type of a field or list element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    True,
    False,
    Byte,
    Int,
    Double,
    Binary,
    List,
    Struct,
    Uuid,
}

/// A cursor over bytes. Never reads beyond them, never allocates.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    read: usize,
}

/// Nothing in a footer or page header is nested deeper.
const MAX_DEPTH: u32 = 24;
/// No list in a footer is longer (columns of a row group, schema elements).
pub(crate) const MAX_LIST: usize = 1_000_000;

type Result<T> = core::result::Result<T, ThriftError>;

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, read: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.read
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.read.checked_add(n).ok_or(ThriftError::Bad("a length overflows"))?;
        let bytes = self.bytes.get(self.read..end).ok_or(ThriftError::Eof)?;
        self.read = end;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8> {
        let b = *self.bytes.get(self.read).ok_or(ThriftError::Eof)?;
        self.read += 1;
        Ok(b)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let b = self.byte()?;
            if shift == 63 && b > 1 {
                break;
            }
            value |= u64::from(b & 0x7f) << shift;
            if b & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ThriftError::Bad("a number is too long"))
    }

    fn length(&mut self) -> Result<usize> {
        usize::try_from(self.varint()?).map_err(|_| ThriftError::Bad("a length overflows"))
    }

    /// A zigzag number.
    pub(crate) fn int(&mut self) -> Result<i64> {
        let v = self.varint()?;
        Ok((v >> 1).cast_signed() ^ -(v & 1).cast_signed())
    }

    /// A zigzag number that must fit in 32 bits.
    pub(crate) fn int32(&mut self) -> Result<i32> {
        i32::try_from(self.int()?).map_err(|_| ThriftError::Bad("a number is too large"))
    }

    /// The next field of a struct: its id and type; `None` at the end. `last` is the id of the field before.
    pub(crate) fn field(&mut self, last: i16) -> Result<Option<(i16, Kind)>> {
        let b = self.byte()?;
        if b == 0 {
            return Ok(None);
        }
        let kind = kind(b & 0x0f)?;
        let id = match b >> 4 {
            0 => i16::try_from(self.int()?).map_err(|_| ThriftError::Bad("a field id is too large"))?,
            delta => last.checked_add(i16::from(delta)).ok_or(ThriftError::Bad("a field id is too large"))?,
        };
        Ok(Some((id, kind)))
    }

    /// The header of a list: element type and count. Every element takes a byte, so a count beyond the input is refused.
    pub(crate) fn list(&mut self) -> Result<(Kind, usize)> {
        let b = self.byte()?;
        let count = match b >> 4 {
            15 => self.length()?,
            n => usize::from(n),
        };
        let kind = kind(b & 0x0f)?;
        if matches!(kind, Kind::True | Kind::False) {
            // Not in footers or page headers; implementations differ on the size of such an element.
            return Err(ThriftError::Bad("a list of booleans"));
        }
        if count > self.bytes.len() - self.read || count > MAX_LIST {
            return Err(ThriftError::Bad("a list is longer than the input"));
        }
        Ok((kind, count))
    }

    /// A list of booleans, a byte each: 1 is true, and writers differ on what is false.
    pub(crate) fn bools(&mut self) -> Result<Vec<bool>> {
        let b = self.byte()?;
        let count = match b >> 4 {
            15 => self.length()?,
            n => usize::from(n),
        };
        if !matches!(kind(b & 0x0f)?, Kind::True | Kind::False) {
            return Err(ThriftError::Bad("a list that is not of booleans"));
        }
        Ok(self.take(count)?.iter().map(|b| *b == 1).collect())
    }

    /// Bytes.
    pub(crate) fn binary(&mut self) -> Result<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    /// Passes over a value.
    pub(crate) fn skip(&mut self, kind: Kind) -> Result<()> {
        self.skip_at(kind, 0)
    }

    fn skip_at(&mut self, kind: Kind, depth: u32) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(ThriftError::Bad("it is nested too deeply"));
        }
        match kind {
            Kind::True | Kind::False => {}
            Kind::Byte => {
                self.byte()?;
            }
            Kind::Int => {
                self.varint()?;
            }
            Kind::Double => {
                self.take(8)?;
            }
            Kind::Uuid => {
                self.take(16)?;
            }
            Kind::Binary => {
                let n = self.length()?;
                self.take(n)?;
            }
            Kind::List => {
                let (kind, count) = self.list()?;
                for _ in 0..count {
                    self.skip_at(kind, depth + 1)?;
                }
            }
            Kind::Struct => {
                let mut last = 0;
                while let Some((id, kind)) = self.field(last)? {
                    self.skip_at(kind, depth + 1)?;
                    last = id;
                }
            }
        }
        Ok(())
    }
}

fn kind(code: u8) -> Result<Kind> {
    Ok(match code {
        1 => Kind::True,
        2 => Kind::False,
        3 => Kind::Byte,
        4..=6 => Kind::Int,
        7 => Kind::Double,
        8 => Kind::Binary,
        9 | 10 => Kind::List,
        12 => Kind::Struct,
        13 => Kind::Uuid,
        // Parquet has no maps; a map's size is not bounded by its bytes.
        _ => return Err(ThriftError::Bad("an unknown type")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        assert_eq!(Reader::new(&[0x01]).int(), Ok(-1));
        assert_eq!(Reader::new(&[0x80, 0x02]).int(), Ok(128));
        assert_eq!(Reader::new(&[0x80]).int(), Err(ThriftError::Eof));
        assert_eq!(Reader::new(&[0xff; 11]).int(), Err(ThriftError::Bad("a number is too long")));
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Reader::new(&max).int(), Ok(i64::MIN));
    }

    #[test]
    fn a_list_longer_than_the_input_is_refused_before_it_is_read() {
        let mut r = Reader::new(&[0xfc, 0xff, 0xff, 0xff, 0xff, 0x07]);
        assert_eq!(r.list(), Err(ThriftError::Bad("a list is longer than the input")));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = vec![0x1c_u8; 100_000];
        assert_eq!(Reader::new(&deep).skip(Kind::Struct), Err(ThriftError::Bad("it is nested too deeply")));
    }
}
