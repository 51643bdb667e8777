//! One block of a fold: some row groups of the base, what the overlay says of their keys, and the row groups that come of it.

use core::iter::Peekable;
use core::ops::{Bound, Range};
use std::collections::{BTreeMap, btree_map};

use arrow::array::{Array, ArrayRef, FixedSizeBinaryArray, MutableArrayData, RecordBatch, make_array};
use arrow::error::ArrowError;
use driftless_changeset::forget_fingerprints;
use driftless_model::{AckRow, KeyHash};
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::errors::ParquetError;

use crate::ack_columns::{AckColumns, decode, schema};
use crate::columns::{KEY_HASH, hash_at, required};
use crate::table::{Part, Table};
use crate::writer::{EncodedGroup, encode_group};
use crate::{Error, FileKind, Malformation, Result};

/// How a fold cuts its work. What is made depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Rows of a block of the base: what a lane has in memory.
    pub(crate) block_rows: usize,
    /// Rows of a row group that is made, a half more or less: blocks are cut evenly, or every fold would leave a short rest.
    pub(crate) group_rows: usize,
}

/// A range of keys whose rows are made together. The blocks of a fold follow from its input alone, never from the lanes.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Row groups of the base.
    groups: Range<usize>,
    /// The keys of the block, those of the overlay included.
    above: Option<KeyHash>,
    to: Option<KeyHash>,
}

pub(crate) type Overlay = BTreeMap<KeyHash, Option<AckRow>>;

/// The blocks of a fold, in key-hash order: every key is in one.
pub(crate) fn blocks(base: Option<&Table<'_>>, overlay: &Overlay, cut: Cut) -> Result<Vec<Block>> {
    let mut ends: Vec<(usize, KeyHash)> = Vec::new();
    if let Some(table) = base {
        let mut rows = 0;
        let bounds = table.group_bounds()?;
        for (at, ((_, high), group_rows)) in bounds.into_iter().zip(table.group_rows()).enumerate() {
            if rows > 0 && rows + group_rows > cut.block_rows as u64 {
                rows = 0;
            }
            match ends.last_mut() {
                Some(last) if rows > 0 => *last = (at + 1, high),
                _ => ends.push((at + 1, high)),
            }
            rows += group_rows;
        }
    }
    // Beyond the base there is only the overlay: its first rows are of the last block of the base.
    let last = ends.pop();
    let groups = last.map_or(0, |(end, _)| end);
    let beyond = last.map_or(Bound::Unbounded, |(_, high)| Bound::Excluded(high));
    let beyond = overlay.range((beyond, Bound::Unbounded)).skip(cut.block_rows).step_by(cut.block_rows);
    ends.extend(beyond.map(|(key, _)| (groups, *key)));

    let mut blocks = Vec::with_capacity(ends.len() + 1);
    let (mut group, mut above) = (0, None);
    for (end, high) in ends {
        blocks.push(Block { groups: group..end, above, to: Some(high) });
        (group, above) = (end, Some(high));
    }
    blocks.push(Block { groups: group..groups, above, to: None });
    Ok(blocks)
}

/// A row group of the next history file.
pub(crate) struct Made {
    pub(crate) group: EncodedGroup,
    /// Its rows, if somebody has to look at them.
    pub(crate) rows: Option<RecordBatch>,
}

/// What a block is made of.
#[derive(Clone, Copy)]
pub(crate) struct Input<'i> {
    pub(crate) base: Option<&'i Table<'i>>,
    pub(crate) overlay: &'i Overlay,
    /// Rows of the base lose their fingerprints.
    pub(crate) forget: bool,
    /// Rows are to be looked at.
    pub(crate) keep: bool,
    pub(crate) cut: Cut,
    pub(crate) factory: &'i ArrowRowGroupWriterFactory,
}

