use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

/// The type of a column of a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// 64-bit whole numbers.
    Int,
    /// 64-bit floating-point numbers.
    Float,
    /// True or false.
    Bool,
    /// Microseconds since the epoch, UTC.
    Time,
}

/// A value of a [`Snapshot`].
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// For [`Kind::Text`].
    Text(String),
    /// For [`Kind::Int`], and microseconds for [`Kind::Time`].
    Int(i64),
    /// For [`Kind::Float`].
    Float(f64),
    /// For [`Kind::Bool`].
    Bool(bool),
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}
impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}
impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A small Parquet file in the making.
///
/// ```
/// use driftless_testkit::{Kind, Snapshot};
/// let file = Snapshot::new(&[("id", Kind::Int), ("email", Kind::Text)])
///     .row([1.into(), "a@example.com".into()])
///     .row([2.into(), None::<&str>.into()])
///     .bytes();
/// assert_eq!(&file[..4], b"PAR1");
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    columns: Vec<(String, Kind)>,
    rows: Vec<Vec<Cell>>,
    group_rows: usize,
    compression: Compression,
    dictionary: bool,
}

impl Snapshot {
    /// Without rows.
    #[must_use]
    pub fn new(columns: &[(&str, Kind)]) -> Self {
        Self {
            columns: columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
            rows: Vec::new(),
            group_rows: 1 << 20,
            compression: Compression::SNAPPY,
            dictionary: true,
        }
    }

    /// Without rows, all columns text.
    #[must_use]
    pub fn of_texts(columns: &[&str]) -> Self {
        Self::new(&columns.iter().map(|name| (*name, Kind::Text)).collect::<Vec<_>>())
    }

    /// Adds a row, one cell a column.
    #[must_use]
    pub fn row(mut self, cells: impl IntoIterator<Item = Cell>) -> Self {
        self.rows.push(cells.into_iter().collect());
        self
    }

    /// Adds rows.
    #[must_use]
    pub fn rows<R: IntoIterator<Item = Cell>>(self, rows: impl IntoIterator<Item = R>) -> Self {
        rows.into_iter().fold(self, Self::row)
    }

    /// Ends a row group after so many rows.
    #[must_use]
    pub const fn group_rows(mut self, rows: usize) -> Self {
        self.group_rows = rows;
        self
    }

    /// Compresses with another codec than Snappy.
    #[must_use]
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Writes plain values instead of dictionaries.
    #[must_use]
    pub const fn without_dictionary(mut self) -> Self {
        self.dictionary = false;
        self
    }

    /// The file.
    ///
    /// # Panics
    /// If a row has another number of cells than there are columns, or a cell of another kind: the test is wrong.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        assert!(self.rows.iter().all(|row| row.len() == self.columns.len()), "a row lacks a cell or has one too many");
        let fields = self.columns.iter().map(|(name, kind)| Field::new(name, data_type(*kind), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let arrays = self.columns.iter().enumerate();
        let arrays = arrays.map(|(at, (_, kind))| array(*kind, self.rows.iter().map(|row| &row[at]))).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).expect("arrays were made after the schema");
        let properties = WriterProperties::builder()
            .set_created_by("driftless-testkit".to_owned())
            .set_max_row_group_row_count(Some(self.group_rows))
            .set_compression(self.compression)
            .set_dictionary_enabled(self.dictionary);
        let mut writer =
            ArrowWriter::try_new(Vec::new(), schema, Some(properties.build())).expect("the schema is flat");
        writer.write(&batch).expect("writing to memory");
        writer.into_inner().expect("writing to memory").into()
    }
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Int => DataType::Int64,
        Kind::Float => DataType::Float64,
        Kind::Bool => DataType::Boolean,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

fn array<'c>(kind: Kind, cells: impl Iterator<Item = &'c Cell>) -> ArrayRef {
    macro_rules! collect {
        ($array:ty, $($of:pat => $value:expr),+) => {
            cells.map(|cell| match cell {
                Cell::Null => None,
                $($of => Some($value),)+
                other => panic!("a {kind:?} column cannot hold {other:?}"),
            }).collect::<$array>()
        };
    }
    match kind {
        Kind::Text => Arc::new(collect!(StringArray, Cell::Text(v) => v.as_str())),
        Kind::Int => Arc::new(collect!(Int64Array, Cell::Int(v) => *v)),
        Kind::Float => Arc::new(collect!(Float64Array, Cell::Float(v) => *v)),
        Kind::Bool => Arc::new(collect!(BooleanArray, Cell::Bool(v) => *v)),
        Kind::Time => Arc::new(collect!(TimestampMicrosecondArray, Cell::Int(v) => *v).with_timezone("UTC")),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[test]
    fn a_snapshot_reads_back_with_its_types_nulls_and_row_groups() {
        let columns = [("t", Kind::Text), ("i", Kind::Int), ("f", Kind::Float), ("b", Kind::Bool), ("at", Kind::Time)];
        let row = |i: i64| [format!("r{i}").into(), i.into(), 0.5.into(), true.into(), i.into()];
        let nulls = [Cell::Null, Cell::Null, Cell::Null, Cell::Null, Cell::Null];
        let snapshot = Snapshot::new(&columns).rows((0..4).map(row)).row(nulls).group_rows(2);
        let file = snapshot.compression(Compression::UNCOMPRESSED).without_dictionary().bytes();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 3);
        let batches: Vec<_> = reader.build().unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 5);
        assert_eq!(batches[0].schema().field(4).data_type(), &data_type(Kind::Time));
        assert!(batches.iter().flat_map(RecordBatch::columns).map(Array::null_count).sum::<usize>() == 5);
    }
}
