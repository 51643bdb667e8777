//! How much differs, counted by other means than the product's.

use std::collections::{BTreeMap, BTreeSet};

use driftless_changeset::{States, differs};
use driftless_model::{AckRow, AttrHash, Identifier, KeyHash};

/// |diff(D, A)|: records to send, and removals, counted by other means than the product's.
pub(crate) fn size(
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
