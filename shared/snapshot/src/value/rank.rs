use core::cmp::Ordering;

use arrow::datatypes::i256;

use super::Scalar;

/// A value kept for comparison: which of several rows is the highest.
#[derive(Clone, Debug)]
pub(crate) enum Rank {
    /// A null; loses whichever end wins.
    Absent,
    Bool(bool),
    Int(i64),
    /// A number that is not whole, or long. Apart, so that the common kinds stay small.
    Number(Box<Scalar<'static>>),
    Bytes(Box<[u8]>),
    /// Days, nanoseconds of a day, or seconds and nanoseconds.
    Time(i64, u32),
}

impl Rank {
    pub(crate) fn new(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Null => Self::Absent,
            Scalar::Bool(b) => Self::Bool(b),
            Scalar::Int(n) => Self::Int(n),
            Scalar::Decimal { unscaled, scale } => Self::Number(Box::new(Scalar::Decimal { unscaled, scale })),
            Scalar::Huge { unscaled, scale } => Self::Number(Box::new(Scalar::Huge { unscaled, scale })),
            Scalar::Float(x) => Self::Number(Box::new(Scalar::Float(x))),
            Scalar::Text(text) => Self::Bytes(text.as_bytes().into()),
            Scalar::Bytes(bytes) | Scalar::Uuid(bytes) => Self::Bytes(bytes.into()),
            Scalar::Date(n) | Scalar::Time(n) => Self::Time(n, 0),
            Scalar::Timestamp { seconds, nanos, .. } => Self::Time(seconds, nanos),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Absent => 0,
            Self::Bool(_) => 1,
            Self::Int(_) | Self::Number(_) => 2,
            Self::Bytes(_) => 3,
            Self::Time(..) => 4,
        }
    }

    /// The order of the values; kinds that a column does not mix are put one after the other.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Int(a), Self::Number(b)) => numbers(Scalar::Int(*a), **b),
            (Self::Number(a), Self::Int(b)) => numbers(**a, Scalar::Int(*b)),
            (Self::Number(a), Self::Number(b)) => numbers(**a, **b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Time(a, x), Self::Time(b, y)) => (a, x).cmp(&(b, y)),
            _ => self.kind().cmp(&other.kind()),
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

fn numbers(a: Scalar<'_>, b: Scalar<'_>) -> Ordering {
    if let (Some((x, p)), Some((y, q))) = (exact(a), exact(b)) {
        let scale = p.max(q);
        if let (Some(x), Some(y)) = (scaled(x, scale - p), scaled(y, scale - q)) {
            return x.cmp(&y);
        }
    }
    approximate(a).total_cmp(&approximate(b))
}

fn exact(number: Scalar<'_>) -> Option<(i256, u8)> {
    match number {
        Scalar::Int(n) => Some((i256::from_i128(n.into()), 0)),
        Scalar::Decimal { unscaled, scale } => Some((i256::from_i128(unscaled), scale)),
        Scalar::Huge { unscaled, scale } => Some((unscaled, scale)),
        _ => None,
    }
}

fn scaled(n: i256, digits: u8) -> Option<i256> {
    n.checked_mul(i256::from_i128(10).checked_pow(digits.into())?)
}

/// A NaN is above every number.
fn approximate(number: Scalar<'_>) -> f64 {
    match number {
        Scalar::Float(x) if x.is_nan() => f64::NAN,
        Scalar::Float(x) => x,
        other => other.text().parse().unwrap_or(f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::super::number::{decimal, float};
    use super::*;

    #[test]
    fn numbers_compare_by_value_whatever_their_type() {
        let rank = |s| Rank::new(s);
        assert_eq!(rank(decimal(15, 1)).compare(&rank(Scalar::Int(2))), Ordering::Less);
        assert_eq!(rank(float(2.5)).compare(&rank(decimal(249, 2))), Ordering::Greater);
        assert_eq!(rank(decimal(i128::MAX, 0)).compare(&rank(decimal(1, 30))), Ordering::Greater);
        assert_eq!(rank(Scalar::Text("b")).compare(&rank(Scalar::Text("a"))), Ordering::Greater);
        assert!(rank(Scalar::Null).is_absent());
    }
}
