//! D where a bulk version has flushed the log.

use std::collections::BTreeSet;

use driftless_changeset::{Differing, Rule, Side, States, Step, keeps};
use driftless_deltalog::head::VersionEntry;
use driftless_history::{BulkFile, HistoryFile, Residue};
use driftless_model::KeyHash;

use crate::Result;
use crate::part::{Cut, Deltas};
use crate::state::{SyncState, Touched};

/// Records by their key hashes, in order: 16 bytes each.
#[derive(Default)]
pub(crate) struct Found {
    /// D has them, A does not.
    pub(crate) entering: Vec<KeyHash>,
    /// Both have them.
    pub(crate) changing: Vec<KeyHash>,
    /// A has them, D does not.
    pub(crate) leaving: Vec<KeyHash>,
}

impl<'a> SyncState<'a> {
    /// The newest bulk version up to `through` (of all: `None`): where a reader of D starts.
    #[must_use]
    pub fn newest_bulk(&self, through: Option<u64>) -> Option<(u64, &VersionEntry)> {
        let versions = self.head.versions.range(..=through.unwrap_or(u64::MAX));
        versions.rev().find(|(_, entry)| entry.bulk_object().is_some()).map(|(number, entry)| (*number, entry))
    }

    /// Its file.
    ///
    /// # Errors
    /// A file that is gone was retired since: read the head again. It never means that D is empty (protocol rule 12).
    pub async fn bulk_file(&self, through: Option<u64>) -> Result<Option<BulkFile<'a>>> {
        let Some(object) = self.newest_bulk(through).and_then(|(_, entry)| entry.bulk_object()) else {
            return Ok(None);
        };
        match BulkFile::open(self.objects, object).await {
            Ok(file) => Ok(Some(file)),
            Err(driftless_history::Error::Fetch { source: driftless_objects::Error::NotFound { .. }, .. })
                if !keeps(Rule::BulkIsThere) =>
            {
                Ok(None)
            }
            Err(e) => Err(e.into()),
        }
    }

    /// The newest state of every record whose D and A may differ, with the time of its last change: all of it, see
    /// [`Self::part`].
    ///
    /// # Errors
    /// As [`Self::touched`].
    pub async fn differences(&self, deltas: &Deltas, fingerprint: &str) -> Result<Touched> {
        Ok(self.part(deltas, fingerprint, &Cut::NONE).await?.touched)
    }

    /// The records that are in one of the two files only, have other fingerprints there, or are uncertain. Two hash columns of
    /// both are read as a stream.
    pub(crate) async fn differing(
        bulk: &BulkFile<'_>,
        history: Option<&HistoryFile<'_>>,
        comparable: bool,
    ) -> Result<Found> {
        let (from, to) = (KeyHash(0), KeyHash(u128::MAX));
        let mut d = bulk.hashes(from, to);
        let mut a = history.map(|history| history.hashes(from, to));
        let mut join = Differing::new(comparable);
        let mut found = Found::default();
        loop {
            match join.step() {
                Step::NeedsD => match d.next().await? {
                    Some(batch) => join.feed_d(batch.into_iter().filter_map(|(k, hash)| hash.map(|hash| (k, hash)))),
                    None => join.end_d(),
                },
                Step::NeedsA => match &mut a {
                    Some(rows) => match rows.next().await? {
                        Some(batch) => join.feed_a(batch),
                        None => join.end_a(),
                    },
                    None => join.end_a(),
                },
                Step::Differs(key, Side::D) => found.entering.push(key),
                Step::Differs(key, Side::Both) => found.changing.push(key),
                Step::Differs(key, Side::A) => found.leaving.push(key),
                Step::Done => return Ok(found),
            }
        }
    }

    /// Adds that D does not have these records, under the keys that A, the residue or a delta knows them by.
    pub(crate) async fn absent(
        &self,
        states: &mut States,
        mut keys: BTreeSet<KeyHash>,
        deltas: &Deltas,
        residue: &Residue,
    ) -> Result<()> {
        for (k, row) in deltas {
            if let (Some(row), true) = (row, keys.contains(k)) {
                keys.remove(k);
                states.insert(*k, (row.key.clone(), None));
            }
        }
        for (k, row) in self.base_rows(&keys).await? {
            keys.remove(&k);
            states.insert(k, (row.key, None));
        }
        // In the residue only: it was never acknowledged, and is not selected any more.
        for k in keys {
            if let Some((key, _)) = residue.get(&k) {
                states.insert(k, (key.clone(), None));
            }
        }
        Ok(())
    }

    /// All of D: for small lists and tests. `None` where an acknowledged record has no place in it any more.
    ///
    /// # Errors
    /// As [`Self::touched`].
    pub async fn whole_d(&self) -> Result<States> {
        let mut states = States::new();
        if let Some(bulk) = self.bulk_file(None).await? {
            states.extend(bulk.all().await?.into_iter().map(|(k, row)| (k, (row.state.key.clone(), Some(row.state)))));
        } else if let Some(h) = &self.head.history {
            let rows = HistoryFile::open(self.objects, &h.object).await?.all().await?;
            self.complete(&mut states, &rows.into_keys().map(|k| (k, None)).collect()).await?;
        }
        states.extend(self.touched(None).await?.states);
        Ok(states)
    }
}
