use async_trait::async_trait;
use driftless_model::{Operation, RemoteJob as Job};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Klaviyo,
    answer::{harmless, import_refused, refused},
};
use crate::{
    Answer, Answered, Batch, Capabilities, CheckStep, Connector, Failure, Gate, ListState, Open, OutRow, Page,
    http::{Outgoing, Session},
    outcomes::Outcomes,
};

#[async_trait]
impl Connector for Klaviyo {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn fits(&self, operation: Operation, rows: &[OutRow]) -> bool {
        match operation {
            Operation::Remove => rows.iter().map(|row| self.names(row).count()).sum::<usize>() <= 1_000,
            _ => self.fits_import(rows),
        }
    }

    async fn send(&self, batch: &Batch<'_>) -> Answer {
        let session = Session::new(&self.http, batch.gate, batch.timeout);
        let mut outcomes = Outcomes::new(batch.rows.len());
        let rest = match batch.operation {
            Operation::Remove => self.remove(&session, batch.rows, &mut outcomes).await.err(),
            _ => self.put(&session, batch.rows, &mut outcomes).await,
        };
        Answer { is: outcomes.answer(rest), requests: session.requests() }
    }

    async fn poll(&self, job: &Job, batch: &Batch<'_>) -> Answer {
        let session = Session::new(&self.http, batch.gate, batch.timeout);
        let is = self.ended(&session, job, batch.rows).await.unwrap_or_else(|answered| answered);
        Answer { is, requests: session.requests() }
    }

    async fn inspect(&self) -> Result<ListState, Failure> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let page = self.page(&session, None, "1").await?;
        Ok(if page.members.is_empty() { ListState::Empty } else { ListState::NotEmpty })
    }

    async fn list(&self, cursor: Option<String>, gate: &dyn Gate) -> Result<Page, Failure> {
        let session = Session::new(&self.http, gate, self.timeout);
        self.page(&session, cursor.as_deref(), "100").await
    }

    async fn create_list(&self, name: &str) -> Result<String, Failure> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let literal = serde_json::to_string(name).map_err(|e| Failure::Fatal { reason: e.to_string() })?;
        let filter = format!("equals(name,{literal})");
        let url = self.url(&["lists"], &[("filter", &filter), ("fields[list]", "name")]);
        let found = self.read(&session, self.request(Method::GET, url, None)).await?;
        if let Some(id) = found["data"][0]["id"].as_str() {
            return Ok(id.to_owned());
        }
        let list = json!({ "data": { "type": "list", "attributes": { "name": name } } });
        let made = self.read(&session, self.request(Method::POST, self.url(&["lists"], &[]), Some(&list))).await?;
        let id = made["data"]["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| Failure::Unavailable { reason: "the new list has no id".into() })
    }

    async fn retire_list(&self, list: &str) -> Result<(), Failure> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let reply = session.send(self.request(Method::DELETE, self.url(&["lists", list], &[]), None)).await?;
        if reply.is_success() || reply.status == 404 { Ok(()) } else { Err(failure(harmless(refused(&reply)))) }
    }

    async fn check(&self) -> Vec<CheckStep> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let read = self.page(&session, None, "1").await;
        let result = read.map(|_| "its members can be read".to_owned()).map_err(|failure| failure.to_string());
        vec![CheckStep { name: "read the list", result }]
    }
}

impl Klaviyo {
    /// Upserts profiles and puts them into the list.
    async fn put(&self, session: &Session<'_>, rows: &[OutRow], outcomes: &mut Outcomes) -> Option<Answered> {
        let (indexes, profiles): (Vec<usize>, Vec<Value>) = self.profiles(rows, outcomes).into_iter().unzip();
        if profiles.is_empty() {
            return None;
        }
        let url = self.url(&["profile-bulk-import-jobs"], &[]);
        let request = self.request(Method::POST, url, Some(&self.import(profiles)));
        let reply = match session.send(request).await {
            Ok(reply) => reply,
            Err(trouble) => return Some(trouble.into()),
        };
        if reply.is_success() {
            let job = reply.json().ok().and_then(|body| Job::new(body["data"]["id"].as_str()?).ok());
            return Some(match job {
                Some(job) => Answered::Accepted { job },
                None => Answered::NoAnswer { reason: "the answer names no job".into() },
            });
        }
        match import_refused(&reply, &indexes, rows.len()) {
            Answered::Rows(of_rows) => {
                for row in outcomes.open() {
                    if let Some(outcome) = of_rows.get(row) {
                        outcomes.set(row, outcome.clone());
                    }
                }
                None
            }
            rest => Some(rest),
        }
    }

    pub(super) async fn read(&self, session: &Session<'_>, request: Outgoing) -> Result<Value, Failure> {
        let reply = session.send(request).await?;
        if !reply.is_success() {
            return Err(failure(harmless(refused(&reply))));
        }
        reply.json().map_err(|unread| Failure::Unavailable { reason: unread.to_string() })
    }
}

fn failure(answered: Answered) -> Failure {
    match answered {
        Answered::Throttled { after, reason } => Failure::Throttled { after, reason },
        Answered::Fatal { reason } | Answered::BatchRejected { reason } => Failure::Fatal { reason },
        Answered::Unavailable { reason } | Answered::NoAnswer { reason } => Failure::Unavailable { reason },
        _ => Failure::Unavailable { reason: "no answer".into() },
    }
}
