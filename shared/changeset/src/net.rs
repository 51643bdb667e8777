use std::collections::{BTreeMap, BTreeSet};

use driftless_model::{AckRow, AttrHash, Identifier, IdentifierSet, KeyHash, Operation, RecordKey, RecordState};

use crate::aggregate::States;
use crate::row::Transfer;
use crate::rules::{Rule, keeps};

/// What D means for the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The list is the selection.
    Mirror,
    /// As mirror, but nobody is removed.
    Upsert,
    /// As upsert, without updates.
    AddOnly,
    /// As upsert, without adds: members are enriched, never created.
    UpdateOnly,
    /// Who enters the selection is removed from the list; leaving does nothing.
    RemoveOnly,
}

/// What [`net_changes`] looks at.
pub struct NetInput<'a> {
    /// States of all touched records (see [`crate::aggregate`]).
    pub d: &'a States,
    /// A's rows of the touched records, where there are any. Under a new configuration they carry no fingerprint.
    pub a: &'a BTreeMap<KeyHash, AckRow>,
    /// Members of D to be sent although nothing says that they differ: the whole list (`full_then_remove`), or what the
    /// buffer still repeats.
    pub resend: &'a BTreeMap<KeyHash, RecordState>,
    /// Records named by a hold that no person has approved.
    pub held: &'a BTreeSet<KeyHash>,
    /// Records whose change is older than the horizon.
    pub beyond_horizon: &'a BTreeSet<KeyHash>,
    /// States that were rejected more often than the attempt limit.
    pub quarantined: &'a BTreeSet<(KeyHash, AttrHash)>,
    /// See [`Mode`].
    pub mode: Mode,
}

/// A record to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// Add or update (or remove, in mode `remove_only`).
    pub operation: Operation,
    /// The record.
    pub key_hash: KeyHash,
    /// What to send.
    pub state: RecordState,
    /// Its id at the destination, if known and still its own.
    pub remote_id: Option<String>,
    /// A removal of the same record must settle first.
    pub after_removal: bool,
}

/// Identifiers to be removed on behalf of one record; at most one value per destination field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The record.
    pub key_hash: KeyHash,
    /// Its key.
    pub key: RecordKey,
    /// What to remove.
    pub identifiers: IdentifierSet,
    /// Its id at the destination, if the whole record goes.
    pub remote_id: Option<String>,
    /// A send of the same record waits for it.
    pub before_send: bool,
}

/// `diff(D, A)` as far as it may be sent now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Net {
    /// In key-hash order.
    pub sends: Vec<Send>,
    /// In key-hash order.
    pub removals: Vec<Removal>,
    /// Identifiers that change hands.
    pub transfers: Vec<Transfer>,
    /// Of them, how many pass on by the commit of this run even if it sends nothing: their owner is acknowledged already.
    pub transfers_due: u64,
    /// Records kept back by a hold.
    pub held: BTreeSet<KeyHash>,
    /// Records kept back by the horizon.
    pub beyond_horizon: u64,
    /// Records left alone after too many rejections.
    pub quarantined: u64,
}

impl Net {
    /// Nothing to send, and no transfer that could settle: the sync needs no run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.removals.is_empty() && self.transfers_due == 0
    }
}

/// Derives what to send and what to remove (US 2025/0265237, FIG. 5), record by record, from D's state against A's row.
///
/// * A record that D has and A has not, or of which A is uncertain, is an add; one whose fingerprint differs, an update; one
///   whose identifiers differ, an add plus the removal of the old ones.
/// * A removal names what the destination may hold for the record, less what D gives to any record: those are transfers
///   (DL-4). A quarantined owner does not count as one.
/// * Held removals and held adds are left out; removals of *old* identifiers of members go in any case.
#[must_use]
pub fn net_changes(input: &NetInput<'_>) -> Net {
    let mut net = Net::default();
    let is_quarantined = |k: &KeyHash, s: &RecordState| input.quarantined.contains(&(*k, s.attr_hash));
    let owners: BTreeMap<&Identifier, KeyHash> = input
        .d
        .iter()
        .filter_map(|(k, (_, s))| s.as_ref().map(|s| (k, s)))
        .filter(|(k, s)| !is_quarantined(k, s))
        .flat_map(|(k, s)| s.identifiers.iter().map(move |i| (i, *k)))
        .collect();
    let resent = input.resend.iter().map(|(k, s)| (k, (&s.key, Some(s)))).filter(|(k, _)| !input.d.contains_key(k));
    let touched = input.d.iter().map(|(k, (key, s))| (k, (key, s.as_ref()))).chain(resent);
    for (k, (key, state)) in touched {
        record(input, &owners, &mut net, *k, key, state, state.is_some_and(|s| is_quarantined(k, s)));
    }
    net.sends.sort_by_key(|s| s.key_hash);
    net
}

