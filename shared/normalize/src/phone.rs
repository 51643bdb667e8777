use core::{fmt, str::FromStr};
use std::borrow::Cow;
use std::sync::LazyLock;

use rlibphonenumber::{PhoneNumberFormat, PhoneNumberUtil};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::place::alpha2;

/// How a number without `+` or `00` is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Region {
    /// As it is dialled in that country.
    Country(Country),
    /// It begins with its country code.
    International,
}

/// A country that has telephone numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Country {
    code: &'static str,
    plan: rlibphonenumber::Region,
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

/// No region that numbers are read in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a region: write the country of the numbers as two letters (DE), or `international`")]
pub struct UnknownRegion;

impl Region {
    /// As it is written in a mapping.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Country(country) => country.code,
            Self::International => "international",
        }
    }
}

impl FromStr for Region {
    type Err = UnknownRegion;

    fn from_str(text: &str) -> Result<Self, UnknownRegion> {
        if text == "international" {
            return Ok(Self::International);
        }
        let code = alpha2(text).filter(|code| *code == text).ok_or(UnknownRegion)?;
        let plan = code.parse().map_err(|_| UnknownRegion)?;
        Ok(Self::Country(Country { code, plan }))
    }
}

impl TryFrom<String> for Region {
    type Error = UnknownRegion;

    fn try_from(text: String) -> Result<Self, UnknownRegion> {
        text.parse()
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.name().to_owned()
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl JsonSchema for Region {
    fn schema_name() -> Cow<'static, str> {
        "Region".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "region", "pattern": "^([A-Z]{2}|international)$" })
    }
}

/// Numbering plans of all countries. Read when the first number is met, which takes some milliseconds.
static PLANS: LazyLock<Option<PhoneNumberUtil>> = LazyLock::new(|| PhoneNumberUtil::new().ok());

/// The number in E.164, with its `+`, by the numbering plan of its country.
///
/// The length is checked and not more: which blocks of numbers are in use changes by the month, and vendors' own examples
/// lie in blocks that are not.
pub(crate) fn e164(text: &str, region: Option<Region>) -> Result<String, Refusal> {
    if text.chars().any(char::is_alphabetic) {
        return Err(Refusal::Phone);
    }
    let home = match region {
        Some(Region::Country(country)) => Some(country.plan),
        _ => None,
    };
    let written = match text.trim_start_matches(['(', ' ']) {
        with_plus if with_plus.starts_with(['+', '\u{ff0b}']) => Cow::Borrowed(text),
        // The prefix for calls abroad of most countries, for which numbers are written down.
        abroad if home.is_none() && abroad.starts_with("00") => Cow::Owned(format!("+{}", &abroad[2..])),
        _ if region == Some(Region::International) => Cow::Owned(format!("+{text}")),
        _ if home.is_none() => return Err(Refusal::CountryCode),
        _ => Cow::Borrowed(text),
    };
    let plans = PLANS.as_ref().ok_or(Refusal::Phone)?;
    let number = plans.parse(&written, home).map_err(|_| Refusal::Phone)?;
    if !number.extension().is_empty() {
        return Err(Refusal::Extension);
    }
    if !plans.is_possible_number(&number) {
        return Err(Refusal::Phone);
    }
    let e164 = plans.format(&number, PhoneNumberFormat::E164).into_owned();
    // Some plans allow more digits than a number that can be dialled from abroad has (ITU-T E.164).
    if e164.len() > 1 + 15 { Err(Refusal::Phone) } else { Ok(e164) }
}

/// `+` and 7 to 15 digits, the first not 0 (ITU-T E.164), for the plain step `phone`: without numbering plans. A zero in
/// parentheses after the country code is the prefix for calls at home and not part of the number.
pub(crate) fn plain_e164(text: &str) -> Option<String> {
    let text = text.replacen("(0)", "", 1);
    let mut number = String::with_capacity(16);
    for c in text.chars() {
        match c {
            '0'..='9' => number.push(c),
            '+' if number.is_empty() => number.push(c),
            ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' | '\u{2010}'..='\u{2015}' | '\u{202f}' => {}
            _ => return None,
        }
    }
    if let Some(rest) = number.strip_prefix("00") {
        number = format!("+{rest}");
    }
    let digits = number.strip_prefix('+')?;
    ((7..=15).contains(&digits.len()) && !digits.starts_with('0')).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unnecessary_wraps)] // as the recipe has it
    fn region(text: &str) -> Option<Region> {
        Some(text.parse().expect("a region"))
    }

    #[test]
    fn a_number_is_read_by_the_plan_of_its_country() {
        for (written, home, number) in [
            ("+49 30 123456", None, "+4930123456"),
            ("0049 (30) 123-456", None, "+4930123456"),
            ("+49 (0) 30 / 123456", None, "+4930123456"),
            ("030 123456", region("DE"), "+4930123456"),
            ("0049 30 123456", region("DE"), "+4930123456"),
            ("011 49 30 123456", region("US"), "+4930123456"),
            ("(650)555-1212", region("US"), "+16505551212"),
            ("1 800 555 0100", region("US"), "+18005550100"),
            ("4930123456", region("international"), "+4930123456"),
            ("+39 06 698 00000", None, "+390669800000"),
            ("+1.212.555.0100", None, "+12125550100"),
        ] {
            assert_eq!(e164(written, home), Ok(number.to_owned()), "{written}");
        }
    }

    #[test]
    fn a_number_that_could_be_another_is_refused() {
        assert_eq!(e164("030 123456", None), Err(Refusal::CountryCode));
        assert_eq!(e164("4930123456", None), Err(Refusal::CountryCode));
        assert_eq!(e164("+49 30 12345 #6", None), Err(Refusal::Extension));
        for bad in
            ["+49 30 12345 ext 6", "+49", "+0123456789", "+1 650 555 121", "+49301234567890123", "+1-800-FLOWERS"]
        {
            assert_eq!(e164(bad, None), Err(Refusal::Phone), "{bad}");
        }
    }

    #[test]
    fn a_region_is_a_country_or_the_world() {
        assert_eq!(region("DE").map(Region::name), Some("DE"));
        assert_eq!("international".parse(), Ok(Region::International));
        for bad in ["de", "DEU", "Germany", "XX", ""] {
            assert_eq!(bad.parse::<Region>(), Err(UnknownRegion), "{bad}");
        }
    }
}
