use async_trait::async_trait;
use driftless_model::{Millis, Operation, Outcome, RemoteJob as Job};
use reqwest::Method;
use serde_json::{Value, json};

use super::{DataManager, answer::refused, members::Members, status};
use crate::{
    Answer, Answered, Batch, Capabilities, CheckStep, Connector, Failure, Gate, ListState, Open, OutRow, Page,
    http::{Outgoing, Reply, Session},
    outcomes::Outcomes,
};

const JSON: &str = "application/json";

#[async_trait]
impl Connector for DataManager {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn fits(&self, operation: Operation, rows: &[OutRow]) -> bool {
        let members: usize = match operation {
            Operation::Remove => rows.iter().map(|row| row.identifiers.len()).sum(),
            _ => rows.len(),
        };
        members <= usize::try_from(self.config.records.get()).unwrap_or(usize::MAX)
    }

    async fn send(&self, batch: &Batch<'_>) -> Answer {
        let mut outcomes = Outcomes::new(batch.rows.len());
        let Members { members, rows } = self.members(batch.operation, batch.rows, &mut outcomes);
        if members.is_empty() {
            return Answer { is: outcomes.answer(None), requests: 0 };
        }
        let method = if batch.operation == Operation::Remove { "remove" } else { "ingest" };
        let body = self.body(batch.operation, members);
        let session = Session::new(&self.http, batch.gate, batch.timeout);
        let rest = match session.send(self.post(&format!("v1/audienceMembers:{method}"), &body)).await {
            Ok(reply) if reply.is_success() => accepted(&reply),
            Ok(reply) => refused(&reply, &rows, batch.rows.len()),
            Err(trouble) => trouble.into(),
        };
        // What was refused here stays refused, whatever the answer says of the request.
        let rest = match rest {
            Answered::Rows(of_rows) => {
                for row in outcomes.open() {
                    if let Some(outcome) = of_rows.get(row) {
                        outcomes.set(row, outcome.clone());
                    }
                }
                None
            }
            rest => Some(rest),
        };
        Answer { is: outcomes.answer(rest), requests: session.requests() }
    }

    async fn poll(&self, job: &Job, batch: &Batch<'_>) -> Answer {
        let session = Session::new(&self.http, batch.gate, batch.timeout);
        let mut url = self.http.url("v1/requestStatus:retrieve");
        url.query_pairs_mut().append_pair("requestId", job.as_str());
        let count = batch.rows.len();
        let is = match session.send(Outgoing::new(Method::GET, url)).await {
            Ok(reply) if reply.is_success() => match reply.json() {
                Ok(body) => status::read(&body, count, self.config.on_partial_success),
                Err(unread) => Answered::NoAnswer { reason: unread.to_string() },
            },
            // Nobody knows the request any more.
            Ok(reply) if matches!(reply.status, 400 | 404) && count > 0 => {
                Answered::Rows(vec![Outcome::Unknown.into(); count])
            }
            Ok(reply) => refused(&reply, &[], count),
            Err(trouble) => trouble.harmless().into(),
        };
        Answer { is, requests: session.requests() }
    }

    async fn clear(&self, before: Millis, batch: &Batch<'_>) -> Answer {
        let session = Session::new(&self.http, batch.gate, batch.timeout);
        let request = self.post("v1/audienceMembers:removeAll", &self.clearing(before));
        let is = match session.send(request).await {
            Ok(reply) if reply.is_success() => accepted(&reply),
            Ok(reply) => refused(&reply, &[], 0),
            Err(trouble) => trouble.into(),
        };
        Answer { is, requests: session.requests() }
    }

    async fn inspect(&self) -> Result<ListState, Failure> {
        Ok(ListState::Unreadable)
    }

    async fn list(&self, _: Option<String>, _: &dyn Gate) -> Result<Page, Failure> {
        Err(Failure::Unsupported { what: "list its members: Google shows nobody" })
    }

    async fn create_list(&self, name: &str) -> Result<String, Failure> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let mut url = self.http.url(&self.lists());
        // The filter is a string literal of AIP-160.
        let literal = name.replace('\\', "\\\\").replace('"', "\\\"");
        url.query_pairs_mut().append_pair("filter", &format!("display_name = \"{literal}\""));
        let found = self.read(&session, Outgoing::new(Method::GET, url)).await?;
        let there = found["userLists"].as_array().into_iter().flatten().find(|list| list["displayName"] == name);
        if let Some(id) = there.and_then(id_of) {
            return Ok(id);
        }
        let list = json!({
            "displayName": name,
            "ingestedUserListInfo": {
                "uploadKeyTypes": ["CONTACT_ID"],
                "contactIdInfo": { "dataSourceType": "DATA_SOURCE_TYPE_FIRST_PARTY" },
            },
        });
        let made = self.read(&session, self.post(&self.lists(), &list)).await?;
        id_of(&made).ok_or_else(|| Failure::Unavailable { reason: "the new list has no id".into() })
    }

    async fn retire_list(&self, list: &str) -> Result<(), Failure> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let mut url = self.http.url(&self.lists());
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(list);
        }
        let reply = session.send(Outgoing::new(Method::DELETE, url)).await?;
        if reply.is_success() || reply.status == 404 { Ok(()) } else { Err(failure(refused(&reply, &[], 0))) }
    }

    async fn check(&self) -> Vec<CheckStep> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let mut url = self.http.url(&self.lists());
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(&self.list);
        }
        let read = self.read(&session, Outgoing::new(Method::GET, url)).await;
        let found = read.map_err(|failure| failure.to_string()).and_then(|list| match list["readOnly"].as_bool() {
            Some(true) => Err("the list may be read only".to_owned()),
            _ => Ok("a user list that takes members".to_owned()),
        });
        vec![CheckStep { name: "read the user list", result: found }]
    }
}

impl DataManager {
    fn lists(&self) -> String {
        let account = &self.config.account;
        format!("v1/accountTypes/{}/accounts/{}/userLists", account.product.as_str(), account.id)
    }

    fn post(&self, path: &str, body: &Value) -> Outgoing {
        Outgoing::new(Method::POST, self.http.url(path)).body(body.to_string(), JSON)
    }

    async fn read(&self, session: &Session<'_>, request: Outgoing) -> Result<Value, Failure> {
        let reply = session.send(request).await?;
        if !reply.is_success() {
            return Err(failure(refused(&reply, &[], 0)));
        }
        reply.json().map_err(|unread| Failure::Unavailable { reason: unread.to_string() })
    }
}

fn accepted(reply: &Reply) -> Answered {
    let id = reply.json().ok().and_then(|body| Job::new(body["requestId"].as_str()?).ok());
    match id {
        Some(job) => Answered::Accepted { job },
        None => Answered::NoAnswer { reason: "the answer has no request id".into() },
    }
}

/// The id of a list, which is a number of 64 bits and so written as text.
fn id_of(list: &Value) -> Option<String> {
    let id = &list["id"];
    id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|id| id.to_string()))
}

fn failure(answered: Answered) -> Failure {
    match answered {
        Answered::Throttled { after, reason } => Failure::Throttled { after, reason },
        Answered::Fatal { reason } | Answered::BatchRejected { reason } => Failure::Fatal { reason },
        Answered::Unavailable { reason } | Answered::NoAnswer { reason } => Failure::Unavailable { reason },
        _ => Failure::Unavailable { reason: "no answer".into() },
    }
}
