use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray, StringBuilder, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use driftless_model::{KeyHash, RecordKey, RecordState};
use driftless_objects::Objects;
use parquet::errors::ParquetError;

use crate::columns::{
    ATTR_HASH, HashColumn, IdentifierColumn, Identifiers, KEY, KEY_HASH, attr_hashes, hash_field, identifiers_field,
    key_hashes, required,
};
use crate::header::Header;
use crate::table::{Part, Table};
use crate::writer::{BATCH_ROWS, Cut, TableWriter};
use crate::{Error, FileKind, Malformation, Result};

/// What a committed run did not deliver: the state that the list should have of each such record, `None` where it should
/// not be in the list. The key beside a state is the state's own key (protocol rule 10).
pub type Residue = BTreeMap<KeyHash, (RecordKey, Option<RecordState>)>;

const CUT: Cut = Cut { group_rows: 64 << 10, page_rows: 4_096 };

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        hash_field(KEY_HASH, false),
        Field::new(ATTR_HASH, DataType::UInt64, true),
        Field::new(KEY, DataType::Utf8, false),
        identifiers_field(&[]),
    ]))
}

struct Columns {
    key_hash: HashColumn,
    attr_hash: UInt64Builder,
    key: StringBuilder,
    identifiers: IdentifierColumn,
    rows: usize,
}

impl Columns {
    fn push(&mut self, key_hash: KeyHash, key: &RecordKey, state: Option<&RecordState>) -> Result<(), ParquetError> {
        self.rows += 1;
        self.key_hash.push(key_hash)?;
        self.attr_hash.append_option(state.map(|s| s.attr_hash.0));
        self.key.append_value(key.as_str());
        for identifier in state.iter().flat_map(|s| &s.identifiers) {
            self.identifiers.push(Some(key.as_str()), &identifier.field, &identifier.value, &[]);
        }
        Ok(self.identifiers.end_row()?)
    }

    fn finish(&mut self) -> Result<RecordBatch, ParquetError> {
        self.rows = 0;
        let (attr_hash, key) = (self.attr_hash.finish(), self.key.finish());
        let identifiers = self.identifiers.finish()?;
        let columns = vec![self.key_hash.finish(), Arc::new(attr_hash), Arc::new(key), identifiers];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}

/// A residue file that is being written, entry by entry in key-hash order.
pub(crate) struct ResidueWriter {
    table: TableWriter,
    columns: Columns,
}

impl ResidueWriter {
    pub(crate) fn new() -> Result<Self> {
        let table = TableWriter::new(&Header::new(FileKind::Residue), schema(), CUT)?;
        let columns = Columns {
            key_hash: HashColumn::new(),
            attr_hash: UInt64Builder::new(),
            key: StringBuilder::new(),
            identifiers: IdentifierColumn::new(&[]),
            rows: 0,
        };
        Ok(Self { table, columns })
    }

    pub(crate) fn push(&mut self, key_hash: KeyHash, key: &RecordKey, state: Option<&RecordState>) -> Result<()> {
        self.columns.push(key_hash, key, state).map_err(encode)?;
        if self.columns.rows >= BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let batch = self.columns.finish().map_err(encode)?;
        self.table.write(&batch)
    }

    /// The file and its number of entries.
    pub(crate) fn finish(mut self) -> Result<(Bytes, u64)> {
        self.flush()?;
        self.table.finish()
    }
}

const fn encode(source: ParquetError) -> Error {
    Error::Encode { kind: FileKind::Residue, source }
}

/// A residue file.
pub fn encode_residue(residue: &Residue) -> Result<Bytes> {
    let mut writer = ResidueWriter::new()?;
    for (key_hash, (key, state)) in residue {
        writer.push(*key_hash, key, state.as_ref())?;
    }
    Ok(writer.finish()?.0)
}

/// Reads a residue file whole.
pub async fn read_residue(objects: &dyn Objects, key: &str) -> Result<Residue> {
    let table = Table::open_whole(objects, key, FileKind::Residue).await?;
    let mut scan = table.scan(Part::default())?;
    let mut residue = Residue::new();
    while let Some(batch) = scan.next().await? {
        decode(&batch, &mut residue).map_err(|e| table.malformed(e))?;
    }
    Ok(residue)
}

fn decode(batch: &RecordBatch, residue: &mut Residue) -> Result<(), Malformation> {
    let keys: &StringArray = required(batch, KEY)?;
    let identifiers = Identifiers::of(batch, &[])?;
    for (row, (key_hash, attr_hash)) in key_hashes(batch)?.into_iter().zip(attr_hashes(batch)?).enumerate() {
        let key = RecordKey::new(keys.value(row));
        let state = attr_hash.map(|attr_hash| RecordState {
            key: key.clone(),
            attr_hash,
            identifiers: identifiers.row(row, key.as_str()).map(|(identifier, _)| identifier).collect(),
        });
        residue.insert(key_hash, (key, state));
    }
    Ok(())
}
