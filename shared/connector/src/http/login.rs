use base64::{Engine as _, engine::general_purpose::STANDARD};
use driftless_config::destination::{Auth, BaseUrl, ClientAuth};
use reqwest::{
    Method,
    header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use url::{Url, form_urlencoded};

use super::{Outgoing, tokens::Tokens};
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

/// What a token is asked for with.
pub(super) struct Grant {
    url: Url,
    /// The form, as far as it does not change.
    form: Vec<(&'static str, SecretString)>,
    /// The client, where it stands in a header.
    client: Option<HeaderValue>,
    /// The refresh token that a person has put into the secret; none with client credentials.
    first: Option<SecretString>,
}

impl Login {
    pub(super) fn new(auth: &Auth, secrets: &dyn Secrets) -> Result<Self, BuildError> {
        Ok(match auth {
            Auth::None => Self::None,
            Auth::Bearer(bearer) => {
                let token = secrets.secret(&bearer.token)?;
                Self::Fixed(AUTHORIZATION, bearer_header(token.expose_secret().trim(), "auth.bearer.token")?)
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
                let mut form = vec![("grant_type", text("client_credentials"))];
                for (name, value) in [("scope", &oauth.scope), ("audience", &oauth.audience)] {
                    form.extend(value.as_ref().map(|value| (name, text(value))));
                }
                let grant =
                    Grant::new(&oauth.token_url, form, (&oauth.client_id, Some(&secret)), oauth.client_auth, None)?;
                let purpose = [oauth.token_url.as_str(), &oauth.client_id]
                    .into_iter()
                    .chain([&oauth.scope, &oauth.audience].map(|part| part.as_deref().unwrap_or_default()));
                Self::Token(Tokens::new(grant, &secret, &purpose.collect::<Vec<_>>().join("\n"), secrets.tokens()))
            }
            Auth::OAuth2Refresh(oauth) => {
                let secret = oauth.client_secret.as_ref().map(|reference| secrets.secret(reference)).transpose()?;
                let first = secrets.secret(&oauth.refresh_token)?;
                let mut form = vec![("grant_type", text("refresh_token"))];
                form.extend(oauth.scope.as_ref().map(|scope| ("scope", text(scope))));
                let client = (oauth.client_id.as_str(), secret.as_ref());
                let grant = Grant::new(&oauth.token_url, form, client, oauth.client_auth, Some(first.clone()))?;
                // Without a shared place every process would use the same refresh token, which may be good for one use.
                let sharing = secrets.tokens().ok_or(BuildError::Port { what: "a place where tokens are shared" })?;
                Self::Token(Tokens::new(grant, &first, &oauth.client_id, Some(sharing)))
            }
        })
    }
}

impl Grant {
    fn new(
        url: &BaseUrl,
        mut form: Vec<(&'static str, SecretString)>,
        (id, secret): (&str, Option<&SecretString>),
        client_auth: ClientAuth,
        first: Option<SecretString>,
    ) -> Result<Self, BuildError> {
        let url =
            Url::parse(url.as_str()).map_err(|_| BuildError::Url { host: String::new(), what: "is not a URL" })?;
        let client = match (secret, client_auth) {
            (Some(secret), ClientAuth::Basic) => {
                // RFC 6749 section 2.3.1: both parts are form-encoded first.
                let encode = |s: &str| form_urlencoded::byte_serialize(s.as_bytes()).collect::<String>();
                let password = SecretString::from(encode(secret.expose_secret().trim()));
                Some(basic_auth(&encode(id), &password)?)
            }
            (secret, _) => {
                form.push(("client_id", text(id)));
                form.extend(secret.map(|secret| ("client_secret", text(secret.expose_secret().trim()))));
                None
            }
        };
        Ok(Self { url, form, client, first })
    }

    /// The refresh token to begin with.
    pub(super) const fn first(&self) -> Option<&SecretString> {
        self.first.as_ref()
    }

    /// The request for a token.
    pub(super) fn request(&self, refresh: Option<&SecretString>) -> Outgoing {
        let mut form = form_urlencoded::Serializer::new(String::new());
        let refresh = refresh.map(|refresh| ("refresh_token", refresh));
        for (name, value) in self.form.iter().map(|(name, value)| (*name, value)).chain(refresh) {
            form.append_pair(name, value.expose_secret().trim());
        }
        let request = Outgoing::new(Method::POST, self.url.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .body(form.finish(), "application/x-www-form-urlencoded");
        match &self.client {
            Some(client) => request.header(AUTHORIZATION, client.clone()),
            None => request,
        }
    }
}

fn text(text: &str) -> SecretString {
    text.to_owned().into()
}

fn basic_auth(username: &str, password: &SecretString) -> Result<HeaderValue, BuildError> {
    let pair = STANDARD.encode(format!("{username}:{}", password.expose_secret().trim()));
    sensitive(format!("Basic {pair}"), "auth.basic")
}

pub(super) fn bearer_header(token: &str, key: &'static str) -> Result<HeaderValue, BuildError> {
    sensitive(format!("Bearer {token}"), key)
}

/// A header value that no debug output shows.
fn sensitive(text: String, key: &'static str) -> Result<HeaderValue, BuildError> {
    let mut value = HeaderValue::try_from(text).map_err(|_| BuildError::Header { key })?;
    value.set_sensitive(true);
    Ok(value)
}
