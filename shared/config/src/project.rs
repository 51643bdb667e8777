//! A folder of configuration: `driftless.yaml`, `syncs/*.yaml` and `destinations/*.yaml`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use driftless_model::{DestinationId, SyncId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Destination, Mode, Sync,
    problem::{Finding, Problem, enumerate, nearest},
    source::{Loaded, Source, destination, settings, sync},
};

/// Settings of the whole project: the optional file `driftless.yaml` beside `syncs/` and `destinations/`. Options of the
/// command line and `DRIFTLESS_…` variables win over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "A project of Driftless")]
pub struct ProjectSettings {
    /// The stage: one deployment among several in one account. Part of the names of all resources.
    #[serde(default = "dev")]
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9-]{0,19}$"))]
    pub stage: String,
    /// The AWS Region. By default the one that the AWS tools use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"eu-central-1")]
    pub region: Option<String>,
    /// An existing bucket for snapshots and state. By default the one that the deployment creates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
}

fn dev() -> String {
    "dev".to_owned()
}

impl Default for ProjectSettings {
    fn default() -> Self {
        Self { stage: dev(), region: None, bucket: None }
    }
}

impl ProjectSettings {
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let named = !self.stage.is_empty() && self.stage.len() <= 20 && !self.stage.starts_with('-');
        if named && self.stage.bytes().all(plain) {
            return Vec::new();
        }
        let remedy = "write 1 to 20 characters of a-z, 0-9 and -, starting with a letter or digit";
        vec![Finding::new("stage", "this cannot be part of the names of resources", remedy)]
    }
}

/// The configuration of a folder, as far as it can be read, and all that is wrong with it.
#[derive(Debug, Default)]
pub struct Project {
    /// What `driftless.yaml` says, or the defaults.
    pub settings: ProjectSettings,
    /// The syncs that nothing is wrong with.
    pub syncs: BTreeMap<SyncId, Sync>,
    /// The destinations that nothing is wrong with.
    pub destinations: BTreeMap<DestinationId, Destination>,
    /// What is wrong, by file and line. Nothing should be applied while there is any.
    pub problems: Vec<Problem>,
    sync_sources: BTreeMap<SyncId, Source>,
    destination_sources: BTreeMap<DestinationId, Source>,
}

/// Loads a folder of configuration. Reads files and changes nothing; all that is wrong, unreadable files included, is in
/// [`Project::problems`].
#[must_use]
pub fn load_project(dir: &Path) -> Project {
    let mut project = Project::default();
    let file = within(dir, "driftless.yaml");
    if file.exists() {
        let Loaded { value, problems, .. } = read(&file).map_or_else(Loaded::failed, |text| settings(&text, &file));
        project.problems.extend(problems);
        project.settings = value.unwrap_or_default();
    }
    for (name, file) in named_files::<DestinationId>(dir, "destinations", &mut project.problems) {
        let loaded = read(&file).map_or_else(Loaded::failed, |text| destination(&text, &file));
        project.destination_sources.insert(name.clone(), loaded.source);
        project.problems.extend(loaded.problems);
        if let Some(destination) = loaded.value {
            project.destinations.insert(name, destination);
        }
    }
    for (name, file) in named_files::<SyncId>(dir, "syncs", &mut project.problems) {
        let loaded = read(&file).map_or_else(Loaded::failed, |text| sync(&text, &file));
        project.sync_sources.insert(name.clone(), loaded.source);
        project.problems.extend(loaded.problems);
        if let Some(sync) = loaded.value {
            project.syncs.insert(name, sync);
        }
    }
    if project.sync_sources.is_empty() {
        project.problems.push(Problem {
            file: within(dir, "syncs"),
            line: 0,
            column: 0,
            key: String::new(),
            message: "there is no sync in this folder".to_owned(),
            remedy: "write one to syncs/<name>.yaml, or let `driftless init` write it".to_owned(),
        });
    }
    project.check_destinations();
    project.check_lists();
    project.problems.sort();
    project
}

