/// A date of birth, as far as a text gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// A part of a date of birth, in the form that Meta wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `1997`.
    Year,
    /// `02`.
    Month,
    /// `16`.
    Day,
    /// `19970216`.
    Date,
}

/// Reads `1997-02-16` (and what a timestamp has after it), `19970216`, `16.2.1997`, and `2/16/1997`, where the month comes first
/// as on Meta's page. A part alone may be just the number.
pub(crate) fn part(text: &str, part: Part) -> Option<String> {
    let alone = |digits: usize, range: core::ops::RangeInclusive<u16>| {
        let number = (text.len() <= digits).then(|| number(text)).flatten()?;
        range.contains(&number).then_some(number)
    };
    match part {
        Part::Year if text.len() == 4 => alone(4, 1900..=2100).map(|y| format!("{y:04}")),
        Part::Month if text.len() <= 2 => alone(2, 1..=12).map(|m| format!("{m:02}")),
        Part::Day if text.len() <= 2 => alone(2, 1..=31).map(|d| format!("{d:02}")),
        _ => {
            let Date { year, month, day } = date(text)?;
            Some(match part {
                Part::Year => format!("{year:04}"),
                Part::Month => format!("{month:02}"),
                Part::Day => format!("{day:02}"),
                Part::Date => format!("{year:04}{month:02}{day:02}"),
            })
        }
    }
}

fn number(text: &str) -> Option<u16> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn date(text: &str) -> Option<Date> {
    let (year, month, day) = if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
        (&text[..4], &text[4..6], &text[6..])
    } else if let Some([month, day, year]) = split(text, '/') {
        (year, month, day)
    } else if let Some([day, month, year]) = split(text, '.') {
        (year, month, day)
    } else {
        let [year, month, day] = split(text.split(['T', ' ']).next()?, '-')?;
        (year, month, day)
    };
    if year.len() != 4 || month.len() > 2 || day.len() > 2 {
        return None;
    }
    let (year, month, day) = (number(year)?, number(month)?, number(day)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    let real = (1900..=2100).contains(&year) && (1..=12).contains(&month) && (1..=days).contains(&day);
    let (month, day) = (u8::try_from(month).ok()?, u8::try_from(day).ok()?);
    real.then_some(Date { year, month, day })
}

fn split(text: &str, at: char) -> Option<[&str; 3]> {
    let mut parts = text.split(at);
    let found = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_in_the_forms_that_cannot_be_mistaken() {
        for written in ["1997-02-16", "19970216", "16.2.1997", "2/16/1997", "1997-02-16T00:00:00Z", "1997-2-16"] {
            assert_eq!(part(written, Part::Date).as_deref(), Some("19970216"), "{written}");
        }
        for bad in ["16/2/1997", "1997-02-30", "97-02-16", "1897-02-16", "soon", "", "1997-02", "1997-02-16-01"] {
            assert_eq!(part(bad, Part::Date), None, "{bad}");
        }
    }

    #[test]
    fn a_part_may_stand_alone() {
        assert_eq!(part("1997-02-06", Part::Month).as_deref(), Some("02"));
        assert_eq!(part("9", Part::Day).as_deref(), Some("09"));
        assert_eq!(part("1997", Part::Year).as_deref(), Some("1997"));
        for (bad, which) in
            [("32", Part::Day), ("0", Part::Month), ("13", Part::Month), ("-1", Part::Day), ("19999", Part::Year)]
        {
            assert_eq!(part(bad, which), None, "{bad}");
        }
    }
}
