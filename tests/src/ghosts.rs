//! What really happened, beside what the product remembers of it, and the invariants checked against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use driftless_changeset::PlannedRow;
use driftless_deltalog::head::Head;
use driftless_deltalog::ledger::{Call, Run};
use driftless_deltalog::{Deltalog, MemoryDeltalog};
use driftless_model::{AttrHash, Identifier, IdentifierSet, KeyHash, Millis, Operation, SnapshotOrder, SyncId};
use driftless_objects::MemoryObjects;
use driftless_state::SyncState;

use crate::at_once;
use crate::dataset::{Mapping, People, Selection, each, select};
use crate::invoke::FUNCTION_MS;
use crate::list::{Remote, SentFor};
use crate::size::size;

/// Rows that a request of the scripted destination carries at most.
pub(crate) const BATCH: usize = 2;

/// The checks, and the facts they need. Shared by everything in one simulation.
pub struct Ghosts {
    log: Arc<MemoryDeltalog>,
    objects: Arc<MemoryObjects>,
    remote: Arc<Remote>,
    facts: Mutex<Facts>,
}

#[derive(Default)]
struct Facts {
    /// The first thing that went wrong.
    violation: Option<String>,
    /// What happened, for the reader of a failing seed.
    trace: Vec<String>,
    uploads: Vec<(SnapshotOrder, People)>,
    consenting: BTreeSet<SyncId>,
    attempt_limit: u32,
    max_removals: u64,
    by_sync: BTreeMap<SyncId, Facet>,
    writes: u64,
}

/// What is remembered of one sync.
#[derive(Default)]
struct Facet {
    sent: SentFor,
    acknowledged: BTreeSet<(KeyHash, IdentifierSet)>,
    /// Per identifier the newest plan that touched it: (version it ran through, order of activation).
    newest: BTreeMap<Identifier, (u64, u64)>,
    /// By run.
    plans: BTreeMap<String, (u64, u64)>,
    /// Records held by a snapshot's guard, with the version that held them.
    held: BTreeMap<KeyHash, u64>,
    last: BTreeSet<KeyHash>,
    /// What was approved, and when: a hold may be dropped before a plan that saw it is activated.
    approvals: Vec<(Millis, BTreeSet<KeyHash>)>,
    /// D as of each version that no fold has passed.
    d: BTreeMap<u64, BTreeMap<KeyHash, AttrHash>>,
    ticks: BTreeSet<String>,
    newest_taken: Option<SnapshotOrder>,
    newest_epoch: u64,
}

