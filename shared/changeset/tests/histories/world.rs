//! One sync in the small: D and A as the functions compose them, without stores.

use std::collections::{BTreeMap, BTreeSet};

use driftless_changeset::{
    BatchLimit, CallReport, Mode, Net, NetInput, PlannedRow, Rule, States, Transfer, aggregate, differing, differs,
    forget_fingerprints, keeps, merge_diff, net_changes, outlives_bulk, pack, residue, settle,
};
use driftless_model::{
    AckRow, AttrHash, Identifier, IdentifierSet, KeyHash, Millis, Operation, Outcome, RecordKey, RecordState,
    RowOutcome,
};

use crate::destination::Destination;

pub(crate) type Records = BTreeMap<KeyHash, RecordState>;
type Delta = BTreeMap<KeyHash, Option<AckRow>>;

/// Removals of one snapshot beyond this are held.
const MOST_REMOVALS: usize = 2;
/// Rejections after which a state is quarantined.
const ATTEMPTS: u32 = 2;
/// Records a request may carry.
const BATCH: u32 = 2;

/// How an attempt at a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    /// Applied, but nobody heard.
    AnswerLost,
    /// Not applied, and nobody knows.
    NeverArrived,
    /// Known not to be applied.
    Refused,
    /// The first row is answered, the rest is for another attempt.
    HalfWay,
    /// The worker died with the claim, before sending.
    DiedBefore,
    /// The worker died with the claim, after sending.
    DiedAfter,
}

#[derive(Debug)]
struct Call {
    rows: Vec<PlannedRow>,
    phase: u8,
    outcomes: BTreeMap<u32, RowOutcome>,
    settled: bool,
    maybe: bool,
}

#[derive(Debug)]
struct Run {
    through: u64,
    epoch: u64,
    calls: Vec<Call>,
    transfers: Vec<Transfer>,
}

/// A log version, as items or as a file.
#[derive(Clone, Debug)]
enum Version {
    Items(States),
    Bulk(Records),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// More changes than this, together with those that are logged, are a bulk version.
    bulk: Option<usize>,
    pub(crate) destination: Destination,
    /// The newest snapshot as it was uploaded.
    uploaded: Records,
    /// Of it, what the list should hold.
    truth: Records,
    erased: BTreeSet<KeyHash>,
    epoch: u64,
    base: BTreeMap<KeyHash, AckRow>,
    base_epoch: u64,
    deltas: Vec<(u64, Delta)>,
    residue: States,
    versions: BTreeMap<u64, Version>,
    version: u64,
    /// The truth as of each version.
    truths: BTreeMap<u64, Records>,
    /// With the version that was held, and whether it was approved.
    holds: Vec<(u64, BTreeSet<KeyHash>, bool)>,
    rejects: BTreeMap<(KeyHash, AttrHash), u32>,
    run: Option<Run>,
    pub(crate) runs: usize,
}

fn key(k: KeyHash) -> RecordKey {
    RecordKey::new(format!("k{}", k.0))
}

impl World {
    pub(crate) fn with_bulk(bulk: Option<usize>) -> Self {
        Self { bulk, ..Self::default() }
    }

    // ---- D and A

    /// The newest bulk version of those up to `through`.
    fn newest_bulk(&self, through: u64) -> Option<(u64, &Records)> {
        self.versions.range(..=through).rev().find_map(|(n, v)| match v {
            Version::Bulk(file) => Some((*n, file)),
            Version::Items(_) => None,
        })
    }

    /// What is said of single records after the newest bulk version, or after the history.
    fn touched(&self, through: u64) -> States {
        let bulk = self.newest_bulk(through);
        let after = bulk.map_or(0, |(n, _)| n + 1);
        let items = self.versions.range(after..=through.max(after)).filter_map(|(n, v)| match v {
            Version::Items(states) if *n <= through => Some(states.clone()),
            _ => None,
        });
        let residue = if bulk.is_some() { States::new() } else { self.residue.clone() };
        aggregate([residue].into_iter().chain(items))
    }

