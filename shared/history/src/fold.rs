use std::collections::BTreeMap;

use bytes::Bytes;
use driftless_model::{AckRow, KeyHash};
use driftless_objects::Objects;

use crate::history::HistoryWriter;
use crate::{FileMeta, HistoryFile, Result};

/// The next history file: the rows of `base` (none before the first commit), with those of `overlay` put in their place,
/// added, or (`None`) taken out. Returns its bytes and its number of rows.
///
/// A streaming merge: one row group of the base and the output are in memory. Pure but for reading the base; equal input
/// gives equal bytes.
pub async fn fold(
    objects: &dyn Objects,
    base: Option<&str>,
    overlay: &BTreeMap<KeyHash, Option<AckRow>>,
    meta: &FileMeta,
) -> Result<(Bytes, u64)> {
    let mut writer = HistoryWriter::new(meta)?;
    let mut changes = overlay.iter().peekable();
    if let Some(base) = base {
        let file = HistoryFile::open(objects, base).await?;
        let mut rows = file.stream()?;
        let mut last = None;
        while let Some(batch) = rows.next().await? {
            for row in batch {
                if last.replace(row.key_hash).is_some_and(|last| last >= row.key_hash) {
                    return Err(rows.unsorted());
                }
                while let Some((_, added)) = changes.next_if(|(key, _)| **key < row.key_hash) {
                    push(&mut writer, added.as_ref())?;
                }
                match changes.next_if(|(key, _)| **key == row.key_hash) {
                    Some((_, new)) => push(&mut writer, new.as_ref())?,
                    None => writer.push(&row)?,
                }
            }
        }
    }
    for (_, added) in changes {
        push(&mut writer, added.as_ref())?;
    }
    writer.finish()
}

fn push(writer: &mut HistoryWriter, row: Option<&AckRow>) -> Result<()> {
    row.map_or(Ok(()), |row| writer.push(row))
}
