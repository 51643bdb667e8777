//! The users behind the rows: created, found, changed, deactivated, deleted.

use std::collections::BTreeSet;

use driftless_config::destination::{OnRemove, ScimMode};
use driftless_model::{Operation, Outcome, RowOutcome};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Scim,
    attributes::Attributes,
    service::{BulkLimits, Call, refusal},
    wire::{self, BulkAnswer, Resource},
};
use crate::{Answered, OutRow, http::Session, outcomes::Outcomes, reason};

/// One change of one user.
struct Change {
    /// The row's place in the batch.
    row: usize,
    method: Method,
    /// The user's id; none for one to be created.
    id: Option<String>,
    data: Option<Value>,
}

/// What became of a change.
enum Changed {
    /// It was applied; the id is known.
    Done(String),
    /// A user with that name exists.
    Exists,
    /// There is no such user.
    Absent,
    /// The row has an outcome of its own.
    Other(Outcome),
}

impl Changed {
    const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

/// A row's user, there and up to date.
pub(super) struct Present {
    pub(super) row: usize,
    pub(super) id: String,
    /// It was not there before, so it is in no group.
    pub(super) created: bool,
}

impl Scim {
    /// Sees to it that every row's user exists and has the row's values. Rows for which that cannot be get an outcome. `touched`
    /// gets the rows whose user was there and was changed, also where trouble comes afterwards.
    pub(super) async fn ensure_users(
        &self,
        session: &Session<'_>,
        operation: Operation,
        rows: &[OutRow],
        outcomes: &mut Outcomes,
        touched: &mut Vec<usize>,
    ) -> Result<Vec<Present>, Answered> {
        let mut present = Vec::new();
        let mut known: Vec<(usize, String)> = Vec::new();
        let mut missing = Vec::new();
        for (row, out) in rows.iter().enumerate() {
            match &out.remote_id {
                Some(id) => known.push((row, id.clone())),
                // A new record's user is most likely new; that of one in the list is most likely there.
                None if operation == Operation::Add && self.config.users.create => missing.push(row),
                None => match self.look_up(session, out, row, outcomes).await? {
                    Some(id) => known.push((row, id)),
                    None if outcomes.is_open(row) => missing.push(row),
                    None => {}
                },
            }
        }
        for row in self.give_values(session, rows, known, outcomes, &mut present, touched).await? {
            missing.push(row);
        }
        if !self.config.users.create {
            missing.iter().for_each(|row| outcomes.reject(*row, "no such user"));
            return Ok(present);
        }
        let mut adopted = Vec::new();
        for (row, changed) in self.change(session, self.creations(rows, &missing), touched).await? {
            match changed {
                Changed::Done(id) => present.push(Present { row, id, created: true }),
                Changed::Exists => match self.look_up(session, &rows[row], row, outcomes).await? {
                    Some(id) => adopted.push((row, id)),
                    // Something else must be unique and is not.
                    None if outcomes.is_open(row) => outcomes.reject(row, "HTTP 409 uniqueness"),
                    None => {}
                },
                Changed::Absent => outcomes.reject(row, "HTTP 404"),
                Changed::Other(outcome) => outcomes.set(row, outcome),
            }
        }
        // Somebody deleted them between two requests: next time.
        for row in self.give_values(session, rows, adopted, outcomes, &mut present, touched).await? {
            outcomes.set(row, Outcome::Retry);
        }
        Ok(present)
    }

    /// Ends the rows' users, in mode `user`.
    pub(super) async fn end_users(
        &self,
        session: &Session<'_>,
        rows: &[OutRow],
        outcomes: &mut Outcomes,
        touched: &mut Vec<usize>,
    ) -> Result<(), Answered> {
        let mut changes = Vec::new();
        for (row, id) in self.find_users(session, rows, outcomes).await? {
            changes.push(match self.config.on_remove.unwrap_or_default() {
                OnRemove::Delete => Change { row, method: Method::DELETE, id: Some(id), data: None },
                OnRemove::Deactivate => {
                    let data = wire::patch(vec![json!({ "op": "replace", "path": "active", "value": false })]);
                    Change { row, method: Method::PATCH, id: Some(id), data: Some(data) }
                }
            });
        }
        for (row, changed) in self.change(session, changes, touched).await? {
            outcomes.set(
                row,
                match changed {
                    Changed::Done(_) | Changed::Absent => Outcome::Delivered,
                    Changed::Exists => Outcome::Rejected { reason: "HTTP 409".into() },
                    Changed::Other(outcome) => outcome,
                },
            );
        }
        Ok(())
    }

