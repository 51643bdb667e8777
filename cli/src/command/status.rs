use std::path::PathBuf;

use clap::Args;
use comfy_table::Cell;
use driftless_deltalog::head::{Head, OldList};
use driftless_deltalog::ledger::{Run, RunState};
use driftless_deltalog::registry::SyncEntry;
use driftless_model::{Millis, SyncId};
use driftless_state::{SyncState, documents};
use serde::Serialize;
use serde_json::json;

use super::approve::version_of;
use crate::Ended;
use crate::cost;
use crate::ended::Trouble;
use crate::output::{figure, show, state, table};
use crate::progress::Progress;
use crate::session::Session;
use crate::slowed::{Slowed, slowed};
use crate::sync_state::{Calls, calls, head, needs_a_person, reason, until};
use crate::time::{ago, count, utc};

/// Show how syncs stand.
///
/// For each sync: its list, the last snapshot, what is pending, the run that is going on, what is rejected, quarantined or held and
/// why, and what waits for a person, with the command that helps. Ends with exit code 3 if anything waits for a person.
///
/// With `--cost`: what each sync has used, month by month, at list prices, and what the deployment costs while nothing changes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless status
  driftless status newsletter --json
  driftless status --cost
  driftless status --cost --prices our-prices.json")]
pub(crate) struct Status {
    /// The sync; all, if left out.
    sync: Option<SyncId>,
    /// Show what was used and what it costs.
    #[arg(long)]
    cost: bool,
    /// A price table of your own, in the form of `shared/cost/prices/us-east-1.json`.
    #[arg(long, value_name = "FILE", requires = "cost")]
    prices: Option<PathBuf>,
}

