//! Destinations: which remote system holds the lists and how to talk to it. One file per kind.

mod answer;
mod file;
mod google_data_manager;
mod http;
mod hubspot;
mod klaviyo;
mod meta;
mod rate;
mod recipe;
mod rest;
mod scim;
mod webhook;

use core::{num::NonZeroU16, time::Duration};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned},
};

use crate::SecretRef;

pub use answer::{Answer, BodyCode, FailedKey, Pointer, Results, ResultsByKey, ResultsByPosition, RetryAfter};
pub use answer::{Value, Verdict, Verdicts, WaitFrom, WaitUnit};
pub use file::{Csv, FileDestination, FileFormat, FileKind, FileMode, JsonLines};
pub use google_data_manager::{
    Consent, GoogleAccount, GoogleAddress, GoogleConsent, GoogleDataManagerDestination, GoogleDataManagerKind,
    GoogleEncoding, GoogleIdentifiers, GoogleProduct, OnPartialSuccess,
};
pub use http::{Auth, BaseUrl, Basic, Bearer, ClientAuth, HeaderAuth, InvalidUrl, OAuth2, OAuth2Refresh, Template};
pub use hubspot::{HubspotDestination, HubspotKind, HubspotList, HubspotPaths, ListBy};
pub use klaviyo::{KlaviyoDestination, KlaviyoKind, ProfileId};
pub use meta::{MetaDestination, MetaKind};
pub use rate::{InvalidRate, Rate, Window};
pub use recipe::{Argument, Parameter, ParameterType, Recipe, RecipeDestination, RecipeKind, recipes};
pub use rest::{
    Batch, Body, ListMembers, Lookup, Method, Next, Offset, Page, RestDestination, RestKind, RestOperation, RestStep,
    Shape,
};
pub use scim::UserMatch;
pub use scim::{BulkUse, GroupBy, MemberRemoval, OnRemove, ScimDestination, ScimGroup, ScimKind, ScimMode, ScimUsers};
pub use webhook::{WebhookDestination, WebhookKind};

/// What every kind of destination has. A kind's own file implements it.
pub trait Described {
    /// What it is, in the words of the file.
    fn description(&self) -> Option<&str>;

    /// The root of its URLs; nothing where it is not spoken to by URLs.
    fn base_url(&self) -> Option<&BaseUrl>;

    /// How we log in.
    fn auth(&self) -> &Auth {
        &Auth::None
    }

    /// The rate budget that all invocations share.
    fn rate(&self) -> Option<Rate>;

    /// How many calls may be in flight at once.
    fn concurrency(&self) -> Option<NonZeroU16>;

    /// How long one request may take.
    fn timeout(&self) -> Duration;

    /// Every secret it refers to, beside those of [`Described::auth`].
    fn more_secrets(&self) -> Vec<&SecretRef> {
        Vec::new()
    }

    /// What cannot work although every key is valid.
    fn flaws(&self) -> Vec<Flaw>;
}

/// [`Described`] for a kind whose keys `description`, `base_url`, `auth`, `rate`, `concurrency` and `timeout` have the names
/// and types that they have for `rest`, and that has an own `flaws`.
macro_rules! described_by_its_keys {
    ($kind:ty) => {
        impl $crate::destination::Described for $kind {
            fn description(&self) -> Option<&str> {
                self.description.as_deref()
            }

            fn base_url(&self) -> Option<&$crate::destination::BaseUrl> {
                Some(&self.base_url)
            }

            fn auth(&self) -> &$crate::destination::Auth {
                &self.auth
            }

            fn rate(&self) -> Option<$crate::destination::Rate> {
                self.rate
            }

            fn concurrency(&self) -> Option<core::num::NonZeroU16> {
                self.concurrency
            }

            fn timeout(&self) -> core::time::Duration {
                self.timeout.into()
            }

            fn flaws(&self) -> Vec<$crate::destination::Flaw> {
                self.flaws()
            }
        }
    };
}
use described_by_its_keys;

