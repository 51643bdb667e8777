//! The `driftless` command: configuration as code in, and every question about a sync answered.
//!
//! Each subcommand is a file under `command/`. It reads what it needs through the same ports as the functions (deltalog,
//! objects, queues), so that everything but the clients themselves is tested on the stores in memory. Decisions of the
//! product are made where the functions make them; what is decided here is only how configuration becomes registry entries
//! and schedules (`apply`), and what a record's traces mean to a person (`explain`).
//!
//! * No record value or identifier is printed, but for the one record whose key the user typed (`explain`): key hashes are.
//! * Everything is printed as JSON with `--json`; how a command ended is its exit code ([`Ended`]).
//!
//! What does not belong here: anything that a function would have to do as well.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod apply;
mod args;
mod command;
mod cost;
mod ended;
mod explain;
mod local_file;
mod output;
mod progress;
#[cfg(test)]
mod reference;
mod sample;
mod schedules;
mod session;
mod slowed;
mod sync_state;
mod time;

use std::process::ExitCode;

use clap::Parser;

pub use ended::Ended;

/// Reads the arguments, does what they say, and reports how it ended.
pub async fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let json = cli.global.json;
    let ended = match command::run(cli).await {
        Ok(ended) => ended,
        Err(error) => ended::report(&error, json),
    };
    ended.into()
}
