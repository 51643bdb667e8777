//! The same values give the same digests, whatever wrote them and however they lie in the file.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array,
    LargeStringArray, ListBuilder, MapBuilder, RecordBatch, StringArray, StringBuilder, StringDictionaryBuilder,
    StringViewArray, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    UInt32Array,
};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, TimeUnit};
use parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use proptest::prelude::*;

use crate::support::{Snapshot, ints, parquet, spec, strings, table};

const COLUMNS: [&str; 9] = ["bin", "day", "f", "i", "list", "map", "money", "t", "text"];

#[derive(Clone, Debug)]
struct Row {
    text: Option<String>,
    i: Option<i32>,
    f: Option<f32>,
    money: Option<i32>,
    t: Option<i64>,
    day: Option<i32>,
    bin: Option<Vec<u8>>,
    list: Option<Vec<Option<String>>>,
    map: Vec<(u8, Option<i32>)>,
}

fn row() -> impl Strategy<Value = Row> {
    let text = || proptest::option::weighted(0.8, "[a-cäß]{0,20}");
    let numbers = (any::<Option<i32>>(), any::<Option<f32>>(), any::<Option<i32>>());
    let times = (proptest::option::of(-100_000_000_000_i64..100_000_000_000), proptest::option::of(-100_000..100_000));
    let nested = (
        proptest::option::of(proptest::collection::vec(text(), 0..4)),
        proptest::collection::vec((0_u8..6, any::<Option<i32>>()), 0..4),
    );
    (text(), numbers, times, any::<Option<Vec<u8>>>(), nested)
        .prop_map(|(text, (i, f, money), (t, day), bin, (list, map))| Row { text, i, f, money, t, day, bin, list, map })
}

/// How the values are held in memory, which decides what is written.
#[derive(Clone, Copy, Debug)]
struct Types {
    text: u8,
    wide: bool,
    unit: TimeUnit,
    reversed_maps: bool,
}

fn build(rows: &[Row], types: Types) -> RecordBatch {
    let texts: Vec<Option<&str>> = rows.iter().map(|r| r.text.as_deref()).collect();
    let text: ArrayRef = match types.text {
        0 => Arc::new(StringArray::from(texts)),
        1 => Arc::new(LargeStringArray::from(texts)),
        2 => Arc::new(StringViewArray::from(texts)),
        _ => {
            let mut builder = StringDictionaryBuilder::<Int32Type>::new();
            builder.extend(texts);
            Arc::new(builder.finish())
        }
    };
    let i: ArrayRef = if types.wide {
        let wide = rows.iter().map(|r| r.i.map(|i| i128::from(i) * 100));
        Arc::new(wide.collect::<Decimal128Array>().with_precision_and_scale(30, 2).expect("fits"))
    } else {
        Arc::new(rows.iter().map(|r| r.i).collect::<Int32Array>())
    };
    let f: ArrayRef = if types.wide {
        Arc::new(rows.iter().map(|r| r.f.map(f64::from)).collect::<Float64Array>())
    } else {
        Arc::new(rows.iter().map(|r| r.f).collect::<Float32Array>())
    };
    let (scale, precision, factor) = if types.wide { (6, 38, 10_000) } else { (2, 12, 1) };
    let money = rows.iter().map(|r| r.money.map(|m| i128::from(m) * factor)).collect::<Decimal128Array>();
    let seconds = rows.iter().map(|r| r.t);
    let t: ArrayRef = match types.unit {
        TimeUnit::Second | TimeUnit::Millisecond => {
            Arc::new(seconds.map(|t| t.map(|t| t * 1000)).collect::<TimestampMillisecondArray>().with_timezone("UTC"))
        }
        TimeUnit::Microsecond => {
            let micros = seconds.map(|t| t.map(|t| t * 1_000_000)).collect::<TimestampMicrosecondArray>();
            Arc::new(micros.with_timezone("Europe/Berlin"))
        }
        TimeUnit::Nanosecond => {
            // What does not fit in nanoseconds is left to the other units.
            let nanos = seconds.map(|t| t.map(|t| (t % 1_000_000_000) * 1_000_000_000));
            Arc::new(nanos.collect::<TimestampNanosecondArray>().with_timezone("+02:00"))
        }
    };
    let mut list = ListBuilder::new(StringBuilder::new());
    let mut map = MapBuilder::new(None, StringBuilder::new(), arrow::array::Int32Builder::new());
    for row in rows {
        list.append_option(row.list.clone());
        let mut entries = row.map.clone();
        entries.sort_unstable();
        entries.dedup_by_key(|(k, _)| *k);
        if types.reversed_maps {
            entries.reverse();
        }
        for (k, v) in entries {
            map.keys().append_value(k.to_string());
            map.values().append_option(v);
        }
        map.append(true).expect("keys and values in step");
    }
    let id: ArrayRef = Arc::new((0_i64..).take(rows.len()).collect::<Int64Array>());
    let columns = vec![
        ("id", if types.wide { id } else { cast(&id, &DataType::Int16).expect("few") }),
        ("text", text),
        ("i", i),
        ("f", f),
        ("money", Arc::new(money.with_precision_and_scale(precision, scale).expect("fits"))),
        ("t", t),
        ("day", Arc::new(rows.iter().map(|r| r.day).collect::<arrow::array::Date32Array>())),
        ("bin", Arc::new(rows.iter().map(|r| r.bin.as_deref()).collect::<BinaryArray>())),
        ("list", Arc::new(list.finish())),
        ("map", Arc::new(map.finish())),
    ];
    table(columns)
}