    /// The states that a plan looks at: those of records that may differ.
    fn materialised(&self, deltas: &Delta) -> States {
        let mut states = self.touched(self.version);
        let Some((_, file)) = self.newest_bulk(self.version) else {
            self.complete(&mut states, deltas.keys().copied());
            return states;
        };
        let d = self.all_of_d(self.version);
        let hashes = d.iter().filter_map(|(k, (_, s))| s.as_ref().map(|s| (*k, s.attr_hash)));
        let a = self.all_of_a(deltas, self.base_epoch);
        let a = a.iter().map(|(k, r)| (*k, r.acknowledged.as_ref().map(|x| x.attr_hash)));
        let differ = differing(hashes, a, self.epoch == self.base_epoch);
        for k in differ.into_iter().chain(self.residue.keys().copied()).chain(deltas.keys().copied()) {
            states.entry(k).or_insert_with(|| (key(k), file.get(&k).cloned()));
        }
        states
    }

    fn deltas(&self) -> Delta {
        self.deltas.iter().flat_map(|(_, d)| d.clone()).collect()
    }

    /// D's states of records that only the deltas touch.
    fn complete(&self, states: &mut States, keys: impl Iterator<Item = KeyHash>) {
        for k in keys {
            if let (false, Some(row)) = (states.contains_key(&k), self.base.get(&k)) {
                states.insert(k, (row.key.clone(), acknowledged_state(row)));
            }
        }
    }

    fn all_of_a(&self, deltas: &Delta, epoch: u64) -> BTreeMap<KeyHash, AckRow> {
        let mut a = self.base.clone();
        for (k, row) in deltas {
            match row {
                Some(row) => drop(a.insert(*k, row.clone())),
                None => drop(a.remove(k)),
            }
        }
        if epoch != self.base_epoch {
            forget_fingerprints(a.values_mut());
        }
        a
    }

    /// Every record's part of D as of a version, and that those of A have none.
    fn all_of_d(&self, through: u64) -> States {
        let touched = self.touched(through);
        let mut d: States = self.base.iter().map(|(k, r)| (*k, (r.key.clone(), acknowledged_state(r)))).collect();
        if let Some((_, file)) = self.newest_bulk(through) {
            d.values_mut().for_each(|(_, state)| *state = None);
            d.extend(file.iter().map(|(k, s)| (*k, (key(*k), Some(s.clone())))));
        } else {
            for (k, row) in &self.base {
                let known = row.acknowledged.is_some() || touched.contains_key(k);
                assert!(known, "DL-3: an uncertain record has no state");
            }
        }
        d.extend(touched);
        d
    }

    fn quarantined(&self) -> BTreeSet<(KeyHash, AttrHash)> {
        self.rejects.iter().filter(|(_, n)| **n >= ATTEMPTS).map(|(k, _)| *k).collect()
    }

    fn held(&self) -> BTreeSet<KeyHash> {
        let bulk = self.newest_bulk(self.version).map(|(n, _)| n);
        let holding = self.holds.iter().filter(|(version, _, approved)| !approved && outlives_bulk(*version, bulk));
        holding.flat_map(|(_, keys, _)| keys.iter().copied()).collect()
    }

    /// The same by other means: nothing but an approval releases anybody.
    fn must_be_held(&self) -> BTreeSet<KeyHash> {
        self.holds.iter().filter(|(_, _, approved)| !approved).flat_map(|(_, keys, _)| keys.iter().copied()).collect()
    }

    /// D, however it is represented, is what the newest snapshot selects.
    fn check_d(&self, after: &str) {
        let d: Records = self.all_of_d(self.version).into_iter().filter_map(|(k, (_, s))| s.map(|s| (k, s))).collect();
        assert_eq!(d, self.truth, "DL-3: D is wrong after {after}");
    }

    // ---- snapshots

    pub(crate) fn upload(&mut self, records: Records) {
        self.uploaded = records;
        self.ingest(true);
    }

    /// A new mapping: the same snapshot is taken up again under a higher epoch.
    pub(crate) fn reconfigure(&mut self) {
        self.epoch += 1;
        self.ingest(false);
    }

