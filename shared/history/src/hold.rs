use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use bytes::Bytes;
use driftless_model::KeyHash;
use driftless_objects::Objects;

use crate::columns::{HashColumn, KEY_HASH, hash_field, key_hashes};
use crate::header::Header;
use crate::table::{Part, Table};
use crate::writer::{Cut, TableWriter};
use crate::{Error, FileKind, Result};

const CUT: Cut = Cut { group_rows: 1 << 20, page_rows: 64 << 10 };

/// A hold file: the records that a guard keeps back (protocol rule 7).
pub fn encode_holds(keys: &BTreeSet<KeyHash>) -> Result<Bytes> {
    let encode = |source| Error::Encode { kind: FileKind::Hold, source };
    let schema = Arc::new(Schema::new(vec![hash_field(KEY_HASH, false)]));
    let mut table = TableWriter::new(&Header::new(FileKind::Hold), Arc::clone(&schema), CUT)?;
    let mut column = HashColumn::new();
    for key in keys {
        column.push(*key).map_err(|e| encode(e.into()))?;
    }
    table.write(&RecordBatch::try_new(schema, vec![column.finish()]).map_err(|e| encode(e.into()))?)?;
    Ok(table.finish()?.0)
}

/// Reads a hold file.
pub async fn read_holds(objects: &dyn Objects, key: &str) -> Result<BTreeSet<KeyHash>> {
    let table = Table::open_whole(objects, key, FileKind::Hold).await?;
    let mut scan = table.scan(Part::default())?;
    let mut keys = BTreeSet::new();
    while let Some(batch) = scan.next().await? {
        keys.extend(key_hashes(&batch).map_err(|e| table.malformed(e))?);
    }
    Ok(keys)
}
