//! Row groups that statistics rule out are not read, and nothing else changes by it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, StringArray, UInt32Array};
use arrow::compute::concat;
use arrow::record_batch::RecordBatch;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use proptest::prelude::*;

use crate::support::{Snapshot, ints, parquet, spec, table, with_where};

/// Rows of a row group.
const GROUP: usize = 4;

/// Two rows a page.
fn paged(statistics: EnabledStatistics, truncated: Option<usize>, group: usize) -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .set_data_page_row_count_limit(2)
        .set_write_batch_size(1)
        .set_statistics_enabled(statistics)
        .set_statistics_truncate_length(truncated)
        .set_column_index_truncate_length(truncated)
}

/// Number, unsigned number, float, text, flag and date.
type Row = (Option<i32>, Option<u32>, Option<f64>, Option<String>, Option<bool>, Option<i32>);

fn row() -> impl Strategy<Value = Row> {
    let float = prop::sample::select(vec![0.0, -0.0, 1.5, -1.5, f64::NAN, -f64::NAN, f64::INFINITY, 1e300]);
    let text =
        prop::sample::select(vec!["", "a", "ab", "abcdefgh", "abcdefgi", "b", "\u{10ffff}\u{10ffff}z", "ä", "zzzz"]);
    (
        proptest::option::of(-4_i32..5),
        proptest::option::of(prop::sample::select(vec![0, 1, 2, u32::MAX, u32::MAX - 1])),
        proptest::option::of(float),
        proptest::option::of(text.prop_map(str::to_owned)),
        proptest::option::of(any::<bool>()),
        proptest::option::of(-2_i32..3),
    )
}

fn batch(rows: &[Row]) -> RecordBatch {
    let ids: Vec<i64> = (0..).take(rows.len()).collect();
    table(vec![
        ("id", ints(&ids)),
        ("n", Arc::new(rows.iter().map(|r| r.0).collect::<Int32Array>()) as ArrayRef),
        ("u", Arc::new(rows.iter().map(|r| r.1).collect::<UInt32Array>())),
        ("x", Arc::new(rows.iter().map(|r| r.2).collect::<Float64Array>())),
        ("s", Arc::new(rows.iter().map(|r| r.3.clone()).collect::<StringArray>())),
        ("b", Arc::new(rows.iter().map(|r| r.4).collect::<BooleanArray>())),
        ("d", Arc::new(rows.iter().map(|r| r.5).collect::<Date32Array>())),
    ])
}

