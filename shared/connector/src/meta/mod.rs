//! Meta Custom Audiences: people are added, removed, or the whole audience replaced, by hashed keys.
//!
//! # What an answer says
//!
//! An answer counts the rows that were received and those that Meta found invalid; it does not name the latter reliably (at most
//! 100 samples, and the number "is not exact"). So every row of a request that is received counts as delivered, the invalid ones
//! are counted for people to see, and the samples are never read: they echo what was sent. That a value is a digest at all is
//! checked here, row by row. Being received is not being in the audience yet: that takes Meta up to a day.
//!
//! # Replacing
//!
//! A run that replaces the whole audience is one session of `usersreplace`: its first part starts the replacement, its last one
//! ends it, and Meta ends it itself 90 minutes after the first. Meanwhile nothing else may be sent. A session that is too late or
//! broken stops the run, which is planned anew under another session.
//!
//! # What if
//!
//! * The answer to a part is lost: it is sent again. Later parts may come twice. A second first part is refused because a
//!   replacement is in progress; whether that is ours is asked for then, and if it is, the first part was received.
//! * The answer to the last part is lost: the session is said to be finished when it is sent again, which only the last part does
//!   (a session that Meta ended says that it timed out).
//!
//! # What is assumed
//!
//! Not confirmed by the vendor: that `estimated_time_to_regain_access` counts minutes; that error codes 1 and 2 do not exclude
//! that the request was applied; that a removal by one key removes whoever was added with that key among others.

mod answer;
mod connector;
mod rows;

use core::time::Duration;

use driftless_config::destination::MetaDestination;

use crate::{
    Acknowledges, BuildError, Capabilities, Limits, Replace, Secrets,
    http::{Http, HttpPolicy},
};

/// A custom audience.
pub(crate) struct Meta {
    capabilities: Capabilities,
    http: Http,
    config: MetaDestination,
    /// The audience's id.
    list: String,
    timeout: Duration,
}

/// How long after its first part a replacement takes further ones.
const SESSION: Duration = Duration::from_mins(90);

pub(crate) fn capabilities(config: &MetaDestination) -> Capabilities {
    let limits = Limits::records(config.records);
    Capabilities {
        add: Some(limits),
        // Nothing but the keys is kept of a person, and new keys are added like any.
        update: Some(limits),
        remove: Some(limits),
        acknowledges: Acknowledges::Batch,
        rate: config.rate,
        replace: Some(Replace::Session { limits, open_for: Some(SESSION) }),
        new_list: config.account.is_some(),
        normalisation: &[("EMAIL", "meta.email@1"), ("PHONE", "meta.phone@1")],
        ..Capabilities::default()
    }
}

impl Meta {
    pub(crate) fn new(
        config: &MetaDestination,
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
