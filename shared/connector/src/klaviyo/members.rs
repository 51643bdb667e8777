//! Who is in the list, and how they leave it.

use std::collections::BTreeMap;

use driftless_model::{Identifier, Outcome, RowOutcome};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Klaviyo,
    answer::{harmless, refused},
    import::next_of,
};
use crate::{
    Answered, Failure, Member, OutRow, Page,
    http::{Session, Trouble},
    outcomes::Outcomes,
};

/// Profiles looked up by one request: their names stand in its URL.
const LOOKED_UP: usize = 50;
/// Members read per page.
const PAGE: &str = "100";

impl Klaviyo {
    /// The values by which a row's profiles are found: one as a rule, several where a record has changed it.
    pub(super) fn names<'a>(&self, row: &'a OutRow) -> impl Iterator<Item = &'a str> + use<'a> {
        let field = self.config.field_of(self.config.match_by.as_str()).to_owned();
        row.identifiers.iter().filter(move |identifier| identifier.field == field).map(|i| i.value.as_str())
    }

    /// Takes rows out of the list. An error is about every row without outcome.
    pub(super) async fn remove(
        &self,
        session: &Session<'_>,
        rows: &[OutRow],
        outcomes: &mut Outcomes,
    ) -> Result<(), Answered> {
        for (index, row) in rows.iter().enumerate() {
            if self.names(row).next().is_none() {
                outcomes.reject(index, format!("no identifier is its {}", self.config.match_by.as_str()));
            }
        }
        let open = outcomes.open();
        let names: Vec<&str> = open.iter().filter_map(|&i| rows.get(i)).flat_map(|row| self.names(row)).collect();
        let mut ids: BTreeMap<String, String> = BTreeMap::new();
        for names in names.chunks(LOOKED_UP) {
            self.look_up(session, names, &mut ids).await?;
        }
        if !ids.is_empty() {
            let data: Vec<Value> = ids.values().map(|id| json!({ "type": "profile", "id": id })).collect();
            let url = self.url(&["lists", &self.list, "relationships", "profiles"], &[]);
            let request = self.request(Method::DELETE, url, Some(&json!({ "data": data })));
            let reply = session.send(request).await?;
            match reply.status {
                204 => {}
                // Whatever answers so is not Klaviyo.
                200..=299 => return Err(Answered::NoAnswer { reason: "the answer to a removal is no 204".into() }),
                _ => return Err(refused(&reply)),
            }
        }
        for index in open {
            outcomes.set(index, RowOutcome::from(Outcome::Delivered));
        }
        Ok(())
    }

    /// Adds the ids of the profiles that have these names. Nothing was applied if it fails.
    async fn look_up(
        &self,
        session: &Session<'_>,
        names: &[&str],
        ids: &mut BTreeMap<String, String>,
    ) -> Result<(), Answered> {
        let id = self.config.match_by.as_str();
        let list = serde_json::to_string(names).map_err(|e| Answered::Fatal { reason: e.to_string() })?;
        let filter = format!("any({id},{list})");
        let query = [("filter", filter.as_str()), ("fields[profile]", id), ("page[size]", PAGE)];
        let request = self.request(Method::GET, self.url(&["profiles"], &query), None);
        let reply = session.send(request).await.map_err(Trouble::harmless)?;
        if !reply.is_success() {
            return Err(harmless(refused(&reply)));
        }
        let body = reply.json().map_err(|unread| Answered::Unavailable { reason: unread.to_string() })?;
        let Some(found) = body["data"].as_array() else {
            return Err(Answered::Unavailable { reason: "the look-up has no data".into() });
        };
        for profile in found {
            if let (Some(name), Some(id)) = (profile["attributes"][id].as_str(), profile["id"].as_str()) {
                ids.insert(name.to_lowercase(), id.to_owned());
            }
        }
        Ok(())
    }

    /// A page of the members.
    pub(super) async fn page(&self, session: &Session<'_>, cursor: Option<&str>, size: &str) -> Result<Page, Failure> {
        let mut query = vec![("page[size]", size), ("fields[profile]", "email,phone_number,external_id")];
        query.extend(cursor.map(|cursor| ("page[cursor]", cursor)));
        let url = self.url(&["lists", &self.list, "profiles"], &query);
        let body = self.read(session, self.request(Method::GET, url, None)).await?;
        let members =
            body["data"].as_array().ok_or_else(|| Failure::Unavailable { reason: "a page has no data".into() })?;
        Ok(Page { members: members.iter().map(|profile| self.member(profile)).collect(), next: next_of(&body) })
    }

    fn member(&self, profile: &Value) -> Member {
        let attributes = ["email", "phone_number", "external_id"].into_iter();
        let identifier = |name: &str| {
            let value = profile["attributes"][name].as_str()?;
            Some(Identifier::new(self.config.field_of(name), value))
        };
        Member {
            identifiers: attributes.filter_map(identifier).collect(),
            remote_id: profile["id"].as_str().map(str::to_owned),
        }
    }
}
