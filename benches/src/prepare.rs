//! What is there before a measured run: the history that snapshot a left, and the rows that the run from a to b delivers.

use std::fs::File;

use arrow::array::{Array, AsArray};
use driftless_history::{Delta, FileMeta, encode_delta, encode_history};
use driftless_model::{AckRow, Acknowledged, AttrHash, Identifier, KeyHash, Millis, RecordKey};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::ours::{DELTA, HISTORY, KEY, Ours, is_bulk};

/// Writes the history file, and the delta file unless b changes nothing or too much for one.
pub(crate) async fn prepare(ours: &Ours) -> anyhow::Result<Value> {
    let parts = ours.parts("a").await?;
    let (_, digests) = ours.digests(&parts).await?;
    let keys = keys(ours, parts.iter().map(|part| part.key.as_str()))?;
    anyhow::ensure!(keys.len() == digests.len(), "{} keys, {} records", keys.len(), digests.len());
    let rows = digests.iter().zip(keys).map(|(digest, (_, key))| row(digest.key_hash, key, digest.attr_hash));
    let history = encode_history(rows, &FileMeta::default())?;
    let members = digests.len() as u64;
    drop(digests);
    ours.keep(HISTORY, history).await?;
    let found = ours.find().await?;
    let folds = !found.changes.is_empty() && !is_bulk(&found.changes, members);
    if folds {
        let items = ours.items(found).await?;
        let delivered = items.into_iter().map(|item| {
            let sent = item.attr_hash.map(|attr| row(item.key_hash, item.key.as_str().into(), attr));
            (item.key_hash, sent)
        });
        ours.keep(DELTA, encode_delta(&delivered.collect::<Delta>())?).await?;
    }
    Ok(json!({ "folds": folds }))
}

/// A member whose last send was acknowledged.
fn row(key_hash: KeyHash, key: Box<str>, attr_hash: AttrHash) -> AckRow {
    let identifiers = [Identifier::new(KEY, key.as_ref())].into_iter().collect();
    AckRow {
        acknowledged: Some(Acknowledged { attr_hash, identifiers: [Identifier::new(KEY, key.as_ref())].into() }),
        identifiers,
        added_at: Some(Millis(1_700_000_000_000)),
        last_sent_at: Some(Millis(1_700_000_000_000)),
        ..AckRow::unacknowledged(key_hash, RecordKey::new(key))
    }
}

/// Every key of a snapshot, in key-hash order.
fn keys<'a>(ours: &Ours, files: impl Iterator<Item = &'a str>) -> anyhow::Result<Vec<(KeyHash, Box<str>)>> {
    let mut keys = Vec::new();
    for file in files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(ours.snapshots.path(file))?)?;
        let mask = ProjectionMask::columns(reader.parquet_schema(), [KEY]);
        for batch in reader.with_projection(mask).build()? {
            let batch = batch?;
            let column = batch.column(0).as_string::<i32>();
            anyhow::ensure!(column.null_count() == 0, "a record without a key");
            keys.extend(column.iter().flatten().map(|key| (ours.key.key_hash(&RecordKey::new(key)), Box::from(key))));
        }
    }
    keys.sort_unstable_by_key(|(hash, _)| *hash);
    Ok(keys)
}
