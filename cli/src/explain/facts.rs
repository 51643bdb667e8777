//! Every trace of one record.

use driftless_deltalog::head::{Head, VersionEntry};
use driftless_deltalog::item::{LogItem, LogPartition};
use driftless_deltalog::ledger::{Call, Reject, Run};
use driftless_deltalog::registry::SyncEntry;
use driftless_history::{HistoryFile, find_rows, read_delta, read_holds, read_residue};
use driftless_model::{AckRow, KeyHash, Millis, Operation, Outcome, RecordKey, RecordState, RunId, SyncId};
use driftless_state::{SyncState, documents};

use crate::session::Session;

/// What the list should have and has of a record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// Its part of D: `None` if it is not selected.
    pub(crate) selected: Option<RecordState>,
    /// Its part of A: `None` if it is not a member as far as we know.
    pub(crate) acknowledged: Option<AckRow>,
}

/// One log version and what it says of the record.
#[derive(Clone, Debug)]
pub(crate) struct VersionFact {
    pub(crate) number: u64,
    pub(crate) entry: VersionEntry,
    /// The run that folded it, when, and when its items expire.
    pub(crate) folded: Option<(RunId, Millis, i64)>,
    pub(crate) item: Option<LogItem>,
}

/// One row of one run about the record.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryFact {
    pub(crate) run: RunId,
    pub(crate) run_state: &'static str,
    pub(crate) through: u64,
    pub(crate) planned_at: Millis,
    pub(crate) call: Option<u32>,
    pub(crate) operation: Operation,
    pub(crate) sent: Sent,
    pub(crate) last_error: Option<String>,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The ledger has its outcome.
    Settled(Outcome, Millis),
    /// A worker may have sent it, and no answer is written.
    Unanswered,
    /// Nobody has claimed it.
    Waiting,
}

/// A hold that names the record.
#[derive(Clone, Debug)]
pub(crate) struct HoldFact {
    pub(crate) version: u64,
    pub(crate) reason: String,
    pub(crate) since: Millis,
    pub(crate) approved_at: Option<Millis>,
    pub(crate) count: u64,
}

/// All that is known.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) sync: SyncId,
    pub(crate) key_hash: KeyHash,
    pub(crate) now: Millis,
    pub(crate) erased: bool,
    pub(crate) standing: Standing,
    /// The acknowledged state was made under the present configuration.
    pub(crate) comparable: bool,
    /// Oldest first.
    pub(crate) versions: Vec<VersionFact>,
    /// Oldest first.
    pub(crate) deliveries: Vec<DeliveryFact>,
    /// Runs whose changesets have expired.
    pub(crate) expired_runs: u64,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) attempt_limit: u32,
    pub(crate) holds: Vec<HoldFact>,
    /// Snapshots have been taken up at all.
    pub(crate) has_snapshot: bool,
}

/// Runs that are looked through.
const RUNS: usize = 200;

/// D and A of one record, as one read of the head names them: only what concerns it is read.
pub(crate) async fn standing(session: &Session, head: &Head, key: KeyHash) -> anyhow::Result<Standing> {
    let objects = session.objects.as_ref();
    let mut row = match &head.history {
        Some(history) => HistoryFile::open(objects, &history.object).await?.row(key).await?,
        None => None,
    };
    let base = row.as_ref().and_then(|r| r.acknowledged.clone().map(|a| (r.key.clone(), a)));
    for run in &head.delivered {
        if let Some(changed) = read_delta(objects, &run.object).await?.remove(&key) {
            row = changed;
        }
    }
    let mut selected = base.map(|(key, a)| RecordState { key, attr_hash: a.attr_hash, identifiers: a.identifiers });
    if let Some(residue) = &head.residue
        && let Some((_, state)) = read_residue(objects, &residue.object).await?.remove(&key)
    {
        selected = state;
    }
    for (number, entry) in head.versions.iter().rev() {
        if let Some(item) = session.log.item(&partition(head, *number, entry), key).await? {
            selected = item.state();
            break;
        }
    }
    Ok(Standing { selected, acknowledged: row })
}

fn partition(head: &Head, version: u64, entry: &VersionEntry) -> LogPartition {
    LogPartition { sync: head.sync.clone(), incarnation: head.incarnation, version, token: entry.token.clone() }
}

/// Collects everything. `say` is told what is being read.
pub(crate) async fn gather(
    session: &Session,
    entry: &SyncEntry,
    key: &RecordKey,
    say: impl Fn(String),
) -> anyhow::Result<Facts> {
    let key_hash = session.hash_key().await?.key_hash(key);
    let config = documents::sync(session.objects.as_ref(), entry).await?;
    let mut facts = Facts {
        sync: entry.sync.clone(),
        key_hash,
        now: session.clock.now(),
        erased: session.log.tombstones(&entry.dataset).await?.contains(&key_hash),
        standing: Standing::default(),
        comparable: true,
        versions: Vec::new(),
        deliveries: Vec::new(),
        expired_runs: 0,
        rejects: session.log.rejects(&entry.sync).await?.into_iter().filter(|r| r.key_hash == key_hash).collect(),
        attempt_limit: config.attempt_limit,
        holds: Vec::new(),
        has_snapshot: false,
    };
    let Some(head) = crate::sync_state::head(session, entry).await? else { return Ok(facts) };
    facts.has_snapshot = head.snapshot.is_some();
    facts.standing = standing(session, &head, key_hash).await?;
    let state = SyncState::new(session.log.as_ref(), session.objects.as_ref(), &head);
    facts.comparable = state.made_under(&head.config.fingerprint);
    facts.versions = versions(session, &head, key_hash).await?;
    facts.holds = holds(session, &head, key_hash).await?;
    let mut runs = session.log.runs(&entry.sync, RUNS).await?;
    runs.reverse();
    for (at, run) in runs.iter().enumerate() {
        say(format!("looking through run {} of {}", at + 1, runs.len()));
        match deliveries(session, run, key_hash).await? {
            Some(found) => facts.deliveries.extend(found),
            None => facts.expired_runs += 1,
        }
    }
    Ok(facts)
}

