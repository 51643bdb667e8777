//! What headers say about a quota: `RateLimit-Remaining` and `-Reset`, with or without `X-`, or both in one `RateLimit` header
//! (draft-ietf-httpapi-ratelimit-headers).

use core::time::Duration;

use reqwest::header::HeaderMap;

use super::Reply;
use crate::budget::Heard;

/// Prefixes of the headers, as they are met.
const FAMILIES: [&str; 3] = ["ratelimit", "x-ratelimit", "x-rate-limit"];
/// A reset that is a time and not a span: seconds since 1970 are greater than this.
const EPOCH: u64 = 1_000_000_000;

/// How many requests are left, and until when. `None` where the headers do not say both.
pub(super) fn quota(reply: &Reply) -> Option<Heard> {
    let (remaining, reset) = FAMILIES.iter().find_map(|family| in_two(&reply.headers, family)).or_else(|| {
        let whole = text(&reply.headers, "ratelimit")?;
        Some((parameter(whole, "r")?, parameter(whole, "t")?))
    })?;
    let seconds = match reset {
        // By the other side's clock, as it was when it answered.
        at if at > EPOCH => at.saturating_sub(reply.date()?),
        span => span,
    };
    Some(Heard::Quota { remaining, reset: Duration::from_secs(seconds) })
}

fn in_two(headers: &HeaderMap, family: &str) -> Option<(u64, u64)> {
    let whole = |name: &str| {
        let text = text(headers, &format!("{family}-{name}"))?;
        // Some send decimals, and several windows as a list, the first of which is the one that counts.
        text.split([',', ';', '.']).next()?.trim().parse().ok()
    };
    Some((whole("remaining")?, whole("reset")?))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The number of a parameter in `"default";r=50;t=30`.
fn parameter(text: &str, name: &str) -> Option<u64> {
    let first = text.split(',').next()?;
    first.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn heard(headers: &[(&'static str, &'static str)]) -> Option<(u64, u64)> {
        let headers = headers.iter().map(|(n, v)| (n.parse().expect("a name"), HeaderValue::from_static(v))).collect();
        match quota(&Reply { status: 200, headers, body: Ok(Vec::new()) })? {
            Heard::Quota { remaining, reset } => Some((remaining, reset.as_secs())),
            _ => None,
        }
    }

    #[test]
    fn a_quota_is_read_in_every_spelling() {
        assert_eq!(heard(&[("ratelimit-remaining", "7"), ("ratelimit-reset", "30")]), Some((7, 30)));
        assert_eq!(heard(&[("X-RateLimit-Remaining", "7"), ("X-RateLimit-Reset", "30.5")]), Some((7, 30)));
        assert_eq!(heard(&[("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "9")]), Some((0, 9)));
        assert_eq!(heard(&[("ratelimit", "\"default\";r=50;t=30, \"daily\";r=900;t=4000")]), Some((50, 30)));
        let (date, reset) = (("date", "Sun, 06 Nov 2033 08:49:37 GMT"), ("x-ratelimit-reset", "2014879797"));
        assert_eq!(heard(&[("x-ratelimit-remaining", "3"), reset, date]), Some((3, 20)));
    }

    #[test]
    fn half_a_quota_is_none() {
        assert_eq!(heard(&[("ratelimit-remaining", "7")]), None);
        assert_eq!(heard(&[("ratelimit-remaining", "many"), ("ratelimit-reset", "30")]), None);
        assert_eq!(heard(&[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "2014882197")]), None);
        assert_eq!(heard(&[]), None);
    }
}
