use std::{collections::BTreeSet, sync::PoisonError};

use async_trait::async_trait;
use driftless_config::destination::ScimMode;
use driftless_model::{Identifier, Millis, Operation, Outcome, RowOutcome};
use reqwest::Method;

use super::{
    Scim,
    service::Call,
    users::Present,
    wire::{Listed, Resource},
};
use crate::{
    Answer, Answered, Batch, Capabilities, CheckStep, Connector, Failure, ListState, Member, Open, Page, http::Session,
    outcomes::Outcomes,
};

/// Users read per page.
const PAGE: u64 = 500;

#[async_trait]
impl Connector for Scim {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn send(&self, batch: &Batch<'_>) -> Answer {
        let session = Session::new(&self.http, batch.gate, batch.timeout);
        let mut outcomes = Outcomes::new(batch.rows.len());
        let mut touched = Vec::new();
        let rest = self.deliver(&session, batch, &mut outcomes, &mut touched).await.err();
        if !matches!(rest, None | Some(Answered::BatchRejected { .. })) {
            // Their user was changed before the trouble came, so nothing may be said of them that means "not applied": the same
            // user may be in the group on behalf of another record, whose values are acknowledged.
            for row in touched {
                if outcomes.is_open(row) {
                    outcomes.set(row, Outcome::Unknown);
                }
            }
        }
        Answer { is: outcomes.answer(rest), requests: session.requests() }
    }

    /// SCIM knows no instant for this: everybody is taken out.
    async fn clear(&self, _: Millis, batch: &Batch<'_>) -> Answer {
        let session = Session::new(&self.http, batch.gate, batch.timeout);
        let cleared = match self.config.mode {
            ScimMode::Group => self.take_all_out(&session).await,
            ScimMode::User => Err(Answered::Fatal { reason: "users are not cleared".into() }),
        };
        let is = cleared.map_or_else(|answered| answered, |()| Answered::Rows(Vec::new()));
        Answer { is, requests: session.requests() }
    }

    async fn create_list(&self, name: &str) -> Result<String, Failure> {
        if self.config.mode == ScimMode::User {
            return Err(Failure::Unsupported { what: "create a list of users" });
        }
        let session = Session::new(&self.http, &Open, self.timeout);
        let id = self.group_of(&session, name).await.map_err(failure)?;
        Ok(self.called(&id))
    }

    async fn pass_name_on(&self, old: &str, new: &str, mark: &str) -> Result<String, Failure> {
        let session = Session::new(&self.http, &Open, self.timeout);
        self.pass_group_name_on(&session, old, new, mark).await.map_err(failure)
    }

    async fn retire_list(&self, list: &str) -> Result<(), Failure> {
        if self.config.mode == ScimMode::User {
            return Err(Failure::Unsupported { what: "retire a list of users" });
        }
        let session = Session::new(&self.http, &Open, self.timeout);
        self.delete_group(&session, list).await.map_err(failure)
    }

    async fn inspect(&self) -> Result<ListState, Failure> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let empty = match self.config.mode {
            ScimMode::Group => self.member_ids(&session).await.map_err(failure)?.is_empty(),
            ScimMode::User => self.users(&session, 1, "0").await?.total_results == 0,
        };
        Ok(if empty { ListState::Empty } else { ListState::NotEmpty })
    }

    async fn prepare(&self) -> Result<(), Failure> {
        let session = Session::new(&self.http, &Open, self.timeout);
        if self.capabilities.creates_list {
            self.ensure_group(&session).await.map_err(failure)?;
        }
        Ok(())
    }

    async fn list(&self, cursor: Option<String>) -> Result<Page, Failure> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let start = match &cursor {
            None => 1,
            Some(cursor) => {
                cursor.parse().map_err(|_| Failure::Fatal { reason: "not a cursor of this list".into() })?
            }
        };
        let members = match self.config.mode {
            ScimMode::User => None,
            ScimMode::Group => Some(self.members_for_page(&session, cursor.is_none()).await?),
        };
        let listed = self.users(&session, start, &PAGE.to_string()).await?;
        let count = listed.resources.len() as u64;
        let page = listed.resources.into_iter().filter(|user| match &members {
            Some(members) => members.contains(&user.id),
            None => user.active != Some(false),
        });
        let members = page.map(|user| self.member(user)).collect();
        let next = start + count;
        Ok(Page { members, next: (count > 0 && next <= listed.total_results).then(|| next.to_string()) })
    }

    async fn check(&self) -> Vec<CheckStep> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let provider = self.provider(&session).await.map(|provider| match provider.bulk {
            Some(limits) => format!("bulk of {} operations", limits.operations),
            None => "without bulk".to_owned(),
        });
        let mut steps = vec![CheckStep { name: "read /ServiceProviderConfig", result: shown(provider) }];
        let (name, found) = match self.config.mode {
            ScimMode::Group => {
                ("read the group", self.member_ids(&session).await.map(|ids| format!("{} members", ids.len())))
            }
            ScimMode::User => {
                let users = self.users(&session, 1, "0").await;
                steps.push(CheckStep {
                    name: "read /Users",
                    result: users.map(|listed| format!("{} users", listed.total_results)).map_err(|f| f.to_string()),
                });
                return steps;
            }
        };
        steps.push(CheckStep { name, result: shown(found) });
        steps
    }
}

