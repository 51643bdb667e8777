use core::time::Duration;
use std::collections::BTreeSet;

use clap::Args;
use driftless_delivery::Message;
use driftless_deltalog::head::{Head, Swap};
use driftless_deltalog::ledger::{Run, RunState};
use driftless_deltalog::registry::SyncEntry;
use driftless_model::{Millis, RunId, SyncId};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::plan::planner;
use crate::Ended;
use crate::ended::Trouble;
use crate::output::show;
use crate::progress::Progress;
use crate::session::Session;
use crate::sync_state::{calls, head, needs_a_person, reason};
use crate::time::count;

/// Take up the newest snapshot and send what differs, now.
///
/// Also resumes a parked run. With `--wait`, waits until the run is committed or parked, or it is sure that nothing is to be
/// sent. Ends with exit code 3 if something is held or needs attention, and 5 if it has not settled in time.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless sync now newsletter
  driftless sync now newsletter --wait --timeout 1800")]
pub(crate) struct Now {
    /// The sync.
    sync: SyncId,
    /// Wait for it.
    #[arg(long)]
    wait: bool,
    /// How many seconds to wait at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, requires = "wait")]
    timeout: u64,
}

/// Why waiting was over.
#[derive(Debug)]
enum Outcome {
    /// D equals A, as far as it may be sent.
    InSync,
    /// The run is part of A.
    Committed(Box<Run>),
    /// Its destination is away.
    Parked(Box<Run>),
    /// The sync waits for a person.
    NeedsAttention(String),
    /// Time is over.
    TimedOut,
}

impl Now {
    pub(crate) async fn run(&self, session: &Session, json: bool) -> anyhow::Result<Ended> {
        let entry = session.entry(&self.sync).await?;
        let sync = &self.sync;
        if entry.paused {
            return Err(Trouble::new(format!("`{sync}` is paused"), format!("`driftless resume {sync}` first")).into());
        }
        let known: BTreeSet<RunId> = session.log.runs(sync, 50).await?.into_iter().map(|r| r.id).collect();
        let resumed = unpark(session, &entry).await?;
        let mut wait = Wait::new(session, entry, known, self.timeout);
        wait.ask().await?;
        if !self.wait {
            show(json, &json!({ "sync": sync, "outcome": "asked", "resumed": resumed }), || {
                format!("Asked for a run of {sync}; `driftless status {sync}` shows it.")
            })?;
            return Ok(Ended::Well);
        }
        let outcome = wait.until_over().await?;
        let held = match head(session, &wait.entry).await? {
            Some(head) => head.active_holds().map(|(_, hold)| hold.count).sum(),
            None => 0,
        };
        self.tell(session, &outcome, held, json).await
    }

    async fn tell(&self, session: &Session, outcome: &Outcome, held: u64, json: bool) -> anyhow::Result<Ended> {
        let sync = &self.sync;
        let (word, ended, said) = match outcome {
            Outcome::InSync => ("in_sync", Ended::Well, format!("{sync}: nothing to send.")),
            Outcome::Committed(run) => {
                let r = run.result.unwrap_or_default();
                let others = [
                    (r.rejected, "rejected"),
                    (r.unknown, "unknown"),
                    (r.undelivered, "not delivered"),
                    (r.unnamed, "of the delivered refused without being named"),
                ];
                let parts: Vec<String> = core::iter::once((r.delivered, "delivered"))
                    .chain(others.into_iter().filter(|(n, _)| *n > 0))
                    .map(|(n, what)| format!("{} {what}", count(n)))
                    .collect();
                let said = format!("{sync}: run {} is committed; records: {}.", run.id, parts.join(", "));
                ("committed", Ended::Well, said)
            }
            Outcome::Parked(run) => {
                let ended = if needs_a_person(run) { Ended::Attention } else { Ended::TimedOut };
                let why = reason(run).unwrap_or("its destination is away");
                ("parked", ended, format!("{sync}: run {} is parked: {why}.", run.id))
            }
            Outcome::NeedsAttention(why) => {
                ("needs_attention", Ended::Attention, format!("{sync} needs attention: {why}"))
            }
            Outcome::TimedOut => {
                let said = format!(
                    "{sync} has not settled in {} s; `driftless status {sync}` shows how far it is.",
                    self.timeout
                );
                ("timed_out", Ended::TimedOut, said)
            }
        };
        let run = match outcome {
            Outcome::Committed(run) | Outcome::Parked(run) => {
                let calls = calls(session, sync, &run.id).await?;
                json!({ "id": run.id, "state": run.state.name(), "reason": reason(run), "counts": run.counts, "result": run.result, "calls": calls.data(), "requests": calls.requests })
            }
            _ => Value::Null,
        };
        show(json, &json!({ "sync": sync, "outcome": word, "run": run, "held": held }), || {
            if held == 0 {
                return said;
            }
            format!("{said}\n{} records are held by a guard; `driftless status {sync}` says why.", count(held))
        })?;
        Ok(if ended == Ended::Well && held > 0 { Ended::Attention } else { ended })
    }
}

