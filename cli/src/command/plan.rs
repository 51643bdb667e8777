use std::collections::BTreeMap;

use clap::Args;
use driftless_fn_planner::Preview;
use driftless_fn_planner::plan::Planner;
use driftless_fn_planner::strategy::Alternative;
use driftless_model::{Meter, Operation, SyncId};
use driftless_snapshot::Limits;
use serde_json::{Value, json};

use crate::Ended;
use crate::output::show;
use crate::progress::Progress;
use crate::session::Session;
use crate::time::{count, minutes};

/// Show what the next run would do, and write nothing.
///
/// Adds, updates and removals, the calls they take, how long these take at the destination's rate limit, what a guard would
/// hold, and a sample of key hashes. Only snapshots that have been taken up count.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless plan newsletter
  driftless plan newsletter --json")]
pub(crate) struct Plan {
    /// The sync.
    sync: SyncId,
}

/// The planner over the session's stores. Only [`Planner::preview`] is called: it writes and sends nothing.
pub(super) async fn planner(session: &Session) -> anyhow::Result<Planner> {
    Ok(Planner {
        log: session.log.clone(),
        objects: session.objects.clone(),
        queue: session.queue.clone(),
        clock: session.clock.clone(),
        tokens: session.tokens.clone(),
        hash_key: session.hash_key().await?,
        limits: Limits::default(),
        meter: Meter::default(),
        room: driftless_fn_planner::Room::default(),
        ingest_queue: String::new(),
        own_queue: String::new(),
        janitor_queue: String::new(),
    })
}

impl Plan {
    pub(crate) async fn run(&self, session: &Session, json: bool) -> anyhow::Result<Ended> {
        let entry = session.entry(&self.sync).await?;
        let progress = Progress::spinner("planning");
        let preview = planner(session).await?.preview(&entry.sync).await?;
        drop(progress);
        let sync = &self.sync;
        let Some(preview) = preview else {
            show(json, &json!({ "sync": sync, "snapshot": false }), || {
                format!(
                    "{sync} has taken up no snapshot yet: put one under {} in {}.",
                    entry.dataset.prefix(),
                    session.bucket
                )
            })?;
            return Ok(Ended::Well);
        };
        show(json, &in_json(sync, &preview), || render(sync, &preview))?;
        Ok(if preview.held.is_some() { Ended::Attention } else { Ended::Well })
    }
}

fn by_operation(preview: &Preview) -> BTreeMap<Operation, u64> {
    let mut calls = BTreeMap::new();
    for call in &preview.calls {
        *calls.entry(call.operation).or_default() += 1;
    }
    calls
}

/// Seconds that the planned calls take at the rate limit; none where there is no limit.
fn seconds(preview: &Preview) -> Option<f64> {
    seconds_of(preview, preview.calls.len() as u64)
}

#[allow(clippy::cast_precision_loss)] // an estimate
fn seconds_of(preview: &Preview, calls: u64) -> Option<f64> {
    let rate = preview.rate?;
    Some(calls as f64 * rate.interval().as_secs_f64())
}

/// Dollars that the destination asks for so many calls, where that is known.
#[allow(clippy::cast_precision_loss)] // an estimate
fn price_of(preview: &Preview, calls: u64) -> Option<f64> {
    preview.price_per_call.map(|nano| nano as f64 * calls as f64 / 1e9)
}

/// What else the destination could be asked for.
fn alternatives(p: &Preview) -> Vec<String> {
    let line = |a: &Alternative| {
        let mut text =
            format!("{:<17} {} calls, {} records", a.way.strategy().as_str(), count(a.calls), count(a.records));
        if let Some(seconds) = seconds_of(p, a.calls) {
            text += &format!(", at least {}", minutes(seconds));
        }
        if let Some(price) = price_of(p, a.calls) {
            text += &format!(", ${price:.4}");
        }
        if let Some(why) = a.impossible {
            text += &format!(" (not possible: {why})");
        }
        text
    };
    p.alternatives.iter().map(line).collect()
}

fn in_json(sync: &SyncId, p: &Preview) -> Value {
    let calls: BTreeMap<&str, u64> = by_operation(p).into_iter().map(|(op, n)| (op.as_str(), n)).collect();
    json!({
        "sync": sync, "snapshot": true, "list_size": p.list, "strategy": p.strategy,
        "adds": p.counts.adds, "updates": p.counts.updates, "removals": p.counts.removals,
        "held": p.counts.held, "quarantined": p.counts.quarantined, "held_by_this_run": p.held,
        "calls": p.calls.len(), "calls_by_operation": calls,
        "minutes": seconds(p).map(|s| s / 60.0), "sample": p.sample,
        "alternatives": p.alternatives.iter().map(|a| json!({
            "strategy": a.way.strategy().as_str(), "calls": a.calls, "records": a.records,
            "minutes": seconds_of(p, a.calls).map(|s| s / 60.0), "dollars": price_of(p, a.calls), "impossible": a.impossible,
        })).collect::<Vec<Value>>(),
    })
}

fn render(sync: &SyncId, p: &Preview) -> String {
    let c = &p.counts;
    if p.calls.is_empty() && c.held == 0 && c.quarantined == 0 {
        return format!("{sync}: the list of {} equals the selection; a run would send nothing.", count(p.list));
    }
    let mut lines = vec![format!(
        "{sync}: {} adds, {} updates and {} removals to a list of {} ({})",
        count(c.adds),
        count(c.updates),
        count(c.removals),
        count(p.list),
        p.strategy
    )];
    if !p.calls.is_empty() {
        let calls: Vec<String> = by_operation(p).into_iter().map(|(op, n)| format!("{} {op}", count(n))).collect();
        let duration = seconds(p).map_or_else(
            || "no rate limit is configured".to_owned(),
            |s| format!("at least {} at the rate limit", minutes(s)),
        );
        lines.push(format!("calls:       {} ({}); {duration}", count(p.calls.len() as u64), calls.join(", ")));
    }
    let alternatives = alternatives(p);
    if alternatives.len() > 1 {
        lines.push(format!("strategies:  {}", alternatives.join("\n             ")));
    }
    if c.held > 0 {
        lines.push(format!("held:        {} records", count(c.held)));
    }
    if let Some(why) = &p.held {
        lines.push(format!("would hold:  {why}; `driftless approve {sync}` after the run has tried"));
    }
    if c.quarantined > 0 {
        lines.push(format!("quarantined: {} records; `driftless rejects {sync}`", count(c.quarantined)));
    }
    let sample: Vec<String> = p.sample.iter().map(ToString::to_string).collect();
    if !sample.is_empty() {
        lines.push(format!("key hashes:  {}", sample.join("\n             ")));
    }
    lines.join("\n")
}
