//! From answers to verdicts.

use driftless_config::destination::{Answer, FailedKey, Pointer, Results, ResultsByKey, ResultsByPosition, Verdict};
use driftless_model::{Operation, Outcome, RowOutcome};
use serde_json::Value as Json;

use crate::{
    Answered, OutRow,
    http::{Reply, Unread, wait_of},
    reason,
};

/// How the answers to one operation are read.
pub(super) struct Classifier {
    answer: Answer,
    /// Requests of this operation carry one record, so a status is about the record.
    single: bool,
    all_or_nothing: bool,
}

/// What an answer says.
pub(super) enum Read {
    /// A verdict per row, in order.
    Rows(Vec<RowVerdict>),
    /// One for the whole request.
    Whole(Answered),
    /// Some rows were done and some were refused, and nobody says which.
    Partly,
}

/// What an answer says of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowVerdict {
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) remote_id: Option<String>,
}

impl Classifier {
    pub(super) fn new(answer: Answer, single: bool, all_or_nothing: bool) -> Self {
        Self { answer, single, all_or_nothing }
    }

    /// True where an answer speaks of each record.
    pub(super) const fn per_record(&self) -> bool {
        self.single || self.answer.results.is_some()
    }

    pub(super) fn read(&self, operation: Operation, reply: &Reply, rows: &[OutRow]) -> Read {
        let body = reply.json();
        let verdict = match self.by_code(reply, body.as_ref()) {
            Ok(Some(verdict)) => verdict,
            Ok(None) => self.by_status(operation, reply),
            Err(unread) => return Read::Whole(Answered::NoAnswer { reason: unread.to_string() }),
        };
        let body = body.as_ref();
        let reason = || {
            let code = self.answer.reason.as_ref().and_then(|at| body.ok().and_then(|b| text_at(b, at.as_str())));
            reason::http(reply.status, code.and_then(|c| reason::code(&c, rows)).as_deref())
        };
        let all = |verdict| {
            let one = RowVerdict { verdict, reason: reason(), remote_id: self.remote_id(verdict, body.ok(), rows) };
            Read::Rows(vec![one; rows.len()])
        };
        match verdict {
            Verdict::Delivered | Verdict::Rejected if self.answer.results.is_some() => {
                match self.results(verdict, body, rows) {
                    Ok(Some(verdicts)) => Read::Rows(verdicts),
                    Ok(None) => self.refused(reason(), rows),
                    Err(reason) => Read::Whole(Answered::NoAnswer { reason }),
                }
            }
            Verdict::Delivered | Verdict::Exists | Verdict::Absent => all(verdict),
            Verdict::Partly if rows.len() > 1 => Read::Partly,
            Verdict::Partly | Verdict::Rejected => self.refused(reason(), rows),
            Verdict::Throttled => {
                Read::Whole(Answered::Throttled { after: self.wait(reply, body.ok()), reason: reason() })
            }
            Verdict::Retry => Read::Whole(Answered::Unavailable { reason: reason() }),
            Verdict::Unknown => Read::Whole(Answered::NoAnswer { reason: reason() }),
            Verdict::Fatal => Read::Whole(Answered::Fatal { reason: reason() }),
        }
    }

    /// By the values in the body. A success whose body should have one and does not is no answer.
    fn by_code(&self, reply: &Reply, body: Result<&Json, &Unread>) -> Result<Option<Verdict>, Unread> {
        let status = Json::from(reply.status);
        for code in self.answer.codes.iter().filter(|code| code.on.iter().any(|on| on.is(&status))) {
            let value = match body {
                Ok(body) => body.pointer(code.at.as_str()),
                Err(unread) if reply.is_success() => return Err(*unread),
                Err(_) => None,
            };
            let verdict = match value {
                Some(value) => code.means.of(value).or(code.otherwise),
                None if reply.is_success() && code.otherwise.is_some() => Some(Verdict::Unknown),
                None => None,
            };
            if verdict.is_some() {
                return Ok(verdict);
            }
        }
        Ok(None)
    }

