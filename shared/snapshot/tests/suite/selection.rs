//! SQL: what is selected, and what is refused with its place.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use driftless_config::{FieldMapping, KeyColumns, Mapping, Selection};
use driftless_model::RecordKey;
use driftless_snapshot::{Failure, Position, Use, ViewError, ViewSpec, check_view, selected_schema};

use crate::support::{Snapshot, hash, ints, spec, strings, table, with_sql, with_where};

fn customers() -> Snapshot {
    let decimals = Decimal128Array::from(vec![1050, 99, 0, -5]).with_precision_and_scale(10, 2).expect("fits");
    Snapshot::table(&table(vec![
        ("id", ints(&[1, 2, 3, 4])),
        ("Email", strings(&[Some("a@x.org"), Some("B@x.org"), None, Some("d@y.org")])),
        ("country", strings(&[Some("DE"), Some("FR"), Some("DE"), None])),
        ("consent", Arc::new(BooleanArray::from(vec![true, true, false, true])) as ArrayRef),
        ("spent", Arc::new(decimals)),
        ("score", Arc::new(Float64Array::from(vec![0.5, 1.5, f64::NAN, 0.0]))),
        ("born", Arc::new(Date32Array::from(vec![0, 20_000, 10_000, 1]))),
        ("order", ints(&[7, 8, 9, 10])),
    ]))
}

fn keys(spec: &ViewSpec) -> Vec<&'static str> {
    let rows = customers().digest(spec).rows;
    ["1", "2", "3", "4"].into_iter().filter(|k| rows.iter().any(|r| r.key_hash == hash(k))).collect()
}

fn where_keys(condition: &str) -> Vec<&'static str> {
    keys(&with_where(condition, "id", &["country"]))
}

fn error(sql: &str) -> ViewError {
    customers().view_error(&with_sql(sql, "id", &["country"]))
}

/// Line and column.
fn place(line: u64, column: u64) -> Position {
    Position { line, column }
}

#[test]
fn conditions_select_rows_as_sql_does() {
    assert_eq!(where_keys("country = 'DE'"), ["1", "3"]);
    assert_eq!(where_keys("country <> 'DE'"), ["2"], "null is neither");
    assert_eq!(where_keys("consent AND country IS NOT NULL"), ["1", "2"]);
    assert_eq!(where_keys("email LIKE '%@x.org'"), ["1", "2"]);
    assert_eq!(where_keys("lower(email) = 'b@x.org'"), ["2"]);
    assert_eq!(where_keys("regexp_like(email, '^[a-d]@')"), ["1", "4"]);
    assert_eq!(where_keys("email ~ '^B'"), ["2"]);
    assert_eq!(where_keys("born < DATE '1971-01-01'"), ["1", "4"]);
    assert_eq!(where_keys("born BETWEEN '1990-01-01' AND '2030-01-01'"), ["2", "3"]);
    assert_eq!(where_keys("date_part('year', born) = 1970"), ["1", "4"]);
    assert_eq!(where_keys("id IN (1, 4, 17)"), ["1", "4"]);
    assert_eq!(where_keys("CASE WHEN country = 'FR' THEN consent ELSE false END"), ["2"]);
    assert_eq!(where_keys("coalesce(country, 'DE') = 'DE' -- with a comment"), ["1", "3", "4"]);
    assert_eq!(where_keys("null"), [] as [&str; 0]);
    assert_eq!(where_keys("true"), ["1", "2", "3", "4"]);
}

#[test]
fn decimals_are_compared_exactly() {
    assert_eq!(where_keys("spent > 0.98"), ["1", "2"]);
    assert_eq!(where_keys("spent = 0.99"), ["2"]);
    assert_eq!(where_keys("spent * 2 = 21"), ["1"]);
}

#[test]
fn names_are_found_whatever_their_case_and_quotes_are_exact() {
    assert_eq!(where_keys("EMAIL = 'a@x.org'"), ["1"]);
    assert_eq!(where_keys("\"Email\" = 'a@x.org'"), ["1"]);
    assert_eq!(where_keys("\"order\" > 8"), ["3", "4"]);
    assert!(matches!(
        customers().view_error(&with_where("\"email\" = 'a'", "id", &["country"])),
        ViewError::MissingColumn { column, named_in: Use::Sql(Position { line: 1, column: 1 }), nearest: Some(near) }
            if column == "email" && near == "Email"
    ));
    assert_eq!(keys(&spec("ID", &["EMAIL"])), ["1", "2", "3", "4"]);
}

#[test]
fn a_statement_may_compute_columns_and_name_them() {
    let sql = "SELECT d.id AS customer, upper(d.Email) AS mail, country FROM dataset AS d WHERE d.consent;";
    assert_eq!(keys(&with_sql(sql, "customer", &["mail", "country"])), ["1", "2", "4"]);
    assert_eq!(keys(&with_sql("select *, spent * 2 as twice from dataset", "id", &["twice"])), ["1", "2", "3", "4"]);
    assert_eq!(keys(&with_sql("SELECT dataset.* FROM DATASET", "id", &["country"])), ["1", "2", "3", "4"]);
}

