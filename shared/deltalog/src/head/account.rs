//! What a sync has used, month by month.

use std::collections::BTreeMap;

use driftless_model::{Month, Usage};
use serde::{Deserialize, Serialize};

/// What was used on behalf of a sync, by the month in which it was written down. Telemetry: no condition reads it, no write is
/// made for it, and what a crash swallows is not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Account(BTreeMap<Month, Usage>);

impl Account {
    /// Months that are kept: a year and the one that is going on.
    pub const MONTHS: usize = 13;

    /// Adds to a month. Months that are over stay as they are: what comes late, or from a clock that is behind, counts for the
    /// newest month there is. The oldest month is forgotten when there are too many.
    pub fn charge(&mut self, month: Month, usage: Usage) {
        let month = self.current().map_or(month, |(newest, _)| newest.max(month));
        *self.0.entry(month).or_default() += usage;
        while self.0.len() > Self::MONTHS {
            self.0.pop_first();
        }
    }

    /// The newest month and what it has used so far.
    #[must_use]
    pub fn current(&self) -> Option<(Month, Usage)> {
        self.0.last_key_value().map(|(month, usage)| (*month, *usage))
    }

    /// Every month that is kept, oldest first.
    pub fn months(&self) -> impl DoubleEndedIterator<Item = (Month, Usage)> + '_ {
        self.0.iter().map(|(month, usage)| (*month, *usage))
    }

    /// From months in any order.
    pub(crate) fn of(months: impl IntoIterator<Item = (Month, Usage)>) -> Self {
        let mut account = Self(months.into_iter().collect());
        while account.0.len() > Self::MONTHS {
            account.0.pop_first();
        }
        account
    }
}

/// Months in as few bytes as they need, because the head is paid by the kilobyte with every write: for each the number of the
/// month, the number of figures, and the figures, all of them seven bits a byte.
pub(crate) fn pack(months: impl IntoIterator<Item = (Month, Usage)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (month, usage) in months {
        let figures = usage.figures();
        put(&mut out, u64::from(month.number()));
        put(&mut out, figures.len() as u64);
        figures.into_iter().for_each(|figure| put(&mut out, figure));
    }
    out
}

/// What [`pack`] packed. What cannot be read ends the list: telemetry never fails.
pub(crate) fn unpack(mut bytes: &[u8]) -> Vec<(Month, Usage)> {
    let mut months = Vec::new();
    while let Some(month) = one(&mut bytes) {
        months.push(month);
    }
    months
}

fn one(bytes: &mut &[u8]) -> Option<(Month, Usage)> {
    let month = u32::try_from(get(bytes)?).ok().and_then(|n| Month::try_from(n).ok())?;
    let mut figures = [0; Usage::FIGURES];
    for at in 0..get(bytes)? {
        // A later version may have written more of them.
        let figure = get(bytes)?;
        if let Some(here) = usize::try_from(at).ok().and_then(|at| figures.get_mut(at)) {
            *here = figure;
        }
    }
    Some((month, Usage::of(figures)))
}

fn put(out: &mut Vec<u8>, mut n: u64) {
    loop {
        let low = n.to_le_bytes()[0] & 0x7f;
        n >>= 7;
        if n == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn get(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(number: u32) -> Month {
        Month::try_from(number).unwrap()
    }

    fn writes(n: u64) -> Usage {
        Usage { write_units: n, ..Usage::default() }
    }

    #[test]
    fn a_month_that_is_over_stays_as_it_is_and_a_year_is_kept() {
        let mut account = Account::default();
        assert_eq!(account.current(), None);
        for number in (202_501..=202_512).chain(202_601..=202_603) {
            account.charge(month(number), writes(1));
            account.charge(month(number), writes(2));
        }
        assert_eq!(account.months().count(), Account::MONTHS);
        assert_eq!(account.months().next(), Some((month(202_503), writes(3))));
        account.charge(month(202_601), writes(4));
        assert_eq!(account.current(), Some((month(202_603), writes(7))), "what comes late counts now");
        assert_eq!(account.months().rev().nth(2), Some((month(202_601), writes(3))));
    }

    #[test]
    fn months_are_packed_small_and_read_back() {
        let busy = Usage {
            invocations: 100,
            compute: 400 * 1_024_000,
            rows: 4_000_000,
            bytes: 160_000_000,
            read_units: 60_000,
            write_units: 86_600,
            gets: 900,
            puts: 40,
            messages: 400,
            queue_requests: 900,
        };
        let months: Vec<_> = (202_501..=202_512).map(|n| (month(n), busy)).collect();
        let packed = pack(months.clone());
        assert!(packed.len() <= 12 * 32, "{} bytes", packed.len());
        assert_eq!(unpack(&packed), months);
        let most = vec![(month(202_611), Usage::of([u64::MAX; Usage::FIGURES])), (month(202_612), Usage::default())];
        assert_eq!(unpack(&pack(most.clone())), most);
        for end in 0..packed.len() {
            assert!(unpack(&packed[..end]).len() < 12, "a torn value is read as far as it goes");
        }
        assert_eq!(unpack(&[0xff; 40]), []);
        assert_eq!(unpack(&[1, 1, 1]), []);
    }

    #[test]
    fn figures_of_a_later_version_are_passed_over() {
        let mut bytes = Vec::new();
        put(&mut bytes, 202_611);
        put(&mut bytes, Usage::FIGURES as u64 + 2);
        (1..=Usage::FIGURES as u64 + 2).for_each(|n| put(&mut bytes, n));
        bytes.extend(pack([(month(202_612), writes(1))]));
        let read = unpack(&bytes);
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].1.queue_requests, Usage::FIGURES as u64);
        assert_eq!(read[1], (month(202_612), writes(1)));
    }
}