/// The kinds: a line each, which is all that is written about a kind outside its own file.
macro_rules! kinds {
    ($($(#[$what:meta])* $name:ident($text:literal): $type:ty;)*) => {
        /// A destination, as one file under `destinations/` describes it. `kind` decides which other keys there are.
        ///
        /// Reads any serde format, but through a buffer, so that errors carry no position; [`Destination::from_yaml`] is for
        /// files that people write.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
        #[serde(untagged)]
        pub enum Destination {
            $($(#[$what])* $name(Box<$type>),)*
        }

        /// A kind of destination.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum DestinationKind {
            $(#[doc = concat!("[`", stringify!($type), "`].")] #[serde(rename = $text)] $name,)*
        }

        impl Destination {
            /// Its kind.
            #[must_use]
            pub const fn kind(&self) -> DestinationKind {
                match self {
                    $(Self::$name(_) => DestinationKind::$name,)*
                }
            }

            /// What it has in common with every other kind.
            #[must_use]
            pub fn described(&self) -> &dyn Described {
                match self {
                    $(Self::$name(described) => described.as_ref(),)*
                }
            }
        }

        impl DestinationKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name written in `kind`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Reads a destination of this kind.
            pub(crate) fn read<R: ReadKind>(self, reader: R) -> R::Out {
                match self {
                    $(Self::$name => reader.read::<$type>(Destination::$name),)*
                }
            }
        }
    };
}

kinds! {
    /// Any HTTP API, described by requests and answers.
    Rest("rest"): RestDestination;
    /// A SCIM 2.0 service: a group's members, or the users themselves.
    Scim("scim"): ScimDestination;
    /// Meta Custom Audiences.
    Meta("meta"): MetaDestination;
    /// Google Customer Match, through the Data Manager API.
    GoogleDataManager("google_data_manager"): GoogleDataManagerDestination;
    /// Klaviyo: profiles, and a list that they are in.
    Klaviyo("klaviyo"): KlaviyoDestination;
    /// Files in a bucket.
    File("file"): FileDestination;
    /// HubSpot: contacts, and a static list of them.
    Hubspot("hubspot"): HubspotDestination;
    /// A receiver of signed requests, which keeps the list itself.
    Webhook("webhook"): WebhookDestination;
    /// An API that a shipped recipe describes.
    Recipe("recipe"): RecipeDestination;
}

/// A way to read the file of a kind.
pub(crate) trait ReadKind {
    /// What comes out.
    type Out;

    /// Reads a file of the kind `T`.
    fn read<T: DeserializeOwned + JsonSchema>(self, wrap: fn(Box<T>) -> Destination) -> Self::Out;
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

/// Reads YAML, with positions in errors.
struct Yaml<'a>(&'a str);

impl ReadKind for Yaml<'_> {
    type Out = Result<Destination, serde_saphyr::Error>;

    fn read<T: DeserializeOwned + JsonSchema>(self, wrap: fn(Box<T>) -> Destination) -> Self::Out {
        serde_saphyr::from_str(self.0).map(wrap)
    }
}

/// Reads a document that was parsed before.
struct Document(serde_json::Value);

impl ReadKind for Document {
    type Out = Result<Destination, serde_json::Error>;

    fn read<T: DeserializeOwned + JsonSchema>(self, wrap: fn(Box<T>) -> Destination) -> Self::Out {
        serde_json::from_value(self.0).map(wrap)
    }
}

impl Destination {
    /// Reads a file. Errors name line and column, which the buffered [`Deserialize`] cannot.
    ///
    /// # Errors
    /// The text is not YAML, or not a destination.
    pub fn from_yaml(text: &str) -> Result<Self, serde_saphyr::Error> {
        let Probe { kind } = serde_saphyr::from_str(text)?;
        kind.read(Yaml(text))
    }

    /// What it is, in the words of the file.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.described().description()
    }

    /// The root of its URLs; nothing where it is not spoken to by URLs.
    #[must_use]
    pub fn base_url(&self) -> Option<&BaseUrl> {
        self.described().base_url()
    }

    /// How we log in.
    #[must_use]
    pub fn auth(&self) -> &Auth {
        self.described().auth()
    }

    /// The rate budget that all invocations share.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.described().rate()
    }

    /// How many calls may be in flight at once.
    #[must_use]
    pub fn concurrency(&self) -> Option<NonZeroU16> {
        self.described().concurrency()
    }

    /// How long one request may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.described().timeout()
    }

    /// Every secret it refers to, so that they can be fetched before a connector is built.
    #[must_use]
    pub fn secret_refs(&self) -> Vec<&SecretRef> {
        let mut all = self.auth().secret_refs();
        all.extend(self.described().more_secrets());
        all
    }

    /// What cannot work although every key is valid. Templates are checked by the connector crate.
    #[must_use]
    pub fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = self.described().flaws();
        if self.timeout().is_zero() {
            flaws.push(Flaw {
                key: "timeout",
                message: "no request can be answered in no time".into(),
                remedy: "give a duration such as 30s",
            });
        }
        if self.rate().is_some_and(|rate| rate.windows().any(|window| window.per.is_zero())) {
            flaws.push(Flaw {
                key: "rate.per",
                message: "a rate needs a span of time".into(),
                remedy: "give a duration such as 1s or 1m",
            });
        }
        flaws
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let document = serde_json::Value::deserialize(d)?;
        let Probe { kind } = Probe::deserialize(&document).map_err(de::Error::custom)?;
        kind.read(Document(document)).map_err(de::Error::custom)
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
