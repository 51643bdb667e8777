//! The test vectors that `docs/hash-recipe.md` publishes.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, ListBuilder, MapBuilder,
    StringBuilder, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field};
use driftless_snapshot::RECIPE_VERSION;

use crate::support::{Snapshot, hash, ints, spec, strings, table};

/// The document, and the rows of its table that begins with the given heading.
fn published(heading: &str) -> Vec<(String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hash-recipe.md");
    let text = std::fs::read_to_string(path).expect("the recipe is part of the repository");
    let section = text.split(heading).nth(1).expect("the section is there");
    let rows = section.lines().skip_while(|l| !l.starts_with("|---")).skip(1).take_while(|l| l.starts_with('|'));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(|c| c.trim().trim_matches('`')).collect();
        (cells[0].to_owned(), cells[1].to_owned())
    })
    .collect()
}

#[test]
fn the_document_is_of_this_version() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hash-recipe.md");
    let text = std::fs::read_to_string(path).expect("the recipe is part of the repository");
    assert!(text.contains(&format!("# Hash recipe {RECIPE_VERSION}\n")));
}

#[test]
fn key_hashes_are_as_published() {
    let computed: Vec<(String, String)> = ["a", "42", "ann@example.com", r#"["acme","42"]"#, ""]
        .iter()
        .map(|k| ((*k).to_owned(), hash(k).to_string()))
        .collect();
    assert_eq!(published("### Key hashes"), computed);
}

#[test]
fn attribute_hashes_are_as_published() {
    let list: ArrayRef = {
        let mut builder = ListBuilder::new(StringBuilder::new());
        builder.append_value([Some("a"), None]);
        Arc::new(builder.finish())
    };
    let map: ArrayRef = {
        let mut builder = MapBuilder::new(None, StringBuilder::new(), arrow::array::Int64Builder::new());
        for (k, v) in [("b", 2), ("a", 1)] {
            builder.keys().append_value(k);
            builder.values().append_value(v);
        }
        builder.append(true).expect("in step");
        Arc::new(builder.finish())
    };
    let of_struct = StructArray::from(vec![
        (Arc::new(Field::new("y", DataType::Int64, true)), ints(&[2])),
        (Arc::new(Field::new("x", DataType::Int64, true)), ints(&[1])),
    ]);
    let decimal = Decimal128Array::from(vec![1250]).with_precision_and_scale(10, 3).expect("fits");
    let values: Vec<(&str, ArrayRef)> = vec![
        ("null", strings(&[None])),
        ("text, empty", strings(&[Some("")])),
        ("text a", strings(&[Some("a")])),
        ("text ä (U+00E4)", strings(&[Some("ä")])),
        ("boolean true", Arc::new(BooleanArray::from(vec![true]))),
        ("integer 5; decimal 5.00; float 5.0", ints(&[5])),
        ("integer -1", ints(&[-1])),
        ("decimal 1.25", Arc::new(decimal)),
        ("float 1.25", Arc::new(Float64Array::from(vec![1.25]))),
        ("float NaN", Arc::new(Float64Array::from(vec![f64::NAN]))),
        ("bytes 00 ff", Arc::new(BinaryArray::from(vec![[0_u8, 0xff].as_slice()]))),
        ("date 2000-02-29", Arc::new(Date32Array::from(vec![11_016]))),
        ("time 12:00:00.5", Arc::new(Time64MicrosecondArray::from(vec![43_200_500_000]))),
        (
            "timestamp 1969-12-31T23:59:59.5Z",
            Arc::new(TimestampMicrosecondArray::from(vec![-500_000]).with_timezone("UTC")),
        ),
        ("timestamp 1969-12-31T23:59:59.5 without zone", Arc::new(TimestampMicrosecondArray::from(vec![-500_000]))),
        ("list of text a and null", list),
        ("struct x = 1, y = 2", Arc::new(of_struct)),
        ("map a → 1, b → 2", map),
    ];
    let computed: Vec<(String, String)> = values
        .into_iter()
        .map(|(name, array)| {
            let snapshot = Snapshot::table(&table(vec![("id", ints(&[1])), ("x", array)]));
            (name.to_owned(), snapshot.digest(&spec("id", &["x"])).rows[0].attr_hash.to_string())
        })
        .collect();
    assert_eq!(published("### Attribute hashes of one field"), computed);
}

#[test]
fn records_are_as_published() {
    let batch = table(vec![("id", ints(&[42])), ("mail", strings(&[Some("ann@example.com")])), ("age", ints(&[41]))]);
    let rows = Snapshot::table(&batch).digest(&spec("id", &["mail", "age", "id"])).rows;
    let computed = vec![("age 41, id 42, mail ann@example.com".to_owned(), rows[0].attr_hash.to_string())];
    assert_eq!(published("### Attribute hashes of records"), computed);
}