    fn ingest(&mut self, comparable: bool) {
        let mut taken = IdentifierSet::new();
        self.truth.clear();
        for (k, s) in self.uploaded.iter().filter(|(k, _)| !self.erased.contains(k)) {
            // The first in key-hash order keeps a shared identifier; a later record that has it too is invalid.
            if s.identifiers.is_disjoint(&taken) {
                taken.extend(s.identifiers.iter().cloned());
                // Every other configuration sends something else under the same fingerprints.
                let attr_hash = AttrHash(s.attr_hash.0 + ((self.epoch / 2) << 32));
                self.truth.insert(*k, RecordState { attr_hash, ..s.clone() });
            }
        }
        let d = self.all_of_d(self.version);
        let before = d.iter().filter_map(|(k, (_, s))| s.as_ref().map(|s| (*k, s.attr_hash)));
        let now = self.truth.iter().map(|(k, s)| (*k, s.attr_hash));
        let changes = merge_diff(before, now, comparable);
        if !changes.is_empty() {
            self.version += 1;
            let sent = changes.adds.iter().chain(&changes.updates);
            let states = sent.map(|(k, _)| (*k, (key(*k), self.truth.get(k).cloned())));
            let gone = changes.removals.iter().map(|k| (*k, (key(*k), None)));
            let items: States = states.chain(gone).collect();
            let logged = self.touched(self.version - 1).len();
            let is_bulk = self.bulk.is_some_and(|most| changes.len() + logged > most);
            let version = if is_bulk { Version::Bulk(self.truth.clone()) } else { Version::Items(items) };
            self.versions.insert(self.version, version);
            self.truths.insert(self.version, self.truth.clone());
            if changes.removals.len() > MOST_REMOVALS {
                self.holds.push((self.version, changes.removals.iter().copied().collect(), false));
            }
        }
        self.check_d("an ingest");
    }

    pub(crate) fn erase(&mut self, k: KeyHash) {
        self.erased.insert(k);
        self.truth.remove(&k);
        self.version += 1;
        self.versions.insert(self.version, Version::Items([(k, (key(k), None))].into()));
        self.truths.insert(self.version, self.truth.clone());
        self.check_d("an erasure");
    }

    /// Merges the item versions after the newest bulk version that no run covers into the last of them; a bulk version takes in what
    /// it flushed.
    pub(crate) fn compact(&mut self) {
        let covered = self.run.iter().map(|r| r.through).chain(self.deltas.iter().map(|(through, _)| *through)).max();
        let covered = covered.filter(|_| keeps(Rule::CompactionBoundary)).unwrap_or(0);
        let bulk = self.newest_bulk(self.version).map(|(n, _)| n);
        if let Some(bulk) = bulk {
            self.versions.retain(|n, _| *n <= covered || *n >= bulk);
        }
        let first = bulk.map_or(covered, |b| b.max(covered)) + 1;
        let chain: Vec<u64> = self.versions.range(first..).map(|(n, _)| *n).collect();
        if let Some(last) = chain.last() {
            let layers = chain.iter().filter_map(|n| match self.versions.remove(n) {
                Some(Version::Items(states)) => Some(states),
                _ => None,
            });
            let merged = aggregate(layers.collect::<Vec<_>>());
            self.versions.insert(*last, Version::Items(merged));
        }
        self.check_d("a compaction");
    }

    pub(crate) fn approve(&mut self) {
        if let Some(hold) = self.holds.iter_mut().find(|(_, _, approved)| !approved) {
            hold.2 = true;
        }
    }

    /// A person lets the destination try everything again.
    pub(crate) fn release(&mut self) {
        self.rejects.clear();
    }

    // ---- plan

