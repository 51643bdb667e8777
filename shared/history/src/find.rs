//! Finding the rows of a few keys in a file that is sorted by key hash.

use core::iter::Peekable;
use core::ops::Range;
use std::collections::{BTreeSet, btree_set};

use arrow::array::RecordBatch;
use driftless_model::{IdentifierSet, KeyHash, RecordKey};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use crate::columns::{IDENTIFIERS, KEY, KEY_HASH, key_hashes};
use crate::table::{Fetched, Part, Scan, Table};
use crate::{Malformation, Result};

/// Which of a sequence of rows to read, as runs.
#[derive(Default)]
pub(crate) struct Selection {
    runs: Vec<RowSelector>,
    any: bool,
}

impl Selection {
    pub(crate) fn push(&mut self, wanted: bool) {
        self.any |= wanted;
        match self.runs.last_mut() {
            Some(run) if run.skip != wanted => run.row_count += 1,
            _ => self.runs.push(RowSelector { row_count: 1, skip: !wanted }),
        }
    }

    /// `None` if no row is wanted.
    pub(crate) fn finish(self) -> Option<RowSelection> {
        self.any.then(|| self.runs.into())
    }
}

/// Key hashes decoded at a time.
const HASHES_AT_ONCE: usize = 8_192;

/// Row groups whose key hashes are fetched ahead: a megabyte each.
const AHEAD: usize = 4;

/// Rows of some keys, being read.
pub(crate) struct Found<'t, 'a> {
    table: &'t Table<'a>,
    columns: Option<&'static [&'static str]>,
    wanted: Peekable<btree_set::Iter<'t, KeyHash>>,
    /// Row groups that may hold some, in order, with their key hashes.
    fetched: BoxStream<'t, Result<(usize, Fetched)>>,
    /// The rows of the current one.
    scan: Option<Scan<'t, 'a>>,
}

impl Found<'_, '_> {
    /// The next rows; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(scan) = &mut self.scan
                && let Some(batch) = scan.next().await?
            {
                return Ok(Some(batch));
            }
            let Some((group, fetched)) = self.fetched.try_next().await? else { return Ok(None) };
            let groups = || Some(vec![group]);
            let selection = self.places(groups(), fetched.clone()).await?;
            let part = Part { columns: self.columns, groups: groups(), selection, ..Part::default() };
            // Its key hashes are there already.
            self.scan = match part.selection {
                Some(_) => Some(self.table.scan(part)?.prepared(fetched)),
                None => None,
            };
        }
    }

    /// Which rows of a row group are wanted; `None`: none.
    async fn places(&mut self, groups: Option<Vec<usize>>, fetched: Fetched) -> Result<Option<RowSelection>> {
        let columns = Some(&[KEY_HASH][..]);
        let part = Part { columns, groups, batch_rows: Some(HASHES_AT_ONCE), ..Part::default() };
        let mut scan = self.table.scan(part)?.prepared(fetched);
        let mut selection = Selection::default();
        // Both are in order: one walk along both, not a search for each row of the file.
        while let Some(batch) = scan.next().await? {
            for key_hash in key_hashes(&batch).map_err(|e| self.table.malformed(e))? {
                while self.wanted.next_if(|w| **w < key_hash).is_some() {}
                selection.push(self.wanted.peek() == Some(&&key_hash));
            }
        }
        Ok(selection.finish())
    }
}

