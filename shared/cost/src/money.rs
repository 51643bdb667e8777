use core::fmt;
use core::iter::Sum;
use core::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// US dollars, in whole nano-dollars: a read unit is 125 of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(pub u64);

const NANOS: u64 = 1_000_000_000;

impl Money {
    /// The exact amount as a decimal number, for example `0.000000125`.
    #[must_use]
    pub fn exact(self) -> String {
        let text = format!("{}.{:09}", self.0 / NANOS, self.0 % NANOS);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Money {
    /// In cents from a dollar on, in hundredths of a cent below it; less than that is said to be less.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let smallest = NANOS / 10_000;
        let text = match self.0 {
            0 => "$0".to_owned(),
            n if n < smallest => "< $0.0001".to_owned(),
            n if n < NANOS => format!("$0.{:04}", ((n + smallest / 2) / smallest).min(9_999)),
            n => {
                let cents = (n.saturating_add(NANOS / 200)) / (NANOS / 100);
                format!("${}.{:02}", cents / 100, cents % 100)
            }
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_shown_with_the_digits_that_matter() {
        for (nanos, shown, exact) in [
            (0, "$0", "0"),
            (125, "< $0.0001", "0.000000125"),
            (99_999, "< $0.0001", "0.000099999"),
            (100_000, "$0.0001", "0.0001"),
            (54_125_000, "$0.0541", "0.054125"),
            (999_999_999, "$0.9999", "0.999999999"),
            (1_000_000_000, "$1.00", "1"),
            (5_904_999_999, "$5.90", "5.904999999"),
            (5_905_000_000, "$5.91", "5.905"),
            (1_230_000_000_000, "$1230.00", "1230"),
        ] {
            assert_eq!(Money(nanos).to_string(), shown);
            assert_eq!(Money(nanos).exact(), exact);
        }
        assert_eq!(Money(u64::MAX) + Money(1), Money(u64::MAX));
    }
}
