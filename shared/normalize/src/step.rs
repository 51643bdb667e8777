use std::borrow::Cow;

use crate::Refusal;
use crate::birth::{self, Part};
use crate::email::{is_email, without_aliases};
use crate::phone::{Region, e164, plain_e164};
use crate::place::{alpha2, us_state, zip};

/// One thing done to a value. Recipes are lists of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// White space at both ends is removed.
    Trim,
    /// Letters become lower-case.
    Lowercase,
    /// Letters become upper-case.
    Uppercase,
    /// Everything but the digits 0 to 9 is removed.
    Digits,
    /// The plain step `email`: trimmed, lower-cased, checked.
    Email,
    /// The plain step `phone`: E.164 without numbering plans.
    Phone,
    /// All white space is removed, inside too.
    WithoutSpaces,
    /// In addresses of gmail.com and googlemail.com, dots and what follows a `+` are removed before the `@`.
    WithoutAliases,
    /// What is not an e-mail address is refused.
    IsEmail,
    /// E.164 by the numbering plan of the country.
    E164,
    /// The `+` at the beginning is removed.
    WithoutPlus,
    /// White space and punctuation are removed.
    Letters,
    /// Only the first letter is kept.
    FirstLetter,
    /// The name of a state of the USA becomes its two letters.
    UsState,
    /// The extension of a US ZIP code, spaces and dashes are removed.
    Zip,
    /// Two capital letters of ISO 3166-1.
    Country,
    /// `m` or `f`.
    Gender,
    /// The year of birth, four digits.
    BirthYear,
    /// The month of birth, two digits.
    BirthMonth,
    /// The day of birth, two digits.
    BirthDay,
    /// The date of birth, `19970216`.
    BirthDate,
    /// 32 hex digits in five groups. An id of zeros says that the person has none.
    DeviceId,
}

impl Step {
    /// What it does, for people.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Trim => "white space at both ends removed",
            Self::Lowercase => "letters lower-cased",
            Self::Uppercase => "letters upper-cased",
            Self::Digits => "everything but digits removed",
            Self::Email => "trimmed, lower-cased and checked to be an e-mail address",
            Self::Phone => "brought into E.164",
            Self::WithoutSpaces => "all white space removed",
            Self::WithoutAliases => "dots and `+…` removed before the @ of gmail.com and googlemail.com",
            Self::IsEmail => "checked to be an e-mail address",
            Self::E164 => "brought into E.164 by the numbering plan of its country",
            Self::WithoutPlus => "the + removed",
            Self::Letters => "white space and punctuation removed",
            Self::FirstLetter => "cut to the first letter",
            Self::UsState => "a state of the USA abbreviated",
            Self::Zip => "spaces, dashes and the US extension removed",
            Self::Country => "turned into the two letters of ISO 3166-1",
            Self::Gender => "turned into m or f",
            Self::BirthYear => "cut to the year",
            Self::BirthMonth => "cut to the month",
            Self::BirthDay => "cut to the day",
            Self::BirthDate => "written as YYYYMMDD",
            Self::DeviceId => "checked to be a device id; zeros are none",
        }
    }

    /// Applies it. `None`: nothing is left to be sent.
    ///
    /// # Errors
    /// [`Refusal`]: the value breaks a rule.
    pub fn apply(self, value: Cow<'_, str>, region: Option<Region>) -> Result<Option<Cow<'_, str>>, Refusal> {
        let owned = |text: Option<String>, refusal| text.map(Cow::Owned).ok_or(refusal);
        let value = match self {
            Self::Trim => trim(value),
            Self::Lowercase => lowercase(value),
            Self::Uppercase => uppercase(value),
            Self::Digits => keep(value, |c| c.is_ascii_digit()),
            Self::WithoutSpaces => keep(value, |c| !c.is_whitespace()),
            Self::Letters => keep(value, |c| !c.is_whitespace() && !is_punctuation(c)),
            Self::Email => {
                let value = lowercase(trim(value));
                if value.is_empty() {
                    return Ok(None);
                }
                if !is_email(&value) {
                    return Err(Refusal::Email);
                }
                value
            }
            Self::IsEmail if is_email(&value) => value,
            Self::IsEmail => return Err(Refusal::Email),
            Self::WithoutAliases => without_aliases(value),
            Self::Phone => {
                let value = trim(value);
                if value.is_empty() {
                    return Ok(None);
                }
                owned(plain_e164(&value), Refusal::Phone)?
            }
            Self::E164 => Cow::Owned(e164(&value, region)?),
            Self::WithoutPlus => match value {
                Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix('+').unwrap_or(text)),
                Cow::Owned(text) => Cow::Owned(text.strip_prefix('+').map(str::to_owned).unwrap_or(text)),
            },
            Self::FirstLetter => Cow::Owned(value.chars().take(1).collect()),
            Self::UsState => us_state(&value).map_or(value, Cow::Borrowed),
            Self::Zip => Cow::Owned(zip(&value)),
            Self::Country => Cow::Borrowed(alpha2(&value).ok_or(Refusal::Country)?),
            Self::Gender => Cow::Borrowed(match &*value.to_lowercase() {
                "m" | "male" => "m",
                "f" | "female" => "f",
                _ => return Err(Refusal::Gender),
            }),
            Self::BirthYear => owned(birth::part(&value, Part::Year), Refusal::Birth)?,
            Self::BirthMonth => owned(birth::part(&value, Part::Month), Refusal::Birth)?,
            Self::BirthDay => owned(birth::part(&value, Part::Day), Refusal::Birth)?,
            Self::BirthDate => owned(birth::part(&value, Part::Date), Refusal::Birth)?,
            Self::DeviceId => {
                let Some(id) = device_id(&value) else { return Err(Refusal::DeviceId) };
                if id.bytes().all(|b| matches!(b, b'0' | b'-')) {
                    return Ok(None);
                }
                Cow::Owned(id)
            }
        };
        Ok(Some(value))
    }
}

fn trim(value: Cow<'_, str>) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

fn lowercase(value: Cow<'_, str>) -> Cow<'_, str> {
    let is_lower = value.is_ascii() && !value.bytes().any(|b| b.is_ascii_uppercase());
    if is_lower { value } else { Cow::Owned(value.to_lowercase()) }
}

fn uppercase(value: Cow<'_, str>) -> Cow<'_, str> {
    let is_upper = value.is_ascii() && !value.bytes().any(|b| b.is_ascii_lowercase());
    if is_upper { value } else { Cow::Owned(value.to_uppercase()) }
}

fn keep(value: Cow<'_, str>, wanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if value.chars().all(&wanted) { value } else { Cow::Owned(value.chars().filter(|c| wanted(*c)).collect()) }
}

/// Signs that are no part of a word in any script. Marks that stand on letters are none of them.
fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(c, '\u{a1}'..='\u{bf}' if !matches!(c, 'ª' | 'µ' | 'º'))
        || matches!(c, '\u{2010}'..='\u{205e}' | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{30fb}' | '\u{ff01}'..='\u{ff0f}')
}

/// An id with its hyphens, in the case that it has.
fn device_id(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let hyphens = text.match_indices('-').map(|(at, _)| at);
    let grouped = text.len() == 32 || (text.len() == 36 && hyphens.eq([8, 13, 18, 23]));
    if !grouped || digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Some([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
}
