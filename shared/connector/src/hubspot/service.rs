use core::time::Duration;

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Hubspot, wire};
use crate::{
    Answered, Failure,
    http::{Outgoing, Reply, Session},
    reason,
};

/// How long a daily limit is waited for before looking again: it ends at midnight in the account's own time zone.
const DAILY: Duration = Duration::from_hours(1);

impl Hubspot {
    /// Sends a request. `harmless`: it changes nothing, so what is not answered was not applied.
    pub(super) async fn call(
        &self,
        session: &Session<'_>,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Vec<u8>>,
        harmless: bool,
    ) -> Result<Reply, Answered> {
        let mut url = self.http.url("");
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.iter().flat_map(|part| {
                // Configured paths have several segments; ids and names come alone and are encoded.
                let many = part.starts_with('/');
                if many { part.split('/').filter(|s| !s.is_empty()).collect() } else { vec![*part] }
            }));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = Outgoing::new(method, url);
        if let Some(body) = body {
            request = request.body(body, "application/json");
        }
        session.send(request).await.map_err(|trouble| if harmless { trouble.harmless() } else { trouble }.into())
    }
}

/// The body of a success.
pub(super) fn body<T: DeserializeOwned>(reply: &Reply) -> Result<T, Answered> {
    let no_answer = |reason: String| Answered::NoAnswer { reason };
    let body = reply.json().map_err(|unread| no_answer(unread.to_string()))?;
    serde_json::from_value(body).map_err(|_| no_answer("the answer is not of HubSpot".into()))
}

/// What an answer that is not a success means for the whole request.
pub(super) fn refusal(reply: &Reply) -> Answered {
    let said: wire::Error = reply.json().ok().and_then(|body| serde_json::from_value(body).ok()).unwrap_or_default();
    let code = said.sub_category.as_ref().and_then(Value::as_str).or(said.category.as_deref());
    let policy = said.policy_name.as_deref();
    let reason = reason::http(reply.status, policy.or(code).and_then(|c| reason::code(c, &[])).as_deref());
    match reply.status {
        429 => Answered::Throttled { after: reply.retry_after().or_else(|| pause(policy?)), reason },
        // Locked for seconds; moved to another data centre for hours. Nothing was applied.
        423 | 477 => Answered::Throttled { after: reply.retry_after(), reason },
        503 if reply.retry_after().is_some() => Answered::Throttled { after: reply.retry_after(), reason },
        300..=399 | 401 | 403 | 404 | 405 | 406 | 407 | 410 | 415 => Answered::Fatal { reason },
        408 | 500.. => Answered::NoAnswer { reason },
        _ => Answered::BatchRejected { reason },
    }
}

/// How long a limit lasts, by its name.
fn pause(policy: &str) -> Option<Duration> {
    match policy {
        "SECONDLY" => Some(Duration::from_secs(1)),
        "TEN_SECONDLY_ROLLING" => Some(Duration::from_secs(10)),
        "DAILY" => Some(DAILY),
        _ => None,
    }
}

/// What stopped a question.
pub(super) fn failure(answered: Answered) -> Failure {
    match answered {
        Answered::Throttled { after, reason } => Failure::Throttled { after, reason },
        Answered::Fatal { reason } | Answered::BatchRejected { reason } => Failure::Fatal { reason },
        Answered::Unavailable { reason } | Answered::NoAnswer { reason } => Failure::Unavailable { reason },
        _ => Failure::Unavailable { reason: "no answer".into() },
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
