use async_trait::async_trait;
use driftless_model::{Operation, Outcome};
use reqwest::{
    Method,
    header::{HeaderName, HeaderValue},
};

use super::{Webhook, event, signature};
use crate::{
    Answer, Answered, Batch, Capabilities, CheckStep, Connector, Failure, Gate, ListState, Open, OutRow, Page,
    http::{Outgoing, Reply, Session},
    outcomes::Outcomes,
    reason,
};

#[async_trait]
impl Connector for Webhook {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn fits(&self, operation: Operation, rows: &[OutRow]) -> bool {
        event::body(operation, &self.list, None, rows).len() <= self.bytes
    }

    async fn send(&self, batch: &Batch<'_>) -> Answer {
        let session = Session::new(&self.http, batch.gate, batch.timeout);
        let body = event::body(batch.operation, &self.list, batch.session, batch.rows);
        let mut outcomes = Outcomes::new(batch.rows.len());
        let rest = if body.len() > self.bytes && batch.rows.len() == 1 {
            outcomes.reject(0, "larger than a request may be");
            None
        } else {
            let reply = session.send(self.request(batch.idempotency_key, body)).await;
            let answered = reply.map_or_else(Answered::from, |reply| answered(&reply, batch.rows.len()));
            Some(answered)
        };
        Answer { is: outcomes.answer(rest), requests: session.requests() }
    }

    async fn inspect(&self) -> Result<ListState, Failure> {
        Ok(ListState::Unreadable)
    }

    async fn list(&self, _: Option<String>, _: &dyn Gate) -> Result<Page, Failure> {
        Err(Failure::Unsupported { what: "list its members" })
    }

    /// An event without records, which a receiver that verifies signatures answers like any other.
    async fn check(&self) -> Vec<CheckStep> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let body = event::body(Operation::Inspect, &self.list, None, &[]);
        let result = match session.send(self.request("check", body)).await {
            Ok(reply) if reply.is_success() => Ok(reason::http(reply.status, None)),
            Ok(reply) => Err(reason::http(reply.status, None)),
            Err(trouble) => Err(Failure::from(trouble).to_string()),
        };
        vec![CheckStep { name: "send an event without records", result }]
    }
}

impl Webhook {
    fn request(&self, idempotency_key: &str, body: Vec<u8>) -> Outgoing {
        const ID: HeaderName = HeaderName::from_static("webhook-id");
        const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
        const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
        const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
        let id = event::id(idempotency_key, &body);
        let timestamp = self.clock.now().epoch_seconds();
        let signature = signature::sign(&self.secrets, &id, timestamp, &body);
        // Letters, digits and base64: a header can have all of it.
        let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
        let mut request = Outgoing::new(Method::POST, self.http.base().clone()).body(body, "application/json");
        request.headers.extend(self.headers.clone());
        request
            .header(IDEMPOTENCY_KEY, value(format!("\"{id}\"")))
            .header(ID, value(id))
            .header(TIMESTAMP, HeaderValue::from(timestamp))
            .header(SIGNATURE, value(signature))
    }
}

/// What a status says of a request of `rows` records.
fn answered(reply: &Reply, rows: usize) -> Answered {
    let reason = reason::http(reply.status, None);
    match reply.status {
        200..=299 => match &reply.body {
            Ok(_) => Answered::Rows(vec![Outcome::Delivered.into(); rows]),
            // What it says is of no interest, but an answer that was cut off acknowledges nothing.
            Err(unread) => Answered::NoAnswer { reason: unread.to_string() },
        },
        410 => Answered::Fatal { reason: format!("{reason}: the receiver wants no more requests at this URL") },
        400 | 413 | 422 => Answered::BatchRejected { reason },
        429 => Answered::Throttled { after: reply.retry_after(), reason },
        503 if reply.retry_after().is_some() => Answered::Throttled { after: reply.retry_after(), reason },
        // It is still at work on this very request.
        409 => Answered::NoAnswer { reason },
        408 | 500.. => Answered::NoAnswer { reason },
        _ => Answered::Fatal { reason },
    }
}
