use core::num::{NonZeroU16, NonZeroU32};
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Auth, BaseUrl, Flaw, FormatVersion, Rate, Window, default};
use crate::value::HumanDuration;

/// Klaviyo: profiles, and a list that they are in. The sync's `list` is the list's id. Profiles are upserted and put into the
/// list by a bulk import, whose job tells later what became of each; a removal takes a profile out of the list and leaves its
/// consent alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KlaviyoDestination {
    /// The version of this file's format: 1.
    pub version: FormatVersion,
    /// `klaviyo`.
    pub kind: KlaviyoKind,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The root of the API.
    #[serde(default = "klaviyo")]
    pub base_url: BaseUrl,
    /// The revision of the API, a date.
    #[serde(default = "revision")]
    pub revision: String,
    /// How we log in.
    #[serde(default)]
    pub auth: Auth,
    /// How many requests the destination allows. Left out: 150 per minute, the limit of bulk imports.
    #[serde(default = "steady", skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many calls may be in flight at once, 2 to 1,000; not fewer than its stack's `Concurrency`. Without it, as many as
    /// that times `CallsPerInvocation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    pub concurrency: Option<NonZeroU16>,
    /// How long one request may take, from connecting to the last byte of the answer.
    #[serde(default = "default::timeout")]
    pub timeout: HumanDuration,
    /// What identifies a profile. Its field must be an identifier of the mapping.
    #[serde(default)]
    pub match_by: ProfileId,
    /// Attributes of the profile, each with the destination field that it takes its value from: `first_name: given_name`,
    /// `location.country: country`. Left out: a field whose name is an attribute is that attribute. Every other field becomes
    /// a property of its own name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The most profiles of one import, at most 10,000.
    #[serde(default = "ten_thousand")]
    pub records: NonZeroU32,
}

/// `klaviyo`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KlaviyoKind {
    /// Klaviyo.
    #[default]
    Klaviyo,
}

/// What identifies a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProfileId {
    /// The e-mail address.
    #[default]
    Email,
    /// The phone number, in E.164.
    PhoneNumber,
    /// An id of ours.
    ExternalId,
}

impl ProfileId {
    /// The attribute's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::PhoneNumber => "phone_number",
            Self::ExternalId => "external_id",
        }
    }
}

fn klaviyo() -> BaseUrl {
    "https://a.klaviyo.com".parse().expect("a URL")
}

fn revision() -> String {
    "2026-07-15".to_owned()
}

fn steady() -> Option<Rate> {
    const SECOND: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
    const MINUTE: NonZeroU32 = NonZeroU32::new(150).expect("not zero");
    let window = |requests, secs| Window { requests, per: HumanDuration::from_secs(secs) };
    Rate::new(vec![window(SECOND, 1), window(MINUTE, 60)]).ok()
}

const fn ten_thousand() -> NonZeroU32 {
    NonZeroU32::new(10_000).expect("not zero")
}

super::described_by_its_keys!(KlaviyoDestination);

impl KlaviyoDestination {
    /// The attributes of a profile that are not properties.
    pub const ATTRIBUTES: [&'static str; 18] = [
        "email",
        "phone_number",
        "external_id",
        "first_name",
        "last_name",
        "organization",
        "locale",
        "title",
        "image",
        "location.address1",
        "location.address2",
        "location.city",
        "location.country",
        "location.region",
        "location.zip",
        "location.timezone",
        "location.latitude",
        "location.longitude",
    ];

    /// The destination field that an attribute takes its value from.
    #[must_use]
    pub fn field_of<'a>(&'a self, attribute: &'a str) -> &'a str {
        self.attributes.get(attribute).map_or(attribute, String::as_str)
    }

    pub(super) fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if self.records > ten_thousand() {
            flaws.push(Flaw {
                key: "records",
                message: "an import carries 10,000 profiles at most".into(),
                remedy: "leave it out",
            });
        }
        if let Some(name) = self.attributes.keys().find(|name| !Self::ATTRIBUTES.contains(&name.as_str())) {
            flaws.push(Flaw {
                key: "attributes",
                message: format!("`{name}` is no attribute of a profile"),
                remedy: "leave it out: a field that is no attribute becomes a property of its own name",
            });
        }
        flaws
    }
}
