use std::borrow::Cow;

use driftless_config::Normalize;
use driftless_model::InvalidReason;

/// Applies the steps of a mapping to a text, in their order. `None`: the value is absent (a blank e-mail or phone).
pub(crate) fn normalize<'a>(text: &'a str, steps: &[Normalize]) -> Result<Option<Cow<'a, str>>, InvalidReason> {
    let mut value = Cow::Borrowed(text);
    for step in steps {
        value = match step {
            Normalize::Trim => trim(value),
            Normalize::Lowercase => lowercase(value),
            Normalize::Uppercase => Cow::Owned(value.to_uppercase()),
            Normalize::Digits => keep(value, |c| c.is_ascii_digit()),
            Normalize::Email => {
                let value = lowercase(trim(value));
                if value.is_empty() {
                    return Ok(None);
                }
                if !is_email(&value) {
                    return Err(InvalidReason::Malformed);
                }
                value
            }
            Normalize::Phone => {
                let value = trim(value);
                if value.is_empty() {
                    return Ok(None);
                }
                Cow::Owned(e164(&value).ok_or(InvalidReason::Malformed)?)
            }
        };
    }
    Ok(Some(value))
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

fn keep(value: Cow<'_, str>, wanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if value.chars().all(&wanted) { value } else { Cow::Owned(value.chars().filter(|c| wanted(*c)).collect()) }
}

/// What destinations accept as an address: a local part of up to 64 bytes without quoting, and a domain name of at least
/// two labels (RFC 5321 §4.5.3.1 for the lengths).
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let letter = |c: char| c.is_ascii_alphanumeric() || (!c.is_ascii() && c.is_alphanumeric());
    let atom = |c: char| {
        let sign = matches!(c, '!' | '#'..='\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^'..='`' | '{'..='~');
        letter(c) || sign
    };
    let local_ok = local.len() <= 64 && local.split('.').all(|part| !part.is_empty() && part.chars().all(atom));
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| letter(c) || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    local_ok && text.len() <= 254 && domain.contains('.') && domain.split('.').all(label_ok)
}

/// `+` and 7 to 15 digits, the first not 0 (ITU-T E.164). A zero in parentheses after the country code is the prefix for
/// calls at home and not part of the number.
fn e164(text: &str) -> Option<String> {
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

    fn one(step: Normalize, text: &str) -> Result<Option<String>, InvalidReason> {
        normalize(text, &[step]).map(|v| v.map(Cow::into_owned))
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
            assert_eq!(one(Normalize::Email, bad), Err(InvalidReason::Malformed), "{bad}");
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
            assert_eq!(one(Normalize::Phone, bad), Err(InvalidReason::Malformed), "{bad}");
        }
        assert_eq!(one(Normalize::Phone, ""), Ok(None));
    }

    #[test]
    fn steps_apply_in_their_order() {
        let steps = [Normalize::Digits, Normalize::Trim];
        assert_eq!(normalize(" a1 b2 ", &steps), Ok(Some("12".into())));
        assert_eq!(one(Normalize::Uppercase, "straße"), Ok(Some("STRASSE".into())));
        assert_eq!(one(Normalize::Lowercase, "ÀB"), Ok(Some("àb".into())));
        assert_eq!(one(Normalize::Trim, "\u{a0}x\t"), Ok(Some("x".into())));
    }
}
