//! Signed webhooks (Standard Webhooks 1.0.0): a receiver is told of every change and keeps the list itself.
//!
//! # The request
//!
//! A POST to the configured URL with `Content-Type: application/json` and
//!
//! | header | is |
//! |---|---|
//! | `webhook-id` | the same whenever the same records are sent again; `Idempotency-Key` has it too, in quotes (a structured-field string) |
//! | `webhook-timestamp` | when this attempt was made, in seconds since 1970; a later attempt has a later one |
//! | `webhook-signature` | `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`, once per secret, separated by spaces |
//!
//! ```json
//! {
//!   "type": "list.records.added",
//!   "data": {
//!     "list": "news",
//!     "records": [
//!       {"key": "c-17", "identifiers": {"email": ["ada@example.com"]}, "fields": {"email": "ada@example.com", "plan": "pro"}}
//!     ]
//!   }
//! }
//! ```
//!
//! `type` is `list.records.added` (put these records into the list, or give them these values), `list.records.updated` (the
//! same; they are in it as far as we know) or `list.records.removed` (take these identifiers out; there are no `fields`). A
//! record that changes an identifier comes as a removal of the old one, answered before the new one is sent. With
//! `replaces: true` a whole list comes as `list.replaced` with `data.session: {number, part, parts, records}`. The receiver
//! collects the records of a session by their keys; with every request of the last part the list becomes what was
//! collected. The first part is answered before any other is sent, and all others before the last; a part may come
//! twice, and in several requests. Another number begins anew. `list.checked` has no records and asks for an answer only.
//!
//! # The answer
//!
//! A status, nothing else, though all of the answer must arrive. 2xx acknowledges every record of the request. 400, 413 and 422 refuse it because of one of
//! its records: it comes again in halves until that record is found. 410 says that the endpoint is not to be called
//! any more, and every other 3xx and 4xx that nothing will be accepted until a person acts. 429, and 503 with
//! `Retry-After`, ask for a pause and say that nothing was applied; 502, 504 and the other 5xx leave open whether it was,
//! and so does 409, by which a receiver says that it is still at work on this very request. A `Retry-After` beside any 5xx is kept.
//!
//! # What holds
//!
//! The body is a function of the operation, the list and the rows, and the id a function of the request's own key and the
//! body: an attempt that is repeated has the same id and the same bytes, and another body never has the same id. Nothing is
//! in a request that a retry changes but the timestamp.

mod connector;
mod event;
mod signature;

use core::{fmt, time::Duration};
use std::sync::Arc;

use driftless_config::destination::WebhookDestination;
use driftless_model::Clock;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    Acknowledges, BuildError, Capabilities, Limits, Ports, Replace, Secrets,
    http::{Http, HttpPolicy},
};
use signature::SigningSecret;

/// A list that a receiver keeps.
pub(crate) struct Webhook {
    capabilities: Capabilities,
    http: Http,
    secrets: Vec<SigningSecret>,
    headers: HeaderMap,
    clock: Arc<dyn Clock>,
    list: String,
    bytes: usize,
    timeout: Duration,
}

pub(crate) fn capabilities(config: &WebhookDestination) -> Capabilities {
    let limits = Some(Limits { records: config.records, bytes: Some(config.bytes) });
    Capabilities {
        add: limits,
        update: limits,
        remove: limits,
        acknowledges: Acknowledges::Batch,
        repeatable: config.repeatable,
        rate: config.rate,
        replace: limits.filter(|_| config.replaces).map(|limits| Replace::Session { limits, open_for: None }),
        ..Capabilities::default()
    }
}

impl Webhook {
    pub(crate) fn new(
        config: &WebhookDestination,
        list: &str,
        secrets: &dyn Secrets,
        policy: HttpPolicy,
        ports: &Ports,
    ) -> Result<Self, BuildError> {
        let mut signing = Vec::new();
        for reference in &config.signing_secrets {
            signing.extend(SigningSecret::read(reference, &secrets.secret(reference)?)?);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let refused = |_| BuildError::Header { key: "headers" };
            let name: HeaderName = name.parse().map_err(|_| BuildError::Header { key: "headers" })?;
            headers.insert(name, HeaderValue::try_from(value).map_err(refused)?);
        }
        Ok(Self {
            capabilities: capabilities(config),
            http: Http::new(&config.base_url, &config.auth, secrets, policy)?,
            secrets: signing,
            headers,
            clock: ports.clock()?,
            list: list.to_owned(),
            bytes: usize::try_from(config.bytes.get()).unwrap_or(usize::MAX),
            timeout: config.timeout.into(),
        })
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("http", &self.http).field("list", &self.list).finish_non_exhaustive()
    }
}