impl Input<'_> {
    /// The row groups that come of a block. Columns of the base are copied in runs between the keys of the overlay; no row becomes
    /// a value.
    pub(crate) async fn make(self, block: Block) -> Result<Vec<Made>> {
        let base = self.read(&block).await?;
        let keys: Vec<_> = base
            .iter()
            .map(|batch| required(batch, KEY_HASH))
            .collect::<Result<_, _>>()
            .map_err(|e| self.malformed(e))?;
        let above = block.above.map_or(Bound::Unbounded, Bound::Excluded);
        let to = block.to.map_or(Bound::Unbounded, Bound::Included);
        let plan = self.plan(&keys, self.overlay.range((above, to)).peekable(), &block)?;
        let rows: usize = plan.iter().map(Run::len).sum();
        let groups = ((rows + self.cut.group_rows / 2) / self.cut.group_rows).max(1);
        let mut laid = self.overlay.range((above, to)).filter_map(|(_, row)| row.as_ref());
        let mut made = Vec::with_capacity(groups);
        for runs in evenly(plan, rows, groups) {
            let batch = copied(&base, &runs, &mut laid).map_err(encode)?;
            let group = encode_group(self.factory, &batch).map_err(encode)?;
            made.push(Made { group, rows: self.keep.then_some(batch) });
        }
        Ok(made)
    }

    /// The rows of the base.
    async fn read(&self, block: &Block) -> Result<Vec<RecordBatch>> {
        let Some(table) = self.base.filter(|_| !block.groups.is_empty()) else { return Ok(Vec::new()) };
        let groups = Some(block.groups.clone().collect());
        let mut scan = table.scan(Part { groups, batch_rows: Some(self.cut.block_rows), ..Part::default() })?;
        let mut batches = Vec::new();
        while let Some(batch) = scan.next().await? {
            if batch.schema().fields() != schema(false).fields() {
                return Err(table.malformed(Malformation::Column { column: KEY_HASH }));
            }
            batches.push(if self.forget { forgotten(&batch).map_err(|e| e.of(table))? } else { batch });
        }
        Ok(batches)
    }

    /// Which rows follow each other, in key-hash order.
    fn plan(
        &self,
        keys: &[&FixedSizeBinaryArray],
        mut overlay: Peekable<btree_map::Range<'_, KeyHash, Option<AckRow>>>,
        block: &Block,
    ) -> Result<Vec<Run>> {
        let mut plan = Plan::default();
        let mut last = block.above;
        for (batch, keys) in keys.iter().enumerate() {
            for row in 0..keys.len() {
                let key = hash_at(keys, row, KEY_HASH).map_err(|e| self.malformed(e))?;
                if last.replace(key).is_some_and(|last| last >= key) {
                    return Err(self.malformed(Malformation::Unsorted));
                }
                while let Some((_, laid)) = overlay.next_if(|(k, _)| **k < key) {
                    plan.laid(laid.is_some());
                }
                match overlay.next_if(|(k, _)| **k == key) {
                    Some((_, laid)) => plan.laid(laid.is_some()),
                    None => plan.copied(batch, row),
                }
            }
        }
        if last > block.to && block.to.is_some() {
            return Err(self.malformed(Malformation::Unsorted));
        }
        overlay.for_each(|(_, laid)| plan.laid(laid.is_some()));
        Ok(plan.0)
    }

    fn malformed(&self, e: Malformation) -> Error {
        match self.base {
            Some(table) => table.malformed(e),
            // Nothing is read without a base.
            None => Error::Encode { kind: FileKind::History, source: ParquetError::External(e.into()) },
        }
    }
}

/// Rows that follow each other in the base, or in the overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Run {
    Copied { batch: usize, rows: Range<usize> },
    Laid { rows: usize },
}

impl Run {
    fn len(&self) -> usize {
        match self {
            Self::Copied { rows, .. } => rows.len(),
            Self::Laid { rows } => *rows,
        }
    }

    /// The first `count` rows and the rest.
    fn split(self, count: usize) -> (Self, Self) {
        match self {
            Self::Copied { batch, rows: Range { start, end } } => {
                let middle = (start + count).min(end);
                (Self::Copied { batch, rows: start..middle }, Self::Copied { batch, rows: middle..end })
            }
            Self::Laid { rows } => {
                let count = count.min(rows);
                (Self::Laid { rows: count }, Self::Laid { rows: rows - count })
            }
        }
    }
}

#[derive(Default)]
struct Plan(Vec<Run>);

impl Plan {
    fn copied(&mut self, batch: usize, row: usize) {
        match self.0.last_mut() {
            Some(Run::Copied { batch: b, rows }) if *b == batch && rows.end == row => rows.end += 1,
            _ => self.0.push(Run::Copied { batch, rows: row..row + 1 }),
        }
    }

