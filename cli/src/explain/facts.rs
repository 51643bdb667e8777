//! Every trace of one record.

use std::collections::BTreeSet;

use driftless_deltalog::head::{Head, RetiredBy, VersionEntry};
use driftless_deltalog::item::{ChangeOp, LogItem, LogPartition};
use driftless_deltalog::ledger::{Call, Reject, Run};
use driftless_deltalog::registry::SyncEntry;
use driftless_history::{BulkFile, HistoryFile, find_rows, read_delta, read_holds, read_residue};
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
    /// What replaced it, when, and when its items expire.
    pub(crate) retired: Option<(RetiredBy, Millis, i64)>,
    /// What it did to the record; of a bulk version, as its file tells while the head names it.
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
    /// It was for a new list, which did not take the place of the old one.
    InVain,
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
    let mut selected = below(session, head, row.as_ref(), key).await?;
    for run in &head.delivered {
        if let Some(changed) = read_delta(objects, &run.object).await?.remove(&key) {
            row = changed;
        }
    }
    for (number, entry) in head.versions.iter().rev() {
        if let Some(object) = entry.bulk_object() {
            // All of D: what it does not have is not selected, whatever was before.
            selected = bulk_state(session, object, key).await?;
            break;
        }
        if let Some(item) = session.log.item(&partition(head, *number, entry), key).await? {
            selected = item.state();
            break;
        }
    }
    Ok(Standing { selected, acknowledged: row })
}

/// Its part of D below all log versions: the residue's, else the acknowledged one, from before the runs that are not folded.
async fn below(
    session: &Session,
    head: &Head,
    base: Option<&AckRow>,
    key: KeyHash,
) -> anyhow::Result<Option<RecordState>> {
    if let Some(residue) = &head.residue
        && let Some((_, state)) = read_residue(session.objects.as_ref(), &residue.object).await?.remove(&key)
    {
        return Ok(state);
    }
    let acknowledged = base.and_then(|r| r.acknowledged.clone().map(|a| (r.key.clone(), a)));
    Ok(acknowledged.map(|(key, a)| RecordState { key, attr_hash: a.attr_hash, identifiers: a.identifiers }))
}

