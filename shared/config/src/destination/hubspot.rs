use core::num::{NonZeroU16, NonZeroU32};
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Auth, BaseUrl, Flaw, FormatVersion, Rate, default};
use crate::value::HumanDuration;

/// HubSpot: the records are contacts, the list is a static list of the CRM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HubspotDestination {
    /// The version of this file's format: 1.
    pub version: FormatVersion,
    /// `hubspot`.
    pub kind: HubspotKind,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The root of the API.
    #[serde(default = "base_url")]
    pub base_url: BaseUrl,
    /// How we log in: `bearer` with the token of a private app, or `oauth2_refresh_token`.
    #[serde(default)]
    pub auth: Auth,
    /// How many requests the account allows. Private apps of the smaller subscriptions have 100 in 10 seconds, of the larger ones
    /// 190; not confirmed by the vendor for every subscription.
    #[serde(default = "rate")]
    pub rate: Option<Rate>,
    /// How many calls may be in flight at once, 2 to 1,000; not fewer than its stack's `Concurrency`. Without it, as many as
    /// that times `CallsPerInvocation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    pub concurrency: Option<NonZeroU16>,
    /// How long one request may take, from connecting to the last byte of the answer.
    #[serde(default = "default::timeout")]
    pub timeout: HumanDuration,
    /// Where the two APIs lie. They are versioned by date too: `/crm/objects/2026-03/contacts`, `/crm/lists/2026-03`.
    #[serde(default)]
    pub paths: HubspotPaths,
    /// The type of the records, as lists name it: `0-1` is contacts.
    #[serde(default = "object_type_id")]
    pub object_type_id: String,
    /// The unique property by which a record's contact is found and made. Its field must be an identifier of the mapping. A
    /// property of your own with unique values is better than `email`: the vendor matches e-mail addresses in ways of its own,
    /// and takes an upsert by `email` only with all of a contact's properties (not confirmed by the vendor).
    #[serde(default = "match_by")]
    pub match_by: String,
    /// Properties, and the destination field that each takes its value from. Left out: every field is a property of its own
    /// name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// The list.
    #[serde(default)]
    pub list: HubspotList,
    /// The most records of one request; the API allows 100.
    #[serde(default = "records")]
    #[schemars(range(min = 1, max = 100))]
    pub records: NonZeroU32,
}

/// `hubspot`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HubspotKind {
    /// HubSpot contacts and lists.
    #[default]
    Hubspot,
}

/// Where the two APIs lie below the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HubspotPaths {
    /// The records.
    pub objects: String,
    /// The lists.
    pub lists: String,
}

/// The list whose members the records are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HubspotList {
    /// What the sync's `list` is: the list's name, or its id.
    pub by: ListBy,
    /// Create the list where it is missing (only by `name`).
    pub create: bool,
}

/// How the list is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListBy {
    /// By its name.
    #[default]
    Name,
    /// By its id.
    Id,
}

/// The most inputs that the API takes at once.
const MOST: NonZeroU32 = NonZeroU32::new(100).expect("not zero");

fn base_url() -> BaseUrl {
    "https://api.hubapi.com".parse().expect("a URL")
}

#[allow(clippy::unnecessary_wraps)] // the default of an optional key
fn rate() -> Option<Rate> {
    Some(Rate::of(MOST, HumanDuration::from_secs(10)))
}

fn object_type_id() -> String {
    "0-1".to_owned()
}

fn match_by() -> String {
    "email".to_owned()
}

const fn records() -> NonZeroU32 {
    MOST
}

impl Default for HubspotPaths {
    fn default() -> Self {
        Self { objects: "/crm/v3/objects/contacts".into(), lists: "/crm/v3/lists".into() }
    }
}

super::described_by_its_keys!(HubspotDestination);

impl HubspotDestination {
    /// The destination field that carries the property by which contacts are found.
    #[must_use]
    pub fn match_field(&self) -> &str {
        self.properties.get(&self.match_by).map_or(&self.match_by, String::as_str)
    }

    pub(super) fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if self.records > MOST {
            flaws.push(Flaw {
                key: "records",
                message: "the API takes at most 100 records at once".into(),
                remedy: "leave it out",
            });
        }
        if self.list.create && self.list.by == ListBy::Id {
            flaws.push(Flaw {
                key: "list.create",
                message: "a list that is named by its id cannot be created: the service gives the id".into(),
                remedy: "set `list.by: name`, or create the list and leave `create` out",
            });
        }
        if !self.properties.is_empty() && !self.properties.contains_key(&self.match_by) {
            flaws.push(Flaw {
                key: "properties",
                message: format!("contacts are found by `{}`, which has no field", self.match_by),
                remedy: "add the property with the identifier field that it takes its value from",
            });
        }
        flaws
    }
}
