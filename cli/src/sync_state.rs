//! What several commands want to know of one sync.

use driftless_deltalog::head::Head;
use driftless_deltalog::ledger::{Call, Run, RunState};
use driftless_deltalog::registry::SyncEntry;
use driftless_model::{Millis, Operation, RunId, SyncId};
use serde::Serialize;

use crate::session::Session;

/// The head that belongs to a registered sync; none before its first snapshot.
pub(crate) async fn head(session: &Session, entry: &SyncEntry) -> anyhow::Result<Option<Head>> {
    let head = session.log.head(&entry.sync).await?;
    Ok(head.filter(|h| h.incarnation == entry.incarnation))
}

/// Why a run waits or ends early, if it says.
pub(crate) fn reason(run: &Run) -> Option<&str> {
    match &run.state {
        RunState::Parked { reason, .. } | RunState::Closing { reason } => Some(reason),
        RunState::Open | RunState::Committed | RunState::Abandoned => None,
    }
}

/// When a parked run is tried again.
pub(crate) fn until(run: &Run) -> Option<Millis> {
    match &run.state {
        RunState::Parked { until, .. } => *until,
        _ => None,
    }
}

/// True if the run waits for a person.
pub(crate) fn needs_a_person(run: &Run) -> bool {
    matches!(run.state, RunState::Parked { until: None, .. })
}

/// How the calls of a run stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Calls {
    /// Calls planned.
    pub(crate) planned: u64,
    /// Calls with an outcome.
    pub(crate) settled: u64,
    /// Of the planned, by what they ask.
    pub(crate) add: u64,
    pub(crate) update: u64,
    pub(crate) remove: u64,
    pub(crate) inspect: u64,
    pub(crate) prepare: u64,
    pub(crate) list: u64,
    /// Jobs that the destination has accepted and not told the end of.
    pub(crate) jobs: u64,
    /// When the oldest of them was accepted.
    pub(crate) jobs_since: Option<Millis>,
    /// API requests made: data requests, retries, look-ups and bisections.
    pub(crate) requests: u64,
}

impl Calls {
    pub(crate) fn of(calls: &[Call]) -> Self {
        let by = |operation| calls.iter().filter(|c| c.operation == operation).count() as u64;
        let requests = |c: &Call| c.outcome.as_ref().or(c.progress.as_ref()).map_or(0, |o| u64::from(o.requests));
        let jobs = || calls.iter().filter(|c| c.outcome.is_none()).flat_map(|c| &c.jobs);
        Self {
            planned: calls.len() as u64,
            settled: calls.iter().filter(|c| c.outcome.is_some()).count() as u64,
            add: by(Operation::Add),
            update: by(Operation::Update),
            remove: by(Operation::Remove),
            inspect: by(Operation::Inspect),
            prepare: by(Operation::Prepare),
            list: by(Operation::List),
            jobs: jobs().count() as u64,
            jobs_since: jobs().map(|job| job.since).min(),
            requests: calls.iter().map(requests).sum(),
        }
    }

    /// Calls that carry records.
    pub(crate) fn data(&self) -> u64 {
        self.add + self.update + self.remove
    }
}

/// The calls of a run as they stand.
pub(crate) async fn calls(session: &Session, sync: &SyncId, run: &RunId) -> anyhow::Result<Calls> {
    Ok(Calls::of(&session.log.calls(sync, run).await?))
}
