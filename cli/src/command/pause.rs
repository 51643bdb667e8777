use clap::Args;
use driftless_deltalog::head::Swap;
use driftless_deltalog::registry::SyncEntry;
use driftless_model::SyncId;
use serde_json::json;

use crate::Ended;
use crate::ended::Trouble;
use crate::output::{note, show};
use crate::session::Session;

/// Stop planning runs of a sync.
///
/// Snapshots are still taken up, and a run that is going on is finished. `resume` sends what has changed meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  driftless pause newsletter")]
pub(crate) struct Pause {
    /// The sync.
    sync: SyncId,
}

/// Plan runs of a paused sync again, and resume a parked run.
///
/// The next run follows its schedule; `sync now` asks for one at once. A run that is parked because its destination refused us
/// goes on where it stopped.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  driftless resume newsletter\n  driftless sync now newsletter --wait")]
pub(crate) struct Resume {
    /// The sync.
    sync: SyncId,
}

impl Pause {
    pub(crate) async fn run(&self, session: &Session, json: bool) -> anyhow::Result<Ended> {
        set(session, &self.sync, true, json).await
    }
}

impl Resume {
    pub(crate) async fn run(&self, session: &Session, json: bool) -> anyhow::Result<Ended> {
        let entry = session.entry(&self.sync).await?;
        if super::sync_now::unpark(session, &entry).await? {
            note(&format!("the parked run of {} goes on", self.sync));
        }
        set(session, &self.sync, false, json).await
    }
}

async fn set(session: &Session, sync: &SyncId, paused: bool, json: bool) -> anyhow::Result<Ended> {
    let changed = change(session, sync, |entry| {
        let before = core::mem::replace(&mut entry.paused, paused);
        before != paused
    })
    .await?;
    let word = if paused { "paused" } else { "running" };
    show(json, &json!({ "sync": sync, "paused": paused, "changed": changed }), || match (changed, paused) {
        (false, _) => format!("{sync} is {word} already."),
        (true, true) => {
            format!("{sync} is paused: snapshots are taken up, nothing is sent. `driftless resume {sync}` goes on.")
        }
        (true, false) => format!("{sync} is {word} again. `driftless sync now {sync}` sends what has changed."),
    })?;
    Ok(Ended::Well)
}

/// Attempts before giving up: each lost write means that somebody else changed the entry.
const ATTEMPTS: usize = 5;

/// Changes a registered sync under its revision. `change` says whether there is anything to write. Returns the entry written.
pub(super) async fn change_entry(
    session: &Session,
    sync: &SyncId,
    mut change: impl FnMut(&mut SyncEntry) -> bool,
) -> anyhow::Result<Option<SyncEntry>> {
    for _ in 0..ATTEMPTS {
        let mut entry = session.entry(sync).await?;
        if !change(&mut entry) {
            return Ok(None);
        }
        entry.revision += 1;
        if session.log.put_sync(&entry).await? == Swap::Done {
            return Ok(Some(entry));
        }
    }
    Err(Trouble::new(format!("somebody else changes `{sync}` at the same time"), "try again").into())
}

async fn change(session: &Session, sync: &SyncId, change: impl FnMut(&mut SyncEntry) -> bool) -> anyhow::Result<bool> {
    Ok(change_entry(session, sync, change).await?.is_some())
}
