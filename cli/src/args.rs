//! The command line: options of every command, and the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use driftless_runtime::Stage;

use crate::command::{
    apply, approve, check, check_hash, erase, explain, init, pause, plan, reconcile, rejects, resync, runs, sample,
    schema, status, sync_now, validate,
};

const AFTER: &str = "\
Exit codes:
  0  done, and nobody needs to act
  1  it failed; the message says why
  2  it was called wrongly, or names a sync or destination that does not exist
  3  done, and a person needs to act: something is held, needs attention or failed a check
  4  the configuration is not valid; every problem is listed
  5  what was waited for did not happen in time; it may still happen

A first list:
  driftless sample --rows 1000 --out customers.parquet
  driftless init customers.parquet --dataset acme/customers
  driftless validate --data customers.parquet
  driftless apply";

/// Keeps lists in other systems equal to selections of your data.
#[derive(Debug, Parser)]
#[command(name = "driftless", version, propagate_version = true, max_term_width = 100, after_help = AFTER)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The folder with `syncs/`, `destinations/` and `driftless.yaml`.
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    pub(crate) project: PathBuf,
    /// The deployment among several in one account. By default that of `driftless.yaml`, else `dev`.
    #[arg(long, global = true, env = "DRIFTLESS_STAGE")]
    pub(crate) stage: Option<Stage>,
    /// The bucket, where it is not the one that the deployment created.
    #[arg(long, global = true, env = "DRIFTLESS_BUCKET")]
    pub(crate) bucket: Option<String>,
    /// The AWS profile; `AWS_PROFILE` and the AWS configuration files are read as the AWS tools read them.
    #[arg(long, global = true)]
    pub(crate) profile: Option<String>,
    /// The AWS Region. By default that of `driftless.yaml`, else of the AWS configuration.
    #[arg(long, global = true)]
    pub(crate) region: Option<String>,
    /// Another AWS endpoint, such as the local cloud's; `AWS_ENDPOINT_URL` works as in the AWS tools.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// Print JSON. Its fields are stable; new ones may be added.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Let `check` reach private addresses, as a connector function of a local deployment may.
    #[arg(long, global = true, hide = true, env = "DRIFTLESS_ALLOW_PRIVATE_DESTINATIONS")]
    pub(crate) allow_private_destinations: bool,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Init),
    Validate(validate::Validate),
    Apply(apply::Apply),
    Plan(plan::Plan),
    Status(status::Status),
    Explain(explain::Explain),
    Runs(runs::Runs),
    Rejects(rejects::Rejects),
    Approve(approve::Approve),
    /// Ask for a run.
    #[command(subcommand)]
    Sync(SyncCommand),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Reconcile(reconcile::Reconcile),
    Resync(resync::Resync),
    Erase(erase::Erase),
    Check(check::Check),
    CheckHash(check_hash::CheckHash),
    Sample(sample::Sample),
    Schema(schema::Schema),
}

/// `driftless sync …`
#[derive(Debug, Subcommand)]
pub(crate) enum SyncCommand {
    Now(sync_now::Now),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_its_exit_codes_are_the_documented_ones() {
        Cli::command().debug_assert();
        for (ended, meaning) in crate::Ended::ALL {
            assert!(AFTER.contains(&format!("  {}  {meaning}", ended.code())), "{ended:?}");
        }
    }

    #[test]
    fn every_command_shows_examples() {
        fn visit(command: &clap::Command) {
            if command.has_subcommands() {
                command.get_subcommands().filter(|c| c.get_name() != "help").for_each(visit);
            } else {
                let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(after.contains("Examples:"), "{} has no examples", command.get_name());
            }
        }
        visit(&Cli::command());
    }
}
