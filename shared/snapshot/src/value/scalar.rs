use core::fmt::Write;

use arrow::datatypes::i256;
use serde_json::{Number, Value};

use super::{calendar, number};

/// One value that is not nested, in its canonical form. Build numbers with [`super::number`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// A whole number of 64 bits, whatever its type was.
    Int(i64),
    /// `unscaled` × 10^-`scale`; a whole number beyond 64 bits has scale 0.
    Decimal {
        unscaled: i128,
        scale: u8,
    },
    /// A decimal that needs more than 128 bits.
    Huge {
        unscaled: i256,
        scale: u8,
    },
    /// Not a whole number of 64 bits.
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Uuid(&'a [u8]),
    /// Days since 1970-01-01.
    Date(i64),
    /// Nanoseconds since midnight.
    Time(i64),
    /// A point in time (`zoned`) or on a calendar without a zone.
    Timestamp {
        seconds: i64,
        nanos: u32,
        zoned: bool,
    },
}

/// The lowest byte of an encoding's first word. Part of the recipe.
pub(crate) mod tag {
    pub(crate) const NULL: u8 = 0x00;
    pub(crate) const FALSE: u8 = 0x01;
    pub(crate) const TRUE: u8 = 0x02;
    pub(crate) const INT: u8 = 0x10;
    pub(crate) const DECIMAL: u8 = 0x11;
    pub(crate) const HUGE: u8 = 0x12;
    pub(crate) const FLOAT: u8 = 0x13;
    pub(crate) const NAN: u8 = 0x14;
    pub(crate) const TEXT: u8 = 0x20;
    pub(crate) const BYTES: u8 = 0x21;
    pub(crate) const UUID: u8 = 0x22;
    pub(crate) const DATE: u8 = 0x30;
    pub(crate) const TIME: u8 = 0x31;
    pub(crate) const INSTANT: u8 = 0x32;
    pub(crate) const LOCAL: u8 = 0x33;
    pub(crate) const LIST: u8 = 0x40;
    pub(crate) const STRUCT: u8 = 0x41;
    pub(crate) const MAP: u8 = 0x42;
    pub(crate) const LONG: u8 = 0x50;

    /// The first word of a value that has a length.
    #[inline]
    pub(crate) const fn with_length(tag: u8, length: usize) -> u64 {
        tag as u64 | (length as u64) << 8
    }
}

/// The words that are hashed for a value.
pub(crate) enum Words<'a> {
    /// The first so many.
    Few([u64; 5], usize),
    /// A first word of this kind and their length, then these, filled up with zeros.
    Bytes(u8, &'a [u8]),
}

/// Appends the encoding of a text.
pub(crate) fn text_encoding(text: &str, out: &mut Vec<u64>) {
    bytes_encoding(tag::TEXT, text.as_bytes(), out);
}

/// Appends the encoding of some bytes.
pub(crate) fn bytes_encoding(kind: u8, bytes: &[u8], out: &mut Vec<u64>) {
    out.push(tag::with_length(kind, bytes.len()));
    let (words, rest) = bytes.as_chunks::<8>();
    out.extend(words.iter().map(|word| u64::from_le_bytes(*word)));
    if !rest.is_empty() {
        out.push(crate::sip::tail(rest));
    }
}

