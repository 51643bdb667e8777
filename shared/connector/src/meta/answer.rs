//! What Meta's answers mean.

use core::time::Duration;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    Answered,
    http::{Reply, Unread},
    reason,
};

/// How long a replacement in progress keeps others waiting before they ask again.
const IN_PROGRESS: Duration = Duration::from_mins(1);

/// An error of the Graph API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GraphError {
    pub(super) code: u64,
    pub(super) subcode: u64,
}

impl GraphError {
    pub(super) fn of(reply: &Reply) -> Option<Self> {
        let body = reply.json().ok()?;
        let error = body.get("error")?;
        let number = |name: &str| error.get(name).and_then(Value::as_u64).unwrap_or_default();
        Some(Self { code: number("code"), subcode: number("error_subcode") })
    }

    /// A replacement is going on: nothing else may be sent.
    pub(super) const fn replacing(self) -> bool {
        self.code == 2650 && self.subcode == 1_870_145
    }

    /// The session has ended as its last part says.
    pub(super) const fn session_finished(self) -> bool {
        self.code == 2650 && self.subcode == 1_870_159
    }
}

/// What became of the rows of a request that was answered with success.
pub(super) fn received(reply: &Reply) -> Answered {
    let body = match reply.json() {
        Ok(body) => body,
        Err(unread) => return Answered::NoAnswer { reason: unread.to_string() },
    };
    if body.get("num_received").and_then(Value::as_u64).is_none() {
        return Answered::NoAnswer { reason: "the answer does not say what was received".into() };
    }
    let invalid = body.get("num_invalid_entries").and_then(Value::as_u64).unwrap_or_default();
    let refused = if invalid == 0 { BTreeMap::new() } else { BTreeMap::from([("invalid entry".to_owned(), invalid)]) };
    Answered::RowsButUnnamed { refused }
}

/// What an answer that is not a success means for the whole request.
pub(super) fn refused(reply: &Reply) -> Answered {
    let Some(error) = GraphError::of(reply) else { return unexplained(reply) };
    let code = match error.subcode {
        0 => format!("error {}", error.code),
        subcode => format!("error {}/{subcode}", error.code),
    };
    let reason = reason::http(reply.status, Some(&code));
    match (error.code, error.subcode) {
        (4 | 17 | 32 | 613 | 80_000..=80_014, _) => Answered::Throttled { after: wait(reply), reason },
        (2650, 1_870_145) => Answered::Throttled { after: Some(IN_PROGRESS), reason },
        // Unknown, and service unavailable: transient, and nothing says that it was not applied.
        (1 | 2, _) => Answered::NoAnswer { reason },
        (0, _) => unexplained(reply),
        // Parameters, login, permission, terms, a flagged audience, a session that is over, a version that was retired: none of
        // it is about a row.
        _ => Answered::Fatal { reason },
    }
}

/// The same for a question.
pub(super) fn harmless(answered: Answered) -> Answered {
    match answered {
        Answered::NoAnswer { reason } => Answered::Unavailable { reason },
        other => other,
    }
}

fn unexplained(reply: &Reply) -> Answered {
    let reason = reason::http(reply.status, None);
    match reply.status {
        429 => Answered::Throttled { after: reply.retry_after(), reason },
        300..=399 | 400 | 401 | 403 | 404 | 405 | 410 => Answered::Fatal { reason },
        _ => Answered::NoAnswer { reason },
    }
}

/// How long Meta asks us to wait: in its headers, in minutes per business use case, or in seconds per ad account.
fn wait(reply: &Reply) -> Option<Duration> {
    let header = |name: &str| {
        let text = reply.headers.get(name)?.to_str().ok()?;
        serde_json::from_str::<Value>(text).map_err(|_| Unread::NotJson).ok()
    };
    let minutes = header("x-business-use-case-usage").and_then(|usage| {
        let cases = usage.as_object()?.values().filter_map(Value::as_array).flatten();
        cases.filter_map(|case| case.get("estimated_time_to_regain_access")?.as_u64()).max()
    });
    let seconds = header("x-ad-account-usage").and_then(|usage| usage.get("reset_time_duration")?.as_u64());
    let minutes = minutes.filter(|m| *m > 0).map(|m| Duration::from_secs(m.saturating_mul(60)));
    minutes.or(seconds.filter(|s| *s > 0).map(Duration::from_secs)).or(reply.retry_after())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use serde_json::json;

    use super::*;

    fn reply(status: u16, body: &Value) -> Reply {
        Reply { status, headers: reqwest::header::HeaderMap::new(), body: Ok(body.to_string().into_bytes()) }
    }

    fn error(code: u64, subcode: u64) -> Reply {
        reply(400, &json!({ "error": { "message": "m", "code": code, "error_subcode": subcode } }))
    }

    #[test]
    fn a_code_decides_and_the_status_does_not() {
        for code in [80_003, 17, 613, 4] {
            assert!(matches!(refused(&error(code, 0)), Answered::Throttled { .. }), "{code}");
        }
        assert!(matches!(refused(&error(2650, 1_870_145)), Answered::Throttled { after: Some(_), .. }));
        for code in [1, 2] {
            assert!(matches!(refused(&error(code, 0)), Answered::NoAnswer { .. }), "{code}");
        }
        for (code, subcode) in [
            (100, 33),
            (100, 1_713_230),
            (105, 0),
            (190, 0),
            (194, 0),
            (200, 1_870_090),
            (368, 0),
            (2635, 0),
            (2650, 1_870_158),
            (2650, 1_870_144),
        ] {
            assert!(matches!(refused(&error(code, subcode)), Answered::Fatal { .. }), "{code}/{subcode}");
        }
        assert!(matches!(refused(&reply(502, &json!("x"))), Answered::NoAnswer { .. }));
        assert_eq!(refused(&error(190, 0)), Answered::Fatal { reason: "HTTP 400 error 190".into() });
    }

    #[test]
    fn the_longest_wait_of_all_use_cases_is_kept() {
        let mut throttled = error(80_003, 0);
        let usage = r#"{"1":[{"type":"custom_audience","estimated_time_to_regain_access":3},{"estimated_time_to_regain_access":7}]}"#;
        throttled.headers.insert("x-business-use-case-usage", HeaderValue::from_static(usage));
        assert!(
            matches!(refused(&throttled), Answered::Throttled { after: Some(after), .. } if after.as_secs() == 420)
        );
        let mut throttled = error(17, 2_446_079);
        throttled.headers.insert(
            "x-ad-account-usage",
            HeaderValue::from_static(r#"{"acc_id_util_pct":100,"reset_time_duration":50}"#),
        );
        assert!(matches!(refused(&throttled), Answered::Throttled { after: Some(after), .. } if after.as_secs() == 50));
    }

    #[test]
    fn samples_are_not_looked_at() {
        let body = json!({ "num_received": 3, "num_invalid_entries": 2, "invalid_entry_samples": { "mary@example.com": "bad" } });
        let refused = BTreeMap::from([("invalid entry".to_owned(), 2)]);
        assert_eq!(received(&reply(200, &body)), Answered::RowsButUnnamed { refused });
        assert!(matches!(received(&reply(200, &json!({}))), Answered::NoAnswer { .. }));
    }
}
