//! The columns that several kinds of file share: how a value becomes Arrow, and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBuilder, FixedSizeBinaryArray, FixedSizeBinaryBuilder, ListArray,
    RecordBatch, StringArray, StringBuilder, StructArray, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;
use driftless_model::{AttrHash, Identifier, KeyHash};

use crate::Malformation;

pub(crate) const KEY_HASH: &str = "key_hash";
pub(crate) const ATTR_HASH: &str = "attr_hash";
pub(crate) const KEY: &str = "key";
pub(crate) const IDENTIFIERS: &str = "identifiers";
pub(crate) const REMOTE_ID: &str = "remote_id";

const HASH_BYTES: i32 = 16;

/// A 16-byte hash column.
pub(crate) fn hash_field(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::FixedSizeBinary(HASH_BYTES), nullable)
}

/// Collects key hashes.
pub(crate) struct HashColumn(FixedSizeBinaryBuilder);

impl HashColumn {
    pub(crate) fn new() -> Self {
        Self(FixedSizeBinaryBuilder::new(HASH_BYTES))
    }

    pub(crate) fn push(&mut self, hash: KeyHash) -> Result<(), ArrowError> {
        self.0.append_value(hash.to_bytes())
    }

    pub(crate) fn push_option(&mut self, hash: Option<KeyHash>) -> Result<(), ArrowError> {
        if let Some(hash) = hash {
            self.push(hash)
        } else {
            self.0.append_null();
            Ok(())
        }
    }