    fn net(&self) -> (Net, States, BTreeMap<KeyHash, AckRow>) {
        let deltas = self.deltas();
        let d = self.materialised(&deltas);
        let all = self.all_of_a(&deltas, self.epoch);
        let a = d.keys().filter_map(|k| all.get(k).map(|r| (*k, r.clone()))).collect();
        let (none, empty) = (BTreeSet::new(), BTreeMap::new());
        let (held, quarantined) = (self.held(), self.quarantined());
        let input = |d: &States, a: &BTreeMap<KeyHash, AckRow>| {
            net_changes(&NetInput {
                d,
                a,
                resend: &empty,
                held: &held,
                beyond_horizon: &none,
                quarantined: &quarantined,
                mode: Mode::Mirror,
            })
        };
        let net = input(&d, &a);
        let mut whole = self.all_of_d(self.version);
        for k in all.keys() {
            whole.entry(*k).or_insert_with(|| (key(*k), None));
        }
        assert_eq!(net, input(&whole, &all), "DL-10: aggregated changes are not the merged ones");
        self.check_plan(&net, &whole, &all);
        (net, whole, all)
    }

    /// The changeset is exactly diff(D, A), less what is held, quarantined or passed on; counted by other means.
    fn check_plan(&self, net: &Net, d: &States, a: &BTreeMap<KeyHash, AckRow>) {
        let (held, quarantined) = (self.must_be_held(), self.quarantined());
        let is_quarantined = |k: &KeyHash, s: &RecordState| quarantined.contains(&(*k, s.attr_hash));
        let carried: BTreeSet<&Identifier> = d
            .iter()
            .filter_map(|(k, (_, s))| s.as_ref().filter(|s| !is_quarantined(k, s)))
            .flat_map(|s| &s.identifiers)
            .collect();
        let (mut sends, mut removals) = (0, 0);
        let keys: BTreeSet<&KeyHash> = d.keys().chain(a.keys()).collect();
        for k in keys {
            let state = d.get(k).and_then(|(_, s)| s.as_ref());
            let row = a.get(k);
            if !differs(state, row) || (held.contains(k) && (state.is_none() || row.is_none())) {
                continue;
            }
            let new =
                |s: &&RecordState| row.and_then(|r| r.acknowledged.as_ref()).is_none_or(|x| x.attr_hash != s.attr_hash);
            sends += usize::from(state.filter(new).is_some_and(|s| !is_quarantined(k, s)));
            let kept = |i: &&Identifier| !carried.contains(i) && !state.is_some_and(|s| s.identifiers.contains(i));
            let old: Vec<&Identifier> = row.iter().flat_map(|r| &r.identifiers).filter(kept).collect();
            // One removal for as many identifiers as a person has at once: one a field.
            let per_field = |f: &str| old.iter().filter(|i| i.field == f).count();
            removals += old.iter().map(|i| per_field(&i.field)).max().unwrap_or(0);
        }
        assert_eq!((net.sends.len(), net.removals.len()), (sends, removals), "DL-5: planned is not |diff(D, A)|");
        for r in &net.removals {
            let leaves = d.get(&r.key_hash).is_none_or(|(_, s)| s.is_none());
            assert!(!(leaves && held.contains(&r.key_hash)), "DL-8: a held removal is planned");
            assert!(r.identifiers.iter().all(|i| !carried.contains(i)), "DL-4: a remaining record carries it");
            let row = a.get(&r.key_hash).map(|r| &r.identifiers);
            assert!(
                row.is_some_and(|known| r.identifiers.is_subset(known)),
                "DL-4: not acknowledged nor possibly sent"
            );
        }
    }

    pub(crate) fn plan(&mut self) {
        if self.run.is_some() {
            return;
        }
        let (net, ..) = self.net();
        if net.is_empty() {
            return;
        }
        self.run = Some(Run {
            through: self.version,
            epoch: self.epoch,
            calls: calls(&net, &self.epoch.to_string()),
            transfers: net.transfers,
        });
        self.runs += 1;
    }

    // ---- deliver

