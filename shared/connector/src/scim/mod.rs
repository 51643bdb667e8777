//! SCIM 2.0 (RFC 7643, RFC 7644): the members of a group, or the users of a service.
//!
//! In mode `group` a record is delivered when its user exists, has the mapped values and is a member. Users are created
//! first and looked up only where the service says that they exist: a look-up per user would double the requests of a first
//! sync, and searches by filter are what services do slowest. `/Bulk` is used where the service offers it.

mod attributes;
mod connector;
mod members;
mod names;
mod service;
mod users;
mod wire;

use core::time::Duration;
use std::{collections::BTreeSet, sync::Mutex};

use driftless_config::destination::{ScimDestination, ScimMode};

use crate::{
    Acknowledges, BuildError, Capabilities, Limits, Replace, Secrets,
    http::{Http, HttpPolicy},
};
use service::Provider;

/// A list behind a SCIM service.
pub(crate) struct Scim {
    capabilities: Capabilities,
    http: Http,
    config: ScimDestination,
    /// The group's name or id.
    list: String,
    timeout: Duration,
    /// What the service said it can do, once asked.
    provider: Mutex<Option<Provider>>,
    /// The group's id, once found.
    group: Mutex<Option<String>>,
    /// The ids of the members, while the list is read page by page.
    members: Mutex<Option<BTreeSet<String>>>,
}

pub(crate) fn capabilities(config: &ScimDestination) -> Capabilities {
    let limits = Some(Limits::records(config.records_per_call()));
    let group = config.mode == ScimMode::Group;
    Capabilities {
        add: limits,
        update: limits,
        remove: limits,
        list: true,
        creates_list: group && config.group.create,
        acknowledges: Acknowledges::Record,
        repeatable: true,
        rate: config.rate,
        replace: (group && config.group.supports_replace).then_some(Replace::ClearFirst),
        new_list: group,
        ..Capabilities::default()
    }
}

impl Scim {
    pub(crate) fn new(
        config: &ScimDestination,
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
            provider: Mutex::new(None),
            group: Mutex::new(None),
            members: Mutex::new(None),
        })
    }
}
