//! The guards of one snapshot against D (DL-8): what they hold is left out of every run until a person approves it; the rest
//! flows, and a good snapshot heals it.

use std::collections::BTreeSet;

use driftless_changeset::Changes;
use driftless_config::{Guards, Share};
use driftless_model::KeyHash;
use driftless_snapshot::Report;

/// What a snapshot's guards hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The records: those that would leave, and those that would enter if `max_adds` is exceeded.
    pub keys: BTreeSet<KeyHash>,
    /// Every guard that holds, with its figures.
    pub reason: String,
}

/// Checks a snapshot's changes of a list that has `members` records. `None`: everything flows.
#[must_use]
pub fn held(guards: &Guards, members: u64, changes: &Changes, report: &Report) -> Option<Held> {
    let removals = too_much_removed(guards, members, changes, report);
    let mut keys: BTreeSet<KeyHash> =
        if removals.is_empty() { BTreeSet::new() } else { changes.removals.iter().copied().collect() };
    let mut reasons = removals;
    let entering = changes.adds.len() as u64;
    if let Some(allowed) = guards.max_adds.map(|most| most.of(members)).filter(|allowed| entering > *allowed) {
        reasons.push(format!("{entering} would be added, {allowed} allowed (max_adds)"));
        keys.extend(changes.adds.iter().map(|(k, _)| *k));
    }
    (!reasons.is_empty()).then(|| Held { keys, reason: reasons.join("; ") })
}

/// Why nobody is removed: every guard of removals that the snapshot trips. Without removals there is nothing to hold.
fn too_much_removed(guards: &Guards, members: u64, changes: &Changes, report: &Report) -> Vec<String> {
    let mut reasons = Vec::new();
    let leaving = changes.removals.len() as u64;
    if leaving == 0 {
        return reasons;
    }
    let staying = members.saturating_sub(leaving) + changes.adds.len() as u64;
    let allowed = guards.max_removals.of(members);
    if staying == 0 && !guards.allow_empty {
        reasons.push(format!("the snapshot selects nobody, {leaving} would be removed (allow_empty)"));
    } else if leaving > allowed {
        reasons.push(format!("{leaving} of {members} would be removed, {allowed} allowed (max_removals)"));
    }
    let rows = report.rows_read;
    if let Some(min) = guards.min_rows.filter(|min| rows < *min) {
        reasons.push(format!("the snapshot has {rows} rows, at least {min} expected (min_rows)"));
    }
    let mut share = |what: &str, count: u64, most: Option<Share>, guard: &str| {
        if let Some(most) = most.filter(|most| most.is_exceeded_by(count, rows)) {
            reasons.push(format!("{count} of {rows} rows have {what}, {most} allowed ({guard})"));
        }
    };
    share("a duplicate key", report.duplicate_keys, guards.max_duplicate_keys, "max_duplicate_keys");
    share("no key", report.null_keys, guards.max_null_keys, "max_null_keys");
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use driftless_model::AttrHash;

    fn changes(adds: u128, removals: u128) -> Changes {
        Changes {
            adds: (0..adds).map(|k| (KeyHash(k), AttrHash(0))).collect(),
            updates: Vec::new(),
            removals: (1000..1000 + removals).map(KeyHash).collect(),
        }
    }

    fn report(rows_read: u64) -> Report {
        Report { rows_read, ..Report::default() }
    }

    #[test]
    fn a_hundred_may_always_leave_and_a_tenth_of_a_longer_list() {
        let g = Guards::default();
        assert_eq!(held(&g, 200, &changes(0, 100), &report(100)), None);
        let h = held(&g, 200, &changes(5, 101), &report(104)).expect("held");
        assert_eq!(h.keys.len(), 101, "removals only: additions flow");
        assert_eq!(held(&g, 5000, &changes(0, 500), &report(4500)), None);
        assert!(held(&g, 5000, &changes(0, 501), &report(4499)).is_some());
    }

    #[test]
    fn an_empty_snapshot_removes_nobody_unless_allowed() {
        let h = held(&Guards::default(), 3, &changes(0, 3), &report(0)).expect("held");
        assert!(h.reason.contains("allow_empty"));
        let g = Guards { allow_empty: true, ..Guards::default() };
        assert_eq!(held(&g, 3, &changes(0, 3), &report(0)), None);
    }

    #[test]
    fn few_rows_many_duplicates_and_many_missing_keys_hold_removals() {
        let base = Guards::default();
        let one = Some(Share::percent(1));
        let few = Guards { min_rows: Some(50), ..base.clone() };
        assert!(held(&few, 100, &changes(0, 1), &report(49)).is_some());
        let duplicates = Guards { max_duplicate_keys: one, ..base.clone() };
        let r = Report { duplicate_keys: 2, ..report(100) };
        assert!(held(&duplicates, 100, &changes(0, 1), &r).expect("held").reason.contains("max_duplicate_keys"));
        let nulls = Guards { max_null_keys: one, ..base };
        let r = Report { null_keys: 2, ..report(100) };
        assert!(held(&nulls, 100, &changes(0, 1), &r).is_some());
        assert_eq!(held(&nulls, 100, &changes(1, 0), &r), None, "nobody would be removed");
    }

    #[test]
    fn too_many_adds_are_held_and_removals_within_their_limit_are_not() {
        let g = Guards { max_adds: Some(driftless_config::Limit::Count(2)), ..Guards::default() };
        let h = held(&g, 100, &changes(3, 1), &report(102)).expect("held");
        assert_eq!(h.keys, (0..3).map(KeyHash).collect());
    }
}
