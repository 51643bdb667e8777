use arrow::array::{Array, FixedSizeBinaryArray, RecordBatch, UInt64Array};
use driftless_model::{AttrHash, KeyHash};
use futures::stream::{self, BoxStream};
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

/// The two hashes of the rows of a history or bulk file, being read: these two columns only, a few megabytes at a time.
pub struct Hashes<'t> {
    table: &'t Table<'t>,
    /// Row groups, by their numbers, in the order of the file.
    fetched: BoxStream<'t, Result<(usize, Fetched)>>,
    scan: Option<Scan<'t, 't>>,
    from: KeyHash,
    to: KeyHash,
    last: Option<KeyHash>,
    /// The file's rows before the row group that is being read, and those of it that were read.
    before: u64,
    read: u64,
}

impl<'t> Hashes<'t> {
    pub(crate) fn new(table: &'t Table<'t>, from: KeyHash, to: KeyHash) -> Self {
        let groups = table.groups_of(|low, high| low <= to && from <= high);
        let fetch = move |group| async move { Ok((group, table.fetch(group, &COLUMNS).await?)) };
        let fetched = stream::iter(groups).map(fetch).buffered(AHEAD).boxed();
        Self { table, fetched, scan: None, from, to, last: None, before: 0, read: 0 }
    }

    /// The next rows, in key-hash order; no attribute hash where the row is uncertain. `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<(KeyHash, Option<AttrHash>)>>> {
        Ok(self.next_rows().await?.map(|rows| rows.iter().collect()))
    }

    /// The same as the columns that were read.
    pub async fn next_rows(&mut self) -> Result<Option<HashRows>> {
        loop {
            if let Some(scan) = &mut self.scan
                && let Some(batch) = scan.next().await?
            {
                let rows = self.rows(&batch)?;
                if rows.len() > 0 {
                    return Ok(Some(rows));
                }
                continue;
            }
            let Some((group, fetched)) = self.fetched.try_next().await? else { return Ok(None) };
            (self.before, self.read) = (self.table.group_rows().iter().take(group).sum(), 0);
            let part = Part {
                columns: Some(&COLUMNS),
                groups: Some(vec![group]),
                batch_rows: Some(BATCH_ROWS),
                ..Part::default()
            };
            self.scan = Some(self.table.scan(part)?.prepared(fetched));
        }
    }

    fn rows(&mut self, batch: &RecordBatch) -> Result<HashRows> {
        let columns = || Ok((required(batch, KEY_HASH)?, column(batch, ATTR_HASH)?));
        let columns: Result<(&FixedSizeBinaryArray, &UInt64Array), Malformation> = columns();
        let (keys, attributes) = columns.map_err(|e| self.table.malformed(e))?;
        let (all, rest) = keys.value_data().as_chunks::<16>();
        if !rest.is_empty() || keys.value_length() != 16 || all.len() != attributes.len() {
            return Err(self.table.malformed(Malformation::Column { column: KEY_HASH }));
        }
        let hash = |key: &[u8; 16]| KeyHash::from_bytes(*key);
        let ends = all.first().map(hash).zip(all.last().map(hash));
        if !all.is_sorted_by(|a, b| hash(a) < hash(b)) || ends.is_some_and(|(first, _)| self.last >= Some(first)) {
            return Err(self.table.malformed(Malformation::Unsorted));
        }
        self.last = ends.map(|(_, last)| last).or(self.last);
        let start = all.partition_point(|key| hash(key) < self.from);
        let end = all.partition_point(|key| hash(key) <= self.to);
        let first = self.before + self.read + start as u64;
        self.read += all.len() as u64;
        let length = end.saturating_sub(start);
        Ok(HashRows { keys: keys.slice(start, length), attributes: attributes.slice(start, length), first })
    }
}

/// Some rows of a history or bulk file that follow each other: their two hashes.
pub struct HashRows {
    keys: FixedSizeBinaryArray,
    attributes: UInt64Array,
    first: u64,
}

impl HashRows {
    /// How many.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // there is always one
    pub fn len(&self) -> usize {
        self.attributes.len()
    }

    /// The place in the file of the first of them.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.first
    }

    fn keys(&self) -> impl DoubleEndedIterator<Item = KeyHash> {
        let (keys, _) = self.keys.value_data().as_chunks::<16>();
        keys.iter().map(|key| KeyHash::from_bytes(*key))
    }

    /// The highest key hash.
    #[must_use]
    pub fn last(&self) -> Option<KeyHash> {
        self.keys().next_back()
    }

    /// Key hashes and attribute hashes; of uncertain rows no attribute hash.
    pub fn iter(&self) -> impl Iterator<Item = (KeyHash, Option<AttrHash>)> {
        self.keys().zip(&self.attributes).map(|(key, attr)| (key, attr.map(AttrHash)))
    }

    /// The same where no row is uncertain.
    #[must_use]
    pub fn certain(&self) -> Option<impl Iterator<Item = (KeyHash, AttrHash)>> {
        let attributes = self.attributes.values().iter();
        (self.attributes.null_count() == 0)
            .then(|| self.keys().zip(attributes).map(|(key, attr)| (key, AttrHash(*attr))))
    }
}