fn record(
    input: &NetInput<'_>,
    owners: &BTreeMap<&Identifier, KeyHash>,
    net: &mut Net,
    k: KeyHash,
    key: &RecordKey,
    state: Option<&RecordState>,
    quarantined: bool,
) {
    let row = input.a.get(&k);
    let resend = input.resend.contains_key(&k);
    let in_sync = match (state, row) {
        (None, None) => true,
        (Some(s), Some(r)) => r.in_sync_with(s),
        _ => false,
    };
    if in_sync && !resend {
        return;
    }
    if input.mode == Mode::RemoveOnly {
        return remove_only(input, net, k, state, row, quarantined);
    }
    let send = state.and_then(|s| operation(s, row, input.mode, resend).map(|op| (s, op)));
    let leaving = state.is_none();
    // Passing on is decided for every row, held or not: once the owner is acknowledged, nothing else tells the two apart.
    let mut old = IdentifierSet::new();
    let mut passed_on = false;
    for i in row.iter().flat_map(|r| &r.identifiers) {
        match owners.get(i) {
            Some(owner) if *owner == k => {}
            Some(owner) if keeps(Rule::SharedIdentifiers) => {
                passed_on = true;
                net.transfers_due += u64::from(acknowledged_with(input.a.get(owner), i));
                net.transfers.push(Transfer { from: k, identifier: i.clone(), owner: *owner });
            }
            // A quarantined record keeps what it has of its own: it is still in D.
            _ if state.is_some_and(|s| s.identifiers.contains(i)) => {}
            _ => {
                old.insert(i.clone());
            }
        }
    }
    if keeps(Rule::Holds) && input.held.contains(&k) && (leaving || row.is_none()) {
        net.held.insert(k);
        return;
    }
    // Old identifiers go, whether or not the send does; but in modes that remove nobody.
    let mut removals = Vec::new();
    if let (Some(row), Mode::Mirror) = (row, input.mode) {
        let remote_id = row.remote_id.clone().filter(|_| !passed_on && (leaving || old == row.identifiers));
        removals = one_value_per_field(old)
            .into_iter()
            .map(|identifiers| Removal {
                key_hash: k,
                key: key.clone(),
                identifiers,
                remote_id: remote_id.clone(),
                before_send: false,
            })
            .collect();
    }
    if let Some((s, operation)) = send {
        if quarantined {
            net.quarantined += 1;
        } else if input.beyond_horizon.contains(&k) && !resend {
            net.beyond_horizon += 1;
        } else {
            let after_removal = !removals.is_empty();
            for r in &mut removals {
                r.before_send = true;
            }
            let same_person = row.is_some_and(|r| !after_removal && r.identifiers.is_subset(&s.identifiers));
            net.sends.push(Send {
                operation,
                key_hash: k,
                state: s.clone(),
                remote_id: row.filter(|_| same_person).and_then(|r| r.remote_id.clone()),
                after_removal,
            });
        }
    }
    net.removals.extend(removals);
}

fn acknowledged_with(row: Option<&AckRow>, i: &Identifier) -> bool {
    row.and_then(|r| r.acknowledged.as_ref()).is_some_and(|a| a.identifiers.contains(i))
}

/// Which operation sends a member of D, or none where the mode does not.
fn operation(s: &RecordState, row: Option<&AckRow>, mode: Mode, resend: bool) -> Option<Operation> {
    let known = row.and_then(|r| r.acknowledged.as_ref()).filter(|a| a.identifiers == s.identifiers);
    let unsent = known.is_none_or(|a| a.attr_hash != s.attr_hash) || resend;
    let op = match (mode, known.is_some()) {
        (Mode::UpdateOnly, _) | (_, true) => Operation::Update,
        _ => Operation::Add,
    };
    // Only leftovers of old identifiers differ: nothing to send, only to remove.
    if !unsent || (mode == Mode::AddOnly && op == Operation::Update) { None } else { Some(op) }
}

/// `remove_only`: entering the selection is a removal, and A remembers it like a send.
fn remove_only(
    input: &NetInput<'_>,
    net: &mut Net,
    k: KeyHash,
    state: Option<&RecordState>,
    row: Option<&AckRow>,
    quarantined: bool,
) {
    let Some(s) = state else { return };
    // A change of fields does not make anybody enter; only new identifiers do.
    if row.is_some_and(|r| r.acknowledged.as_ref().is_some_and(|a| a.identifiers == s.identifiers)) {
        return;
    }
    if keeps(Rule::Holds) && input.held.contains(&k) {
        net.held.insert(k);
    } else if quarantined {
        net.quarantined += 1;
    } else {
        net.sends.push(Send {
            operation: Operation::Remove,
            key_hash: k,
            state: s.clone(),
            remote_id: None,
            after_removal: false,
        });
    }
}

/// Splits a set so that each part has at most one value per field: a removal row is one person's worth of identifiers.
fn one_value_per_field(mut set: IdentifierSet) -> Vec<IdentifierSet> {
    let mut parts = Vec::new();
    while !set.is_empty() {
        let mut part = IdentifierSet::new();
        let mut fields = BTreeSet::new();
        set.retain(|i| {
            if fields.insert(i.field.clone()) {
                part.insert(i.clone());
                false
            } else {
                true
            }
        });
        parts.push(part);
    }
    parts
}
