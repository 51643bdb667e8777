use std::collections::VecDeque;

use async_trait::async_trait;
use driftless_config::destination::Verdict;
use driftless_model::{Operation, Outcome, RowOutcome};
use sha2::{Digest, Sha256};

use super::{
    Rest, Way,
    classify::{Read, RowVerdict},
    lookup::Found,
    request::context_of,
    template::Fault,
};
use crate::{
    Answer, Answered, Batch, Capabilities, CheckStep, Connector, Failure, ListState, Open, OutRow, Page,
    http::{Outgoing, Session},
    outcomes::Outcomes,
};

/// The rows of a batch and what is known of them so far.
struct Progress {
    rows: Vec<OutRow>,
    outcomes: Outcomes,
}

/// Rows that go out as one operation, by their place in the batch.
struct Going {
    operation: Operation,
    rows: Vec<usize>,
    /// They were sent as the other operation before, which did not fit.
    turned: bool,
}

/// A rendered request, or why there is none.
enum Rendered {
    Request(Outgoing),
    /// Larger than the byte limit.
    TooLarge,
    Faulty(Fault),
}

#[async_trait]
impl Connector for Rest {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn fits(&self, operation: Operation, rows: &[OutRow]) -> bool {
        let Some(way) = self.way(operation) else { return true };
        let Some(limit) = way.size.bytes else { return true };
        let context = context_of(&self.list, operation, "", rows);
        // Rows that cannot be rendered are found out when they are sent.
        way.request.body_len(&self.templates, &context).map_or(true, |len| len as u64 <= limit.get())
    }

    async fn send(&self, batch: &Batch<'_>) -> Answer {
        let session = Session::new(&self.http, batch.gate, batch.timeout);
        let mut progress = Progress { rows: batch.rows.to_vec(), outcomes: Outcomes::new(batch.rows.len()) };
        let rest = self.deliver(&session, batch, &mut progress).await.err();
        Answer { is: progress.outcomes.answer(rest), requests: session.requests() }
    }

    async fn inspect(&self) -> Result<ListState, Failure> {
        if self.listing.is_none() {
            return Ok(ListState::Unreadable);
        }
        let page = self.list(None).await?;
        Ok(if page.members.is_empty() && page.next.is_none() { ListState::Empty } else { ListState::NotEmpty })
    }

    async fn list(&self, cursor: Option<String>) -> Result<Page, Failure> {
        let listing = self.listing.as_ref().ok_or(Failure::Unsupported { what: "list its members" })?;
        let session = Session::new(&self.http, &Open, self.timeout);
        listing.page(&session, &self.http, &self.templates, &self.list, cursor.as_deref()).await
    }

    async fn check(&self) -> Vec<CheckStep> {
        let name = "read the list";
        if self.listing.is_none() {
            let found = "not tried: `list` is not described, and anything else would change it".to_owned();
            return vec![CheckStep { name, result: Ok(found) }];
        }
        let result = match self.list(None).await {
            Ok(page) if page.next.is_some() => Ok(format!("{} members and more", page.members.len())),
            Ok(page) => Ok(format!("{} members", page.members.len())),
            Err(failure) => Err(failure.to_string()),
        };
        vec![CheckStep { name, result }]
    }
}

