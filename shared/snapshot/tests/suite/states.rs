//! Some records of a snapshot again, found by their rows.

use std::collections::{BTreeMap, BTreeSet};

use driftless_config::{Normalize, VendorHash};
use driftless_model::{Identifier, InTurn, KeyHash, RecordKey, RecordState};
use driftless_snapshot::{DigestRange, View, digest, packed_states, records, states};
use futures::executor::block_on;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use crate::support::{Snapshot, field, hash, identified_by, ints, key, parquet, spec, strings, table, with_where};

/// Row groups of five rows in two files; of every three rows two are selected, some keys occur twice.
fn people(rows: i64) -> Snapshot {
    let ids: Vec<i64> = (0..rows).map(|n| n - n % 7 % 2).collect();
    let of = |text: &str| ids.iter().enumerate().map(|(n, id)| format!("{text}{id}-{}", n % 2)).collect::<Vec<_>>();
    let (emails, notes) =
        (of(" A@x.org").iter().map(|e| e.replace('@', &format!("{}@", e.len()))).collect(), of("note"));
    let emails: Vec<String> = emails;
    let column = |texts: &[String]| strings(&texts.iter().map(|t| Some(t.as_str())).collect::<Vec<_>>());
    let n: Vec<i64> = (0..rows).collect();
    let batch = table(vec![("id", ints(&ids)), ("n", ints(&n)), ("email", column(&emails)), ("note", column(&notes))]);
    let properties = || WriterProperties::builder().set_max_row_group_row_count(Some(5)).build();
    let half = batch.num_rows() / 2;
    let rest = batch.num_rows() - half;
    Snapshot::of(vec![parquet(&batch.slice(0, half), properties()), parquet(&batch.slice(half, rest), properties())])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn states_are_those_of_the_records(
        rows in 2_i64..80,
        picked in proptest::collection::btree_set(0_usize..60, 0..30),
        lanes in 1_usize..4,
    ) {
        let snapshot = people(rows);
        let mut view = identified_by(with_where("n % 3 <> 1", "id", &["id", "email", "note"]), &["id", "email"]);
        view = field(view, "email", |f| {
            f.normalize = vec![Normalize::Trim, Normalize::Lowercase];
            f.hash = Some(VendorHash::Sha256);
        });
        let erased = BTreeSet::new();
        let views = [View { spec: &view, erased: &erased }];
        let digests = block_on(digest(snapshot.source(), &views, &key(), &InTurn::cut_in(lanes)));
        let digests = digests.expect("fine").remove(0).expect("fine").rows;
        let some: BTreeMap<_, _> =
            digests.iter().enumerate().filter(|(n, _)| picked.contains(n)).map(|(_, d)| (d.key_hash, d.attr_hash)).collect();
        let mut wanted: Vec<KeyHash> = some.keys().rev().copied().collect();
        wanted.push(hash("nobody"));
        let found = block_on(states(snapshot.source(), &view, &key(), &digests, &wanted, &InTurn::cut_in(lanes)));
        let expected = block_on(records(snapshot.source(), &view, &key(), &some)).expect("fine");
        let expected: Vec<_> =
            expected.into_iter().map(|(hash, r)| (hash, r.key, r.attr_hash, r.identifiers)).collect();
        let found: Vec<_> =
            found.expect("fine").into_iter().map(|(hash, s)| (hash, s.key, s.attr_hash, s.identifiers)).collect();
        prop_assert_eq!(found.len(), some.len());
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn ranges_cover_all_records_in_order(rows in 1_i64..80, count in 1_usize..9) {
        let snapshot = people(rows);
        let view = with_where("true", "id", &["note"]);
        let erased = BTreeSet::new();
        let views = [View { spec: &view, erased: &erased }];
        let digests = block_on(digest(snapshot.source(), &views, &key(), &InTurn::default()));
        let digests = digests.expect("fine").remove(0).expect("fine").rows;
        let ranges = digests.ranges(count);
        prop_assert!(ranges.iter().flat_map(DigestRange::iter).eq(digests.iter()));
        prop_assert!(ranges.iter().all(|r| r.iter().all(|d| r.from <= d.key_hash && d.key_hash <= r.to)));
        prop_assert_eq!((ranges[0].from, ranges[ranges.len() - 1].to), (KeyHash(0), KeyHash(u128::MAX)));
        prop_assert!(ranges.windows(2).all(|w| w[0].to.0 + 1 == w[1].from.0));
    }
}

#[test]
fn packed_states_are_the_same_states() {
    let batch = table(vec![
        ("id", ints(&[3, 1, 2, 5, 4])),
        ("email", strings(&[Some("c@x.org"), None, Some("b@x.org"), Some("e@x.org"), Some("")])),
        ("phone", strings(&[Some("+3"), Some("+1"), None, Some("+5"), Some("+4")])),
    ]);
    let snapshot = Snapshot::table(&batch);
    let spec = identified_by(spec("id", &["id", "email", "phone"]), &["email", "phone"]);
    let (erased, lanes) = (BTreeSet::new(), InTurn::cut_in(3));
    let views = [View { spec: &spec, erased: &erased }];
    let digested = block_on(digest(snapshot.source(), &views, &key(), &lanes)).unwrap();
    let digests = digested.into_iter().next().unwrap().unwrap().rows;
    let wanted: Vec<KeyHash> = digests.iter().map(|row| row.key_hash).collect();
    let plain = block_on(states(snapshot.source(), &spec, &key(), &digests, &wanted, &lanes)).unwrap();
    let packed = block_on(packed_states(snapshot.source(), &spec, &key(), &digests, &wanted, &lanes)).unwrap();
    let unpacked: Vec<(KeyHash, RecordState)> = packed
        .iter()
        .map(|state| {
            let identifiers = state.identifiers().map(|(field, value)| Identifier::new(field, value)).collect();
            let (key, attr_hash) = (RecordKey::new(state.key), state.attr_hash);
            (state.key_hash, RecordState { key, attr_hash, identifiers })
        })
        .collect();
    assert_eq!((packed.len(), unpacked), (5, plain));
}
