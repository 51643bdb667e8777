//! A real list that changes: the package index of two Debian releases, written by Arrow C++ and by Polars. Skipped where
//! the data is not there.

use std::collections::BTreeMap;

use driftless_model::{AttrHash, KeyHash, Millis};
use driftless_objects::MemoryObjects;
use driftless_snapshot::{Limits, ViewSpec};

use crate::support::{Snapshot, spec, test_data, with_where};

fn release(name: &str) -> Option<Snapshot> {
    let path = test_data()?.join("debian").join(format!("{name}.parquet"));
    let bytes = std::fs::read(path).ok()?;
    let objects = MemoryObjects::default();
    let parts = vec![objects.upload("datasets/debian/packages/all.parquet", bytes.into(), Millis(0)).object];
    Some(Snapshot { objects, parts, limits: Limits::default() })
}

fn states(snapshot: &Snapshot, spec: &ViewSpec) -> BTreeMap<KeyHash, AttrHash> {
    snapshot.digest(spec).rows.iter().map(|d| (d.key_hash, d.attr_hash)).collect()
}

/// Adds, removals, updates, and the size of the list after, by a merge of the digests.
fn changes(spec: &ViewSpec) -> Option<(usize, usize, usize, usize)> {
    let (old, new) = (states(&release("bullseye")?, spec), states(&release("bookworm")?, spec));
    let adds = new.keys().filter(|k| !old.contains_key(*k)).count();
    let removals = old.keys().filter(|k| !new.contains_key(*k)).count();
    let updates = new.iter().filter(|(k, v)| old.get(*k).is_some_and(|o| o != *v)).count();
    Some((adds, removals, updates, new.len()))
}

#[test]
fn the_changes_are_those_that_duckdb_finds() {
    let all = [
        "version",
        "section",
        "priority",
        "maintainer",
        "maintainer_email",
        "installed_kib",
        "size_bytes",
        "homepage",
        "description",
        "depends",
    ];
    for (spec, expected) in [
        (spec("package", &all), (10_876, 6_093, 42_840, 63_436)),
        (spec("package", &["maintainer_email", "section"]), (10_876, 6_093, 3_372, 63_436)),
        (with_where("section = 'python'", "package", &["maintainer_email", "version"]), (943, 209, 3_234, 4_544)),
    ] {
        if let Some(found) = changes(&spec) {
            assert_eq!(found, expected);
        }
    }
}
