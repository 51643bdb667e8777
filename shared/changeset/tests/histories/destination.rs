//! The list as it really is, and what really happened to it.

use std::collections::{BTreeMap, BTreeSet};

use driftless_changeset::PlannedRow;
use driftless_model::{AttrHash, Identifier, KeyHash, Operation, Outcome};

/// A list that matches by identifier, with the history that the invariants are checked against.
#[derive(Debug, Default)]
pub(crate) struct Destination {
    /// Members: what each identifier carries, by fingerprint and payload.
    pub(crate) members: BTreeMap<Identifier, (AttrHash, String)>,
    /// Identifiers that it refuses for now.
    pub(crate) refuses: BTreeSet<Identifier>,
    /// Everything that may have reached it, by record.
    pub(crate) sent: BTreeMap<KeyHash, BTreeSet<Identifier>>,
    /// Everything that it said yes to, by record.
    pub(crate) acknowledged: BTreeSet<(KeyHash, AttrHash)>,
    /// Rows that arrived.
    pub(crate) writes: u64,
}

impl Destination {
    /// Applies a row; the caller decides whether anybody hears of it.
    pub(crate) fn apply(&mut self, row: &PlannedRow) -> Outcome {
        self.writes += 1;
        match (row.operation, row.attr_hash) {
            (Operation::Remove, _) => {
                let sent = self.sent.get(&row.key_hash);
                for i in &row.identifiers {
                    assert!(sent.is_some_and(|s| s.contains(i)), "DL-4: {i:?} was never sent for this record");
                    self.members.remove(i);
                }
                Outcome::Delivered
            }
            (_, Some(hash)) => {
                if row.identifiers.iter().any(|i| self.refuses.contains(i)) {
                    return Outcome::Rejected { reason: "refused".into() };
                }
                self.may_have(row);
                for i in &row.identifiers {
                    self.members.insert(i.clone(), (hash, row.fields.clone().unwrap_or_default()));
                }
                Outcome::Delivered
            }
            (_, None) => unreachable!("sends carry a fingerprint"),
        }
    }

    /// A send is on its way.
    pub(crate) fn may_have(&mut self, row: &PlannedRow) {
        self.sent.entry(row.key_hash).or_default().extend(row.identifiers.iter().cloned());
    }

    /// Somebody heard the answer.
    pub(crate) fn heard(&mut self, row: &PlannedRow, outcome: &Outcome) {
        if let (Outcome::Delivered, Some(hash)) = (outcome, row.attr_hash) {
            self.acknowledged.insert((row.key_hash, hash));
        }
    }
}
