//! What an answer that is not a success means. Errors are JSON:API.

use std::collections::BTreeSet;

use driftless_model::{Outcome, RowOutcome};

use crate::{Answered, http::Reply, reason};

/// What became of the rows of a refused import; `rows` says of which row each profile is, of `count` rows.
pub(super) fn import_refused(reply: &Reply, rows: &[usize], count: usize) -> Answered {
    let body = reply.json().unwrap_or_default();
    let errors = body["errors"].as_array().into_iter().flatten();
    let pointers = errors.filter_map(|error| profile(error["source"]["pointer"].as_str()?));
    let bad: BTreeSet<usize> = pointers.filter_map(|profile| rows.get(profile).copied()).collect();
    if reply.status != 400 || bad.is_empty() {
        return refused(reply);
    }
    let reason = reason_of(reply);
    let outcome = |row: usize| {
        let bad = bad.contains(&row);
        RowOutcome::from(if bad { Outcome::Rejected { reason: reason.clone() } } else { Outcome::Retry })
    };
    Answered::Rows((0..count).map(outcome).collect())
}

pub(super) fn refused(reply: &Reply) -> Answered {
    let reason = reason_of(reply);
    match reply.status {
        429 => Answered::Throttled { after: reply.retry_after(), reason },
        503 if reply.retry_after().is_some() => Answered::Throttled { after: reply.retry_after(), reason },
        300..=399 | 401 | 403 | 404 | 405 | 406 | 410 | 415 => Answered::Fatal { reason },
        408 | 500.. => Answered::NoAnswer { reason },
        _ => Answered::BatchRejected { reason },
    }
}

/// The same for a question: nothing was applied.
pub(super) fn harmless(answered: Answered) -> Answered {
    match answered {
        Answered::NoAnswer { reason } => Answered::Unavailable { reason },
        Answered::BatchRejected { reason } => Answered::Fatal { reason },
        other => other,
    }
}

fn reason_of(reply: &Reply) -> String {
    let body = reply.json().unwrap_or_default();
    let code = body["errors"][0]["code"].as_str().and_then(|text| reason::code(text, &[]));
    reason::http(reply.status, code.as_deref())
}

/// The number of the profile that a pointer such as `/data/attributes/profiles/data/3/attributes/email` names.
pub(super) fn profile(pointer: &str) -> Option<usize> {
    let (_, rest) = pointer.split_once("/profiles/data/")?;
    rest.split('/').next()?.parse().ok()
}
