use async_trait::async_trait;
use driftless_model::{Operation, Outcome, Session as Replacement};
use reqwest::Method;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{
    Meta,
    answer::{GraphError, harmless, received, refused},
};
use crate::{
    Answer, Answered, Batch, Capabilities, CheckStep, Connector, Failure, Gate, ListState, Open, OutRow, Page,
    http::{Outgoing, Reply, Session, Trouble},
    outcomes::Outcomes,
};

const FORM: &str = "application/x-www-form-urlencoded";

#[async_trait]
impl Connector for Meta {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn fits(&self, operation: Operation, rows: &[OutRow]) -> bool {
        self.lines(operation, rows) <= usize::try_from(self.config.records.get()).unwrap_or(usize::MAX)
    }

    async fn send(&self, batch: &Batch<'_>) -> Answer {
        let session = Session::new(&self.http, batch.gate, batch.timeout);
        let mut outcomes = Outcomes::new(batch.rows.len());
        let payload = self.payload(batch.operation, batch.rows, &mut outcomes);
        // A part of a session is sent even if nothing is left of it: the session needs its first and its last one.
        if payload.lines.is_empty() && batch.session.is_none() {
            return Answer { is: outcomes.answer(None), requests: 0 };
        }
        let mut fields = vec![("payload", self.body(&payload).to_string())];
        fields.extend(batch.session.as_ref().map(|part| ("session", part_of(part).to_string())));
        if batch.operation == Operation::Remove {
            fields.push(("method", "DELETE".to_owned()));
        }
        let edge = if batch.session.is_some() { "usersreplace" } else { "users" };
        let request = Outgoing::new(Method::POST, self.url(&[&self.list, edge], &[])).body(form(&fields), FORM);
        let rest = match session.send(request).await {
            Ok(reply) if reply.is_success() => received(&reply),
            Ok(reply) => self.refused(&session, batch, &reply).await,
            Err(trouble) => trouble.into(),
        };
        Answer { is: outcomes.answer(Some(rest)), requests: session.requests() }
    }

    async fn inspect(&self) -> Result<ListState, Failure> {
        Ok(ListState::Unreadable)
    }

    async fn list(&self, _: Option<String>, _: &dyn Gate) -> Result<Page, Failure> {
        Err(Failure::Unsupported { what: "list its members: Meta shows nobody" })
    }

    async fn create_list(&self, name: &str) -> Result<String, Failure> {
        let Some(account) = &self.config.account else {
            return Err(Failure::Unsupported { what: "create an audience without `account`" });
        };
        let session = Session::new(&self.http, &Open, self.timeout);
        let edge = [&format!("act_{account}"), "customaudiences"];
        let mut after = String::new();
        loop {
            let mut query = vec![("fields", "id,name"), ("limit", "500")];
            if !after.is_empty() {
                query.push(("after", &after));
            }
            let page = self.read(&session, Outgoing::new(Method::GET, self.url(&edge, &query))).await?;
            let there = page["data"].as_array().into_iter().flatten().find(|audience| audience["name"] == name);
            if let Some(id) = there.and_then(|audience| audience["id"].as_str()) {
                return Ok(id.to_owned());
            }
            match (page["paging"]["next"].as_str(), page["paging"]["cursors"]["after"].as_str()) {
                (Some(_), Some(next)) if next != after => after = next.to_owned(),
                _ => break,
            }
        }
        let fields = [("name", name), ("subtype", "CUSTOM"), ("customer_file_source", "USER_PROVIDED_ONLY")];
        let request = Outgoing::new(Method::POST, self.url(&edge, &[])).body(form(&fields), FORM);
        let made = self.read(&session, request).await?;
        let id = made["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| Failure::Unavailable { reason: "the new audience has no id".into() })
    }

    async fn retire_list(&self, list: &str) -> Result<(), Failure> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let reply = session.send(Outgoing::new(Method::DELETE, self.url(&[list], &[]))).await?;
        // There is no such object: it is gone already.
        let gone = GraphError::of(&reply).is_some_and(|error| (error.code, error.subcode) == (100, 33));
        if reply.is_success() || gone { Ok(()) } else { Err(failure(harmless(refused(&reply)))) }
    }

    async fn check(&self) -> Vec<CheckStep> {
        let session = Session::new(&self.http, &Open, self.timeout);
        let query = [("fields", "subtype,operation_status")];
        let read = self.read(&session, Outgoing::new(Method::GET, self.url(&[&self.list], &query))).await;
        let found = read.map_err(|failure| failure.to_string()).and_then(|audience| {
            let subtype = audience["subtype"].as_str().unwrap_or_default();
            match (subtype, audience["operation_status"]["code"].as_u64()) {
                ("CUSTOM", Some(200)) => Ok("a custom audience that takes changes".to_owned()),
                ("CUSTOM", Some(code)) => Err(format!("the audience takes no changes now: operation status {code}")),
                _ => Err("not an audience of subtype CUSTOM, or its state is not shown".to_owned()),
            }
        });
        vec![CheckStep { name: "read the audience", result: found }]
    }
}

impl Meta {
    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> url::Url {
        let mut url = self.http.url("");
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(&self.config.api_version).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn read(&self, session: &Session<'_>, request: Outgoing) -> Result<Value, Failure> {
        let reply = session.send(request).await?;
        if !reply.is_success() {
            return Err(failure(harmless(refused(&reply))));
        }
        reply.json().map_err(|unread| Failure::Unavailable { reason: unread.to_string() })
    }

    /// A part that comes twice may be refused for that reason.
    async fn refused(&self, session: &Session<'_>, batch: &Batch<'_>, reply: &Reply) -> Answered {
        let (Some(part), Some(error)) = (&batch.session, GraphError::of(reply)) else { return refused(reply) };
        let received = || Answered::Rows(vec![Outcome::Delivered.into(); batch.rows.len()]);
        if error.session_finished() && part.last() {
            return received();
        }
        if error.replacing() && part.first() {
            return match self.is_ours(session, part).await {
                Ok(true) => received(),
                Ok(false) => refused(reply),
                Err(answered) => answered,
            };
        }
        refused(reply)
    }

    /// Whether the audience knows this session: then its first part was received.
    async fn is_ours(&self, session: &Session<'_>, part: &Replacement) -> Result<bool, Answered> {
        let number = part.number.to_string();
        let url = self.url(&[&self.list, "sessions"], &[("session_id", &number), ("fields", "session_id,stage")]);
        let reply = session.send(Outgoing::new(Method::GET, url)).await.map_err(Trouble::harmless)?;
        if !reply.is_success() {
            return Err(harmless(refused(&reply)));
        }
        let body = reply.json().map_err(|unread| Answered::Unavailable { reason: unread.to_string() })?;
        let is_it = |id: &Value| id.as_u64() == Some(part.number) || id.as_str() == Some(&number);
        Ok(body["data"].as_array().into_iter().flatten().any(|known| is_it(&known["session_id"])))
    }
}

fn form<V: AsRef<str>>(fields: &[(&str, V)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn part_of(part: &Replacement) -> Value {
    json!({
        "session_id": part.number,
        "batch_seq": part.part,
        "last_batch_flag": part.last(),
        "estimated_num_total": part.records,
    })
}

fn failure(answered: Answered) -> Failure {
    match answered {
        Answered::Throttled { after, reason } => Failure::Throttled { after, reason },
        Answered::Fatal { reason } => Failure::Fatal { reason },
        Answered::Unavailable { reason } | Answered::NoAnswer { reason } => Failure::Unavailable { reason },
        _ => Failure::Unavailable { reason: "no answer".into() },
    }
}
