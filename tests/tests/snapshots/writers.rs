//! One table, four writers, every layout: no change between any two, and the changes that DuckDB finds between two states.

use std::collections::{BTreeMap, BTreeSet};

use driftless_config::Selection;

use super::manifest::{Keys, Manifest, Written, write};
use super::rust_writer::rewrite;
use super::taken::{Digests, changes, digests, expected, found, spec};

/// All files of one state, digested under every set of columns that a test looks at.
struct State(Vec<BTreeMap<Vec<String>, Digests>>);

impl State {
    fn of(&self, file: usize, columns: &[String]) -> &Digests {
        &self.0[file][columns]
    }
}

/// The written tables: digested in their old and in their new state.
struct Tables {
    manifest: Manifest,
    files: Vec<Written>,
    old: State,
    new: State,
}

impl Tables {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = write(folder.path())?;
        let mut files = manifest.files.clone();
        files.extend(rewrite(&files[0]));
        let mut columns: BTreeSet<Vec<String>> =
            files[0].columns.iter().filter(|c| **c != manifest.key).map(|c| vec![c.clone()]).collect();
        for a in &files {
            columns.extend(files.iter().map(|b| shared(&manifest, a, b)));
            columns.extend(files.iter().map(|b| compared(&manifest, a, b)));
        }
        let digested = |path: fn(&Written) -> &std::path::Path| {
            let each = files.iter().map(|file| {
                let mine = columns.iter().filter(|set| set.iter().all(|c| file.columns.contains(c))).cloned();
                let mine: Vec<Vec<String>> = mine.collect();
                let specs: Vec<_> = mine.iter().map(|c| spec(&manifest.key, c, Selection::Everything)).collect();
                mine.into_iter().zip(digests(path(file), &specs)).collect()
            });
            State(each.collect())
        };
        let (old, new) = (digested(|f| &f.old), digested(|f| &f.new));
        Some(Self { manifest, files, old, new })
    }

    fn name(&self, file: usize) -> String {
        let Written { writer, layout, .. } = &self.files[file];
        format!("{writer} ({layout})")
    }
}

/// The columns that two files both have.
fn shared(manifest: &Manifest, a: &Written, b: &Written) -> Vec<String> {
    a.columns.iter().filter(|c| **c != manifest.key && b.columns.contains(c)).cloned().collect()
}

/// Of these, the ones that DuckDB can compare.
fn compared(manifest: &Manifest, a: &Written, b: &Written) -> Vec<String> {
    shared(manifest, a, b).into_iter().filter(|c| !manifest.unknown.contains_key(c)).collect()
}

/// One test, because writing and digesting the tables is most of the work.
#[test]
#[allow(clippy::print_stdout)] // who wrote what, for the log
fn a_snapshot_is_the_same_whoever_wrote_it_and_its_changes_are_those_that_duckdb_finds() {
    let Some(tables) = Tables::new() else { return };
    for (number, file) in tables.files.iter().enumerate() {
        println!("{}: {} columns", tables.name(number), file.columns.len() - 1);
        for (column, why) in &file.lacks {
            println!("    without {column}: {why}");
        }
    }
    let pairs = no_changes_between_any_two(&tables);
    println!("{pairs} pairs of files: no change");
    let changesets = the_changes_are_those_of_duckdb(&tables);
    println!("{changesets} changesets equal DuckDB's; without {:?}", tables.manifest.unknown);
    for selected in &tables.manifest.debian {
        let selection = match (&selected.condition, &selected.sql) {
            (Some(condition), None) => Selection::Where(condition.clone()),
            (None, Some(sql)) => Selection::Sql(sql.clone()),
            _ => Selection::Everything,
        };
        let specs = [spec(&selected.key, &selected.columns, selection)];
        let (old, new) = (digests(&selected.old, &specs), digests(&selected.new, &specs));
        let (wanted, got) = (expected(&selected.keys), found(&changes(&old[0], &new[0])));
        let Keys { adds, updates, removals } = &selected.keys;
        let missing = wanted.iter().filter(|(k, kind)| got.get(k) != Some(kind)).count();
        let strange = got.iter().filter(|(k, kind)| wanted.get(k) != Some(kind)).count();
        assert_eq!((missing, strange), (0, 0), "{}: missing and strange changes", selected.name);
        println!("{}: {} adds, {} updates, {} removals", selected.name, adds.len(), updates.len(), removals.len());
    }
}

/// Done when 4 of the engine's issue: zero changes between any two files of one snapshot.
fn no_changes_between_any_two(tables: &Tables) -> usize {
    let mut differing = Vec::new();
    let mut pairs = 0;
    for (state, name) in [(&tables.old, "old"), (&tables.new, "new")] {
        for a in 0..tables.files.len() {
            for b in 0..a {
                pairs += 1;
                let columns = shared(&tables.manifest, &tables.files[a], &tables.files[b]);
                if changes(state.of(a, &columns), state.of(b, &columns)).is_empty() {
                    continue;
                }
                for column in columns {
                    let one = std::slice::from_ref(&column);
                    let changed = changes(state.of(a, one), state.of(b, one)).len();
                    if changed > 0 {
                        let (a, b) = (tables.name(a), tables.name(b));
                        differing.push(format!("{column}, {name}: {changed} changes between {a} and {b}"));
                    }
                }
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    pairs
}

/// Done when 3, second half: whatever pair of writers wrote the two states.
fn the_changes_are_those_of_duckdb(tables: &Tables) -> usize {
    let manifest = &tables.manifest;
    let mut compared_changesets = 0;
    let updates: BTreeMap<&str, &Keys> = (manifest.changesets.iter())
        .filter_map(|c| if let [one] = c.columns.as_slice() { Some((one.as_str(), &c.keys)) } else { None })
        .collect();
    let every = manifest.changesets.iter().find(|c| c.columns.len() > 1).expect("one of all columns");
    assert_eq!(every.keys, union(&updates, &every.columns), "{}: the columns' changes together", every.name);
    for a in 0..tables.files.len() {
        for b in 0..tables.files.len() {
            let columns = compared(manifest, &tables.files[a], &tables.files[b]);
            let together = (columns.clone(), union(&updates, &columns));
            let alone = columns.iter().map(|c| (vec![c.clone()], updates[c.as_str()].clone()));
            for (columns, keys) in alone.chain([together]) {
                compared_changesets += 1;
                let got = found(&changes(tables.old.of(a, &columns), tables.new.of(b, &columns)));
                let (from, to) = (tables.name(a), tables.name(b));
                assert_eq!(got, expected(&keys), "{columns:?} from {from} to {to}");
            }
        }
    }
    compared_changesets
}

/// A record is updated if one of its columns is.
fn union(of: &BTreeMap<&str, &Keys>, columns: &[String]) -> Keys {
    let mut keys = columns.first().map(|c| of[c.as_str()].clone()).unwrap_or_default();
    let updates: BTreeSet<String> = columns.iter().flat_map(|c| of[c.as_str()].updates.iter().cloned()).collect();
    keys.updates = updates.into_iter().collect();
    keys
}
