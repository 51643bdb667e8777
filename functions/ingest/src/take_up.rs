//! One snapshot for every sync of its dataset.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use driftless_changeset::{Changes, MergeDiff};
use driftless_config::Sync;
use driftless_deltalog::Deltalog;
use driftless_deltalog::head::{Append, Attention, Head, Hold, Swap, VersionEntry, VersionKind};
use driftless_deltalog::item::{ChangeOp, LogItem};
use driftless_deltalog::registry::SyncEntry;
use driftless_model::{
    Clock, DatasetId, IdentifierSet, KeyHash, Lanes, Meter, Millis, RecordKey, SnapshotRef, SyncId, Task, Tokens,
    Usage, in_lanes,
};
use driftless_objects::Objects;
use driftless_runtime::tell_usage;
use driftless_snapshot::{Digested, Digests, HashKey, Limits, Report, SnapshotError, Source, View, ViewSpec};
use driftless_state::{D, SyncState, Touched, documents, names, new_head};

use crate::bulk::Bulk;
use crate::error::Error;
use crate::guards;
use driftless_snapshot::locate::dated;

/// What a snapshot did to one sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A log version was appended.
    Changed {
        /// Its number.
        version: u64,
        /// Records that entered.
        adds: u64,
        /// Records whose fields changed.
        updates: u64,
        /// Records that left.
        removals: u64,
        /// Of them, held by a guard.
        held: u64,
    },
    /// D is as before; one write.
    Unchanged,
    /// The sync has seen a newer snapshot, or a newer configuration.
    Older,
    /// This snapshot was taken up before.
    Seen,
    /// The sync waits for a person; the reason is in its head.
    NeedsAttention,
}

/// What a snapshot needs: the ports and the deployment's hash key.
pub struct Ingest {
    /// The deltalog.
    pub log: Arc<dyn Deltalog>,
    /// The bucket.
    pub objects: Arc<dyn Objects>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Private tokens.
    pub tokens: Arc<dyn Tokens>,
    /// Keys the hashes of record keys and attributes.
    pub hash_key: HashKey,
    /// What a snapshot's files may ask for.
    pub limits: Limits,
    /// What reads row groups and joins ranges of records side by side.
    pub lanes: Arc<dyn Lanes>,
    /// Counts what it uses.
    pub meter: Meter,
    /// When a version is a bulk version.
    pub bulk: Bulk,
}

/// A sync that wants the snapshot, as read at the start of an attempt.
pub(crate) struct Candidate {
    pub(crate) entry: SyncEntry,
    config: Sync,
    pub(crate) spec: ViewSpec,
    pub(crate) head: Head,
    erased: BTreeSet<KeyHash>,
}

/// Attempts before the message is handed back: each lost swap means that another worker made progress.
const ATTEMPTS: usize = 6;

impl Ingest {
    /// Takes a snapshot up for every registered sync of its dataset (or only for one), reading the file once for all of them
    /// (US 2025/0265237 \[0066\] ff., FIG. 4).
    ///
    /// Repeatable: the head is the claim. A second call finds the snapshot seen, whoever took it up. If we die before the swap,
    /// nothing has happened but items under a private token, which nobody reads; if we die after it, everything has. If the
    /// swap succeeded and we did not hear, the store recognises our token.
    ///
    /// # Errors
    /// [`Error`]: nothing was taken up for the syncs that are not in a result; the message should come back. A refused
    /// snapshot is `Error::Snapshot` with disposition *reject*.
    pub async fn take_up(
        &self,
        dataset: &DatasetId,
        snapshot: &SnapshotRef,
        only: Option<&SyncId>,
        deadline: Millis,
    ) -> Result<Vec<(SyncId, Taken)>, Error> {
        let mut done = Vec::new();
        let mut settled: BTreeSet<SyncId> = BTreeSet::new();
        for _ in 0..ATTEMPTS {
            let entries = self.log.syncs().await?;
            let mut candidates = Vec::new();
            for entry in entries {
                if entry.dataset != *dataset || only.is_some_and(|s| *s != entry.sync) || settled.contains(&entry.sync)
                {
                    continue;
                }
                let sync = entry.sync.clone();
                match self.candidate(entry, snapshot).await? {
                    Ok(candidate) => candidates.push(candidate),
                    Err(taken) => {
                        settled.insert(sync.clone());
                        done.push((sync, taken));
                    }
                }
            }
            if candidates.is_empty() {
                return Ok(done);
            }
            for (sync, taken) in self.digest(snapshot, candidates, deadline).await? {
                settled.insert(sync.clone());
                done.push((sync, taken));
            }
        }
        let left =
            self.log.syncs().await?.iter().filter(|e| e.dataset == *dataset && !settled.contains(&e.sync)).count();
        if left == 0 { Ok(done) } else { Err(Error::Contended { syncs: left }) }
    }

