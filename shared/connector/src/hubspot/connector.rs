use std::{collections::BTreeMap, sync::PoisonError};

use async_trait::async_trait;
use driftless_config::destination::ListBy;
use driftless_model::{Identifier, Millis, Operation, Outcome, RowOutcome};
use reqwest::Method;

use super::{
    Hubspot,
    contacts::Contact,
    lists::no_list,
    service::{failure, harmless, refusal},
};
use crate::{
    Answer, Answered, Batch, Capabilities, CheckStep, Connector, Failure, Gate, ListState, Member, Open, Page,
    http::Session, outcomes::Outcomes,
};

/// Members read per page: as many as contacts are read at once.
const PAGE: u32 = 100;

#[async_trait]
impl Connector for Hubspot {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn send(&self, batch: &Batch<'_>) -> Answer {
        let session = Session::new(&self.http, batch.gate, batch.timeout);
        let mut outcomes = Outcomes::new(batch.rows.len());
        let rest = match batch.operation {
            Operation::Remove => self.end(&session, batch, &mut outcomes).await.err(),
            _ => self.deliver(&session, batch, &mut outcomes).await.unwrap_or_else(Some),
        };
        Answer { is: outcomes.answer(rest), requests: session.requests() }
    }

    /// The vendor knows no instant for this: everybody is taken out.
    async fn clear(&self, _: Millis, batch: &Batch<'_>) -> Answer {
        let session = Session::new(&self.http, batch.gate, batch.timeout);
        let cleared = match self.existing_list(&session).await {
            Ok(Some(list)) => self.take_all_out(&session, &list).await,
            Ok(None) if self.config.list.create => Ok(()),
            Ok(None) => Err(no_list()),
            Err(answered) => Err(answered),
        };
        let is = cleared.map_or_else(|answered| answered, |()| Answered::Rows(Vec::new()));
        Answer { is, requests: session.requests() }
    }

    async fn create_list(&self, name: &str) -> Result<String, Failure> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let id = self.ensure_list(&session, name).await.map_err(failure)?;
        Ok(match self.config.list.by {
            ListBy::Name => name.to_owned(),
            ListBy::Id => id,
        })
    }

    async fn retire_list(&self, list: &str) -> Result<(), Failure> {
        let session = Session::new(&self.http, &Open, self.timeout);
        match self.list_named(&session, list, self.config.list.by).await.map_err(failure)? {
            Some(id) => self.delete_list(&session, &id).await.map_err(failure),
            None => Ok(()),
        }
    }

    async fn inspect(&self) -> Result<ListState, Failure> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let Some(list) = self.existing_list(&session).await.map_err(failure)? else {
            // Nobody is in a list that is still to be created.
            return if self.config.list.create { Ok(ListState::Empty) } else { Err(failure(no_list())) };
        };
        let page = self.members(&session, &list, 1, None).await.map_err(failure)?;
        Ok(if page.results.is_empty() { ListState::Empty } else { ListState::NotEmpty })
    }

    async fn prepare(&self) -> Result<(), Failure> {
        if self.config.list.create {
            let session = Session::new(&self.http, &Open, self.timeout);
            let id = self.ensure_list(&session, &self.list).await.map_err(failure)?;
            *self.list_id.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
        }
        Ok(())
    }

    async fn list(&self, cursor: Option<String>, gate: &dyn Gate) -> Result<Page, Failure> {
        let session = Session::new(&self.http, gate, self.timeout);
        let list = self.list(&session).await.map_err(failure)?;
        let page = self.members(&session, &list, PAGE, cursor.as_deref()).await.map_err(failure)?;
        let ids: Vec<String> = page.results.into_iter().map(|member| member.record_id.text()).collect();
        let mut values = BTreeMap::new();
        if !ids.is_empty() {
            let asked: Vec<&str> = ids.iter().map(String::as_str).collect();
            for object in self.read(&session, &asked, None).await.map_err(failure)? {
                let value = self.value_of(&object).map(str::to_owned);
                values.insert(object.id.text(), value);
            }
        }
        let field = self.config.match_field();
        let member = |id: String| {
            let value = values.get(&id).cloned().flatten();
            Member { identifiers: value.map(|v| Identifier::new(field, v)).into_iter().collect(), remote_id: Some(id) }
        };
        let members = ids.into_iter().map(member).collect();
        Ok(Page { members, next: page.paging.and_then(|paging| paging.next?.after) })
    }

    async fn check(&self) -> Vec<CheckStep> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let shown = |result: Result<String, Answered>| result.map_err(|answered| failure(answered).to_string());
        let contacts = self.read_one(&session).await.map(|()| "allowed".to_owned());
        let members = self.count(&session).await;
        vec![
            CheckStep { name: "read contacts", result: shown(contacts) },
            CheckStep { name: "read the list", result: shown(members) },
        ]
    }
}

impl Hubspot {
    /// Upserts the rows' contacts and makes them members. An answer is about every row without outcome.
    async fn deliver(
        &self,
        session: &Session<'_>,
        batch: &Batch<'_>,
        outcomes: &mut Outcomes,
    ) -> Result<Option<Answered>, Answered> {
        // Before anything is written: a list that is gone must not cost a write of contacts with every try.
        let list = self.list(session).await?;
        let (contacts, left) = self.upsert(session, batch.rows, outcomes).await?;
        // Who is updated is a member already, unless the contact had to be made anew or is another one now.
        let joins = |contact: &&Contact| {
            let known = batch.rows.get(contact.row).and_then(|row| row.remote_id.as_deref());
            batch.operation == Operation::Add || contact.new || known != Some(contact.id.as_str())
        };
        let ids: Vec<String> = contacts.iter().filter(joins).map(|contact| contact.id.clone()).collect();
        let missing = self.change_members(session, &list, &ids, &[]).await?;
        for Contact { row, id, .. } in contacts {
            let outcome = if missing.contains(&id) {
                RowOutcome::from(Outcome::Retry)
            } else {
                RowOutcome { outcome: Outcome::Delivered, remote_id: Some(id) }
            };
            outcomes.set(row, outcome);
        }
        Ok(left)
    }

    /// Ends the rows' memberships.
    async fn end(&self, session: &Session<'_>, batch: &Batch<'_>, outcomes: &mut Outcomes) -> Result<(), Answered> {
        if let Some(list) = self.existing_list(session).await? {
            let ids = self.find(session, batch.rows).await?;
            self.change_members(session, &list, &[], &ids).await?;
        } else if !self.config.list.create {
            return Err(no_list());
        }
        for (row, out) in batch.rows.iter().enumerate() {
            outcomes.set(row, RowOutcome { outcome: Outcome::Delivered, remote_id: out.remote_id.clone() });
        }
        Ok(())
    }

    async fn read_one(&self, session: &Session<'_>) -> Result<(), Answered> {
        let path = [self.config.paths.objects.as_str()];
        let reply = self.call(session, Method::GET, &path, &[("limit", "1")], None, true).await?;
        if reply.is_success() { Ok(()) } else { Err(harmless(refusal(&reply))) }
    }

    async fn count(&self, session: &Session<'_>) -> Result<String, Answered> {
        let list = self.list(session).await?;
        let page = self.members(session, &list, 1, None).await?;
        Ok(page.total.map_or_else(|| "found".to_owned(), |total| format!("{total} members")))
    }
}
