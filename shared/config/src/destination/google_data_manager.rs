use core::num::{NonZeroU16, NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Auth, BaseUrl, Flaw, FormatVersion, Rate, Window, default};
use crate::value::HumanDuration;

/// Google Customer Match through the Data Manager API. The sync's `list` is the id of a user list. What is sent is accepted
/// first and processed later; a job tells what became of it, with counts by reason and never by person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoogleDataManagerDestination {
    /// The version of this file's format: 1.
    pub version: FormatVersion,
    /// `google_data_manager`.
    pub kind: GoogleDataManagerKind,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The root of the Data Manager API.
    #[serde(default = "data_manager")]
    pub base_url: BaseUrl,
    /// How we log in.
    #[serde(default)]
    pub auth: Auth,
    /// How many requests the destination allows. Left out: 300 per minute, the quota of a project.
    #[serde(default = "quota", skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many calls may be in flight at once, 2 to 1,000; not fewer than its stack's `Concurrency`. Without it, as many as
    /// that times `CallsPerInvocation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    pub concurrency: Option<NonZeroU16>,
    /// How long one request may take, from connecting to the last byte of the answer.
    #[serde(default = "default::timeout")]
    pub timeout: HumanDuration,
    /// The account that the list belongs to.
    pub account: GoogleAccount,
    /// The account that is logged in with, where that is another, such as a manager account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_account: Option<GoogleAccount>,
    /// The destination fields that people are matched by.
    #[serde(default)]
    pub identifiers: GoogleIdentifiers,
    /// How digests are written.
    #[serde(default)]
    pub encoding: GoogleEncoding,
    /// What the people have consented to. Google does not use data without it where the law asks for it.
    pub consent: GoogleConsent,
    /// True: the terms of Customer Match are accepted, and every request says so.
    pub customer_match_terms_accepted: bool,
    /// What is done where a job fails for some of its records: Google counts them and does not say which.
    #[serde(default)]
    pub on_partial_success: OnPartialSuccess,
    /// The most members of one request, at most 10,000.
    #[serde(default = "ten_thousand")]
    pub records: NonZeroU32,
}

/// `google_data_manager`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GoogleDataManagerKind {
    /// The Data Manager API.
    #[default]
    GoogleDataManager,
}

/// An account of a Google product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoogleAccount {
    /// Which product.
    #[serde(default, rename = "type")]
    pub product: GoogleProduct,
    /// Its id, digits only.
    pub id: String,
}

/// A product whose accounts have user lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GoogleProduct {
    /// Google Ads.
    #[default]
    GoogleAds,
    /// Display & Video 360, a partner.
    DisplayVideoPartner,
    /// Display & Video 360, an advertiser.
    DisplayVideoAdvertiser,
    /// A data partner.
    DataPartner,
}

/// The destination fields that people are matched by. The digests of Google's own forms, but for region and postal code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GoogleIdentifiers {
    /// SHA-256 of an e-mail address. Empty: none.
    pub email: String,
    /// SHA-256 of a phone number. Empty: none.
    pub phone: String,
    /// A postal address, which is sent where all its parts are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<GoogleAddress>,
}

/// The parts of a postal address, each with the field that it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoogleAddress {
    /// SHA-256 of the given name.
    pub given_name: String,
    /// SHA-256 of the family name.
    pub family_name: String,
    /// Two letters, ISO 3166-1.
    pub region_code: String,
    /// The postal code.
    pub postal_code: String,
}

/// How digests are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GoogleEncoding {
    /// In hex.
    #[default]
    Hex,
    /// In Base64.
    Base64,
}

/// What the people have consented to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoogleConsent {
    /// Their data may be sent to Google for advertising.
    pub ad_user_data: Consent,
    /// Their data may be used for personalised advertising.
    pub ad_personalization: Consent,
}

/// A consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Given.
    Granted,
    /// Refused.
    Denied,
}

/// What is done where a job fails for some of its records, and only their number is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnPartialSuccess {
    /// All records count as delivered, and `status` shows how many of them were refused, and why. The reasons are such that
    /// sending again changes nothing.
    #[default]
    Count,
    /// The records are sent again in halves until the refused ones are found. Each halving waits for a job: it can take hours.
    Bisect,
}

fn data_manager() -> BaseUrl {
    "https://datamanager.googleapis.com".parse().expect("a URL")
}

fn quota() -> Option<Rate> {
    const MINUTE: NonZeroU32 = NonZeroU32::new(300).expect("not zero");
    const DAY: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");
    let window = |requests, secs| Window { requests, per: HumanDuration::from_secs(secs) };
    Rate::new(vec![window(MINUTE, 60), window(DAY, 86_400)]).ok()
}

const fn ten_thousand() -> NonZeroU32 {
    NonZeroU32::new(10_000).expect("not zero")
}

impl Default for GoogleIdentifiers {
    fn default() -> Self {
        Self { email: "email".to_owned(), phone: "phone".to_owned(), address: None }
    }
}

super::described_by_its_keys!(GoogleDataManagerDestination);

impl GoogleProduct {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GoogleAds => "GOOGLE_ADS",
            Self::DisplayVideoPartner => "DISPLAY_VIDEO_PARTNER",
            Self::DisplayVideoAdvertiser => "DISPLAY_VIDEO_ADVERTISER",
            Self::DataPartner => "DATA_PARTNER",
        }
    }
}

impl GoogleEncoding {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hex => "HEX",
            Self::Base64 => "BASE64",
        }
    }
}

impl Consent {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "CONSENT_GRANTED",
            Self::Denied => "CONSENT_DENIED",
        }
    }
}

impl GoogleDataManagerDestination {
    pub(super) fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        if self.records > ten_thousand() {
            flaws.push(Flaw {
                key: "records",
                message: "a request carries 10,000 members at most".into(),
                remedy: "leave it out",
            });
        }
        let named = [("account.id", Some(&self.account)), ("login_account.id", self.login_account.as_ref())];
        for (key, account) in named {
            if account.is_some_and(|a| a.id.is_empty() || !a.id.bytes().all(|b| b.is_ascii_digit())) {
                flaws.push(Flaw {
                    key,
                    message: "an account is named by its digits".into(),
                    remedy: "write the number without dashes",
                });
            }
        }
        if !self.customer_match_terms_accepted {
            flaws.push(Flaw {
                key: "customer_match_terms_accepted",
                message: "Google takes nothing from who has not accepted the terms of Customer Match".into(),
                remedy: "accept them in the account, then set it to true",
            });
        }
        let identifiers = &self.identifiers;
        if identifiers.email.is_empty() && identifiers.phone.is_empty() && identifiers.address.is_none() {
            flaws.push(Flaw {
                key: "identifiers",
                message: "without an identifier nobody can be matched".into(),
                remedy: "name the field of the e-mail address, of the phone number, or of an address",
            });
        }
        flaws
    }
}
