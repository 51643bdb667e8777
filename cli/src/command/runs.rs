use clap::Args;
use comfy_table::Cell;
use driftless_cost::PriceTable;
use driftless_deltalog::ledger::{Run, RunState};
use driftless_model::SyncId;
use serde::Serialize;
use serde_json::json;

use crate::Ended;
use crate::cost::Used;
use crate::output::{figure, show, state, table};
use crate::session::Session;
use crate::sync_state::{Calls, calls, reason};
use crate::time::utc;

/// Show the runs of a sync, newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless runs newsletter
  driftless runs newsletter --limit 100 --json")]
pub(crate) struct Runs {
    /// The sync.
    sync: SyncId,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

/// One run.
#[derive(Debug, Serialize)]
struct Told {
    /// Its id.
    run: String,
    state: &'static str,
    reason: Option<String>,
    cause: String,
    strategy: String,
    planned_at: String,
    committed_at: Option<String>,
    /// The last log version it covers.
    through: u64,
    adds: u64,
    updates: u64,
    removals: u64,
    held: u64,
    quarantined: u64,
    result: Option<driftless_deltalog::ledger::RunResult>,
    /// Calls that carry records.
    calls: u64,
    calls_by_operation: Calls,
    /// API requests made, retries and look-ups included.
    requests: u64,
    /// What it used of AWS, at list prices: planning so far, and all of it once it is committed.
    used: Used,
}

impl Runs {
    pub(crate) async fn run(&self, session: &Session, json: bool) -> anyhow::Result<Ended> {
        let entry = session.entry(&self.sync).await?;
        let prices = PriceTable::default();
        let mut told = Vec::new();
        for run in session.log.runs(&entry.sync, self.limit).await? {
            // A run that was overtaken before it was activated has sent nothing and says nothing.
            if run.state != RunState::Abandoned {
                let calls = calls(session, &entry.sync, &run.id).await?;
                told.push(tell(&run, calls, &prices));
            }
        }
        show(json, &json!({ "sync": self.sync, "runs": told }), || render(&self.sync, &told))?;
        Ok(Ended::Well)
    }
}

fn tell(run: &Run, calls: Calls, prices: &PriceTable) -> Told {
    Told {
        run: run.id.to_string(),
        state: run.state.name(),
        reason: reason(run).map(ToOwned::to_owned),
        cause: run.cause.clone(),
        strategy: run.strategy.clone(),
        planned_at: utc(run.planned_at),
        committed_at: run.committed_at.map(utc),
        through: run.through,
        adds: run.counts.adds,
        updates: run.counts.updates,
        removals: run.counts.removals,
        held: run.counts.held,
        quarantined: run.counts.quarantined,
        result: run.result,
        calls: calls.data(),
        calls_by_operation: calls,
        requests: calls.requests,
        used: Used::of(prices, &run.usage),
    }
}

fn render(sync: &SyncId, runs: &[Told]) -> String {
    if runs.is_empty() {
        return format!("{sync} has had no run yet; `driftless plan {sync}` shows what the next one would do.");
    }
    let header = [
        "run",
        "state",
        "cause",
        "planned at",
        "adds",
        "updates",
        "removals",
        "calls",
        "requests",
        "delivered",
        "rejected",
        "unknown",
    ];
    let mut t = table(&header);
    for r in runs {
        let good = match r.state {
            "committed" => Some(true),
            "parked" => Some(false),
            _ => None,
        };
        let result = r.result.unwrap_or_default();
        t.add_row(vec![
            Cell::new(&r.run),
            state(r.state, good),
            Cell::new(&r.cause),
            Cell::new(&r.planned_at),
            figure(r.adds),
            figure(r.updates),
            figure(r.removals),
            figure(r.calls),
            figure(r.requests),
            figure(result.delivered),
            figure(result.rejected),
            figure(result.unknown),
        ]);
    }
    t.to_string()
}
