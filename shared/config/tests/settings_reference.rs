//! `docs/settings.md` says what the types say.

use std::{env, fs, path::Path};

#[test]
fn the_reference_in_the_documentation_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let current = driftless_config::settings_reference();
    if env::var_os("DRIFTLESS_BLESS").is_some() {
        fs::write(&file, &current).expect("docs/settings.md can be written");
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == current,
        "docs/settings.md is not current; write it anew with\n  DRIFTLESS_BLESS=1 cargo test -p driftless-config --test settings_reference"
    );
}

#[test]
fn every_setting_is_described() {
    let reference = driftless_config::settings_reference();
    let rows: Vec<_> = reference.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() > 60, "{}", rows.len());
    for row in rows {
        let description = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        assert!(!description.trim().is_empty(), "{row}");
    }
}
