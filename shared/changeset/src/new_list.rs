use std::collections::BTreeMap;

use driftless_model::{AckRow, KeyHash, Outcome};

use crate::settle::{CallReport, Settlement, settle};

/// What A is once a new list takes the place of the old one: exactly what was acknowledged of the new one, where nobody was
/// before. `a` has every row of A, of which only the time since when a record is a member lives on.
///
/// The run names every member of A, to be sent again or to leave (docs/adr/0022), so whoever was not delivered is in no list.
/// Pure and repeatable.
#[must_use]
pub fn settle_new_list(a: &BTreeMap<KeyHash, AckRow>, calls: &[CallReport<'_>]) -> Settlement {
    // Transfers settle by themselves: nobody has an old identifier in a new list.
    let mut out = settle(&BTreeMap::new(), calls, &[]);
    let known = calls.iter().flat_map(|call| call.rows).filter_map(|row| Some((row.key_hash, row.remote_id.as_ref()?)));
    for (k, id) in known {
        if let Some(row) = out.changed.get_mut(&k).and_then(Option::as_mut) {
            row.remote_id.get_or_insert_with(|| id.clone());
        }
    }
    for (k, before) in a {
        let row = out.changed.entry(*k).or_default();
        if let Some(row) = row {
            row.added_at = before.added_at.or(row.added_at);
        }
    }
    out
}

/// How many members of A are not in the new list although they are selected: the destination refused them.
#[must_use]
pub fn dropped_by_new_list(a: &BTreeMap<KeyHash, AckRow>, calls: &[CallReport<'_>]) -> u64 {
    let rows = calls.iter().flat_map(|call| call.rows.iter().zip(0u32..).map(move |(row, number)| (call, row, number)));
    let refused = rows.filter(|(call, row, number)| {
        let outcome = call.outcomes.get(number).map(|told| &told.outcome);
        row.attr_hash.is_some() && matches!(outcome, Some(Outcome::Rejected { .. })) && a.contains_key(&row.key_hash)
    });
    refused.count() as u64
}

#[cfg(test)]
mod tests {
    use driftless_model::{AttrHash, Identifier, IdentifierSet, Millis, Operation, RecordKey, RowOutcome};

    use super::*;
    use crate::PlannedRow;

    fn email(value: &str) -> IdentifierSet {
        IdentifierSet::from([Identifier::new("email", value)])
    }

    fn member(k: u128) -> AckRow {
        AckRow {
            identifiers: email(&format!("old{k}")),
            remote_id: Some(format!("u{k}")),
            added_at: Some(Millis(1)),
            ..AckRow::unacknowledged(KeyHash(k), RecordKey::new(format!("k{k}")))
        }
    }

    fn row(k: u128, operation: Operation) -> PlannedRow {
        PlannedRow {
            operation,
            key_hash: KeyHash(k),
            key: RecordKey::new(format!("k{k}")),
            attr_hash: operation.sends().then_some(AttrHash(5)),
            identifiers: email(&format!("new{k}")),
            remote_id: (k == 1).then(|| "u1".to_owned()),
            fields: None,
        }
    }

    #[test]
    fn a_new_list_has_what_was_acknowledged_of_it_and_nothing_else() {
        let rejected: RowOutcome = Outcome::Rejected { reason: "bad".into() }.into();
        let delivered = RowOutcome { outcome: Outcome::Delivered, remote_id: Some("m4".into()) };
        // Who left, a member, one who is refused, one who enters, and one who is erased. The sixth passes on what it has.
        let leaves = [row(0, Operation::Remove)];
        let sends: Vec<PlannedRow> = (1..=4).map(|k| row(k, Operation::Add)).collect();
        let a: BTreeMap<KeyHash, AckRow> = [0, 1, 2, 6].map(|k| (KeyHash(k), member(k))).into();
        let outcomes = [(0, Outcome::Delivered.into()), (1, rejected), (2, Outcome::Suppressed.into()), (3, delivered)];
        let report = |rows, outcomes| CallReport { rows, outcomes, maybe: false, replaced: false, at: Millis(9) };
        let calls = [report(&sends[..], outcomes.into()), report(&leaves[..], [(0, Outcome::Delivered.into())].into())];
        let settled = settle_new_list(&a, &calls);
        let row = |k| settled.changed[&KeyHash(k)].as_ref();
        let stays = row(1).expect("delivered");
        assert_eq!(
            (&stays.identifiers, stays.added_at, stays.last_sent_at),
            (&email("new1"), Some(Millis(1)), Some(Millis(9)))
        );
        assert_eq!(stays.remote_id.as_deref(), Some("u1"));
        assert_eq!(row(4).and_then(|r| r.remote_id.as_deref()), Some("m4"));
        for gone in [0, 2, 6] {
            assert_eq!(row(gone), None, "{gone} is not in the new list");
        }
        assert!(!settled.changed.contains_key(&KeyHash(3)));
        assert_eq!((settled.delivered, settled.undelivered, settled.rejected.len()), (3, 2, 1));
        assert_eq!(dropped_by_new_list(&a, &calls), 1, "of the members one was refused");
    }
}
