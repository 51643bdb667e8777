//! Which records a run may leave to the next one.
//!
//! A first load, a new mapping or a list that turns over may be more than one run can hold. Then a run takes a part of what
//! differs, and the next one goes on. Not every part will do: who passes an identifier on, and who receives it, must be in the
//! same run, and a guard must see everybody who leaves.
//!
//! A record *can wait* if D has it and A holds nothing for it that D does not give to the same record. A run takes everybody who
//! cannot wait, every owner in D of an identifier that A holds for one of them, and as many of the others as it likes.
//!
//! # Why this is enough
//!
//! [`crate::net_changes`] of such a part is [`crate::net_changes`] of everything, less the sends of those who wait:
//!
//! 1. *Nobody who waits is removed or passes anything on.* What A holds for them is theirs in D.
//! 2. *Nobody who waits is asked for.* An owner is looked up for an identifier that A holds for a record which D does not give
//!    it to; that record cannot wait, and its owners are in the part.
//! 3. *The guard sees all removals,* because who leaves cannot wait: slices of a mass removal do not slip below it (DL-8).
//! 4. *Holds, horizon, quarantine* look at one record and its own state.
//!
//! The same holds for the next run, whatever was delivered of this one: it is derived from D and A as they are then.

use driftless_model::{AckRow, Identifier, RecordState};

/// What A holds for a record and D does not give to it: to be removed, or passed on.
pub fn foreign<'a>(
    state: Option<&'a RecordState>,
    row: Option<&'a AckRow>,
) -> impl Iterator<Item = &'a Identifier> + use<'a> {
    let held = row.into_iter().flat_map(|row| &row.identifiers);
    held.filter(move |identifier| state.is_none_or(|state| !state.identifiers.contains(identifier)))
}

/// Whether a record that differs may be left to a later run.
#[must_use]
pub fn can_wait(state: Option<&RecordState>, row: Option<&AckRow>) -> bool {
    state.is_some() && foreign(state, row).next().is_none()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use driftless_model::{Acknowledged, AttrHash, IdentifierSet, KeyHash, RecordKey};
    use proptest::prelude::*;

    use super::*;
    use crate::{Mode, Net, NetInput, States, net_changes};

    const RECORDS: u128 = 7;

    fn identifiers(values: &BTreeSet<u8>) -> IdentifierSet {
        values.iter().map(|v| Identifier::new(if v % 2 == 0 { "email" } else { "phone" }, v.to_string())).collect()
    }

    fn key(k: u128) -> RecordKey {
        RecordKey::new(format!("k{k}"))
    }

    /// D gives an identifier to one record; A may hold it for several.
    fn lists() -> impl Strategy<Value = (States, BTreeMap<KeyHash, AckRow>)> {
        let values = || prop::collection::btree_set(0u8..8, 0..3);
        let d = prop::collection::btree_map(0..RECORDS, prop::option::of((0u64..3, values())), 0..7);
        let a = prop::collection::btree_map(0..RECORDS, (prop::option::of(0u64..3), values(), values()), 0..7);
        (d, a).prop_map(|(d, a)| {
            let mut given = BTreeSet::new();
            let mut states: States = (d.into_iter())
                .map(|(k, state)| {
                    let state = state.map(|(hash, values)| {
                        let own = values.into_iter().filter(|v| given.insert(*v)).collect();
                        RecordState { key: key(k), attr_hash: AttrHash(hash), identifiers: identifiers(&own) }
                    });
                    (KeyHash(k), (key(k), state))
                })
                .collect();
            let a: BTreeMap<_, _> = (a.into_iter())
                .map(|(k, (hash, sent, old))| {
                    let row = AckRow::unacknowledged(KeyHash(k), key(k));
                    let acknowledged =
                        hash.map(|hash| Acknowledged { attr_hash: AttrHash(hash), identifiers: identifiers(&sent) });
                    let identifiers = identifiers(&sent.union(&old).copied().collect());
                    (KeyHash(k), AckRow { acknowledged, identifiers, ..row })
                })
                .collect();
            for k in a.keys() {
                states.entry(*k).or_insert((key(k.0), None));
            }
            (states, a)
        })
    }

    fn net(d: &States, a: &BTreeMap<KeyHash, AckRow>, held: &BTreeSet<KeyHash>, mode: Mode) -> Net {
        let (resend, beyond_horizon, quarantined) = Default::default();
        let input =
            NetInput { d, a, resend: &resend, held, beyond_horizon: &beyond_horizon, quarantined: &quarantined, mode };
        net_changes(&input)
    }

    proptest! {
        #[test]
        fn a_part_is_everything_less_the_sends_of_those_who_wait(
            (d, a) in lists(),
            late in prop::collection::btree_set(0..RECORDS, 0..7),
            held in prop::collection::btree_set(0..RECORDS, 0..3),
            mode in prop::sample::select(vec![Mode::Mirror, Mode::Upsert, Mode::AddOnly, Mode::UpdateOnly, Mode::RemoveOnly]),
        ) {
            let held = held.into_iter().map(KeyHash).collect();
            let whole = net(&d, &a, &held, mode);
            let state = |k: &KeyHash| d.get(k).and_then(|(_, s)| s.as_ref());
            let asked: BTreeSet<&Identifier> = d.keys().flat_map(|k| foreign(state(k), a.get(k))).collect();
            let owns = |k: &KeyHash| state(k).is_some_and(|s| s.identifiers.iter().any(|i| asked.contains(i)));
            let waits = |k: &KeyHash| late.contains(&k.0) && can_wait(state(k), a.get(k)) && !owns(k);
            let part: States = d.iter().filter(|(k, _)| !waits(k)).map(|(k, s)| (*k, s.clone())).collect();
            let mut expected = whole;
            expected.sends.retain(|s| !waits(&s.key_hash));
            expected.held.retain(|k| !waits(k));
            prop_assert_eq!(net(&part, &a, &held, mode), expected);
        }
    }
}
