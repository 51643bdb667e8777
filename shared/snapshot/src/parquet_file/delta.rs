//! The lengths of delta-encoded byte arrays, read once before they are decoded.
//!
//! The decoder allocates by the count in the encoding's own header, and `DELTA_BYTE_ARRAY` repeats prefixes, so that a
//! page of a megabyte can stand for a terabyte of values. Both are found out here.

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
