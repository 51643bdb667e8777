//! Reasons that people may read: codes of a destination, cleared of anything that could be personal.

use crate::OutRow;

/// The longest code that is shown.
const LONGEST: usize = 80;
/// A run of digits longer than this may be a phone number or an id.
const DIGITS: usize = 6;

/// What a destination says about a refusal, if it can be shown: a short code of plain characters that holds none of the
/// rows' values. Texts often echo the value that they complain about.
pub(crate) fn code(text: &str, rows: &[OutRow]) -> Option<String> {
    let text = text.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || " _-.:/()".contains(c);
    if text.is_empty() || text.len() > LONGEST || !text.chars().all(plain) || has_long_number(text) {
        return None;
    }
    let lower = text.to_lowercase();
    let echoed = |value: &str| {
        let value = value.trim().to_lowercase();
        value.len() > 2 && lower.contains(&value)
    };
    let personal = rows.iter().any(|row| {
        echoed(row.key.as_str())
            || row.identifiers.iter().any(|i| echoed(&i.value))
            || row.fields.values().any(|v| v.as_str().is_some_and(echoed))
    });
    (!personal).then(|| text.to_owned())
}

/// `HTTP 422`, with the destination's code behind it if there is one to show.
pub(crate) fn http(status: u16, code: Option<&str>) -> String {
    match code {
        Some(code) => format!("HTTP {status} {code}"),
        None => format!("HTTP {status}"),
    }
}

fn has_long_number(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > DIGITS)
}

#[cfg(test)]
mod tests {
    use driftless_model::{Identifier, RecordKey};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_code_that_echoes_a_value_is_not_shown() {
        let row = OutRow {
            key: RecordKey::new("c-17"),
            identifiers: [Identifier::new("email", "mary@example.com")].into(),
            remote_id: None,
            fields: json!({ "first_name": "Mary" }).as_object().expect("an object").clone(),
        };
        let rows = [row];
        assert_eq!(code("ERROR_CONTACT_EXISTS", &rows).as_deref(), Some("ERROR_CONTACT_EXISTS"));
        for bad in
            ["mary@example.com looks fake", "MARY is not a name", "no such c-17", "unknown 49301234567", "", "ünknown"]
        {
            assert_eq!(code(bad, &rows), None, "{bad}");
        }
    }
}