/// The record's part of D in a bulk file.
async fn bulk_state(session: &Session, object: &str, key: KeyHash) -> anyhow::Result<Option<RecordState>> {
    let file = BulkFile::open(session.objects.as_ref(), object).await?;
    Ok(file.rows(&BTreeSet::from([key])).await?.remove(&key).map(|row| row.state))
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

/// What each log version says of the record: retired ones first, then those that the head names.
async fn versions(session: &Session, head: &Head, key: KeyHash) -> anyhow::Result<Vec<VersionFact>> {
    let mut facts: Vec<VersionFact> = Vec::new();
    let mut records = session.log.version_records(&head.sync).await?;
    records.retain(|r| r.incarnation == head.incarnation);
    records.sort_by_key(|r| r.version);
    for r in records {
        let item = session.log.item(&partition(head, r.version, &r.entry), key).await?;
        facts.push(VersionFact { number: r.version, entry: r.entry, retired: Some((r.by, r.at, r.expires_at)), item });
    }
    // The last of some merged versions is told by the one that has its number now.
    let waiting = head.retired.iter().filter(|r| r.by != RetiredBy::Merge(r.version));
    for r in waiting.filter(|r| !facts.iter().any(|f| f.number == r.version)).cloned().collect::<Vec<_>>() {
        let item = session.log.item(&partition(head, r.version, &r.entry), key).await?;
        facts.push(VersionFact { number: r.version, entry: r.entry, retired: Some((r.by, r.at, i64::MAX)), item });
    }
    let base = match &head.history {
        Some(history) => HistoryFile::open(session.objects.as_ref(), &history.object).await?.row(key).await?,
        None => None,
    };
    let mut known = below(session, head, base.as_ref(), key).await?;
    for (number, entry) in &head.versions {
        let item = if let Some(object) = entry.bulk_object() {
            let now = bulk_state(session, object, key).await?;
            let item = change(entry, key, known.as_ref(), now.as_ref());
            known = now;
            item
        } else {
            let item = session.log.item(&partition(head, *number, entry), key).await?;
            if let Some(item) = &item {
                known = item.state();
            }
            // A version that was merged into this one tells it already, and when it was.
            item.filter(|item| !facts.iter().any(|f| tells(f, *number, item)))
        };
        facts.push(VersionFact { number: *number, entry: entry.clone(), retired: None, item });
    }
    facts.sort_by_key(|f| f.number);
    Ok(facts)
}

/// True if this fact is of a version that was merged into version `into`, and is the change that `item` carries on.
fn tells(fact: &VersionFact, into: u64, item: &LogItem) -> bool {
    let merged = fact.retired.as_ref().is_some_and(|(by, ..)| *by == RetiredBy::Merge(into));
    let same = |i: &LogItem| i.attr_hash == item.attr_hash && i.updated_at == item.updated_at;
    merged && fact.item.as_ref().is_some_and(same)
}

/// What a bulk version did to the record, as an item would say it.
fn change(
    entry: &VersionEntry,
    key_hash: KeyHash,
    before: Option<&RecordState>,
    now: Option<&RecordState>,
) -> Option<LogItem> {
    let op = match (before, now) {
        (None, Some(_)) => ChangeOp::Add,
        (Some(before), Some(now)) if before.attr_hash != now.attr_hash => ChangeOp::Update,
        (Some(_), None) => ChangeOp::Remove,
        _ => return None,
    };
    let state = now.or(before)?;
    Some(LogItem {
        key_hash,
        key: state.key.clone(),
        op,
        attr_hash: now.map(|s| s.attr_hash),
        identifiers: state.identifiers.clone(),
        updated_at: entry.order.modified,
        committed_at: None,
        superseded_by: None,
        expires_at: None,
    })
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
    let nothing_counts = run.result.as_ref().is_some_and(|result| result.delivered == 0);
    let in_vain = run.new_list.is_some() && nothing_counts;
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
            sent: call.map_or(Sent::Waiting, |c| if in_vain { Sent::InVain } else { sent(c, row) }),
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
    let in_flight = call.jobs.iter().any(|job| job.rows.binary_search(&row).is_ok());
    if call.claim.is_some() || call.maybe || in_flight { Sent::Unanswered } else { Sent::Waiting }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use driftless_deltalog::head::VersionKind;
    use driftless_deltalog::ledger::CallOutcome;
    use driftless_model::{RowOutcome, SnapshotOrder, Token};

    use super::*;

    fn entry(kind: VersionKind) -> VersionEntry {
        let order = SnapshotOrder { version: None, modified: Millis(7), key: "s".into(), sequencer: None };
        let token = Token::new("t");
        VersionEntry { token, kind, count: 1, adds: 1, updates: 0, removals: 0, order, logged_at: Millis(8) }
    }

    fn state(hash: u64) -> RecordState {
        RecordState {
            key: RecordKey::new("a"),
            attr_hash: driftless_model::AttrHash(hash),
            identifiers: driftless_model::IdentifierSet::new(),
        }
    }

    #[test]
    fn a_bulk_version_tells_what_it_changed_by_comparison() {
        let bulk = entry(VersionKind::Bulk { object: "o".into() });
        let (one, two) = (state(1), state(2));
        let op = |before, now| change(&bulk, KeyHash(1), before, now).map(|i| (i.op, i.attr_hash.map(|h| h.0)));
        assert_eq!(op(None, Some(&one)), Some((ChangeOp::Add, Some(1))));
        assert_eq!(op(Some(&one), Some(&two)), Some((ChangeOp::Update, Some(2))));
        assert_eq!(op(Some(&one), None), Some((ChangeOp::Remove, None)));
        assert_eq!(op(Some(&one), Some(&one)), None);
        assert_eq!(op(None, None), None);
    }

    #[test]
    fn a_change_that_was_merged_is_told_once_where_it_happened() {
        let item = |hash: u64, at| {
            let mut item = change(&entry(VersionKind::Items), KeyHash(1), None, Some(&state(hash))).unwrap();
            item.updated_at = Millis(at);
            item
        };
        let original = VersionFact {
            number: 3,
            entry: entry(VersionKind::Items),
            retired: Some((RetiredBy::Merge(5), Millis(9), i64::MAX)),
            item: Some(item(1, 10)),
        };
        assert!(tells(&original, 5, &item(1, 10)));
        assert!(!tells(&original, 5, &item(2, 11)), "another change of the record, by the last of the merged versions");
        assert!(!tells(&original, 6, &item(1, 10)), "merged into another one");
        let folded = Some((RetiredBy::Run(RunId::new("r")), Millis(9), i64::MAX));
        assert!(!tells(&VersionFact { retired: folded, ..original }, 5, &item(1, 10)));
    }

    #[test]
    fn a_row_without_a_word_in_the_ledger_is_unanswered_only_if_somebody_may_have_sent_it() {
        let mut call = Call {
            run: RunId::new("r"),
            number: 0,
            phase: 0,
            operation: Operation::Add,
            first_row: 0,
            rows: 3,
            session: None,
            claim: None,
            lease_until: Millis(0),
            maybe: false,
            progress: None,
            progress_rows: Vec::new(),
            jobs: Vec::new(),
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
