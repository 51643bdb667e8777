use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, FixedSizeBinaryArray, LargeBinaryArray, OffsetSizeTrait,
    PrimitiveArray, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    Field, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use serde_json::Value;

use super::number::{decimal, decimal256, float, integer};
use super::scalar::{Scalar, tag};

/// The name of the extension type that Parquet's UUIDs are read as.
const UUID: &str = "arrow.uuid";

/// One array, its type resolved once, read value by value.
pub(crate) enum Column<'a> {
    Scalar(Box<dyn Fn(usize) -> Scalar<'a> + Send + Sync + 'a>),
    List {
        /// Where the elements of a row are; `None` for a null.
        span: Box<dyn Fn(usize) -> Option<core::ops::Range<usize>> + Send + Sync + 'a>,
        elements: Box<Column<'a>>,
    },
    Struct {
        nulls: Option<&'a NullBuffer>,
        /// In the order of their names.
        fields: Vec<(&'a str, Column<'a>)>,
    },
    Map {
        span: Box<dyn Fn(usize) -> Option<core::ops::Range<usize>> + Send + Sync + 'a>,
        keys: Box<Column<'a>>,
        values: Box<Column<'a>>,
    },
}

/// True for the types that have a canonical form.
pub(crate) fn is_supported(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::Map(f, _) => {
            is_supported(f.data_type())
        }
        DataType::Struct(fields) => fields.iter().all(|f| is_supported(f.data_type())),
        DataType::Dictionary(_, values) => is_supported(values),
        scalar => is_scalar(scalar),
    }
}

/// True for the types whose values have a canonical text.
pub(crate) fn is_scalar(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_scalar(values),
        DataType::Duration(_)
        | DataType::Interval(_)
        | DataType::Union(..)
        | DataType::RunEndEncoded(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => false,
        other => !other.is_nested(),
    }
}

impl<'a> Column<'a> {
    /// Reads `array`, which `field` describes. `None` if its type has no canonical form.
    pub(crate) fn new(array: &'a ArrayRef, field: &'a Field) -> Option<Self> {
        let is_uuid = field.metadata().get("ARROW:extension:name").is_some_and(|n| n == UUID);
        Some(match array.data_type() {
            DataType::List(inner) => list(array, array.as_list::<i32>(), inner)?,
            DataType::LargeList(inner) => list(array, array.as_list::<i64>(), inner)?,
            DataType::FixedSizeList(inner, _) => {
                let lists = array.as_fixed_size_list();
                let size = usize::try_from(lists.value_length()).ok()?;
                Self::List {
                    span: Box::new(move |row| lists.is_valid(row).then(|| row * size..(row + 1) * size)),
                    elements: Box::new(Self::new(lists.values(), inner)?),
                }
            }
            DataType::Struct(fields) => Self::of_struct(array.as_struct(), fields)?,
            DataType::Map(entries, _) => {
                let map = array.as_map();
                let DataType::Struct(fields) = entries.data_type() else { return None };
                let offsets = map.value_offsets();
                Self::Map {
                    span: Box::new(move |row| map.is_valid(row).then(|| span(offsets, row))),
                    keys: Box::new(Self::new(map.keys(), fields.first()?)?),
                    values: Box::new(Self::new(map.values(), fields.get(1)?)?),
                }
            }
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                let Self::Scalar(value) = Self::new(dictionary.values(), field)? else { return None };
                let keys = dictionary.normalized_keys();
                let nulls = array.logical_nulls();
                Self::Scalar(Box::new(move |row| {
                    if nulls.as_ref().is_some_and(|n| n.is_null(row)) { Scalar::Null } else { value(keys[row]) }
                }))
            }
            _ => Self::Scalar(scalar(array, is_uuid)?),
        })
    }

    fn of_struct(array: &'a StructArray, fields: &'a arrow::datatypes::Fields) -> Option<Self> {
        let mut columns = Vec::with_capacity(fields.len());
        for (column, field) in array.columns().iter().zip(fields) {
            columns.push((field.name().as_str(), Self::new(column, field)?));
        }
        columns.sort_by_key(|(name, _)| *name);
        Some(Self::Struct { nulls: array.nulls(), fields: columns })
    }

    /// The value of a row, if the column is not nested.
    pub(crate) fn scalar(&self, row: usize) -> Option<Scalar<'a>> {
        match self {
            Self::Scalar(value) => Some(value(row)),
            _ => None,
        }
    }

    /// Appends the words that are hashed for a row.
    pub(crate) fn encode(&self, row: usize, out: &mut Vec<u64>) {
        match self {
            Self::Scalar(value) => value(row).encode(out),
            Self::List { span, elements } => match span(row) {
                None => out.push(u64::from(tag::NULL)),
                Some(range) => {
                    out.push(tag::with_length(tag::LIST, range.len()));
                    range.for_each(|i| elements.encode(i, out));
                }
            },
            Self::Struct { nulls, fields } => {
                if nulls.is_some_and(|n| n.is_null(row)) {
                    return out.push(u64::from(tag::NULL));
                }
                out.push(tag::with_length(tag::STRUCT, fields.len()));
                for (name, column) in fields {
                    super::text_encoding(name, out);
                    column.encode(row, out);
                }
            }
            Self::Map { span, keys, values } => match span(row) {
                None => out.push(u64::from(tag::NULL)),
                Some(range) => {
                    out.push(tag::with_length(tag::MAP, range.len()));
                    let mut entries: Vec<Vec<u64>> = range
                        .map(|i| {
                            let mut entry = Vec::new();
                            keys.encode(i, &mut entry);
                            values.encode(i, &mut entry);
                            entry
                        })
                        .collect();
                    entries.sort_unstable();
                    for entry in entries {
                        out.extend_from_slice(&entry);
                    }
                }
            },
        }
    }

    /// The value of a row as it is sent.
    pub(crate) fn json(&self, row: usize) -> Value {
        match self {
            Self::Scalar(value) => value(row).to_json(),
            Self::List { span, elements } => {
                span(row).map_or(Value::Null, |range| Value::Array(range.map(|i| elements.json(i)).collect()))
            }
            Self::Struct { nulls, fields } => {
                if nulls.is_some_and(|n| n.is_null(row)) {
                    return Value::Null;
                }
                Value::Object(fields.iter().map(|(name, column)| ((*name).to_owned(), column.json(row))).collect())
            }
            Self::Map { span, keys, values } => span(row).map_or(Value::Null, |range| {
                let mut entries: Vec<(String, Value)> = range
                    .map(|i| (keys.scalar(i).map_or_else(|| keys.json(i).to_string(), |k| k.text()), values.json(i)))
                    .collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                Value::Object(entries.into_iter().collect())
            }),
        }
    }
}

