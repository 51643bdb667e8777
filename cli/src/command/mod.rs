//! One file per command.

pub(crate) mod apply;
pub(crate) mod approve;
pub(crate) mod check;
pub(crate) mod check_hash;
pub(crate) mod erase;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod reconcile;
pub(crate) mod rejects;
pub(crate) mod resync;
pub(crate) mod runs;
pub(crate) mod sample;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod sync_now;
pub(crate) mod validate;

use crate::Ended;
use crate::args::{Cli, Command, SyncCommand};
use crate::session::Session;

/// Does what the arguments say. Only commands that need the cloud open a session.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<Ended> {
    let (global, command) = (cli.global, cli.command);
    let offline = match &command {
        Command::Init(c) => Some(c.run(&global)),
        Command::CheckHash(c) => Some(c.run(&global)),
        Command::Sample(c) => Some(c.run(&global)),
        Command::Schema(c) => Some(c.run(&global)),
        Command::Validate(c) => Some(c.run(&global).await),
        _ => None,
    };
    if let Some(ended) = offline {
        return ended;
    }
    let session = Session::open(&global).await?;
    let (s, json) = (&session, global.json);
    match command {
        Command::Apply(c) => c.run(s, &global).await,
        Command::Plan(c) => c.run(s, json).await,
        Command::Status(c) => c.run(s, json).await,
        Command::Explain(c) => c.run(s, json).await,
        Command::Runs(c) => c.run(s, json).await,
        Command::Rejects(c) => c.run(s, json).await,
        Command::Approve(c) => c.run(s, json).await,
        Command::Sync(SyncCommand::Now(c)) => c.run(s, json).await,
        Command::Pause(c) => c.run(s, json).await,
        Command::Resume(c) => c.run(s, json).await,
        Command::Reconcile(c) => c.run(s, json).await,
        Command::Resync(c) => c.run(s, json).await,
        Command::Erase(c) => c.run(s, json).await,
        Command::Check(c) => c.run(s, &global).await,
        Command::Init(_) | Command::CheckHash(_) | Command::Sample(_) | Command::Schema(_) | Command::Validate(_) => {
            Ok(Ended::Well)
        }
    }
}