    /// What the body of an answer to a question says, where it says something: APIs that report errors inside a 200 do so for
    /// questions as well.
    pub(super) fn envelope(&self, status: u16, body: &Json) -> Option<Verdict> {
        let status = Json::from(status);
        let mut codes = self.answer.codes.iter().filter(|code| code.on.iter().any(|on| on.is(&status)));
        codes.find_map(|code| body.pointer(code.at.as_str()).and_then(|value| code.means.of(value).or(code.otherwise)))
    }

    /// How long a throttled answer asks us to wait.
    pub(super) fn wait(&self, reply: &Reply, body: Option<&Json>) -> Option<core::time::Duration> {
        match &self.answer.retry_after {
            Some(rule) => wait_of(reply, body, rule),
            None => reply.retry_after(),
        }
    }

    fn by_status(&self, operation: Operation, reply: &Reply) -> Verdict {
        if let Some(verdict) = self.answer.status.of(&Json::from(reply.status)) {
            return verdict;
        }
        match reply.status {
            200..=299 => Verdict::Delivered,
            429 => Verdict::Throttled,
            503 if reply.retry_after().is_some() => Verdict::Throttled,
            404 | 410 if self.single => Verdict::Absent,
            409 if self.single && operation == Operation::Add => Verdict::Exists,
            300..=399 | 401 | 403 | 404 | 405 | 406 | 407 | 410 | 415 | 426 | 501 | 505 => Verdict::Fatal,
            408 => Verdict::Unknown,
            425 => Verdict::Retry,
            400..=499 => Verdict::Rejected,
            _ => Verdict::Unknown,
        }
    }

    /// A refusal of the whole request.
    fn refused(&self, reason: String, rows: &[OutRow]) -> Read {
        if self.all_or_nothing || rows.len() == 1 {
            return Read::Whole(Answered::BatchRejected { reason });
        }
        Read::Rows(vec![RowVerdict { verdict: Verdict::Rejected, reason, remote_id: None }; rows.len()])
    }

    fn remote_id(&self, verdict: Verdict, body: Option<&Json>, rows: &[OutRow]) -> Option<String> {
        let at = self.answer.remote_id.as_ref().filter(|_| rows.len() == 1 && verdict == Verdict::Delivered)?;
        text_at(body?, at.as_str())
    }

    /// The verdict of each row. `None`: the answer to a refused request does not speak of them.
    fn results(
        &self,
        whole: Verdict,
        body: Result<&Json, &Unread>,
        rows: &[OutRow],
    ) -> Result<Option<Vec<RowVerdict>>, String> {
        let body = match body {
            Ok(body) => body,
            Err(_) if whole == Verdict::Rejected => return Ok(None),
            Err(unread) => return Err(unread.to_string()),
        };
        match &self.answer.results {
            Some(Results::ByPosition(results)) => by_position(results, whole, body, rows),
            // Others than the failures were delivered only if the request was.
            Some(Results::ByKey(results)) if whole == Verdict::Delivered => by_key(results, body, rows).map(Some),
            _ => Ok(None),
        }
    }
}

fn by_position(
    results: &ResultsByPosition,
    whole: Verdict,
    body: &Json,
    rows: &[OutRow],
) -> Result<Option<Vec<RowVerdict>>, String> {
    let Some(items) = body.pointer(results.items.as_str()).and_then(Json::as_array) else {
        return if whole == Verdict::Rejected { Ok(None) } else { Err("the answer has no results".into()) };
    };
    if items.len() != rows.len() {
        return Err(format!("{} results for {} records", items.len(), rows.len()));
    }
    let verdicts = items.iter().zip(rows).map(|(item, row)| {
        let code = item.pointer(results.code.as_str());
        let reason = results.reason.as_ref().and_then(|at| text_at(item, at.as_str()));
        RowVerdict {
            verdict: code.map_or(Verdict::Unknown, |code| results.verdict(code)),
            reason: shown(reason.or_else(|| code.and_then(text)), row),
            remote_id: results.remote_id.as_ref().and_then(|at| text_at(item, at.as_str())),
        }
    });
    Ok(Some(verdicts.collect()))
}

