//! The group and its members.

use std::{collections::BTreeSet, sync::PoisonError};

use driftless_config::destination::MemberRemoval;
use reqwest::{
    Method,
    header::{ETAG, HeaderValue},
};
use serde_json::{Value, json};

use super::{
    Scim,
    service::{Call, refusal},
    wire::{self, Resource},
};
use crate::{Answered, http::Session};

const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// A group as it was read.
struct Group {
    members: BTreeSet<String>,
    /// What `If-Match` must name for the group to be the same still.
    version: Option<HeaderValue>,
}

impl Scim {
    /// The group's id, if the group is there.
    async fn existing_group(&self, session: &Session<'_>) -> Result<Option<String>, Answered> {
        if let Some(id) = self.id_in(&self.list) {
            return Ok(Some(id.to_owned()));
        }
        let known = self.group.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.is_some() {
            return Ok(known);
        }
        let found = self.group_named(session, &self.list).await?;
        self.group.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
        Ok(found)
    }

    /// The id of the group of a name, if there is one.
    pub(super) async fn group_named(&self, session: &Session<'_>, name: &str) -> Result<Option<String>, Answered> {
        let filter = wire::equals("displayName", name);
        let found = self.find(session, "Groups", &filter, ("excludedAttributes", "members")).await?;
        match found.as_slice() {
            [] => Ok(None),
            [group] if !group.id.is_empty() => Ok(Some(group.id.clone())),
            _ => Err(Answered::Fatal { reason: "there are several groups of this name; name it by its id".into() }),
        }
    }

    /// The group of a name, created if it is missing. Two who do this at the same time make two groups of one name.
    pub(super) async fn group_of(&self, session: &Session<'_>, name: &str) -> Result<String, Answered> {
        match self.group_named(session, name).await? {
            Some(id) => Ok(id),
            None => self.create_group(session, name).await,
        }
    }

    /// Deletes a group; its users stay. One that is gone already is deleted.
    pub(super) async fn delete_group(&self, session: &Session<'_>, list: &str) -> Result<(), Answered> {
        let id = match self.id_in(list) {
            Some(id) => id.to_owned(),
            None => match self.group_named(session, list).await? {
                Some(id) => id,
                None => return Ok(()),
            },
        };
        let reply = self.send(session, Call::new(Method::DELETE, &["Groups", &id])).await?;
        match reply.status {
            200..=299 | 404 | 410 => Ok(()),
            _ => Err(refusal(&reply)),
        }
    }

    /// Ends every membership at once.
    pub(super) async fn take_all_out(&self, session: &Session<'_>) -> Result<(), Answered> {
        match self.existing_group(session).await? {
            Some(group) => {
                let operation = json!({ "op": "remove", "path": "members" });
                match self.patch_group(session, &group, vec![operation], None).await {
                    // Some services say so when there is nobody to take out.
                    Err(Answered::BatchRejected { reason }) if reason.ends_with(" noTarget") => Ok(()),
                    Err(Answered::BatchRejected { reason }) => Err(Answered::Fatal {
                        reason: format!(
                            "{reason}: the service does not take all members out at once; leave `group.supports_replace` out"
                        ),
                    }),
                    other => other,
                }
            }
            None if self.config.group.create => Ok(()),
            None => Err(no_group()),
        }
    }

    /// Creates the group if it is missing. Two who do this at the same time make two groups of one name.
    pub(super) async fn ensure_group(&self, session: &Session<'_>) -> Result<(), Answered> {
        if self.existing_group(session).await?.is_none() {
            let id = self.create_group(session, &self.list).await?;
            *self.group.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
        }
        Ok(())
    }

    async fn create_group(&self, session: &Session<'_>, name: &str) -> Result<String, Answered> {
        let body = json!({ "schemas": [GROUP], "displayName": name });
        let reply = self.send(session, Call::new(Method::POST, &["Groups"]).body(body)).await?;
        if !reply.is_success() {
            // Its name is not a row's: halving the rows would not help.
            return Err(match refusal(&reply) {
                Answered::BatchRejected { reason } => Answered::Fatal { reason: format!("create group: {reason}") },
                other => other,
            });
        }
        let group: Resource = self.resource(&reply)?;
        if group.id.is_empty() {
            Err(Answered::NoAnswer { reason: "the new group has no id".into() })
        } else {
            Ok(group.id)
        }
    }

    /// Makes users members. A user who is one already stays one.
    pub(super) async fn add_members(&self, session: &Session<'_>, ids: &[String]) -> Result<(), Answered> {
        if ids.is_empty() {
            return Ok(());
        }
        let group = self.existing_group(session).await?.ok_or_else(no_group)?;
        let most = usize::try_from(self.config.group.members_per_patch.get()).unwrap_or(usize::MAX);
        for ids in ids.chunks(most) {
            let operation = json!({ "op": "add", "path": "members", "value": references(ids) });
            self.patch_group(session, &group, vec![operation], None).await?;
        }
        Ok(())
    }

