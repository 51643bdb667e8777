use core::{fmt, str::FromStr};
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::written_as_text;

/// A part of a whole, written as a percentage: `10%`, `0.5%`. Kept in millionths, so up to four decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

/// Text that is not a percentage of a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a percentage from 0% to 100%; write a number with at most four decimals and a percent sign, for example 10% or 0.5%"
)]
pub struct InvalidShare {
    text: String,
}

const WHOLE: u32 = 1_000_000;

impl Share {
    /// All of it.
    pub const ALL: Self = Self(WHOLE);

    /// A whole number of per cent; more than 100 is 100.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self(if percent > 100 { WHOLE } else { percent * 10_000 })
    }

    /// The share in millionths, 0 to 1,000,000.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// The share of a count, rounded down.
    #[must_use]
    pub fn of(self, count: u64) -> u64 {
        let part = u128::from(count) * u128::from(self.0) / u128::from(WHOLE);
        u64::try_from(part).unwrap_or(count)
    }

    /// True when `part` of `whole` is more than this share. Exact; nothing of nothing is not more.
    #[must_use]
    pub fn is_exceeded_by(self, part: u64, whole: u64) -> bool {
        u128::from(part) * u128::from(WHOLE) > u128::from(whole) * u128::from(self.0)
    }
}

impl FromStr for Share {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, InvalidShare> {
        parse(text).map(Self).ok_or_else(|| InvalidShare { text: text.chars().take(40).collect() })
    }
}

fn parse(text: &str) -> Option<u32> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 4 {
        return None;
    }
    let value = whole.parse::<u32>().ok()?.checked_mul(10_000)? + format!("{decimals:0<4}").parse::<u32>().ok()?;
    (value <= WHOLE).then_some(value)
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / 10_000, self.0 % 10_000);
        if decimals == 0 {
            return write!(f, "{whole}%");
        }
        write!(f, "{whole}.{}%", format!("{decimals:04}").trim_end_matches('0'))
    }
}

written_as_text!(Share, "a percentage such as 10%");

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "title": "percentage",
            "pattern": "^ *(100(\\.0{1,4})?|[0-9]{1,2}(\\.[0-9]{1,4})?) *% *$"
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millionths(text: &str) -> Option<u32> {
        text.parse::<Share>().ok().map(Share::millionths)
    }

    #[test]
    fn shares_need_a_percent_sign_and_stay_within_the_whole() {
        assert_eq!(millionths("10%"), Some(100_000));
        assert_eq!(millionths("0.5 %"), Some(5_000));
        assert_eq!(millionths("100%"), Some(1_000_000));
        for bad in ["", "%", "0.1", "101%", "-1%", "1e1%", "1.%", ".5%", "1.23456%", "99999999999%"] {
            assert_eq!(millionths(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_share_of_a_count_is_rounded_down_and_its_excess_is_exact() {
        assert_eq!(Share::percent(10).of(1_005), 100);
        assert_eq!(Share::ALL.of(u64::MAX), u64::MAX);
        assert!(!Share::percent(10).is_exceeded_by(10, 100));
        assert!(Share::percent(10).is_exceeded_by(11, 100));
        assert!(!Share::percent(0).is_exceeded_by(0, 0));
    }

    proptest! {
        #[test]
        fn a_printed_share_reads_back(millionths in 0_u32..=1_000_000) {
            let share = Share(millionths);
            prop_assert_eq!(share.to_string().parse(), Ok(share));
        }
    }
}