#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // each is a switch of the writer
struct Layout {
    codec: u8,
    version_2: bool,
    dictionary: bool,
    delta: bool,
    row_group: usize,
    page_rows: usize,
    batch: usize,
    reverse_columns: bool,
    shuffle: u64,
    parts: usize,
}

fn layout() -> impl Strategy<Value = Layout> {
    (
        (0_u8..7, any::<bool>(), any::<bool>(), any::<bool>()),
        (1_usize..30, 1_usize..20, 1_usize..10),
        (any::<bool>(), any::<u64>(), 1_usize..4),
    )
        .prop_map(|((codec, version_2, dictionary, delta), (row_group, page_rows, batch), rest)| Layout {
            codec,
            version_2,
            dictionary,
            delta,
            row_group,
            page_rows,
            batch,
            reverse_columns: rest.0,
            shuffle: rest.1,
            parts: rest.2,
        })
}

fn types() -> impl Strategy<Value = Types> {
    (0_u8..4, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(text, wide, micros, reversed_maps)| Types {
        text,
        wide,
        unit: if micros { TimeUnit::Microsecond } else { TimeUnit::Millisecond },
        reversed_maps,
    })
}

fn write(batch: &RecordBatch, layout: &Layout) -> Snapshot {
    let mut order: Vec<u32> = (0..u32::try_from(batch.num_rows()).expect("few")).collect();
    order.sort_by_key(|i| (u64::from(*i) + 1).wrapping_mul(layout.shuffle | 1).rotate_left(17));
    let shuffled = take_record_batch(batch, &UInt32Array::from(order)).expect("same rows");
    let mut columns: Vec<usize> = (0..batch.num_columns()).collect();
    if layout.reverse_columns {
        columns.reverse();
    }
    let batch = shuffled.project(&columns).expect("same columns");
    let mut properties = WriterProperties::builder()
        .set_compression(match layout.codec {
            0 => Compression::UNCOMPRESSED,
            1 => Compression::SNAPPY,
            2 => Compression::ZSTD(ZstdLevel::default()),
            3 => Compression::GZIP(GzipLevel::default()),
            4 => Compression::BROTLI(parquet::basic::BrotliLevel::default()),
            5 => Compression::LZ4_RAW,
            _ => Compression::LZ4,
        })
        .set_writer_version(if layout.version_2 { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 })
        .set_dictionary_enabled(layout.dictionary)
        .set_dictionary_page_size_limit(if layout.delta { 48 } else { 1 << 20 })
        .set_max_row_group_row_count(Some(layout.row_group))
        .set_data_page_row_count_limit(layout.page_rows)
        .set_write_batch_size(layout.batch)
        .set_statistics_enabled(if layout.delta { EnabledStatistics::Page } else { EnabledStatistics::None });
    if layout.delta && !layout.dictionary {
        properties = properties
            .set_column_encoding(ColumnPath::from("text"), Encoding::DELTA_BYTE_ARRAY)
            .set_column_encoding(ColumnPath::from("bin"), Encoding::DELTA_LENGTH_BYTE_ARRAY)
            .set_column_encoding(ColumnPath::from("f"), Encoding::BYTE_STREAM_SPLIT)
            .set_column_encoding(ColumnPath::from("id"), Encoding::DELTA_BINARY_PACKED);
    }
    let properties = properties.build();
    let size = batch.num_rows().div_ceil(layout.parts).max(1);
    let mut files = Vec::new();
    for start in (0..batch.num_rows()).step_by(size) {
        files.push(parquet(&batch.slice(start, size.min(batch.num_rows() - start)), properties.clone()));
    }
    if files.is_empty() {
        files.push(parquet(&batch, properties));
    }
    Snapshot::of(files)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn layout_and_types_do_not_matter(
        rows in proptest::collection::vec(row(), 0..60),
        (a, b) in (layout(), layout()),
        (x, y) in (types(), types()),
    ) {
        let view = spec("id", &COLUMNS);
        let one = write(&build(&rows, x), &a).digest(&view);
        let other = write(&build(&rows, y), &b).digest(&view);
        prop_assert_eq!(one.rows.len(), rows.len());
        prop_assert_eq!(one.rows, other.rows);
    }

    #[test]
    fn a_changed_value_changes_its_own_record_only(
        rows in proptest::collection::vec(row(), 1..40),
        at in any::<prop::sample::Index>(),
        layout in layout(),
        types in types(),
    ) {
        let view = spec("id", &COLUMNS);
        let before = write(&build(&rows, types), &layout).digest(&view).rows;
        let mut changed = rows.clone();
        let row = at.get_mut(&mut changed);
        row.text = Some(row.text.as_deref().map_or_else(String::new, |t| format!("{t}!")));
        let after = write(&build(&changed, types), &layout).digest(&view).rows;
        let differing = before.iter().zip(&after).filter(|(b, a)| b != a).count();
        prop_assert_eq!(differing, 1);
        prop_assert!(before.iter().zip(&after).all(|(b, a)| b.key_hash == a.key_hash));
    }
}

