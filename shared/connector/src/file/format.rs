//! Rows to bytes and back.

use std::collections::{BTreeMap, BTreeSet};

use driftless_config::destination::{Csv, FileFormat};
use driftless_model::{Identifier, IdentifierSet, Operation};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::manifest::Schema;
use crate::OutRow;

/// What a row of a file says. An update says what an add says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Says {
    /// The record is in the list, with these values.
    Add,
    /// These identifiers are not.
    Remove,
}

/// A row that was read back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReadRow {
    pub(super) says: Says,
    pub(super) key: String,
    pub(super) identifiers: IdentifierSet,
}

/// A file that cannot be read for what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a file of the list is not what its manifest says")]
pub(super) struct Unreadable;

/// One JSON line.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    operation: Option<Says>,
    key: String,
    /// Values by field: a removal may carry several of one field.
    identifiers: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    fields: Option<Map<String, Value>>,
}

impl Says {
    pub(super) const fn of(operation: Operation) -> Self {
        match operation {
            Operation::Remove => Self::Remove,
            _ => Self::Add,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
        }
    }
}

pub(super) const fn extension(format: &FileFormat) -> &'static str {
    match format {
        FileFormat::Csv(_) => "csv",
        FileFormat::JsonLines(_) => "jsonl",
    }
}

pub(super) const fn content_type(format: &FileFormat) -> &'static str {
    match format {
        FileFormat::Csv(_) => "text/csv; charset=utf-8",
        FileFormat::JsonLines(_) => "application/jsonl",
    }
}

/// How files of this format are read. `changes`: their rows say what to do.
pub(super) fn schema(format: &FileFormat, changes: bool, identifiers: BTreeSet<String>) -> Schema {
    match format {
        FileFormat::Csv(csv) => Schema {
            format: "csv".into(),
            columns: header(csv, changes).map(str::to_owned).collect(),
            identifiers,
            neutralised: csv.neutralise_formulas,
        },
        FileFormat::JsonLines(_) => {
            Schema { format: "json_lines".into(), columns: Vec::new(), identifiers, neutralised: false }
        }
    }
}

fn header(csv: &Csv, changes: bool) -> impl Iterator<Item = &str> {
    let operation = changes.then_some("operation");
    operation.into_iter().chain(["key"]).chain(csv.columns.iter().map(String::as_str))
}

/// The bytes of a file of these rows: a function of them and the format. `changes`: with what each row says.
pub(super) fn write(format: &FileFormat, changes: Option<Says>, rows: &[OutRow]) -> Vec<u8> {
    match format {
        FileFormat::Csv(csv) => write_csv(csv, changes, rows),
        FileFormat::JsonLines(_) => {
            let mut text = Vec::new();
            for row in rows {
                let mut identifiers: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for identifier in &row.identifiers {
                    identifiers.entry(identifier.field.clone()).or_default().push(identifier.value.clone());
                }
                let fields = (changes != Some(Says::Remove)).then(|| row.fields.clone());
                let line = Line { operation: changes, key: row.key.as_str().to_owned(), identifiers, fields };
                text.extend(serde_json::to_vec(&line).unwrap_or_default());
                text.push(b'\n');
            }
            text
        }
    }
}

fn write_csv(csv: &Csv, changes: Option<Says>, rows: &[OutRow]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Always)
        .terminator(csv::Terminator::Any(b'\n'))
        .from_writer(Vec::new());
    let cell = |text: &str| if csv.neutralise_formulas { neutralised(text) } else { text.to_owned() };
    // Writing into memory does not fail, and every record has the columns of the header.
    let mut line = |cells: Vec<String>| drop(writer.write_record(cells));
    line(header(csv, changes.is_some()).map(str::to_owned).collect());
    for row in rows {
        // Several identifiers of one field are several lines.
        let of = |field: &str| row.identifiers.iter().filter(|i| i.field == field).map(|i| i.value.as_str()).collect();
        let values: Vec<Vec<&str>> = csv.columns.iter().map(|column| of(column)).collect();
        let lines = match changes {
            Some(Says::Remove) => values.iter().map(Vec::len).max().unwrap_or(0).max(1),
            _ => 1,
        };
        for nth in 0..lines {
            let start = changes.map(|says| says.as_str().to_owned()).into_iter().chain([cell(row.key.as_str())]);
            let columns = csv.columns.iter().zip(&values).map(|(column, identifiers)| match changes {
                Some(Says::Remove) => cell(identifiers.get(nth).copied().unwrap_or_default()),
                _ => match row.fields.get(column) {
                    Some(Value::String(text)) => cell(text),
                    Some(Value::Null) | None => cell(identifiers.first().copied().unwrap_or_default()),
                    Some(other) => other.to_string(),
                },
            });
            line(start.chain(columns).collect());
        }
    }
    writer.into_inner().unwrap_or_default()
}

/// The rows of a file.
pub(super) fn read(schema: &Schema, bytes: &[u8]) -> Result<Vec<ReadRow>, Unreadable> {
    if schema.format == "csv" { read_csv(schema, bytes) } else { read_lines(bytes) }
}

