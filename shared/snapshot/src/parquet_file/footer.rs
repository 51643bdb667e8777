use super::thrift::{Kind, Reader, ThriftError};
use crate::Cause;

/// Elements of a schema: columns and groups.
const MAX_SCHEMA: usize = 20_000;
/// The `parquet` crate numbers row groups with 16 bits.
const MAX_ROW_GROUPS: usize = i16::MAX as usize;
/// Levels of a schema. Every reader of nested values recurses this deep.
const MAX_SCHEMA_DEPTH: usize = 64;

/// Checks the counts and the depth that a footer declares, before it is parsed into memory. Passing this says nothing
/// about whether it parses.
pub(crate) fn check(footer: &[u8]) -> Result<(), Cause> {
    let mut r = Reader::new(footer);
    file_metadata(&mut r).map_err(|e| match e {
        Bad::Thrift(ThriftError::Eof) => Cause::Footer("it ends too early".to_owned()),
        Bad::Thrift(ThriftError::Bad(what)) => Cause::Footer(what.to_owned()),
        Bad::Cause(cause) => cause,
    })
}

enum Bad {
    Thrift(ThriftError),
    Cause(Cause),
}

impl From<ThriftError> for Bad {
    fn from(e: ThriftError) -> Self {
        Self::Thrift(e)
    }
}

fn too_many(what: &'static str, found: usize, limit: usize) -> Bad {
    Bad::Cause(Cause::TooLarge { what, found: found as u64, limit: limit as u64 })
}

fn file_metadata(r: &mut Reader<'_>) -> Result<(), Bad> {
    let mut last = 0;
    while let Some((id, kind)) = r.field(last)? {
        match (id, kind) {
            (2, Kind::List) => schema(r)?,
            (4, Kind::List) => {
                let (kind, count) = r.list()?;
                if count > MAX_ROW_GROUPS {
                    return Err(too_many("the number of row groups", count, MAX_ROW_GROUPS));
                }
                for _ in 0..count {
                    r.skip(kind)?;
                }
            }
            (8, _) => return Err(Bad::Cause(Cause::Encrypted)),
            _ => r.skip(kind)?,
        }
        last = id;
    }
    Ok(())
}

fn schema(r: &mut Reader<'_>) -> Result<(), Bad> {
    let (kind, count) = r.list()?;
    if kind != Kind::Struct {
        return Err(Bad::Cause(Cause::Footer("the schema is not a list of elements".to_owned())));
    }
    if count > MAX_SCHEMA {
        return Err(too_many("the number of schema elements", count, MAX_SCHEMA));
    }
    // Children still to come at each level of the element being read.
    let mut open: Vec<usize> = Vec::new();
    for _ in 0..count {
        let children = children(r)?;
        if children > count {
            return Err(Bad::Cause(Cause::Footer("a schema element has more children than there are".to_owned())));
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        if children > 0 {
            if open.len() == MAX_SCHEMA_DEPTH {
                return Err(too_many("the depth of the schema", MAX_SCHEMA_DEPTH + 1, MAX_SCHEMA_DEPTH));
            }
            open.push(children);
        }
    }
    Ok(())
}

/// Reads one schema element and returns how many children it declares.
fn children(r: &mut Reader<'_>) -> Result<usize, Bad> {
    let mut last = 0;
    let mut children = 0;
    while let Some((id, kind)) = r.field(last)? {
        match (id, kind) {
            (5, Kind::Int) => {
                children = usize::try_from(r.int()?)
                    .map_err(|_| Bad::Cause(Cause::Footer("a schema element has a negative size".to_owned())))?;
            }
            _ => r.skip(kind)?,
        }
        last = id;
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation)] // bytes of small numbers

    use super::*;

    /// `FileMetaData { 2: [element; n] }` with each element declaring `children`.
    fn footer(elements: usize, children: u8) -> Vec<u8> {
        let mut out = vec![0x29, 0xfc];
        let mut n = elements;
        while n >= 0x80 {
            out.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        for _ in 0..elements {
            out.extend([0x55, children << 1, 0x00]);
        }
        out.push(0);
        out
    }

    #[test]
    fn a_deep_schema_is_refused() {
        assert!(check(&footer(60, 1)).is_ok());
        assert!(matches!(check(&footer(500, 1)), Err(Cause::TooLarge { what: "the depth of the schema", .. })));
    }

    #[test]
    fn a_wide_schema_is_refused() {
        assert!(matches!(
            check(&footer(30_000, 0)),
            Err(Cause::TooLarge { what: "the number of schema elements", .. })
        ));
    }

    #[test]
    fn a_count_of_row_groups_without_row_groups_is_refused() {
        // field 4: a list of 2^31 - 1 structs, then nothing
        let lie = [0x49, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00];
        assert_eq!(check(&lie), Err(Cause::Footer("a list is longer than the input".to_owned())));
    }

    #[test]
    fn garbage_never_panics() {
        for seed in 0..2000_u32 {
            let bytes: Vec<u8> =
                (0..64_u32).map(|i| (seed.wrapping_mul(2_654_435_761).rotate_left(i) >> (i % 24)) as u8).collect();
            let _ = check(&bytes);
        }
    }
}
