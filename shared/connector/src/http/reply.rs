use core::{fmt, time::Duration};

use driftless_config::destination::{RetryAfter, WaitFrom, WaitUnit};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

/// An answer: its status always, its body as far as it could be read.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Vec<u8>, Unread>,
}

/// Why a body is not there, although the status is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    #[error("the answer is longer than the limit")]
    TooLong,
    #[error("the answer was cut off")]
    Cut,
    #[error("the answer is not JSON")]
    NotJson,
    #[error("the answer is not text in UTF-8")]
    NotText,
}

impl Reply {
    pub(crate) const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// The body as JSON, whatever its content type says: many APIs name it wrongly, and what is not JSON does not parse.
    pub(crate) fn json(&self) -> Result<Value, Unread> {
        let body = self.body.as_ref().map_err(|unread| *unread)?;
        serde_json::from_slice(body).map_err(|_| Unread::NotJson)
    }

    /// The body as text in UTF-8.
    pub(crate) fn text(&self) -> Result<&str, Unread> {
        let body = self.body.as_ref().map_err(|unread| *unread)?;
        core::str::from_utf8(body).map_err(|_| Unread::NotText)
    }

    /// What the `Retry-After` header asks for: seconds, or a date (RFC 9110 section 10.2.3) compared with the answer's own.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        match text.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => Some(Duration::from_secs(http_date(text)?.saturating_sub(self.date()?))),
        }
    }

    /// When the answer was made, in seconds since 1970, by the other side's clock.
    pub(super) fn date(&self) -> Option<u64> {
        http_date(self.headers.get(DATE)?.to_str().ok()?)
    }
}

/// How long the answer asks us to wait, where the destination says it in its own way.
pub(crate) fn wait_of(reply: &Reply, body: Option<&Value>, rule: &RetryAfter) -> Option<Duration> {
    let number = match &rule.from {
        WaitFrom::Header(name) => reply.headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok()?,
        WaitFrom::Body(at) => {
            let value = body?.pointer(at.as_str())?;
            value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?
        }
    };
    let seconds = match rule.unit {
        WaitUnit::Seconds => number,
        WaitUnit::Milliseconds => number / 1000.0,
        #[allow(clippy::cast_precision_loss)] // seconds since 1970 are far below 2^52
        WaitUnit::EpochSeconds => number - reply.date()? as f64,
    };
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

/// Seconds since 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`, the only form that may be sent today.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.split_once(", ")?;
    let parts: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = parts.as_slice() else { return None };
    let month = u64::try_from(MONTHS.iter().position(|m| m == month)?).ok()? + 1;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<u64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [hours, minutes, seconds] = clock.as_slice() else { return None };
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 with the year starting in March, so that the leap day is its last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hours * 3_600 + minutes * 60 + seconds)
}

/// Status only: bodies hold personal data.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use serde_json::json;

    use super::*;

    fn reply(headers: &[(&'static str, &'static str)]) -> Reply {
        let headers = headers.iter().map(|(n, v)| (n.parse().expect("a name"), HeaderValue::from_static(v))).collect();
        Reply { status: 429, headers, body: Ok(Vec::new()) }
    }

    #[test]
    fn a_date_is_compared_with_the_answers_own_date() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        let both =
            reply(&[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        assert_eq!(both.retry_after(), Some(Duration::from_mins(1)));
        assert_eq!(reply(&[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")]).retry_after(), None);
        assert_eq!(reply(&[("retry-after", "7")]).retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(reply(&[("retry-after", "soon")]).retry_after(), None);
    }

    #[test]
    fn a_wait_is_read_from_a_header_or_the_body() {
        let rule = |from, unit| RetryAfter { from, unit };
        let with = reply(&[("x-reset", "784111787"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        let header = rule(WaitFrom::Header("X-Reset".into()), WaitUnit::EpochSeconds);
        assert_eq!(wait_of(&with, None, &header), Some(Duration::from_secs(10)));
        let body = rule(WaitFrom::Body("/wait_ms".to_owned().try_into().expect("a pointer")), WaitUnit::Milliseconds);
        assert_eq!(wait_of(&with, Some(&json!({ "wait_ms": 1500 })), &body), Some(Duration::from_millis(1500)));
        assert_eq!(wait_of(&with, Some(&json!({})), &body), None);
    }
}
