//! Klaviyo: profiles are upserted and put into a list by a bulk import, and taken out of the list by their ids.
//!
//! # How results are matched
//!
//! An import is a job. When it is complete it counts the profiles that failed, and lists an error for each with what was sent:
//! by that a failure finds its row. Where fewer rows can be named than failed, the import is sent again in halves.
//!
//! A removal is not an import: the ids of the profiles are looked up first, and those who are in the list leave it. Who has no
//! profile is not in the list. Consent and profiles stay as they are.
//!
//! # What if
//!
//! * The answer to an import is lost: it is sent again, as another job. An upsert twice does no harm.
//! * A job is not known any more (Klaviyo forgets them after a while): its rows are uncertain, and sent again.
//! * A profile is merged with another between look-up and removal: the id is not known to the list, which ignores it.
//!
//! # What is assumed
//!
//! Not confirmed by the vendor: that `original_payload` of an error has the profile's attributes at the top or below
//! `attributes`; that 50 values go into one look-up; that ids which are not in the list are ignored by a removal.

mod answer;
mod connector;
mod import;
mod members;
mod profiles;

use core::num::NonZeroU32;
use core::time::Duration;

use driftless_config::destination::KlaviyoDestination;
use reqwest::{
    Method,
    header::{HeaderName, HeaderValue},
};
use serde_json::Value;
use url::Url;

use crate::{
    Acknowledges, BuildError, Capabilities, Limits, Secrets,
    http::{Http, HttpPolicy, Outgoing},
};

/// A list in Klaviyo.
pub(crate) struct Klaviyo {
    capabilities: Capabilities,
    http: Http,
    config: KlaviyoDestination,
    /// The list's id.
    list: String,
    revision: HeaderValue,
    timeout: Duration,
}

/// The most bytes of an import, less what is around the profiles.
const IMPORT_BYTES: u64 = 5_000_000 - 10_000;
/// The most ids of a change of a list.
const IDS: NonZeroU32 = NonZeroU32::new(1_000).expect("not zero");

pub(crate) fn capabilities(config: &KlaviyoDestination) -> Capabilities {
    let import = Some(Limits { records: config.records, bytes: core::num::NonZeroU64::new(IMPORT_BYTES) });
    Capabilities {
        add: import,
        update: import,
        remove: Some(Limits::records(config.records.min(IDS))),
        list: true,
        acknowledges: Acknowledges::Job,
        rate: config.rate,
        new_list: true,
        normalisation: &[("email", "klaviyo.email@1"), ("phone_number", "klaviyo.phone@1")],
        ..Capabilities::default()
    }
}

impl Klaviyo {
    pub(crate) fn new(
        config: &KlaviyoDestination,
        list: &str,
        secrets: &dyn Secrets,
        policy: HttpPolicy,
    ) -> Result<Self, BuildError> {
        let revision = HeaderValue::from_str(&config.revision).map_err(|_| BuildError::Header { key: "revision" })?;
        Ok(Self {
            capabilities: capabilities(config),
            http: Http::new(&config.base_url, &config.auth, secrets, policy)?,
            config: config.clone(),
            list: list.to_owned(),
            revision,
            timeout: config.timeout.into(),
        })
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.http.url("api");
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn request(&self, method: Method, url: Url, body: Option<&Value>) -> Outgoing {
        let request = Outgoing::new(method, url)
            .header(HeaderName::from_static("revision"), self.revision.clone())
            .header(reqwest::header::ACCEPT, HeaderValue::from_static("application/vnd.api+json"));
        match body {
            Some(body) => request.body(body.to_string(), "application/vnd.api+json"),
            None => request,
        }
    }
}
