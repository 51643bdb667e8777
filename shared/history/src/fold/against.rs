//! What remains different from D after a fold.

use bytes::Bytes;
use driftless_changeset::remains;
use driftless_model::{AckRow, KeyHash, RecordKey, RecordState};

use crate::bulk::{BulkFile, BulkRow, BulkRows};
use crate::residue::ResidueWriter;
use crate::stream::{Laid, Overlaid};
use crate::{Residue, Result};

/// What D is at the version that a fold goes through, where a bulk version has flushed what was before.
#[derive(Clone, Copy)]
pub struct Against<'d> {
    /// The bulk file.
    pub bulk: &'d BulkFile<'d>,
    /// What the versions after it say.
    pub states: &'d Residue,
    /// A bulk version after the fold flushes the residue: it need only name the records of A that hold more than was
    /// acknowledged, which no comparison of fingerprints finds ([`driftless_changeset::Differing`]).
    pub flushed: bool,
}

/// D and A's rows after the fold, side by side in key-hash order. One row group of the bulk file is in memory, and the residue as
/// it is encoded.
pub(super) struct Comparison<'d> {
    d: Overlaid<'d, BulkRows<'d, 'd>, (RecordKey, Option<RecordState>)>,
    /// The next of D; `None` before the first and after the last.
    entry: Option<Stated>,
    begun: bool,
    flushed: bool,
    residue: ResidueWriter,
}

type Stated = (KeyHash, RecordKey, Option<RecordState>);

impl<'d> Comparison<'d> {
    pub(super) fn new(against: Against<'d>) -> Result<Self> {
        let d = Overlaid::new(Some(against.bulk.stream()?), against.states);
        Ok(Self { d, entry: None, begun: false, flushed: against.flushed, residue: ResidueWriter::new()? })
    }

    /// Compares rows of A that come after those before them.
    pub(super) async fn meet(&mut self, rows: impl IntoIterator<Item = AckRow>) -> Result<()> {
        self.begin().await?;
        for a in rows {
            while self.entry.as_ref().is_some_and(|(key, ..)| *key < a.key_hash) {
                self.unmet().await?;
            }
            if let Some((key_hash, key, state)) = self.entry.take_if(|(key, ..)| *key == a.key_hash) {
                if self.is_left(state.as_ref(), &a) {
                    self.residue.push(key_hash, &key, state.as_ref())?;
                }
                self.entry = self.next().await?;
            } else if self.is_left(None, &a) {
                self.residue.push(a.key_hash, &a.key, None)?;
            }
        }
        Ok(())
    }

    /// A has no more rows.
    pub(super) async fn end(&mut self) -> Result<()> {
        self.begin().await?;
        while self.entry.is_some() {
            self.unmet().await?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(Bytes, u64)> {
        self.residue.finish()
    }

    async fn begin(&mut self) -> Result<()> {
        if !self.begun {
            self.begun = true;
            self.entry = self.next().await?;
        }
        Ok(())
    }

    /// The entry has no row in A.
    async fn unmet(&mut self) -> Result<()> {
        if let Some((key_hash, key, state)) = self.entry.take()
            && !self.flushed
            && remains(state.as_ref(), None)
        {
            self.residue.push(key_hash, &key, state.as_ref())?;
        }
        self.entry = self.next().await?;
        Ok(())
    }

    fn is_left(&self, state: Option<&RecordState>, a: &AckRow) -> bool {
        let holds_more = || a.acknowledged.as_ref().is_some_and(|sent| sent.identifiers != a.identifiers);
        if self.flushed { holds_more() } else { remains(state, Some(a)) }
    }

    async fn next(&mut self) -> Result<Option<Stated>> {
        Ok(self.d.next().await?.map(stated))
    }
}

fn stated(entry: Laid<'_, BulkRow, (RecordKey, Option<RecordState>)>) -> Stated {
    match entry {
        Laid::Below(k, row) => (k, row.state.key.clone(), Some(row.state)),
        Laid::Above(k, (key, state)) => (k, key.clone(), state.clone()),
    }
}