    /// Reads the sync's head and decides whether the snapshot is news for it. Tombstones are read after the head, so that an
    /// erasure between the two is seen (protocol rule 13).
    async fn candidate(&self, entry: SyncEntry, snapshot: &SnapshotRef) -> Result<Result<Candidate, Taken>, Error> {
        let mut head = self.log.head(&entry.sync).await?;
        if head.as_ref().is_none_or(|h| h.incarnation < entry.incarnation) {
            let new = new_head(self.log.as_ref(), &entry, head.as_ref(), self.clock.now()).await?;
            // Lost: another worker created it, or something newer is there; read what it is.
            let _: Swap = self.log.create_head(&new).await?;
            head = self.log.head(&entry.sync).await?;
        }
        let Some(head) = head.filter(|h| h.incarnation == entry.incarnation) else { return Ok(Err(Taken::Older)) };
        if let Some(seen) = &head.snapshot {
            let newer_config = entry.config.epoch > head.config.epoch;
            if entry.config.epoch < head.config.epoch || snapshot.order < seen.order {
                return Ok(Err(Taken::Older));
            }
            if snapshot.order.is_same(&seen.order) && !newer_config {
                return Ok(Err(Taken::Seen));
            }
        }
        let erased = self.log.tombstones(&entry.dataset).await?;
        let config = documents::sync(self.objects.as_ref(), &entry).await?;
        let spec = ViewSpec::from(&config);
        Ok(Ok(Candidate { entry, config, spec, head, erased }))
    }

