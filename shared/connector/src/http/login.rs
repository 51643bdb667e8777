use base64::{Engine as _, engine::general_purpose::STANDARD};
use driftless_config::destination::{Auth, ClientAuth};
use reqwest::{
    Method,
    header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};

use super::Outgoing;
use crate::{BuildError, Secrets};

/// How requests are logged in.
#[allow(clippy::large_enum_variant)] // one per destination, built once
pub(super) enum Login {
    /// Not at all.
    None,
    /// By a header that does not change.
    Fixed(HeaderName, HeaderValue),
    /// By a token that is fetched.
    Token(Tokens),
}

/// Fetches tokens and keeps the newest. Its life is not counted: a token that has expired is refused, and fetched anew.
pub(super) struct Tokens {
    pub(super) kept: Mutex<Option<HeaderValue>>,
    request: Outgoing,
}

impl Login {
    pub(super) fn new(auth: &Auth, secrets: &dyn Secrets) -> Result<Self, BuildError> {
        Ok(match auth {
            Auth::None => Self::None,
            Auth::Bearer(bearer) => {
                let token = secrets.secret(&bearer.token)?;
                Self::Fixed(
                    AUTHORIZATION,
                    sensitive(format!("Bearer {}", token.expose_secret().trim()), "auth.bearer.token")?,
                )
            }
            Auth::Basic(basic) => {
                let password = secrets.secret(&basic.password)?;
                Self::Fixed(AUTHORIZATION, basic_auth(&basic.username, &password)?)
            }
            Auth::Header(header) => {
                let name = header.name.parse().map_err(|_| BuildError::Header { key: "auth.header.name" })?;
                let secret = secrets.secret(&header.value)?;
                let value = format!("{}{}", header.prefix, secret.expose_secret().trim());
                Self::Fixed(name, sensitive(value, "auth.header.value")?)
            }
            Auth::OAuth2(oauth) => {
                let secret = secrets.secret(&oauth.client_secret)?;
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.append_pair("grant_type", "client_credentials");
                for (name, value) in [("scope", &oauth.scope), ("audience", &oauth.audience)] {
                    if let Some(value) = value {
                        form.append_pair(name, value);
                    }
                }
                if oauth.client_auth == ClientAuth::Body {
                    form.append_pair("client_id", &oauth.client_id);
                    form.append_pair("client_secret", secret.expose_secret().trim());
                }
                let url = Url::parse(oauth.token_url.as_str())
                    .map_err(|_| BuildError::Url { host: String::new(), what: "is not a URL" })?;
                let mut request = Outgoing::new(Method::POST, url)
                    .header(ACCEPT, HeaderValue::from_static("application/json"))
                    .body(form.finish(), "application/x-www-form-urlencoded");
                if oauth.client_auth == ClientAuth::Basic {
                    // RFC 6749 section 2.3.1: both parts are form-encoded first.
                    let encode = |s: &str| form_urlencoded::byte_serialize(s.as_bytes()).collect::<String>();
                    let password = SecretString::from(encode(secret.expose_secret().trim()));
                    request = request.header(AUTHORIZATION, basic_auth(&encode(&oauth.client_id), &password)?);
                }
                Self::Token(Tokens { kept: Mutex::new(None), request })
            }
        })
    }
}

impl Tokens {
    /// The request for a new token.
    pub(super) fn request(&self) -> Outgoing {
        self.request.clone()
    }

    /// The header that a token makes, if the answer has one that can be sent.
    pub(super) fn header_of(answer: &serde_json::Value) -> Option<HeaderValue> {
        let token = answer.get("access_token")?.as_str()?;
        sensitive(format!("Bearer {token}"), "access_token").ok()
    }
}

fn basic_auth(username: &str, password: &SecretString) -> Result<HeaderValue, BuildError> {
    let pair = STANDARD.encode(format!("{username}:{}", password.expose_secret().trim()));
    sensitive(format!("Basic {pair}"), "auth.basic")
}

/// A header value that no debug output shows.
fn sensitive(text: String, key: &'static str) -> Result<HeaderValue, BuildError> {
    let mut value = HeaderValue::try_from(text).map_err(|_| BuildError::Header { key })?;
    value.set_sensitive(true);
    Ok(value)
}
