//! What an answer that is not a success means.

use core::time::Duration;
use std::collections::BTreeSet;

use driftless_model::{Outcome, RowOutcome};

use crate::{Answered, http::Reply, reason};

/// A daily quota is used up: it is asked for again after this.
const DAY_QUOTA: Duration = Duration::from_hours(1);

/// Reasons that are about a member although no path names it.
const OF_MEMBERS: [&str; 12] = [
    "INVALID_ARGUMENT",
    "INVALID_FORMAT",
    "INVALID_HEX_ENCODING",
    "INVALID_BASE64_ENCODING",
    "INVALID_SHA256_FORMAT",
    "INVALID_POSTAL_CODE",
    "INVALID_COUNTRY_CODE",
    "INVALID_REGION_CODE",
    "INVALID_AUDIENCE_MEMBER",
    "TOO_MANY_USER_IDENTIFIERS",
    "NO_IDENTIFIERS_PROVIDED",
    "FIELD_VALUE_TOO_LONG",
];

/// What became of the rows of a refused request; `rows` says of which row each member is, of `count` rows.
pub(super) fn refused(reply: &Reply, rows: &[usize], count: usize) -> Answered {
    let body = reply.json().unwrap_or_default();
    let details = || body["error"]["details"].as_array().into_iter().flatten();
    let cause = details().find_map(|detail| detail["reason"].as_str()).and_then(|text| reason::code(text, &[]));
    let reason = reason::http(reply.status, cause.as_deref());
    match reply.status {
        429 => {
            let quota = details().find_map(|detail| detail["metadata"]["quota_limit"].as_str());
            let daily = quota.is_some_and(|name| name.contains("PerDay")).then_some(DAY_QUOTA);
            Answered::Throttled { after: reply.retry_after().or(daily), reason }
        }
        400 => {
            let fields = details().filter_map(|detail| detail["fieldViolations"].as_array()).flatten();
            let named = fields.filter_map(|violation| member(violation["field"].as_str()?));
            let bad: BTreeSet<usize> = named.filter_map(|member| rows.get(member).copied()).collect();
            if !bad.is_empty() {
                return Answered::Rows((0..count).map(|row| outcome(bad.contains(&row), &reason)).collect());
            }
            match cause.as_deref() {
                Some(cause) if !OF_MEMBERS.contains(&cause) => Answered::Fatal { reason },
                _ => Answered::BatchRejected { reason },
            }
        }
        300..=399 | 401 | 403 | 404 | 405 | 410 | 501 => Answered::Fatal { reason },
        _ => Answered::NoAnswer { reason },
    }
}

/// The request was refused whole, so the others were not applied.
fn outcome(bad: bool, reason: &str) -> RowOutcome {
    if bad { Outcome::Rejected { reason: reason.to_owned() }.into() } else { Outcome::Retry.into() }
}

/// The number of the member that a path such as `audience_members[3].user_data` names.
fn member(path: &str) -> Option<usize> {
    let rest = path.strip_prefix("audience_members[").or_else(|| path.strip_prefix("audienceMembers["))?;
    rest.split_once(']')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn reply(status: u16, details: &Value) -> Reply {
        let body = json!({ "error": { "code": status, "status": "X", "details": details } });
        Reply { status, headers: reqwest::header::HeaderMap::new(), body: Ok(body.to_string().into_bytes()) }
    }

    #[test]
    fn a_path_names_a_member_and_the_others_go_again() {
        let violations = json!([{ "field": "audience_members[2].user_data.user_identifiers[0]", "description": "x" }]);
        let details = json!([{ "reason": "INVALID_HEX_ENCODING" }, { "fieldViolations": violations }]);
        let Answered::Rows(rows) = refused(&reply(400, &details), &[0, 0, 1, 2], 3) else { panic!("by row") };
        let rejected = Outcome::Rejected { reason: "HTTP 400 INVALID_HEX_ENCODING".into() };
        assert_eq!(rows, [Outcome::Retry.into(), rejected.into(), RowOutcome::from(Outcome::Retry)]);
    }

    #[test]
    fn without_a_path_the_reason_says_whether_it_is_about_a_member() {
        let of = |reason: &str| refused(&reply(400, &json!([{ "reason": reason }])), &[0], 1);
        assert!(matches!(of("INVALID_SHA256_FORMAT"), Answered::BatchRejected { .. }));
        for reason in ["INVALID_USER_LIST_ID", "TERMS_AND_CONDITIONS_NOT_SIGNED", "INVALID_REMOVE_AS_OF_TIME"] {
            assert!(matches!(of(reason), Answered::Fatal { .. }), "{reason}");
        }
    }

    #[test]
    fn a_daily_quota_waits_longer_than_one_of_a_minute() {
        let of = |name: &str| {
            let details = json!([{ "reason": "RESOURCE_EXHAUSTED", "metadata": { "quota_limit": name } }]);
            match refused(&reply(429, &details), &[], 0) {
                Answered::Throttled { after, .. } => after,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(of("IngestionMutateRequestsPerMinutePerProject"), None);
        assert_eq!(of("IngestionMutateRequestsPerDayPerProject"), Some(DAY_QUOTA));
    }
}
