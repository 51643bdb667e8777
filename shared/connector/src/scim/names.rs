//! What groups are called, and how a group passes its name on to the one that takes its place.
//!
//! A group that we make is called by its id from the beginning, also where groups are configured by their name: `id:` and the
//! id. Its name may so become another at any time, and nothing looks for it in vain.

use driftless_config::destination::GroupBy;
use reqwest::Method;
use serde_json::json;

use super::{
    Scim,
    service::{Call, refusal},
    wire::{self, Resource},
};
use crate::{Answered, http::Session};

const ID: &str = "id:";

impl Scim {
    /// The id that a sync calls a group by, if it does that.
    pub(super) fn id_in<'a>(&self, list: &'a str) -> Option<&'a str> {
        match self.config.group.by {
            GroupBy::Id => Some(list),
            GroupBy::DisplayName => list.strip_prefix(ID),
        }
    }

    /// What a sync calls a group of ours by.
    pub(super) fn called(&self, id: &str) -> String {
        match self.config.group.by {
            GroupBy::Id => id.to_owned(),
            GroupBy::DisplayName => format!("{ID}{id}"),
        }
    }

    /// Gives the group `new` the name of the group `old`, which keeps it with a mark at its end.
    ///
    /// The old group steps aside first: there are services that want names to be unique. Who looks for the name finds nobody for
    /// the time of one request; whoever dies there does both again.
    pub(super) async fn pass_group_name_on(
        &self,
        session: &Session<'_>,
        old: &str,
        new: &str,
        mark: &str,
    ) -> Result<String, Answered> {
        let aside = |name: &str| format!("{name}{mark}");
        let new_id = self.id_in(new).unwrap_or(new);
        let old_id = match self.id_in(old) {
            Some(id) => Some(id.to_owned()),
            None => match self.group_named(session, &aside(old)).await? {
                Some(id) => Some(id),
                None => self.group_named(session, old).await?.filter(|id| id != new_id),
            },
        };
        // Gone, and its name may be the new group's already: called by a name that nobody has.
        let Some(old_id) = old_id else { return Ok(aside(old)) };
        let Some(name) = self.name_of(session, &old_id).await? else { return Ok(self.called(&old_id)) };
        let name = match name.strip_suffix(mark) {
            Some(before) => before.to_owned(),
            None => {
                self.rename(session, &old_id, &aside(&name)).await?;
                name
            }
        };
        self.rename(session, new_id, &name).await?;
        Ok(self.called(&old_id))
    }

    /// The name of a group; none where the group is gone, or has none.
    async fn name_of(&self, session: &Session<'_>, id: &str) -> Result<Option<String>, Answered> {
        let path = ["Groups", id];
        let call = Call::new(Method::GET, &path).query(&[("attributes", "displayName")]);
        let reply = self.send(session, call).await?;
        if matches!(reply.status, 404 | 410) {
            return Ok(None);
        }
        Ok(self.resource::<Resource>(&reply)?.display_name)
    }

    async fn rename(&self, session: &Session<'_>, id: &str, name: &str) -> Result<(), Answered> {
        let operation = json!({ "op": "replace", "path": "displayName", "value": name });
        let path = ["Groups", id];
        let call = Call::new(Method::PATCH, &path).body(wire::patch(vec![operation]));
        let reply = self.send(session, call).await?;
        match reply.status {
            200..=299 => Ok(()),
            _ => Err(match refusal(&reply) {
                // A name is no row: halving would not help.
                Answered::BatchRejected { reason } => Answered::Fatal { reason: format!("rename group: {reason}") },
                other => other,
            }),
        }
    }
}
