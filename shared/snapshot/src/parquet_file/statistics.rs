use core::ops::Range;
use std::collections::{BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use parquet::basic::{ColumnOrder, Type as Physical};
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
};

use super::file::ParquetFile;
use super::page_index;
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
        self.bounds_of_chunk(group, column).unwrap_or_default()
    }

    fn bounds_of_chunk(&self, group: usize, column: &str) -> Option<Bounds> {
        let (chunk, rows) = self.chunk(group, column)?;
        let parsed = chunk.statistics()?;
        let nulls = parsed.null_count_opt();
        let mut bounds = Bounds { all_null: nulls == Some(rows), no_null: nulls == Some(0), ..Bounds::default() };
        if self.is_ordered(column) && !parsed.is_min_max_deprecated() {
            let bytes = (parsed.min_bytes_opt(), parsed.max_bytes_opt());
            let root = self.file.root(column)?;
            (bounds.min, bounds.max) = extremes(bytes, chunk.column_descr().physical_type(), root.field.data_type());
        }
        Some(bounds)
    }

    /// What the page index says of the pages of a column in a row group: their rows, and the bounds of these. `None` if there is none,
    /// or it cannot be read: nobody needs it.
    pub(crate) async fn pages(&self, group: usize, column: &str, most: u64) -> Option<Vec<(Range<u64>, Bounds)>> {
        let (chunk, rows) = self.chunk(group, column)?;
        let range = |start: Option<i64>, length: Option<i32>| {
            let (start, length) = (u64::try_from(start?).ok()?, u64::try_from(length?).ok()?);
            let end = start.checked_add(length).filter(|end| length <= most && *end <= self.file.object.size)?;
            Some(start..end)
        };
        let of_columns = range(chunk.column_index_offset(), chunk.column_index_length())?;
        let of_offsets = range(chunk.offset_index_offset(), chunk.offset_index_length())?;
        let (of_columns, _) = self.file.bytes(of_columns).await.ok()?;
        let (of_offsets, _) = self.file.bytes(of_offsets).await.ok()?;
        let (physical, root) = (chunk.column_descr().physical_type(), self.file.root(column)?);
        let is_ordered = self.is_ordered(column);
        let bounds = |page: &page_index::Page<'_>| {
            let no_null = !page.is_null && page.nulls == Some(0);
            let mut bounds = Bounds { all_null: page.is_null, no_null, ..Bounds::default() };
            if is_ordered && !page.is_null {
                (bounds.min, bounds.max) = extremes((Some(page.min), Some(page.max)), physical, root.field.data_type());
            }
            bounds
        };
        let pages = page_index::pages(&of_columns, &of_offsets, rows)?;
        Some(pages.iter().map(|page| (page.rows.clone(), bounds(page))).collect())
    }

    /// A column chunk that has one value a row, and its number of rows.
    fn chunk(&self, group: usize, column: &str) -> Option<(&ColumnChunkMetaData, u64)> {
        let root = self.file.root(column)?;
        let group = self.parsed.row_groups().get(group)?;
        let chunk = group.columns().get(self.leaf(column)?)?;
        // A list of one kind of value is one leaf too.
        let is_flat = chunk.column_descr().max_rep_level() == 0 && !root.field.data_type().is_nested();
        Some((chunk, u64::try_from(group.num_rows()).ok()?)).filter(|_| is_flat)
    }

    fn leaf(&self, column: &str) -> Option<usize> {
        let mut leaves = self.file.root(column)?.leaves.clone();
        let (leaf, None) = (leaves.next()?, leaves.next()) else { return None };
        Some(leaf)
    }

    fn is_ordered(&self, column: &str) -> bool {
        let order = self.leaf(column).map(|leaf| self.parsed.file_metadata().column_order(leaf));
        matches!(order, Some(ColumnOrder::TYPE_DEFINED_ORDER(_)))
    }
}

/// The least and the greatest value, as far as they are known, from the bytes that the format has for them. Text may be cut off, the
/// greatest then made greater: bounds all the same.
fn extremes(
    (min, max): (Option<&[u8]>, Option<&[u8]>),
    physical: Physical,
    data_type: &DataType,
) -> (Option<Bound>, Option<Bound>) {
    let bound = |bytes: Option<&[u8]>| bound(bytes?, physical, data_type);
    let (min, max) = (bound(min), bound(max));
    let backwards = match (&min, &max) {
        (Some(Bound::Int(min)), Some(Bound::Int(max))) => min > max,
        (Some(Bound::Bytes(min)), Some(Bound::Bytes(max))) => min > max,
        (Some(Bound::Float(min)), Some(Bound::Float(max))) => min > max,
        _ => false,
    };
    if backwards { (None, None) } else { (min, max) }
}

fn bound(bytes: &[u8], physical: Physical, data_type: &DataType) -> Option<Bound> {
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
    match physical {
        Physical::INT32 if signed => Some(Bound::Int(i32::from_le_bytes(bytes.try_into().ok()?).into())),
        Physical::INT32 if unsigned => Some(Bound::Int(u32::from_le_bytes(bytes.try_into().ok()?).into())),
        Physical::INT64 if signed => Some(Bound::Int(i64::from_le_bytes(bytes.try_into().ok()?).into())),
        Physical::INT64 if unsigned => Some(Bound::Int(u64::from_le_bytes(bytes.try_into().ok()?).into())),
        Physical::FLOAT if *data_type == DataType::Float32 => {
            let x = f32::from_le_bytes(bytes.try_into().ok()?);
            (!x.is_nan()).then(|| Bound::Float(x.into()))
        }
        Physical::DOUBLE if *data_type == DataType::Float64 => {
            let x = f64::from_le_bytes(bytes.try_into().ok()?);
            (!x.is_nan()).then_some(Bound::Float(x))
        }
        Physical::BYTE_ARRAY if *data_type == DataType::Utf8View => Some(Bound::Bytes(bytes.to_vec())),
        _ => None,
    }
}