fn span<O: OffsetSizeTrait>(offsets: &[O], row: usize) -> core::ops::Range<usize> {
    offsets[row].as_usize()..offsets[row + 1].as_usize()
}

fn list<'a, O: OffsetSizeTrait>(
    array: &'a ArrayRef,
    lists: &'a arrow::array::GenericListArray<O>,
    inner: &'a Field,
) -> Option<Column<'a>> {
    let offsets = lists.value_offsets();
    Some(Column::List {
        span: Box::new(move |row| array.is_valid(row).then(|| span(offsets, row))),
        elements: Box::new(Column::new(lists.values(), inner)?),
    })
}

type Reader<'a> = Box<dyn Fn(usize) -> Scalar<'a> + Send + Sync + 'a>;

/// Reads an array of primitives through `to`.
fn of<'a, T: ArrowPrimitiveType>(
    array: &'a ArrayRef,
    to: impl Fn(T::Native) -> Scalar<'static> + Send + Sync + 'a,
) -> Option<Reader<'a>> {
    let array: &PrimitiveArray<T> = array.as_primitive_opt()?;
    Some(Box::new(move |row| if array.is_null(row) { Scalar::Null } else { to(array.value(row)) }))
}

macro_rules! bytes_of {
    ($array:expr, $type:ty, $to:expr) => {{
        let array = $array.as_any().downcast_ref::<$type>()?;
        Box::new(move |row| if array.is_null(row) { Scalar::Null } else { $to(array.value(row)) })
    }};
}

