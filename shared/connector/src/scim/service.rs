use std::sync::PoisonError;

use driftless_config::destination::BulkUse;
use reqwest::{
    Method,
    header::{ACCEPT, HeaderValue, IF_MATCH},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Scim, wire, wire::ServiceProviderConfig};
use crate::{
    Answered,
    http::{Outgoing, Reply, Session},
    reason,
};

const SCIM_JSON: &str = "application/scim+json";

/// What the service can do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Provider {
    /// The limits of `/Bulk`, if it is to be used.
    pub(super) bulk: Option<BulkLimits>,
}

/// The limits of one bulk request.
#[derive(Clone, Copy, Debug)]
pub(super) struct BulkLimits {
    pub(super) operations: usize,
    pub(super) bytes: usize,
}

/// A request to the service.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// The segments of the path below the root; encoded when sent.
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<Value>,
    pub(super) if_match: Option<HeaderValue>,
}

impl<'a> Call<'a> {
    pub(super) const fn new(method: Method, path: &'a [&'a str]) -> Self {
        Self { method, path, query: &[], body: None, if_match: None }
    }

    pub(super) fn query(self, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { query, ..self }
    }

    pub(super) fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }
}

impl Scim {
    /// What the service says it can do; asked once.
    pub(super) async fn provider(&self, session: &Session<'_>) -> Result<Provider, Answered> {
        let known = *self.provider.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(provider) = known {
            return Ok(provider);
        }
        let reply = self.send(session, Call::new(Method::GET, &["ServiceProviderConfig"])).await?;
        let config: ServiceProviderConfig = match reply.status {
            // Services that do not have it have no bulk either.
            404 | 501 => ServiceProviderConfig::default(),
            _ => self.resource(&reply)?,
        };
        let bulk = &config.bulk;
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let usable = bulk.supported && bulk.max_operations > 1 && self.config.bulk == BulkUse::Auto;
        let provider = Provider {
            bulk: usable.then(|| BulkLimits {
                operations: size(bulk.max_operations),
                // 0 where the service does not say.
                bytes: if bulk.max_payload_size == 0 { 1 << 20 } else { size(bulk.max_payload_size) },
            }),
        };
        *self.provider.lock().unwrap_or_else(PoisonError::into_inner) = Some(provider);
        Ok(provider)
    }

    /// Sends a request. A question that is not answered was not applied.
    pub(super) async fn send(&self, session: &Session<'_>, call: Call<'_>) -> Result<Reply, Answered> {
        let question = call.method == Method::GET;
        let mut url = self.http.url("");
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        let mut request = Outgoing::new(call.method, url).header(ACCEPT, HeaderValue::from_static(SCIM_JSON));
        if let Some(version) = call.if_match {
            request = request.header(IF_MATCH, version);
        }
        if let Some(body) = call.body {
            request = request.body(body.to_string(), SCIM_JSON);
        }
        session.send(request).await.map_err(|trouble| if question { trouble.harmless() } else { trouble }.into())
    }

    /// The resource in a successful answer to a question, or why there is none.
    pub(super) fn resource<T: DeserializeOwned>(&self, reply: &Reply) -> Result<T, Answered> {
        if !reply.is_success() {
            return Err(harmless(refusal(reply)));
        }
        let body = reply.json().map_err(|unread| Answered::Unavailable { reason: unread.to_string() })?;
        serde_json::from_value(body).map_err(|_| Answered::Unavailable { reason: "the answer is not of SCIM".into() })
    }

    /// Resources that a filter finds, with the attributes asked for.
    pub(super) async fn find(
        &self,
        session: &Session<'_>,
        kind: &str,
        filter: &str,
        attributes: (&str, &str),
    ) -> Result<Vec<wire::Resource>, Answered> {
        let query = [("filter", filter), ("startIndex", "1"), ("count", "2"), attributes];
        let reply = self.send(session, Call::new(Method::GET, &[kind]).query(&query)).await?;
        // Some services say so when nothing matches.
        if reply.status == 404 {
            return Ok(Vec::new());
        }
        Ok(self.resource::<wire::Listed>(&reply)?.resources)
    }
}

/// What an answer that is not a success means for the whole request.
pub(super) fn refusal(reply: &Reply) -> Answered {
    let body = reply.json().ok();
    let scim_type = body.as_ref().and_then(|b| b.get("scimType")?.as_str());
    let reason = reason::http(reply.status, scim_type.and_then(|t| reason::code(t, &[])).as_deref());
    match reply.status {
        429 => Answered::Throttled { after: reply.retry_after(), reason },
        503 if reply.retry_after().is_some() => Answered::Throttled { after: reply.retry_after(), reason },
        300..=399 | 401 | 403 | 404 | 405 | 406 | 407 | 410 | 415 | 501 => Answered::Fatal { reason },
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