/// The attribute hash of a table of one row with one mapped column `x`.
fn hash_of(array: ArrayRef) -> driftless_model::AttrHash {
    Snapshot::table(&table(vec![("id", ints(&[1])), ("x", array)])).digest(&spec("id", &["x"])).rows[0].attr_hash
}

#[test]
fn instants_are_equal_by_value_and_zoned_is_not_naive() {
    let nanos = hash_of(Arc::new(TimestampNanosecondArray::from(vec![1_500_000_000]).with_timezone("+02:00")));
    assert_eq!(nanos, hash_of(Arc::new(TimestampMillisecondArray::from(vec![1500]).with_timezone("UTC"))));
    assert_ne!(nanos, hash_of(Arc::new(TimestampMillisecondArray::from(vec![1500]))));
}

#[test]
fn what_differs_hashes_differently() {
    let all = [
        hash_of(strings(&[None])),
        hash_of(strings(&[Some("")])),
        hash_of(strings(&[Some("1")])),
        hash_of(ints(&[1])),
        hash_of(Arc::new(BooleanArray::from(vec![true]))),
        hash_of(Arc::new(arrow::array::Date32Array::from(vec![1]))),
        hash_of(Arc::new(BinaryArray::from(vec![b"1".as_slice()]))),
        hash_of(Arc::new(Float64Array::from(vec![1.5]))),
        hash_of(strings(&[Some("é")])),
        hash_of(strings(&[Some("e\u{301}")])),
        hash_of(strings(&[Some("ﬁ")])),
        hash_of(strings(&[Some("fi")])),
    ];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn the_fields_of_a_struct_have_no_order_but_missing_is_not_null() {
    let field = |n| Arc::new(Field::new(n, DataType::Int64, true));
    let of = |columns: Vec<(&'static str, ArrayRef)>| -> ArrayRef {
        let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().map(|(n, a)| (field(n), a)).unzip();
        Arc::new(StructArray::new(Fields::from(fields), arrays, None))
    };
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    let ab = hash_of(of(vec![("a", ints(&[1])), ("b", ints(&[2]))]));
    assert_eq!(ab, hash_of(of(vec![("b", ints(&[2])), ("a", ints(&[1]))])));
    assert_ne!(ab, hash_of(of(vec![("a", ints(&[2])), ("b", ints(&[1]))])));
    assert_ne!(hash_of(of(vec![("a", ints(&[1]))])), hash_of(of(vec![("a", ints(&[1])), ("b", null)])));
}

#[test]
fn columns_that_are_not_mapped_do_not_count() {
    let one = table(vec![("id", ints(&[1])), ("x", strings(&[Some("a")])), ("new", ints(&[5]))]);
    let other = table(vec![("x", strings(&[Some("a")])), ("id", ints(&[1]))]);
    let view = spec("id", &["x"]);
    assert_eq!(Snapshot::table(&one).digest(&view).rows, Snapshot::table(&other).digest(&view).rows);
}

#[test]
fn batches_and_row_groups_of_any_size_are_one_table() {
    let ids: Vec<i64> = (0..50_000).collect();
    let texts: Vec<String> = ids.iter().map(|i| format!("text {}", i % 100)).collect();
    let texts: Vec<Option<&str>> = texts.iter().map(|t| Some(t.as_str())).collect();
    let batch = table(vec![("id", ints(&ids)), ("x", strings(&texts))]);
    let view = spec("id", &["x"]);
    let mut small = Snapshot::table(&concat_batches(&batch.schema(), [&batch]).expect("one"));
    let whole = small.digest(&view);
    small.limits.batch_rows = 7;
    small.limits.read_ahead_bytes = 1;
    assert_eq!(small.digest(&view).rows, whole.rows);
    assert_eq!(whole.rows.len(), 50_000);
}

#[test]
fn array_lengths_are_not_confused() {
    // Two lists whose elements run together the same.
    let list = |parts: &[&[&str]]| -> ArrayRef {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for part in parts {
            part.iter().for_each(|t| builder.values().append_value(t));
            builder.append(true);
        }
        Arc::new(builder.finish())
    };
    let pair = |a: &[&str], b: &[&str]| {
        let batch = table(vec![("id", ints(&[1])), ("x", list(&[a])), ("y", list(&[b]))]);
        Snapshot::table(&batch).digest(&spec("id", &["x", "y"])).rows[0].attr_hash
    };
    assert_ne!(pair(&["a"], &["b"]), pair(&["a", "b"], &[]));
    assert_ne!(pair(&["a", "b"], &["c"]), pair(&["ab"], &["c"]));
    assert_eq!(list(&[&["a"]]).len(), 1);
}
