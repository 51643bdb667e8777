//! What becomes of rows: keys, duplicates, invalid values, shared identifiers, and the records that are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use driftless_config::{KeyColumns, Normalize, Prefer, PreferOrder, VendorHash};
use driftless_model::{Identifier, InvalidReason, KeyHash};
use driftless_snapshot::{Record, View, ViewSpec, records};
use futures::executor::block_on;
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Digested, Snapshot, digest, field, hash, identified_by, ints, key, spec, strings, table};

/// The same rows, last first.
fn reversed(batch: &RecordBatch) -> RecordBatch {
    let rows = u32::try_from(batch.num_rows()).expect("few");
    take_record_batch(batch, &UInt32Array::from_iter_values((0..rows).rev())).expect("same rows")
}

fn digest_both_ways(batch: &RecordBatch, spec: &ViewSpec) -> Digested {
    let digested = Snapshot::table(batch).digest(spec);
    let other = Snapshot::table(&reversed(batch)).digest(spec);
    assert_eq!(digested.rows, other.rows, "the order of rows does not matter");
    assert_eq!(digested.report.invalid, other.report.invalid);
    assert_eq!(digested.report.duplicate_keys, other.report.duplicate_keys);
    digested
}

fn all_records(batch: &RecordBatch, spec: &ViewSpec) -> BTreeMap<KeyHash, Record> {
    let snapshot = Snapshot::table(batch);
    let wanted = snapshot.digest(spec).rows.iter().map(|d| (d.key_hash, d.attr_hash)).collect();
    block_on(records(snapshot.source(), spec, &key(), &wanted)).expect("readable")
}

#[test]
fn digests_are_sorted_and_unique() {
    let batch = table(vec![("id", ints(&[5, 3, 5, 1, 3])), ("x", strings(&[Some("a"); 5]))]);
    let digested = digest_both_ways(&batch, &spec("id", &["x"]));
    assert!(digested.rows.windows(2).all(|w| w[0].key_hash < w[1].key_hash));
    let keys: BTreeSet<_> = digested.rows.iter().map(|r| r.key_hash).collect();
    assert_eq!(keys, ["1", "3", "5"].map(hash).into());
    assert_eq!((digested.report.rows_read, digested.report.selected, digested.report.duplicate_keys), (5, 5, 2));
    assert!(digested.report.bytes_read > 0);
}

