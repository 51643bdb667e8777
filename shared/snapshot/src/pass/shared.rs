use std::collections::BTreeSet;

/// Whether two records of a view can carry the same identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identifiers {
    /// No: the one identifier is the key itself, or there is none.
    Unique,
    MayBeShared,
}

/// Bytes that are used to find equal identifiers, at most.
const BUDGET: usize = 64 << 20;

/// The identifiers that more than one entry has. Looks at one range of them after the other, so that the memory for it
/// does not grow with the list.
pub(super) fn shared<T>(entries: &[T], id: impl Fn(&T) -> u128) -> BTreeSet<u128> {
    let ranges = (entries.len() * size_of::<u128>()).div_ceil(BUDGET).next_power_of_two();
    let shift = 128 - ranges.trailing_zeros();
    let mut found = BTreeSet::new();
    let mut part = Vec::new();
    for range in 0..ranges as u128 {
        part.clear();
        part.extend(entries.iter().map(&id).filter(|id| shift == 128 || id >> shift == range));
        part.sort_unstable();
        found.extend(part.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_occurs_twice_is_found_in_every_range() {
        let ids: Vec<u128> = (0..1000).map(|i| (i % 990) << 118).collect();
        assert_eq!(shared(&ids, |id| *id), (0..10).map(|i| i << 118).collect());
        assert_eq!(shared(&[] as &[u128], |id| *id), BTreeSet::new());
    }
}
