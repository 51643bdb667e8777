//! What became of an import.

use std::collections::BTreeMap;

use driftless_model::{Outcome, RemoteJob as Job, RowOutcome};
use reqwest::Method;
use serde_json::Value;

use super::{
    Klaviyo,
    answer::{harmless, profile, refused},
};
use crate::{
    Answered, OutRow,
    http::{Session, Trouble},
    reason,
};

/// Errors read per page.
const PAGE: &str = "100";
/// Pages of errors that are read at most: as many as an import can have.
const PAGES: u32 = 101;

impl Klaviyo {
    /// What became of the rows of a job. An error is about the question.
    pub(super) async fn ended(&self, session: &Session<'_>, job: &Job, rows: &[OutRow]) -> Result<Answered, Answered> {
        let url = self.url(&["profile-bulk-import-jobs", job.as_str()], &[]);
        let reply = session.send(self.request(Method::GET, url, None)).await.map_err(Trouble::harmless)?;
        let all = |outcome: Outcome| Answered::Rows(vec![RowOutcome::from(outcome); rows.len()]);
        if reply.status == 404 {
            return Ok(all(Outcome::Unknown));
        }
        if !reply.is_success() {
            return Err(harmless(refused(&reply)));
        }
        let body = reply.json().map_err(|unread| Answered::Unavailable { reason: unread.to_string() })?;
        let attributes = &body["data"]["attributes"];
        match attributes["status"].as_str() {
            Some("queued" | "processing") => Ok(Answered::Pending { after: None }),
            Some("cancelled") => Ok(all(Outcome::Retry)),
            Some("complete") => match attributes["failed_count"].as_u64() {
                Some(0) => Ok(all(Outcome::Delivered)),
                Some(failed) => self.failed(session, job, rows, failed).await,
                None => Err(Answered::Unavailable { reason: "the job does not count its failures".into() }),
            },
            _ => Err(Answered::Unavailable { reason: "the job has no status".into() }),
        }
    }

    /// Finds the rows that failed.
    async fn failed(
        &self,
        session: &Session<'_>,
        job: &Job,
        rows: &[OutRow],
        failed: u64,
    ) -> Result<Answered, Answered> {
        let id = self.config.match_by.as_str();
        let field = self.config.field_of(id);
        let mut by_id: BTreeMap<String, usize> = BTreeMap::new();
        for (index, row) in rows.iter().enumerate() {
            if let Some(value) = row.fields.get(field).and_then(Value::as_str) {
                by_id.insert(value.trim().to_lowercase(), index);
            }
        }
        let mut bad: BTreeMap<usize, String> = BTreeMap::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES {
            let mut query = vec![("page[size]", PAGE)];
            query.extend(cursor.as_deref().map(|cursor| ("page[cursor]", cursor)));
            let url = self.url(&["profile-bulk-import-jobs", job.as_str(), "import-errors"], &query);
            let request = self.request(Method::GET, url, None);
            let reply = session.send(request).await.map_err(Trouble::harmless)?;
            if !reply.is_success() {
                return Err(harmless(refused(&reply)));
            }
            let body = reply.json().map_err(|unread| Answered::Unavailable { reason: unread.to_string() })?;
            for error in body["data"].as_array().into_iter().flatten() {
                let error = &error["attributes"];
                let sent = &error["original_payload"];
                let named = [&sent[id], &sent["attributes"][id], &sent["data"]["attributes"][id]];
                let named = named.into_iter().find_map(Value::as_str).map(|value| value.trim().to_lowercase());
                let pointed = || profile(error["source"]["pointer"].as_str()?).filter(|index| *index < rows.len());
                // The place says which row it is only while every row of the batch was sent, so the name goes first.
                if let Some(index) = named.and_then(|value| by_id.get(&value).copied()).or_else(pointed) {
                    let code = error["code"].as_str().and_then(|text| reason::code(text, rows));
                    bad.entry(index).or_insert_with(|| code.unwrap_or_else(|| "import failed".to_owned()));
                }
            }
            cursor = next_of(&body);
            if cursor.is_none() {
                break;
            }
        }
        if (bad.len() as u64) < failed {
            return Ok(Answered::BatchRejected { reason: "import failed".into() });
        }
        let outcome = |index: usize| match bad.get(&index) {
            Some(reason) => Outcome::Rejected { reason: reason.clone() },
            None => Outcome::Delivered,
        };
        Ok(Answered::Rows((0..rows.len()).map(|index| outcome(index).into()).collect()))
    }
}

/// The cursor of the next page, which stands in a link.
pub(super) fn next_of(body: &Value) -> Option<String> {
    let next = url::Url::parse(body["links"]["next"].as_str()?).ok()?;
    next.query_pairs().find(|(name, _)| name == "page[cursor]").map(|(_, cursor)| cursor.into_owned())
}
