//! Rows that only their content identifies: no key, and of equal rows a number.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use driftless_config::{FieldMapping, KeyColumns, Mapping, RECORD_KEY};
use driftless_model::{Identifier, InTurn, KeyHash};
use driftless_snapshot::{View, ViewSpec, records, states};
use futures::executor::block_on;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use crate::support::{Digested, Snapshot, digest, identified_by, ints, key, parquet, spec, strings, table};

fn by_content(columns: &[&str], identifiers: &[&str]) -> ViewSpec {
    let spec = identified_by(spec("x", columns), identifiers);
    ViewSpec { key: KeyColumns::new(Vec::new()).expect("no column"), ..spec }
}

/// The same with the key in a field of its own, by which the destination tells the rows apart.
fn with_key_field(mut spec: ViewSpec) -> ViewSpec {
    let key = FieldMapping { identifier: true, ..FieldMapping::new("row", RECORD_KEY) };
    spec.mapping = Mapping::new(spec.mapping.fields().iter().cloned().chain([key]).collect());
    spec
}

fn rows(pairs: &[(&str, i64)]) -> RecordBatch {
    let names: Vec<_> = pairs.iter().map(|(name, _)| Some(*name)).collect();
    let numbers: Vec<_> = pairs.iter().map(|(_, number)| *number).collect();
    table(vec![("name", strings(&names)), ("number", ints(&numbers))])
}

fn keys(digested: &Digested) -> BTreeSet<KeyHash> {
    digested.rows.iter().map(|row| row.key_hash).collect()
}

#[test]
fn three_equal_rows_that_become_two_are_one_removal() {
    let spec = by_content(&["name", "number"], &[]);
    let of = |pairs| Snapshot::table(&rows(pairs)).digest(&spec);
    let three = of(&[("a", 1), ("b", 1), ("a", 1), ("a", 1)]);
    let two = of(&[("a", 1), ("a", 1), ("b", 1)]);
    assert_eq!((three.rows.len(), three.report.duplicate_keys), (4, 0), "each of them is a record");
    let (three, two) = (keys(&three), keys(&two));
    assert_eq!(three.difference(&two).count(), 1);
    assert!(two.is_subset(&three));
}

#[test]
fn a_row_that_changes_is_another_record() {
    let spec = by_content(&["name", "number"], &[]);
    let of = |pairs| keys(&Snapshot::table(&rows(pairs)).digest(&spec));
    assert!(of(&[("a", 1)]).is_disjoint(&of(&[("a", 2)])));
    assert!(of(&[("a", 1), ("b", 2)]).is_disjoint(&of(&[("a", 2), ("b", 1)])), "values belong to their rows");
}

#[test]
fn only_mapped_fields_are_content() {
    let of = |pairs| Snapshot::table(&rows(pairs)).digest(&by_content(&["name"], &[]));
    assert_eq!(of(&[("a", 1), ("a", 2)]).rows, of(&[("a", 3), ("a", 4)]).rows);
}

#[test]
fn an_erased_record_is_left_out_and_the_others_keep_their_numbers() {
    let spec = with_key_field(by_content(&["name", "number"], &[]));
    let snapshot = Snapshot::table(&rows(&[("a", 1), ("a", 1), ("b", 1)]));
    let all = keys(&snapshot.digest(&spec));
    for gone in &all {
        let erased = BTreeSet::from([*gone]);
        let views = [View { spec: &spec, erased: &erased }];
        let left = digest(snapshot.source(), &views).expect("fine").pop().expect("one view").expect("fine");
        assert_eq!(left.report.erased, 1);
        assert_eq!(keys(&left), all.iter().filter(|key| *key != gone).copied().collect());
    }
}

#[test]
fn equal_rows_that_share_their_identifier_are_one_member() {
    let spec = by_content(&["name", "number"], &["name"]);
    let digested = Snapshot::table(&rows(&[("a", 1), ("a", 1), ("b", 1)])).digest(&spec);
    assert_eq!(digested.rows.len(), 2, "the destination cannot tell two of them apart");
}

