use std::path::PathBuf;

use clap::Args;
use comfy_table::Cell;
use driftless_config::{Destination, FirstSync, Problem, Project, Schedule, Strangers, Strategy, Sync, load_project};
use driftless_connector::{BuildError, HttpPolicy, MissingSecret, Secrets, build, capabilities_of};
use driftless_model::{InTurn, SyncId};
use driftless_snapshot::{Digested, HashKey, Limits, Source, View, ViewError, ViewSpec, check_view};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::Ended;
use crate::args::Global;
use crate::ended::Trouble;
use crate::local_file::LocalFile;
use crate::output::{figure, show, table};
use crate::progress::Progress;
use crate::time::counted;

/// Check the project, offline.
///
/// Reports everything that is wrong at once, each with file, line, column, key and what to do. With `--data`, a Parquet file
/// is read as ingest would read it: columns, types and SQL are checked, and what each sync would select is counted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless validate
  driftless validate --data customers.parquet
  driftless validate --data customers.parquet --sync newsletter --json")]
pub(crate) struct Validate {
    /// A snapshot to check the syncs against.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Check only this sync against the data; for a project with several datasets.
    #[arg(long, requires = "data")]
    sync: Option<SyncId>,
}

/// What is wrong with a project, and what is only worth knowing.
#[derive(Default)]
pub(crate) struct Found {
    /// Nothing may be applied while there is any.
    pub(crate) problems: Vec<Problem>,
    /// Worth knowing.
    pub(crate) warnings: Vec<Problem>,
}

impl Validate {
    pub(crate) async fn run(&self, global: &Global) -> anyhow::Result<Ended> {
        let project = load_project(&global.project);
        let mut found = examine(&project);
        let mut read_as = Vec::new();
        if let Some(data) = &self.data {
            let file = LocalFile::open(data)?;
            let syncs: Vec<(&SyncId, &Sync)> =
                project.syncs.iter().filter(|(name, _)| self.sync.as_ref().is_none_or(|s| s == *name)).collect();
            if let Some(sync) = self.sync.as_ref().filter(|_| syncs.is_empty()) {
                return Err(Trouble::usage(
                    format!("the project has no valid sync `{sync}`"),
                    "see `driftless validate`",
                )
                .into());
            }
            read_as = read(&project, &syncs, &file, &mut found).await?;
        }
        if !found.problems.is_empty() {
            return tell(&found, global.json, "the project is not valid");
        }
        let (syncs, destinations) = (project.syncs.len(), project.destinations.len());
        let data: Vec<Value> = read_as.iter().map(|(sync, digested)| in_json(sync, digested)).collect();
        let value = json!({
            "valid": true, "syncs": syncs, "destinations": destinations,
            "problems": [], "warnings": found.warnings, "data": data,
        });
        show(global.json, &value, || {
            let mut lines: Vec<String> = found.warnings.iter().map(|w| format!("warning: {w}")).collect();
            lines.push(format!("Valid: {} and {}.", counted(syncs, "sync"), counted(destinations, "destination")));
            if !read_as.is_empty() {
                lines.push(render(&read_as));
            }
            lines.join("\n")
        })?;
        Ok(Ended::Well)
    }
}