    pub(crate) fn attempt(&mut self, pick: usize, fate: Fate) {
        let Some(run) = &mut self.run else { return };
        let phase = run.calls.iter().filter(|c| !c.settled).map(|c| c.phase).min();
        let open: Vec<&mut Call> = run.calls.iter_mut().filter(|c| !c.settled && Some(c.phase) == phase).collect();
        let count = open.len().max(1);
        let Some(call) = open.into_iter().nth(pick % count) else { return };
        let mut first = true;
        for (number, row) in (0u32..).zip(&call.rows) {
            if call.outcomes.contains_key(&number) {
                continue;
            }
            // Nobody can tell a worker that died before sending from one that died after it.
            if row.operation.sends() {
                self.destination.may_have(row);
            }
            if row.operation.sends() && self.erased.contains(&row.key_hash) {
                if fate == Fate::Answered {
                    call.outcomes.insert(number, Outcome::Suppressed.into());
                }
                continue;
            }
            match fate {
                Fate::Answered | Fate::HalfWay if fate == Fate::Answered || first => {
                    let outcome = self.destination.apply(row);
                    self.destination.heard(row, &outcome);
                    call.outcomes.insert(number, outcome.into());
                }
                Fate::AnswerLost | Fate::DiedAfter => drop(self.destination.apply(row)),
                _ => {}
            }
            first = false;
        }
        call.settled |= fate == Fate::Answered;
        call.maybe |= matches!(fate, Fate::AnswerLost | Fate::NeverArrived | Fate::DiedBefore | Fate::DiedAfter);
    }

    // ---- commit

    /// Commits the run as far as it got, with or without a fold.
    pub(crate) fn commit(&mut self, lazily: bool) {
        let Some(run) = self.run.take() else { return };
        let deltas = self.deltas();
        let all = self.all_of_a(&deltas, run.epoch);
        let named = run.calls.iter().flat_map(|c| c.rows.iter().map(|r| r.key_hash));
        let named = named.chain(run.transfers.iter().flat_map(|t| [t.from, t.owner]));
        let a: BTreeMap<KeyHash, AckRow> = named.filter_map(|k| all.get(&k).map(|r| (k, r.clone()))).collect();
        let report = |c: &Call| CallReportOwned { rows: c.rows.clone(), outcomes: c.outcomes.clone(), maybe: c.maybe };
        let owned: Vec<CallReportOwned> = run.calls.iter().map(report).collect();
        let reports: Vec<CallReport<'_>> = owned.iter().map(CallReportOwned::lend).collect();
        let settlement = settle(&a, &reports, &run.transfers);
        assert_eq!(settlement, settle(&a, &reports, &run.transfers), "DL-6: settling twice says two things");
        for r in &settlement.rejected {
            *self.rejects.entry((r.key_hash, r.attr_hash)).or_default() += 1;
        }
        for (k, row) in &settlement.changed {
            if let Some(ack) = row.as_ref().and_then(|r| r.acknowledged.as_ref()) {
                let said = self.destination.acknowledged.contains(&(*k, ack.attr_hash));
                assert!(said, "DL-2: committed but never acknowledged");
            }
        }
        let fold = !lazily || run.epoch != self.base_epoch;
        if fold {
            self.fold(&run, deltas, settlement.changed);
        } else {
            self.deltas.push((run.through, settlement.changed));
        }
        self.check_d("a commit");
        let a = self.all_of_a(&self.deltas(), self.base_epoch);
        let known: IdentifierSet = a.values().flat_map(|r| r.identifiers.iter().cloned()).collect();
        let lost: Vec<_> = self.destination.members.keys().filter(|i| !known.contains(i)).collect();
        assert!(lost.is_empty(), "DL-2: nobody remembers {} members of the list", lost.len());
    }

    fn fold(&mut self, run: &Run, mut deltas: Delta, changed: Delta) {
        let through = self.deltas.iter().map(|(t, _)| *t).chain([run.through]).max().unwrap_or(run.through);
        let mut states = self.touched(through);
        // Acknowledged under another configuration: only what this run settled keeps its fingerprint.
        let mut base = self.base.clone();
        if run.epoch != self.base_epoch {
            forget_fingerprints(base.values_mut().chain(deltas.values_mut().flatten()));
        }
        deltas.extend(changed);
        if self.newest_bulk(through).is_some() {
            // Two streams beside each other: everything is looked at.
            states = self.all_of_d(through);
            for k in deltas.keys() {
                states.entry(*k).or_insert_with(|| (key(*k), None));
            }
        } else {
            self.complete(&mut states, deltas.keys().copied());
        }
        let mut after = base;
        for (k, row) in deltas {
            match row {
                Some(row) => drop(after.insert(k, row)),
                None => drop(after.remove(&k)),
            }
        }
        self.residue = residue(&states, &after);
        self.base = after;
        self.base_epoch = run.epoch;
        self.deltas.clear();
        self.versions = self.versions.split_off(&(through + 1));
        // Rule 10: the residue is diff(D at `through`, A after the fold).
        let d = self.all_of_d(through).into_iter().filter_map(|(k, (_, s))| s.map(|s| (k, s)));
        let truth = self.truths.get(&through).cloned().unwrap_or_default();
        assert_eq!(d.collect::<Records>(), truth, "DL-3: history and residue are not D at {through}");
        self.truths = self.truths.split_off(&through);
    }

