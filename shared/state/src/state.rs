use std::collections::{BTreeMap, BTreeSet};

use driftless_changeset::{States, aggregate, forget_fingerprints};
use driftless_deltalog::Deltalog;
use driftless_deltalog::head::{Head, VersionEntry};
use driftless_deltalog::item::LogPartition;
use driftless_history::HistoryFile;
use driftless_model::{
    AckRow, AttrHash, IdentifierSet, KeyHash, Lanes, Millis, RecordKey, RecordState, Task, in_lanes,
};
use driftless_objects::Objects;

use crate::{Base, D, Result};

/// What is said of single records since the history or the newest bulk version, aggregated.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    /// The newest state of each touched record.
    pub states: States,
    /// The time of the snapshot that last changed it; absent for residue.
    pub updated_at: BTreeMap<KeyHash, Millis>,
}

/// The state of one sync as one read of its head names it.
pub struct SyncState<'a> {
    pub(crate) log: &'a dyn Deltalog,
    pub(crate) objects: &'a dyn Objects,
    pub(crate) head: &'a Head,
}

impl<'a> SyncState<'a> {
    /// The state that `head` names.
    pub fn new(log: &'a dyn Deltalog, objects: &'a dyn Objects, head: &'a Head) -> Self {
        Self { log, objects, head }
    }

    /// The residue and the versions up to `through` (all: `None`), aggregated. From the newest bulk version among them on: what
    /// was before, the residue too, it has flushed.
    ///
    /// # Errors
    /// A version whose items do not number what the head says was retired since: read the head again.
    pub async fn touched(&self, through: Option<u64>) -> Result<Touched> {
        let mut layers = Vec::new();
        let bulk = self.newest_bulk(through).map(|(number, _)| number);
        if let (Some(residue), None) = (&self.head.residue, bulk) {
            layers.push(driftless_history::read_residue(self.objects, &residue.object).await?);
        }
        let mut updated_at = BTreeMap::new();
        for (number, entry) in self.head.versions.range(bulk.map_or(0, |b| b + 1)..) {
            if through.is_some_and(|t| *number > t) {
                break;
            }
            let items = self.log.items(&self.partition(*number, entry), entry.count).await?;
            updated_at.extend(items.iter().map(|(k, i)| (*k, i.updated_at)));
            layers.push(items.into_iter().map(|(k, i)| (k, (i.key.clone(), i.state()))).collect());
        }
        Ok(Touched { states: aggregate(layers), updated_at })
    }

    /// Where the items of a version lie.
    #[must_use]
    pub fn partition(&self, number: u64, entry: &VersionEntry) -> LogPartition {
        LogPartition {
            sync: self.head.sync.clone(),
            incarnation: self.head.incarnation,
            version: number,
            token: entry.token.clone(),
        }
    }