/// All that can be said of a project without data: its own problems, what a mode asks of its destination, templates.
pub(crate) fn examine(project: &Project) -> Found {
    let mut found = Found { problems: project.problems.clone(), warnings: Vec::new() };
    for (name, destination) in &project.destinations {
        match built(destination, HttpPolicy { allow_private: true, ..HttpPolicy::default() }) {
            // What a kind needs of its surroundings is there when it is deployed.
            Ok(()) | Err(BuildError::Flaw { .. } | BuildError::Port { .. }) => {}
            Err(e) => found.problems.push(project.destination_problem(name, key_of(&e), message(&e), "mend it")),
        }
        if let Err(e @ BuildError::Url { .. }) = built(destination, HttpPolicy::default()) {
            let remedy = "only a local deployment reaches it";
            found.warnings.push(project.destination_problem(name, key_of(&e), message(&e), remedy));
        }
    }
    for (name, sync) in &project.syncs {
        let Some(destination) = project.destinations.get(&sync.destination) else { continue };
        let (needs, can) = (sync.mode.needs(), capabilities_of(destination));
        // Who is selected is in the replacement, and who left is taken out by it.
        let replaces = can.replace.is_some() && matches!(sync.strategy, Strategy::Auto | Strategy::Replace);
        let send = can.add.is_some() || can.update.is_some() || replaces;
        let remove = can.remove.is_some() || replaces;
        if sync.strategy == Strategy::Replace && can.replace.is_none() {
            found.problems.push(project.sync_problem(
                name,
                "strategy",
                format!("the destination `{}` cannot replace a whole list", sync.destination),
                "leave `strategy` out, or write delta or full_then_remove",
            ));
        }
        let reads = sync.strategy == Strategy::Compare
            || sync.first_sync == FirstSync::Adopt
            || sync.reconcile.schedule != Schedule::Manual
            || sync.reconcile.strangers == Strangers::Remove;
        if reads && !can.list {
            let key = match () {
                () if sync.strategy == Strategy::Compare => "strategy",
                () if sync.first_sync == FirstSync::Adopt => "first_sync",
                () => "reconcile",
            };
            found.problems.push(project.sync_problem(
                name,
                key,
                format!("the members of a list at `{}` cannot be listed, so it cannot be compared", sync.destination),
                format!("leave `{key}` out"),
            ));
        }
        for (missing, what) in
            [((needs.add || needs.update) && !send, "add or update"), (needs.remove && !remove, "remove")]
        {
            if missing {
                found.problems.push(project.sync_problem(
                    name,
                    "mode",
                    format!("the destination `{}` does not say how to {what} records", sync.destination),
                    format!("describe `{}` there, or choose another mode", what.split(' ').next().unwrap_or(what)),
                ));
            }
        }
    }
    found.problems.sort();
    found
}

/// Any secret will do to see whether a connector can be built. A signing secret has a form, which is looked at; what is stored is
/// for `driftless check` to read.
struct AnySecret;

/// 24 bytes that sign nothing.
const IN_EVERY_FORM: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl Secrets for AnySecret {
    fn secret(&self, _: &driftless_config::SecretRef) -> Result<SecretString, MissingSecret> {
        Ok(SecretString::from(IN_EVERY_FORM))
    }
}

fn built(destination: &Destination, policy: HttpPolicy) -> Result<(), BuildError> {
    build(destination, "list", &AnySecret, policy).map(|_| ())
}

fn key_of(error: &BuildError) -> &str {
    match error {
        BuildError::Template { key, .. } => key,
        BuildError::Header { key } | BuildError::Flaw { key, .. } => key,
        BuildError::Url { .. } => "base_url",
        _ => "",
    }
}

fn message(error: &BuildError) -> String {
    match error {
        BuildError::Template { line, what, .. } => format!("line {line} of the template: {what}"),
        other => driftless_runtime::chain(other),
    }
}