#[test]
fn the_result_has_only_the_columns_of_the_list() {
    assert!(matches!(
        customers().view_error(&with_sql("SELECT id, Email FROM dataset", "id", &["country"])),
        ViewError::MissingColumn { column, named_in: Use::Field(field), .. } if column == "country" && field == "country"
    ));
}

#[test]
fn an_id_list_selects_by_the_text_of_the_key() {
    let ids = ["2", "4", "9"].into_iter().map(RecordKey::new).collect();
    let by_id = ViewSpec { selection: Selection::Ids(ids), ..spec("id", &["country"]) };
    assert_eq!(keys(&by_id), ["2", "4"]);
    assert_eq!(customers().digest(&by_id).report.selected, 2);
}

#[test]
fn a_missing_column_is_named_with_its_place_and_the_nearest_name() {
    assert_eq!(
        error("SELECT id, country\nFROM dataset\nWHERE contry = 'DE'"),
        ViewError::MissingColumn {
            column: "contry".into(),
            named_in: Use::Sql(Position { line: 3, column: 7 }),
            nearest: Some("country".into()),
        }
    );
    let missing = customers().view_error(&spec("customer_id", &["country"]));
    assert_eq!(missing.to_string(), "there is no column `customer_id`, named in the key");
    let missing = customers().view_error(&spec("id", &["countri"]));
    let message = "there is no column `countri`, named in the mapping of field `countri`; did you mean `country`?";
    assert_eq!(missing.to_string(), message);
}

#[test]
fn syntax_errors_have_their_place() {
    assert!(matches!(error("SELECT id FROM dataset WHERE"), ViewError::Sql { .. }));
    let e = error("SELECT id FROM dataset WHERE country = = 'DE'");
    assert!(matches!(e, ViewError::Sql { at, .. } if at == Some(place(1, 40))), "{e:?}");
    let e = customers().view_error(&with_where("country = 'DE' country", "id", &["country"]));
    assert!(matches!(e, ViewError::Sql { at, .. } if at == Some(place(1, 16))), "{e:?}");
    let deep = format!("{}true{}", "(".repeat(5000), ")".repeat(5000));
    assert!(matches!(customers().view_error(&with_where(&deep, "id", &["country"])), ViewError::Sql { .. }));
    let unterminated = customers().view_error(&with_where("country = 'DE", "id", &["country"]));
    assert!(matches!(unterminated, ViewError::Sql { at: Some(_), .. }));
}

#[test]
fn types_that_do_not_fit_are_sql_errors() {
    let e = customers().view_error(&with_where("country", "id", &["country"]));
    assert_eq!(
        e.to_string(),
        "the selection is not valid SQL (line 1, column 1): the condition is not true or false, but Utf8View"
    );
    let e = customers().view_error(&with_where("consent > DATE '2020-01-01'", "id", &["country"]));
    assert!(matches!(e, ViewError::Sql { at: Some(_), .. }), "{e:?}");
}