fn scalar(array: &ArrayRef, is_uuid: bool) -> Option<Reader<'_>> {
    let int = |n: i64| Scalar::Int(n);
    Some(match array.data_type() {
        DataType::Null => Box::new(|_| Scalar::Null),
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row| if array.is_null(row) { Scalar::Null } else { Scalar::Bool(array.value(row)) })
        }
        DataType::Int8 => of::<Int8Type>(array, move |n| int(n.into()))?,
        DataType::Int16 => of::<Int16Type>(array, move |n| int(n.into()))?,
        DataType::Int32 => of::<Int32Type>(array, move |n| int(n.into()))?,
        DataType::Int64 => of::<Int64Type>(array, int)?,
        DataType::UInt8 => of::<UInt8Type>(array, move |n| int(n.into()))?,
        DataType::UInt16 => of::<UInt16Type>(array, move |n| int(n.into()))?,
        DataType::UInt32 => of::<UInt32Type>(array, move |n| int(n.into()))?,
        DataType::UInt64 => of::<UInt64Type>(array, |n| integer(n.into()))?,
        DataType::Float16 => of::<Float16Type>(array, |x| float(x.to_f64()))?,
        DataType::Float32 => of::<Float32Type>(array, |x| float(x.into()))?,
        DataType::Float64 => of::<Float64Type>(array, float)?,
        DataType::Decimal32(_, scale) => of::<Decimal32Type>(array, |n| decimal(n.into(), *scale))?,
        DataType::Decimal64(_, scale) => of::<Decimal64Type>(array, |n| decimal(n.into(), *scale))?,
        DataType::Decimal128(_, scale) => of::<Decimal128Type>(array, |n| decimal(n, *scale))?,
        DataType::Decimal256(_, scale) => of::<Decimal256Type>(array, |n| decimal256(n, *scale))?,
        DataType::Utf8 => bytes_of!(array, arrow::array::StringArray, Scalar::Text),
        DataType::LargeUtf8 => bytes_of!(array, arrow::array::LargeStringArray, Scalar::Text),
        DataType::Utf8View => bytes_of!(array, arrow::array::StringViewArray, Scalar::Text),
        DataType::Binary => bytes_of!(array, BinaryArray, Scalar::Bytes),
        DataType::LargeBinary => bytes_of!(array, LargeBinaryArray, Scalar::Bytes),
        DataType::BinaryView => bytes_of!(array, BinaryViewArray, Scalar::Bytes),
        DataType::FixedSizeBinary(16) if is_uuid => bytes_of!(array, FixedSizeBinaryArray, Scalar::Uuid),
        DataType::FixedSizeBinary(_) => bytes_of!(array, FixedSizeBinaryArray, Scalar::Bytes),
        DataType::Date32 => of::<Date32Type>(array, |days| Scalar::Date(days.into()))?,
        DataType::Date64 => of::<Date64Type>(array, |ms| Scalar::Date(ms.div_euclid(86_400_000)))?,
        DataType::Time32(TimeUnit::Second) => {
            of::<Time32SecondType>(array, |t| Scalar::Time(i64::from(t) * 1_000_000_000))?
        }
        DataType::Time32(_) => of::<Time32MillisecondType>(array, |t| Scalar::Time(i64::from(t) * 1_000_000))?,
        DataType::Time64(TimeUnit::Nanosecond) => of::<Time64NanosecondType>(array, Scalar::Time)?,
        DataType::Time64(_) => of::<Time64MicrosecondType>(array, |t| Scalar::Time(t.saturating_mul(1000)))?,
        DataType::Timestamp(unit, zone) => {
            let zoned = zone.is_some();
            match unit {
                TimeUnit::Second => of::<TimestampSecondType>(array, move |t| timestamp::<1>(t, zoned))?,
                TimeUnit::Millisecond => of::<TimestampMillisecondType>(array, move |t| timestamp::<1000>(t, zoned))?,
                TimeUnit::Microsecond => {
                    of::<TimestampMicrosecondType>(array, move |t| timestamp::<1_000_000>(t, zoned))?
                }
                TimeUnit::Nanosecond => {
                    of::<TimestampNanosecondType>(array, move |t| timestamp::<1_000_000_000>(t, zoned))?
                }
            }
        }
        _ => return None,
    })
}

/// A point in time counted in parts of a second, of which there are `PER_SECOND`.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a remainder of less than 10^9
pub(super) fn timestamp<const PER_SECOND: i64>(t: i64, zoned: bool) -> Scalar<'static> {
    let nanos = t.rem_euclid(PER_SECOND) * (1_000_000_000 / PER_SECOND);
    Scalar::Timestamp { seconds: t.div_euclid(PER_SECOND), nanos: nanos as u32, zoned }
}
