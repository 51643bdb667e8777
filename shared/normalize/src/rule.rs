use std::borrow::Cow;

use crate::{Digest, Normalize, Recipe, Refusal, Region, VendorHash};

/// All that a mapping says about the form of one field.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'m> {
    steps: &'m [Normalize],
    region: Option<Region>,
    hash: Option<VendorHash>,
}

/// A value in the form in which it is compared from snapshot to snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Normalized<'a> {
    /// Nothing is sent.
    Absent,
    /// A value, sent as it is or as its hash.
    Plain(Cow<'a, str>),
    /// A digest that came in the place of the value. It is sent as it is.
    Digest(Cow<'a, str>),
}

/// How a value went through a rule, step by step. It holds the value: for the eyes of who typed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What was done.
    pub steps: Vec<Traced>,
    /// How it ended.
    pub ending: Ending,
}

/// One step and what it made of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// What the step does.
    pub what: &'static str,
    /// The value after it.
    pub value: String,
}

/// How a value ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Sent as this text.
    Sent {
        /// What the destination gets.
        text: String,
        /// The hash that was applied; `None` if the value is sent as it is.
        hash: Option<VendorHash>,
        /// It was a digest already, of this form, and is passed on.
        passed_on: Option<VendorHash>,
    },
    /// The record is sent without this field.
    LeftOut,
    /// The record is invalid.
    Refused(Refusal),
}

impl<'m> Rule<'m> {
    /// The rule of a field with these settings.
    #[must_use]
    pub const fn new(steps: &'m [Normalize], region: Option<Region>, hash: Option<VendorHash>) -> Self {
        Self { steps, region, hash }
    }

    /// The recipe among the steps.
    #[must_use]
    pub fn recipe(&self) -> Option<Recipe> {
        self.steps.iter().find_map(|step| step.step().err())
    }

    /// The hash that is sent: the one that is set, else the one that the recipe implies.
    #[must_use]
    pub fn hash(&self) -> Option<VendorHash> {
        self.hash.or_else(|| self.recipe().and_then(Recipe::hash))
    }

    /// Brings a value into the form in which it is compared.
    ///
    /// # Errors
    /// [`Refusal`]: the record is invalid.
    #[inline]
    pub fn apply<'a>(&self, text: &'a str) -> Result<Normalized<'a>, Refusal> {
        self.run(text, &mut |_, _| {})
    }

    /// What is sent for a value in the form in which it is compared. `None`: nothing. The hash of an empty text would match
    /// nobody, so it stays empty.
    #[must_use]
    pub fn sent(&self, value: &Normalized<'_>) -> Option<String> {
        match value {
            Normalized::Absent => None,
            Normalized::Digest(digest) => Some(digest.clone().into_owned()),
            Normalized::Plain(text) => match self.hash().filter(|_| !text.is_empty()) {
                Some(hash) => Some(hash.of(text)),
                None => Some(text.clone().into_owned()),
            },
        }
    }

    /// Applies the rule and keeps what each step made of the value.
    #[must_use]
    pub fn trace(&self, text: &str) -> Trace {
        let mut steps: Vec<Traced> = Vec::new();
        let mut push = |what, value: &str| steps.push(Traced { what, value: value.to_owned() });
        let normalized = self.run(text, &mut push);
        let ending = match normalized {
            Err(refusal) => Ending::Refused(refusal),
            Ok(value) => match self.sent(&value) {
                None => Ending::LeftOut,
                Some(sent) => Ending::Sent {
                    passed_on: matches!(value, Normalized::Digest(_))
                        .then(|| Digest::find(text.trim()).map(Digest::form))
                        .flatten(),
                    hash: self.hash().filter(|_| matches!(value, Normalized::Plain(_))),
                    text: sent,
                },
            },
        };
        Trace { steps, ending }
    }

    #[inline]
    fn run<'a>(&self, text: &'a str, seen: &mut impl FnMut(&'static str, &str)) -> Result<Normalized<'a>, Refusal> {
        let mut value = Cow::Borrowed(text);
        for step in self.steps {
            value = match step.step() {
                Ok(step) => match step.apply(value, self.region)? {
                    Some(after) => {
                        seen(step.about(), &after);
                        after
                    }
                    None => return Ok(Normalized::Absent),
                },
                Err(recipe) => {
                    let after = match value {
                        Cow::Borrowed(text) => recipe.apply(text, self.region, self.hash(), seen)?,
                        Cow::Owned(text) => recipe.apply(&text, self.region, self.hash(), seen)?.into_owned(),
                    };
                    match after {
                        Normalized::Plain(after) => after,
                        other => return Ok(other),
                    }
                }
            };
        }
        Ok(Normalized::Plain(value))
    }
}