/// Lets the janitor resume a parked run at once: a person has mended what it waited for, or wants to know.
pub(super) async fn unpark(session: &Session, entry: &SyncEntry) -> anyhow::Result<bool> {
    let Some(active) = head(session, entry).await?.and_then(|h| h.active_run) else { return Ok(false) };
    let Some(run) = session.log.run(&entry.sync, &active).await? else { return Ok(false) };
    let RunState::Parked { reason, .. } = &run.state else { return Ok(false) };
    let state = RunState::Parked { reason: reason.clone(), until: Some(session.clock.now()) };
    let due = Run { state, ..run.clone() };
    if session.log.update_run(&due, &["parked"]).await? == Swap::Lost {
        return Ok(false);
    }
    session.send("janitor", &Message::Sweep { sync: Some(entry.sync.clone()), run: Some(active) }).await?;
    Ok(true)
}

/// How often the state is read.
const POLL: Duration = Duration::from_millis(500);
/// A parked run or a sync that needs attention is given this long to be resumed, or healed, by what we asked for.
const SETTLING: Duration = Duration::from_secs(10);

/// When to look first whether there is anything to send at all; then at twice the interval each time.
const LOOK: Duration = Duration::from_secs(3);

struct Wait<'s> {
    session: &'s Session,
    entry: SyncEntry,
    known: BTreeSet<RunId>,
    tick: String,
    started: Instant,
    started_at: Millis,
    timeout: Duration,
    /// A run other than the one we asked for is active: our message found it busy.
    busy: bool,
    /// Since when nothing has happened.
    quiet: Option<Instant>,
    /// When the next look whether anything differs is due, and how long to wait after it.
    look: (Instant, Duration),
}

impl<'s> Wait<'s> {
    fn new(session: &'s Session, entry: SyncEntry, known: BTreeSet<RunId>, timeout: u64) -> Self {
        let started = Instant::now();
        Self {
            tick: format!("hand-{}", session.tokens.token()),
            session,
            entry,
            known,
            started,
            started_at: session.clock.now(),
            timeout: Duration::from_secs(timeout),
            busy: false,
            quiet: None,
            look: (started + LOOK, LOOK),
        }
    }

    /// Ingest looks for a snapshot whose event was lost, then asks the planner under our tick.
    async fn ask(&self) -> anyhow::Result<()> {
        let message = Message::Ingest {
            dataset: self.entry.dataset.clone(),
            sync: Some(self.entry.sync.clone()),
            cause: "by hand".to_owned(),
            then_plan: Some(self.tick.clone()),
        };
        self.session.send("ingest", &message).await
    }

    async fn until_over(&mut self) -> anyhow::Result<Outcome> {
        let progress = Progress::spinner("waiting for a run");
        loop {
            if let Some(outcome) = self.step(&progress).await? {
                return Ok(outcome);
            }
            if self.started.elapsed() >= self.timeout {
                return Ok(Outcome::TimedOut);
            }
            sleep(POLL).await;
        }
    }

