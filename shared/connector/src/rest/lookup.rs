use std::collections::BTreeMap;

use driftless_config::destination::{Answer, Lookup, Pointer, Template, Value as Match, Verdict};
use driftless_model::Operation;
use minijinja::Value;

use super::{
    classify::{Classifier, text_at},
    request::{Parts, Request},
    template::{Book, Templates},
};
use crate::{
    Answered, BuildError,
    http::{Http, Session},
    reason,
};

/// Asks for the remote id of one record.
pub(super) struct Finder {
    request: Request,
    classifier: Classifier,
    remote_id: Pointer,
    absent: Vec<Match>,
    before: Vec<Operation>,
}

/// What a look-up found.
pub(super) enum Found {
    Id(String),
    Nothing,
    /// The destination does not accept the question, so it would not accept the record.
    Refused {
        reason: String,
    },
}

impl Finder {
    pub(super) fn compile(
        book: &mut Book,
        common: &BTreeMap<String, Template>,
        answer: &Answer,
        config: &Lookup,
    ) -> Result<Self, BuildError> {
        let parts = Parts {
            key: "lookup",
            method: config.method,
            path: &config.path,
            query: &config.query,
            common,
            headers: &config.headers,
            body: config.body.as_ref(),
        };
        Ok(Self {
            request: Request::compile(book, &parts)?,
            classifier: Classifier::new(answer.clone(), true, true),
            remote_id: config.remote_id.clone(),
            absent: config.absent.clone(),
            before: config.before.clone(),
        })
    }

    pub(super) fn is_before(&self, operation: Operation) -> bool {
        self.before.contains(&operation)
    }

    /// An error is never "no answer": a question changes nothing.
    pub(super) async fn find(
        &self,
        session: &Session<'_>,
        http: &Http,
        templates: &Templates,
        context: &Value,
    ) -> Result<Found, Answered> {
        let request = match self.request.render(http, templates, context) {
            Ok(request) => request,
            Err(fault) => return Ok(Found::Refused { reason: fault.to_string() }),
        };
        let reply = session.send(request).await.map_err(|trouble| Answered::from(trouble.harmless()))?;
        let reason = format!("look-up: {}", reason::http(reply.status, None));
        let status = serde_json::Value::from(reply.status);
        if self.absent.iter().any(|absent| absent.is(&status)) {
            return Ok(Found::Nothing);
        }
        match reply.status {
            200..=299 => {
                let body =
                    reply.json().map_err(|unread| Answered::Unavailable { reason: format!("look-up: {unread}") })?;
                match self.classifier.envelope(reply.status, &body) {
                    None | Some(Verdict::Delivered | Verdict::Exists) => {
                        Ok(text_at(&body, self.remote_id.as_str()).map_or(Found::Nothing, Found::Id))
                    }
                    Some(Verdict::Absent) => Ok(Found::Nothing),
                    Some(Verdict::Rejected) => Ok(Found::Refused { reason }),
                    Some(Verdict::Throttled) => {
                        Err(Answered::Throttled { after: self.classifier.wait(&reply, Some(&body)), reason })
                    }
                    Some(Verdict::Retry | Verdict::Unknown | Verdict::Partly) => Err(Answered::Unavailable { reason }),
                    Some(Verdict::Fatal) => Err(Answered::Fatal { reason }),
                }
            }
            429 => Err(Answered::Throttled { after: reply.retry_after(), reason }),
            503 if reply.retry_after().is_some() => Err(Answered::Throttled { after: reply.retry_after(), reason }),
            400 | 409 | 413 | 414 | 422 => Ok(Found::Refused { reason }),
            408 | 425 | 500 | 502..=599 => Err(Answered::Unavailable { reason }),
            _ => Err(Answered::Fatal { reason }),
        }
    }
}