    pub(crate) fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// Collects one list of identifiers per row; each identifier may carry flags. A value that is the key of its row is null: of most
/// lists that is the only one, and it would be as long as all the rest of the row.
pub(crate) struct IdentifierColumn {
    ends: Vec<i32>,
    field: StringBuilder,
    value: StringBuilder,
    flags: Vec<BooleanBuilder>,
    fields: Fields,
}

/// The type of an identifier list: `list<struct<field, value, flags…>>`.
pub(crate) fn identifiers_field(flags: &[&'static str]) -> Field {
    Field::new(IDENTIFIERS, DataType::List(element(flags)), false)
}

fn element(flags: &[&'static str]) -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(element_fields(flags)), false))
}

fn element_fields(flags: &[&'static str]) -> Fields {
    let texts = [("field", false), ("value", true)].map(|(name, nullable)| Field::new(name, DataType::Utf8, nullable));
    texts.into_iter().chain(flags.iter().map(|name| Field::new(*name, DataType::Boolean, false))).collect()
}

impl IdentifierColumn {
    pub(crate) fn new(flags: &[&'static str]) -> Self {
        Self {
            ends: vec![0],
            field: StringBuilder::new(),
            value: StringBuilder::new(),
            flags: flags.iter().map(|_| BooleanBuilder::new()).collect(),
            fields: element_fields(flags),
        }
    }

    /// Adds an identifier to the row that [`Self::end_row`] will close, which has this key.
    pub(crate) fn push(&mut self, key: Option<&str>, field: &str, value: &str, flags: &[bool]) {
        self.field.append_value(field);
        self.value.append_option((key != Some(value)).then_some(value));
        for (column, flag) in self.flags.iter_mut().zip(flags) {
            column.append_value(*flag);
        }
    }

    pub(crate) fn end_row(&mut self) -> Result<(), ArrowError> {
        let end = arrow::array::ArrayBuilder::len(&self.field);
        self.ends.push(i32::try_from(end).map_err(|_| ArrowError::OffsetOverflowError(end))?);
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(self.field.finish()), Arc::new(self.value.finish())];
        columns.extend(self.flags.iter_mut().map(|f| Arc::new(f.finish()) as ArrayRef));
        let values = StructArray::try_new(self.fields.clone(), columns, None)?;
        let ends = core::mem::replace(&mut self.ends, vec![0]);
        let element = Arc::new(Field::new("element", DataType::Struct(self.fields.clone()), false));
        Ok(Arc::new(ListArray::try_new(element, OffsetBuffer::new(ends.into()), Arc::new(values), None)?))
    }
}

/// A column of a batch by its name.
pub(crate) fn column<'b, A: Array + 'static>(
    batch: &'b RecordBatch,
    column: &'static str,
) -> Result<&'b A, Malformation> {
    batch.column_by_name(column).and_then(|array| array.as_any().downcast_ref()).ok_or(Malformation::Column { column })
}

/// A column without nulls.
pub(crate) fn required<'b, A: Array + 'static>(
    batch: &'b RecordBatch,
    name: &'static str,
) -> Result<&'b A, Malformation> {
    let array = column::<A>(batch, name)?;
    if array.null_count() == 0 { Ok(array) } else { Err(Malformation::Value { column: name }) }
}

/// The key hashes of a batch.
pub(crate) fn key_hashes(batch: &RecordBatch) -> Result<Vec<KeyHash>, Malformation> {
    let array: &FixedSizeBinaryArray = required(batch, KEY_HASH)?;
    (0..array.len()).map(|row| hash_at(array, row, KEY_HASH)).collect()
}

/// The hash in one row of a 16-byte column.
pub(crate) fn hash_at(array: &FixedSizeBinaryArray, row: usize, column: &'static str) -> Result<KeyHash, Malformation> {
    let bytes = array.value(row).try_into().map_err(|_| Malformation::Column { column })?;
    Ok(KeyHash::from_bytes(bytes))
}

/// The attribute hashes of a batch; null where there is none.
pub(crate) fn attr_hashes(batch: &RecordBatch) -> Result<Vec<Option<AttrHash>>, Malformation> {
    Ok(column::<UInt64Array>(batch, ATTR_HASH)?.iter().map(|hash| hash.map(AttrHash)).collect())
}

/// A text of one row, if it is not null.
pub(crate) fn text_at(array: &StringArray, row: usize) -> Option<String> {
    array.is_valid(row).then(|| array.value(row).to_owned())
}

/// The identifier lists of a batch.
pub(crate) struct Identifiers<'b> {
    ends: &'b OffsetBuffer<i32>,
    field: &'b StringArray,
    value: &'b StringArray,
    flags: Vec<&'b BooleanArray>,
}

impl<'b> Identifiers<'b> {
    pub(crate) fn of(batch: &'b RecordBatch, flags: &[&'static str]) -> Result<Self, Malformation> {
        let wrong = || Malformation::Column { column: IDENTIFIERS };
        let list: &ListArray = required(batch, IDENTIFIERS)?;
        let values: &StructArray = list.values().as_any().downcast_ref().ok_or_else(wrong)?;
        let text = |name: &str| {
            let array = values.column_by_name(name).and_then(|a| a.as_any().downcast_ref::<StringArray>());
            array.ok_or_else(wrong)
        };
        let flag = |name: &&'static str| {
            let array = values.column_by_name(name).and_then(|a| a.as_any().downcast_ref::<BooleanArray>());
            array.filter(|a| a.null_count() == 0).ok_or_else(wrong)
        };
        Ok(Self {
            ends: list.offsets(),
            field: text("field").and_then(|field| if field.null_count() == 0 { Ok(field) } else { Err(wrong()) })?,
            value: text("value")?,
            flags: flags.iter().map(flag).collect::<Result<_, _>>()?,
        })
    }

    /// The identifiers of one row, which has this key, each with its flags in the order they were asked for.
    pub(crate) fn row<'s>(&'s self, row: usize, key: &'s str) -> impl Iterator<Item = (Identifier, Vec<bool>)> + 's {
        let bound = |at: usize| self.ends.get(at).and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
        (bound(row)..bound(row + 1)).map(move |at| {
            let value = if self.value.is_valid(at) { self.value.value(at) } else { key };
            let identifier = Identifier::new(self.field.value(at), value);
            (identifier, self.flags.iter().map(|flag| flag.value(at)).collect())
        })
    }
}
