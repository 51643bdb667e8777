//! One HTTP exchange, made safe: addresses are checked, bodies are bounded, secrets stay out of errors, and every way to
//! fail says whether the request may have been applied.

mod address;
mod login;
mod outgoing;
mod quota;
mod reply;
mod session;
mod tokens;

use core::{fmt, time::Duration};

use driftless_config::destination::{Auth, BaseUrl};
use reqwest::{Client, redirect};
use url::{Host, Url};

use crate::{BuildError, Secrets};

pub(crate) use outgoing::Outgoing;
pub(crate) use reply::{Reply, Unread, wait_of};
pub(crate) use session::{Session, Trouble};

use address::{GuardedResolver, is_public};
use login::Login;

/// What the deployment allows a connector to do on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpPolicy {
    /// Loopback, private and link-local addresses, and `http` without TLS. Only for the local cloud and tests.
    pub allow_private: bool,
    /// The most bytes of an answer that are read.
    pub max_answer_bytes: usize,
    /// How long connecting may take, TLS included.
    pub connect_timeout: Duration,
}

impl Default for HttpPolicy {
    fn default() -> Self {
        Self { allow_private: false, max_answer_bytes: 16 << 20, connect_timeout: Duration::from_secs(5) }
    }
}

/// A client of one destination: logs in, and goes to its host only.
pub(crate) struct Http {
    client: Client,
    login: Login,
    base: Url,
    policy: HttpPolicy,
}

impl Http {
    pub(crate) fn new(
        base: &BaseUrl,
        auth: &Auth,
        secrets: &dyn Secrets,
        policy: HttpPolicy,
    ) -> Result<Self, BuildError> {
        let base = checked(base, policy)?;
        if let Some(issuer) = auth.token_url() {
            checked(issuer, policy)?;
        }
        let client = Client::builder()
            .user_agent(concat!("driftless/", env!("CARGO_PKG_VERSION")))
            // A redirect could lead anywhere and would carry the body along: 3xx is an answer like any other.
            .redirect(redirect::Policy::none())
            .connect_timeout(policy.connect_timeout)
            // A function may be frozen for longer than the other side keeps a connection; a stale one looks like a lost answer.
            .pool_idle_timeout(Duration::from_secs(10))
            .https_only(!policy.allow_private)
            .dns_resolver(GuardedResolver { allow_private: policy.allow_private })
            .build()
            .map_err(|e| BuildError::Client { source: e.without_url().into() })?;
        Ok(Self { client, login: Login::new(auth, secrets)?, base, policy })
    }

    /// The root of the destination's URLs, without a slash at the end of its path.
    pub(crate) const fn base(&self) -> &Url {
        &self.base
    }

    /// The URL of a path below the root. The path is percent-encoded already.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let root = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{root}/{}", path.trim_start_matches('/')));
        url
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// Refuses what is wrong whatever the name resolves to. Names are checked when they are resolved.
fn checked(url: &BaseUrl, policy: HttpPolicy) -> Result<Url, BuildError> {
    let url = Url::parse(url.as_str()).map_err(|_| BuildError::Url { host: String::new(), what: "is not a URL" })?;
    let refused = |what| BuildError::Url { host: url.host_str().unwrap_or_default().to_owned(), what };
    if policy.allow_private {
        return Ok(url);
    }
    if url.scheme() != "https" {
        return Err(refused("is not https"));
    }
    let public = match url.host() {
        Some(Host::Ipv4(ip)) => is_public(ip.into()),
        Some(Host::Ipv6(ip)) => is_public(ip.into()),
        Some(Host::Domain(_)) => true,
        None => false,
    };
    if public { Ok(url) } else { Err(refused("is a private, loopback or link-local address")) }
}
