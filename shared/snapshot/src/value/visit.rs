use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};

use super::column::{Column, timestamp};
use super::number::{decimal, float};
use super::scalar::Scalar;

/// What is done with each value of a column.
pub(crate) trait Visitor<'a> {
    /// Takes the value of one row. To be inlined: then each type of column has a loop of its own.
    fn visit(&mut self, row: usize, value: Scalar<'a>);
}

/// Shows every value of an array, in the order of the rows. The usual types are read in one typed loop each. False if the
/// array is nested.
pub(crate) fn visit<'a, V: Visitor<'a>>(array: &'a ArrayRef, field: &'a Field, visitor: &mut V) -> bool {
    let any = array.as_any();
    match array.data_type() {
        DataType::Boolean => {
            let Some(values) = any.downcast_ref::<BooleanArray>() else { return false };
            each(values.nulls(), values.values().iter(), Scalar::Bool, visitor);
        }
        DataType::Int16 => return primitives::<Int16Type, V>(array, |n| Scalar::Int(n.into()), visitor),
        DataType::Int32 => return primitives::<Int32Type, V>(array, |n| Scalar::Int(n.into()), visitor),
        DataType::Int64 => return primitives::<Int64Type, V>(array, Scalar::Int, visitor),
        DataType::Float32 => return primitives::<Float32Type, V>(array, |x| float(x.into()), visitor),
        DataType::Float64 => return primitives::<Float64Type, V>(array, |x| float(x), visitor),
        DataType::Date32 => return primitives::<Date32Type, V>(array, |days| Scalar::Date(days.into()), visitor),
        DataType::Decimal128(_, scale) => {
            return primitives::<Decimal128Type, V>(array, |n| decimal(n, *scale), visitor);
        }
        DataType::Timestamp(unit, zone) => {
            let zoned = zone.is_some();
            return match unit {
                TimeUnit::Second => primitives::<TimestampSecondType, V>(array, |t| timestamp::<1>(t, zoned), visitor),
                TimeUnit::Millisecond => {
                    primitives::<TimestampMillisecondType, V>(array, |t| timestamp::<1000>(t, zoned), visitor)
                }
                TimeUnit::Microsecond => {
                    primitives::<TimestampMicrosecondType, V>(array, |t| timestamp::<1_000_000>(t, zoned), visitor)
                }
                TimeUnit::Nanosecond => {
                    primitives::<TimestampNanosecondType, V>(array, |t| timestamp::<1_000_000_000>(t, zoned), visitor)
                }
            };
        }
        DataType::Utf8 => {
            let Some(values) = any.downcast_ref::<StringArray>() else { return false };
            each(values.nulls(), (0..values.len()).map(|row| values.value(row)), Scalar::Text, visitor);
        }
        DataType::Utf8View => {
            let Some(values) = any.downcast_ref::<StringViewArray>() else { return false };
            each(values.nulls(), (0..values.len()).map(|row| values.value(row)), Scalar::Text, visitor);
        }
        _ => match Column::new(array, field) {
            Some(Column::Scalar(value)) => (0..array.len()).for_each(|row| visitor.visit(row, value(row))),
            _ => return false,
        },
    }
    true
}

fn primitives<'a, T: ArrowPrimitiveType, V: Visitor<'a>>(
    array: &'a ArrayRef,
    to: impl Fn(T::Native) -> Scalar<'a>,
    visitor: &mut V,
) -> bool {
    let Some(values) = array.as_primitive_opt::<T>() else { return false };
    each(values.nulls(), values.values().iter().copied(), to, visitor);
    true
}

#[inline(always)]
#[allow(clippy::inline_always)] // so that each type has its own loop
fn each<'a, T, V: Visitor<'a>>(
    nulls: Option<&NullBuffer>,
    values: impl Iterator<Item = T>,
    to: impl Fn(T) -> Scalar<'a>,
    visitor: &mut V,
) {
    match nulls.filter(|n| n.null_count() > 0) {
        None => values.enumerate().for_each(|(row, value)| visitor.visit(row, to(value))),
        Some(nulls) => values.enumerate().for_each(|(row, value)| {
            visitor.visit(row, if nulls.is_valid(row) { to(value) } else { Scalar::Null });
        }),
    }
}