    // ---- the end

    /// No more faults: everything is approved, planned, delivered and committed until nothing is left to do.
    pub(crate) fn quiesce(&mut self) {
        self.destination.refuses.clear();
        self.release();
        for round in 0.. {
            assert!(round < 12, "DL-1: never quiet");
            while self.holds.iter().any(|(_, _, approved)| !approved) {
                self.approve();
            }
            self.plan();
            let Some(run) = &self.run else { break };
            for _ in 0..run.calls.len() {
                self.attempt(0, Fate::Answered);
            }
            self.commit(round % 2 == 0);
        }
        let payload = self.epoch.to_string();
        let sent = |s: &RecordState| (s.attr_hash, payload.clone());
        let wanted: BTreeMap<Identifier, (AttrHash, String)> =
            self.truth.values().flat_map(|s| s.identifiers.iter().map(move |i| (i.clone(), sent(s)))).collect();
        assert_eq!(self.destination.members, wanted, "DL-1: the list is not the selection");
        assert!(self.net().0.is_empty(), "DL-6: planning again finds something to send");
    }
}

struct CallReportOwned {
    rows: Vec<PlannedRow>,
    outcomes: BTreeMap<u32, RowOutcome>,
    maybe: bool,
}

impl CallReportOwned {
    fn lend(&self) -> CallReport<'_> {
        CallReport {
            rows: &self.rows,
            outcomes: self.outcomes.clone(),
            maybe: self.maybe,
            replaced: false,
            at: Millis(7),
        }
    }
}

fn acknowledged_state(row: &AckRow) -> Option<RecordState> {
    row.acknowledged.as_ref().map(|a| RecordState {
        key: row.key.clone(),
        attr_hash: a.attr_hash,
        identifiers: a.identifiers.clone(),
    })
}

/// Removals, then sends; within them, what waits for a removal of the same record last.
fn calls(net: &Net, payload: &str) -> Vec<Call> {
    let removals = net.removals.iter().map(|r| {
        let row = PlannedRow {
            operation: Operation::Remove,
            key_hash: r.key_hash,
            key: r.key.clone(),
            attr_hash: None,
            identifiers: r.identifiers.clone(),
            remote_id: None,
            fields: None,
        };
        (0, row)
    });
    let sends = net.sends.iter().map(|s| {
        let row = PlannedRow {
            operation: s.operation,
            key_hash: s.key_hash,
            key: s.state.key.clone(),
            attr_hash: Some(s.state.attr_hash),
            identifiers: s.state.identifiers.clone(),
            remote_id: None,
            fields: Some(payload.to_owned()),
        };
        (u8::from(s.after_removal), row)
    });
    let mut out = Vec::new();
    for mut rows in [removals.collect::<Vec<_>>(), sends.collect()] {
        rows.sort_by_key(|(phase, _)| *phase);
        let sizes = vec![1; rows.len()];
        for range in pack(&sizes, BatchLimit { records: BATCH, bytes: None }) {
            let part = &rows[range.first..range.first + range.rows as usize];
            out.push(Call {
                rows: part.iter().map(|(_, r)| r.clone()).collect(),
                phase: part.iter().map(|(p, _)| *p).max().unwrap_or(0),
                outcomes: BTreeMap::new(),
                settled: false,
                maybe: false,
            });
        }
    }
    out
}
