//! One file: its text, read into a type, checked, with every problem at its place.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Destination, DestinationKind, ProjectSettings, Sync,
    destination::ReadKind,
    ids_file,
    problem::{Finding, Problem, nearest},
    schema,
    yaml::{self, Content, Located, Node, Position, Reading},
};

/// A file and where its keys stand.
#[derive(Debug, Default)]
pub(crate) struct Source {
    file: PathBuf,
    places: BTreeMap<String, Position>,
}

/// What came of a file: the value if nothing is wrong with it, else the problems.
#[derive(Debug)]
pub(crate) struct Loaded<T> {
    pub(crate) value: Option<T>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) source: Source,
}

impl<T> Loaded<T> {
    /// Of a file that could not even be read.
    pub(crate) fn failed(problem: Problem) -> Self {
        let source = Source { file: problem.file.clone(), places: BTreeMap::new() };
        Self { value: None, problems: vec![problem], source }
    }
}

impl Source {
    /// Puts a finding at the place of its key, or of the nearest key above it that stands in the file.
    pub(crate) fn problem(&self, finding: &Finding) -> Problem {
        let mut key = finding.key.as_str();
        let at = loop {
            match (self.places.get(key), key.rfind(['.', '['])) {
                (Some(at), _) => break *at,
                (None, Some(end)) => key = &key[..end],
                (None, None) => break self.places.get("").copied().unwrap_or_default(),
            }
        };
        let Finding { key, message, remedy } = finding.clone();
        self.located(Located { at, key, message, remedy })
    }

    fn located(&self, problem: Located) -> Problem {
        let Located { at: Position { line, column }, key, message, remedy } = problem;
        Problem { file: self.file.clone(), line, column, key, message, remedy }
    }
}

/// Reads and checks the text of a sync. `file` says where it comes from and where an `ids_file` is looked for.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_sync(text: &str, file: &Path) -> Result<Sync, Vec<Problem>> {
    let loaded = sync(text, file);
    loaded.value.ok_or(loaded.problems)
}

/// Reads and checks the text of a destination. `file` says where it comes from.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_destination(text: &str, file: &Path) -> Result<Destination, Vec<Problem>> {
    let loaded = destination(text, file);
    loaded.value.ok_or(loaded.problems)
}

pub(crate) fn sync(text: &str, file: &Path) -> Loaded<Sync> {
    load(
        text,
        file,
        |root, problems| {
            if let Err(problem) = ids_file::inline(root, file.parent().unwrap_or(Path::new(""))) {
                problems.push(problem);
                if let Some(selection) = root.entry("selection") {
                    selection.value.refused.set(true);
                }
            }
            let mut reading = yaml::read::<Sync>(root, &required(&schema::sync_schema()));
            if let Some(sync) = &mut reading.value {
                sync.settle();
            }
            reading
        },
        Sync::findings,
    )
}

pub(crate) fn settings(text: &str, file: &Path) -> Loaded<ProjectSettings> {
    load(text, file, |root, _| yaml::read(root, &[]), ProjectSettings::findings)
}

/// The kind is read first, as it decides what the other keys mean.
pub(crate) fn destination(text: &str, file: &Path) -> Loaded<Destination> {
    let read = |root: &mut Node, problems: &mut Vec<Located>| {
        let Some(kind) = root.entry("kind") else {
            problems.push(no_kind(root));
            return Reading { value: None, problems: Vec::new() };
        };
        let Reading { value, problems: unknown } = yaml::read::<DestinationKind>(&kind.value, &[]);
        problems.extend(unknown.into_iter().map(|p| Located { key: "kind".to_owned(), ..p }));
        match value {
            Some(kind) => kind.read(Nodes(root)),
            None => Reading { value: None, problems: Vec::new() },
        }
    };
    load(text, file, read, |destination| {
        let flaws = destination.flaws().into_iter();
        flaws.map(|flaw| Finding::new(flaw.key, flaw.message, flaw.remedy)).collect()
    })
}

fn no_kind(root: &Node) -> Located {
    let misspelt = root.entries().iter().find(|e| nearest(&e.key, ["kind"]).is_some());
    let (at, key) = misspelt.map_or((root.at, "kind"), |e| (e.at, e.key.as_str()));
    let remedy = if misspelt.is_some() {
        "did you mean `kind`?".to_owned()
    } else {
        let all: Vec<&str> = DestinationKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("add `kind: …` with one of {}", all.join(", "))
    };
    Located { at, key: key.to_owned(), message: "`kind` is missing".to_owned(), remedy }
}

/// Reads the nodes of a file, with every problem where it stands.
struct Nodes<'n>(&'n Node);

impl ReadKind for Nodes<'_> {
    type Out = Reading<Destination>;

    fn read<T: DeserializeOwned + schemars::JsonSchema>(self, wrap: fn(Box<T>) -> Destination) -> Self::Out {
        let Reading { value, problems } = yaml::read::<Box<T>>(self.0, &required(&schema::of::<T>()));
        Reading { value: value.map(wrap), problems }
    }
}

/// The keys that a type must have, by its schema.
fn required(schema: &Value) -> Vec<String> {
    let names = schema["required"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn load<T>(
    text: &str,
    file: &Path,
    read: impl FnOnce(&mut Node, &mut Vec<Located>) -> Reading<T>,
    check: impl FnOnce(&T) -> Vec<Finding>,
) -> Loaded<T> {
    let mut source = Source { file: file.to_owned(), places: BTreeMap::new() };
    let mut root = match yaml::parse(text) {
        Ok(root) => root,
        Err(problem) => {
            let problems = vec![source.located(problem)];
            return Loaded { value: None, problems, source };
        }
    };
    // An empty file is a document without keys.
    if matches!(root.content, Content::Null) {
        root.content = Content::Map(Vec::new());
    }
    source.places = yaml::places(&root);
    let mut wrong = Vec::new();
    let Reading { value, problems } = read(&mut root, &mut wrong);
    wrong.extend(problems);
    // What was left out because it is wrong must not be missed: findings about it, or about what it may have meant, wait.
    let touched: Vec<&str> = wrong.iter().map(|p| first(&p.key)).collect();
    let concerns = |key: &str| touched.iter().any(|t| *t == key || nearest(t, [key]).is_some());
    let findings = value.as_ref().map(check).unwrap_or_default();
    let findings: Vec<_> = findings.into_iter().filter(|f| !concerns(first(&f.key))).collect();
    let mut problems: Vec<Problem> = wrong.iter().cloned().map(|p| source.located(p)).collect();
    problems.extend(findings.iter().map(|f| source.problem(f)));
    problems.sort();
    let value = if problems.is_empty() { value } else { None };
    Loaded { value, problems, source }
}

/// The first key of a path.
fn first(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}
