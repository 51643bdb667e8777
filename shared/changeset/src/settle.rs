use std::collections::{BTreeMap, BTreeSet};

use driftless_model::{AckRow, Acknowledged, AttrHash, Identifier, KeyHash, Millis, Outcome, RecordState, RowOutcome};

use crate::aggregate::States;
use crate::row::{PlannedRow, Transfer};
use crate::rules::{Rule, keeps};

/// What the ledger says of one call.
#[derive(Clone, Debug)]
pub struct CallReport<'a> {
    /// The rows of the call.
    pub rows: &'a [PlannedRow],
    /// Outcomes by row number within the call; a row without one was not settled.
    pub outcomes: BTreeMap<u32, RowOutcome>,
    /// The call was claimed at some time without settling: a row without an outcome may have been applied.
    pub maybe: bool,
    /// The run replaces the whole list and has begun: who was in it before and was not delivered now may be there or not.
    pub replaced: bool,
    /// When the destination's answer came.
    pub at: Millis,
}

/// A state that the destination refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The record.
    pub key_hash: KeyHash,
    /// The refused state.
    pub attr_hash: AttrHash,
    /// The destination's code.
    pub reason: String,
}

/// How far a run moved A.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The rows of A that the run changed; `None`: the record is gone from the list.
    pub changed: BTreeMap<KeyHash, Option<AckRow>>,
    /// To be counted towards the attempt limit.
    pub rejected: Vec<Rejected>,
    /// Rows acknowledged.
    pub delivered: u64,
    /// Rows that may have been applied.
    pub unknown: u64,
    /// Rows not sent, or to be tried again.
    pub undelivered: u64,
}