/// How one sync stands.
#[derive(Debug, Serialize)]
struct Standing {
    sync: SyncId,
    /// One word; see [`Standing::word`].
    state: &'static str,
    dataset: String,
    destination: String,
    /// The list that the sync goes by.
    list: String,
    /// Lists of ours that are to be deleted and are still there.
    old_lists: Vec<Old>,
    /// Members as far as they are acknowledged or may be there.
    list_size: u64,
    version: u64,
    last_snapshot: Option<Snapshot>,
    /// Changes that are logged, or left over from a run, and that no committed run covers.
    pending_changes: u64,
    run: Option<Active>,
    last_run: Option<Past>,
    /// Records that the destination refused, the quarantined included.
    rejected: u64,
    quarantined: u64,
    held: Vec<Held>,
    attention: Option<Waiting>,
    /// The last snapshot that was refused, if no newer one has been taken up.
    refused_snapshot: Option<Refused>,
    /// The shared rate budget of the destination waits, or goes slower than its rate.
    slowed: Option<Slowed>,
    paused: bool,
    last_succeeded_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct Snapshot {
    key: String,
    modified: String,
}

#[derive(Debug, Serialize)]
struct Active {
    id: String,
    state: &'static str,
    calls: u64,
    settled: u64,
    /// Jobs that the destination has accepted and not told the end of, and since when the oldest is waited for.
    jobs: u64,
    jobs_since: Option<String>,
    reason: Option<String>,
    /// When a parked run is tried again; absent while it waits for a person.
    until: Option<String>,
    needs_a_person: bool,
}

#[derive(Debug, Serialize)]
struct Past {
    id: String,
    adds: u64,
    updates: u64,
    removals: u64,
    delivered: u64,
    rejected: u64,
    unknown: u64,
    undelivered: u64,
    /// Of the delivered ones, those that the destination refused without saying which they are.
    unnamed: u64,
    calls: u64,
    requests: u64,
    committed_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct Held {
    version: u64,
    count: u64,
    reason: String,
    since: String,
    approve_command: String,
}

#[derive(Debug, Serialize)]
struct Waiting {
    reason: String,
    since: String,
}

#[derive(Debug, Serialize)]
struct Old {
    list: String,
    destination: String,
    since: String,
    failures: u32,
    last_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Refused {
    subject: String,
    reason: String,
    at: String,
}

impl Status {
    pub(crate) async fn run(&self, session: &Session, json: bool) -> anyhow::Result<Ended> {
        let entries = match &self.sync {
            Some(sync) => vec![session.entry(sync).await?],
            None => match session.log.syncs().await {
                Err(driftless_deltalog::Error::NoTable { table }) => {
                    return Err(session.not_deployed(&format!("table {table}")).into());
                }
                other => other?,
            },
        };
        if entries.is_empty() && !json {
            return Err(Trouble::new("no sync is registered on this stage", "write one, then `driftless apply`").into());
        }
        if self.cost {
            let prices = cost::prices(self.prices.as_deref())?;
            let progress = Progress::spinner("reading");
            let costs = cost::costs(session, &entries, &prices).await?;
            drop(progress);
            show(json, &costs, || costs.render())?;
            return Ok(Ended::Well);
        }
        let progress = Progress::spinner("reading");
        let mut standings = Vec::new();
        for entry in &entries {
            progress.say(format!("reading {}", entry.sync));
            standings.push(standing(session, entry).await?);
        }
        drop(progress);
        let now = session.clock.now();
        show(json, &json!({ "stage": session.stage.as_str(), "syncs": standings }), || {
            render(&standings, now, &entries)
        })?;
        Ok(if standings.iter().any(Standing::needs_a_person) { Ended::Attention } else { Ended::Well })
    }
}

async fn standing(session: &Session, entry: &SyncEntry) -> anyhow::Result<Standing> {
    let sync = &entry.sync;
    let config = documents::sync(session.objects.as_ref(), entry).await?;
    let head = head(session, entry).await?;
    let (run, last_run) = runs(session, sync, head.as_ref()).await?;
    let rejects = session.log.rejects(sync).await?;
    let quarantined = rejects.iter().filter(|r| r.attempts >= config.attempt_limit).count() as u64;
    let list_size = match &head {
        Some(head) => {
            let state = SyncState::new(session.log.as_ref(), session.objects.as_ref(), head);
            state.list_size(&state.deltas().await?).await?
        }
        None => 0,
    };
    let snapshot = head.as_ref().and_then(|h| h.snapshot.as_ref());
    let seen_at = snapshot.map_or(Millis(0), |s| s.order.modified);
    let refused = session.log.input_rejects(&entry.dataset.to_string()).await?;
    let refused = refused.into_iter().next().filter(|r| r.at > seen_at);
    let mut standing = Standing {
        sync: sync.clone(),
        state: "",
        dataset: entry.dataset.to_string(),
        destination: entry.destination.to_string(),
        list: head.as_ref().map_or(&*entry.names.list, |h| h.list()).to_owned(),
        old_lists: head.iter().flat_map(|h| &h.lists.old).map(old).collect(),
        list_size,
        version: head.as_ref().map_or(0, |h| h.version),
        last_snapshot: snapshot.map(|s| Snapshot { key: s.order.key.clone(), modified: utc(s.order.modified) }),
        pending_changes: head.as_ref().map_or(0, pending),
        run,
        last_run,
        rejected: rejects.len() as u64,
        quarantined,
        held: head.iter().flat_map(|h| held(sync, h)).collect(),
        attention: head
            .as_ref()
            .and_then(|h| h.attention.as_ref())
            .map(|a| Waiting { reason: a.reason.clone(), since: utc(a.since) }),
        refused_snapshot: refused.map(|r| Refused { subject: r.subject, reason: r.reason, at: utc(r.at) }),
        slowed: slowed(session, entry).await?,
        paused: entry.paused,
        last_succeeded_at: head.as_ref().and_then(|h| h.last_succeeded_at).map(utc),
    };
    standing.state = standing.word();
    Ok(standing)
}

async fn runs(session: &Session, sync: &SyncId, head: Option<&Head>) -> anyhow::Result<(Option<Active>, Option<Past>)> {
    let mut active = None;
    if let Some(id) = head.and_then(|h| h.active_run.as_ref())
        && let Some(run) = session.log.run(sync, id).await?
    {
        active = Some(going_on(&run, calls(session, sync, id).await?));
    }
    let recent = session.log.runs(sync, 20).await?;
    let last = match recent.iter().find(|r| r.state == RunState::Committed) {
        Some(run) => Some(past(run, calls(session, sync, &run.id).await?)),
        None => None,
    };
    Ok((active, last))
}

fn going_on(run: &Run, calls: Calls) -> Active {
    Active {
        id: run.id.to_string(),
        state: run.state.name(),
        calls: calls.planned,
        settled: calls.settled,
        jobs: calls.jobs,
        jobs_since: calls.jobs_since.map(utc),
        reason: reason(run).map(ToOwned::to_owned),
        until: until(run).map(utc),
        needs_a_person: needs_a_person(run),
    }
}

fn past(run: &Run, calls: Calls) -> Past {
    let result = run.result.unwrap_or_default();
    Past {
        id: run.id.to_string(),
        adds: run.counts.adds,
        updates: run.counts.updates,
        removals: run.counts.removals,
        delivered: result.delivered,
        rejected: result.rejected,
        unknown: result.unknown,
        undelivered: result.undelivered,
        unnamed: result.unnamed,
        calls: calls.data(),
        requests: calls.requests,
        committed_at: run.committed_at.map(utc),
    }
}

/// Changes of versions that no committed run has covered, and what a fold left over.
fn pending(head: &Head) -> u64 {
    let covered = head.delivered.iter().map(|d| d.through).max().unwrap_or(0);
    let logged: u64 = head.versions.range(covered + 1..).map(|(_, v)| v.count).sum();
    logged + head.residue.as_ref().map_or(0, |r| r.count)
}

fn old(old: &OldList) -> Old {
    Old {
        list: old.list.as_str().to_owned(),
        destination: old.destination.to_string(),
        since: utc(old.since),
        failures: old.failures,
        last_error: old.last_error.clone(),
    }
}

fn held<'a>(sync: &'a SyncId, head: &'a Head) -> impl Iterator<Item = Held> + 'a {
    head.active_holds().map(move |(number, hold)| {
        let version = version_of(number);
        Held {
            version,
            count: hold.count,
            reason: hold.reason.clone(),
            since: utc(hold.since),
            approve_command: format!("driftless approve {sync} --version {version} --ceiling {}", hold.count),
        }
    })
}

impl Standing {
    /// How it stands in one word, the most urgent first.
    fn word(&self) -> &'static str {
        match () {
            () if self.attention.is_some() => "needs_attention",
            () if self.refused_snapshot.is_some() => "snapshot_refused",
            () if self.run.as_ref().is_some_and(|r| r.needs_a_person) => "needs_attention",
            () if !self.held.is_empty() => "held",
            () if self.run.as_ref().is_some_and(|r| r.state == "parked") => "parked",
            () if self.run.is_some() => "running",
            () if self.paused => "paused",
            () if self.last_snapshot.is_none() => "no_snapshot",
            () if self.pending_changes > 0 => "pending",
            () => "in_sync",
        }
    }