    /// What D starts from, opened: the newest bulk file, else the history, else nothing. Its footer is read once, whatever is then
    /// read of it.
    pub async fn base(&self) -> Result<Option<Base<'a>>> {
        if let Some(bulk) = self.bulk_file(None).await? {
            return Ok(Some(Base::Bulk(bulk)));
        }
        match &self.head.history {
            Some(h) => Ok(Some(Base::History(HistoryFile::open(self.objects, &h.object).await?))),
            None => Ok(None),
        }
    }

    /// D as two hashes a record, in key-hash order: all of it in memory, for small lists and tests; [`D`] streams.
    ///
    /// # Errors
    /// As [`D::next`].
    pub async fn d_digests(&self, states: &States) -> Result<Vec<(KeyHash, AttrHash)>> {
        let base = self.base().await?;
        let mut d = D::new(base.as_ref(), states, KeyHash(0), KeyHash(u128::MAX));
        let mut all = Vec::new();
        while let Some(more) = d.next().await? {
            more.for_each(|key, hash, _| all.push((key, hash)));
        }
        Ok(all)
    }

    /// The rows of A that committed, unfolded runs changed, oldest to newest applied.
    pub async fn deltas(&self) -> Result<BTreeMap<KeyHash, Option<AckRow>>> {
        let mut out = BTreeMap::new();
        for run in &self.head.delivered {
            out.extend(driftless_history::read_delta(self.objects, &run.object).await?);
        }
        Ok(out)
    }

    /// The history file's rows of the given records, without the deltas.
    pub async fn base_rows(&self, keys: &BTreeSet<KeyHash>) -> Result<BTreeMap<KeyHash, AckRow>> {
        match &self.head.history {
            Some(h) if !keys.is_empty() => Ok(HistoryFile::open(self.objects, &h.object).await?.rows(keys).await?),
            _ => Ok(BTreeMap::new()),
        }
    }

    /// A's rows of the given records: history ⊕ deltas. Under another configuration than the history's the rows carry no
    /// fingerprint, since there is nothing to compare it with (protocol rule 14); identifiers are kept.
    pub async fn a_rows(
        &self,
        keys: &BTreeSet<KeyHash>,
        deltas: &BTreeMap<KeyHash, Option<AckRow>>,
        fingerprint: &str,
    ) -> Result<BTreeMap<KeyHash, AckRow>> {
        let mut rows = self.base_rows(keys).await?;
        for k in keys {
            match deltas.get(k) {
                Some(Some(row)) => drop(rows.insert(*k, row.clone())),
                Some(None) => drop(rows.remove(k)),
                None => {}
            }
        }
        if !self.made_under(fingerprint) {
            forget_fingerprints(rows.values_mut());
        }
        Ok(rows)
    }

    /// All of A: for a run that sends more than what changed.
    pub async fn all_rows(&self, deltas: &BTreeMap<KeyHash, Option<AckRow>>) -> Result<BTreeMap<KeyHash, AckRow>> {
        let mut rows: BTreeMap<KeyHash, AckRow> = match &self.head.history {
            Some(h) => HistoryFile::open(self.objects, &h.object).await?.all().await?,
            None => BTreeMap::new(),
        };
        for (k, row) in deltas {
            match row {
                Some(row) => drop(rows.insert(*k, row.clone())),
                None => drop(rows.remove(k)),
            }
        }
        Ok(rows)
    }

    /// True if the history (and with it every delta) was made under the configuration with this fingerprint, or is empty.
    #[must_use]
    pub fn made_under(&self, fingerprint: &str) -> bool {
        match (&self.head.history, self.head.delivered.last()) {
            (_, Some(run)) => run.fingerprint == fingerprint,
            (Some(h), None) => h.fingerprint == fingerprint,
            (None, None) => true,
        }
    }

    /// Adds D's state of records that only the deltas touch: the history's acknowledged one, from before those runs; or that D has
    /// them not.
    ///
    /// Such records were sent although nothing had changed (a full refresh, the buffer), or a comparison has found them in the remote
    /// list, or not in it; if they became uncertain, D still needs their state. Where a bulk version has flushed the log, see
    /// [`Self::differences`].
    pub async fn complete(&self, states: &mut States, deltas: &BTreeMap<KeyHash, Option<AckRow>>) -> Result<()> {
        let missing: BTreeSet<_> = deltas.keys().filter(|k| !states.contains_key(k)).copied().collect();
        for k in &missing {
            if let Some(Some(row)) = deltas.get(k) {
                states.insert(*k, (row.key.clone(), None));
            }
        }
        for (k, row) in self.base_rows(&missing).await? {
            let state = row.acknowledged.map(|a| RecordState {
                key: row.key.clone(),
                attr_hash: a.attr_hash,
                identifiers: a.identifiers,
            });
            states.insert(k, (row.key, state));
        }
        Ok(())
    }

    /// Keys and identifiers of members of D that no log version touches: as the newest bulk file has them, else as they were
    /// acknowledged. Each lane reads its own range of key hashes.
    pub async fn untouched(
        &self,
        keys: &BTreeSet<KeyHash>,
        lanes: &dyn Lanes,
    ) -> Result<BTreeMap<KeyHash, (RecordKey, IdentifierSet)>> {
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        let Some(base) = self.base().await? else { return Ok(BTreeMap::new()) };
        let base = &base;
        let all: Vec<KeyHash> = keys.iter().copied().collect();
        let tasks = all.chunks(all.len().div_ceil(lanes.count().max(1))).map(|range| {
            let range: BTreeSet<KeyHash> = range.iter().copied().collect();
            let task: Task<'_, Result<_>> = Box::pin(async move { base.names(&range).await });
            task
        });
        let tasks = tasks.collect();
        let mut names = BTreeMap::new();
        for found in in_lanes(lanes, tasks).await {
            names.extend(found?);
        }
        Ok(names)
    }

    /// Members of the list as far as they are acknowledged or may be there: history rows ± what the deltas added and removed.
    /// Exact unless a delta changed rows that the history has too, which it counts once.
    pub async fn list_size(&self, deltas: &BTreeMap<KeyHash, Option<AckRow>>) -> Result<u64> {
        let keys: BTreeSet<_> = deltas.keys().copied().collect();
        let known = self.base_rows(&keys).await?;
        let base = self.head.history.as_ref().map_or(0, |h| h.rows);
        let added = deltas.iter().filter(|(k, r)| r.is_some() && !known.contains_key(k)).count() as u64;
        let removed = deltas.iter().filter(|(k, r)| r.is_none() && known.contains_key(k)).count() as u64;
        Ok((base + added).saturating_sub(removed))
    }
}
