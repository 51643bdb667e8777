//! Times as people and machines read them.

use driftless_model::Millis;
use jiff::Timestamp;

/// RFC 3339 in UTC, to the second.
pub(crate) fn utc(at: Millis) -> String {
    Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// How long ago, in the largest unit that fits: `12s`, `5m`, `3h`, `2d`.
pub(crate) fn ago(now: Millis, at: Millis) -> String {
    let seconds = (now.0 - at.0).max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds}s ago"),
        120..7_200 => format!("{}m ago", seconds / 60),
        7_200..172_800 => format!("{}h ago", seconds / 3_600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// A number of minutes, rounded to what matters.
pub(crate) fn minutes(seconds: f64) -> String {
    if seconds < 60.0 {
        format!("{} s", seconds.ceil())
    } else if seconds < 7_200.0 {
        format!("{:.0} min", (seconds / 60.0).ceil())
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

/// A count with its thousands set apart.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun: `1 sync`, `2 syncs`.
pub(crate) fn counted(n: usize, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(n as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_are_written_for_people() {
        assert_eq!(utc(Millis(1_767_592_800_123)), "2026-01-05T06:00:00Z");
        assert_eq!(ago(Millis(200_000), Millis(0)), "3m ago");
        assert_eq!(ago(Millis(0), Millis(5)), "0s ago");
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(123), "123");
        assert_eq!((counted(1, "sync"), counted(2, "sync")), ("1 sync".into(), "2 syncs".into()));
        assert_eq!(minutes(3.2), "4 s");
        assert_eq!(minutes(600.0), "10 min");
    }
}