    /// Ends memberships. A user who is not a member stays none.
    pub(super) async fn remove_members(&self, session: &Session<'_>, ids: &[String]) -> Result<(), Answered> {
        if ids.is_empty() {
            return Ok(());
        }
        let group = match self.existing_group(session).await? {
            Some(group) => group,
            // Nobody is in a group that is still to be created.
            None if self.config.group.create => return Ok(()),
            None => return Err(no_group()),
        };
        let most = usize::try_from(self.config.group.members_per_patch.get()).unwrap_or(usize::MAX);
        match self.config.group.removal {
            MemberRemoval::Replace => self.replace_members(session, &group, &ids.iter().collect()).await,
            MemberRemoval::Each => {
                let one =
                    |id: &String| json!({ "op": "remove", "path": format!("members[{}]", wire::equals("value", id)) });
                for ids in ids.chunks(most) {
                    match self.patch_group(session, &group, ids.iter().map(one).collect(), None).await {
                        // Some services refuse to remove one who is not a member; alone, it is clear who that is.
                        Err(Answered::BatchRejected { reason }) if ids.len() == 1 && reason.ends_with(" noTarget") => {}
                        other => other?,
                    }
                }
                Ok(())
            }
            MemberRemoval::Values => {
                for ids in ids.chunks(most) {
                    let operation = json!({ "op": "remove", "path": "members", "value": references(ids) });
                    self.patch_group(session, &group, vec![operation], None).await?;
                }
                Ok(())
            }
        }
    }

    /// Reads the group and writes it back without these members, if nobody changed it meanwhile.
    async fn replace_members(
        &self,
        session: &Session<'_>,
        id: &str,
        leaving: &BTreeSet<&String>,
    ) -> Result<(), Answered> {
        let Group { mut members, version } = self.read_group(session, id).await?;
        let before = members.len();
        members.retain(|id| !leaving.contains(id));
        if members.len() == before {
            return Ok(());
        }
        let reason = "the service has no ETags, which `group.removal: replace` needs";
        let version = version.ok_or_else(|| Answered::Fatal { reason: reason.into() })?;
        let operation = if members.is_empty() {
            json!({ "op": "remove", "path": "members" })
        } else {
            let staying: Vec<String> = members.into_iter().collect();
            json!({ "op": "replace", "path": "members", "value": references(&staying) })
        };
        self.patch_group(session, id, vec![operation], Some(version)).await
    }

    /// The ids of the members. A group that is still to be created has none.
    pub(super) async fn member_ids(&self, session: &Session<'_>) -> Result<BTreeSet<String>, Answered> {
        match self.existing_group(session).await? {
            Some(id) => Ok(self.read_group(session, &id).await?.members),
            None if self.config.group.create => Ok(BTreeSet::new()),
            None => Err(no_group()),
        }
    }

    async fn read_group(&self, session: &Session<'_>, id: &str) -> Result<Group, Answered> {
        let path = ["Groups", id];
        let call = Call::new(Method::GET, &path).query(&[("attributes", "members")]);
        let reply = self.send(session, call).await?;
        if reply.status == 404 {
            return Err(self.group_is_gone());
        }
        let group: Resource = self.resource(&reply)?;
        let in_body = group.meta.version.and_then(|version| HeaderValue::try_from(version).ok());
        let version = reply.headers.get(ETAG).cloned().or(in_body);
        Ok(Group { members: group.members.unwrap_or_default().into_iter().map(|m| m.value).collect(), version })
    }

    async fn patch_group(
        &self,
        session: &Session<'_>,
        id: &str,
        operations: Vec<Value>,
        if_match: Option<HeaderValue>,
    ) -> Result<(), Answered> {
        let path = ["Groups", id];
        let call = Call { if_match, ..Call::new(Method::PATCH, &path).body(wire::patch(operations)) };
        let reply = self.send(session, call).await?;
        match reply.status {
            200..=299 => Ok(()),
            404 => Err(self.group_is_gone()),
            // Somebody else changed the group between our reading and writing; nothing was applied.
            409 | 412 => Err(Answered::Unavailable { reason: "the group was changed meanwhile".into() }),
            _ => Err(refusal(&reply)),
        }
    }

    fn group_is_gone(&self) -> Answered {
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Answered::Fatal { reason: "the group is gone".into() }
    }
}

fn references(ids: &[String]) -> Vec<Value> {
    ids.iter().map(|id| json!({ "value": id })).collect()
}

fn no_group() -> Answered {
    Answered::Fatal { reason: "there is no group of this name".into() }
}