#[test]
fn rows_without_a_key_are_counted_and_left_out() {
    let batch = table(vec![
        ("a", strings(&[Some("k"), None, Some("k"), Some("")])),
        ("b", Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4)])) as ArrayRef),
    ]);
    let mut two = spec("a", &["b"]);
    two.key = KeyColumns::new(vec!["a".into(), "b".into()]).expect("two columns");
    let digested = digest_both_ways(&batch, &two);
    assert_eq!(digested.report.null_keys, 2);
    assert_eq!(digested.report.invalid[&InvalidReason::NullKey].count, 2);
    assert!(digested.report.invalid[&InvalidReason::NullKey].sample.is_empty());
    let keys: BTreeSet<_> = digested.rows.iter().map(|r| r.key_hash).collect();
    assert_eq!(keys, [hash(r#"["k","1"]"#), hash(r#"["","4"]"#)].into(), "a key of several columns is a JSON array");
}

#[test]
fn of_equal_keys_the_smallest_hash_wins_without_preference() {
    let one =
        |x| Snapshot::table(&table(vec![("id", ints(&[7])), ("x", strings(&[Some(x)]))])).digest(&spec("id", &["x"]));
    let (a, b) = (one("a").rows[0], one("b").rows[0]);
    let batch = table(vec![("id", ints(&[7, 7])), ("x", strings(&[Some("a"), Some("b")]))]);
    assert_eq!(digest_both_ways(&batch, &spec("id", &["x"])).rows, [a.min(b)]);
}

fn preferring(order: PreferOrder) -> ViewSpec {
    let mut preferring = identified_by(spec("id", &["id", "email"]), &["email"]);
    preferring.prefer = Some(Prefer { column: "at".into(), order });
    field(preferring, "email", |f| f.normalize = vec![Normalize::Email])
}

#[test]
fn the_preferred_row_wins_and_a_null_loses() {
    let batch = table(vec![
        ("id", ints(&[1, 1, 1, 2])),
        ("email", strings(&[Some("old@x.org"), Some("new@x.org"), Some("never@x.org"), Some("two@x.org")])),
        ("at", Arc::new(Int64Array::from(vec![Some(10), Some(20), None, None])) as ArrayRef),
    ]);
    let email = |order| {
        let spec = preferring(order);
        let digested = digest_both_ways(&batch, &spec);
        assert_eq!(digested.report.duplicate_keys, 2);
        assert_eq!(digested.rows.len(), 2);
        all_records(&batch, &spec)[&hash("1")].fields["email"].clone()
    };
    assert_eq!(email(PreferOrder::Highest), "new@x.org");
    assert_eq!(email(PreferOrder::Lowest), "old@x.org");
}

#[test]
fn a_preferred_row_that_is_refused_takes_its_record_with_it() {
    let batch = table(vec![
        ("id", ints(&[1, 1, 2, 2, 3, 3])),
        (
            "email",
            strings(&[
                Some("ok@x.org"),
                Some("broken"),
                Some("broken"),
                Some("fine@x.org"),
                Some("no"),
                Some("nor this"),
            ]),
        ),
        ("at", ints(&[10, 20, 10, 20, 1, 2])),
    ]);
    let digested = digest_both_ways(&batch, &preferring(PreferOrder::Highest));
    assert_eq!(digested.rows.iter().map(|r| r.key_hash).collect::<Vec<_>>(), [hash("2")]);
    let malformed = &digested.report.invalid[&InvalidReason::Malformed];
    assert_eq!(malformed.count, 2);
    assert_eq!(malformed.sample.iter().copied().collect::<BTreeSet<_>>(), [hash("1"), hash("3")].into());
    assert_eq!(digested.report.duplicate_keys, 3);
}

#[test]
fn refused_values_make_the_record_invalid_with_the_rule() {
    let batch = table(vec![
        ("id", ints(&[1, 2, 3, 4, 5])),
        ("email", strings(&[Some("A@x.org"), Some("nonsense"), None, Some("  "), Some("e@x.org")])),
        ("name", strings(&[Some("Ann"), Some("Bob"), Some("Cy"), Some("Di"), Some("Maximilian")])),
    ]);
    let checked = field(identified_by(spec("id", &["email", "name"]), &["email"]), "email", |f| {
        f.normalize = vec![Normalize::Email];
    });
    let checked = field(checked, "name", |f| f.max_length = Some(9));
    let digested = digest_both_ways(&batch, &checked);
    assert_eq!(digested.rows.iter().map(|r| r.key_hash).collect::<Vec<_>>(), [hash("1")]);
    let samples: Vec<_> = digested.report.invalid.iter().map(|(r, i)| (*r, i.count, i.sample.clone())).collect();
    let mut blank = vec![hash("3"), hash("4")];
    blank.sort();
    assert_eq!(
        samples,
        [
            (InvalidReason::NullIdentifiers, 2, blank),
            (InvalidReason::Malformed, 1, vec![hash("2")]),
            (InvalidReason::Oversized, 1, vec![hash("5")]),
        ]
    );
}

#[test]
fn samples_are_the_smallest_hashes_and_at_most_twenty() {
    let ids: Vec<i64> = (0..100).collect();
    let batch = table(vec![("id", ints(&ids)), ("email", strings(&[None; 100]))]);
    let digested = digest_both_ways(&batch, &identified_by(spec("id", &["email"]), &["email"]));
    let invalid = &digested.report.invalid[&InvalidReason::NullIdentifiers];
    let mut all: Vec<_> = ids.iter().map(|i| hash(&i.to_string())).collect();
    all.sort();
    assert_eq!((invalid.count, invalid.sample.as_slice()), (100, &all[..20]));
}

#[test]
fn an_identifier_belongs_to_the_first_record_in_key_hash_order() {
    let names = ["a", "b", "c", "d"];
    let mut by_hash = names;
    by_hash.sort_by_key(|n| hash(n));
    let [first, second, third, fourth] = by_hash;
    // first and second share an address; second and third share a phone; fourth has what is only its own.
    let batch = table(vec![
        ("id", strings(&[Some(first), Some(second), Some(third), Some(fourth)])),
        ("email", strings(&[Some("1@x.org"), Some("1@x.org"), Some("3@x.org"), None])),
        ("phone", strings(&[None, Some("7"), Some("7"), Some("1@x.org")])),
    ]);
    let digested = digest_both_ways(&batch, &identified_by(spec("id", &["email", "phone"]), &["email", "phone"]));
    let keys: BTreeSet<_> = digested.rows.iter().map(|r| r.key_hash).collect();
    // The second is refused whole, so its phone is free for the third. The fields are apart: the fourth's phone is no address.
    assert_eq!(keys, [first, third, fourth].map(hash).into());
    let shared = &digested.report.invalid[&InvalidReason::SharedIdentifier];
    assert_eq!((shared.count, shared.sample.as_slice()), (1, &[hash(second)][..]));
}

#[test]
fn only_records_that_are_in_the_list_take_identifiers() {
    let names = ["a", "b", "c"];
    let mut by_hash = names;
    by_hash.sort_by_key(|n| hash(n));
    let batch = table(vec![
        ("id", strings(&by_hash.map(Some))),
        ("email", strings(&[Some("x@x.org"); 3])),
        ("name", strings(&[Some("fine"), Some("far too long"), Some("fine")])),
    ]);
    let view = field(identified_by(spec("id", &["email", "name"]), &["email"]), "name", |f| f.max_length = Some(5));
    let snapshot = Snapshot::table(&batch);
    let erased = BTreeSet::from([hash(by_hash[0])]);
    let views = [View { spec: &view, erased: &erased }];
    let digested = digest(snapshot.source(), &views).expect("fine").remove(0).expect("fine");
    // The first is erased and the second invalid: the address is the third's.
    assert_eq!(digested.rows.iter().map(|r| r.key_hash).collect::<Vec<_>>(), [hash(by_hash[2])]);
    assert_eq!(digested.report.erased, 1);
    assert!(!digested.report.invalid.contains_key(&InvalidReason::SharedIdentifier));
}

#[test]
fn a_record_is_sent_normalised_and_hashed_for_the_vendor() {
    let batch = table(vec![
        ("id", ints(&[1, 2])),
        ("email", strings(&[Some(" Ann@X.org"), Some("b@x.org")])),
        ("phone", strings(&[Some("0049 30 123456"), None])),
        ("age", ints(&[41, 42])),
        ("note", strings(&[Some(""), None])),
    ]);
    let mut view = identified_by(spec("id", &["id", "email", "phone", "age", "note"]), &["email", "phone"]);
    view = field(view, "email", |f| {
        f.normalize = vec![Normalize::Email];
        f.hash = Some(VendorHash::Sha256);
    });
    view = field(view, "phone", |f| f.normalize = vec![Normalize::Phone]);
    view = field(view, "note", |f| f.hash = Some(VendorHash::Md5));
    let found = all_records(&batch, &view);
    let ann = &found[&hash("1")];
    // printf ann@x.org | sha256sum
    let sent = "367a1e74302c7324855afeeba387d3c55ca8ab3592a32c0fbdfc939ad80fcaf5";
    assert_eq!(ann.key.as_str(), "1");
    assert_eq!(
        serde_json::Value::Object(ann.fields.clone()),
        json!({"age": 41, "email": sent, "id": 1, "note": "", "phone": "+4930123456"})
    );
    assert_eq!(
        ann.identifiers,
        [Identifier::new("email", sent), Identifier::new("phone", "+4930123456")].into(),
        "identifiers are as sent"
    );
    let bob = &found[&hash("2")];
    assert_eq!(bob.identifiers.len(), 1);
    assert_eq!((&bob.fields["phone"], &bob.fields["note"]), (&json!(null), &json!(null)));
    assert!(!format!("{ann:?}").contains("4930"));
}

fn recipe(name: &str) -> Vec<Normalize> {
    vec![Normalize::Recipe(name.parse().expect("a recipe"))]
}

#[test]
fn a_recipe_implies_its_hash_and_passes_digests_on_once() {
    // printf ann@x.org | sha256sum
    let sent = "367a1e74302c7324855afeeba387d3c55ca8ab3592a32c0fbdfc939ad80fcaf5";
    let batch = table(vec![
        ("id", ints(&[1, 2, 3, 4])),
        ("email", strings(&[Some(" Ann@X.org"), Some(VendorHash::Sha256.of("bob@x.org").as_str()), Some("cy"), None])),
        ("phone", strings(&[Some("030 123456"), None, Some("030 99"), Some("0151 23456789")])),
        ("born", strings(&[Some("1997-02-16"), Some("soon"), None, None])),
    ]);
    let mut view = identified_by(spec("id", &["id", "email", "phone", "born"]), &["email", "phone"]);
    view = field(view, "email", |f| f.normalize = recipe("meta.email@1"));
    view = field(view, "phone", |f| {
        f.normalize = recipe("klaviyo.phone@1");
        f.region = Some("DE".parse().expect("a region"));
    });
    view = field(view, "born", |f| f.normalize = recipe("meta.birth_year@1"));
    let found = all_records(&batch, &view);
    let ann = &found[&hash("1")];
    assert_eq!(
        serde_json::Value::Object(ann.fields.clone()),
        json!({"id": 1, "email": sent, "phone": "+4930123456", "born": VendorHash::Sha256.of("1997")})
    );
    assert_eq!(ann.identifiers, [Identifier::new("email", sent), Identifier::new("phone", "+4930123456")].into());
    let bob = &found[&hash("2")];
    let passed_on = VendorHash::Sha256.of("bob@x.org");
    assert_eq!(bob.identifiers, [Identifier::new("email", passed_on.as_str())].into(), "never hashed twice");
    assert_eq!((&bob.fields["email"], &bob.fields["born"]), (&json!(passed_on), &json!(null)));
    assert_eq!(found.len(), 3, "`cy` is no address, and its record invalid");
    let report = digest_both_ways(&batch, &view).report;
    assert_eq!(report.digests, [("email".to_owned(), 1)].into());
    assert_eq!(report.invalid[&InvalidReason::Malformed].count, 1);
}

#[test]
fn a_person_who_comes_plain_and_hashed_is_one_identifier() {
    let digest = VendorHash::Sha256.of("ann@x.org");
    let batch = table(vec![("id", ints(&[1, 2])), ("email", strings(&[Some("ANN@x.org"), Some(digest.as_str())]))]);
    let view = identified_by(spec("id", &["id", "email"]), &["email"]);
    let view = field(view, "email", |f| f.normalize = recipe("meta.email@1"));
    let digested = digest_both_ways(&batch, &view);
    assert_eq!((digested.rows.len(), digested.report.invalid[&InvalidReason::SharedIdentifier].count), (1, 1));
}

#[test]
fn the_vendor_hash_is_no_part_of_the_attribute_hash() {
    let batch = table(vec![("id", ints(&[1])), ("email", strings(&[Some("a@x.org")]))]);
    let plain = spec("id", &["email"]);
    let hashed = field(plain.clone(), "email", |f| f.hash = Some(VendorHash::Sha256));
    assert_eq!(Snapshot::table(&batch).digest(&plain).rows, Snapshot::table(&batch).digest(&hashed).rows);
}

#[test]
fn what_normalize_evens_out_is_no_change() {
    let one = |email: &str, phone: &str| {
        let batch =
            table(vec![("id", ints(&[1])), ("email", strings(&[Some(email)])), ("phone", strings(&[Some(phone)]))]);
        let view = field(spec("id", &["email", "phone"]), "email", |f| f.normalize = vec![Normalize::Email]);
        let view = field(view, "phone", |f| f.normalize = vec![Normalize::Phone]);
        Snapshot::table(&batch).digest(&view).rows
    };
    assert_eq!(one("a@x.org", "+4930123456"), one(" A@X.ORG ", "0049 (30) 123-456"));
    assert_ne!(one("a@x.org", "+4930123456"), one("b@x.org", "+4930123456"));
}

#[test]
fn wanted_records_that_are_not_there_are_absent() {
    let batch = table(vec![("id", ints(&[1, 2])), ("x", strings(&[Some("a"), Some("b")]))]);
    let snapshot = Snapshot::table(&batch);
    let view = spec("id", &["x"]);
    let mut wanted: BTreeMap<_, _> = snapshot.digest(&view).rows.iter().map(|d| (d.key_hash, d.attr_hash)).collect();
    wanted.insert(hash("9"), driftless_model::AttrHash(1));
    if let Some(changed) = wanted.get_mut(&hash("2")) {
        changed.0 ^= 1;
    }
    let found = block_on(records(snapshot.source(), &view, &key(), &wanted)).expect("readable");
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [hash("1")]);
}

#[test]
fn one_broken_view_does_not_stop_the_others() {
    let batch = table(vec![("id", ints(&[1, 2])), ("x", strings(&[Some("1"), Some("b")]))]);
    let snapshot = Snapshot::table(&batch);
    let none = BTreeSet::new();
    let (fine, missing) = (spec("id", &["x"]), spec("id", &["y"]));
    let failing = crate::support::with_where("CAST(x AS INT) = 1", "id", &["x"]);
    let views = [&missing, &fine, &failing].map(|spec| View { spec, erased: &none });
    let digested = digest(snapshot.source(), &views).expect("the snapshot is fine");
    assert!(digested[0].is_err() && digested[2].is_err());
    assert_eq!(digested[1].as_ref().expect("fine").rows.len(), 2);
}

#[test]
fn part_files_are_one_snapshot_and_may_differ_in_types() {
    use parquet::file::properties::WriterProperties;

    use crate::support::parquet;
    let whole = table(vec![("id", ints(&[1, 2, 3])), ("x", strings(&[Some("a"), Some("b"), Some("c")]))]);
    let narrow = table(vec![
        ("x", Arc::new(StringArray::from(vec!["c"])) as ArrayRef),
        ("extra", ints(&[0])),
        ("id", Arc::new(arrow::array::Int16Array::from(vec![3])) as ArrayRef),
    ]);
    let parts = Snapshot::of(vec![
        parquet(&whole.slice(0, 2), WriterProperties::default()),
        parquet(&narrow, WriterProperties::default()),
        parquet(&whole.slice(0, 0), WriterProperties::default()),
    ]);
    let view = spec("id", &["x"]);
    assert_eq!(parts.digest(&view).rows, Snapshot::table(&whole).digest(&view).rows);
}

#[test]
fn a_snapshot_without_rows_is_an_empty_selection() {
    let batch = table(vec![("id", ints(&[])), ("x", strings(&[]))]);
    let digested = Snapshot::table(&batch).digest(&spec("id", &["x"]));
    assert_eq!((digested.rows.len(), digested.report.rows_read), (0, 0));
}

/// One row of the model: key, e-mail, phone, the preferred column, and a value.
type ModelRow = (u8, Option<&'static str>, Option<u8>, Option<i8>, u8);

fn model_row() -> impl Strategy<Value = ModelRow> {
    let email =
        prop::sample::select(vec![None, Some("a@x.org"), Some("b@x.org"), Some("c@x.org"), Some("broken"), Some("")]);
    (0_u8..8, email, proptest::option::of(0_u8..4), proptest::option::of(0_i8..3), 0_u8..3)
}

fn model_batch(rows: &[ModelRow]) -> RecordBatch {
    let text = |n: u8| n.to_string();
    let phones: Vec<Option<String>> = rows.iter().map(|r| r.2.map(text)).collect();
    let phones: Vec<Option<&str>> = phones.iter().map(Option::as_deref).collect();
    table(vec![
        ("id", ints(&rows.iter().map(|r| i64::from(r.0)).collect::<Vec<_>>())),
        ("email", strings(&rows.iter().map(|r| r.1).collect::<Vec<_>>())),
        ("phone", strings(&phones)),
        ("at", Arc::new(rows.iter().map(|r| r.3.map(i64::from)).collect::<Int64Array>()) as ArrayRef),
        ("x", ints(&rows.iter().map(|r| i64::from(r.4)).collect::<Vec<_>>())),
    ])
}

fn refusal(row: &ModelRow) -> Option<InvalidReason> {
    match (row.1, row.2) {
        (Some("broken"), _) => Some(InvalidReason::Malformed),
        (None | Some(""), None) => Some(InvalidReason::NullIdentifiers),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The rules of `docs/hash-recipe.md`, written down again for rows that fit in memory.
    #[test]
    fn rows_become_records_by_the_rules(
        rows in proptest::collection::vec(model_row(), 0..24),
        order in prop::sample::select(vec![None, Some(PreferOrder::Highest), Some(PreferOrder::Lowest)]),
    ) {
        let mut view = identified_by(spec("id", &["email", "phone", "x"]), &["email", "phone"]);
        view = field(view, "email", |f| f.normalize = vec![Normalize::Email]);
        view.prefer = order.map(|order| Prefer { column: "at".into(), order });
        let digested = digest_both_ways(&model_batch(&rows), &view);
        // The attribute hash of each valid row, computed alone.
        let attr = |row: &ModelRow| Snapshot::table(&model_batch(&[*row])).digest(&view).rows[0].attr_hash;

        let mut by_key: BTreeMap<KeyHash, Vec<ModelRow>> = BTreeMap::new();
        for row in &rows {
            by_key.entry(hash(&row.0.to_string())).or_default().push(*row);
        }
        let mut invalid: BTreeMap<InvalidReason, u64> = BTreeMap::new();
        let (mut taken, mut expected, mut duplicates) = (BTreeSet::new(), Vec::new(), 0);
        for (key, mut rows) in by_key {
            if order.is_none() {
                for reason in rows.iter().filter_map(refusal) {
                    *invalid.entry(reason).or_default() += 1;
                }
                rows.retain(|r| refusal(r).is_none());
            }
            if rows.is_empty() {
                continue;
            }
            duplicates += rows.len() as u64 - 1;
            let rank = |row: &ModelRow| match order {
                None => (0, 0),
                Some(PreferOrder::Highest) => row.3.map_or((1, 0), |at| (0, -at)),
                Some(PreferOrder::Lowest) => row.3.map_or((1, 0), |at| (0, at)),
            };
            // Refused rows come after valid ones, the reason that is named first before the others.
            let winner = rows.iter().min_by_key(|row| (rank(row), refusal(row), refusal(row).is_none().then(|| attr(row))));
            let Some(winner) = winner else { continue };
            if let Some(reason) = refusal(winner) {
                *invalid.entry(reason).or_default() += 1;
                continue;
            }
            let mut ids = BTreeSet::new();
            ids.extend(winner.1.filter(|e| !e.is_empty()).map(|e| ("email", e.to_owned())));
            ids.extend(winner.2.map(|p| ("phone", p.to_string())));
            if ids.iter().any(|id| taken.contains(id)) {
                *invalid.entry(InvalidReason::SharedIdentifier).or_default() += 1;
            } else {
                taken.extend(ids);
                expected.push((key, attr(winner)));
            }
        }
        let found: Vec<_> = digested.rows.iter().map(|d| (d.key_hash, d.attr_hash)).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(digested.report.duplicate_keys, duplicates);
        let counts: BTreeMap<_, _> = digested.report.invalid.iter().map(|(r, i)| (*r, i.count)).collect();
        prop_assert_eq!(counts, invalid);
    }
}

#[test]
fn a_list_that_does_not_fit_is_refused_with_what_it_needs() {
    use driftless_snapshot::SnapshotError;

    use crate::support::with_where;
    let ids: Vec<i64> = (0..10).collect();
    let mut snapshot = Snapshot::table(&table(vec![("id", ints(&ids)), ("x", ints(&ids))]));
    snapshot.limits.kept_bytes = 28 * 10;
    assert_eq!(snapshot.digest(&spec("id", &["x"])).rows.len(), 10);
    snapshot.limits.kept_bytes -= 1;
    let needs = |view: &ViewSpec| match snapshot.try_digest(view) {
        Err(SnapshotError::DoesNotFit { rows, needed, limit: 279 }) => (rows, needed),
        other => panic!("{other:?}"),
    };
    assert_eq!(needs(&spec("id", &["x"])), (10, 280));
    assert_eq!(needs(&with_where("x < 10", "id", &["x"])), (10, 280));
    assert_eq!(snapshot.digest(&with_where("x < 3", "id", &["x"])).rows.len(), 3, "only selected rows are kept");
    // Identifiers that another record can carry too are kept beside the rows.
    assert_eq!(needs(&identified_by(spec("id", &["x"]), &["x"])), (10, 400));
}
