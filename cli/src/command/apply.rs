use clap::Args;
use comfy_table::Cell;
use driftless_config::load_project;
use serde_json::json;

use crate::Ended;
use crate::apply::entry::Meaning;
use crate::apply::work::Work;
use crate::args::Global;
use crate::command::validate;
use crate::output::{confirm, note, show, table};
use crate::progress::Progress;
use crate::session::Session;
use crate::time::counted;

/// Make the deployment do what the project says.
///
/// Checks the project as `validate` does, stores its configuration where the functions read it, creates, changes and deletes
/// the schedules, and asks for the newest snapshot of every new or changed sync. Applying twice changes nothing. Syncs that
/// are no longer in the project are deleted, and a sync that points at another list starts anew: both are confirmed first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless apply
  driftless apply --project lists --stage prod --yes")]
pub(crate) struct Apply {
    /// Confirm deletions and changes of lists without being asked.
    #[arg(long, short)]
    yes: bool,
}

impl Apply {
    pub(crate) async fn run(&self, session: &Session, global: &Global) -> anyhow::Result<Ended> {
        let project = load_project(&global.project);
        let found = validate::examine(&project);
        if !found.problems.is_empty() {
            return validate::tell(&found, global.json, "nothing was applied");
        }
        let work = Work::find(session, &project).await?;
        confirm(self.yes, &work.drastic())?;
        if !work.is_empty() {
            let progress = Progress::spinner("applying");
            work.carry_out(session, |what| progress.say(what)).await?;
        }
        for idle in &work.idle {
            note(&format!("destination {idle} has no connector deployed and no sync that uses it; it was left out"));
        }
        show(global.json, &json!({ "changed": !work.is_empty(), "applied": work.told() }), || render(&work))?;
        Ok(Ended::Well)
    }
}

fn render(work: &Work) -> String {
    if work.is_empty() {
        let (syncs, destinations) =
            (counted(work.syncs.len(), "sync"), counted(work.destinations.len(), "destination"));
        return format!("Nothing to change: {syncs} and {destinations}, as the project says.");
    }
    let mut t = table(&["", "name", "change", "schedule", "what follows"]);
    for d in &work.destinations {
        let change = if d.changed { "applied" } else { "same" };
        t.add_row(vec![Cell::new("destination"), Cell::new(&d.entry.destination), Cell::new(change)]);
    }
    for s in &work.syncs {
        let change = match s.meaning {
            Meaning::New => "new",
            Meaning::OtherList => "other list",
            Meaning::SendAgain | Meaning::Settings => "changed",
            Meaning::Same => "same",
        };
        let cells = ["sync", s.entry.sync.as_str(), change, s.schedule.as_str(), s.meaning.follows()];
        t.add_row(cells.map(Cell::new).to_vec());
    }
    for e in &work.gone_syncs {
        let cells = ["sync", e.sync.as_str(), "deleted", "deleted", "the members of its list stay"];
        t.add_row(cells.map(Cell::new).to_vec());
    }
    for d in &work.gone_destinations {
        t.add_row(vec![Cell::new("destination"), Cell::new(d), Cell::new("deleted")]);
    }
    t.to_string()
}