    /// One pass over the file for all candidates, then each on its own. A candidate that is missing in the result lost its
    /// swap and starts again. Candidates that do not fit into memory together are taken one after the other, each with a pass
    /// of its own; one that does not fit alone needs attention.
    async fn digest(
        &self,
        snapshot: &SnapshotRef,
        candidates: Vec<Candidate>,
        deadline: Millis,
    ) -> Result<Vec<(SyncId, Taken)>, Error> {
        match self.pass(snapshot, &candidates, deadline).await {
            Err(Error::Snapshot(SnapshotError::DoesNotFit { .. })) => {}
            done => return done,
        }
        let mut done = Vec::new();
        for candidate in &candidates {
            match self.pass(snapshot, core::slice::from_ref(candidate), deadline).await {
                Ok(taken) => done.extend(taken),
                Err(Error::Snapshot(e @ SnapshotError::DoesNotFit { .. })) => {
                    let sync = &candidate.entry.sync;
                    let reason = format!("{e}; raise IngestMemoryMegabytes, then run `driftless sync now {sync}`");
                    done.push((sync.clone(), self.needs_attention(candidate, reason).await?));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    async fn pass(
        &self,
        snapshot: &SnapshotRef,
        candidates: &[Candidate],
        deadline: Millis,
    ) -> Result<Vec<(SyncId, Taken)>, Error> {
        let source = Source { objects: self.objects.as_ref(), parts: &snapshot.parts, limits: &self.limits };
        let views: Vec<View<'_>> = candidates.iter().map(|c| View { spec: &c.spec, erased: &c.erased }).collect();
        let digests = driftless_snapshot::digest(source, &views, &self.hash_key, self.lanes.as_ref()).await?;
        let rows = digests.iter().flatten().map(|d| d.report.rows_read).max().unwrap_or(0);
        // What was read for all of them is divided; from here on each works for itself.
        let shared = self.meter.take() + Usage { rows, ..Usage::default() };
        let mut done = Vec::new();
        for ((candidate, digested), share) in candidates.iter().zip(digests).zip(shared.shares(candidates.len())) {
            self.meter.count(share);
            let taken = match digested {
                Ok(d) => {
                    tell(&candidate.entry.sync, &d.report);
                    self.append(candidate, snapshot, source, d, deadline).await?
                }
                Err(e) => Some(self.needs_attention(candidate, e.to_string()).await?),
            };
            if let Some(taken) = taken {
                done.push((candidate.entry.sync.clone(), taken));
            }
            self.meter.owe(&candidate.entry.sync, self.meter.take());
        }
        Ok(done)
    }

    async fn needs_attention(&self, c: &Candidate, reason: String) -> Result<Taken, Error> {
        let attention = Attention { reason, since: self.clock.now() };
        self.charge(c);
        self.log.set_attention(&c.entry.sync, c.entry.incarnation, Some(&attention)).await?;
        Ok(Taken::NeedsAttention)
    }

    /// Joins the digests with D and appends what changed. `None`: the swap was lost.
    async fn append(
        &self,
        c: &Candidate,
        snapshot: &SnapshotRef,
        source: Source<'_>,
        digested: Digested,
        deadline: Millis,
    ) -> Result<Option<Taken>, Error> {
        let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), &c.head);
        let touched = state.touched(None).await?;
        let comparable = c.head.config.fingerprint == c.entry.config.fingerprint;
        let (changes, members) = self.join(&state, &touched, &digested.rows, comparable).await?;
        if changes.is_empty() {
            self.in_time(deadline)?;
            let guard = c.head.guard();
            let used = self.charge(c);
            let swap = self.log.stamp_snapshot(&c.entry.sync, &guard, snapshot, &c.entry.config).await?;
            return Ok(self.settled(c, used, swap).then_some(Taken::Unchanged));
        }
        let held = guards::held(&c.config.guards, members, &changes, &digested.report);
        if self.bulk.is_needed(&c.head, &changes, members, digested.rows.len() as u64) {
            return self
                .append_bulk(c, &state, touched, snapshot, source, &digested.rows, &changes, held, deadline)
                .await;
        }
        let items = self.items(c, &state, &touched, snapshot, source, &digested.rows, &changes).await?;
        let entry = VersionEntry {
            token: self.tokens.token(),
            kind: VersionKind::Items,
            count: items.len() as u64,
            adds: changes.adds.len() as u64,
            updates: changes.updates.len() as u64,
            removals: changes.removals.len() as u64,
            order: snapshot.order.clone(),
            logged_at: self.clock.now(),
        };
        let partition = state.partition(c.head.version + 1, &entry);
        // Named before the items are written, so that what a dead or losing attempt leaves behind is found and deleted.
        self.log.put_attempt(&partition, self.clock.now()).await?;
        self.log.put_items(&partition, &items).await?;
        self.swap(c, snapshot, entry, held, deadline).await
    }

    /// The outer join of D and the snapshot (US 2025/0265237, FIG. 4), each lane its own range of key hashes, and how many
    /// records D has.
    async fn join(
        &self,
        state: &SyncState<'_>,
        touched: &Touched,
        rows: &Digests,
        comparable: bool,
    ) -> Result<(Changes, u64), Error> {
        let base = state.base().await?;
        let base = base.as_ref();
        let tasks = rows.ranges(self.lanes.count()).into_iter().map(|range| {
            let task: Task<'_, Result<(Changes, u64), Error>> = Box::pin(async move {
                let mut d = D::new(base, &touched.states, range.from, range.to);
                let mut merge = MergeDiff::new(range.iter().map(|r| (r.key_hash, r.attr_hash)), comparable);
                let mut members = 0;
                while let Some(records) = d.next().await? {
                    members += records.len() as u64;
                    records.into_iter().for_each(|(key, hash)| merge.member(key, hash));
                }
                Ok((merge.finish(), members))
            });
            task
        });
        let tasks = tasks.collect();
        let (mut changes, mut members) = (Changes::default(), 0);
        for joined in in_lanes(self.lanes.as_ref(), tasks).await {
            let (more, count) = joined?;
            changes.append(more);
            members += count;
        }
        Ok((changes, members))
    }

    /// Makes what was written under the entry's token the next version.
    pub(crate) async fn swap(
        &self,
        c: &Candidate,
        snapshot: &SnapshotRef,
        entry: VersionEntry,
        held: Option<guards::Held>,
        deadline: Millis,
    ) -> Result<Option<Taken>, Error> {
        let (version, sync) = (c.head.version + 1, &c.entry.sync);
        let hold = match held {
            None => None,
            Some(held) => {
                let object = names::hold(sync, c.entry.incarnation, &entry.token);
                self.objects.create(&object, driftless_history::encode_holds(&held.keys)?).await?;
                let count = held.keys.len() as u64;
                Some(Hold { object, count, reason: held.reason, since: self.clock.now(), approved_at: None })
            }
        };
        let held = hold.as_ref().map_or(0, |h| h.count);
        let taken =
            Taken::Changed { version, adds: entry.adds, updates: entry.updates, removals: entry.removals, held };
        let append = Append { snapshot: snapshot.clone(), config: c.entry.config.clone(), entry, hold };
        self.in_time(deadline)?;
        let used = self.charge(c);
        let swap = self.log.append_version(sync, &c.head.guard(), &append).await?;
        Ok(self.settled(c, used, swap).then_some(taken))
    }

