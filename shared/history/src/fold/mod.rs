//! The next history file: the last one, with what runs have delivered laid over it.

mod against;
mod block;

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use bytes::Bytes;
use driftless_model::{AckRow, KeyHash, Lanes, Task, in_lanes};
use driftless_objects::{Abandoned, Objects, Parts};

use crate::ack_columns::{decode, schema};
use crate::header::Header;
use crate::history::CUT;
use crate::writer::GroupsWriter;
use crate::{Error, FileKind, FileMeta, HistoryFile, Result};
use against::Comparison;
use block::{Block, Cut, Input, Made, blocks};

pub use against::Against;

/// The next history file: the rows of `base` (none before the first commit), with those of `overlay` put in their place,
/// added, or (`None`) taken out. Returns its bytes and its number of rows.
///
/// [`Fold`] hands the output on as it is made. Pure but for reading the base; equal input gives equal bytes.
pub async fn fold(
    objects: &dyn Objects,
    base: Option<&str>,
    overlay: &BTreeMap<KeyHash, Option<AckRow>>,
    meta: &FileMeta,
    lanes: &dyn Lanes,
) -> Result<(Bytes, u64)> {
    let base = match base {
        Some(base) => Some(HistoryFile::open(objects, base).await?),
        None => None,
    };
    let mut fold = Fold::new(base.as_ref(), overlay, false, None, meta, lanes)?;
    let mut whole = Vec::new();
    while let Some(part) = fold.part().await? {
        whole.extend_from_slice(&part);
    }
    Ok((whole.into(), fold.finish()?.rows))
}

/// What a fold made beside the history.
#[derive(Clone, Debug)]
pub struct Folded {
    /// Rows of the history.
    pub rows: u64,
    /// The residue file; empty where there was nothing to compare with.
    pub residue: Bytes,
    /// Its entries.
    pub left: u64,
}

/// Bytes of the history that are handed on together.
const PART_BYTES: usize = 4 << 20;

/// A block is some twenty megabytes, twice that while it is made.
const BLOCKS: Cut = Cut { block_rows: 128 << 10, group_rows: CUT.group_rows };

/// A fold under way: the parts of the next history file, and beside it what remains different from D (protocol rule 10).
///
/// The list is cut into blocks of keys. Each lane makes one block at a time: it copies columns, so the work follows the bytes of
/// the file and not the objects that its rows would be. In memory are a block a lane, one part of the output and the residue as it
/// is encoded. Repeatable: equal input gives equal bytes, however many lanes there are.
pub struct Fold<'t, 'o> {
    base: Option<&'t HistoryFile<'t>>,
    overlay: &'o BTreeMap<KeyHash, Option<AckRow>>,
    forget: bool,
    lanes: &'o dyn Lanes,
    blocks: VecDeque<Block>,
    cut: Cut,
    comparison: Option<Comparison<'t>>,
    history: Option<GroupsWriter>,
    rows: u64,
}

impl<'t, 'o> Fold<'t, 'o> {
    /// Folds `overlay` over `base`. With `forget`, rows of the base that the overlay does not name lose their fingerprints: they were
    /// acknowledged under another configuration (rule 14). Without `against` nothing is compared.
    pub fn new(
        base: Option<&'t HistoryFile<'t>>,
        overlay: &'o BTreeMap<KeyHash, Option<AckRow>>,
        forget: bool,
        against: Option<Against<'t>>,
        meta: &FileMeta,
        lanes: &'o dyn Lanes,
    ) -> Result<Self> {
        Self::cut(base, overlay, forget, against, meta, lanes, BLOCKS)
    }

    fn cut(
        base: Option<&'t HistoryFile<'t>>,
        overlay: &'o BTreeMap<KeyHash, Option<AckRow>>,
        forget: bool,
        against: Option<Against<'t>>,
        meta: &FileMeta,
        lanes: &'o dyn Lanes,
        cut: Cut,
    ) -> Result<Self> {
        let header = Header::with_meta(FileKind::History, meta.clone());
        Ok(Self {
            base,
            overlay,
            forget,
            lanes,
            blocks: blocks(base.map(HistoryFile::table), overlay, cut)?.into(),
            cut,
            comparison: against.map(Comparison::new).transpose()?,
            history: Some(GroupsWriter::new(&header, schema(false), CUT)?),
            rows: 0,
        })
    }

    /// The next bytes of the history; `None` when it is whole.
    pub async fn part(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.history.as_mut().and_then(|h| h.take(PART_BYTES)) {
                return Ok(Some(bytes));
            }
            let made = self.wave().await?;
            if made.is_empty() && self.blocks.is_empty() {
                break;
            }
            for Made { group, rows } in made {
                if let (Some(comparison), Some(rows)) = (&mut self.comparison, rows) {
                    let rows = decode(&rows, false).map_err(|e| Error::Encode {
                        kind: FileKind::History,
                        source: parquet::errors::ParquetError::External(e.into()),
                    })?;
                    comparison.meet(rows.into_iter().filter_map(|(_, row)| row)).await?;
                }
                if let Some(history) = &mut self.history {
                    history.append(group)?;
                }
            }
        }
        if let Some(comparison) = &mut self.comparison {
            comparison.end().await?;
        }
        let Some(history) = self.history.take() else { return Ok(None) };
        let (bytes, rows) = history.finish()?;
        self.rows = rows;
        Ok(Some(bytes))
    }

    /// A block a lane.
    async fn wave(&mut self) -> Result<Vec<Made>> {
        let Some(history) = &self.history else { return Ok(Vec::new()) };
        let input = Input {
            base: self.base.map(HistoryFile::table),
            overlay: self.overlay,
            forget: self.forget,
            keep: self.comparison.is_some(),
            cut: self.cut,
            factory: history.factory(),
        };
        let count = self.lanes.count().max(1).min(self.blocks.len());
        let tasks = self.blocks.drain(..count).map(|block| {
            let task: Task<'_, Result<Vec<Made>>> = Box::pin(input.make(block));
            task
        });
        let mut made = Vec::new();
        for block in in_lanes(self.lanes, tasks.collect()).await {
            made.extend(block?);
        }
        Ok(made)
    }

    /// What was made, after the last part.
    pub fn finish(self) -> Result<Folded> {
        let (residue, left) = match self.comparison {
            Some(comparison) => comparison.finish()?,
            None => (Bytes::new(), 0),
        };
        Ok(Folded { rows: self.rows, residue, left })
    }
}

#[async_trait]
impl Parts for Fold<'_, '_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Abandoned> {
        self.part().await.map_err(Into::into)
    }
}

#[cfg(test)]
mod tests;
