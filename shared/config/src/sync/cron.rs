//! The six fields of a cron expression as EventBridge Scheduler reads them (AWS: "Schedule types in EventBridge
//! Scheduler"). Checked here because Scheduler says no more than "invalid schedule expression", and only when applying.

/// One of the six fields: its name, least and greatest number, the names of its numbers from the least on, and the
/// marks it allows beside `*`, `,`, `-` and `/`.
struct Field {
    name: &'static str,
    least: u16,
    greatest: u16,
    names: &'static [&'static str],
    marks: &'static [char],
}

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [Field; 6] = [
    Field { name: "minutes", least: 0, greatest: 59, names: &[], marks: &[] },
    Field { name: "hours", least: 0, greatest: 23, names: &[], marks: &[] },
    Field { name: "day of month", least: 1, greatest: 31, names: &[], marks: &['?', 'L', 'W'] },
    Field { name: "month", least: 1, greatest: 12, names: MONTHS, marks: &[] },
    Field { name: "day of week", least: 1, greatest: 7, names: DAYS, marks: &['?', 'L', '#'] },
    Field { name: "year", least: 1970, greatest: 2199, names: &[], marks: &[] },
];

/// What is wrong with a cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCron {
    /// Not six fields.
    #[error(
        "the cron expression has {found} fields; write the six of EventBridge Scheduler (minutes hours day-of-month month day-of-week year), for example cron(0 3 ? * MON *)"
    )]
    Fields {
        /// The number of fields found.
        found: usize,
    },
    /// A field that cannot be read.
    #[error(
        "`{text}` is not a value of the field {field}; write {least} to {greatest}, a list (1,2), a range (1-5), a step (0/5) or *"
    )]
    Field {
        /// The field's name.
        field: &'static str,
        /// What was written.
        text: String,
        /// The least number.
        least: u16,
        /// The greatest number.
        greatest: u16,
    },
    /// Neither, or both, of the day fields say `?`.
    #[error(
        "the cron expression must say ? in exactly one of day-of-month and day-of-week; for every day write cron(0 3 * * ? *)"
    )]
    Days,
}

/// Checks the text between the parentheses; answers it with single spaces and in upper case.
pub(super) fn check(text: &str) -> Result<String, InvalidCron> {
    let text = text.to_ascii_uppercase();
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(InvalidCron::Fields { found: fields.len() });
    }
    for (field, text) in FIELDS.iter().zip(&fields) {
        if !field.allows(text) {
            let Field { name, least, greatest, .. } = *field;
            return Err(InvalidCron::Field { field: name, text: (*text).chars().take(40).collect(), least, greatest });
        }
    }
    if (fields[2] == "?") == (fields[4] == "?") {
        return Err(InvalidCron::Days);
    }
    Ok(fields.join(" "))
}

impl Field {
    fn allows(&self, text: &str) -> bool {
        if text == "?" {
            return self.marks.contains(&'?');
        }
        text.split(',').all(|part| self.allows_part(part))
    }

    fn allows_part(&self, part: &str) -> bool {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        // A step is a number of units, at most as many as the field has.
        if step.is_some_and(|s| !decimal(s).is_some_and(|n| n >= 1 && n <= self.greatest)) {
            return false;
        }
        if range == "*" {
            return true;
        }
        if let Some((from, to)) = range.split_once('-') {
            return matches!((self.number(from), self.number(to)), (Some(a), Some(b)) if a <= b);
        }
        self.number(range).is_some() || (step.is_none() && self.allows_marked(range))
    }

    /// `L`, `5L` (the last Thursday), `15W` (the weekday nearest to the 15th), `3#2` (the second Tuesday).
    fn allows_marked(&self, text: &str) -> bool {
        if self.marks.contains(&'L') && (text == "L" || self.marks.contains(&'#') && self.has_suffix(text, 'L')) {
            return true;
        }
        if self.marks.contains(&'W') && self.has_suffix(text, 'W') {
            return true;
        }
        self.marks.contains(&'#')
            && text.split_once('#').is_some_and(|(day, nth)| {
                self.number(day).is_some() && decimal(nth).is_some_and(|n| (1..=5).contains(&n))
            })
    }

    fn has_suffix(&self, text: &str, mark: char) -> bool {
        text.strip_suffix(mark).is_some_and(|n| self.number(n).is_some())
    }

    fn number(&self, text: &str) -> Option<u16> {
        let by_name = self.names.iter().position(|name| *name == text).and_then(|i| u16::try_from(i).ok());
        let number = by_name.map(|i| i + self.least).or_else(|| decimal(text))?;
        (self.least..=self.greatest).contains(&number).then_some(number)
    }
}

fn decimal(text: &str) -> Option<u16> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_that_scheduler_takes_are_taken() {
        for good in [
            "0 3 ? * MON *",
            "15 10 ? * 6L 2022-2023",
            "0 18 ? * MON-FRI *",
            "0/5 8-17 ? * mon-fri *",
            "0 8 1 * ? *",
            "*/10 * L JAN,JUL ? *",
            "0 8 15W * ? *",
            "0 8 ? * 3#2 *",
            "0 8 ? * L *",
        ] {
            assert!(check(good).is_ok(), "{good}: {:?}", check(good));
        }
        assert_eq!(check("0  3 ? * mon *"), Ok("0 3 ? * MON *".into()));
    }

    #[test]
    fn expressions_that_scheduler_refuses_are_refused_by_the_field() {
        for (bad, field) in [
            ("60 3 ? * MON *", "minutes"),
            ("0 24 ? * MON *", "hours"),
            ("0 3 32 * ? *", "day of month"),
            ("0 3 ? 13 MON *", "month"),
            ("0 3 ? * 8 *", "day of week"),
            ("0 3 ? * 0 *", "day of week"),
            ("0 3 ? * FRI-MON *", "day of week"),
            ("0 3 ? * 3#6 *", "day of week"),
            ("0 3 ? * MON 1969", "year"),
            ("? 3 ? * MON *", "minutes"),
            ("0/0 3 ? * MON *", "minutes"),
            ("1, 3 ? * MON *", "minutes"),
        ] {
            match check(bad) {
                Err(InvalidCron::Field { field: found, .. }) => assert_eq!(found, field, "{bad}"),
                other => panic!("{bad}: {other:?}"),
            }
        }
        assert_eq!(check("0 3 * * *"), Err(InvalidCron::Fields { found: 5 }));
        assert_eq!(check("0 3 * * MON *"), Err(InvalidCron::Days));
        assert_eq!(check("0 3 ? * ? *"), Err(InvalidCron::Days));
    }
}
