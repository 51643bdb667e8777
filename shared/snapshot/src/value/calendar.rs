use core::fmt::{self, Write};

/// Days since 1970-01-01 as `YYYY-MM-DD`, in the proleptic Gregorian calendar. Years beyond four digits have a sign.
pub(super) fn write_date(days: i64, out: &mut impl Write) -> fmt::Result {
    // Days from the first of March of the year 0, so that the leap day is the last of its year.
    let shifted = i128::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    if (0..=9999).contains(&year) {
        write!(out, "{year:04}-{month:02}-{day:02}")
    } else {
        write!(out, "{year:+05}-{month:02}-{day:02}")
    }
}

/// Nanoseconds since midnight as `HH:MM:SS`, with a fraction if there is one.
pub(super) fn write_time(nanos: i64, out: &mut impl Write) -> fmt::Result {
    let seconds = nanos.div_euclid(1_000_000_000);
    let fraction = nanos.rem_euclid(1_000_000_000);
    write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
    if fraction == 0 {
        return Ok(());
    }
    let digits = format!("{fraction:09}");
    write!(out, ".{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(days: i64) -> String {
        let mut out = String::new();
        write_date(days, &mut out).expect("a string takes all");
        out
    }

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(11_017), "2000-03-01");
        assert_eq!(date(2_932_896), "9999-12-31");
        assert_eq!(date(2_932_897), "+10000-01-01");
        assert_eq!(date(-719_528), "0000-01-01");
        assert_eq!(date(-719_529), "-0001-12-31");
    }

    #[test]
    fn times_drop_the_zeros_of_the_fraction() {
        let time = |n| {
            let mut out = String::new();
            write_time(n, &mut out).expect("a string takes all");
            out
        };
        assert_eq!(time(0), "00:00:00");
        assert_eq!(time(86_399_120_000_000), "23:59:59.12");
        assert_eq!(time(1), "00:00:00.000000001");
    }
}
