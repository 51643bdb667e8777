use core::pin::Pin;

use arrow::array::{Array, FixedSizeBinaryArray, RecordBatch, UInt64Array};
use driftless_model::{AttrHash, KeyHash};
use futures::stream::{self, Stream};
use futures::{StreamExt, TryStreamExt};

use crate::columns::{ATTR_HASH, KEY_HASH, column, required};
use crate::table::{Fetched, Part, Scan, Table};
use crate::{Malformation, Result};

/// The two columns, in the order of the file.
const COLUMNS: [&str; 2] = [KEY_HASH, ATTR_HASH];

/// Row groups whose hashes are fetched ahead: 1.5 MB each.
const AHEAD: usize = 4;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 8_192;

/// The two hashes of the rows of a history file, being read: these two columns only, a few megabytes at a time.
pub struct Hashes<'t> {
    table: &'t Table<'t>,
    fetched: Pin<Box<dyn Stream<Item = Result<(usize, Fetched)>> + Send + 't>>,
    scan: Option<Scan<'t, 't>>,
    from: KeyHash,
    to: KeyHash,
    last: Option<KeyHash>,
}

impl<'t> Hashes<'t> {
    pub(crate) fn new(table: &'t Table<'t>, groups: Vec<usize>, from: KeyHash, to: KeyHash) -> Self {
        let fetch = move |group| async move { Ok((group, table.fetch(group, &COLUMNS).await?)) };
        let fetched = Box::pin(stream::iter(groups).map(fetch).buffered(AHEAD));
        Self { table, fetched, scan: None, from, to, last: None }
    }

    /// The next rows, in key-hash order; no attribute hash where the row is uncertain. `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<(KeyHash, Option<AttrHash>)>>> {
        loop {
            if let Some(scan) = &mut self.scan
                && let Some(batch) = scan.next().await?
            {
                let rows = self.rows(&batch)?;
                if !rows.is_empty() {
                    return Ok(Some(rows));
                }
                continue;
            }
            let Some((group, fetched)) = self.fetched.try_next().await? else { return Ok(None) };
            let part = Part {
                columns: Some(&COLUMNS),
                groups: Some(vec![group]),
                batch_rows: Some(BATCH_ROWS),
                ..Part::default()
            };
            self.scan = Some(self.table.scan(part)?.prepared(fetched));
        }
    }

    fn rows(&mut self, batch: &RecordBatch) -> Result<Vec<(KeyHash, Option<AttrHash>)>> {
        let columns = || Ok((required(batch, KEY_HASH)?, column(batch, ATTR_HASH)?));
        let columns: Result<(&FixedSizeBinaryArray, &UInt64Array), Malformation> = columns();
        let (keys, attributes) = columns.map_err(|e| self.table.malformed(e))?;
        let mut rows = Vec::with_capacity(batch.num_rows());
        let (keys, rest) = keys.value_data().as_chunks::<16>();
        if !rest.is_empty() || keys.len() != attributes.len() {
            return Err(self.table.malformed(Malformation::Column { column: KEY_HASH }));
        }
        for (row, key) in keys.iter().enumerate() {
            let key = KeyHash::from_bytes(*key);
            if self.last.is_some_and(|last| last >= key) {
                return Err(self.table.malformed(Malformation::Unsorted));
            }
            self.last = Some(key);
            if self.from <= key && key <= self.to {
                rows.push((key, attributes.is_valid(row).then(|| AttrHash(attributes.value(row)))));
            }
        }
        Ok(rows)
    }
}
