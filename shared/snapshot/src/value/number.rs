use arrow::datatypes::i256;

use super::Scalar;

/// A number of `unscaled` × 10^-`scale` in its canonical form: an integer where it is one, else without zeros at its end.
pub(super) fn decimal(unscaled: i128, scale: i8) -> Scalar<'static> {
    if scale <= 0 {
        let factor = 10_i128.checked_pow(u32::from(scale.unsigned_abs()));
        return match factor.and_then(|f| unscaled.checked_mul(f)) {
            Some(whole) => integer(whole),
            None => decimal256(i256::from_i128(unscaled), scale),
        };
    }
    let (mut unscaled, mut scale) = (unscaled, scale);
    while scale > 0 && unscaled % 10 == 0 {
        unscaled /= 10;
        scale -= 1;
    }
    if scale == 0 { integer(unscaled) } else { Scalar::Decimal { unscaled, scale: scale.unsigned_abs() } }
}

/// The same for 256 bits.
pub(super) fn decimal256(unscaled: i256, scale: i8) -> Scalar<'static> {
    let ten = i256::from_i128(10);
    let (mut unscaled, mut scale) = (unscaled, scale);
    while scale > 0 && unscaled % ten == i256::ZERO {
        unscaled /= ten;
        scale -= 1;
    }
    while scale < 0 && unscaled != i256::ZERO {
        match unscaled.checked_mul(ten) {
            Some(next) => unscaled = next,
            // No type of Parquet holds such a number.
            None => break,
        }
        scale += 1;
    }
    match unscaled.to_i128() {
        Some(small) if scale <= 0 => integer(small),
        Some(unscaled) => Scalar::Decimal { unscaled, scale: scale.unsigned_abs() },
        None => Scalar::Huge { unscaled, scale: scale.max(0).unsigned_abs() },
    }
}

/// A whole number.
pub(super) fn integer(n: i128) -> Scalar<'static> {
    i64::try_from(n).map_or(Scalar::Decimal { unscaled: n, scale: 0 }, Scalar::Int)
}

/// A floating-point number: the integer where it is one of 64 bits, so that a column that was widened from integers
/// keeps its values.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // checked: it is whole and in range
#[allow(clippy::float_cmp)] // exactly that is asked
pub(super) fn float(x: f64) -> Scalar<'static> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    // The cast saturates; what it makes of a fraction, of NaN or of too large a number does not compare equal, but for 2⁶³.
    let whole = x as i64;
    if whole as f64 == x && x < LIMIT { Scalar::Int(whole) } else { Scalar::Float(x) }
}

/// Appends `unscaled` × 10^-`scale` in decimal notation.
pub(super) fn write_decimal(digits: &str, scale: u8, out: &mut String) {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |d| ("-", d));
    out.push_str(sign);
    let scale = usize::from(scale);
    if scale == 0 {
        out.push_str(digits);
        return;
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    out.push_str(whole);
    out.push('.');
    out.push_str(fraction);
}