    fn needs_a_person(&self) -> bool {
        matches!(self.state, "needs_attention" | "snapshot_refused" | "held")
    }

    fn good(&self) -> Option<bool> {
        match self.state {
            "in_sync" | "running" => Some(true),
            _ if self.needs_a_person() => Some(false),
            _ => None,
        }
    }

    /// What to say beneath its line of the table.
    fn details(&self, entry: Option<&SyncEntry>) -> Vec<String> {
        let sync = &self.sync;
        let mut lines = Vec::new();
        if entry.is_some_and(|e| e.names.list != self.list) {
            lines.push(format!("goes by the list {}, which a run has made", self.list));
        }
        if let Some(a) = &self.attention {
            lines.push(format!("needs attention since {}: {}", a.since, a.reason));
        }
        if let Some(r) = &self.refused_snapshot {
            lines.push(format!("refused {} at {}: {}", r.subject, r.at, r.reason));
        }
        if let Some(run) = &self.run {
            let why = run.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
            let next = match (&run.until, run.needs_a_person) {
                (Some(at), _) => format!("; tried again at {at}"),
                (None, true) => {
                    format!("; mend it, then `driftless check {}` and `driftless sync now {sync}`", self.destination)
                }
                (None, false) => String::new(),
            };
            lines.push(format!(
                "run {} is {}, {} of {} calls settled{why}{next}",
                run.id, run.state, run.settled, run.calls
            ));
            if let (Some(since), 1..) = (&run.jobs_since, run.jobs) {
                lines.push(format!("{} jobs at the destination, the oldest accepted at {since}", count(run.jobs)));
            }
        }
        if let Some(last) = self.last_run.as_ref().filter(|last| last.unnamed > 0) {
            lines.push(format!(
                "run {}: the destination refused {} records and does not say which; they count as delivered",
                last.id,
                count(last.unnamed)
            ));
        }
        for old in &self.old_lists {
            let why = match &old.last_error {
                Some(why) => {
                    format!(", tried {} times: {why}; tried again by every sweep", count(u64::from(old.failures)))
                }
                None => String::new(),
            };
            lines.push(format!(
                "the old list {} at {} is to be deleted since {}{why}",
                old.list, old.destination, old.since
            ));
        }
        lines.extend(self.slowed.as_ref().map(|slowed| slowed.line(&self.destination)));
        for h in &self.held {
            lines.push(format!("{} records held since {}: {}", count(h.count), h.since, h.reason));
            lines.push(format!("  approve with: {}", h.approve_command));
        }
        if self.rejected > 0 {
            let (rejected, quarantined) = (count(self.rejected), count(self.quarantined));
            lines.push(format!(
                "{rejected} records rejected, {quarantined} of them quarantined: driftless rejects {sync}"
            ));
        }
        if entry.is_some_and(|e| e.paused) {
            lines.push(format!("paused: `driftless resume {sync}` goes on"));
        }
        lines
    }
}

fn render(standings: &[Standing], now: Millis, entries: &[SyncEntry]) -> String {
    let since = |at: Option<&str>| {
        let at = at.and_then(|t| t.parse::<jiff::Timestamp>().ok());
        at.map_or_else(|| "never".to_owned(), |t| ago(now, Millis(t.as_millisecond())))
    };
    let mut t = table(&["sync", "state", "list", "pending", "last snapshot", "last success"]);
    for s in standings {
        t.add_row(vec![
            Cell::new(&s.sync),
            state(&s.state.replace('_', " "), s.good()),
            figure(s.list_size),
            figure(s.pending_changes),
            Cell::new(since(s.last_snapshot.as_ref().map(|s| s.modified.as_str()))),
            Cell::new(since(s.last_succeeded_at.as_deref())),
        ]);
    }
    let mut lines = vec![t.to_string()];
    for (s, entry) in standings.iter().zip(entries.iter().map(Some).chain(core::iter::repeat(None))) {
        let details = s.details(entry);
        if !details.is_empty() {
            lines.push(format!("\n{}", s.sync));
            lines.extend(details.iter().map(|d| format!("  {d}")));
        }
    }
    lines.join("\n")
}