#[test]
fn whatever_needs_more_than_the_row_is_refused() {
    for (sql, expected) in [
        ("SELECT id, country FROM dataset JOIN other ON true", Some(place(1, 38))),
        ("SELECT id, country FROM dataset, other", Some(place(1, 34))),
        ("SELECT id, country FROM dataset WHERE id IN (SELECT 1)", Some(place(1, 39))),
        ("SELECT id, country FROM dataset WHERE EXISTS (SELECT 1)", None),
        ("SELECT id, country FROM (SELECT * FROM dataset)", None),
        ("SELECT id, country FROM customers", Some(place(1, 25))),
        ("SELECT id, country FROM 'file.parquet'", None),
        ("SELECT id, country FROM read_parquet('x')", Some(place(1, 25))),
        ("SELECT id, country FROM dataset LIMIT 5", Some(place(1, 39))),
        ("SELECT id, country FROM dataset ORDER BY id", Some(place(1, 42))),
        ("SELECT DISTINCT id, country FROM dataset", Some(place(1, 1))),
        ("SELECT id, country FROM dataset GROUP BY id, country", Some(place(1, 1))),
        ("SELECT id, country FROM dataset UNION ALL SELECT 1, 'x'", Some(place(1, 43))),
        ("WITH x AS (SELECT 1) SELECT id, country FROM dataset", Some(place(1, 1))),
        ("SELECT count(*) AS id, country FROM dataset", Some(place(1, 8))),
        ("SELECT row_number() OVER () AS id, country FROM dataset", Some(place(1, 8))),
        ("SELECT sum(id) AS id, country FROM dataset", Some(place(1, 8))),
        ("SELECT id, country FROM dataset WHERE id = $1", Some(place(1, 44))),
        ("DELETE FROM dataset", None),
        ("SELECT id, country FROM dataset; SELECT 1", None),
        ("COPY dataset TO 'x'", None),
    ] {
        match error(sql) {
            ViewError::NotAllowed { at, what } => {
                assert!(!what.is_empty());
                if expected.is_some() {
                    assert_eq!(at, expected, "{sql}: {what}");
                }
            }
            ViewError::Sql { .. } => {}
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn functions_that_look_at_the_clock_or_roll_dice_are_refused() {
    for function in ["now()", "current_date", "current_timestamp", "random()", "uuid()", "current_time", "today()"] {
        let sql = format!("SELECT id, country FROM dataset WHERE {function} IS NOT NULL");
        match error(&sql) {
            ViewError::NotDeterministic { at, .. } => assert_eq!(at, Some(place(1, 39)), "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn unknown_functions_are_named_with_the_nearest() {
    assert_eq!(
        error("SELECT id, lowr(country) AS country FROM dataset"),
        ViewError::UnknownFunction { function: "lowr".into(), at: Some(place(1, 12)), nearest: Some("lower".into()) }
    );
    assert!(matches!(
        error("SELECT id, read_csv('/etc/passwd') AS country FROM dataset"),
        ViewError::UnknownFunction { .. }
    ));
}

#[test]
fn a_failing_expression_says_where_and_never_what() {
    let e = customers().view_error(&with_where("CAST(Email AS INT) = 1", "id", &["country"]));
    assert!(matches!(&e, ViewError::Evaluation { failure: Failure::Cast, row_group: 0, .. }), "{e:?}");
    assert!(!e.to_string().contains("x.org"));
    let e = customers().view_error(&with_sql("SELECT id, 1 / (id - 2) AS country FROM dataset", "id", &["country"]));
    assert!(
        matches!(&e, ViewError::Evaluation { failure: Failure::DivideByZero, expression, .. }
        if expression == "column `country`"),
        "{e:?}"
    );
    // A row that is not selected is not computed.
    let sql = "SELECT id, 1 / (id - 2) AS country FROM dataset WHERE id <> 2";
    assert_eq!(keys(&with_sql(sql, "id", &["country"])), ["1", "3", "4"]);
}

#[test]
fn every_part_of_a_schema_is_checked_before_data_is_read() {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("tags", DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), true),
    ]);
    assert_eq!(check_view(&spec("id", &["tags"]), &schema), Ok(()));
    assert!(matches!(
        check_view(&spec("tags", &["id"]), &schema),
        Err(ViewError::WrongType { column, named_in: Use::Key, found, .. }) if column == "tags" && found == "a list"
    ));
    let mut identifier = FieldMapping::new("tag", "tags");
    identifier.identifier = true;
    let by_list = ViewSpec { mapping: Mapping::new(vec![identifier]), ..spec("id", &[]) };
    assert!(matches!(check_view(&by_list, &schema), Err(ViewError::WrongType { named_in: Use::Field(_), .. })));
    let renamed = ViewSpec {
        key: KeyColumns::new(vec!["id".into()]).expect("a key"),
        selection: Selection::Where("array_has(tags, 'x')".into()),
        mapping: Mapping::new(vec![FieldMapping::new("remote", "id")]),
        prefer: None,
    };
    let selected = selected_schema(&renamed, &schema).expect("it fits");
    assert_eq!(selected.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["remote"]);
    let differently = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("ID", DataType::Int64, true),
        Field::new("tags", DataType::Utf8, true),
    ]);
    assert!(matches!(check_view(&spec("Id", &["tags"]), &differently), Err(ViewError::AmbiguousColumn { .. })));
    assert!(check_view(&spec("ID", &["tags"]), &differently).is_ok());
}

#[test]
fn nested_columns_can_be_asked_for_their_parts() {
    let city: ArrayRef = Arc::new(StringArray::from(vec!["Ulm", "Jena"]));
    let address = arrow::array::StructArray::from(vec![(Arc::new(Field::new("City", DataType::Utf8, true)), city)]);
    let snapshot = Snapshot::table(&table(vec![("id", ints(&[1, 2])), ("address", Arc::new(address))]));
    for condition in ["address['City'] = 'Ulm'", "address.\"City\" = 'Ulm'", "dataset.address.City = 'Ulm'"] {
        let digested = snapshot.digest(&with_where(condition, "id", &["address"]));
        assert_eq!(digested.rows.len(), 1, "{condition}");
        assert_eq!(digested.rows[0].key_hash, hash("1"));
    }
}

#[test]
fn an_expression_that_is_wrong_without_any_data_is_an_sql_error() {
    let e = customers().view_error(&with_where("regexp_like(Email, lower('['))", "id", &["country"]));
    assert!(matches!(&e, ViewError::Sql { .. }), "{e:?}");
}
