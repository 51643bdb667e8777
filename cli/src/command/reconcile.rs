use core::time::Duration;
use std::collections::BTreeSet;

use clap::Args;
use driftless_connector::capabilities_of;
use driftless_delivery::Message;
use driftless_deltalog::ledger::{Drift, Run, RunState};
use driftless_deltalog::registry::SyncEntry;
use driftless_model::{RunId, SyncId};
use driftless_state::{SyncState, documents};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::Ended;
use crate::ended::Trouble;
use crate::output::show;
use crate::progress::Progress;
use crate::session::Session;
use crate::sync_state::{head, reason};
use crate::time::count;

/// Compare the list with what was acknowledged, and correct what differs.
///
/// Reads the whole list at the destination. Who was acknowledged and is missing is sent again; who was removed and is still there is
/// removed again. Members whom nobody here knows stay, unless the sync says `reconcile: { strangers: remove }`. Removals keep to
/// the guards. Nothing is sent while the list is read. With `--dry-run` it is only told what differs, and the exit code is 3 if
/// anything does.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless reconcile newsletter --dry-run
  driftless reconcile newsletter --timeout 3600")]
pub(crate) struct Reconcile {
    /// The sync.
    sync: SyncId,
    /// Only tell what differs.
    #[arg(long)]
    dry_run: bool,
    /// How many seconds to wait at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    timeout: u64,
}

/// How often the state is read.
const POLL: Duration = Duration::from_millis(500);

impl Reconcile {
    pub(crate) async fn run(&self, session: &Session, json: bool) -> anyhow::Result<Ended> {
        let entry = session.entry(&self.sync).await?;
        self.check(session, &entry).await?;
        let sync = &self.sync;
        let known: BTreeSet<RunId> = session.log.runs(sync, 50).await?.into_iter().map(|r| r.id).collect();
        let tick = format!("compare-hand-{}", session.tokens.token());
        let message = Message::Compare { sync: sync.clone(), tick, cause: "by hand".to_owned(), dry_run: self.dry_run };
        session.send("planner", &message).await?;
        let Some(run) = self.wait(session, &entry, &known).await? else {
            show(json, &json!({ "sync": sync, "outcome": "timed_out", "run": Value::Null }), || {
                format!(
                    "{sync} has not been compared in {} s; `driftless status {sync}` shows how far it is.",
                    self.timeout
                )
            })?;
            return Ok(Ended::TimedOut);
        };
        let calls = session.log.calls(sync, &run.id).await?;
        let why = calls.iter().find_map(|call| call.last_error.clone());
        let (word, ended) = outcome(self.dry_run, run.result.and_then(|r| r.drift).as_ref());
        let strangers_go = run.compares.is_some_and(|c| c.strangers_go);
        let value = json!({
            "sync": sync,
            "outcome": word,
            "dry_run": self.dry_run,
            "run": run.id,
            "drift": run.result.and_then(|r| r.drift),
            "reason": if word == "not_read" { why.clone() } else { None },
        });
        show(json, &value, || self.told(&run, why.as_deref(), strangers_go))?;
        Ok(ended)
    }

    /// What would end without a comparison is said before one is asked for.
    async fn check(&self, session: &Session, entry: &SyncEntry) -> anyhow::Result<()> {
        let sync = &self.sync;
        if entry.paused {
            return Err(Trouble::new(format!("`{sync}` is paused"), format!("`driftless resume {sync}` first")).into());
        }
        let destinations = session.log.destinations().await?;
        if let Some(destination) = destinations.iter().find(|d| d.destination == entry.destination) {
            let described = documents::destination(session.objects.as_ref(), destination).await?;
            if !capabilities_of(&described).list {
                let what = format!("the members of a list at `{}` cannot be listed", entry.destination);
                return Err(Trouble::new(what, format!("`driftless resync {sync}` sends everything again")).into());
            }
        }
        let found = head(session, entry).await?;
        let Some(head) = found.filter(|h| h.history.is_some() || !h.delivered.is_empty()) else {
            let what = format!("nothing was sent to the list of `{sync}` yet");
            return Err(Trouble::new(what, format!("`driftless sync now {sync} --wait` first")).into());
        };
        let state = SyncState::new(session.log.as_ref(), session.objects.as_ref(), &head);
        if head.config.epoch < entry.config.epoch || !state.made_under(&entry.config.fingerprint) {
            let what = format!("the configuration of `{sync}` is new, and the next run sends everything under it");
            return Err(Trouble::new(what, format!("`driftless sync now {sync} --wait` first")).into());
        }
        Ok(())
    }

