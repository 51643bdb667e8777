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
    Answer, Answered, Batch, Capabilities, CheckStep, Connector, Failure, Gate, ListState, Open, OutRow, Page,
    http::{Outgoing, Session},
    outcomes::Outcomes,
};

/// The rows of a batch and what is known of them so far.
struct Progress {
    rows: Vec<OutRow>,
    outcomes: Outcomes,
    /// Rows of which something may have been applied without an outcome.
    touched: Vec<usize>,
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
        let outcomes = Outcomes::new(batch.rows.len());
        let mut progress = Progress { rows: batch.rows.to_vec(), outcomes, touched: Vec::new() };
        let rest = self.deliver(&session, batch, &mut progress).await.err();
        if rest.is_some() {
            progress.doubt();
        }
        Answer { is: progress.outcomes.answer(rest), requests: session.requests() }
    }

    async fn inspect(&self) -> Result<ListState, Failure> {
        if self.listing.is_none() {
            return Ok(ListState::Unreadable);
        }
        let page = self.list(None, &Open).await?;
        Ok(if page.members.is_empty() && page.next.is_none() { ListState::Empty } else { ListState::NotEmpty })
    }

    async fn list(&self, cursor: Option<String>, gate: &dyn Gate) -> Result<Page, Failure> {
        let listing = self.listing.as_ref().ok_or(Failure::Unsupported { what: "list its members" })?;
        let session = Session::new(&self.http, gate, self.timeout).reading(self.list_bytes);
        listing.page(&session, &self.http, &self.templates, &self.list, cursor.as_deref()).await
    }

    async fn check(&self) -> Vec<CheckStep> {
        let name = "read the list";
        if self.listing.is_none() {
            let found = "not tried: `list` is not described, and anything else would change it".to_owned();
            return vec![CheckStep { name, result: Ok(found) }];
        }
        let result = match self.list(None, &Open).await {
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
        let mut turned = self.look_up(session, batch, progress).await?;
        let mut direct = progress.outcomes.open();
        direct.retain(|row| turned.binary_search(row).is_err());
        turned.extend(self.send_as(session, batch, progress, Going { operation, rows: direct, turned: false }).await?);
        turned.sort_unstable();
        match self.other_way(operation) {
            Some(operation) => {
                let wanted = self.finder.as_ref().is_some_and(|finder| finder.is_before(operation));
                let rows = self.named(session, batch, progress, turned, wanted).await?;
                self.send_as(session, batch, progress, Going { operation, rows, turned: true }).await?;
            }
            // There already is what an add is for; there is no way to send newer values.
            None if operation == Operation::Add => match self.way(operation).and_then(|way| way.then.as_deref()) {
                Some(step) => {
                    let rows = self.named(session, batch, progress, turned, true).await?;
                    self.send_then(session, batch, progress, Going { operation, rows, turned: true }, step).await?;
                }
                None => turned.into_iter().for_each(|row| progress.outcomes.set(row, Outcome::Delivered)),
            },
            None => turned.into_iter().for_each(|row| progress.outcomes.reject(row, "not in the list")),
        }
        Ok(())
    }

    /// Looks up the ids of rows that have none, where the operation wants them. Returns the rows that are to go out as the other
    /// operation.
    async fn look_up(
        &self,
        session: &Session<'_>,
        batch: &Batch<'_>,
        progress: &mut Progress,
    ) -> Result<Vec<usize>, Answered> {
        let operation = batch.operation;
        let mut turned = Vec::new();
        let Some(finder) = self.finder.as_ref().filter(|finder| finder.is_before(operation)) else { return Ok(turned) };
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
        Ok(turned)
    }

    /// Of rows that turned out to be there, those whose id is known now, where it is `wanted`: the next request may need it.
    async fn named(
        &self,
        session: &Session<'_>,
        batch: &Batch<'_>,
        progress: &mut Progress,
        mut rows: Vec<usize>,
        wanted: bool,
    ) -> Result<Vec<usize>, Answered> {
        let operation = Operation::Update;
        let Some(finder) = self.finder.as_ref().filter(|_| wanted) else { return Ok(rows) };
        for &index in &rows {
            let row = &mut progress.rows[index];
            if row.remote_id.is_some() {
                continue;
            }
            let context = context_of(&self.list, operation, batch.idempotency_key, core::slice::from_ref(row));
            match finder.find(session, &self.http, &self.templates, &context).await? {
                Found::Id(id) => row.remote_id = Some(id),
                // There, then not there: somebody else is changing it.
                Found::Nothing => progress.outcomes.set(index, Outcome::Retry),
                Found::Refused { reason } => progress.outcomes.reject(index, reason),
            }
        }
        rows.retain(|row| progress.outcomes.is_open(*row));
        Ok(rows)
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
                Read::Whole(answered) => {
                    progress.refuse_alone(&chunk, answered)?;
                    continue;
                }
                Read::Partly => {
                    progress.touched.extend(&chunk);
                    chunks.push_front(chunk.split_off(chunk.len().div_ceil(2)));
                    chunks.push_front(chunk);
                    continue;
                }
            };
            let mut fatal = None;
            let mut through = Vec::new();
            for (index, verdict) in chunk.into_iter().zip(verdicts) {
                if verdict.verdict == Verdict::Fatal {
                    fatal = Some(verdict.reason);
                    continue;
                }
                match verdict.outcome(going.operation) {
                    Some(outcome) => {
                        if outcome.remote_id.is_some() {
                            progress.rows[index].remote_id.clone_from(&outcome.remote_id);
                        }
                        if outcome.outcome == Outcome::Delivered && way.then.is_some() {
                            through.push(index);
                            continue;
                        }
                        let remote_id = progress.rows[index].remote_id.clone();
                        progress.outcomes.set(index, RowOutcome { remote_id, ..outcome });
                    }
                    // There, then not there: somebody else is changing it.
                    None if going.turned => progress.outcomes.set(index, Outcome::Retry),
                    None => turned.push(index),
                }
            }
            if let Some(step) = way.then.as_deref() {
                // The same record may be in the list on behalf of another row, whose values are acknowledged.
                progress.touched.extend(&through);
                self.send_then(session, batch, progress, Going { rows: through, ..going }, step).await?;
            }
            if let Some(reason) = fatal {
                return Err(Answered::Fatal { reason });
            }
        }
        Ok(turned)
    }

    /// The second request for records with which the first one went through, and their outcomes. If it fails as a whole, or we
    /// die before it, both are repeated: the record is made again, which a set does not notice.
    async fn send_then(
        &self,
        session: &Session<'_>,
        batch: &Batch<'_>,
        progress: &mut Progress,
        going: Going,
        step: &Way,
    ) -> Result<(), Answered> {
        let most = usize::try_from(step.size.records.get()).unwrap_or(usize::MAX);
        let mut chunks: VecDeque<Vec<usize>> = going.rows.chunks(most).map(<[usize]>::to_vec).collect();
        while let Some(mut chunk) = chunks.pop_front() {
            let rows = progress.pick(&chunk);
            let key = format!("{}-then", derived_key(batch.idempotency_key, going.operation, &chunk));
            let request = match self.render(step, going.operation, &key, &rows) {
                Rendered::Request(request) => request,
                Rendered::TooLarge | Rendered::Faulty(_) if chunk.len() > 1 => {
                    chunks.push_front(chunk.split_off(chunk.len().div_ceil(2)));
                    chunks.push_front(chunk);
                    continue;
                }
                Rendered::TooLarge => {
                    chunk.iter().for_each(|row| progress.outcomes.reject(*row, "larger than a request may be"));
                    continue;
                }
                Rendered::Faulty(fault) => {
                    chunk.iter().for_each(|row| progress.outcomes.reject(*row, fault.to_string()));
                    continue;
                }
            };
            let reply = session.send(request).await?;
            let verdicts = match step.classifier.read(going.operation, &reply, &rows) {
                Read::Rows(verdicts) => verdicts,
                Read::Whole(Answered::BatchRejected { .. }) | Read::Partly if chunk.len() > 1 => {
                    chunks.push_front(chunk.split_off(chunk.len().div_ceil(2)));
                    chunks.push_front(chunk);
                    continue;
                }
                Read::Whole(answered) => {
                    progress.refuse_alone(&chunk, answered)?;
                    continue;
                }
                Read::Partly => continue,
            };
            for (index, verdict) in chunk.into_iter().zip(verdicts) {
                match (verdict.verdict, going.operation) {
                    (Verdict::Fatal, _) => return Err(Answered::Fatal { reason: verdict.reason }),
                    (Verdict::Exists, Operation::Add | Operation::Update) | (Verdict::Absent, Operation::Remove) => {
                        let remote_id = progress.rows[index].remote_id.clone();
                        progress.outcomes.set(index, RowOutcome { outcome: Outcome::Delivered, remote_id });
                    }
                    (Verdict::Throttled | Verdict::Retry, _) => {
                        let remote_id = progress.rows[index].remote_id.clone();
                        progress.outcomes.set(index, RowOutcome { outcome: Outcome::Unknown, remote_id });
                    }
                    _ => match verdict.outcome(going.operation) {
                        Some(outcome) => {
                            let remote_id = outcome.remote_id.or_else(|| progress.rows[index].remote_id.clone());
                            progress.outcomes.set(index, RowOutcome { remote_id, ..outcome });
                        }
                        // The record that was just made is not there: it may be on its way.
                        None => progress.outcomes.set(index, Outcome::Unknown),
                    },
                }
            }
        }
        Ok(())
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
    /// A record that was refused in a request of its own is rejected; anything else is about every row that is open.
    fn refuse_alone(&mut self, chunk: &[usize], answered: Answered) -> Result<(), Answered> {
        match (chunk, answered) {
            ([row], Answered::BatchRejected { reason }) => {
                self.outcomes.reject(*row, reason);
                Ok(())
            }
            (_, answered) => Err(answered),
        }
    }

    /// Trouble came before these rows had their outcome: nothing may be said of them that means "not applied".
    fn doubt(&mut self) {
        for row in core::mem::take(&mut self.touched) {
            if self.outcomes.is_open(row) {
                let remote_id = self.rows.get(row).and_then(|row| row.remote_id.clone());
                self.outcomes.set(row, RowOutcome { outcome: Outcome::Unknown, remote_id });
            }
        }
    }

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
