//! Snapshots as ingest takes them up: digested, and merged with the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use driftless_changeset::{Changes, merge_diff};
use driftless_config::{FieldMapping, KeyColumns, Mapping, Selection};
use driftless_model::{AttrHash, InTurn, KeyHash, Millis, ObjectVersion, RecordKey};
use driftless_objects::MemoryObjects;
use driftless_snapshot::{HashKey, Limits, Source, View, ViewSpec, digest};
use futures::executor::block_on;

use super::manifest::Keys;

/// Two hashes a record, in key-hash order.
pub(crate) type Digests = Vec<(KeyHash, AttrHash)>;

fn hash_key() -> HashKey {
    HashKey::new([7; 32])
}

/// Each column mapped to a field of its own name.
pub(crate) fn spec(key: &str, columns: &[String], selection: Selection) -> ViewSpec {
    ViewSpec {
        key: KeyColumns::new(vec![key.to_owned()]).expect("one column"),
        selection,
        mapping: Mapping::new(columns.iter().map(|c| FieldMapping::new(c, c)).collect()),
        prefer: None,
    }
}

/// The digests of a file under several views, in one pass.
pub(crate) fn digests(file: &Path, specs: &[ViewSpec]) -> Vec<Digests> {
    let objects = MemoryObjects::default();
    let bytes = std::fs::read(file).expect("it was written");
    let parts: [ObjectVersion; 1] = [objects.upload("datasets/t/d/all.parquet", bytes.into(), Millis(0)).object];
    let limits = Limits::default();
    let source = Source { objects: &objects, parts: &parts, limits: &limits };
    let erased = BTreeSet::new();
    let views: Vec<View<'_>> = specs.iter().map(|spec| View { spec, erased: &erased }).collect();
    let read = block_on(digest(source, &views, &hash_key(), &InTurn::cut_in(3)))
        .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let pairs = read.into_iter().map(|view| {
        let view = view.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        assert_eq!(view.report.invalid.len(), 0, "{}: every row is a record", file.display());
        view.rows.iter().map(|row| (row.key_hash, row.attr_hash)).collect()
    });
    pairs.collect()
}

/// What changed between two snapshots.
pub(crate) fn changes(old: &Digests, new: &Digests) -> Changes {
    merge_diff(old.iter().copied(), new.iter().copied(), true)
}

/// The same as sets of keys; a key hash that none of the keys has is no answer.
pub(crate) fn expected(keys: &Keys) -> BTreeMap<KeyHash, &'static str> {
    let key = hash_key();
    let mut all = BTreeMap::new();
    for (kind, keys) in [("add", &keys.adds), ("update", &keys.updates), ("removal", &keys.removals)] {
        all.extend(keys.iter().map(|k| (key.key_hash(&RecordKey::new(k)), kind)));
    }
    assert_eq!(all.len(), keys.adds.len() + keys.updates.len() + keys.removals.len(), "one answer a key");
    all
}

/// The changes in the form of [`expected`].
pub(crate) fn found(changes: &Changes) -> BTreeMap<KeyHash, &'static str> {
    let adds = changes.adds.iter().map(|(k, _)| (*k, "add"));
    let updates = changes.updates.iter().map(|(k, _)| (*k, "update"));
    adds.chain(updates).chain(changes.removals.iter().map(|k| (*k, "removal"))).collect()
}
