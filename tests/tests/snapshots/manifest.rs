//! What `tests/writers/write.py` wrote and worked out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// The whole of it.
#[derive(Deserialize)]
pub(crate) struct Manifest {
    pub(crate) key: String,
    pub(crate) files: Vec<Written>,
    pub(crate) changesets: Vec<Changeset>,
    /// Columns that DuckDB cannot compare, and why.
    pub(crate) unknown: BTreeMap<String, String>,
    pub(crate) debian: Vec<Selected>,
}

/// The table in two states, as one writer wrote it.
#[derive(Clone, Deserialize)]
pub(crate) struct Written {
    pub(crate) writer: String,
    pub(crate) layout: String,
    pub(crate) columns: Vec<String>,
    /// Columns that this writer cannot express so, and why.
    pub(crate) lacks: BTreeMap<String, String>,
    pub(crate) old: PathBuf,
    pub(crate) new: PathBuf,
}

/// DuckDB's changes of some columns.
#[derive(Deserialize)]
pub(crate) struct Changeset {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    #[serde(flatten)]
    pub(crate) keys: Keys,
}

/// Record keys, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Keys {
    pub(crate) adds: Vec<String>,
    pub(crate) updates: Vec<String>,
    pub(crate) removals: Vec<String>,
}

/// DuckDB's changes of a real list under one selection.
#[derive(Deserialize)]
pub(crate) struct Selected {
    pub(crate) name: String,
    pub(crate) old: PathBuf,
    pub(crate) new: PathBuf,
    pub(crate) key: String,
    pub(crate) columns: Vec<String>,
    #[serde(rename = "where")]
    pub(crate) condition: Option<String>,
    pub(crate) sql: Option<String>,
    #[serde(flatten)]
    pub(crate) keys: Keys,
}

/// Has the tables written. `None`, with a note, where Python's tools are not installed.
///
/// `DRIFTLESS_VENV` says where they are; then they must be there. `DRIFTLESS_WRITERS_SEED` makes other tables.
#[allow(clippy::print_stderr)] // a skipped test says so
pub(crate) fn write(folder: &Path) -> Option<Manifest> {
    let python = python()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("writers/write.py");
    let seed = std::env::var("DRIFTLESS_WRITERS_SEED").unwrap_or_else(|_| "1".to_owned());
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg(folder).arg(&seed);
    match std::env::var_os("DRIFTLESS_TEST_DATA").map(|data| Path::new(&data).join("debian")).filter(|d| d.is_dir()) {
        Some(debian) => drop(command.arg(debian)),
        None => eprintln!("without the Debian releases: DRIFTLESS_TEST_DATA is not set"),
    }
    let done = command.output().expect("python runs");
    assert!(done.status.success(), "write.py with seed {seed}: {}", String::from_utf8_lossy(&done.stderr));
    let manifest = std::fs::read(folder.join("manifest.json")).expect("write.py leaves a manifest");
    Some(serde_json::from_slice(&manifest).expect("of this shape"))
}

#[allow(clippy::print_stderr)] // a skipped test says so
fn python() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("DRIFTLESS_VENV") {
        return Some(Path::new(&named).join("bin/python"));
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
    let python = cache.join("driftless/venv/bin/python");
    let imports = Command::new(&python).args(["-c", "import duckdb, polars, pyarrow"]).output();
    if imports.is_ok_and(|done| done.status.success()) {
        return Some(python);
    }
    eprintln!("skipped: DuckDB, Polars and Arrow for Python are not installed; `make tools` does it");
    None
}