impl Scim {
    /// An error is about every row without outcome.
    async fn deliver(
        &self,
        session: &Session<'_>,
        batch: &Batch<'_>,
        outcomes: &mut Outcomes,
        touched: &mut Vec<usize>,
    ) -> Result<(), Answered> {
        match (batch.operation, self.config.mode) {
            (Operation::Remove, ScimMode::User) => self.end_users(session, batch.rows, outcomes, touched).await,
            (Operation::Remove, ScimMode::Group) => {
                let users = self.find_users(session, batch.rows, outcomes).await?;
                let ids: Vec<String> = users.iter().map(|(_, id)| id.clone()).collect();
                self.remove_members(session, &ids).await?;
                for (row, id) in users {
                    outcomes.set(row, RowOutcome { outcome: Outcome::Delivered, remote_id: Some(id) });
                }
                Ok(())
            }
            (operation, mode) => {
                let present = self.ensure_users(session, operation, batch.rows, outcomes, touched).await?;
                // Who is updated is a member already, unless the user had to be made anew.
                let joins = |user: &Present| mode == ScimMode::Group && (user.created || operation == Operation::Add);
                let (joining, there): (Vec<_>, Vec<_>) = present.into_iter().partition(joins);
                for (row, outcome) in there.into_iter().map(Present::delivered) {
                    outcomes.set(row, outcome);
                }
                self.join(session, joining, outcomes).await
            }
        }
    }

    /// Makes users members. A request that is refused as a whole is halved here and not by the stack: their values are changed
    /// already, so it would be wrong to say that nothing was applied. One who is refused alone is rejected.
    async fn join(
        &self,
        session: &Session<'_>,
        joining: Vec<Present>,
        outcomes: &mut Outcomes,
    ) -> Result<(), Answered> {
        let mut parts = vec![joining];
        while let Some(mut part) = parts.pop() {
            let ids: Vec<String> = part.iter().map(|user| user.id.clone()).collect();
            match (self.add_members(session, &ids).await, part.as_slice()) {
                (Err(Answered::BatchRejected { reason }), [user]) => outcomes.reject(user.row, reason),
                (Err(Answered::BatchRejected { .. }), _) => {
                    parts.push(part.split_off(part.len().div_ceil(2)));
                    parts.push(part);
                }
                (Err(other), _) => return Err(other),
                (Ok(()), _) => {
                    for (row, outcome) in part.into_iter().map(Present::delivered) {
                        outcomes.set(row, outcome);
                    }
                }
            }
        }
        Ok(())
    }

    /// A page of all users, from an index that counts from 1.
    async fn users(&self, session: &Session<'_>, start: u64, count: &str) -> Result<Listed, Failure> {
        let start = start.to_string();
        let query = [
            ("startIndex", start.as_str()),
            ("count", count),
            ("attributes", "userName,externalId,active"),
            ("sortBy", "id"),
        ];
        let reply = self.send(session, Call::new(Method::GET, &["Users"]).query(&query)).await.map_err(failure)?;
        self.resource(&reply).map_err(failure)
    }

    /// The members, read once for all pages.
    async fn members_for_page(&self, session: &Session<'_>, first: bool) -> Result<BTreeSet<String>, Failure> {
        let kept = self.members.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(members) = kept.filter(|_| !first) {
            return Ok(members);
        }
        let members = self.member_ids(session).await.map_err(failure)?;
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = Some(members.clone());
        Ok(members)
    }

    /// A user by the destination fields of its names.
    fn member(&self, user: Resource) -> Member {
        let field =
            |attribute: &str| self.config.attributes.get(attribute).cloned().unwrap_or_else(|| attribute.to_owned());
        let names = [("userName", user.user_name), ("externalId", user.external_id)];
        let identifiers = names.into_iter().filter_map(|(name, value)| Some(Identifier::new(field(name), value?)));
        Member { identifiers: identifiers.collect(), remote_id: Some(user.id) }
    }
}

fn shown(result: Result<String, Answered>) -> Result<String, String> {
    result.map_err(|answered| failure(answered).to_string())
}

/// What stopped a question.
fn failure(answered: Answered) -> Failure {
    match answered {
        Answered::Throttled { after, reason } => Failure::Throttled { after, reason },
        Answered::Fatal { reason } | Answered::BatchRejected { reason } => Failure::Fatal { reason },
        Answered::Unavailable { reason } | Answered::NoAnswer { reason } => Failure::Unavailable { reason },
        _ => Failure::Unavailable { reason: "no answer".into() },
    }
}
