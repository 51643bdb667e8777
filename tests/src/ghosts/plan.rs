//! A plan is exactly |diff(D, A)|, and removes nobody that it must not.

use std::collections::{BTreeMap, BTreeSet};

use driftless_changeset::{PlannedRow, States, differs};
use driftless_deltalog::Deltalog;
use driftless_deltalog::head::Head;
use driftless_deltalog::ledger::Run;
use driftless_model::{AckRow, AttrHash, Identifier, KeyHash, Operation};
use driftless_state::SyncState;

use super::{Ghosts, shown};
use crate::at_once;
use crate::invoke::FUNCTION_MS;

impl Ghosts {
    /// Says what is wrong with a plan, if anything is.
    pub(super) fn check_plan(&self, head: &Head, run: &Run, rows: &[PlannedRow], replaces: bool) -> Result<(), String> {
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

/// |diff(D, A)|: records to send, and removals, counted by other means than the product's.
fn size(
    d: &States,
    a: &BTreeMap<KeyHash, AckRow>,
    quarantined: &BTreeSet<(KeyHash, AttrHash)>,
    carried: &BTreeSet<&Identifier>,
    held: &BTreeSet<KeyHash>,
) -> (usize, usize) {
    let (mut sends, mut removals) = (0, 0);
    let keys: BTreeSet<&KeyHash> = d.keys().chain(a.keys()).collect();
    for k in keys {
        let (s, row) = (d.get(k).and_then(|(_, s)| s.as_ref()), a.get(k));
        if !differs(s, row) || (held.contains(k) && (s.is_none() || row.is_none())) {
            continue;
        }
        let known = row.and_then(|r| r.acknowledged.as_ref());
        let new = s.filter(|s| known.is_none_or(|x| x.attr_hash != s.attr_hash || x.identifiers != s.identifiers));
        sends += usize::from(new.is_some_and(|s| !quarantined.contains(&(*k, s.attr_hash))));
        let kept = |i: &&Identifier| !carried.contains(i) && !s.is_some_and(|s| s.identifiers.contains(i));
        let old: Vec<&Identifier> = row.iter().flat_map(|r| &r.identifiers).filter(kept).collect();
        // One removal for as many identifiers as a person has at once: one a field.
        removals += old.iter().map(|i| old.iter().filter(|o| o.field == i.field).count()).max().unwrap_or(0);
    }
    (sends, removals)
}
