//! A snapshot read beside a list that is known, and as a whole: the same changes, states and counts.

use std::collections::{BTreeMap, BTreeSet};

use driftless_config::Normalize;
use driftless_model::{AttrHash, InTurn, KeyHash, RecordState};
use driftless_snapshot::{
    Digested, Known, KnownRange, Outcome, Sifted, View, ViewSpec, can_sift, digest, digest_against, states,
};
use futures::executor::block_on;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use crate::support::{Snapshot, field, hash, identified_by, key, parquet, spec, strings, table, with_where};

/// Rows of key and value, in row groups of seven and several files. Some have no key.
fn snapshot(rows: &[(Option<u8>, u8)], cut: usize) -> Snapshot {
    let text = |n: &u8| format!("key{n}");
    let keys: Vec<Option<String>> = rows.iter().map(|(key, _)| key.as_ref().map(text)).collect();
    let values: Vec<String> = rows.iter().map(|(_, value)| format!(" V{value}")).collect();
    let keys = strings(&keys.iter().map(Option::as_deref).collect::<Vec<_>>());
    let values = strings(&values.iter().map(|v| Some(v.as_str())).collect::<Vec<_>>());
    let batch = table(vec![("id", keys), ("v", values)]);
    let properties = || WriterProperties::builder().set_max_row_group_row_count(Some(7)).build();
    let cut = cut.min(rows.len());
    let (first, rest) = (batch.slice(0, cut), batch.slice(cut, rows.len() - cut));
    Snapshot::of(vec![parquet(&first, properties()), parquet(&rest, properties())])
}

fn view() -> ViewSpec {
    let view = identified_by(with_where("v <> ' V3'", "id", &["id", "v"]), &["id"]);
    // A fifth of the values are too long.
    field(view, "v", |f| {
        f.normalize = vec![Normalize::Trim, Normalize::Lowercase];
        f.max_length = Some(2);
    })
}

fn whole(snapshot: &Snapshot, spec: &ViewSpec, erased: &BTreeSet<KeyHash>) -> Digested {
    let views = [View { spec, erased }];
    block_on(digest(snapshot.source(), &views, &key(), &InTurn::cut_in(2))).expect("fine").remove(0).expect("fine")
}

fn known(d: &BTreeMap<KeyHash, AttrHash>, most: u64) -> Known {
    let mut ranges = KnownRange::cut(d.len() as u64, 2);
    for range in &mut ranges {
        let (from, to) = range.bounds();
        d.range(from..=to).for_each(|(key, attr)| range.push(*key, *attr));
    }
    Known::of(ranges, most)
}

/// The snapshot's records, of what is in the list and what is not as the list has it, and how often it has both.
fn together(d: &BTreeMap<KeyHash, AttrHash>, known: &Known, sifted: &Sifted) -> (BTreeMap<KeyHash, AttrHash>, u64) {
    let mut all: BTreeMap<KeyHash, AttrHash> = sifted.rows.iter().map(|r| (r.key_hash, r.attr_hash)).collect();
    let mut both = 0;
    let mut walk = sifted.unchanged.walk(known);
    for (key, attr) in d.iter().filter(|(key, _)| walk.is_unchanged(**key)) {
        let smallest = all.entry(*key).and_modify(|_| both += 1).or_insert(*attr);
        *smallest = *attr.min(smallest);
    }
    (all, both)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sifted_and_what_is_known_are_the_whole(
        before in proptest::collection::vec((proptest::option::weighted(0.9, 0_u8..30), 0_u8..12), 0..60),
        after in proptest::collection::vec((proptest::option::weighted(0.9, 0_u8..30), 0_u8..12), 1..60),
        kept in 0_usize..60,
        cut in 0_usize..60,
        lanes in 1_usize..4,
        most in prop_oneof![4 => Just(u64::MAX), 1 => 0_u64..20],
    ) {
        let (spec, erased) = (view(), BTreeSet::from([hash("key7")]));
        let d = whole(&snapshot(&before, 9), &spec, &BTreeSet::new());
        let d: BTreeMap<_, _> = d.rows.iter().map(|r| (r.key_hash, r.attr_hash)).collect();
        // Many rows are as they were.
        let after: Vec<_> = before.iter().take(kept).chain(&after).copied().collect();
        let after = snapshot(&after, cut);
        let expected = whole(&after, &spec, &erased);
        let known = known(&d, most);
        let views = [(View { spec: &spec, erased: &erased }, Some(&known)), (View { spec: &spec, erased: &erased }, None)];
        let mut outcomes = block_on(digest_against(after.source(), &views, &key(), &InTurn::cut_in(lanes))).expect("fine");
        let Ok(Outcome::Whole(other)) = outcomes.remove(1) else { panic!("nothing was known") };
        prop_assert_eq!(&other.rows, &expected.rows);
        match outcomes.remove(0).expect("fine") {
            Outcome::Whole(digested) => {
                prop_assert!(most < 60);
                prop_assert_eq!(digested.rows, expected.rows);
                prop_assert_eq!(digested.report.duplicate_keys, expected.report.duplicate_keys);
            }
            Outcome::Sifted(sifted) => {
                let (all, both) = together(&d, &known, &sifted);
                prop_assert!(all.iter().map(|(k, a)| (*k, *a)).eq(expected.rows.iter().map(|r| (r.key_hash, r.attr_hash))));
                let mut report = sifted.report.clone();
                report.duplicate_keys += both;
                report.bytes_read = expected.report.bytes_read;
                prop_assert_eq!(report, expected.report);
                let differing: Vec<_> = sifted.rows.iter().map(|r| (r.key_hash, r.attr_hash)).collect();
                prop_assert!(differing.iter().all(|(k, a)| d.get(k) != Some(a)));
                let counted: Vec<_> = differing.iter().copied().filter(|(k, a)| all.get(k) == Some(a)).collect();
                let wanted: Vec<KeyHash> = counted.iter().map(|(k, _)| *k).collect();
                let lanes = InTurn::cut_in(lanes);
                let read = block_on(states(after.source(), &spec, &key(), &expected.rows, &wanted, &lanes)).expect("fine");
                let found: Vec<(KeyHash, RecordState)> = sifted.states.find(&counted);
                prop_assert_eq!(found, read);
            }
        }
    }
}

#[test]
fn where_single_rows_do_not_decide_all_are_kept() {
    let rows: Vec<_> = (0..20).map(|n| (Some(n), n % 3)).collect();
    let snapshot = snapshot(&rows, 10);
    let two = identified_by(spec("id", &["id", "v"]), &["id", "v"]);
    assert!(can_sift(&view()) && !can_sift(&two));
    let erased = BTreeSet::new();
    let d = whole(&snapshot, &two, &erased);
    let known = known(&d.rows.iter().map(|r| (r.key_hash, r.attr_hash)).collect(), u64::MAX);
    let views = [(View { spec: &two, erased: &erased }, Some(&known))];
    let outcome =
        block_on(digest_against(snapshot.source(), &views, &key(), &InTurn::default())).expect("fine").remove(0);
    assert!(matches!(outcome, Ok(Outcome::Whole(digested)) if digested == d));
}
