//! What the status of a request says of its rows.

use std::collections::BTreeMap;

use driftless_config::destination::OnPartialSuccess;
use driftless_model::{Outcome, RowOutcome};
use serde_json::Value;

use crate::{Answered, reason};

/// A failure that is Google's own: the records go again.
const THEIRS: &str = "PROCESSING_ERROR_REASON_INTERNAL_ERROR";

/// What became of so many rows. There is one destination in a request, so there is one status.
pub(super) fn read(body: &Value, rows: usize, partial: OnPartialSuccess) -> Answered {
    let status = &body["requestStatusPerDestination"][0];
    let refused = counts(&status["errorInfo"]["errorCounts"]);
    let reason = refused.keys().next().cloned().unwrap_or_else(|| "FAILED".to_owned());
    let all = |outcome: Outcome| Answered::Rows(vec![RowOutcome::from(outcome); rows]);
    match status["requestStatus"].as_str() {
        Some("SUCCESS") => all(Outcome::Delivered),
        Some("FAILED") if refused.keys().any(|code| code == THEIRS) && rows > 0 => all(Outcome::Retry),
        Some("FAILED") if rows > 0 => all(Outcome::Rejected { reason }),
        Some("FAILED" | "PARTIAL_SUCCESS") if rows == 0 => Answered::Fatal { reason },
        Some("PARTIAL_SUCCESS") if partial == OnPartialSuccess::Bisect => Answered::BatchRejected { reason },
        Some("PARTIAL_SUCCESS") => Answered::RowsButUnnamed { refused },
        Some("PROCESSING" | "REQUEST_STATUS_UNKNOWN") => Answered::Pending { after: None },
        _ => Answered::NoAnswer { reason: "the answer has no status".into() },
    }
}

/// Failed records by reason. Numbers of 64 bits are written as text.
fn counts(counts: &Value) -> BTreeMap<String, u64> {
    let count = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let entries = counts.as_array().into_iter().flatten();
    entries
        .filter_map(|entry| {
            let code = entry["reason"].as_str().and_then(|text| reason::code(text, &[]));
            Some((code.unwrap_or_else(|| "no reason".to_owned()), count(&entry["recordCount"])?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(status: &str, counts: &Value) -> Value {
        json!({ "requestStatusPerDestination": [{ "requestStatus": status, "errorInfo": { "errorCounts": counts } }] })
    }

    #[test]
    fn a_failure_of_some_is_counted_or_bisected_as_configured() {
        let some =
            status("PARTIAL_SUCCESS", &json!([{ "reason": "PROCESSING_ERROR_REASON_NO_CONSENT", "recordCount": "3" }]));
        let refused = BTreeMap::from([("PROCESSING_ERROR_REASON_NO_CONSENT".to_owned(), 3)]);
        assert_eq!(read(&some, 9, OnPartialSuccess::Count), Answered::RowsButUnnamed { refused });
        assert!(matches!(read(&some, 9, OnPartialSuccess::Bisect), Answered::BatchRejected { .. }));
    }

    #[test]
    fn a_failure_of_all_rejects_them_unless_it_is_googles_own() {
        let all = status("FAILED", &json!([{ "reason": "PROCESSING_ERROR_REASON_NO_CONSENT", "recordCount": "2" }]));
        let rejected = Outcome::Rejected { reason: "PROCESSING_ERROR_REASON_NO_CONSENT".into() };
        assert_eq!(read(&all, 2, OnPartialSuccess::Count), Answered::Rows(vec![rejected.into(); 2]));
        let theirs = status("FAILED", &json!([{ "reason": THEIRS, "recordCount": "2" }]));
        assert_eq!(read(&theirs, 1, OnPartialSuccess::Count), Answered::Rows(vec![Outcome::Retry.into()]));
        assert!(matches!(read(&all, 0, OnPartialSuccess::Count), Answered::Fatal { .. }));
        assert_eq!(
            read(&status("PROCESSING", &json!([])), 2, OnPartialSuccess::Count),
            Answered::Pending { after: None }
        );
        assert!(matches!(read(&json!({}), 2, OnPartialSuccess::Count), Answered::NoAnswer { .. }));
    }
}
