//! What work uses of the things that are paid for.

use core::iter::Sum;
use core::ops::{Add, AddAssign};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Millis;

/// What a piece of work used: counts, no prices. Stored with short names, because it travels in items that are paid by the
/// kilobyte; a figure that is zero is left out, and a figure that is missing is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Invocations of functions.
    #[serde(rename = "i", skip_serializing_if = "is_zero")]
    pub invocations: u64,
    /// Memory times time, in megabyte-milliseconds; 1,024,000 of them are a GB-second.
    #[serde(rename = "c", skip_serializing_if = "is_zero")]
    pub compute: u64,
    /// Rows of snapshots that were read.
    #[serde(rename = "n", skip_serializing_if = "is_zero")]
    pub rows: u64,
    /// Bytes of objects that were read.
    #[serde(rename = "b", skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Read units of the table.
    #[serde(rename = "r", skip_serializing_if = "is_zero")]
    pub read_units: u64,
    /// Write units of the table.
    #[serde(rename = "w", skip_serializing_if = "is_zero")]
    pub write_units: u64,
    /// Requests to the bucket that read an object or its metadata.
    #[serde(rename = "g", skip_serializing_if = "is_zero")]
    pub gets: u64,
    /// Requests to the bucket that write an object or list a page of them. Deleting is free and is not counted.
    #[serde(rename = "p", skip_serializing_if = "is_zero")]
    pub puts: u64,
    /// Messages that were sent to queues.
    #[serde(rename = "m", skip_serializing_if = "is_zero")]
    pub messages: u64,
    /// Requests to queues as they are billed: one for each 64 KB of a request.
    #[serde(rename = "q", skip_serializing_if = "is_zero")]
    pub queue_requests: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Usage {
    /// How many figures there are.
    pub const FIGURES: usize = 10;

    /// All figures, in the order of the fields. A figure that is added later comes last.
    #[must_use]
    pub const fn figures(&self) -> [u64; Self::FIGURES] {
        [
            self.invocations,
            self.compute,
            self.rows,
            self.bytes,
            self.read_units,
            self.write_units,
            self.gets,
            self.puts,
            self.messages,
            self.queue_requests,
        ]
    }

    /// From figures in the order of [`Self::figures`].
    #[must_use]
    pub const fn of(figures: [u64; Self::FIGURES]) -> Self {
        let [invocations, compute, rows, bytes, read_units, write_units, gets, puts, messages, queue_requests] =
            figures;
        Self { invocations, compute, rows, bytes, read_units, write_units, gets, puts, messages, queue_requests }
    }

    /// Nothing was used.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Divides among `n`, as evenly as whole numbers allow: the shares add up to the whole.
    pub fn shares(self, n: usize) -> impl Iterator<Item = Self> {
        let n = n as u64;
        (0..n).map(move |at| Self::of(self.figures().map(|whole| whole / n + u64::from(at < whole % n))))
    }
}

impl Add for Usage {
    type Output = Self;

    /// A figure that would overflow stays at its largest value.
    fn add(self, other: Self) -> Self {
        let mut figures = self.figures();
        figures.iter_mut().zip(other.figures()).for_each(|(mine, more)| *mine = mine.saturating_add(more));
        Self::of(figures)
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// A calendar month in UTC, which is how AWS bills. Sorts by time; written `2026-11`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(u32);

/// Text that is not a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a month is written like 2026-11")]
pub struct InvalidMonth;

impl Month {
    /// The month of a point in time. Before the year 1970 and after 9999 it is the first or last month of that time.
    #[must_use]
    pub fn of(at: Millis) -> Self {
        let days = at.0.div_euclid(86_400_000).clamp(0, 2_932_896);
        let day = u32::try_from(days).unwrap_or_default();
        // Years that begin in March have their leap day at the end; 146,097 days are 400 years.
        let since = day + 719_468;
        let (era, of_era) = (since / 146_097, since % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let (year, month) = (era * 400 + year_of_era, (from_march + 2) % 12 + 1);
        Self((year + u32::from(month <= 2)) * 100 + month)
    }

    /// As one number, for example 202611.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Month {
    type Error = InvalidMonth;

    fn try_from(number: u32) -> Result<Self, InvalidMonth> {
        let (year, month) = (number / 100, number % 100);
        if (1970..=9999).contains(&year) && (1..=12).contains(&month) { Ok(Self(number)) } else { Err(InvalidMonth) }
    }
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let (year, month) = text.split_once('-').filter(|(y, m)| y.len() == 4 && m.len() == 2).ok_or(InvalidMonth)?;
        let number = |digits: &str| digits.parse::<u32>().map_err(|_| InvalidMonth);
        Self::try_from(number(year)? * 100 + number(month)?)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Month {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Debug for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(from: u64) -> Usage {
        let mut next = from;
        Usage::of([(); Usage::FIGURES].map(|()| {
            next += 1;
            next
        }))
    }

    #[test]
    fn shares_add_up_to_the_whole_and_differ_by_at_most_one() {
        for n in 1..=7 {
            let shares: Vec<Usage> = usage(40).shares(n).collect();
            assert_eq!(shares.len(), n);
            assert_eq!(shares.iter().copied().sum::<Usage>(), usage(40));
            for figure in 0..Usage::FIGURES {
                let of: Vec<u64> = shares.iter().map(|s| s.figures()[figure]).collect();
                assert!(of.iter().max().unwrap() - of.iter().min().unwrap() <= 1, "{of:?}");
            }
        }
        assert_eq!(usage(1).shares(0).count(), 0);
    }

    #[test]
    fn figures_come_back_in_their_places_and_sums_never_overflow() {
        assert_eq!(Usage::of(usage(5).figures()), usage(5));
        let most = Usage { rows: u64::MAX, ..Usage::default() };
        assert_eq!((most + usage(0)).rows, u64::MAX);
        assert_eq!((most + usage(0)).invocations, 1);
        assert!(Usage::default().is_nothing() && !most.is_nothing());
    }

    #[test]
    fn a_month_is_that_of_the_calendar() {
        let at = |ms| Month::of(Millis(ms)).to_string();
        assert_eq!(at(0), "1970-01");
        assert_eq!(at(-1), "1970-01");
        assert_eq!(at(951_782_399_999), "2000-02");
        assert_eq!(at(951_868_799_999), "2000-02");
        assert_eq!(at(951_868_800_000), "2000-03");
        assert_eq!(at(1_767_225_599_999), "2025-12");
        assert_eq!(at(1_767_225_600_000), "2026-01");
        assert_eq!(at(1_796_083_199_999), "2026-11");
        assert_eq!(at(1_796_083_200_000), "2026-12");
        assert_eq!(at(i64::MAX), "9999-12");
    }

    #[test]
    fn months_follow_each_other_and_are_read_as_they_are_written() {
        let mut before = Month::of(Millis(0));
        for day in 0..60_000 {
            let month = Month::of(Millis(day * 86_400_000));
            let (a, b) = (before.number(), month.number());
            assert!(b == a || b == a + 1 || (a % 100 == 12 && b == a + 89), "{before} then {month}");
            assert_eq!(month.to_string().parse(), Ok(month));
            assert_eq!(Month::try_from(month.number()), Ok(month));
            before = month;
        }
        assert_eq!(before.to_string(), "2134-04");
        for bad in ["", "2026", "2026-13", "2026-00", "26-11", "2026-1", "1969-12", "+026-11"] {
            assert_eq!(bad.parse::<Month>(), Err(InvalidMonth), "{bad}");
        }
    }
}
