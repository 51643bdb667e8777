//! The vendors' own SDKs, which drive the stubs with only the host changed, and their message classes.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The Python of the tools' environment, if it has these packages. `make` names it; by hand it may be missing.
#[allow(clippy::print_stderr)] // a skipped test says so
fn python(imports: &str) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("DRIFTLESS_VENV") {
        return Some(Path::new(&named).join("bin/python"));
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
    let python = cache.join("driftless/venv/bin/python");
    let found = Command::new(&python).args(["-c", &format!("import {imports}")]).output();
    if found.is_ok_and(|done| done.status.success()) {
        return Some(python);
    }
    eprintln!("skipped: the Python packages {imports} are not installed; `make tools` does it");
    None
}

/// Runs a script of `tests/vendor` to its end. `None`: the packages are not there.
pub async fn run(script: &'static str, imports: &'static str, arguments: Vec<String>) -> Option<String> {
    let python = python(imports)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendor").join(script);
    let run = move || Command::new(python).env("PYTHONDONTWRITEBYTECODE", "1").arg(script).args(arguments).output();
    let done = tokio::task::spawn_blocking(run).await.expect("it ends").expect("python runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(String::from_utf8_lossy(&done.stdout).into_owned())
}
