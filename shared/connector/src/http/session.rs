use core::{
    error::Error as _,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use reqwest::{Response, header::AUTHORIZATION};
use serde_json::Value;

use super::{Http, Outgoing, Reply, Unread, address::ForbiddenAddress, login::Login, quota, tokens};
use crate::{Answered, Failure, Gate, budget::Heard, reason};

/// The requests made on behalf of one batch: each waits for its slot, all are counted.
pub(crate) struct Session<'a> {
    http: &'a Http,
    gate: &'a dyn Gate,
    timeout: Duration,
    /// The most bytes of an answer that are read.
    most: usize,
    sent: AtomicU32,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The request did not reach the destination.
    NotSent { reason: String },
    /// It may have reached it.
    NoAnswer { reason: String },
    /// The issuer of tokens is throttling. The request was not sent.
    Throttled { after: Option<Duration>, reason: String },
    /// It must not, or will not, succeed. The request was not sent.
    Fatal { reason: String },
}

impl<'a> Session<'a> {
    pub(crate) fn new(http: &'a Http, gate: &'a dyn Gate, timeout: Duration) -> Self {
        Self { http, gate, timeout, most: http.policy.max_answer_bytes, sent: AtomicU32::new(0) }
    }

    /// The same, for answers of which up to so many bytes are read.
    pub(crate) fn reading(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// The requests made so far.
    pub(crate) fn requests(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends a request and reads its answer. A token that is refused is fetched anew, once.
    pub(crate) async fn send(&self, request: Outgoing) -> Result<Reply, Trouble> {
        match &self.http.login {
            Login::None => self.exchange(request).await,
            Login::Fixed(name, value) => self.exchange(request.header(name.clone(), value.clone())).await,
            Login::Token(tokens) => {
                let granted = tokens.granted(self, None).await?;
                let reply = self.exchange(request.clone().header(AUTHORIZATION, granted.header)).await?;
                if reply.status != 401 || granted.fresh {
                    return Ok(reply);
                }
                let granted = tokens.granted(self, Some(granted.generation)).await?;
                self.exchange(request.header(AUTHORIZATION, granted.header)).await
            }
        }
    }

    /// How long one request may take.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What an issuer of tokens answers.
    pub(super) async fn issued(&self, request: Outgoing) -> Result<Value, Trouble> {
        let reply = match self.exchange(request).await {
            Ok(reply) => reply,
            Err(Trouble::NoAnswer { reason }) => return Err(Trouble::NotSent { reason: format!("token: {reason}") }),
            Err(other) => return Err(other),
        };
        if reply.is_success() {
            return reply.json().map_err(|unread| Trouble::NotSent { reason: format!("token: {unread}") });
        }
        Err(tokens::refusal(reply.status, reply.json().ok().as_ref(), reply.retry_after()))
    }

    async fn exchange(&self, request: Outgoing) -> Result<Reply, Trouble> {
        // The slot of the first request was taken by whoever made the session.
        if self.sent.load(Ordering::Relaxed) > 0 {
            self.gate.pass().await.map_err(|no_slot| Trouble::NotSent { reason: no_slot.to_string() })?;
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        let mut builder =
            self.http.client.request(request.method, request.url).headers(request.headers).timeout(self.timeout);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let mut response = builder.send().await.map_err(|error| trouble(&error))?;
        let status = response.status().as_u16();
        let headers = core::mem::take(response.headers_mut());
        let body = read(response, self.most).await;
        let reply = Reply { status, headers, body };
        if let Some(quota) = quota::quota(&reply) {
            self.gate.heard(quota).await;
        }
        // Said here once, so that no kind has to know: what a status means for the records is the kind's, the wait is everybody's.
        if let (500.., Some(after)) = (status, reply.retry_after()) {
            self.gate.heard(Heard::Away { after, reason: reason::http(status, None) }).await;
        }
        Ok(reply)
    }
}

/// Reads a body up to a limit, whatever its length says.
async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Unread::Cut)? {
        if body.len() + chunk.len() > limit {
            return Err(Unread::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Only what is known not to have left us counts as not sent. The client's own text is dropped: it has the URL.
fn trouble(error: &reqwest::Error) -> Trouble {
    let mut cause = error.source();
    while let Some(source) = cause {
        if source.is::<ForbiddenAddress>() {
            return Trouble::Fatal { reason: ForbiddenAddress.to_string() };
        }
        cause = source.source();
    }
    let text = |s: &str| s.to_owned();
    if error.is_builder() {
        Trouble::Fatal { reason: text("the request cannot be made") }
    } else if error.is_connect() {
        // Refused, no such name, no TLS, or connecting took too long.
        Trouble::NotSent { reason: text("no connection") }
    } else if error.is_timeout() {
        Trouble::NoAnswer { reason: text("no answer in time") }
    } else {
        Trouble::NoAnswer { reason: text("the connection was cut") }
    }
}

impl From<Trouble> for Answered {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NotSent { reason } => Self::Unavailable { reason },
            Trouble::NoAnswer { reason } => Self::NoAnswer { reason },
            Trouble::Throttled { after, reason } => Self::Throttled { after, reason },
            Trouble::Fatal { reason } => Self::Fatal { reason },
        }
    }
}

/// For requests that change nothing, where an answer that is lost does no harm.
impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NotSent { reason } | Trouble::NoAnswer { reason } => Self::Unavailable { reason },
            Trouble::Throttled { after, reason } => Self::Throttled { after, reason },
            Trouble::Fatal { reason } => Self::Fatal { reason },
        }
    }
}

impl Trouble {
    /// The same for a request that changes nothing: without an answer it was as good as not sent.
    pub(crate) fn harmless(self) -> Self {
        match self {
            Self::NoAnswer { reason } => Self::NotSent { reason },
            other => other,
        }
    }
}