fn read_lines(bytes: &[u8]) -> Result<Vec<ReadRow>, Unreadable> {
    let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let line: Line = serde_json::from_slice(line).map_err(|_| Unreadable)?;
            let pairs = line
                .identifiers
                .into_iter()
                .flat_map(|(field, values)| values.into_iter().map(move |value| Identifier::new(field.clone(), value)));
            let says = line.operation.unwrap_or(Says::Add);
            Ok(ReadRow { says, key: line.key, identifiers: pairs.collect() })
        })
        .collect()
}

fn read_csv(schema: &Schema, bytes: &[u8]) -> Result<Vec<ReadRow>, Unreadable> {
    let mut reader = csv::ReaderBuilder::new().has_headers(true).from_reader(bytes);
    let columns = reader.headers().map_err(|_| Unreadable)?.clone();
    if !columns.iter().eq(schema.columns.iter().map(String::as_str)) {
        return Err(Unreadable);
    }
    let text = |cell: &str| if schema.neutralised { restored(cell).to_owned() } else { cell.to_owned() };
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|_| Unreadable)?;
        let (mut says, mut key, mut identifiers) = (Says::Add, String::new(), IdentifierSet::new());
        for (column, cell) in columns.iter().zip(&record) {
            match column {
                "operation" if cell == "remove" => says = Says::Remove,
                "operation" => {}
                "key" => key = text(cell),
                field if schema.identifiers.contains(field) && !cell.is_empty() => {
                    identifiers.insert(Identifier::new(field, text(cell)));
                }
                _ => {}
            }
        }
        rows.push(ReadRow { says, key, identifiers });
    }
    Ok(rows)
}

/// True if a spreadsheet would take the text for a formula, or if it is one that was neutralised: then it gets another
/// apostrophe, so that taking one off gives the text back.
fn looks_like_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r'])
}

fn neutralised(text: &str) -> String {
    if looks_like_formula(text) { format!("'{text}") } else { text.to_owned() }
}

fn restored(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|_| looks_like_formula(cell)).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use driftless_config::destination::JsonLines;
    use driftless_model::RecordKey;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn csv_of(neutralise_formulas: bool) -> FileFormat {
        FileFormat::Csv(Csv { columns: vec!["email".into(), "note".into(), "n".into()], neutralise_formulas })
    }

    fn row(emails: &[&str], fields: Value) -> OutRow {
        OutRow {
            key: RecordKey::new("c1"),
            identifiers: emails.iter().map(|e| Identifier::new("email", *e)).collect(),
            remote_id: None,
            fields: fields.as_object().expect("an object").clone(),
        }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn csv_quotes_everything_and_ends_lines_with_lf() {
        let rows = [row(&["a@example.com"], json!({ "email": "a@example.com", "note": "a \"b\", c\nd", "n": 1.5 }))];
        assert_eq!(
            text(write(&csv_of(false), Some(Says::Add), &rows)),
            "\"operation\",\"key\",\"email\",\"note\",\"n\"\n\"add\",\"c1\",\"a@example.com\",\"a \"\"b\"\", c\nd\",\"1.5\"\n"
        );
        assert_eq!(
            text(write(&csv_of(false), None, &[row(&["a"], json!({ "email": "a", "note": null }))])),
            "\"key\",\"email\",\"note\",\"n\"\n\"c1\",\"a\",\"\",\"\"\n"
        );
    }

    #[test]
    fn a_removal_of_several_identifiers_is_several_lines() {
        let bytes = write(&csv_of(false), Some(Says::Remove), &[row(&["a", "b"], json!({}))]);
        assert_eq!(
            text(bytes),
            "\"operation\",\"key\",\"email\",\"note\",\"n\"\n\"remove\",\"c1\",\"a\",\"\",\"\"\n\"remove\",\"c1\",\"b\",\"\",\"\"\n"
        );
    }

    #[test]
    fn a_formula_is_neutralised_where_that_is_wanted() {
        let rows = [row(&["a"], json!({ "email": "a", "note": "=HYPERLINK(\"x\")", "n": -5 }))];
        assert!(text(write(&csv_of(true), None, &rows)).contains("\"'=HYPERLINK(\"\"x\"\")\",\"-5\""));
        assert!(text(write(&csv_of(false), None, &rows)).contains("\"=HYPERLINK"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            keys in proptest::collection::vec("\\PC{1,8}", 0..5),
            email in "[=+@'a\",\n\r\tü]{1,6}",
            neutralise in any::<bool>(),
            csv in any::<bool>(),
            remove in any::<bool>(),
        ) {
            let format = if csv { csv_of(neutralise) } else { FileFormat::JsonLines(JsonLines {}) };
            let rows: Vec<OutRow> = keys
                .iter()
                .map(|key| OutRow { key: RecordKey::new(key.clone()), ..row(&[&email], json!({ "email": email })) })
                .collect();
            let says = if remove { Says::Remove } else { Says::Add };
            let schema = schema(&format, true, BTreeSet::from(["email".to_owned()]));
            let read = read(&schema, &write(&format, Some(says), &rows)).expect("readable");
            prop_assert_eq!(read.len(), rows.len());
            for (read, row) in read.iter().zip(&rows) {
                prop_assert_eq!((read.says, read.key.as_str(), &read.identifiers), (says, row.key.as_str(), &row.identifiers));
            }
        }
    }
}