fn by_key(results: &ResultsByKey, body: &Json, rows: &[OutRow]) -> Result<Vec<RowVerdict>, String> {
    if !body.is_object() && !body.is_array() {
        return Err("the answer has no failures and is not an object".into());
    }
    let counted = match &results.count {
        None => None,
        Some(at) => {
            Some(body.pointer(at.as_str()).and_then(Json::as_u64).ok_or("the answer does not count its failures")?)
        }
    };
    let delivered = RowVerdict { verdict: Verdict::Delivered, reason: String::new(), remote_id: None };
    let mut verdicts = vec![delivered; rows.len()];
    let mut failed = vec![false; rows.len()];
    let items = |at: &Pointer| body.pointer(at.as_str()).and_then(Json::as_array).into_iter().flatten();
    let failures = results.failures.iter().flat_map(items).map(|item| (item, None));
    let absent = results.absent.iter().flat_map(items).map(|item| (item, Some(Verdict::Absent)));
    for (item, verdict_of_all) in failures.chain(absent) {
        let key = results.key.as_ref().map_or(Some(item), |at| item.pointer(at.as_str()));
        let key = key.and_then(text).ok_or("a failure names no record")?.to_lowercase();
        let code = results.code.as_ref().and_then(|at| item.pointer(at.as_str()));
        let verdict_of_this =
            verdict_of_all.or_else(|| code.and_then(|c| results.means.of(c))).unwrap_or(results.otherwise);
        let mut known = false;
        for (position, (row, verdict)) in rows.iter().zip(&mut verdicts).enumerate() {
            if names(&results.matches, &key, position, row) {
                known = true;
                if let Some(failed) = failed.get_mut(position) {
                    *failed = true;
                }
                verdict.verdict = verdict_of_this;
                verdict.reason = shown(code.and_then(text), row);
            }
        }
        if !known {
            return Err("a failure names a record that was not sent".into());
        }
    }
    let named = failed.into_iter().filter(|failed| *failed).count() as u64;
    match counted {
        Some(count) if count > named => Err(format!("{count} failures, of which {named} are named")),
        _ => Ok(verdicts),
    }
}

/// True if a failure's lower-case key names the row.
fn names(matches: &FailedKey, key: &str, position: usize, row: &OutRow) -> bool {
    match matches {
        FailedKey::Identifier(field) => {
            row.identifiers.iter().any(|i| i.field == *field && i.value.to_lowercase() == key)
        }
        FailedKey::Key => row.key.as_str().to_lowercase() == key,
        FailedKey::RemoteId => row.remote_id.as_ref().is_some_and(|id| id.to_lowercase() == key),
        FailedKey::Position => key.parse() == Ok(position),
    }
}

fn shown(code: Option<String>, row: &OutRow) -> String {
    code.and_then(|c| reason::code(&c, core::slice::from_ref(row))).unwrap_or_else(|| "refused".into())
}

pub(super) fn text_at(body: &Json, at: &str) -> Option<String> {
    body.pointer(at).and_then(text)
}

/// A scalar as text; nothing for null, a list, a map or empty text.
pub(super) fn text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) if !text.is_empty() => Some(text.clone()),
        Json::Number(_) | Json::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

impl RowVerdict {
    /// The outcome of the row; `None` if it is to be sent as the other operation, or must stop the run.
    pub(super) fn outcome(self, operation: Operation) -> Option<RowOutcome> {
        let outcome = match (self.verdict, operation) {
            (Verdict::Delivered, _) | (Verdict::Absent, Operation::Remove) => Outcome::Delivered,
            (Verdict::Exists, Operation::Add) | (Verdict::Absent, Operation::Update) | (Verdict::Fatal, _) => {
                return None;
            }
            (Verdict::Throttled | Verdict::Retry, _) => Outcome::Retry,
            (Verdict::Unknown | Verdict::Partly, _) => Outcome::Unknown,
            (Verdict::Rejected | Verdict::Exists | Verdict::Absent, _) => Outcome::Rejected { reason: self.reason },
        };
        Some(RowOutcome { outcome, remote_id: self.remote_id })
    }
}

#[cfg(test)]
mod tests;
