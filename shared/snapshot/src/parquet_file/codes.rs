//! Columns that come as a dictionary and, for each row, the number of its entry in it: the row's *code*.
//!
//! What is done with each value of such a column need only be done with each entry. The codes are decoded as what they are in the
//! file, the values of a 32-bit column with a dictionary: one whose entries are their own numbers is put in the place of the real one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, new_empty_array};
use arrow::datatypes::{DataType, FieldRef, Int32Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::{Encoding, Repetition, Type as Physical};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::schema::Root;
use crate::Cause;

/// Entries as they stand in the file, decompressed.
#[derive(Clone, Debug)]
pub(super) struct Entries {
    pub(super) bytes: Bytes,
    pub(super) count: u32,
}

/// What decodes the codes of a column; `None` for one that is nested, which has no codes.
pub(super) fn levels(column: &Type) -> Option<FieldLevels> {
    let repetition = column.get_basic_info().repetition();
    // No writer makes a dictionary of booleans, whose entries take less than their numbers.
    if !column.is_primitive() || repetition == Repetition::REPEATED || column.get_physical_type() == Physical::BOOLEAN {
        return None;
    }
    let code = Type::primitive_type_builder(column.name(), Physical::INT32).with_repetition(repetition).build().ok()?;
    let alone = Type::group_type_builder("schema").with_fields(vec![Arc::new(code)]).build().ok()?;
    parquet_to_arrow_field_levels(&SchemaDescriptor::new(Arc::new(alone)), ProjectionMask::all(), None).ok()
}

/// Whether the footer says that every page of a column chunk is codes. Where it does not say, it need not be so.
pub(super) fn are_all_of(chunk: &ColumnChunkMetaData) -> bool {
    let has_dictionary = chunk.dictionary_page_offset().is_some_and(|offset| offset > 0);
    let all = match chunk.page_encoding_stats_mask() {
        Some(pages) => pages.encodings().all(is_codes),
        // Levels are in this list too, and so is the dictionary's own encoding: `PLAIN` may be that of a page.
        None => chunk.encodings().all(|e| is_codes(e) || is_of_levels(e)) && chunk.encodings().any(is_codes),
    };
    has_dictionary && all
}

pub(super) const fn is_codes(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY)
}

#[allow(deprecated)] // what files of old writers say
const fn is_of_levels(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::RLE | Encoding::BIT_PACKED)
}

/// The type of a column that comes as codes.
pub(super) fn field(of: &FieldRef) -> FieldRef {
    let coded = DataType::Dictionary(Box::new(DataType::Int32), Box::new(of.data_type().clone()));
    Arc::new(of.as_ref().clone().with_data_type(coded))
}

/// A dictionary whose entries are their own numbers.
pub(super) fn numbers(count: u32) -> Bytes {
    (0..count).flat_map(u32::to_le_bytes).collect::<Vec<u8>>().into()
}

/// Codes and entries, put together.
pub(super) fn together(codes: &dyn Array, entries: &ArrayRef) -> Result<ArrayRef, Cause> {
    let codes =
        codes.as_primitive_opt::<Int32Type>().ok_or_else(|| Cause::Decode("codes are not numbers".to_owned()))?;
    let coded = DictionaryArray::try_new(codes.clone(), Arc::clone(entries));
    Ok(Arc::new(coded.map_err(|_| Cause::Inconsistent("a column has codes that its dictionary has not"))?))
}

/// Decodes the entries: they lie in their page as values do.
pub(super) fn decode(entries: &Entries, root: &Root, file: &ParquetMetaData) -> Result<ArrayRef, Cause> {
    let count = usize::try_from(entries.count).unwrap_or(usize::MAX);
    if count == 0 {
        return Ok(new_empty_array(root.field.data_type()));
    }
    let bytes = if root.field.is_nullable() {
        [&present(entries.count), entries.bytes.as_ref()].concat().into()
    } else {
        entries.bytes.clone()
    };
    let column = OneColumn { file, count: entries.count, bytes };
    let failed = |e: &dyn core::fmt::Display| Cause::Decode(e.to_string());
    let mut reader = ParquetRecordBatchReader::try_new_with_row_groups(&root.levels, &column, count, None)
        .map_err(|e| failed(&e))?;
    match reader.next() {
        Some(Ok(batch)) if batch.num_rows() == count && batch.num_columns() == 1 => Ok(Arc::clone(batch.column(0))),
        Some(Err(e)) => Err(failed(&e)),
        _ => Err(Cause::Inconsistent("a dictionary has fewer entries than it says")),
    }
}

/// The levels of so many values of which none is null, as a page of version 1 has them: one run of ones.
fn present(count: u32) -> Vec<u8> {
    let mut run = Vec::with_capacity(6);
    let mut rest = u64::from(count) << 1;
    while rest >= 0x80 {
        run.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    run.extend([rest.to_le_bytes()[0], 1]);
    let length = u32::try_from(run.len()).unwrap_or(u32::MAX);
    [length.to_le_bytes().as_slice(), &run].concat()
}

/// A row group of one column of one page.
struct OneColumn<'a> {
    file: &'a ParquetMetaData,
    count: u32,
    bytes: Bytes,
}

impl RowGroups for OneColumn<'_> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    fn column_chunks(&self, _: usize) -> parquet::errors::Result<Box<dyn PageIterator>> {
        Ok(Box::new(OneChunk(Some(OnePage(Some(Page::DataPage {
            buf: self.bytes.clone(),
            num_values: self.count,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }))))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.file.row_groups().first().into_iter())
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.file
    }
}

struct OneChunk(Option<OnePage>);

impl Iterator for OneChunk {
    type Item = parquet::errors::Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|page| Ok(Box::new(page) as Box<dyn PageReader>))
    }
}

impl PageIterator for OneChunk {}

struct OnePage(Option<Page>);

impl Iterator for OnePage {
    type Item = parquet::errors::Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageReader for OnePage {
    fn get_next_page(&mut self) -> parquet::errors::Result<Option<Page>> {
        Ok(self.0.take())
    }

    fn peek_next_page(&mut self) -> parquet::errors::Result<Option<PageMetadata>> {
        Ok(None)
    }

    fn skip_next_page(&mut self) -> parquet::errors::Result<()> {
        self.0 = None;
        Ok(())
    }
}
