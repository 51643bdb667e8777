//! Google Customer Match through the Data Manager API: members are ingested, removed, or all who are older than an instant.
//!
//! # Accepted is not delivered
//!
//! Every request is accepted with a request id, and processed later. The status of a request says whether all of its records
//! were taken, none, or some; of the latter it counts those that failed by reason, and never says which they are
//! ([`driftless_config::destination::OnPartialSuccess`] decides what that means).
//!
//! A malformed required field fails a whole request at once, with the paths of the fields: the members that they name are
//! rejected and the others sent again. Where no member is named the request is bisected. That a value is a digest at all is
//! checked here first.
//!
//! # Replacing
//!
//! `removeAll` takes an instant, and removes who was last added before it. So a list is filled first and cleared of all others
//! then, and is never empty.
//!
//! # What if
//!
//! * The answer to a request is lost: it is sent again, under another request id. Adding and removing twice does no harm.
//! * A request id is not known any more: its members are uncertain, and sent again.
//!
//! # What is assumed
//!
//! Not confirmed by the vendor: that a member who is ingested again counts as last added then; that a removal by one identifier
//! removes whoever was ingested with it among others; that a daily quota that is used up is worth asking for again after an hour; that
//! a request id is known from the moment that it was given.

mod answer;
mod connector;
mod members;
mod status;

use core::time::Duration;

use driftless_config::destination::GoogleDataManagerDestination;

use crate::{
    Acknowledges, BuildError, Capabilities, Limits, Replace, Secrets,
    http::{Http, HttpPolicy},
};

/// A user list.
pub(crate) struct DataManager {
    capabilities: Capabilities,
    http: Http,
    config: GoogleDataManagerDestination,
    /// The list's id.
    list: String,
    timeout: Duration,
}

pub(crate) fn capabilities(config: &GoogleDataManagerDestination) -> Capabilities {
    let limits = Some(Limits::records(config.records));
    Capabilities {
        add: limits,
        // Nothing but the identifiers is kept of a person, and new identifiers are added like any.
        update: limits,
        remove: limits,
        acknowledges: Acknowledges::Job,
        rate: config.rate,
        replace: Some(Replace::ClearAfter),
        new_list: true,
        normalisation: &[("email", "google.email@1"), ("phone", "google.phone@1")],
        ..Capabilities::default()
    }
}

impl DataManager {
    pub(crate) fn new(
        config: &GoogleDataManagerDestination,
        list: &str,
        secrets: &dyn Secrets,
        policy: HttpPolicy,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            capabilities: capabilities(config),
            http: Http::new(&config.base_url, &config.auth, secrets, policy)?,
            config: config.clone(),
            list: list.to_owned(),
            timeout: config.timeout.into(),
        })
    }
}
