use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use driftless_model::Member;
use driftless_objects::Objects;
use parquet::errors::ParquetError;

use crate::columns::{IdentifierColumn, Identifiers, REMOTE_ID, column, identifiers_field, text_at};
use crate::header::Header;
use crate::table::{Part, Table};
use crate::writer::{BATCH_ROWS, Cut, TableWriter};
use crate::{Error, FileKind, Result};

const CUT: Cut = Cut { group_rows: 64 << 10, page_rows: 4_096 };

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![identifiers_field(&[]), Field::new(REMOTE_ID, DataType::Utf8, true)]))
}

/// A members file: a part of a remote list, in the order in which it was read.
pub fn encode_members(members: &[Member]) -> Result<Bytes> {
    let encode = |source| Error::Encode { kind: FileKind::Members, source };
    let mut table = TableWriter::new(&Header::new(FileKind::Members), schema(), CUT)?;
    for members in members.chunks(BATCH_ROWS) {
        table.write(&batch(members).map_err(encode)?)?;
    }
    Ok(table.finish()?.0)
}

fn batch(members: &[Member]) -> core::result::Result<RecordBatch, ParquetError> {
    let (mut identifiers, mut remote_id) = (IdentifierColumn::new(&[]), StringBuilder::new());
    for member in members {
        for identifier in &member.identifiers {
            identifiers.push(None, &identifier.field, &identifier.value, &[]);
        }
        identifiers.end_row()?;
        remote_id.append_option(member.remote_id.as_deref());
    }
    Ok(RecordBatch::try_new(schema(), vec![identifiers.finish()?, Arc::new(remote_id.finish())])?)
}

/// Reads a members file whole, in its order.
pub async fn read_members(objects: &dyn Objects, key: &str) -> Result<Vec<Member>> {
    let table = Table::open_whole(objects, key, FileKind::Members).await?;
    let mut scan = table.scan(Part::default())?;
    let mut members = Vec::new();
    while let Some(batch) = scan.next().await? {
        let identifiers = Identifiers::of(&batch, &[]).map_err(|e| table.malformed(e))?;
        let remote_id: &StringArray = column(&batch, REMOTE_ID).map_err(|e| table.malformed(e))?;
        members.extend((0..batch.num_rows()).map(|row| Member {
            identifiers: identifiers.row(row, "").map(|(identifier, _)| identifier).collect(),
            remote_id: text_at(remote_id, row),
        }));
    }
    Ok(members)
}