    /// The ids of the rows' users. A row whose user is not there has nothing to be removed.
    pub(super) async fn find_users(
        &self,
        session: &Session<'_>,
        rows: &[OutRow],
        outcomes: &mut Outcomes,
    ) -> Result<Vec<(usize, String)>, Answered> {
        let mut found = Vec::new();
        for (row, out) in rows.iter().enumerate() {
            let id = match &out.remote_id {
                Some(id) => Some(id.clone()),
                None => self.look_up(session, out, row, outcomes).await?,
            };
            match id {
                Some(id) => found.push((row, id)),
                None if outcomes.is_open(row) => outcomes.set(row, Outcome::Delivered),
                None => {}
            }
        }
        Ok(found)
    }

    /// The id of the row's user, if it is there. A row that has nothing to look for gets an outcome.
    async fn look_up(
        &self,
        session: &Session<'_>,
        out: &OutRow,
        row: usize,
        outcomes: &mut Outcomes,
    ) -> Result<Option<String>, Answered> {
        let field = self.config.match_field();
        let Some(identifier) = out.identifiers.iter().find(|i| i.field == field) else {
            outcomes.reject(row, "the record has no identifier to find its user by");
            return Ok(None);
        };
        let filter = wire::equals(self.config.users.match_by.attribute(), &identifier.value);
        let found = self.find(session, "Users", &filter, ("attributes", "id")).await?;
        Ok(found.into_iter().next().map(|user: Resource| user.id).filter(|id| !id.is_empty()))
    }

    fn creations(&self, rows: &[OutRow], missing: &[usize]) -> Vec<Change> {
        let active = self.config.mode == ScimMode::User;
        let creation = |&row: &usize| Change {
            row,
            method: Method::POST,
            id: None,
            data: Some(Attributes::of(&rows[row], &self.config.attributes).user(active)),
        };
        missing.iter().map(creation).collect()
    }

    /// Gives users the values of their rows. Returns the rows whose user is not there.
    async fn give_values(
        &self,
        session: &Session<'_>,
        rows: &[OutRow],
        users: Vec<(usize, String)>,
        outcomes: &mut Outcomes,
        present: &mut Vec<Present>,
        touched: &mut Vec<usize>,
    ) -> Result<Vec<usize>, Answered> {
        let mut changes = Vec::new();
        for (row, id) in users {
            let attributes = Attributes::of(&rows[row], &self.config.attributes);
            let mut operations = attributes.operations(self.config.users.match_by.attribute());
            if self.config.mode == ScimMode::User {
                operations.push(json!({ "op": "replace", "path": "active", "value": true }));
            }
            if operations.is_empty() {
                present.push(Present { row, id, created: false });
            } else {
                changes.push(Change { row, method: Method::PATCH, id: Some(id), data: Some(wire::patch(operations)) });
            }
        }
        let mut absent = Vec::new();
        for (row, changed) in self.change(session, changes, touched).await? {
            match changed {
                Changed::Done(id) => present.push(Present { row, id, created: false }),
                Changed::Absent => absent.push(row),
                Changed::Exists => outcomes.reject(row, "HTTP 409"),
                Changed::Other(outcome) => outcomes.set(row, outcome),
            }
        }
        Ok(absent)
    }

    /// Applies changes: in bulk where the service offers it, else one by one.
    async fn change(
        &self,
        session: &Session<'_>,
        changes: Vec<Change>,
        touched: &mut Vec<usize>,
    ) -> Result<Vec<(usize, Changed)>, Answered> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let limits = self.provider(session).await?.bulk;
        let mut results = Vec::with_capacity(changes.len());
        match limits {
            Some(limits) if changes.len() > 1 => {
                for chunk in chunks(changes, limits) {
                    let known: BTreeSet<usize> =
                        chunk.iter().filter(|(change, _)| change.id.is_some()).map(|(change, _)| change.row).collect();
                    let changed = self.change_in_bulk(session, chunk).await?;
                    let done = changed.iter().filter(|(row, changed)| changed.is_done() && known.contains(row));
                    touched.extend(done.map(|(row, _)| *row));
                    results.extend(changed);
                }
            }
            _ => {
                for change in changes {
                    let known = change.id.is_some();
                    let (row, changed) = self.change_one(session, change).await?;
                    if known && changed.is_done() {
                        touched.push(row);
                    }
                    results.push((row, changed));
                }
            }
        }
        Ok(results)
    }