impl Ghosts {
    /// Nothing has happened yet.
    pub fn new(log: Arc<MemoryDeltalog>, objects: Arc<MemoryObjects>, remote: Arc<Remote>) -> Self {
        Self { log, objects, remote, facts: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The limits of every sync's configuration.
    pub fn set_limits(&self, attempt_limit: u32, max_removals: u64) {
        let mut facts = self.lock();
        (facts.attempt_limit, facts.max_removals) = (attempt_limit, max_removals);
    }

    /// A sync that selects by consent.
    pub fn selects_by_consent(&self, sync: &SyncId) {
        self.lock().consenting.insert(sync.clone());
    }

    /// A snapshot was uploaded.
    pub fn uploaded(&self, order: SnapshotOrder, people: People) {
        self.lock().uploads.push((order, people));
    }

    /// A line for the reader of a failing seed.
    pub fn note(&self, line: impl Into<String>) {
        self.lock().trace.push(line.into());
    }

    /// Something is wrong.
    pub fn violated(&self, what: impl Into<String>) {
        let mut facts = self.lock();
        let what = what.into();
        facts.trace.push(format!("!! {what}"));
        facts.violation.get_or_insert(what);
    }

    /// The first thing that went wrong, if anything did.
    pub fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    /// What happened.
    pub fn trace(&self) -> Vec<String> {
        self.lock().trace.clone()
    }

    /// Rows that arrived at the destination.
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    fn require(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violated(what());
        }
    }

    /// Whether a sync selects by consent.
    pub fn is_consenting(&self, sync: &SyncId) -> bool {
        self.lock().consenting.contains(sync)
    }

    /// The people of the newest uploaded snapshot.
    pub fn newest(&self) -> Option<People> {
        self.lock().uploads.iter().max_by(|a, b| a.0.cmp(&b.0)).map(|(_, p)| p.clone())
    }

    fn people(&self, order: &SnapshotOrder) -> People {
        self.lock().uploads.iter().find(|(o, _)| o.is_same(order)).map(|(_, p)| p.clone()).unwrap_or_default()
    }

    fn with<T>(&self, sync: &SyncId, f: impl FnOnce(&mut Facet) -> T) -> T {
        f(self.lock().by_sync.entry(sync.clone()).or_default())
    }

    // ---- the destination

    /// A row arrived. `heard`: somebody hears the answer.
    pub fn applied(
        &self,
        sync: &SyncId,
        run: &str,
        operation: Operation,
        k: KeyHash,
        identifiers: &IdentifierSet,
        heard: bool,
    ) {
        self.lock().writes += 1;
        self.note(format!("   {sync}: {operation} {} of {run}", shown(identifiers)));
        let violation = self.with(sync, |f| {
            let seq = f.plans.get(run).copied()?;
            for i in identifiers {
                let newest = f.newest.entry(i.clone()).or_insert((0, 0));
                if *newest > seq {
                    return Some(format!("DL-7 {run} lands on {} after a newer plan", shown_one(i)));
                }
                *newest = seq;
            }
            if operation.sends() {
                f.sent.entry(k).or_default().extend(identifiers.iter().cloned());
                f.acknowledged.extend(heard.then(|| (k, identifiers.clone())));
                return None;
            }
            let sent = f.sent.get(&k);
            if !identifiers.iter().all(|i| sent.is_some_and(|s| s.contains(i))) {
                return Some(format!("DL-4 {} was never sent for that record", shown(identifiers)));
            }
            let held = f.held.get(&k).filter(|version| seq.0 >= **version);
            held.map(|v| format!("DL-8 {} is removed although version {v} held it", shown(identifiers)))
        });
        if let Some(violation) = violation {
            self.violated(violation);
        }
    }

    /// The whole list was replaced, on behalf of a run: these were members before.
    pub fn replaced(&self, sync: &SyncId, run: &str, before: IdentifierSet) {
        self.note(format!("   {sync}: the list is replaced by {run}"));
        let violation = self.with(sync, |f| {
            let seq = f.plans.get(run).copied()?;
            for i in &before {
                let newest = f.newest.entry(i.clone()).or_insert((0, 0));
                if *newest > seq {
                    return Some(format!("DL-7 {run} replaces {} after a newer plan", shown_one(i)));
                }
                *newest = seq;
            }
            let there = |k: &KeyHash| f.sent.get(k).is_some_and(|sent| !sent.is_disjoint(&before));
            let held = f.held.iter().find(|(k, version)| seq.0 >= **version && there(k));
            held.map(|(_, version)| format!("DL-8 the list is replaced although version {version} held somebody"))
        });
        if let Some(violation) = violation {
            self.violated(violation);
        }
    }

    /// What a job came to was heard.
    pub fn heard(&self, sync: &SyncId, k: KeyHash, identifiers: &IdentifierSet) {
        self.with(sync, |f| f.acknowledged.insert((k, identifiers.clone())));
    }

    /// A call was claimed: from here on its rows may have been sent.
    pub fn claimed(&self, sync: &SyncId, run: &str, first: u64, rows: u32) {
        let Some(run) = self.run(sync, run) else { return };
        let Some(changeset) = self.changeset(&run) else { return };
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        self.with(sync, |f| {
            for row in changeset.iter().skip(first).take(rows as usize).filter(|r| r.operation.sends()) {
                f.sent.entry(row.key_hash).or_default().extend(row.identifiers.iter().cloned());
            }
        });
    }

    fn run(&self, sync: &SyncId, run: &str) -> Option<Run> {
        at_once(self.log.run(sync, &driftless_model::RunId::new(run))).ok().flatten()
    }

    fn changeset(&self, run: &Run) -> Option<Vec<PlannedRow>> {
        at_once(driftless_history::read_changeset(self.objects.as_ref(), &run.changeset)).ok().map(|c| c.rows)
    }

    // ---- the head

    fn head(&self, sync: &SyncId) -> Option<Head> {
        at_once(self.log.head(sync)).ok().flatten()
    }

    fn erased(&self, head: &Head) -> BTreeSet<KeyHash> {
        at_once(self.log.tombstones(&head.names.dataset)).unwrap_or_default()
    }

    /// After every swap of the head: D is what the snapshot that it names selects, however it is represented (DL-3).
    pub fn head_moved(&self, sync: &SyncId, why: &str, logged: bool) {
        let Some(head) = self.head(sync) else { return };
        self.note(format!(
            "** {sync} {why}: version {} stamp {} versions {:?} run {:?} holds {:?} delivered {}",
            head.version,
            head.stamp,
            head.versions
                .iter()
                .map(|(n, v)| if v.bulk_object().is_some() { format!("{n}*") } else { n.to_string() })
                .collect::<Vec<_>>(),
            head.active_run,
            head.active_holds().map(|(n, h)| (n, h.count)).collect::<Vec<_>>(),
            head.delivered.len(),
        ));
        let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), &head);
        let d = at_once(async { state.d_digests(&state.touched(None).await?.states).await });
        let d: BTreeMap<KeyHash, AttrHash> = match d {
            Ok(d) => d.into_iter().collect(),
            Err(e) => {
                return self.violated(format!(
                    "DL-3 D of {sync} cannot be read after {why}: {e} {:?}",
                    core::error::Error::source(&e).map(ToString::to_string)
                ));
            }
        };
        let Some(snapshot) = &head.snapshot else { return };
        let people = self.people(&snapshot.order);
        let (consenting, mapping) = (self.is_consenting(sync), Mapping::of(head.config.epoch));
        let erased = self.erased(&head);
        let (truth, certain) = select(&people, consenting, mapping, &erased);
        let right = if certain {
            let d: BTreeMap<_, _> = d.iter().filter(|(k, _)| !erased.contains(k)).map(|(k, h)| (*k, *h)).collect();
            hashes(&truth) == d
        } else {
            let each = each(&people, consenting, mapping);
            d.iter().all(|(k, h)| erased.contains(k) || each.get(k).is_some_and(|w| w.attr_hash == *h))
        };
        self.require(right, || {
            format!("DL-3 D of {sync} is not its snapshot's selection after {why}: {d:?} {:?}", hashes(&truth))
        });
        if logged {
            let max = self.lock().max_removals;
            self.with(sync, |f| {
                let left: Vec<KeyHash> = f.last.iter().filter(|k| !d.contains_key(k)).copied().collect();
                if why == "append_version" && left.len() as u64 > max {
                    f.held.extend(left.iter().map(|k| (*k, head.version)));
                }
                f.held.retain(|k, _| !d.contains_key(k));
                f.last = d.keys().copied().collect();
                f.d.insert(head.version, d.clone());
            });
        }
    }

    /// After a fold: history and residue alone are D as of the version that it went through (rule 10).
    pub fn folded(&self, sync: &SyncId, through: u64) {
        let Some(mut head) = self.head(sync) else { return };
        if head.versions.get(&(through + 1)).is_some_and(|next| next.bulk_object().is_some()) {
            // D is made of the bulk version still, of which a run has taken a part.
            return;
        }
        head.versions.clear();
        let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), &head);
        let d = at_once(async { state.d_digests(&state.touched(None).await?.states).await });
        let d: BTreeMap<KeyHash, AttrHash> = match d {
            Ok(d) => d.into_iter().collect(),
            Err(e) => return self.violated(format!("DL-3 history and residue of {sync} cannot be read: {e}")),
        };
        let expected = self.with(sync, |f| {
            f.d = f.d.split_off(&through);
            f.d.get(&through).cloned()
        });
        self.require(expected.as_ref().is_none_or(|x| *x == d), || {
            format!("DL-3 history and residue of {sync} are not D at version {through}: {d:?} {expected:?}")
        });
    }

    /// A snapshot was taken up, changed or not: from here on older ones are dropped (DL-7).
    pub fn taken_up(&self, sync: &SyncId, order: &SnapshotOrder, epoch: u64) {
        let old = self.with(sync, |f| {
            let old = f.newest_taken.as_ref().is_some_and(|n| order < n) || epoch < f.newest_epoch;
            f.newest_epoch = f.newest_epoch.max(epoch);
            if f.newest_taken.as_ref().is_none_or(|n| order > n) {
                f.newest_taken = Some(order.clone());
            }
            old
        });
        self.require(!old, || format!("DL-7 {sync} takes up an older snapshot or configuration after a newer one"));
    }

    /// A tick made a run: its only one (DL-6).
    pub fn tick(&self, sync: &SyncId, tick: &str, run: &driftless_model::RunId) {
        // Where ticks are forgotten, their names were made unique.
        let name = tick.strip_suffix(&format!("-{run}")).unwrap_or(tick).to_owned();
        let again = self.with(sync, |f| !f.ticks.insert(name.clone()));
        self.require(!again, || format!("DL-6 tick {name} made two runs"));
    }

    /// A person approved a hold.
    pub fn approved(&self, sync: &SyncId, version: u64) {
        self.note(format!("-- {sync}: hold {version} approved"));
        if let Some(hold) = self.head(sync).and_then(|h| h.holds.get(&version).cloned())
            && let Some(at) = hold.approved_at
            && let Ok(keys) = at_once(driftless_history::read_holds(self.objects.as_ref(), &hold.object))
        {
            self.with(sync, |f| f.approvals.push((at, keys)));
        }
        self.with(sync, |f| f.held.retain(|_, v| Head::snapshot_hold(*v) != version));
    }

    /// After a commit: what is acknowledged was (DL-2), and everybody in the list is known to A.
    pub fn committed(&self, sync: &SyncId) {
        let Some(head) = self.head(sync) else { return };
        let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), &head);
        let rows = at_once(async { state.all_rows(&state.deltas().await?).await });
        let Ok(rows) = rows else { return self.violated(format!("DL-2 A of {sync} cannot be read")) };
        let known: IdentifierSet = rows.values().flat_map(|r| r.identifiers.iter().cloned()).collect();
        // A commit may be told twice, the second time when the next run has begun to send.
        if !self.remote.in_flight(sync) && head.active_run.is_none() {
            let lost: IdentifierSet = self.remote.members(sync).into_keys().filter(|i| !known.contains(i)).collect();
            self.require(lost.is_empty(), || format!("DL-2 nobody remembers {} in the list of {sync}", shown(&lost)));
        }
        let said = self.with(sync, |f| {
            let said_yes = |k: KeyHash, i: &IdentifierSet| f.acknowledged.contains(&(k, i.clone()));
            rows.values().all(|r| r.acknowledged.as_ref().is_none_or(|a| said_yes(r.key_hash, &a.identifiers)))
        });
        self.require(said, || format!("DL-2 {sync} committed what was never acknowledged"));
    }

    /// A run becomes the active one: it is exactly diff(D, A), in the fewest calls, and removes nobody that it must not.
    pub fn activated(&self, sync: &SyncId, run: &str) {
        let (Some(head), Some(run)) = (self.head(sync), self.run(sync, run)) else { return };
        self.with(sync, |f| {
            let order = f.plans.len() as u64 + 1;
            f.plans.insert(run.id.to_string(), (run.through, order));
        });
        let Some(rows) = self.changeset(&run) else {
            return self.violated(format!("DL-3 the changeset of {} is gone", run.id));
        };
        let calls = at_once(self.log.calls(sync, &run.id)).unwrap_or_default();
        for operation in [Operation::Add, Operation::Update, Operation::Remove] {
            if replaces(&calls) && operation == Operation::Remove {
                // Who leaves does so by the replacement.
                continue;
            }
            let planned = rows.iter().filter(|r| r.operation == operation).count().div_ceil(BATCH);
            let made = calls.iter().filter(|c| c.operation == operation).count();
            self.require(planned == made, || format!("DL-5 {made} calls to {operation} where {planned} are enough"));
        }
        if let Err(problem) = self.check_plan(&head, &run, &rows, replaces(&calls)) {
            self.violated(problem);
        }
    }

    fn check_plan(&self, head: &Head, run: &Run, rows: &[PlannedRow], replaces: bool) -> Result<(), String> {
        let sync = &head.sync;
        let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), head);
        let unreadable = |e: driftless_state::Error| format!("DL-3 the plan's state cannot be read: {e}");
        // Everything, merged: what the aggregated plan must agree with (DL-10).
        let deltas = at_once(state.deltas()).map_err(unreadable)?;
        let mut a = at_once(state.all_rows(&deltas)).map_err(unreadable)?;
        let d = at_once(state.whole_d()).map_err(unreadable)?;
        if !state.made_under(&head.config.fingerprint) {
            driftless_changeset::forget_fingerprints(a.values_mut());
        }
        let limit = self.lock().attempt_limit;
        let rejects = at_once(self.log.rejects(sync)).unwrap_or_default();
        let quarantined: BTreeSet<(KeyHash, AttrHash)> =
            rejects.iter().filter(|r| r.attempts >= limit).map(|r| (r.key_hash, r.attr_hash)).collect();
        let carried: BTreeSet<&Identifier> = d
            .iter()
            .filter_map(|(k, (_, s))| s.as_ref().filter(|s| !quarantined.contains(&(*k, s.attr_hash))))
            .flat_map(|s| &s.identifiers)
            .collect();
        let (mut holding, mut lately, mut approved) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for hold in head.holds.values() {
            let keys = at_once(driftless_history::read_holds(self.objects.as_ref(), &hold.object))
                .map_err(|e| format!("DL-8 a hold is gone: {e}"))?;
            if hold.approved_at.is_some() {
                approved.extend(keys);
            } else {
                holding.extend(keys);
            }
        }
        let approvals = self.with(sync, |f| f.approvals.clone());
        for (_, keys) in approvals.into_iter().filter(|(at, _)| run.planned_at.0 - at.0 < FUNCTION_MS) {
            // While the plan was made: it may have seen the hold as it was before.
            lately.extend(keys.iter().copied());
            approved.extend(keys);
        }
        let before: BTreeSet<KeyHash> = holding.union(&lately).copied().collect();
        let expected = [&holding, &before].map(|held| size(&d, &a, &quarantined, &carried, held));
        let planned = (
            rows.iter().filter(|r| r.operation.sends()).count(),
            rows.iter().filter(|r| r.operation == Operation::Remove).count(),
        );
        let members = d.values().filter(|(_, state)| state.is_some()).count();
        let whole = |(_, removals): (usize, usize)| (members, removals);
        let expected = if replaces { expected.map(whole) } else { expected };
        if let Some(rest) = run.rest {
            // A part of what is to be sent, and all that is to be removed.
            let (sends, removals) = planned;
            let waiting = usize::try_from(rest).unwrap_or(usize::MAX);
            let is_part =
                |(all, leave): &(usize, usize)| *leave == removals && sends <= *all && *all <= sends + waiting;
            if !expected.iter().any(is_part) {
                return Err(format!(
                    "DL-5 {} plans {planned:?} and leaves {rest}, |diff(D, A)| is {expected:?}",
                    run.id
                ));
            }
        } else if !expected.contains(&planned) {
            return Err(format!("DL-5 {} plans {planned:?}, |diff(D, A)| is {expected:?}", run.id));
        }
        let mut leaving = BTreeSet::new();
        for r in rows.iter().filter(|r| r.operation == Operation::Remove) {
            if r.identifiers.iter().any(|i| carried.contains(i)) {
                return Err(format!("DL-4 {} is carried by a record that remains", shown(&r.identifiers)));
            }
            if d.get(&r.key_hash).is_none_or(|(_, s)| s.is_none()) {
                leaving.insert(r.key_hash);
            }
        }
        if !leaving.is_disjoint(&holding) {
            return Err("DL-8 a held removal is planned".to_owned());
        }
        let unapproved = leaving.iter().filter(|k| !approved.contains(k)).count() as u64;
        let max = self.lock().max_removals;
        if unapproved > max {
            return Err(format!("DL-8 a run removes {unapproved}, {max} allowed"));
        }
        Ok(())
    }
}

fn hashes(selection: &Selection) -> BTreeMap<KeyHash, AttrHash> {
    selection.iter().map(|(k, w)| (*k, w.attr_hash)).collect()
}

fn shown_one(i: &Identifier) -> String {
    format!("{}={:.12}", i.field, i.value)
}

/// Test data may be shown.
pub(crate) fn shown(identifiers: &IdentifierSet) -> String {
    identifiers.iter().map(shown_one).collect::<Vec<_>>().join("+")
}

fn replaces(calls: &[Call]) -> bool {
    calls.iter().any(|call| call.session.is_some() || call.operation == Operation::Clear)
}
