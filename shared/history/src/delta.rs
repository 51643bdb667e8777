use std::collections::BTreeMap;

use bytes::Bytes;
use driftless_model::{AckRow, KeyHash};
use driftless_objects::Objects;

use crate::ack_columns::{AckColumns, decode, schema};
use crate::header::Header;
use crate::table::{Part, Table};
use crate::writer::{BATCH_ROWS, Cut, TableWriter};
use crate::{Error, FileKind, Result};

/// What a run changed of A: the new row of each record it touched; `None` where no row is left.
pub type Delta = BTreeMap<KeyHash, Option<AckRow>>;

const CUT: Cut = Cut { group_rows: 64 << 10, page_rows: 4_096 };

/// A delta file.
pub fn encode_delta(delta: &Delta) -> Result<Bytes> {
    let encode = |source| Error::Encode { kind: FileKind::Delta, source };
    let mut table = TableWriter::new(&Header::new(FileKind::Delta), schema(true), CUT)?;
    let mut columns = AckColumns::new(true);
    for (key_hash, row) in delta {
        columns.push(*key_hash, row.as_ref()).map_err(encode)?;
        if columns.rows() >= BATCH_ROWS {
            table.write(&columns.finish().map_err(encode)?)?;
        }
    }
    table.write(&columns.finish().map_err(encode)?)?;
    Ok(table.finish()?.0)
}

/// Reads a delta file whole.
pub async fn read_delta(objects: &dyn Objects, key: &str) -> Result<Delta> {
    let table = Table::open_whole(objects, key, FileKind::Delta).await?;
    let mut scan = table.scan(Part::default())?;
    let mut delta = Delta::new();
    while let Some(batch) = scan.next().await? {
        delta.extend(decode(&batch, true).map_err(|e| table.malformed(e))?);
    }
    Ok(delta)
}