    async fn change_one(&self, session: &Session<'_>, change: Change) -> Result<(usize, Changed), Answered> {
        let path: Vec<&str> = ["Users"].into_iter().chain(change.id.as_deref()).collect();
        let reply = self.send(session, Call { body: change.data, ..Call::new(change.method, &path) }).await?;
        let status = reply.status;
        let body = reply.json().ok();
        let id = || change.id.clone().or_else(|| Some(body.as_ref()?.get("id")?.as_str()?.to_owned()));
        let changed = match status {
            200..=299 => id().map_or(Changed::Other(Outcome::Unknown), Changed::Done),
            409 => Changed::Exists,
            404 | 410 if change.id.is_some() => Changed::Absent,
            _ => match refusal(&reply) {
                Answered::BatchRejected { reason } => Changed::Other(Outcome::Rejected { reason }),
                other => return Err(other),
            },
        };
        Ok((change.row, changed))
    }

    async fn change_in_bulk(
        &self,
        session: &Session<'_>,
        chunk: Vec<(Change, Value)>,
    ) -> Result<Vec<(usize, Changed)>, Answered> {
        let (changes, operations): (Vec<Change>, Vec<Value>) = chunk.into_iter().unzip();
        let reply = self.send(session, Call::new(Method::POST, &["Bulk"]).body(wire::bulk(&operations))).await?;
        if !reply.is_success() {
            return Err(refusal(&reply));
        }
        let no_answer = |reason: String| Answered::NoAnswer { reason };
        let body = reply.json().map_err(|unread| no_answer(unread.to_string()))?;
        let answer: BulkAnswer =
            serde_json::from_value(body).map_err(|_| no_answer("the answer is not of SCIM".into()))?;
        let complete = answer.operations.len() == changes.len();
        let results = changes.into_iter().enumerate().map(|(place, change)| {
            let bulk_id = bulk_id(change.row);
            let by_id = answer.operations.iter().find(|o| o.bulk_id.as_deref() == Some(bulk_id.as_str()));
            // A service may leave the id out of what is not a creation, but keeps the order (RFC 7644 section 3.7).
            let by_place = || answer.operations.get(place).filter(|o| complete && o.bulk_id.is_none());
            let Some(result) = by_id.or_else(by_place) else { return (change.row, Changed::Other(Outcome::Unknown)) };
            let why = || {
                let code = result.scim_type().and_then(|t| reason::code(t, &[]));
                reason::http(result.status(), code.as_deref())
            };
            let changed = match result.status() {
                200..=299 => match change.id.or_else(|| result.id().map(str::to_owned)) {
                    Some(id) => Changed::Done(id),
                    None => Changed::Other(Outcome::Unknown),
                },
                409 => Changed::Exists,
                404 | 410 if change.method != Method::POST => Changed::Absent,
                429 | 503 => Changed::Other(Outcome::Retry),
                400..=499 => Changed::Other(Outcome::Rejected { reason: why() }),
                _ => Changed::Other(Outcome::Unknown),
            };
            (change.row, changed)
        });
        Ok(results.collect())
    }
}

fn bulk_id(row: usize) -> String {
    format!("r{row}")
}

/// Changes with their operations, in requests that keep to the limits.
fn chunks(changes: Vec<Change>, limits: BulkLimits) -> Vec<Vec<(Change, Value)>> {
    const ENVELOPE: usize = 128;
    let mut chunks: Vec<Vec<(Change, Value)>> = vec![Vec::new()];
    let mut bytes = ENVELOPE;
    for change in changes {
        let path = change.id.as_ref().map_or_else(|| "/Users".to_owned(), |id| format!("/Users/{id}"));
        let mut operation = json!({ "method": change.method.as_str(), "path": path, "bulkId": bulk_id(change.row) });
        if let (Some(data), Some(map)) = (&change.data, operation.as_object_mut()) {
            map.insert("data".into(), data.clone());
        }
        let size = operation.to_string().len() + 1;
        let full = chunks
            .last()
            .is_some_and(|c| c.len() >= limits.operations || (!c.is_empty() && bytes + size > limits.bytes));
        if full {
            chunks.push(Vec::new());
            bytes = ENVELOPE;
        }
        bytes += size;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push((change, operation));
        }
    }
    chunks
}

impl Present {
    /// The row is done.
    pub(super) fn delivered(self) -> (usize, RowOutcome) {
        (self.row, RowOutcome { outcome: Outcome::Delivered, remote_id: Some(self.id) })
    }
}
