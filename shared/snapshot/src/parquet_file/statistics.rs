use std::collections::{BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use parquet::basic::ColumnOrder;
use parquet::file::metadata::{
    ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
};
use parquet::file::statistics::Statistics as Parsed;

use super::file::ParquetFile;
use crate::sql::{Bound, Bounds};

/// The statistics of some columns, as the footer has them for each row group.
pub(crate) struct Statistics<'f, 'a> {
    file: &'f ParquetFile<'a>,
    parsed: ParquetMetaData,
}

impl<'f, 'a> Statistics<'f, 'a> {
    /// Reads the footer once more, for the statistics of these columns. `None` if they cannot be parsed: nobody needs them.
    pub(crate) fn of(file: &'f ParquetFile<'a>, columns: &BTreeSet<String>) -> Option<Self> {
        let leaves: HashSet<usize> =
            columns.iter().filter_map(|c| file.root(c)).flat_map(|r| r.leaves.clone()).collect();
        let options = ParquetMetaDataOptions::new()
            .with_column_stats_policy(ParquetStatisticsPolicy::SkipExcept(Arc::new(leaves)))
            .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
            .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
        let footer = file.footer();
        let parsed = catch_unwind(AssertUnwindSafe(|| {
            ParquetMetaDataReader::decode_metadata_with_options(&footer, Some(&options))
        }));
        Some(Self { file, parsed: parsed.ok()?.ok()? })
    }

    /// What they say of a column in a row group. Whatever is odd about them is as good as absent.
    pub(crate) fn bounds(&self, group: usize, column: &str) -> Bounds {
        let found = || {
            let root = self.file.root(column)?;
            let mut leaves = root.leaves.clone();
            let (leaf, None) = (leaves.next()?, leaves.next()) else { return None };
            let group = self.parsed.row_groups().get(group)?;
            let chunk = group.columns().get(leaf)?;
            // A list of one kind of value is one leaf too.
            if chunk.column_descr().max_rep_level() > 0 || root.field.data_type().is_nested() {
                return None;
            }
            let parsed = chunk.statistics()?;
            let nulls = parsed.null_count_opt();
            let rows = u64::try_from(group.num_rows()).ok()?;
            let mut bounds = Bounds { all_null: nulls == Some(rows), no_null: nulls == Some(0), ..Bounds::default() };
            let ordered = matches!(self.parsed.file_metadata().column_order(leaf), ColumnOrder::TYPE_DEFINED_ORDER(_));
            if ordered && !parsed.is_min_max_deprecated() {
                (bounds.min, bounds.max) = extremes(parsed, root.field.data_type());
            }
            Some(bounds)
        };
        found().unwrap_or_default()
    }
}

/// The least and the greatest value, as far as they are known. Text may be cut off, the greatest then made greater: bounds
/// all the same.
fn extremes(parsed: &Parsed, data_type: &DataType) -> (Option<Bound>, Option<Bound>) {
    let unsigned = matches!(data_type, DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64);
    let signed = matches!(
        data_type,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond, _)
    );
    let (min, max) = match parsed {
        Parsed::Int32(s) if signed || unsigned => {
            let bound = |n: &i32| Bound::Int(if unsigned { i128::from(n.cast_unsigned()) } else { i128::from(*n) });
            (s.min_opt().map(bound), s.max_opt().map(bound))
        }
        Parsed::Int64(s) if signed || unsigned => {
            let bound = |n: &i64| Bound::Int(if unsigned { i128::from(n.cast_unsigned()) } else { i128::from(*n) });
            (s.min_opt().map(bound), s.max_opt().map(bound))
        }
        Parsed::Float(s) if *data_type == DataType::Float32 => {
            let bound = |x: &f32| (!x.is_nan()).then(|| Bound::Float(f64::from(*x)));
            (s.min_opt().and_then(bound), s.max_opt().and_then(bound))
        }
        Parsed::Double(s) if *data_type == DataType::Float64 => {
            let bound = |x: &f64| (!x.is_nan()).then_some(Bound::Float(*x));
            (s.min_opt().and_then(bound), s.max_opt().and_then(bound))
        }
        Parsed::ByteArray(s) if *data_type == DataType::Utf8View => {
            let bound = |bytes: &parquet::data_type::ByteArray| Bound::Bytes(bytes.data().to_vec());
            (s.min_opt().map(bound), s.max_opt().map(bound))
        }
        _ => (None, None),
    };
    let backwards = match (&min, &max) {
        (Some(Bound::Int(min)), Some(Bound::Int(max))) => min > max,
        (Some(Bound::Bytes(min)), Some(Bound::Bytes(max))) => min > max,
        (Some(Bound::Float(min)), Some(Bound::Float(max))) => min > max,
        _ => false,
    };
    if backwards { (None, None) } else { (min, max) }
}