impl Normalized<'_> {
    /// The same, with nothing borrowed.
    #[must_use]
    pub fn into_owned(self) -> Normalized<'static> {
        match self {
            Self::Absent => Normalized::Absent,
            Self::Plain(text) => Normalized::Plain(Cow::Owned(text.into_owned())),
            Self::Digest(text) => Normalized::Digest(Cow::Owned(text.into_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(step: Normalize, text: &str) -> Result<Option<String>, Refusal> {
        Rule::new(&[step], None, None).apply(text).map(|value| match value {
            Normalized::Plain(text) => Some(text.into_owned()),
            _ => None,
        })
    }

    #[test]
    fn an_email_is_trimmed_lowered_and_checked() {
        assert_eq!(one(Normalize::Email, " Ann@Example.COM "), Ok(Some("ann@example.com".into())));
        assert_eq!(one(Normalize::Email, "jürgen@exämple.de"), Ok(Some("jürgen@exämple.de".into())));
        assert_eq!(one(Normalize::Email, "  "), Ok(None));
        assert_eq!(one(Normalize::Email, "a+b_c.d!#$%&'*/=?^`{|}~@x.org").map(|v| v.is_some()), Ok(true));
        for bad in [
            "a(b@c.de",
            "a,b@c.de",
            "a\"b@c.de",
            "a..b@c.de",
            "a.@b.de",
            "ann",
            "ann@",
            "@b.de",
            "a@b",
            "a b@c.de",
            "a@b..de",
            ".a@b.de",
            "a@-b.de",
            "a@b.de,c@d.de",
        ] {
            assert_eq!(one(Normalize::Email, bad), Err(Refusal::Email), "{bad}");
        }
    }

    #[test]
    fn a_phone_number_becomes_e164_or_is_refused() {
        for (written, number) in [
            ("+49 30 123456", "+4930123456"),
            ("0049 (30) 123-456", "+4930123456"),
            ("+49 (0) 30 / 123456", "+4930123456"),
            ("+1.212.555.0100", "+12125550100"),
        ] {
            assert_eq!(one(Normalize::Phone, written), Ok(Some(number.into())), "{written}");
        }
        for bad in ["030 123456", "4930123456", "+49", "+0123456789", "+49 30 12345 ext 6", "+1234567890123456"] {
            assert_eq!(one(Normalize::Phone, bad), Err(Refusal::Phone), "{bad}");
        }
        assert_eq!(one(Normalize::Phone, ""), Ok(None));
    }

    #[test]
    fn steps_apply_in_their_order() {
        let steps = [Normalize::Digits, Normalize::Trim];
        assert_eq!(Rule::new(&steps, None, None).apply(" a1 b2 "), Ok(Normalized::Plain("12".into())));
        assert_eq!(one(Normalize::Uppercase, "straße"), Ok(Some("STRASSE".into())));
        assert_eq!(one(Normalize::Lowercase, "ÀB"), Ok(Some("àb".into())));
        assert_eq!(one(Normalize::Trim, "\u{a0}x\t"), Ok(Some("x".into())));
    }
}
