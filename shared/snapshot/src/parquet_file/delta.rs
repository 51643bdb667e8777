//! Delta-encoded integers, where the decoder must not see them as they are.
//!
//! The decoder allocates by the count in the encoding's own header, and `DELTA_BYTE_ARRAY` repeats prefixes, so that a
//! page of a megabyte can stand for a terabyte of values. Both are found out here, in the lengths.
//!
//! Two 32-bit integers may differ by more than 32 bits hold. Some writers wrap such a difference around, others (DuckDB's
//! version 2) write it as it is; the format says that a reader should take both, and the decoder refuses the second.

/// Reads a `DELTA_BINARY_PACKED` block of at most `max` values; calls `each` with every value. Returns the bytes it takes.
pub(crate) fn read(bytes: &[u8], max: u64, mut each: impl FnMut(i64)) -> Result<usize, &'static str> {
    let mut at = 0;
    let block = varint(bytes, &mut at)?;
    let minis = varint(bytes, &mut at)?;
    let mut left = varint(bytes, &mut at)?;
    let mut value = zigzag(varint(bytes, &mut at)?);
    if left > max {
        return Err("more delta-encoded lengths than values");
    }
    if minis == 0 || block % 128 != 0 || block % minis != 0 || (block / minis) % 32 != 0 || block > 1 << 24 {
        return Err("an invalid block of delta-encoded lengths");
    }
    let per_mini = block / minis;
    if left == 0 {
        return Ok(at);
    }
    each(value);
    left -= 1;
    while left > 0 {
        let least = zigzag(varint(bytes, &mut at)?);
        let end = at + to_usize(minis);
        let widths = bytes.get(at..end).ok_or("delta-encoded lengths end too early")?;
        at = end;
        for &width in widths {
            if left == 0 {
                // The rest of the block's widths are padding and have no data.
                break;
            }
            if width > 64 {
                return Err("an invalid bit width");
            }
            let data = bytes.get(at..).unwrap_or_default();
            let n = left.min(per_mini);
            for i in 0..n {
                let delta = bits(data, i * u64::from(width), width).ok_or("delta-encoded lengths end too early")?;
                value = value.wrapping_add(least).wrapping_add(delta.cast_signed());
                each(value);
            }
            left -= n;
            at += to_usize(u64::from(width) * per_mini / 8);
        }
    }
    Ok(at)
}

/// The same 32-bit integers without an encoding, if a difference of theirs takes more than 32 bits. At most `max`.
pub(crate) fn widened(bytes: &[u8], max: u64) -> Result<Option<Vec<u8>>, &'static str> {
    if !is_wide(bytes).unwrap_or(false) {
        return Ok(None);
    }
    let mut plain = Vec::new();
    // Differences wrap around, in however many bits they were written.
    #[allow(clippy::cast_possible_truncation)]
    read(bytes, max, |value| plain.extend_from_slice(&(value as i32).to_le_bytes()))?;
    Ok(Some(plain))
}

/// Looks through the headers of the blocks. What is broken is not wide; the decoder will say what it is.
fn is_wide(bytes: &[u8]) -> Result<bool, &'static str> {
    let mut at = 0;
    let (block, minis, count) = (varint(bytes, &mut at)?, varint(bytes, &mut at)?, varint(bytes, &mut at)?);
    varint(bytes, &mut at)?;
    let per_mini = block.checked_div(minis).unwrap_or(0);
    let mut left = count.saturating_sub(1);
    while left > 0 && per_mini > 0 {
        if i32::try_from(zigzag(varint(bytes, &mut at)?)).is_err() {
            return Ok(true);
        }
        let end = at.saturating_add(to_usize(minis));
        let widths = bytes.get(at..end).ok_or("delta-encoded integers end too early")?;
        at = end;
        for &width in widths {
            if left == 0 {
                break;
            }
            if width > 32 {
                return Ok(true);
            }
            left = left.saturating_sub(per_mini);
            at = at.saturating_add(to_usize(u64::from(width).saturating_mul(per_mini) / 8));
        }
    }
    Ok(false)
}

fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn zigzag(v: u64) -> i64 {
    (v >> 1).cast_signed() ^ -(v & 1).cast_signed()
}

fn varint(bytes: &[u8], at: &mut usize) -> Result<u64, &'static str> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let b = *bytes.get(*at).ok_or("delta-encoded lengths end too early")?;
        *at += 1;
        value |= u64::from(b & 0x7f) << shift;
        if b & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number is too long")
}

/// `width` bits (at most 64) that begin `from` bits into `data`, least significant first.
fn bits(data: &[u8], from: u64, width: u8) -> Option<u64> {
    if width == 0 {
        return Some(0);
    }
    let first = to_usize(from / 8);
    let shift = u32::try_from(from % 8).unwrap_or(0);
    let bytes = (shift + u32::from(width)).div_ceil(8);
    let mut window = [0_u8; 16];
    let n = usize::try_from(bytes).ok()?;
    window.get_mut(..n)?.copy_from_slice(data.get(first..first.checked_add(n)?)?);
    let value = u128::from_le_bytes(window) >> shift;
    let mask = if width == 64 { u128::from(u64::MAX) } else { (1 << width) - 1 };
    u64::try_from(value & mask).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        // 1, 2, 3, 4, 5 in one block of 128 values and 4 miniblocks: every delta is 1, so the widths are 0.
        let bytes = [0x80, 0x01, 4, 5, 2, 2, 0, 0, 0, 0, 0xee];
        let mut values = Vec::new();
        assert_eq!(read(&bytes, 5, |v| values.push(v)), Ok(10));
        assert_eq!(values, [1, 2, 3, 4, 5]);
        assert_eq!(read(&bytes, 4, |_| ()), Err("more delta-encoded lengths than values"));
    }

    #[test]
    fn differences_of_more_than_32_bits_are_taken_as_they_are() {
        // i32::MIN, i32::MAX: one delta of 2^32 - 1, which is the least of its block; the widths are 0.
        let mut bytes = vec![0x80, 0x01, 4, 2];
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0x0f, 0xfe, 0xff, 0xff, 0xff, 0x1f, 0, 0, 0, 0]);
        let plain = [i32::MIN.to_le_bytes(), i32::MAX.to_le_bytes()].concat();
        assert_eq!(widened(&bytes, 2), Ok(Some(plain)));
        assert!(widened(&bytes, 1).is_err(), "more values than the page has");
        // The same, wrapped around: a delta of -1.
        let wrapped = [0x80, 0x01, 4, 2, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0, 0, 0, 0];
        assert_eq!(widened(&wrapped, 2), Ok(None), "the decoder can");
        // A miniblock of 33 bits.
        let mut bytes = vec![0x80, 0x01, 4, 3, 0, 0, 33, 0, 0, 0];
        let packed = (1_u128 << 32 | 5) | (3 << 33);
        bytes.extend(packed.to_le_bytes());
        bytes.resize(10 + 33 * 4, 0);
        assert_eq!(widened(&bytes, 3), Ok(Some([0_i32, 5, 8].map(i32::to_le_bytes).concat())));
        for n in 0..18 {
            assert!(!matches!(widened(&bytes[..n], 3), Ok(Some(_))), "{n}");
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        // 7, 5, 3, 1, 2, 3, 4, 5: deltas -2 -2 -2 1 1 1 1, least -2, width 2
        let bytes = [0x80, 0x01, 4, 8, 14, 3, 2, 0, 0, 0, 0xc0, 0x3f, 0, 0, 0, 0, 0, 0];
        let mut values = Vec::new();
        assert_eq!(read(&bytes, 8, |v| values.push(v)), Ok(18));
        assert_eq!(values, [7, 5, 3, 1, 2, 3, 4, 5]);
        for n in 0..11 {
            assert!(read(&bytes[..n], 8, |_| ()).is_err(), "{n}");
        }
    }
}