/// What each log version says of the record: folded ones first, then those that the head names.
async fn versions(session: &Session, head: &Head, key: KeyHash) -> anyhow::Result<Vec<VersionFact>> {
    let mut facts: Vec<VersionFact> = Vec::new();
    let mut records = session.log.version_records(&head.sync).await?;
    records.retain(|r| r.incarnation == head.incarnation);
    records.sort_by_key(|r| r.version);
    for r in records {
        let item = session.log.item(&partition(head, r.version, &r.entry), key).await?;
        facts.push(VersionFact {
            number: r.version,
            entry: r.entry,
            folded: Some((r.run, r.folded_at, r.expires_at)),
            item,
        });
    }
    for r in head.retired.iter().filter(|r| !facts.iter().any(|f| f.number == r.version)).cloned().collect::<Vec<_>>() {
        let item = session.log.item(&partition(head, r.version, &r.entry), key).await?;
        facts.push(VersionFact { number: r.version, entry: r.entry, folded: Some((r.run, r.at, i64::MAX)), item });
    }
    for (number, entry) in &head.versions {
        let item = session.log.item(&partition(head, *number, entry), key).await?;
        facts.push(VersionFact { number: *number, entry: entry.clone(), folded: None, item });
    }
    facts.sort_by_key(|f| f.number);
    Ok(facts)
}

async fn holds(session: &Session, head: &Head, key: KeyHash) -> anyhow::Result<Vec<HoldFact>> {
    let mut facts = Vec::new();
    for (number, hold) in &head.holds {
        if read_holds(session.objects.as_ref(), &hold.object).await?.contains(&key) {
            facts.push(HoldFact {
                version: crate::command::approve::version_of(*number),
                reason: hold.reason.clone(),
                since: hold.since,
                approved_at: hold.approved_at,
                count: hold.count,
            });
        }
    }
    Ok(facts)
}

/// The rows of one run about the record; `None`: its changeset has expired.
async fn deliveries(session: &Session, run: &Run, key: KeyHash) -> anyhow::Result<Option<Vec<DeliveryFact>>> {
    let rows = match find_rows(session.objects.as_ref(), &run.changeset, key).await {
        Ok(rows) => rows,
        Err(driftless_history::Error::Fetch { source: driftless_objects::Error::NotFound { .. }, .. }) => {
            return Ok(None);
        }
        Err(e) => return Err(e.into()),
    };
    if rows.is_empty() || run.state == driftless_deltalog::ledger::RunState::Abandoned {
        return Ok(Some(Vec::new()));
    }
    let calls = session.log.calls(&run.sync, &run.id).await?;
    let fact = |number: u64, operation| {
        let call = calls.iter().find(|c| c.first_row <= number && number < c.first_row + u64::from(c.rows));
        let row = call.and_then(|c| u32::try_from(number - c.first_row).ok()).unwrap_or_default();
        DeliveryFact {
            run: run.id.clone(),
            run_state: run.state.name(),
            through: run.through,
            planned_at: run.planned_at,
            call: call.map(|c| c.number),
            operation,
            sent: call.map_or(Sent::Waiting, |c| sent(c, row)),
            last_error: call.and_then(|c| c.last_error.clone()),
        }
    };
    Ok(Some(rows.iter().map(|(number, row)| fact(*number, row.operation)).collect()))
}

/// The ledger's word on one row of a call.
fn sent(call: &Call, row: u32) -> Sent {
    let progress = call.progress.as_ref().filter(|_| call.progress_rows.contains(&row));
    if let Some(told) = call.outcome.as_ref().or(progress) {
        let outcome = told.exceptions.get(&row).map_or(Outcome::Delivered, |r| r.outcome.clone());
        return Sent::Settled(outcome, told.at);
    }
    if call.claim.is_some() || call.maybe { Sent::Unanswered } else { Sent::Waiting }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use driftless_deltalog::ledger::CallOutcome;
    use driftless_model::{RowOutcome, Token};

    use super::*;

    #[test]
    fn a_row_without_a_word_in_the_ledger_is_unanswered_only_if_somebody_may_have_sent_it() {
        let mut call = Call {
            run: RunId::new("r"),
            number: 0,
            phase: 0,
            operation: Operation::Add,
            first_row: 0,
            rows: 3,
            claim: None,
            lease_until: Millis(0),
            maybe: false,
            progress: None,
            progress_rows: Vec::new(),
            outcome: None,
            last_error: None,
        };
        assert_eq!(sent(&call, 1), Sent::Waiting);
        call.claim = Some(Token::new("t"));
        assert_eq!(sent(&call, 1), Sent::Unanswered);
        let rejected = Outcome::Rejected { reason: "422".into() };
        let exceptions = BTreeMap::from([(1, RowOutcome::from(rejected.clone()))]);
        let outcome = CallOutcome { exceptions, at: Millis(5), ..CallOutcome::default() };
        (call.progress, call.progress_rows) = (Some(outcome.clone()), vec![1]);
        assert_eq!((sent(&call, 0), sent(&call, 1)), (Sent::Unanswered, Sent::Settled(rejected, Millis(5))));
        call.outcome = Some(outcome);
        assert_eq!(sent(&call, 0), Sent::Settled(Outcome::Delivered, Millis(5)));
    }
}
