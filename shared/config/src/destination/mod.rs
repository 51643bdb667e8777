//! Destinations: which remote system holds the lists and how to talk to it. One file per kind.

mod answer;
mod http;
mod hubspot;
mod rest;
mod scim;
mod webhook;

use core::{num::NonZeroU16, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::SecretRef;

pub use answer::{Answer, BodyCode, FailedKey, Pointer, Results, ResultsByKey, ResultsByPosition, RetryAfter};
pub use answer::{Value, Verdict, Verdicts, WaitFrom, WaitUnit};
pub use http::{
    Auth, BaseUrl, Basic, Bearer, ClientAuth, HeaderAuth, InvalidUrl, OAuth2, OAuth2Refresh, Rate, Template,
};
pub use rest::{
    Batch, Body, ListMembers, Lookup, Method, Next, Offset, Page, RestDestination, RestKind, RestOperation,
};
pub use hubspot::{HubspotDestination, HubspotKind, HubspotList, HubspotPaths, ListBy};
pub use webhook::{WebhookDestination, WebhookKind};
pub use scim::UserMatch;
pub use scim::{BulkUse, GroupBy, MemberRemoval, OnRemove, ScimDestination, ScimGroup, ScimKind, ScimMode, ScimUsers};

/// A destination, as one file under `destinations/` describes it. `kind` decides which other keys there are.
///
/// Reads any serde format, but through a buffer, so that errors carry no position; [`Destination::from_yaml`] is for files
/// that people write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Destination {
    /// Any HTTP API, described by requests and answers.
    Rest(Box<RestDestination>),
    /// A SCIM 2.0 service: a group's members, or the users themselves.
    Scim(Box<ScimDestination>),
    /// HubSpot contacts and lists.
    Hubspot(Box<HubspotDestination>),
    /// A receiver of signed requests.
    Webhook(Box<WebhookDestination>),
}

/// A kind of destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestinationKind {
    /// [`RestDestination`].
    Rest,
    /// [`ScimDestination`].
    Scim,
    /// [`HubspotDestination`].
    Hubspot,
    /// [`WebhookDestination`].
    Webhook,
}

/// The version of the file format. There is one so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct FormatVersion;

/// Something in a destination that reads well and cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The key, as a dotted path from the top of the file.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Only the key that decides how to read the rest.
#[derive(Deserialize)]
struct Probe {
    kind: DestinationKind,
}

impl Destination {
    /// Reads a file. Errors name line and column, which the buffered [`Deserialize`] cannot.
    pub fn from_yaml(text: &str) -> Result<Self, serde_saphyr::Error> {
        let Probe { kind } = serde_saphyr::from_str(text)?;
        match kind {
            DestinationKind::Rest => serde_saphyr::from_str(text).map(Self::Rest),
            DestinationKind::Scim => serde_saphyr::from_str(text).map(Self::Scim),
            DestinationKind::Hubspot => serde_saphyr::from_str(text).map(Self::Hubspot),
            DestinationKind::Webhook => serde_saphyr::from_str(text).map(Self::Webhook),
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> DestinationKind {
        match self {
            Self::Rest(_) => DestinationKind::Rest,
            Self::Scim(_) => DestinationKind::Scim,
            Self::Hubspot(_) => DestinationKind::Hubspot,
            Self::Webhook(_) => DestinationKind::Webhook,
        }
    }

    /// What it is, in the words of the file.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        match self {
            Self::Rest(d) => d.description.as_deref(),
            Self::Scim(d) => d.description.as_deref(),
            Self::Hubspot(d) => d.description.as_deref(),
            Self::Webhook(d) => d.description.as_deref(),
        }
    }

    /// The root of its URLs.
    #[must_use]
    pub const fn base_url(&self) -> &BaseUrl {
        match self {
            Self::Rest(d) => &d.base_url,
            Self::Scim(d) => &d.base_url,
            Self::Hubspot(d) => &d.base_url,
            Self::Webhook(d) => &d.base_url,
        }
    }