/// Moves A forward by exactly what was delivered (DL-2), and marks what may have been applied.
///
/// `a` has A's rows of every record that the calls and transfers name, as they were when the run was planned (without
/// fingerprints if the run was planned under another configuration). Pure and repeatable: the same ledger gives the same
/// settlement.
///
/// A row whose call was claimed and that has no outcome is *uncertain*: no fingerprint, identifiers kept (protocol rule 3). So
/// is one that was rejected or suppressed after an unsettled attempt (rule 4). Only a delivered removal, or a transfer whose
/// new owner was delivered, takes an identifier out (rules 5 and 6).
#[must_use]
pub fn settle(a: &BTreeMap<KeyHash, AckRow>, calls: &[CallReport<'_>], transfers: &[Transfer]) -> Settlement {
    let mut out = Settlement::default();
    let mut rows: BTreeMap<KeyHash, AckRow> = BTreeMap::new();
    let mut touched: BTreeSet<KeyHash> = BTreeSet::new();
    let mut uncertain: BTreeSet<KeyHash> = BTreeSet::new();
    let mut maybe_sent: BTreeSet<Identifier> = BTreeSet::new();
    let mut acknowledged: BTreeMap<KeyHash, (AttrHash, &PlannedRow)> = BTreeMap::new();
    for report in calls {
        for (number, row) in (0u32..).zip(report.rows) {
            let k = row.key_hash;
            let told = report.outcomes.get(&number);
            let outcome = outcome_of(told.map(|t| &t.outcome), report.maybe);
            count(&mut out, &outcome, row, told);
            let a_row = rows.get(&k).or_else(|| a.get(&k));
            let mut r = a_row.cloned().unwrap_or_else(|| AckRow::unacknowledged(k, row.key.clone()));
            match (&outcome, row.attr_hash) {
                (Outcome::Delivered, Some(attr_hash)) => {
                    if !keeps(Rule::IdentifierSet) {
                        r.identifiers.clear();
                    }
                    r.identifiers.extend(row.identifiers.iter().cloned());
                    r.added_at = r.added_at.or(Some(report.at));
                    r.last_sent_at = Some(report.at);
                    if let Some(id) = told.and_then(|t| t.remote_id.clone()) {
                        r.remote_id = Some(id);
                    }
                    acknowledged.insert(k, (attr_hash, row));
                }
                (Outcome::Delivered, None) => {
                    for i in &row.identifiers {
                        r.identifiers.remove(i);
                    }
                    if names_acknowledged(&r, row) {
                        r.acknowledged = None;
                        r.remote_id = None;
                    }
                }
                (Outcome::Unknown, Some(_)) => {
                    r.identifiers.extend(row.identifiers.iter().cloned());
                    maybe_sent.extend(row.identifiers.iter().cloned());
                    uncertain.insert(k);
                }
                (Outcome::Unknown, None) if names_acknowledged(&r, row) => {
                    uncertain.insert(k);
                }
                _ if report.replaced && a.contains_key(&k) => {
                    uncertain.insert(k);
                }
                _ => continue,
            }
            touched.insert(k);
            rows.insert(k, r);
        }
    }
    for (k, (attr_hash, row)) in acknowledged {
        if let Some(r) = rows.get_mut(&k) {
            r.acknowledged = Some(Acknowledged { attr_hash, identifiers: row.identifiers.clone() });
        }
    }
    for t in transfers {
        pass_on(a, &mut rows, &mut touched, &uncertain, &maybe_sent, t);
    }
    for k in &uncertain {
        if let Some(r) = rows.get_mut(k) {
            r.acknowledged = None;
        }
    }
    for k in touched {
        if let Some(r) = rows.remove(&k) {
            let gone = r.identifiers.is_empty();
            if gone && !a.contains_key(&k) {
                continue;
            }
            out.changed.insert(k, (!gone).then_some(r));
        }
    }
    out.changed.retain(|k, r| r.as_ref() != a.get(k) || (r.is_none() && a.contains_key(k)));
    out
}

fn outcome_of(told: Option<&Outcome>, maybe: bool) -> Outcome {
    match told {
        None | Some(Outcome::Retry) if maybe && keeps(Rule::Uncertain) => Outcome::Unknown,
        Some(Outcome::Unknown) if !keeps(Rule::Uncertain) => Outcome::Retry,
        None => Outcome::Retry,
        Some(Outcome::Rejected { .. } | Outcome::Suppressed) if maybe && keeps(Rule::RejectionAfterUnsettled) => {
            Outcome::Unknown
        }
        Some(o) => o.clone(),
    }
}

fn count(out: &mut Settlement, outcome: &Outcome, row: &PlannedRow, told: Option<&RowOutcome>) {
    match outcome {
        Outcome::Delivered => out.delivered += 1,
        Outcome::Unknown => out.unknown += 1,
        Outcome::Rejected { .. } | Outcome::Suppressed | Outcome::Retry => out.undelivered += 1,
    }
    // A refusal counts towards the attempt limit even where it leaves the row uncertain.
    if let (Some(Outcome::Rejected { reason }), Some(attr_hash)) = (told.map(|t| &t.outcome), row.attr_hash) {
        out.rejected.push(Rejected { key_hash: row.key_hash, attr_hash, reason: reason.clone() });
    }
}

/// The removal takes part of what the acknowledged fingerprint stands for.
fn names_acknowledged(r: &AckRow, removal: &PlannedRow) -> bool {
    r.acknowledged.as_ref().is_some_and(|a| a.identifiers.iter().any(|i| removal.identifiers.contains(i)))
}

fn pass_on(
    a: &BTreeMap<KeyHash, AckRow>,
    rows: &mut BTreeMap<KeyHash, AckRow>,
    touched: &mut BTreeSet<KeyHash>,
    uncertain: &BTreeSet<KeyHash>,
    maybe_sent: &BTreeSet<Identifier>,
    t: &Transfer,
) {
    let owner = rows.get(&t.owner).or_else(|| a.get(&t.owner));
    let delivered = !uncertain.contains(&t.owner)
        && owner.and_then(|o| o.acknowledged.as_ref()).is_some_and(|o| o.identifiers.contains(&t.identifier));
    let Some(mut r) = rows.get(&t.from).or_else(|| a.get(&t.from)).cloned() else { return };
    let mine = r.acknowledged.as_ref().is_some_and(|x| x.identifiers.contains(&t.identifier));
    if delivered {
        r.identifiers.remove(&t.identifier);
        if mine {
            r.acknowledged = None;
        }
        if r.acknowledged.is_none() {
            // The id may be that of the member who has the identifier: the new owner's.
            r.remote_id = None;
        }
    } else if mine && maybe_sent.contains(&t.identifier) {
        // The new owner's values may be there already: ours are no longer known to be.
        r.acknowledged = None;
    } else {
        return;
    }
    touched.insert(t.from);
    rows.insert(t.from, r);
}

/// D's state and A's row of one record differ; an uncertain row differs from every D, absence included.
#[must_use]
pub fn differs(d: Option<&RecordState>, a: Option<&AckRow>) -> bool {
    match (d, a) {
        (None, None) => false,
        (Some(d), Some(a)) => !a.in_sync_with(d),
        _ => true,
    }
}

/// D's state and A's row after a fold still differ: the record is kept as residue (protocol rule 10).
#[must_use]
pub fn remains(d: Option<&RecordState>, a: Option<&AckRow>) -> bool {
    keeps(Rule::Residue) && differs(d, a)
}

/// What remains different after a fold: `diff(D at through, A after)`, rejected, held, quarantined, suppressed and uncertain
/// records included (protocol rule 10). `d` has the states of all touched records, `a` A's rows of them after the fold.
#[must_use]
pub fn residue(d: &States, a: &BTreeMap<KeyHash, AckRow>) -> States {
    d.iter()
        .filter(|(k, (_, state))| remains(state.as_ref(), a.get(k)))
        .map(|(k, (key, state))| (*k, (key.clone(), state.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use driftless_model::{Identifier, IdentifierSet, RecordKey};

    use super::*;

    #[test]
    fn who_passes_an_identifier_on_keeps_no_id_of_the_member_who_has_it() {
        let email = |value: &str| IdentifierSet::from([Identifier::new("email", value)]);
        let (from, owner) = (KeyHash(1), KeyHash(2));
        // Uncertain since an earlier run, and known under the id of the member with the old address.
        let row = AckRow::unacknowledged(from, RecordKey::new("k1"));
        let row = AckRow { identifiers: email("old"), remote_id: Some("u7".to_owned()), ..row };
        let sent = |key_hash, value| PlannedRow {
            operation: driftless_model::Operation::Add,
            key_hash,
            key: RecordKey::new("k"),
            attr_hash: Some(AttrHash(5)),
            identifiers: email(value),
            remote_id: None,
            fields: None,
        };
        let rows = [sent(from, "new"), sent(owner, "old")];
        let outcomes = [(0, Outcome::Unknown.into()), (1, Outcome::Delivered.into())].into();
        let report = CallReport { rows: &rows, outcomes, maybe: false, replaced: false, at: Millis(1) };
        let transfer = Transfer { from, identifier: Identifier::new("email", "old"), owner };
        let settled = settle(&BTreeMap::from([(from, row)]), &[report], &[transfer]);
        let row = settled.changed[&from].as_ref().expect("it may be there");
        assert_eq!((&row.identifiers, &row.remote_id), (&email("new"), &None));
    }
}