/// Reads the file for all syncs at once, as ingest does. What a sync cannot read becomes a problem of that sync.
async fn read<'p>(
    project: &Project,
    syncs: &[(&'p SyncId, &Sync)],
    file: &LocalFile,
    found: &mut Found,
) -> anyhow::Result<Vec<(&'p SyncId, Digested)>> {
    let progress = Progress::spinner("reading the snapshot");
    let (parts, limits) = ([file.part()], Limits::default());
    let source = Source { objects: file, parts: &parts, limits: &limits };
    let schema = driftless_snapshot::schema(source).await?;
    let mut specs = Vec::new();
    for (name, sync) in syncs {
        let spec = ViewSpec::from(*sync);
        match check_view(&spec, &schema) {
            Ok(()) => specs.push((*name, spec)),
            Err(e) => found.problems.push(view_problem(project, name, &e)),
        }
    }
    let nobody = std::collections::BTreeSet::new();
    let views: Vec<View<'_>> = specs.iter().map(|(_, spec)| View { spec, erased: &nobody }).collect();
    // Any key will do: only counts are shown.
    let digests = driftless_snapshot::digest(source, &views, &HashKey::new([0; 32]), &InTurn::default()).await?;
    drop(progress);
    let mut counted = Vec::new();
    for ((name, _), digested) in specs.iter().zip(digests) {
        match digested {
            Ok(digested) => counted.push((*name, digested)),
            Err(e) => found.problems.push(view_problem(project, name, &e)),
        }
    }
    Ok(counted)
}

fn view_problem(project: &Project, sync: &SyncId, error: &ViewError) -> Problem {
    use driftless_snapshot::Use;
    let key = match error {
        ViewError::MissingColumn { named_in, .. }
        | ViewError::AmbiguousColumn { named_in, .. }
        | ViewError::WrongType { named_in, .. } => match named_in {
            Use::Key => "key".to_owned(),
            Use::Field(field) => format!("mapping.{field}"),
            Use::Prefer => "prefer.column".to_owned(),
            _ => "selection".to_owned(),
        },
        _ => "selection".to_owned(),
    };
    project.sync_problem(sync, &key, error.to_string(), "change the sync, or the data")
}

/// Prints what is wrong.
pub(crate) fn tell(found: &Found, json: bool, consequence: &str) -> anyhow::Result<Ended> {
    let value = json!({ "valid": false, "problems": found.problems, "warnings": found.warnings });
    show(json, &value, || {
        let mut lines: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
        lines.extend(found.warnings.iter().map(|w| format!("warning: {w}")));
        lines.push(format!("{}; {consequence}.", counted(found.problems.len(), "problem")));
        lines.join("\n")
    })?;
    Ok(Ended::Invalid)
}

fn in_json(sync: &SyncId, digested: &Digested) -> Value {
    let r = &digested.report;
    let invalid: serde_json::Map<String, Value> =
        r.invalid.iter().map(|(reason, i)| (reason.as_str().to_owned(), json!(i.count))).collect();
    json!({
        "sync": sync, "rows": r.rows_read, "selected": r.selected, "records": digested.rows.len(),
        "null_keys": r.null_keys, "duplicate_keys": r.duplicate_keys, "invalid": invalid, "already_hashed": r.digests,
    })
}

fn render(counted: &[(&SyncId, Digested)]) -> String {
    let mut t = table(&["sync", "rows", "selected", "records", "duplicate keys", "invalid"]);
    for (sync, digested) in counted {
        let r = &digested.report;
        let invalid: Vec<String> = r.invalid.iter().map(|(why, i)| format!("{} {}", why.as_str(), i.count)).collect();
        let invalid = if invalid.is_empty() { "0".to_owned() } else { invalid.join(", ") };
        t.add_row(vec![
            Cell::new(sync),
            figure(r.rows_read),
            figure(r.selected),
            figure(digested.rows.len() as u64),
            figure(r.duplicate_keys),
            Cell::new(invalid),
        ]);
    }
    let mut text = t.to_string();
    for (sync, digested) in counted {
        for (field, count) in &digested.report.digests {
            text.push_str(&format!(
                "\n{sync}: {} of `{field}` already hashed; passed on as they are, see `driftless check-hash`.",
                crate::time::counted(usize::try_from(*count).unwrap_or(usize::MAX), "value"),
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_destination_that_the_documentation_shows_can_be_built() {
        let shown = include_str!("../../../docs/destinations.md").split("```yaml\n").skip(1);
        let shown: Vec<&str> = shown.filter_map(|rest| rest.split("```").next()).collect();
        assert!(shown.len() > 10, "{} examples", shown.len());
        for yaml in shown {
            let destination = Destination::from_yaml(yaml).unwrap_or_else(|error| panic!("{yaml}\n{error}"));
            match built(&destination, HttpPolicy::default()) {
                Ok(()) | Err(BuildError::Port { .. }) => {}
                Err(error) => panic!("{yaml}\n{error}"),
            }
        }
    }
}