impl Rest {
    /// Looks up what must be looked up, sends the rows, and sends those that turned out to be there already, or not to be
    /// there, as the other operation. An error is about every row without outcome.
    async fn deliver(&self, session: &Session<'_>, batch: &Batch<'_>, progress: &mut Progress) -> Result<(), Answered> {
        let operation = batch.operation;
        let mut turned = Vec::new();
        if let Some(finder) = self.finder.as_ref().filter(|finder| finder.is_before(operation)) {
            for (index, row) in progress.rows.iter_mut().enumerate().filter(|(_, row)| row.remote_id.is_none()) {
                let context = context_of(&self.list, operation, batch.idempotency_key, core::slice::from_ref(row));
                let verdict = match finder.find(session, &self.http, &self.templates, &context).await? {
                    Found::Id(id) => {
                        row.remote_id = Some(id);
                        if operation != Operation::Add {
                            continue;
                        }
                        Verdict::Exists
                    }
                    Found::Nothing if operation == Operation::Add => continue,
                    Found::Nothing => Verdict::Absent,
                    Found::Refused { reason } => {
                        progress.outcomes.reject(index, reason);
                        continue;
                    }
                };
                let verdict = RowVerdict { verdict, reason: "not found".into(), remote_id: row.remote_id.clone() };
                match verdict.outcome(operation) {
                    Some(outcome) => progress.outcomes.set(index, outcome),
                    None => turned.push(index),
                }
            }
        }
        let mut direct = progress.outcomes.open();
        direct.retain(|row| turned.binary_search(row).is_err());
        turned.extend(self.send_as(session, batch, progress, Going { operation, rows: direct, turned: false }).await?);
        turned.sort_unstable();
        match self.other_way(operation) {
            Some(operation) => {
                self.send_as(session, batch, progress, Going { operation, rows: turned, turned: true }).await?;
            }
            None => {
                for index in turned {
                    match operation {
                        // There already is what an add is for; there is no way to send newer values.
                        Operation::Add => progress.outcomes.set(index, Outcome::Delivered),
                        _ => progress.outcomes.reject(index, "not in the list"),
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends rows as one operation and records their outcomes. Returns those that it did not fit.
    async fn send_as(
        &self,
        session: &Session<'_>,
        batch: &Batch<'_>,
        progress: &mut Progress,
        going: Going,
    ) -> Result<Vec<usize>, Answered> {
        let Some(way) = self.way(going.operation) else { return Ok(Vec::new()) };
        let most = usize::try_from(way.size.records.get()).unwrap_or(usize::MAX);
        let mut chunks: VecDeque<Vec<usize>> = going.rows.chunks(most).map(<[usize]>::to_vec).collect();
        let mut turned = Vec::new();
        while let Some(mut chunk) = chunks.pop_front() {
            let key = if going.turned {
                derived_key(batch.idempotency_key, going.operation, &chunk)
            } else {
                batch.idempotency_key.to_owned()
            };
            let request = match self.render(way, going.operation, &key, &progress.pick(&chunk)) {
                Rendered::Request(request) => request,
                Rendered::TooLarge if chunk.len() > 1 => {
                    chunks.push_front(chunk.split_off(chunk.len().div_ceil(2)));
                    chunks.push_front(chunk);
                    continue;
                }
                Rendered::TooLarge => {
                    chunk.iter().for_each(|row| progress.outcomes.reject(*row, "larger than a request may be"));
                    continue;
                }
                Rendered::Faulty(fault) if chunk.len() == 1 => {
                    chunk.iter().for_each(|row| progress.outcomes.reject(*row, fault.to_string()));
                    continue;
                }
                Rendered::Faulty(fault) => {
                    let whole = chunk.len();
                    chunk.retain(|&index| self.renders(way, going.operation, progress, index));
                    if chunk.len() == whole {
                        return Err(Answered::BatchRejected { reason: fault.to_string() });
                    }
                    chunks.push_front(chunk);
                    continue;
                }
            };
            if chunk.is_empty() {
                continue;
            }
            let rows = progress.pick(&chunk);
            let reply = session.send(request).await?;
            let verdicts = match way.classifier.read(going.operation, &reply, &rows) {
                Read::Rows(verdicts) => verdicts,
                Read::Whole(answered) => return Err(answered),
            };
            let mut fatal = None;
            for (index, verdict) in chunk.into_iter().zip(verdicts) {
                if verdict.verdict == Verdict::Fatal {
                    fatal = Some(verdict.reason);
                    continue;
                }
                let known = progress.rows[index].remote_id.clone();
                match verdict.outcome(going.operation) {
                    Some(outcome) => {
                        let remote_id = outcome.remote_id.or(known);
                        progress.outcomes.set(index, RowOutcome { remote_id, ..outcome });
                    }
                    // There, then not there: somebody else is changing it.
                    None if going.turned => progress.outcomes.set(index, Outcome::Retry),
                    None => turned.push(index),
                }
            }
            if let Some(reason) = fatal {
                return Err(Answered::Fatal { reason });
            }
        }
        Ok(turned)
    }

    fn render(&self, way: &Way, operation: Operation, key: &str, rows: &[OutRow]) -> Rendered {
        let context = context_of(&self.list, operation, key, rows);
        match way.request.render(&self.http, &self.templates, &context) {
            Err(fault) => Rendered::Faulty(fault),
            Ok(request) => {
                let len = request.body.as_ref().map_or(0, bytes::Bytes::len) as u64;
                if way.size.bytes.is_some_and(|limit| len > limit.get()) {
                    Rendered::TooLarge
                } else {
                    Rendered::Request(request)
                }
            }
        }
    }

    /// True if a row alone can be rendered; else it is rejected.
    fn renders(&self, way: &Way, operation: Operation, progress: &mut Progress, index: usize) -> bool {
        match self.render(way, operation, "", &progress.pick(&[index])) {
            Rendered::Faulty(fault) => {
                progress.outcomes.reject(index, fault.to_string());
                false
            }
            _ => true,
        }
    }
}

impl Progress {
    fn pick(&self, indexes: &[usize]) -> Vec<OutRow> {
        indexes.iter().filter_map(|&i| self.rows.get(i)).cloned().collect()
    }
}

/// The key of a request that was not the batch's first: of its operation and its rows.
fn derived_key(key: &str, operation: Operation, rows: &[usize]) -> String {
    let mut hash = Sha256::new();
    for row in rows {
        hash.update(row.to_be_bytes());
    }
    format!("{key}-{operation}-{}", hex::encode(hash.finalize().get(..6).unwrap_or_default()))
}