    /// What was used so far travels with the write of the head that comes next.
    fn charge(&self, c: &Candidate) -> Usage {
        let used = self.meter.take_for(&c.entry.sync);
        self.log.charge(&c.head, used, self.clock.now());
        used
    }

    /// True if the head was swapped. An attempt that lost was paid for all the same: the next one carries it.
    fn settled(&self, c: &Candidate, used: Usage, swap: Swap) -> bool {
        if swap == Swap::Lost {
            self.meter.owe(&c.entry.sync, used);
            return false;
        }
        let used = used + Usage { write_units: c.head.write_units(), ..Usage::default() };
        tell_usage("ingest", &c.entry.sync, None, &used);
        true
    }

    pub(crate) fn in_time(&self, deadline: Millis) -> Result<(), Error> {
        if self.clock.now() < deadline { Ok(()) } else { Err(Error::Deadline) }
    }

    /// The log items of the changes: the state after the snapshot, read again for the records that changed only.
    #[allow(clippy::too_many_arguments)] // what one attempt found out
    async fn items(
        &self,
        c: &Candidate,
        state: &SyncState<'_>,
        touched: &Touched,
        snapshot: &SnapshotRef,
        source: Source<'_>,
        rows: &Digests,
        changes: &Changes,
    ) -> Result<Vec<LogItem>, Error> {
        let updated_at = dated(snapshot);
        let mut items = Vec::with_capacity(changes.len());
        let wanted: Vec<_> = changes.adds.iter().chain(&changes.updates).map(|(key_hash, _)| *key_hash).collect();
        let states =
            driftless_snapshot::states(source, &c.spec, &self.hash_key, rows, &wanted, self.lanes.as_ref()).await?;
        let missing = changes.adds.len() + changes.updates.len() - states.len();
        if missing > 0 {
            return Err(Error::Vanished { missing });
        }
        items.extend(states.into_iter().map(|(key_hash, state)| {
            let is_new = changes.adds.binary_search_by_key(&key_hash, |(key, _)| *key).is_ok();
            LogItem {
                key_hash,
                key: state.key,
                op: if is_new { ChangeOp::Add } else { ChangeOp::Update },
                attr_hash: Some(state.attr_hash),
                identifiers: state.identifiers,
                updated_at,
                committed_at: None,
                superseded_by: None,
                expires_at: None,
            }
        }));
        let left: BTreeMap<KeyHash, (RecordKey, IdentifierSet)> = self.who_left(state, touched, changes).await?;
        items.extend(left.into_iter().map(|(key_hash, (key, identifiers))| LogItem {
            key_hash,
            key,
            op: ChangeOp::Remove,
            attr_hash: None,
            identifiers,
            updated_at,
            committed_at: None,
            superseded_by: None,
            expires_at: None,
        }));
        Ok(items)
    }

    /// Keys and identifiers of the records that left: from the log where it has touched them, else from what is below it.
    async fn who_left(
        &self,
        state: &SyncState<'_>,
        touched: &Touched,
        changes: &Changes,
    ) -> Result<BTreeMap<KeyHash, (RecordKey, IdentifierSet)>, Error> {
        let mut left = BTreeMap::new();
        let mut in_history = BTreeSet::new();
        for k in &changes.removals {
            match touched.states.get(k) {
                Some((key, Some(s))) => drop(left.insert(*k, (key.clone(), s.identifiers.clone()))),
                _ => drop(in_history.insert(*k)),
            }
        }
        left.extend(state.untouched(&in_history, self.lanes.as_ref()).await?);
        Ok(left)
    }
}

/// Counts, and key hashes of a sample of invalid records; no values.
fn tell(sync: &SyncId, report: &Report) {
    let invalid: u64 = report.invalid.values().map(|i| i.count).sum();
    tracing::info!(
        sync_id = %sync,
        rows = report.rows_read,
        selected = report.selected,
        null_keys = report.null_keys,
        duplicate_keys = report.duplicate_keys,
        invalid,
        bytes = report.bytes_read,
        "snapshot read"
    );
    for (reason, found) in &report.invalid {
        tracing::warn!(sync_id = %sync, rule = reason.as_str(), count = found.count, sample = ?found.sample, "invalid records");
    }
}