impl Project {
    /// A problem of a sync that somebody else found (a mode that its destination cannot do, SQL that does not parse, a
    /// column that a Parquet file has not), at the place of `key` in its file.
    #[must_use]
    pub fn sync_problem(
        &self,
        sync: &SyncId,
        key: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Problem {
        located(self.sync_sources.get(sync), &Finding::new(key, message, remedy))
    }

    /// A problem of a destination that somebody else found (a template that does not parse), at the place of `key` in its
    /// file.
    #[must_use]
    pub fn destination_problem(
        &self,
        destination: &DestinationId,
        key: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Problem {
        located(self.destination_sources.get(destination), &Finding::new(key, message, remedy))
    }

    /// Every sync names a destination that has a file, be it a wrong one.
    fn check_destinations(&mut self) {
        let known = || self.destination_sources.keys().map(DestinationId::as_str);
        let found: Vec<Problem> = self
            .syncs
            .iter()
            .filter(|(_, sync)| !self.destination_sources.contains_key(&sync.destination))
            .map(|(name, sync)| {
                let remedy = match nearest(sync.destination.as_str(), known()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if self.destination_sources.is_empty() => {
                        format!("describe it in destinations/{}.yaml", sync.destination)
                    }
                    None => format!("there are {}", enumerate(known())),
                };
                self.sync_problem(
                    name,
                    "destination",
                    format!("there is no destination `{}`", sync.destination),
                    remedy,
                )
            })
            .collect();
        self.problems.extend(found);
    }

    /// A list that is a mirror of one selection cannot be fed by another: each would remove what the other added (DL-1).
    fn check_lists(&mut self) {
        let mut found = Vec::new();
        for (mirror, mirroring) in self.syncs.iter().filter(|(_, sync)| sync.mode == Mode::Mirror) {
            for (other, feeding) in &self.syncs {
                let feeds = feeding.mode.needs().add || feeding.mode.needs().update;
                let same = (&feeding.destination, &feeding.list) == (&mirroring.destination, &mirroring.list);
                // Of two mirrors the second is told.
                if !feeds || !same || other == mirror || (feeding.mode == Mode::Mirror && other < mirror) {
                    continue;
                }
                found.push(self.sync_problem(
                    other,
                    "list",
                    format!(
                        "the sync `{mirror}` mirrors its selection to the same list, and would fight with this one"
                    ),
                    "give each its own list, or select both in one sync",
                ));
            }
        }
        self.problems.extend(found);
    }
}

fn located(source: Option<&Source>, finding: &Finding) -> Problem {
    source.map_or_else(|| Source::default().problem(finding), |source| source.problem(finding))
}

/// `dir/name`, and plain `name` for the folder we are in, so that a problem can be clicked on.
fn within(dir: &Path, name: &str) -> PathBuf {
    if dir == Path::new(".") { PathBuf::from(name) } else { dir.join(name) }
}

fn read(file: &Path) -> Result<String, Problem> {
    let text = fs::read(file).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
    });
    text.map_err(|e| unreadable(file, &e))
}

fn unreadable(file: &Path, error: &io::Error) -> Problem {
    let message = format!("this cannot be read: {error}");
    file_problem(file, message, "check that it is there, is UTF-8 text, and may be read")
}

fn file_problem(file: &Path, message: String, remedy: &str) -> Problem {
    Problem { file: file.to_owned(), line: 0, column: 0, key: String::new(), message, remedy: remedy.to_owned() }
}

/// The `*.yaml` files of a folder with the names that they give to what they describe, in the order of the names.
fn named_files<N>(dir: &Path, folder: &str, problems: &mut Vec<Problem>) -> Vec<(N, PathBuf)>
where
    N: core::str::FromStr<Err: core::fmt::Display> + Ord,
{
    let folder = within(dir, folder);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => {
            problems.push(unreadable(&folder, &e));
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => files.push(folder.join(entry.file_name())),
            Err(e) => problems.push(unreadable(&folder, &e)),
        }
    }
    files.sort();
    let mut named = Vec::new();
    for file in files {
        let extension = file.extension().and_then(|e| e.to_str());
        if extension == Some("yml") {
            problems.push(file_problem(
                &file,
                "files are read by the ending .yaml only".to_owned(),
                "rename it to end in .yaml",
            ));
        }
        if extension != Some("yaml") || !file.is_file() {
            continue;
        }
        match file.file_stem().and_then(|s| s.to_str()).unwrap_or_default().parse::<N>() {
            Ok(name) => named.push((name, file)),
            Err(e) => {
                problems.push(file_problem(
                    &file,
                    format!("the name of the file cannot be used: {e}"),
                    "rename the file",
                ));
            }
        }
    }
    named
}
