//! What `make bench` measures of Driftless, and the decode floor beside it: one contender a process.
//!
//! `driftless-bench COMMAND SNAPSHOTS WORK`, where SNAPSHOTS holds the part files of two snapshots in `a` and `b`, and WORK
//! what `prepare` left. Each command prints what it found and how long its parts took, as one line of JSON.
//!
//! | command | does |
//! |---|---|
//! | `prepare` | a history file of snapshot a, and what a run from a to b delivers (not measured) |
//! | `floor` | decodes every column of b with the `parquet` crate, nothing else |
//! | `changes` | b against the history, until the changes are found |
//! | `ingest` | the same, until the log items are built: what `ingest` does before it writes |
//! | `fold` | the next history file out of the history and what was delivered: what `janitor` does |

mod answer;
mod files;
mod floor;
mod lanes;
mod ours;
mod prepare;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::Value;

use crate::ours::Ours;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    answer::answer(run(&arguments))
}

fn run(arguments: &[String]) -> anyhow::Result<Value> {
    let [command, snapshots, work] = arguments else {
        anyhow::bail!("usage: driftless-bench prepare|floor|changes|ingest|fold SNAPSHOTS WORK");
    };
    let (snapshots, work) = (Path::new(snapshots), Path::new(work));
    let threads = match std::env::var("DRIFTLESS_BENCH_THREADS") {
        Ok(text) => text.parse().context("DRIFTLESS_BENCH_THREADS is not a number")?,
        Err(_) => 2,
    };
    if command == "floor" {
        return floor::floor(&snapshots.join("b"), threads);
    }
    // As a function has it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        let ours = Ours::new(snapshots, work, threads);
        match command.as_str() {
            "prepare" => prepare::prepare(&ours).await,
            "changes" => ours.changes().await,
            "ingest" => ours.ingest().await,
            "fold" => ours.fold().await,
            other => anyhow::bail!("there is no command {other}"),
        }
    })
}
