//! What the page index of a file says of the pages of a column chunk.
//!
//! A hint, not a promise: whatever is odd about it is as good as absent. Nothing is allocated by a count that has no bytes.

use core::ops::Range;

use super::thrift::{Kind, Reader, ThriftError};

/// Some pages of a column chunk that follow each other from its first row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page<'b> {
    /// Its rows.
    pub(super) rows: Range<u64>,
    /// Nothing but nulls: then there are no bounds.
    pub(super) is_null: bool,
    pub(super) nulls: Option<u64>,
    /// As statistics have them.
    pub(super) min: &'b [u8],
    pub(super) max: &'b [u8],
}

/// The pages of a column chunk of so many rows; `None` if the two indexes cannot be, or do not fit together.
pub(super) fn pages<'b>(column_index: &'b [u8], offset_index: &[u8], rows: u64) -> Option<Vec<Page<'b>>> {
    let first_rows = first_rows(offset_index).ok()?;
    let Columns { null_pages, mins, maxs, nulls } = columns(column_index).ok()?;
    let count = first_rows.len();
    let fits = null_pages.len() == count && mins.len() == count && maxs.len() == count;
    if !fits || nulls.as_ref().is_some_and(|nulls| nulls.len() != count) {
        return None;
    }
    let ends = first_rows.iter().copied().skip(1).chain([rows]);
    let mut pages = Vec::with_capacity(count);
    let mut at = 0;
    for (number, (first, end)) in first_rows.iter().copied().zip(ends).enumerate() {
        if first != at || first >= end {
            return None;
        }
        at = end;
        let nulls = nulls.as_ref().and_then(|nulls| u64::try_from(*nulls.get(number)?).ok());
        let (min, max) = (*mins.get(number)?, *maxs.get(number)?);
        pages.push(Page { rows: first..end, is_null: *null_pages.get(number)?, nulls, min, max });
    }
    Some(pages)
}

/// `OffsetIndex.page_locations[].first_row_index`.
fn first_rows(bytes: &[u8]) -> Result<Vec<u64>, ThriftError> {
    let mut r = Reader::new(bytes);
    let (mut last, mut rows) = (0, Vec::new());
    while let Some((id, kind)) = r.field(last)? {
        last = id;
        if (id, kind) != (1, Kind::List) {
            r.skip(kind)?;
            continue;
        }
        let (kind, count) = r.list()?;
        if kind != Kind::Struct {
            return Err(ThriftError::Bad("pages that have no place"));
        }
        for _ in 0..count {
            let (mut last, mut row) = (0, None);
            while let Some((id, kind)) = r.field(last)? {
                last = id;
                match (id, kind) {
                    (3, Kind::Int) => row = u64::try_from(r.int()?).ok(),
                    _ => r.skip(kind)?,
                }
            }
            rows.push(row.ok_or(ThriftError::Bad("a page without a first row"))?);
        }
    }
    Ok(rows)
}

#[derive(Default)]
struct Columns<'b> {
    null_pages: Vec<bool>,
    mins: Vec<&'b [u8]>,
    maxs: Vec<&'b [u8]>,
    nulls: Option<Vec<i64>>,
}

/// `ColumnIndex`.
fn columns(bytes: &[u8]) -> Result<Columns<'_>, ThriftError> {
    let mut r = Reader::new(bytes);
    let (mut last, mut found) = (0, Columns::default());
    while let Some((id, kind)) = r.field(last)? {
        last = id;
        match (id, kind) {
            (1, Kind::List) => found.null_pages = r.bools()?,
            (2, Kind::List) => found.mins = binaries(&mut r)?,
            (3, Kind::List) => found.maxs = binaries(&mut r)?,
            (5, Kind::List) => {
                let (_, count) = r.list()?;
                found.nulls = Some((0..count).map(|_| r.int()).collect::<Result<_, _>>()?);
            }
            _ => r.skip(kind)?,
        }
    }
    Ok(found)
}

fn binaries<'b>(r: &mut Reader<'b>) -> Result<Vec<&'b [u8]>, ThriftError> {
    let (kind, count) = r.list()?;
    if kind != Kind::Binary {
        return Err(ThriftError::Bad("bounds that are not bytes"));
    }
    (0..count).map(|_| r.binary()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pages: rows 0 to 9 with bounds `a` and `c` and one null, rows 10 to 15 of nulls.
    fn index() -> (Vec<u8>, Vec<u8>) {
        let columns = vec![
            0x19, 0x21, 2, 1, // null_pages: [false, true]
            0x19, 0x28, 1, b'a', 0, // min_values
            0x19, 0x28, 1, b'c', 0, // max_values
            0x15, 0x00, // boundary_order
            0x19, 0x26, 2, 12, // null_counts: [1, 6]
            0x00,
        ];
        let location = |row: u8| [0x16, 8, 0x15, 20, 0x16, row << 1, 0x00];
        let offsets = [vec![0x19, 0x2c], location(0).to_vec(), location(10).to_vec(), vec![0x00]].concat();
        (columns, offsets)
    }

    #[test]
    fn pages_have_their_rows_and_bounds() {
        let (columns, offsets) = index();
        let found = pages(&columns, &offsets, 16).unwrap();
        let first = Page { rows: 0..10, is_null: false, nulls: Some(1), min: b"a", max: b"c" };
        let second = Page { rows: 10..16, is_null: true, nulls: Some(6), min: b"", max: b"" };
        assert_eq!(found, [first, second]);
    }

    #[test]
    fn what_does_not_fit_together_is_as_good_as_absent() {
        let (columns, offsets) = index();
        assert_eq!(pages(&columns, &offsets, 10), None, "a page without rows");
        let (mut other, mut late) = (offsets.clone(), offsets.clone());
        other[14] = 0;
        assert_eq!(pages(&columns, &other, 16), None, "two pages from the same row");
        late[7] = 2;
        assert_eq!(pages(&columns, &late, 16), None, "rows before the first page");
        for end in 0..columns.len() {
            assert_eq!(pages(&columns[..end], &offsets, 16), None);
        }
        for end in 0..offsets.len() {
            assert_eq!(pages(&columns, &offsets[..end], 16), None);
        }
    }

    #[test]
    fn flipped_bits_never_panic() {
        let (columns, offsets) = index();
        for bit in 0..8 * columns.len() {
            let mut changed = columns.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let _ = pages(&changed, &offsets, 16);
        }
        for bit in 0..8 * offsets.len() {
            let mut changed = offsets.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let _ = pages(&columns, &changed, 16);
        }
    }
}
