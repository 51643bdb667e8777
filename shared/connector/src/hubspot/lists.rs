//! The list and its members.

use std::{collections::BTreeSet, sync::PoisonError};

use driftless_config::destination::ListBy;
use reqwest::Method;
use serde_json::json;

use super::{
    Hubspot,
    service::{body, harmless, refusal},
    wire::{Id, List, ListAnswer, Members, MembershipChange, MembershipsUpdated},
};
use crate::{Answered, http::Session};

/// Members taken out at once where a list is too large to be truncated; the most of one page.
const PER_PAGE: u32 = 250;

impl Hubspot {
    /// The list's id, if the list is there. A list whose members are the vendor's to choose is refused.
    pub(super) async fn existing_list(&self, session: &Session<'_>) -> Result<Option<String>, Answered> {
        let known = self.list_id.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.is_some() {
            return Ok(known);
        }
        let found = self.list_named(session, &self.list, self.config.list.by).await?;
        self.list_id.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
        Ok(found)
    }

    /// A list by its name or id.
    pub(super) async fn list_named(
        &self,
        session: &Session<'_>,
        name: &str,
        by: ListBy,
    ) -> Result<Option<String>, Answered> {
        let lists = &self.config.paths.lists;
        let path = match by {
            ListBy::Id => vec![lists.as_str(), name],
            ListBy::Name => {
                vec![lists.as_str(), "object-type-id", &self.config.object_type_id, "name", name]
            }
        };
        let reply = self.call(session, Method::GET, &path, &[], None, true).await?;
        match reply.status {
            404 => return Ok(None),
            200..=299 => {}
            _ => return Err(harmless(refusal(&reply))),
        }
        let List { list_id, processing_type } = body::<ListAnswer>(&reply).map_err(harmless)?.list;
        match processing_type.as_deref() {
            None | Some("MANUAL" | "SNAPSHOT") => Ok(Some(list_id.text())),
            Some(_) => Err(Answered::Fatal {
                reason: "the list is an active one, whose members HubSpot chooses; use a static list".into(),
            }),
        }
    }

    /// The list's id; that there is none is for a person.
    pub(super) async fn list(&self, session: &Session<'_>) -> Result<String, Answered> {
        self.existing_list(session).await?.ok_or_else(no_list)
    }

    /// Creates a static list of a name, or finds it: names are unique, so two who do this at the same time make one.
    pub(super) async fn ensure_list(&self, session: &Session<'_>, name: &str) -> Result<String, Answered> {
        if let Some(id) = self.list_named(session, name, ListBy::Name).await? {
            return Ok(id);
        }
        let new = json!({ "name": name, "objectTypeId": self.config.object_type_id, "processingType": "MANUAL" });
        let path = [self.config.paths.lists.as_str()];
        let reply = self.call(session, Method::POST, &path, &[], Some(new.to_string().into_bytes()), false).await?;
        if reply.is_success() {
            return Ok(body::<ListAnswer>(&reply)?.list.list_id.text());
        }
        // Perhaps the name is taken since a moment ago, by us.
        match refusal(&reply) {
            Answered::BatchRejected { reason } => match self.list_named(session, name, ListBy::Name).await? {
                Some(id) => Ok(id),
                None => Err(Answered::Fatal { reason: format!("create list: {reason}") }),
            },
            other => Err(other),
        }
    }

    /// Changes memberships. Who is a member already, and who is none already, stays so. Returns the ids that no contact has.
    pub(super) async fn change_members(
        &self,
        session: &Session<'_>,
        list: &str,
        add: &[String],
        remove: &[String],
    ) -> Result<BTreeSet<String>, Answered> {
        if add.is_empty() && remove.is_empty() {
            return Ok(BTreeSet::new());
        }
        let change = MembershipChange { record_ids_to_add: add, record_ids_to_remove: remove };
        let json = serde_json::to_vec(&change).unwrap_or_default();
        let path = [self.config.paths.lists.as_str(), list, "memberships", "add-and-remove"];
        let reply = self.call(session, Method::PUT, &path, &[], Some(json), false).await?;
        match reply.status {
            200..=299 => {
                let updated: MembershipsUpdated = body(&reply)?;
                if updated.records_ids_added.is_none() && updated.record_ids_removed.is_none() {
                    return Err(Answered::NoAnswer { reason: "the answer is not of HubSpot".into() });
                }
                Ok(updated.record_ids_missing.into_iter().map(Id::text).collect())
            }
            404 => Err(self.list_is_gone()),
            _ => Err(refusal(&reply)),
        }
    }

    /// A page of members' ids.
    pub(super) async fn members(
        &self,
        session: &Session<'_>,
        list: &str,
        limit: u32,
        after: Option<&str>,
    ) -> Result<Members, Answered> {
        let limit = limit.to_string();
        let query: Vec<(&str, &str)> =
            [("limit", limit.as_str())].into_iter().chain(after.map(|after| ("after", after))).collect();
        let path = [self.config.paths.lists.as_str(), list, "memberships"];
        let reply = self.call(session, Method::GET, &path, &query, None, true).await?;
        match reply.status {
            200..=299 => body(&reply).map_err(harmless),
            404 => Err(self.list_is_gone()),
            _ => Err(harmless(refusal(&reply))),
        }
    }

    /// Takes every member out: at once where the list is small enough, else page by page. Repeatable.
    pub(super) async fn take_all_out(&self, session: &Session<'_>, list: &str) -> Result<(), Answered> {
        let path = [self.config.paths.lists.as_str(), list, "memberships"];
        let reply = self.call(session, Method::DELETE, &path, &[], None, false).await?;
        match reply.status {
            200..=299 => return Ok(()),
            404 => return Err(self.list_is_gone()),
            400 => {}
            _ => return Err(refusal(&reply)),
        }
        let mut last = Vec::new();
        loop {
            let page = self.members(session, list, PER_PAGE, None).await?;
            let ids: Vec<String> = page.results.into_iter().map(|member| member.record_id.text()).collect();
            if ids.is_empty() {
                return Ok(());
            }
            if ids == last {
                return Err(Answered::NoAnswer { reason: "members that were taken out are still there".into() });
            }
            self.change_members(session, list, &[], &ids).await?;
            last = ids;
        }
    }

    /// Deletes a list; its contacts stay. One that is gone already is deleted.
    pub(super) async fn delete_list(&self, session: &Session<'_>, list: &str) -> Result<(), Answered> {
        let path = [self.config.paths.lists.as_str(), list];
        let reply = self.call(session, Method::DELETE, &path, &[], None, false).await?;
        match reply.status {
            200..=299 | 404 => Ok(()),
            _ => Err(refusal(&reply)),
        }
    }

    pub(super) fn list_is_gone(&self) -> Answered {
        *self.list_id.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Answered::Fatal { reason: "the list is gone".into() }
    }
}

pub(super) fn no_list() -> Answered {
    Answered::Fatal { reason: "there is no list of this name".into() }
}