    /// The comparison, once it is committed; none in time.
    async fn wait(&self, session: &Session, entry: &SyncEntry, known: &BTreeSet<RunId>) -> anyhow::Result<Option<Run>> {
        let progress = Progress::spinner("waiting for the comparison");
        let (started, timeout) = (Instant::now(), Duration::from_secs(self.timeout));
        let sync = &self.sync;
        while started.elapsed() < timeout {
            let runs = session.log.runs(sync, 10).await?;
            let ours = |r: &&Run| {
                !known.contains(&r.id)
                    && r.state != RunState::Abandoned
                    && r.compares.is_some_and(|c| c.corrects != self.dry_run && !c.first)
            };
            match runs.iter().find(ours) {
                Some(run) if run.state == RunState::Committed => return Ok(Some(run.clone())),
                Some(run) => {
                    let calls = session.log.calls(sync, &run.id).await?;
                    let read: u64 = calls.iter().filter_map(|c| c.reading.as_ref()).map(|r| r.members).sum();
                    let why = reason(run).map(|why| format!(": {why}")).unwrap_or_default();
                    progress.say(format!("{sync}: {} members read{why}", count(read)));
                }
                None => {
                    if let Some(active) = head(session, entry).await?.and_then(|h| h.active_run) {
                        progress.say(format!("{sync}: waiting for run {active}; asked again every minute"));
                    }
                }
            }
            sleep(POLL).await;
        }
        Ok(None)
    }

    fn told(&self, run: &Run, why: Option<&str>, strangers_go: bool) -> String {
        let sync = &self.sync;
        let Some(drift) = run.result.and_then(|r| r.drift) else {
            return format!("{sync}: the list could not be read: {}.", why.unwrap_or("the run was closed before"));
        };
        let mut lines = vec![format!(
            "{sync}: {} members at the destination, {} of them ours and where they should be.",
            count(drift.members),
            count(drift.found)
        )];
        if drift.incomparable {
            lines.push(format!(
                "Not one of them is anybody that was sent, so nothing was concluded: the list shows other identifiers than it \
                 takes, or is another list. `driftless resync {sync}` sends everything again."
            ));
            return lines.join("\n");
        }
        let does = |will: &'static str, would: &'static str| if self.dry_run { would } else { will };
        let stay = if strangers_go { does("they are removed", "they would be removed") } else { "they stay" };
        let found = [
            (drift.missing, "were acknowledged and are missing", does("sent again", "they would be sent again")),
            (drift.strays, "were removed and are still there", does("removed again", "they would be removed again")),
            (drift.strangers, "are unknown here", stay),
            (
                drift.duplicates,
                "are further members of a record that has one",
                "they stay; merge them at the destination",
            ),
        ];
        let differing = found.into_iter().filter(|(n, _, _)| *n > 0);
        lines.extend(differing.map(|(n, what, then)| format!("{} {what}: {then}.", count(n))));
        if lines.len() == 1 {
            lines.push("Nothing differs.".to_owned());
        } else if !self.dry_run {
            lines.push(format!("The run that corrects it was asked for; `driftless status {sync}` shows it."));
        }
        lines.join("\n")
    }
}

fn outcome(dry_run: bool, drift: Option<&Drift>) -> (&'static str, Ended) {
    match drift {
        None => ("not_read", Ended::Attention),
        Some(d) if d.incomparable => ("incomparable", Ended::Attention),
        Some(d) if d.missing + d.strays + d.strangers + d.duplicates == 0 => ("in_step", Ended::Well),
        Some(_) if dry_run => ("differs", Ended::Attention),
        Some(_) => ("corrected", Ended::Well),
    }
}