    /// One look at the sync; `None`: go on waiting.
    async fn step(&mut self, progress: &Progress) -> anyhow::Result<Option<Outcome>> {
        let (session, sync) = (self.session, self.entry.sync.clone());
        let found = head(session, &self.entry).await?;
        if let Some(active) = found.as_ref().and_then(|h| h.active_run.clone()) {
            return self.active(&active, progress).await;
        }
        let committed = self.newest_committed().await?;
        if session.log.tick_claimed(&sync, &self.tick).await? {
            // Activated, and no longer active: committed. The run's item says so a moment later than the head.
            return Ok(committed);
        }
        if core::mem::take(&mut self.busy) {
            // The run that was in the way is over; ours was not planned because of it.
            self.ask().await?;
            (self.quiet, self.look) = (None, (Instant::now() + LOOK / 2, LOOK));
        }
        let quiet = self.quiet.get_or_insert_with(Instant::now).elapsed();
        let attention = found.as_ref().and_then(|h| h.attention.as_ref());
        if let Some(attention) = attention.filter(|a| a.since >= self.started_at || quiet >= SETTLING) {
            return Ok(Some(Outcome::NeedsAttention(attention.reason.clone())));
        }
        progress.say(format!("{sync}: waiting for the snapshot and a run"));
        let (due, pause) = self.look;
        if Instant::now() < due {
            return Ok(None);
        }
        self.look = (Instant::now() + pause * 2, pause * 2);
        let over = match found {
            Some(head) => self.nothing_to_do(&head, quiet).await?,
            None => self.no_snapshot(quiet).await?,
        };
        // A snapshot that we had taken up may have made its own run, on change.
        Ok(over.map(|o| if matches!(o, Outcome::InSync) { committed.unwrap_or(o) } else { o }))
    }

    /// The newest run that was committed since we asked.
    async fn newest_committed(&self) -> anyhow::Result<Option<Outcome>> {
        let runs = self.session.log.runs(&self.entry.sync, 10).await?.into_iter();
        let since = runs.filter(|r| !self.known.contains(&r.id) && r.state == RunState::Committed);
        Ok(since.max_by(|a, b| a.id.cmp(&b.id)).map(|r| Outcome::Committed(Box::new(r))))
    }

    async fn active(&mut self, id: &RunId, progress: &Progress) -> anyhow::Result<Option<Outcome>> {
        let sync = &self.entry.sync;
        let Some(run) = self.session.log.run(sync, id).await? else { return Ok(None) };
        self.busy = !self.session.log.tick_claimed(sync, &self.tick).await?;
        let calls = calls(self.session, sync, id).await?;
        progress.say(format!("run {id}"));
        progress.of(calls.settled, calls.planned);
        if matches!(run.state, RunState::Parked { .. }) {
            let parked = self.quiet.get_or_insert_with(Instant::now).elapsed();
            let ours = !self.known.contains(id);
            return Ok((ours || parked >= SETTLING).then(|| Outcome::Parked(Box::new(run))));
        }
        self.quiet = None;
        Ok(None)
    }

    /// True once the newest snapshot is taken up (or refused) under the newest configuration, and a plan finds nothing to send.
    async fn nothing_to_do(&self, head: &Head, quiet: Duration) -> anyhow::Result<Option<Outcome>> {
        if head.config.epoch < self.entry.config.epoch {
            return Ok(None);
        }
        let objects = self.session.objects.as_ref();
        let newest = driftless_snapshot::locate::newest(objects, &self.entry.dataset).await.ok().flatten();
        let seen = head.snapshot.as_ref();
        if let Some((_, newest)) = newest.filter(|(_, n)| seen.is_none_or(|s| n.order > s.order)) {
            return self.refused(&newest.order.key).await;
        }
        if seen.is_none() {
            return self.no_snapshot(quiet).await;
        }
        let preview = planner(self.session).await?.preview(&self.entry.sync).await?;
        let idle =
            preview.is_some_and(|p| p.counts.adds + p.counts.updates + p.counts.removals == 0 && p.held.is_none());
        Ok(idle.then_some(Outcome::InSync))
    }

    /// The newest snapshot was not taken up: has it been refused?
    async fn refused(&self, key: &str) -> anyhow::Result<Option<Outcome>> {
        let refused = self.session.log.input_rejects(&self.entry.dataset.to_string()).await?;
        let why = refused.into_iter().find(|r| r.subject.contains(key));
        Ok(why.map(|r| Outcome::NeedsAttention(format!("snapshot {} was refused: {}", r.subject, r.reason))))
    }

    async fn no_snapshot(&self, quiet: Duration) -> anyhow::Result<Option<Outcome>> {
        let objects = self.session.objects.as_ref();
        let newest = driftless_snapshot::locate::newest(objects, &self.entry.dataset).await.ok().flatten();
        if let Some((_, newest)) = newest {
            return self.refused(&newest.order.key).await;
        }
        let (prefix, bucket) = (self.entry.dataset.prefix(), &self.session.bucket);
        let why = format!("there is no snapshot under {prefix} in {bucket}; put one there");
        Ok((quiet >= SETTLING / 2).then_some(Outcome::NeedsAttention(why)))
    }
}