impl<'a> Table<'a> {
    /// The rows of `wanted`, in a stream: found by their hashes alone, of which a few row groups are fetched ahead; of the other columns,
    /// or of those called `columns`, what is read then is only the pages that hold them.
    pub(crate) fn find<'t>(
        &'t self,
        wanted: &'t BTreeSet<KeyHash>,
        columns: Option<&'static [&'static str]>,
    ) -> Found<'t, 'a> {
        let groups = self.groups_of(|low, high| wanted.range(low..=high).next().is_some());
        let fetch = move |group| async move { Ok((group, self.fetch(group, &[KEY_HASH]).await?)) };
        let fetched = stream::iter(groups).map(fetch).buffered(AHEAD).boxed();
        Found { table: self, columns, wanted: wanted.iter().peekable(), fetched, scan: None }
    }

    /// Rows by their places in the file, which come in order: what is read then is only the pages that hold them. `None`: there
    /// are none.
    pub(crate) fn at(&self, rows: impl Iterator<Item = u64>) -> Option<Part<'static>> {
        let (mut groups, mut ranges) = (Vec::new(), Vec::<Range<usize>>::new());
        let (mut first, mut before) = (0, 0);
        let mut rows = rows.peekable();
        for (number, count) in self.group_rows().into_iter().enumerate() {
            let mut any = false;
            while let Some(row) = rows.next_if(|row| *row < first + count) {
                any = true;
                // Counted over the row groups that are read.
                let Ok(place) = usize::try_from(row.saturating_sub(first) + before) else { continue };
                match ranges.last_mut() {
                    Some(run) if run.end == place => run.end += 1,
                    _ => ranges.push(place..place + 1),
                }
            }
            if any {
                groups.push(number);
                before += count;
            }
            first += count;
        }
        let total = usize::try_from(before).unwrap_or(usize::MAX);
        let selection = Some(RowSelection::from_consecutive_ranges(ranges.into_iter(), total));
        (!groups.is_empty()).then(|| Part { groups: Some(groups), selection, ..Part::default() })
    }

    /// Keys and identifiers of the rows at these places, of a file that has both columns.
    pub(crate) async fn names_at(
        &self,
        rows: &[u64],
        decode: impl Fn(&RecordBatch) -> Result<Vec<(RecordKey, IdentifierSet)>, Malformation>,
    ) -> Result<Vec<(RecordKey, IdentifierSet)>> {
        let Some(part) = self.at(rows.iter().copied()) else { return Ok(Vec::new()) };
        let mut scan = self.scan(Part { columns: Some(&[KEY, IDENTIFIERS]), ..part })?;
        let mut names = Vec::with_capacity(rows.len());
        while let Some(batch) = scan.next().await? {
            names.extend(decode(&batch).map_err(|e| self.malformed(e))?);
        }
        Ok(names)
    }

    /// The row groups whose bounds, lowest and highest key hash, admit a wanted key.
    pub(crate) fn groups_of(&self, admits: impl Fn(KeyHash, KeyHash) -> bool) -> Vec<usize> {
        let holds = |group| {
            let (low, high) = bounds(group);
            let (low, high) = (low.unwrap_or(KeyHash(0)), high.unwrap_or(KeyHash(u128::MAX)));
            low <= high && admits(low, high)
        };
        let groups = self.metadata().row_groups().iter().enumerate();
        groups.filter(|(_, group)| holds(group)).map(|(at, _)| at).collect()
    }

    /// The lowest and the highest key hash of each row group, which follow each other.
    pub(crate) fn group_bounds(&self) -> Result<Vec<(KeyHash, KeyHash)>> {
        let groups = self.metadata().row_groups().iter().map(bounds);
        let groups: Option<Vec<_>> = groups.map(|(low, high)| low.zip(high)).collect();
        let groups = groups.ok_or_else(|| self.malformed(Malformation::Column { column: KEY_HASH }))?;
        let in_order = groups.iter().all(|(low, high)| low <= high) && groups.windows(2).all(|w| w[0].1 < w[1].0);
        if in_order { Ok(groups) } else { Err(self.malformed(Malformation::Unsorted)) }
    }
}

/// What a row group says of its lowest and its highest key hash.
fn bounds(group: &RowGroupMetaData) -> (Option<KeyHash>, Option<KeyHash>) {
    let statistics = group.columns().first().and_then(|column| column.statistics());
    let bound = |bytes: Option<&[u8]>| bytes.and_then(|b| b.try_into().ok()).map(KeyHash::from_bytes);
    (bound(statistics.and_then(Statistics::min_bytes_opt)), bound(statistics.and_then(Statistics::max_bytes_opt)))
}
