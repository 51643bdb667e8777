use core::{fmt, str::FromStr, time::Duration};
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::written_as_text;

/// A length of time in whole seconds, written `90s`, `15m`, `2d`, `1w` or `1h 30m`. A day is 24 hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(u64);

/// Text that is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a duration; write whole numbers with a unit (s, m, h, d or w), for example 90s, 15m, 1h 30m or 2d"
)]
pub struct InvalidDuration {
    text: String,
}

/// The units, greatest first, with their seconds.
const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl HumanDuration {
    /// A number of seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// The whole seconds.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The milliseconds, as far as they can be counted.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX).saturating_mul(1000)
    }

    /// True for no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl From<HumanDuration> for Duration {
    fn from(d: HumanDuration) -> Self {
        Self::from_secs(d.0)
    }
}

impl FromStr for HumanDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        parse(text).map(Self).ok_or_else(|| InvalidDuration { text: text.chars().take(40).collect() })
    }
}

/// The units must come greatest first and once each, so that `1m 2h` (a slip for `1h 2m`?) is refused.
fn parse(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut units = UNITS.iter();
    let mut seconds = 0_u64;
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let mut chars = after.chars();
        let unit = chars.next()?;
        let (_, size) = units.find(|(name, _)| *name == unit)?;
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(*size)?)?;
        rest = chars.as_str().trim_start();
        any = true;
    }
    any.then_some(seconds)
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        let mut first = true;
        for (unit, size) in UNITS {
            let number = rest / size;
            rest %= size;
            if number > 0 {
                write!(f, "{}{number}{unit}", if first { "" } else { " " })?;
                first = false;
            }
        }
        Ok(())
    }
}

written_as_text!(HumanDuration, "a duration such as 15m or 2d");

impl JsonSchema for HumanDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "title": "duration",
            "pattern": "^ *([0-9]+w *)?([0-9]+d *)?([0-9]+h *)?([0-9]+m *)?([0-9]+s *)?$"
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(text: &str) -> Option<u64> {
        text.parse::<HumanDuration>().ok().map(HumanDuration::as_secs)
    }

    #[test]
    fn durations_are_sums_of_units_from_the_greatest_down() {
        assert_eq!(secs("15m"), Some(900));
        assert_eq!(secs("1h 30m"), Some(5400));
        assert_eq!(secs("1w2d"), Some(777_600));
        assert_eq!(secs("0s"), Some(0));
        for bad in
            ["", " ", "15", "m", "-1m", "1.5h", "1m 2h", "1h1h", "2y", "99999999999999999999w", "40000000000000w"]
        {
            assert_eq!(secs(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_back(seconds in any::<u64>()) {
            let d = HumanDuration::from_secs(seconds);
            prop_assert_eq!(d.to_string().parse(), Ok(d));
        }
    }
}