fn condition() -> impl Strategy<Value = String> {
    let operator = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let of = |column: &'static str, values: Vec<&'static str>| {
        let one = (operator.clone(), prop::sample::select(values.clone()))
            .prop_map(move |(op, value)| format!("{column} {op} {value}"));
        let turned = (operator.clone(), prop::sample::select(values.clone()))
            .prop_map(move |(op, value)| format!("{value} {op} {column}"));
        let listed = prop::sample::subsequence(values.clone(), 1..=3)
            .prop_map(move |values| format!("{column} IN ({})", values.join(", ")));
        let not_listed = prop::sample::subsequence(values.clone(), 1..=3)
            .prop_map(move |values| format!("{column} NOT IN ({})", values.join(", ")));
        let between = (prop::sample::select(values.clone()), prop::sample::select(values))
            .prop_map(move |(low, high)| format!("{column} BETWEEN {low} AND {high}"));
        prop_oneof![
            4 => one,
            2 => turned,
            2 => listed,
            1 => not_listed,
            2 => between,
            1 => Just(format!("{column} IS NULL")),
            1 => Just(format!("{column} IS NOT NULL")),
        ]
    };
    let simple = prop_oneof![
        of("n", vec!["-3", "0", "2", "4", "99"]),
        of("u", vec!["0", "1", "4294967295", "4294967294"]),
        of("x", vec!["0.0", "-1.5", "1.5", "2e300", "CAST('NaN' AS DOUBLE)"]),
        of("s", vec!["''", "'a'", "'abcdefgh'", "'abcdefghi'", "'b'", "'ä'", "'zz'"]),
        of("d", vec!["DATE '1970-01-01'", "DATE '1970-01-03'", "DATE '1969-12-30'"]),
        Just("b".to_owned()),
        Just("NOT b".to_owned()),
    ];
    let pair = |joined: &'static str| move |(a, b): (String, String)| format!("({a}) {joined} ({b})");
    simple.prop_recursive(2, 6, 2, move |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(pair("AND")),
            (inner.clone(), inner.clone()).prop_map(pair("OR")),
            inner.prop_map(|e| format!("NOT ({e})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn statistics_never_change_what_is_selected(
        mut rows in proptest::collection::vec(row(), 1..40),
        condition in condition(),
        sorted in any::<bool>(),
        truncated in proptest::option::of(1_usize..4),
        (pages, version_2) in any::<(bool, bool)>(),
    ) {
        if sorted {
            // So that row groups can be ruled out.
            rows.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.3.cmp(&b.3)));
        }
        let batch = batch(&rows);
        let view = with_where(&condition, "id", &["n", "x", "s"]);
        let version = if version_2 { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
        let with = match pages {
            true => paged(EnabledStatistics::Page, truncated, 5 * GROUP).set_writer_version(version).build(),
            false => paged(EnabledStatistics::Chunk, truncated, GROUP).set_writer_version(version).build(),
        };
        let with = Snapshot::of(vec![parquet(&batch, with)]);
        let group = if pages { 5 * GROUP } else { GROUP };
        let without = paged(EnabledStatistics::None, None, group).build();
        let without = Snapshot::of(vec![parquet(&batch, without)]);
        match (with.try_digest(&view).expect("the file is fine"), without.try_digest(&view).expect("the file is fine")) {
            (Ok(with), Ok(without)) => {
                prop_assert_eq!(with.rows, without.rows, "{}", condition);
                prop_assert_eq!(with.report.rows_read, rows.len() as u64);
                prop_assert_eq!(with.report.selected, without.report.selected);
            }
            (with, without) => prop_assert_eq!(format!("{with:?}"), format!("{without:?}")),
        }
    }
}

/// Three row groups of 50,000 rows each, in the order of `n`.
fn large() -> Snapshot {
    let n: Vec<i64> = (0..150_000).collect();
    let text: Vec<String> =
        n.iter().map(|n| format!("{:064x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()))).collect();
    let text: ArrayRef = Arc::new(StringArray::from(text));
    let batch = table(vec![("id", ints(&n)), ("n", ints(&n)), ("text", concat(&[text.as_ref()]).expect("one"))]);
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(50_000)).build();
    Snapshot::of(vec![parquet(&batch, properties)])
}

#[test]
fn row_groups_that_are_ruled_out_are_not_read_and_count_all_the_same() {
    let snapshot = large();
    let all = snapshot.digest(&spec("id", &["text"])).report;
    let few = snapshot.digest(&with_where("n BETWEEN 60000 AND 60099", "id", &["text"]));
    assert_eq!((few.rows.len(), few.report.selected), (100, 100));
    assert_eq!(few.report.rows_read, 150_000, "guards are about all rows of the snapshot");
    assert!(few.report.bytes_read < all.bytes_read / 2, "{} of {}", few.report.bytes_read, all.bytes_read);
}

#[test]
fn what_could_fail_for_a_row_is_evaluated_for_every_row() {
    let snapshot = large();
    // True for no row, and a division by zero in the first row group all the same.
    let failing = with_where("1 / n > 0 AND n > 1000000", "id", &["text"]);
    assert!(snapshot.try_digest(&failing).expect("the file is fine").is_err());
}

#[test]
fn pages_that_the_page_index_rules_out_are_not_unpacked_and_count_all_the_same() {
    let n: Vec<i64> = (0..20_000).collect();
    let text: StringArray = n.iter().map(|n| Some(format!("text {n}"))).collect();
    let batch = table(vec![("id", ints(&n)), ("n", ints(&n)), ("text", Arc::new(text) as ArrayRef)]);
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_data_page_row_count_limit(1_000)
            .set_write_batch_size(500)
            .set_dictionary_enabled(false)
            .set_compression(parquet::basic::Compression::SNAPPY)
            .build();
        let file = parquet(&batch, properties);
        let footer = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Required)
            .parse_and_finish(&file)
            .expect("a footer");
        // The page of the texts 3,000 to 3,999 is spoiled, but for its header.
        let page = &footer.offset_index().expect("asked for")[0][2].page_locations()[3];
        assert_eq!(page.first_row_index, 3_000);
        let end = usize::try_from(page.offset + i64::from(page.compressed_page_size)).expect("small");
        let mut spoiled = file.to_vec();
        spoiled[end - usize::try_from(page.compressed_page_size).expect("small") / 2..end].fill(0xff);
        let snapshot = Snapshot::of(vec![spoiled.into()]);
        let view = with_where("n >= 15500 OR n < 2", "id", &["text"]);
        let found = snapshot.digest(&view);
        assert_eq!(found.rows, Snapshot::of(vec![file]).digest(&view).rows);
        assert_eq!((found.rows.len(), found.report.rows_read), (4_502, 20_000));
        assert!(snapshot.try_digest(&with_where("n >= 3500 AND n < 4500", "id", &["text"])).is_err());
        // Where the rows are is known, too.
        let erased = std::collections::BTreeSet::new();
        let views = [driftless_snapshot::View { spec: &view, erased: &erased }];
        let lanes = driftless_model::InTurn::default();
        let secret = crate::support::key();
        futures::executor::block_on(async {
            let digested = driftless_snapshot::digest(snapshot.source(), &views, &secret, &lanes).await.expect("fine");
            let digested = digested.into_iter().next().expect("one view").expect("fine");
            let wanted: Vec<_> = digested.rows.iter().map(|row| row.key_hash).collect();
            let states =
                driftless_snapshot::states(snapshot.source(), &view, &secret, &digested.rows, &wanted, &lanes).await;
            assert_eq!(states.expect("fine").len(), 4_502);
        });
    }
}