#[test]
fn the_key_is_sent_where_the_mapping_names_it() {
    let spec = with_key_field(by_content(&["name", "number"], &[]));
    let snapshot = Snapshot::table(&rows(&[("a", 1), ("a", 1)]));
    let wanted = snapshot.digest(&spec).rows.iter().map(|row| (row.key_hash, row.attr_hash)).collect();
    let found = block_on(records(snapshot.source(), &spec, &key(), &wanted)).expect("readable");
    assert_eq!(found.len(), 2);
    let names: BTreeSet<&str> = found.values().map(|record| record.key.as_str()).collect();
    let (first, second) = (names.first().expect("two"), names.last().expect("two"));
    assert_eq!((first.strip_suffix("#1"), first.len()), (second.strip_suffix("#2"), 34));
    for (hash, record) in found {
        assert_eq!(key().key_hash(&record.key), hash);
        assert_eq!(record.fields["row"], record.key.as_str());
        assert_eq!(record.identifiers, [Identifier::new("row", record.key.as_str())].into());
        assert!(record.fields.keys().is_sorted());
    }
}

#[test]
fn the_published_key_of_content() {
    let spec = with_key_field(by_content(&["name"], &[]));
    let snapshot = Snapshot::table(&rows(&[("a", 1)]));
    let wanted = snapshot.digest(&spec).rows.iter().map(|row| (row.key_hash, row.attr_hash)).collect();
    let found = block_on(records(snapshot.source(), &spec, &key(), &wanted)).expect("readable");
    let record = found.values().next().expect("one");
    assert_eq!(record.key.as_str(), "8b36cb0e263fe4403c68c7d8ea813ddf#1", "docs/hash-recipe.md");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order and the layout, each row is a record of its own that can be read by its key.
    #[test]
    fn every_row_is_a_record_in_any_order_and_layout(
        numbers in proptest::collection::vec(0_i64..6, 0..200),
        order in any::<u64>(),
        parts in 1_usize..4,
    ) {
        let pairs: Vec<_> = numbers.iter().map(|n| (if n % 2 == 0 { "even" } else { "odd" }, *n)).collect();
        let batch = rows(&pairs);
        let spec = with_key_field(by_content(&["name", "number"], &[]));
        let mut places: Vec<u32> = (0..u32::try_from(pairs.len()).expect("few")).collect();
        places.sort_by_key(|place| u64::from(*place).wrapping_mul(order | 1).rotate_left(17));
        let shuffled = take_record_batch(&batch, &UInt32Array::from(places)).expect("same rows");
        let each = shuffled.num_rows().div_ceil(parts).max(1);
        let cut = (0..parts).map(|part| {
            let start = (part * each).min(shuffled.num_rows());
            let properties = WriterProperties::builder().set_max_row_group_row_count(Some(7)).build();
            parquet(&shuffled.slice(start, each.min(shuffled.num_rows() - start)), properties)
        });
        let (snapshot, other) = (Snapshot::table(&batch), Snapshot::of(cut.collect()));
        let digested = snapshot.digest(&spec);
        prop_assert_eq!(&digested.rows, &other.digest(&spec).rows);
        prop_assert_eq!(digested.rows.len(), pairs.len());

        let wanted: BTreeMap<_, _> = digested.rows.iter().step_by(2).map(|d| (d.key_hash, d.attr_hash)).collect();
        let found = block_on(records(other.source(), &spec, &key(), &wanted)).expect("readable");
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        let erased = BTreeSet::new();
        let views = [View { spec: &spec, erased: &erased }];
        let lanes = InTurn::cut_in(2);
        let digests = block_on(driftless_snapshot::digest(other.source(), &views, &key(), &lanes));
        let digests = digests.expect("fine").pop().expect("one view").expect("fine").rows;
        let wanted: Vec<KeyHash> = wanted.into_keys().collect();
        let states = block_on(states(other.source(), &spec, &key(), &digests, &wanted, &lanes)).expect("readable");
        prop_assert_eq!(states.len(), wanted.len());
        for (hash, state) in states {
            let record = &found[&hash];
            prop_assert_eq!((&state.key, state.attr_hash, &state.identifiers), (&record.key, record.attr_hash, &record.identifiers));
        }
    }
}
