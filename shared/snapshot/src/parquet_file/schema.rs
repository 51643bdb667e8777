use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels, parquet_to_arrow_schema};
use parquet::basic::Type as Physical;
use parquet::errors::ParquetError;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use super::codes;

/// One column of the file's top level, with the leaves that hold its values.
pub(crate) struct Root {
    /// As the decoder makes it. Only the Parquet schema decides: the Arrow schema that some writers embed is a hint of the
    /// writer's own memory layout, and the same values must be the same column whoever wrote them.
    pub(crate) field: FieldRef,
    /// What the decoder is built from.
    pub(crate) levels: FieldLevels,
    /// What decodes its codes, unless it is nested.
    pub(crate) codes: Option<FieldLevels>,
    /// The leaves, by their number in the file.
    pub(crate) leaves: core::ops::Range<usize>,
    /// Bytes that one row takes at least once decoded.
    pub(crate) fixed_width: u64,
}

/// Describes one top-level column as if it were the only one of its file.
pub(crate) fn root(column: &TypePtr, first_leaf: usize) -> Result<Root, ParquetError> {
    let alone = Type::group_type_builder("schema").with_fields(vec![Arc::clone(column)]).build()?;
    let alone = SchemaDescriptor::new(Arc::new(alone));
    let plain = parquet_to_arrow_schema(&alone, None)?;
    let mut leaf = 0;
    let hint: Fields = plain.fields().iter().map(|f| decoded(f, &alone, &mut leaf)).collect();
    let levels = parquet_to_arrow_field_levels(&alone, ProjectionMask::all(), Some(&hint))?;
    let field = hint.first().map(Arc::clone).ok_or_else(|| ParquetError::General("an empty column".to_owned()))?;
    let fixed_width = (0..alone.num_columns()).map(|i| width(&alone, i)).sum();
    let codes = codes::levels(column);
    Ok(Root { field, levels, codes, leaves: first_leaf..first_leaf + alone.num_columns(), fixed_width })
}

/// Number of leaves below a column.
pub(crate) fn leaves(column: &Type) -> usize {
    if column.is_primitive() { 1 } else { column.get_fields().iter().map(|f| leaves(f)).sum() }
}

fn width(schema: &SchemaDescriptor, leaf: usize) -> u64 {
    let column = schema.column(leaf);
    match column.physical_type() {
        Physical::FIXED_LEN_BYTE_ARRAY => u64::try_from(column.type_length()).unwrap_or(0),
        Physical::BOOLEAN => 1,
        Physical::INT32 | Physical::FLOAT => 4,
        Physical::INT64 | Physical::DOUBLE => 8,
        Physical::INT96 | Physical::BYTE_ARRAY => 16,
    }
}

/// Text and bytes are decoded as views into their page, so that a small dictionary of long values stays small; the
/// 96-bit timestamps are read in microseconds, because nanoseconds in 64 bits end in the year 2262.
fn decoded(field: &Field, schema: &SchemaDescriptor, leaf: &mut usize) -> FieldRef {
    let mut nested = |f: &FieldRef| decoded(f, schema, leaf);
    let data_type = match field.data_type() {
        DataType::List(f) => DataType::List(nested(f)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(&mut nested).collect()),
        DataType::Map(f, sorted) => DataType::Map(nested(f), *sorted),
        primitive => {
            let at = *leaf;
            *leaf += 1;
            match primitive {
                DataType::Utf8 => DataType::Utf8View,
                DataType::Binary => DataType::BinaryView,
                DataType::Timestamp(TimeUnit::Nanosecond, None)
                    if at < schema.num_columns() && schema.column(at).physical_type() == Physical::INT96 =>
                {
                    DataType::Timestamp(TimeUnit::Microsecond, None)
                }
                other => other.clone(),
            }
        }
    };
    Arc::new(field.clone().with_data_type(data_type))
}
