//! HubSpot: contacts, and a static list that they are members of.
//!
//! A record is delivered when its contact has the mapped properties and is a member of the list: one request upserts up to
//! 100 contacts, a second one makes them members. Contacts are matched by one unique property and never deleted: a removal
//! ends a membership.
//!
//! # How results are matched
//!
//! Every input carries an `objectWriteTraceId`, which results and errors repeat; the order of results says nothing. Where an
//! account does not repeat it, results are matched by the value of the unique property, compared without case. A 207 that
//! refuses more records than it names is taken apart in halves like a refused request. Values reach a reason never: only the
//! error's category does.
//!
//! # What is assumed
//!
//! Not confirmed by the vendor, and kept in settings where it may differ: 100 inputs a request; 100 requests in 10
//! seconds; errors of a 207 name their input in `context.objectWriteTraceId` or `context.ids`; truncating a list works below
//! 100,000 members (above, members are taken out page by page); 423 and 477 ask for a pause and apply nothing.
//!
//! # What if
//!
//! * We die, or the answer is lost, between the two requests: contacts have their values, and are members after the next try.
//!   Both requests are repeatable.
//! * A contact was deleted or merged after it was upserted: the list says that its id is missing, and the record is tried
//!   again from the start.

mod connector;
mod contacts;
mod lists;
mod service;
mod wire;

use core::time::Duration;
use std::sync::Mutex;

use driftless_config::destination::HubspotDestination;

use crate::{
    Acknowledges, BuildError, Capabilities, Limits, Replace, Secrets,
    http::{Http, HttpPolicy},
};

/// A list in HubSpot.
pub(crate) struct Hubspot {
    capabilities: Capabilities,
    http: Http,
    config: HubspotDestination,
    /// The list's name or id.
    list: String,
    timeout: Duration,
    /// The list's id, once found.
    list_id: Mutex<Option<String>>,
}

pub(crate) fn capabilities(config: &HubspotDestination) -> Capabilities {
    let limits = Some(Limits::records(config.records));
    Capabilities {
        add: limits,
        update: limits,
        remove: limits,
        list: true,
        creates_list: config.list.create,
        acknowledges: Acknowledges::Record,
        repeatable: true,
        rate: config.rate,
        replace: Some(Replace::ClearFirst),
        new_list: true,
        ..Capabilities::default()
    }
}

impl Hubspot {
    pub(crate) fn new(
        config: &HubspotDestination,
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
            list_id: Mutex::new(None),
        })
    }
}
