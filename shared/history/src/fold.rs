use core::cmp::Ordering;
use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use driftless_changeset::{forget_fingerprints, remains};
use driftless_model::{AckRow, KeyHash, RecordKey, RecordState};
use driftless_objects::{Abandoned, Objects, Parts};

use crate::bulk::{BulkFile, BulkRows};
use crate::history::{HistoryWriter, Rows};
use crate::residue::ResidueWriter;
use crate::stream::{Laid, Overlaid};
use crate::{FileMeta, HistoryFile, Residue, Result};

/// The next history file: the rows of `base` (none before the first commit), with those of `overlay` put in their place,
/// added, or (`None`) taken out. Returns its bytes and its number of rows.
///
/// A streaming merge: one row group of the base and the output are in memory; [`Fold`] hands the output on as it is made. Pure
/// but for reading the base; equal input gives equal bytes.
pub async fn fold(
    objects: &dyn Objects,
    base: Option<&str>,
    overlay: &BTreeMap<KeyHash, Option<AckRow>>,
    meta: &FileMeta,
) -> Result<(Bytes, u64)> {
    let base = match base {
        Some(base) => Some(HistoryFile::open(objects, base).await?),
        None => None,
    };
    let mut fold = Fold::new(base.as_ref(), overlay, false, None, meta)?;
    let mut whole = Vec::new();
    while let Some(part) = fold.part().await? {
        whole.extend_from_slice(&part);
    }
    Ok((whole.into(), fold.finish()?.rows))
}

/// What D is at the version that a fold goes through, where a bulk version has flushed what was before.
#[derive(Clone, Copy)]
pub struct Against<'d> {
    /// The bulk file.
    pub bulk: &'d BulkFile<'d>,
    /// What the versions after it say.
    pub states: &'d Residue,
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

/// A fold under way: the parts of the next history file, and beside it what remains different from D (protocol rule 10).
///
/// All of it is a stream: one row group of the base, one of the bulk file and one part of the output are in memory, and the
/// residue as it is encoded. Repeatable: equal input gives equal bytes.
pub struct Fold<'t, 'o> {
    after: After<'t, 'o>,
    row: Option<AckRow>,
    d: Option<Wanted<'t>>,
    entry: Option<Entry<'t>>,
    begun: bool,
    history: Option<HistoryWriter>,
    residue: ResidueWriter,
    rows: u64,
}

type Wanted<'t> = Overlaid<'t, BulkRows<'t, 't>, (RecordKey, Option<RecordState>)>;

impl<'t, 'o> Fold<'t, 'o> {
    /// Folds `overlay` over `base`. With `forget`, rows of the base that the overlay does not name lose their fingerprints: they were
    /// acknowledged under another configuration (rule 14). Without `against` nothing is compared.
    pub fn new(
        base: Option<&'t HistoryFile<'_>>,
        overlay: &'o BTreeMap<KeyHash, Option<AckRow>>,
        forget: bool,
        against: Option<Against<'t>>,
        meta: &FileMeta,
    ) -> Result<Self> {
        let d = match against {
            Some(Against { bulk, states }) => Some(Overlaid::new(Some(bulk.stream()?), states)),
            None => None,
        };
        Ok(Self {
            after: After { rows: Overlaid::new(base.map(HistoryFile::stream).transpose()?, overlay), forget },
            row: None,
            d,
            entry: None,
            begun: false,
            history: Some(HistoryWriter::new(meta)?),
            residue: ResidueWriter::new()?,
            rows: 0,
        })
    }

    /// The next bytes of the history; `None` when it is whole.
    pub async fn part(&mut self) -> Result<Option<Bytes>> {
        if !self.begun {
            self.begun = true;
            self.row = self.after.next().await?;
            self.entry = next(self.d.as_mut()).await?;
        }
        loop {
            if let Some(bytes) = self.history.as_mut().and_then(|h| h.take(PART_BYTES)) {
                return Ok(Some(bytes));
            }
            let order = match (&self.row, &self.entry) {
                (Some(row), Some(entry)) => row.key_hash.cmp(&entry.key()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let a = if order.is_le() { self.row.take() } else { None };
            let wanted = if order.is_ge() { self.entry.take().map(stated) } else { None };
            self.one(a.as_ref(), wanted.as_ref())?;
            if a.is_some() {
                self.row = self.after.next().await?;
            }
            if wanted.is_some() {
                self.entry = next(self.d.as_mut()).await?;
            }
        }
        let Some(history) = self.history.take() else { return Ok(None) };
        let (bytes, rows) = history.finish()?;
        self.rows = rows;
        Ok(Some(bytes))
    }

    /// One record: its row of A after the fold, and what D wants of it.
    fn one(&mut self, a: Option<&AckRow>, wanted: Option<&Stated>) -> Result<()> {
        let state = wanted.and_then(|(_, _, state)| state.as_ref());
        if self.d.is_some() && remains(state, a) {
            match (wanted, a) {
                (Some((k, key, state)), _) => self.residue.push(*k, key, state.as_ref())?,
                (None, Some(a)) => self.residue.push(a.key_hash, &a.key, None)?,
                (None, None) => {}
            }
        }
        match (&mut self.history, a) {
            (Some(history), Some(a)) => history.push(a),
            _ => Ok(()),
        }
    }

    /// What was made, after the last part.
    pub fn finish(self) -> Result<Folded> {
        let (residue, left) = self.residue.finish()?;
        Ok(Folded { rows: self.rows, residue, left })
    }
}

#[async_trait]
impl Parts for Fold<'_, '_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Abandoned> {
        self.part().await.map_err(Into::into)
    }
}

async fn next<'t>(d: Option<&mut Wanted<'t>>) -> Result<Option<Entry<'t>>> {
    match d {
        Some(d) => d.next().await,
        None => Ok(None),
    }
}

type Stated = (KeyHash, RecordKey, Option<RecordState>);
type Entry<'d> = Laid<'d, crate::BulkRow, (RecordKey, Option<RecordState>)>;

fn stated(entry: Entry<'_>) -> Stated {
    match entry {
        Laid::Below(k, row) => (k, row.state.key.clone(), Some(row.state)),
        Laid::Above(k, (key, state)) => (k, key.clone(), state.clone()),
    }
}

/// A after the fold, in key-hash order.
struct After<'t, 'o> {
    rows: Overlaid<'o, Rows<'t, 't>, Option<AckRow>>,
    forget: bool,
}

impl After<'_, '_> {
    async fn next(&mut self) -> Result<Option<AckRow>> {
        while let Some(laid) = self.rows.next().await? {
            match laid {
                Laid::Below(_, mut row) => {
                    if self.forget {
                        forget_fingerprints([&mut row]);
                    }
                    return Ok(Some(row));
                }
                Laid::Above(_, Some(row)) => return Ok(Some(row.clone())),
                Laid::Above(_, None) => {}
            }
        }
        Ok(None)
    }
}