    fn laid(&mut self, stays: bool) {
        match self.0.last_mut() {
            _ if !stays => {}
            Some(Run::Laid { rows }) => *rows += 1,
            _ => self.0.push(Run::Laid { rows: 1 }),
        }
    }
}

/// A plan of `rows` rows, cut into so many plans of nearly one length; none if it has no rows.
fn evenly(plan: Vec<Run>, rows: usize, parts: usize) -> Vec<Vec<Run>> {
    let mut cut = Vec::with_capacity(parts);
    let mut runs = plan.into_iter();
    let mut rest: Option<Run> = None;
    for part in 0..parts {
        let mut wanted = rows * (part + 1) / parts - rows * part / parts;
        let mut own = Vec::new();
        while wanted > 0 {
            let Some(run) = rest.take().or_else(|| runs.next()) else { break };
            let (head, tail) = run.split(wanted);
            wanted -= head.len();
            own.push(head);
            rest = (tail.len() > 0).then_some(tail);
        }
        if !own.is_empty() {
            cut.push(own);
        }
    }
    cut
}

/// The rows of the runs as one batch.
fn copied<'o>(
    base: &[RecordBatch],
    runs: &[Run],
    laid: &mut impl Iterator<Item = &'o AckRow>,
) -> Result<RecordBatch, ParquetError> {
    if let [Run::Copied { batch, rows }] = runs
        && let Some(batch) = base.get(*batch)
    {
        return Ok(batch.slice(rows.start, rows.len()));
    }
    let mut columns = AckColumns::new(false);
    let count = runs.iter().map(|run| if matches!(run, Run::Laid { .. }) { run.len() } else { 0 }).sum();
    for row in laid.take(count) {
        columns.push(row.key_hash, Some(row))?;
    }
    let laid = columns.finish()?;
    let rows: usize = runs.iter().map(Run::len).sum();
    let column = |at: usize| -> Result<ArrayRef, ArrowError> {
        let sources: Vec<_> = base.iter().chain([&laid]).map(|batch| batch.column(at).to_data()).collect();
        let mut column = MutableArrayData::new(sources.iter().collect(), false, rows);
        let mut next = 0;
        for run in runs {
            match run {
                Run::Copied { batch, rows } => column.try_extend(*batch, rows.start, rows.end)?,
                Run::Laid { rows } => {
                    column.try_extend(base.len(), next, next + rows)?;
                    next += rows;
                }
            }
        }
        Ok(make_array(column.freeze()))
    };
    let columns = (0..laid.num_columns()).map(column).collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(laid.schema(), columns)?)
}

/// The rows without their fingerprints.
fn forgotten(batch: &RecordBatch) -> Result<RecordBatch, Forgetting> {
    let mut columns = AckColumns::new(false);
    for (key_hash, row) in decode(batch, false).map_err(Forgetting::Malformed)? {
        if let Some(mut row) = row {
            forget_fingerprints([&mut row]);
            columns.push(key_hash, Some(&row)).map_err(Forgetting::Encode)?;
        }
    }
    columns.finish().map_err(Forgetting::Encode)
}

enum Forgetting {
    Malformed(Malformation),
    Encode(ParquetError),
}

impl Forgetting {
    fn of(self, table: &Table<'_>) -> Error {
        match self {
            Self::Malformed(e) => table.malformed(e),
            Self::Encode(e) => encode(e),
        }
    }
}

const fn encode(source: ParquetError) -> Error {
    Error::Encode { kind: FileKind::History, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_cut_into_parts_of_nearly_one_length_in_order() {
        let plan =
            vec![Run::Copied { batch: 0, rows: 0..5 }, Run::Laid { rows: 4 }, Run::Copied { batch: 1, rows: 2..3 }];
        let cut = evenly(plan, 10, 3);
        assert_eq!(
            cut,
            [
                vec![Run::Copied { batch: 0, rows: 0..3 }],
                vec![Run::Copied { batch: 0, rows: 3..5 }, Run::Laid { rows: 1 }],
                vec![Run::Laid { rows: 3 }, Run::Copied { batch: 1, rows: 2..3 }],
            ]
        );
        assert!(evenly(Vec::new(), 0, 1).is_empty());
    }
}
