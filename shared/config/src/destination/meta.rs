use core::num::{NonZeroU16, NonZeroU32};
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Auth, BaseUrl, Flaw, FormatVersion, Rate, default};
use crate::value::HumanDuration;

/// Meta Custom Audiences (Marketing API). The sync's `list` is the id of a custom audience of subtype `CUSTOM`; people are
/// matched by hashed keys, and nobody can read who is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetaDestination {
    /// The version of this file's format: 1.
    pub version: FormatVersion,
    /// `meta`.
    pub kind: MetaKind,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The root of the Graph API.
    #[serde(default = "graph")]
    pub base_url: BaseUrl,
    /// The version of the Marketing API. Meta retires each after about a year.
    #[serde(default = "version")]
    pub api_version: String,
    /// How we log in.
    #[serde(default)]
    pub auth: Auth,
    /// How many requests the destination allows. Meta counts calls
    /// per ad account and hour, by the size of its audiences; what it says of that in its answers is kept to in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many calls may be in flight at once, 2 to 1,000; not fewer than its stack's `Concurrency`. Without it, as many as
    /// that times `CallsPerInvocation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    pub concurrency: Option<NonZeroU16>,
    /// How long one request may take, from connecting to the last byte of the answer.
    #[serde(default = "default::timeout")]
    pub timeout: HumanDuration,
    /// The ad account, digits only. Needed where lists are created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The keys by which people are matched, each with the destination field that it takes its value from, as in
    /// `EMAIL: email`. Every key but `EXTERN_ID` and `MADID` is the SHA-256 of a value in Meta's own form, in hex.
    pub keys: BTreeMap<String, String>,
    /// The most rows of one request, at most 10,000.
    #[serde(default = "ten_thousand")]
    pub records: NonZeroU32,
}

/// `meta`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetaKind {
    /// Meta Custom Audiences.
    #[default]
    Meta,
}

/// The keys that Meta matches by. `false`: it is sent as it is, not as a digest.
const KEYS: [(&str, bool); 15] = [
    ("EXTERN_ID", false),
    ("EMAIL", true),
    ("PHONE", true),
    ("GEN", true),
    ("DOBY", true),
    ("DOBM", true),
    ("DOBD", true),
    ("LN", true),
    ("FN", true),
    ("FI", true),
    ("CT", true),
    ("ST", true),
    ("ZIP", true),
    ("MADID", false),
    ("COUNTRY", true),
];

fn graph() -> BaseUrl {
    "https://graph.facebook.com".parse().expect("a URL")
}

fn version() -> String {
    "v25.0".to_owned()
}

const fn ten_thousand() -> NonZeroU32 {
    NonZeroU32::new(10_000).expect("not zero")
}

super::described_by_its_keys!(MetaDestination);

impl MetaDestination {
    /// True for a key whose values are digests.
    #[must_use]
    pub fn is_hashed(key: &str) -> bool {
        KEYS.iter().any(|(name, hashed)| *name == key && *hashed)
    }

    pub(super) fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if self.keys.is_empty() {
            flaws.push(Flaw {
                key: "keys",
                message: "without a key nobody can be matched".into(),
                remedy: "name at least one, as in `EMAIL: email`",
            });
        }
        if let Some(key) = self.keys.keys().find(|key| !KEYS.iter().any(|(name, _)| name == key)) {
            flaws.push(Flaw {
                key: "keys",
                message: format!("`{key}` is no key of a custom audience"),
                remedy: "use EXTERN_ID, EMAIL, PHONE, GEN, DOBY, DOBM, DOBD, LN, FN, FI, CT, ST, ZIP, MADID or COUNTRY",
            });
        }
        if self.records > ten_thousand() {
            flaws.push(Flaw {
                key: "records",
                message: "a request carries 10,000 rows at most".into(),
                remedy: "leave it out",
            });
        }
        let is_version = |text: &str| {
            text.strip_prefix('v')
                .is_some_and(|v| v.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())))
        };
        if !is_version(&self.api_version) {
            flaws.push(Flaw {
                key: "api_version",
                message: "not a version of the API".into(),
                remedy: "write it as v25.0",
            });
        }
        if self
            .account
            .as_ref()
            .is_some_and(|account| account.is_empty() || !account.bytes().all(|b| b.is_ascii_digit()))
        {
            flaws.push(Flaw {
                key: "account",
                message: "an ad account is named by its digits".into(),
                remedy: "write the number without `act_`",
            });
        }
        flaws
    }
}
