use core::{
    num::{NonZeroU16, NonZeroU32, NonZeroU64},
    time::Duration,
};
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Auth, BaseUrl, Described, Flaw, FormatVersion, Rate, default};
use crate::{SecretRef, value::HumanDuration};

/// A receiver of ours, or of a partner, that is told of every change by a signed POST (Standard Webhooks 1.0.0): it keeps
/// the list, in whatever way it likes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookDestination {
    /// The version of this file's format: 1.
    pub version: FormatVersion,
    /// `webhook`.
    pub kind: WebhookKind,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The endpoint. Every request is a POST to this URL; a slash at its end is left out.
    pub base_url: BaseUrl,
    /// How we log in, beside the signature. Most receivers want none.
    #[serde(default)]
    pub auth: Auth,
    /// How many requests the receiver allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many calls may be in flight at once, 2 to 1,000; not fewer than its stack's `Concurrency`. Without it, as many as
    /// that times `CallsPerInvocation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    pub concurrency: Option<NonZeroU16>,
    /// How long one request may take, from connecting to the last byte of the answer. 15 to 30 seconds are usual.
    #[serde(default = "default::timeout")]
    pub timeout: HumanDuration,
    /// The signing secrets, `whsec_` and base64 of 24 to 64 bytes. Each signs every request, so a secret is rotated without a
    /// gap: add the new one, let the receiver verify by it, take the old one out. One stored secret may hold several,
    /// separated by spaces.
    #[schemars(length(min = 1, max = 4))]
    pub signing_secrets: Vec<SecretRef>,
    /// Headers of every request, as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The most records of one request.
    #[serde(default = "records")]
    pub records: NonZeroU32,
    /// The most bytes of one request's body. The specification recommends less than 20 kB.
    #[serde(default = "bytes")]
    pub bytes: NonZeroU64,
    /// False: the receiver does not recognise a repeated `webhook-id`, and a request without an answer is not sent again within
    /// a run; its records stay uncertain until the next one.
    #[serde(default = "default::yes")]
    pub repeatable: bool,
    /// True: the receiver replaces its list when it has got all parts of a session, so that a whole list may be sent.
    #[serde(default)]
    pub replaces: bool,
}

/// `webhook`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookKind {
    /// A receiver of signed requests.
    #[default]
    Webhook,
}

const fn records() -> NonZeroU32 {
    NonZeroU32::new(50).expect("not zero")
}

const fn bytes() -> NonZeroU64 {
    NonZeroU64::new(20_000).expect("not zero")
}

impl Described for WebhookDestination {
    fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    fn base_url(&self) -> Option<&BaseUrl> {
        Some(&self.base_url)
    }

    fn auth(&self) -> &Auth {
        &self.auth
    }

    fn rate(&self) -> Option<Rate> {
        self.rate
    }

    fn concurrency(&self) -> Option<NonZeroU16> {
        self.concurrency
    }

    fn timeout(&self) -> Duration {
        self.timeout.into()
    }

    fn more_secrets(&self) -> Vec<&SecretRef> {
        self.signing_secrets.iter().collect()
    }

    fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if self.signing_secrets.is_empty() {
            flaws.push(Flaw {
                key: "signing_secrets",
                message: "without a signature the receiver cannot know that a request is ours".into(),
                remedy: "name a secret that holds `whsec_` and base64 of 24 to 64 random bytes",
            });
        }
        let ours = |name: &String| {
            let name = name.to_ascii_lowercase();
            name.starts_with("webhook-")
                || matches!(name.as_str(), "idempotency-key" | "content-type" | "content-length")
        };
        if self.headers.keys().any(ours) {
            flaws.push(Flaw {
                key: "headers",
                message:
                    "`webhook-…`, `Idempotency-Key`, `Content-Type` and `Content-Length` are set by the signature and \
                          the body"
                        .into(),
                remedy: "take the header out",
            });
        }
        flaws
    }
}