impl<'a> Scalar<'a> {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The words that are hashed. No encoding is the beginning of another.
    #[inline(always)]
    #[allow(clippy::inline_always)] // where the kind of value is known, the rest of this falls away
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // numbers as their bits
    pub(crate) fn words(self) -> Words<'a> {
        let few = |words: &[u64]| {
            let mut all = [0; 5];
            all[..words.len()].copy_from_slice(words);
            Words::Few(all, words.len())
        };
        let one = |tag: u8, word: u64| few(&[u64::from(tag), word]);
        match self {
            Self::Null => few(&[u64::from(tag::NULL)]),
            Self::Bool(false) => few(&[u64::from(tag::FALSE)]),
            Self::Bool(true) => few(&[u64::from(tag::TRUE)]),
            Self::Int(n) => one(tag::INT, n as u64),
            Self::Decimal { unscaled, scale } => {
                few(&[tag::with_length(tag::DECIMAL, scale.into()), unscaled as u64, (unscaled >> 64) as u64])
            }
            Self::Huge { unscaled, scale } => {
                let (low, high) = unscaled.to_parts();
                let first = tag::with_length(tag::HUGE, scale.into());
                few(&[first, low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64])
            }
            Self::Float(x) if x.is_nan() => few(&[u64::from(tag::NAN)]),
            Self::Float(x) => one(tag::FLOAT, x.to_bits()),
            Self::Text(text) => Words::Bytes(tag::TEXT, text.as_bytes()),
            Self::Bytes(bytes) => Words::Bytes(tag::BYTES, bytes),
            Self::Uuid(bytes) => Words::Bytes(tag::UUID, bytes),
            Self::Date(days) => one(tag::DATE, days as u64),
            Self::Time(nanos) => one(tag::TIME, nanos as u64),
            Self::Timestamp { seconds, nanos, zoned } => {
                let tag = if zoned { tag::INSTANT } else { tag::LOCAL };
                few(&[u64::from(tag) | u64::from(nanos) << 8, seconds as u64])
            }
        }
    }

    /// Appends the words that are hashed.
    pub(crate) fn encode(self, out: &mut Vec<u64>) {
        match self.words() {
            Words::Few(words, count) => out.extend_from_slice(&words[..count]),
            Words::Bytes(kind, bytes) => bytes_encoding(kind, bytes, out),
        }
    }

    /// Appends the canonical text: what a key is made of, and what `normalize` sees. A null appends nothing.
    pub(crate) fn write_text(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match *self {
            Self::Null => Ok(()),
            Self::Bool(b) => out.write_str(if b { "true" } else { "false" }),
            Self::Int(n) => write!(out, "{n}"),
            Self::Decimal { unscaled, scale } => {
                number::write_decimal(&unscaled.to_string(), scale, out);
                Ok(())
            }
            Self::Huge { unscaled, scale } => {
                number::write_decimal(&unscaled.to_string(), scale, out);
                Ok(())
            }
            Self::Float(x) if x.is_nan() => out.write_str("NaN"),
            Self::Float(x) if x.is_infinite() => out.write_str(if x > 0.0 { "Infinity" } else { "-Infinity" }),
            Self::Float(x) => write!(out, "{x:?}"),
            Self::Text(text) => out.write_str(text),
            Self::Bytes(bytes) => out.write_str(&hex::encode(bytes)),
            Self::Uuid(bytes) => {
                for (i, byte) in bytes.iter().enumerate() {
                    if matches!(i, 4 | 6 | 8 | 10) {
                        out.push('-');
                    }
                    let _ = write!(out, "{byte:02x}");
                }
                Ok(())
            }
            Self::Date(days) => calendar::write_date(days, out),
            Self::Time(nanos) => calendar::write_time(nanos, out),
            Self::Timestamp { seconds, nanos, zoned } => {
                let of_day = seconds.rem_euclid(86_400) * 1_000_000_000 + i64::from(nanos);
                calendar::write_date(seconds.div_euclid(86_400), out)
                    .and_then(|()| out.write_char('T'))
                    .and_then(|()| calendar::write_time(of_day, out))
                    .and_then(|()| if zoned { out.write_char('Z') } else { Ok(()) })
            }
        };
    }

    /// The value as it is sent: numbers and booleans as such where JSON can hold them exactly, the rest as text.
    pub(crate) fn to_json(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Int(n) => Value::Number(n.into()),
            Self::Float(x) if x.is_finite() => Number::from_f64(x).map_or(Value::Null, Value::Number),
            Self::Decimal { unscaled, scale } if scale > 0 && unscaled.unsigned_abs() < 1_000_000_000_000_000 => {
                // Up to 15 digits survive the way through a double.
                let text = self.text();
                text.parse().ok().and_then(Number::from_f64).map_or(Value::String(text), Value::Number)
            }
            Self::Decimal { unscaled, scale: 0 } => match u64::try_from(unscaled) {
                Ok(n) => Value::Number(n.into()),
                Err(_) => Value::String(self.text()),
            },
            _ => Value::String(self.text()),
        }
    }

    /// The canonical text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write_text(&mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::number::{decimal, decimal256, float, integer};
    use super::*;

    fn encoding(scalar: Scalar<'_>) -> Vec<u64> {
        let mut out = Vec::new();
        scalar.encode(&mut out);
        out
    }

    #[test]
    fn equal_numbers_are_equal_whatever_their_type() {
        let five = encoding(Scalar::Int(5));
        for same in [decimal(5, 0), decimal(500, 2), decimal256(i256::from_i128(50_000), 4), float(5.0), integer(5)] {
            assert_eq!(encoding(same), five);
        }
        assert_eq!(decimal(5, -2), Scalar::Int(500));
        assert_eq!(encoding(decimal(150, 2)), encoding(decimal(15, 1)));
        assert_ne!(encoding(decimal(15, 1)), encoding(float(1.5)));
        let large = i128::from(u64::MAX);
        assert_eq!(encoding(integer(large)), encoding(decimal256(i256::from_i128(large * 10), 1)));
        assert_eq!(decimal(0, 9), Scalar::Int(0));
    }

    #[test]
    fn zero_has_no_sign_and_there_is_one_nan() {
        assert_eq!(encoding(float(-0.0)), encoding(float(0.0)));
        let other_nan = f64::from_bits(0x7ff8_0000_dead_beef);
        assert!(other_nan.is_nan());
        assert_eq!(encoding(float(-f64::NAN)), encoding(float(other_nan)));
        assert_ne!(encoding(float(f64::INFINITY)), encoding(float(f64::NEG_INFINITY)));
    }

    #[test]
    fn null_and_empty_differ() {
        assert_ne!(encoding(Scalar::Null), encoding(Scalar::Text("")));
        assert_ne!(encoding(Scalar::Text("")), encoding(Scalar::Bytes(b"")));
    }

    #[test]
    fn texts_are_as_a_person_would_write_them() {
        for (scalar, text) in [
            (decimal(-12_345, 3), "-12.345"),
            (decimal(5, 4), "0.0005"),
            (decimal(-100, 2), "-1"),
            (float(0.1), "0.1"),
            (float(1e300), "1e300"),
            (float(-2.0), "-2"),
            (Scalar::Bytes(&[0xde, 0xad]), "dead"),
            (Scalar::Uuid(&[0x11; 16]), "11111111-1111-1111-1111-111111111111"),
            (Scalar::Timestamp { seconds: -1, nanos: 500_000_000, zoned: true }, "1969-12-31T23:59:59.5Z"),
            (Scalar::Timestamp { seconds: 86_400, nanos: 0, zoned: false }, "1970-01-02T00:00:00"),
        ] {
            assert_eq!(scalar.text(), text);
        }
    }

    #[test]
    fn json_keeps_what_it_can_hold_exactly() {
        assert_eq!(decimal(1250, 2).to_json().to_string(), "12.5");
        assert_eq!(decimal(1_234_567_890_123_456_789, 2).to_json().to_string(), "\"12345678901234567.89\"");
        assert_eq!(integer(i128::from(u64::MAX)).to_json().to_string(), "18446744073709551615");
        assert_eq!(float(3.0).to_json().to_string(), "3");
        assert_eq!(float(f64::NAN).to_json().to_string(), "\"NaN\"");
    }
}
