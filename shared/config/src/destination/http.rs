use core::{fmt, str::FromStr};
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::SecretRef;

/// The root of a destination's URLs: `https`, a host, perhaps a port and a path, and nothing else. `http` and private
/// addresses are refused when the connector is built, unless the deployment allows them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl(String);

/// Text that cannot be the root of URLs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It does not parse, or has no host.
    #[error("not an absolute URL; write it as https://api.example.com/v1")]
    Malformed,
    /// Neither https nor http.
    #[error("the scheme is not https")]
    Scheme,
    /// A user name or password in the URL would end in logs.
    #[error("the URL has a user name or password; put them into `auth`")]
    Credentials,
    /// Query and fragment belong to a request, not to the root.
    #[error("the URL has a query or a fragment; put the query into the requests")]
    Query,
}

impl BaseUrl {
    /// The text, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let url = Url::parse(text.trim()).map_err(|_| InvalidUrl::Malformed)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(InvalidUrl::Scheme);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(InvalidUrl::Malformed);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidUrl::Query);
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        text.parse()
    }
}

impl From<BaseUrl> for String {
    fn from(url: BaseUrl) -> Self {
        url.0
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for BaseUrl {
    fn schema_name() -> Cow<'static, str> {
        "Url".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uri", "pattern": "^https?://[^?#@]+$" })
    }
}

/// Text with `{{ … }}` expressions. Which names an expression may use is said where the template stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Template(String);

impl Template {
    /// A template from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How we log in. Secrets are references, never values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// No login.
    #[default]
    None,
    /// `Authorization: Bearer …` with a token that does not change.
    Bearer(Bearer),
    /// `Authorization: Basic …`.
    Basic(Basic),
    /// A header of the API's own, such as `Api-Key`.
    Header(HeaderAuth),
    /// OAuth 2.0 client credentials (RFC 6749 section 4.4). The token is kept, and fetched anew once when it is refused.
    #[serde(rename = "oauth2_client_credentials")]
    #[schemars(rename = "oauth2_client_credentials")]
    OAuth2(OAuth2),
    /// OAuth 2.0 with a refresh token that a person was given by authorising us (RFC 6749 section 6). Tokens are shared by all
    /// workers, one of which fetches the next one before the last one ends; a refresh token that is good for one use is
    /// followed from answer to answer.
    #[serde(rename = "oauth2_refresh_token")]
    #[schemars(rename = "oauth2_refresh_token")]
    OAuth2Refresh(OAuth2Refresh),
}

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bearer {
    /// The token.
    pub token: SecretRef,
}

/// User name and password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: SecretRef,
}

/// A header that carries a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderAuth {
    /// The header's name.
    pub name: String,
    /// Text before the secret, such as `Klaviyo-API-Key ` with its space.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// The secret.
    pub value: SecretRef,
}

/// OAuth 2.0 client credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth2 {
    /// Where tokens are issued.
    pub token_url: BaseUrl,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: SecretRef,
    /// The scopes to ask for, separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The audience, for issuers that want one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Where id and secret stand in the request for a token.
    #[serde(default)]
    pub client_auth: ClientAuth,
}

/// OAuth 2.0 with a refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth2Refresh {
    /// Where tokens are issued.
    pub token_url: BaseUrl,
    /// The client's id.
    pub client_id: String,
    /// The client's secret; a public client has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretRef>,
    /// The refresh token to begin with. It is never written: where the issuer gives another one with every token, that is kept
    /// with the shared token. Writing another refresh token into the secret begins anew.
    pub refresh_token: SecretRef,
    /// The scopes to ask for, separated by spaces. Left out: those that were granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Where id and secret stand in the request for a token.
    #[serde(default)]
    pub client_auth: ClientAuth,
}

/// Where a client's id and secret stand in a request for a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// In the `Authorization` header (`client_secret_basic`), which every issuer must support.
    #[default]
    Basic,
    /// In the form (`client_secret_post`).
    Body,
}

impl Auth {
    pub(super) fn secret_refs(&self) -> Vec<&SecretRef> {
        match self {
            Self::None => Vec::new(),
            Self::Bearer(auth) => vec![&auth.token],
            Self::Basic(auth) => vec![&auth.password],
            Self::Header(auth) => vec![&auth.value],
            Self::OAuth2(auth) => vec![&auth.client_secret],
            Self::OAuth2Refresh(auth) => auth.client_secret.iter().chain([&auth.refresh_token]).collect(),
        }
    }

    /// Where tokens are issued, if they are.
    #[must_use]
    pub const fn token_url(&self) -> Option<&BaseUrl> {
        match self {
            Self::OAuth2(auth) => Some(&auth.token_url),
            Self::OAuth2Refresh(auth) => Some(&auth.token_url),
            Self::None | Self::Bearer(_) | Self::Basic(_) | Self::Header(_) => None,
        }
    }
}
