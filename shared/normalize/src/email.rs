use std::borrow::Cow;

/// What destinations accept as an address: a local part of up to 64 bytes without quoting, and a domain name of at least
/// two labels (RFC 5321 section 4.5.3.1 for the lengths).
pub(crate) fn is_email(text: &str) -> bool {
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

/// Google's own addresses without what does not count in them: dots before the `@`, and a `+` with what follows. Expects
/// lower-case text; other domains stay as they are.
pub(crate) fn without_aliases(text: Cow<'_, str>) -> Cow<'_, str> {
    let Some((local, domain)) = text.rsplit_once('@') else { return text };
    if !matches!(domain, "gmail.com" | "googlemail.com") || !local.contains(['.', '+']) {
        return text;
    }
    let person = local.split('+').next().unwrap_or(local).replace('.', "");
    Cow::Owned(format!("{person}@{domain}"))
}
