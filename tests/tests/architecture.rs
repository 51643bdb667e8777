//! Imports point one way, and what talks to the outside does so from one place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// What each crate of ours may import of ours. A crate that is not named here does not belong.
const IMPORTS: [(&str, &[&str]); 22] = [
    ("model", &[]),
    ("normalize", &[]),
    ("cost", &["model"]),
    ("objects", &["model"]),
    ("changeset", &["model"]),
    ("config", &["model", "normalize"]),
    ("deltalog", &["model"]),
    ("delivery", &["model"]),
    ("connector", &["model", "config"]),
    ("history", &["model", "objects", "changeset"]),
    ("snapshot", &["model", "objects", "config", "normalize"]),
    ("state", &["model", "objects", "changeset", "config", "deltalog", "history"]),
    ("runtime", &["model", "cost", "objects", "deltalog", "delivery"]),
    ("testkit", &["model", "objects", "deltalog", "delivery"]),
    ("stubs", &["connector", "testkit"]),
    ("fn-ingest", &SHARED),
    ("fn-planner", &SHARED),
    ("fn-connector", &SHARED),
    ("fn-janitor", &SHARED),
    ("cli", &CLI),
    ("tests", &EVERYTHING),
    ("bench", &EVERYTHING),
];

const SHARED: [&str; 11] = [
    "model",
    "objects",
    "changeset",
    "config",
    "connector",
    "deltalog",
    "delivery",
    "history",
    "runtime",
    "snapshot",
    "state",
];
/// `driftless plan` shows what the planner would do, by asking it; `driftless check` logs in and writes as the connector does, with
/// its ports.
const CLI: [&str; 15] = [
    "model",
    "cost",
    "objects",
    "changeset",
    "config",
    "connector",
    "deltalog",
    "delivery",
    "history",
    "normalize",
    "runtime",
    "snapshot",
    "state",
    "fn-planner",
    "fn-connector",
];
const EVERYTHING: [&str; 17] = [
    "model",
    "cost",
    "objects",
    "changeset",
    "config",
    "connector",
    "deltalog",
    "delivery",
    "history",
    "runtime",
    "snapshot",
    "state",
    "testkit",
    "fn-ingest",
    "fn-planner",
    "fn-connector",
    "fn-janitor",
];

/// Which crates may use a library that reaches outside. `runtime` and `cli` build the clients and hand them on.
const OUTSIDE: [(&str, &[&str]); 6] = [
    ("aws-sdk-dynamodb", &["deltalog", "runtime", "cli"]),
    ("aws-sdk-sqs", &["delivery", "runtime", "cli"]),
    ("aws-sdk-s3", &["objects", "runtime", "cli"]),
    ("aws-sdk-secretsmanager", &["runtime", "cli"]),
    ("aws-config", &["runtime", "cli"]),
    ("reqwest", &["connector"]),
];

/// Crates that decide and do nothing else.
const PURE: [&str; 4] = ["model", "changeset", "cost", "normalize"];

/// Lines beyond which a file has more than one thing to say.
const LONGEST_FILE: usize = 500;

struct Crate {
    dependencies: BTreeSet<String>,
    root: PathBuf,
}

fn crates() -> BTreeMap<String, Crate> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let options = ["--offline".to_owned()];
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().other_options(options).exec();
    let metadata = metadata.expect("cargo reads the manifests");
    let ours = metadata.packages.into_iter().map(|p| {
        let dependencies = p.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
        let root = PathBuf::from(p.manifest_path.parent().expect("a manifest lies in a folder"));
        let short = p.name.strip_prefix("driftless-").unwrap_or("cli").to_owned();
        (short, Crate { dependencies: dependencies.map(|d| d.name.clone()).collect(), root })
    });
    ours.collect()
}

#[test]
fn imports_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = IMPORTS.into_iter().collect();
    for (name, krate) in crates() {
        let allowed = allowed.get(name.as_str()).unwrap_or_else(|| panic!("crate {name} has no place in the layout"));
        for dependency in krate.dependencies.iter().filter_map(|d| d.strip_prefix("driftless-")) {
            assert!(allowed.contains(&dependency), "{name} must not import {dependency}");
        }
    }
}

#[test]
fn what_reaches_outside_is_used_in_one_place() {
    let allowed: BTreeMap<&str, &[&str]> = OUTSIDE.into_iter().collect();
    for (name, krate) in crates() {
        for dependency in &krate.dependencies {
            if let Some(allowed) = allowed.get(dependency.as_str()) {
                assert!(allowed.contains(&name.as_str()), "{name} must not use {dependency}");
            }
        }
    }
}

#[test]
fn what_decides_knows_no_runtime_no_cloud_and_no_file_format() {
    let all = crates();
    for name in PURE {
        for dependency in &all[name].dependencies {
            let forbidden = ["tokio", "aws-", "arrow", "parquet", "futures", "async-", "reqwest", "rand"];
            assert!(!forbidden.iter().any(|f| dependency.starts_with(f)), "{name} must not use {dependency}");
        }
    }
}

#[test]
fn every_file_has_one_thing_to_say() {
    let mut files = Vec::new();
    for krate in crates().into_values() {
        // Sources; a suite of tests is a list, and may be longer.
        collect(&krate.root.join("src"), &mut files);
    }
    assert!(files.len() > 100, "the sources are not where they are looked for");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source is readable");
        let lines = text.lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", file.display());
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder is readable") {
        let path = entry.expect("a folder is readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}