    /// How we log in.
    #[must_use]
    pub const fn auth(&self) -> &Auth {
        match self {
            Self::Rest(d) => &d.auth,
            Self::Scim(d) => &d.auth,
            Self::Hubspot(d) => &d.auth,
            Self::Webhook(d) => &d.auth,
        }
    }

    /// The rate budget that all invocations share.
    #[must_use]
    pub const fn rate(&self) -> Option<Rate> {
        match self {
            Self::Rest(d) => d.rate,
            Self::Scim(d) => d.rate,
            Self::Hubspot(d) => d.rate,
            Self::Webhook(d) => d.rate,
        }
    }

    /// How many calls may be in flight at once.
    #[must_use]
    pub const fn concurrency(&self) -> Option<NonZeroU16> {
        match self {
            Self::Rest(d) => d.concurrency,
            Self::Scim(d) => d.concurrency,
            Self::Hubspot(d) => d.concurrency,
            Self::Webhook(d) => d.concurrency,
        }
    }

    /// How long one request may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        match self {
            Self::Rest(d) => d.timeout.into(),
            Self::Scim(d) => d.timeout.into(),
            Self::Hubspot(d) => d.timeout.into(),
            Self::Webhook(d) => d.timeout.into(),
        }
    }

    /// Every secret it refers to, so that they can be fetched before a connector is built.
    #[must_use]
    pub fn secret_refs(&self) -> Vec<&SecretRef> {
        match self {
            Self::Webhook(d) => d.secret_refs(),
            other => other.auth().secret_refs(),
        }
    }

    /// What cannot work although every key is valid. Templates are checked by the connector crate.
    #[must_use]
    pub fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = match self {
            Self::Rest(d) => d.flaws(),
            Self::Scim(d) => d.flaws(),
            Self::Hubspot(d) => d.flaws(),
            Self::Webhook(d) => d.flaws(),
        };
        if self.timeout().is_zero() {
            flaws.push(Flaw {
                key: "timeout",
                message: "no request can be answered in no time".into(),
                remedy: "give a duration such as 30s",
            });
        }
        if self.rate().is_some_and(|rate| rate.per.is_zero()) {
            flaws.push(Flaw {
                key: "rate.per",
                message: "a rate needs a span of time".into(),
                remedy: "give a duration such as 1s or 1m",
            });
        }
        flaws
    }
}

impl DestinationKind {
    /// The name written in `kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Scim => "scim",
            Self::Hubspot => "hubspot",
            Self::Webhook => "webhook",
        }
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let document = serde_json::Value::deserialize(d)?;
        let Probe { kind } = Probe::deserialize(&document).map_err(de::Error::custom)?;
        match kind {
            DestinationKind::Rest => serde_json::from_value(document).map(Self::Rest),
            DestinationKind::Scim => serde_json::from_value(document).map(Self::Scim),
            DestinationKind::Hubspot => serde_json::from_value(document).map(Self::Hubspot),
            DestinationKind::Webhook => serde_json::from_value(document).map(Self::Webhook),
        }
        .map_err(de::Error::custom)
    }
}

impl TryFrom<u32> for FormatVersion {
    type Error = &'static str;

    fn try_from(version: u32) -> Result<Self, Self::Error> {
        if version == 1 { Ok(Self) } else { Err("the only version of the format is 1") }
    }
}

impl From<FormatVersion> for u32 {
    fn from(_: FormatVersion) -> Self {
        1
    }
}

impl JsonSchema for FormatVersion {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FormatVersion".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "const": 1 })
    }
}

#[cfg(test)]
mod tests;

/// Settings that most files leave out.
mod default {
    use crate::value::HumanDuration;

    pub(super) const fn timeout() -> HumanDuration {
        HumanDuration::from_secs(30)
    }

    pub(super) const fn yes() -> bool {
        true
    }
}
