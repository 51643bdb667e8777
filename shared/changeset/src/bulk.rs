use crate::rules::{Rule, keeps};

/// When the changes of a list are one file instead of one log item each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkThreshold {
    /// More changes than this are a bulk version, however long the list is.
    pub changes: u64,
    /// More changes than this share of the list are one, in per cent,
    pub share_percent: u64,
    /// if the list has more members than this.
    pub of_more_than: u64,
}

impl Default for BulkThreshold {
    /// A million changes, or 30 % of a list of over 100,000.
    fn default() -> Self {
        Self { changes: 1_000_000, share_percent: 30, of_more_than: 100_000 }
    }
}

impl BulkThreshold {
    /// Every snapshot that changes anything makes a bulk version.
    pub const ALWAYS: Self = Self { changes: 0, share_percent: 100, of_more_than: u64::MAX };

    /// The default shares, with another number of changes.
    #[must_use]
    pub fn from_changes(changes: u64) -> Self {
        Self { changes, ..Self::default() }
    }

    /// The largest number of changes that are not too many: see [`Self::is_passed`]. 0 too where even one is.
    #[must_use]
    pub fn room(&self, logged: u64, list: u64) -> u64 {
        let share = u128::from(list) * u128::from(self.share_percent) / 100;
        let of_list = if list > self.of_more_than { u64::try_from(share).unwrap_or(u64::MAX) } else { u64::MAX };
        self.changes.min(of_list).saturating_sub(logged)
    }

    /// Whether `changes` changes are too many to be items, by themselves or together with the `logged` items that no bulk version
    /// has flushed and no run has covered. The list has `before` members before them and `after` members after them: a first load
    /// and a list that is emptied count by the longer of the two.
    #[must_use]
    pub fn is_passed(&self, changes: u64, logged: u64, before: u64, after: u64) -> bool {
        let (together, list) = (changes.saturating_add(logged), before.max(after));
        let too_large_a_share = u128::from(together) * 100 > u128::from(list) * u128::from(self.share_percent);
        together > self.changes || (list > self.of_more_than && too_large_a_share)
    }
}

/// Whether a hold of `version` still holds after a bulk version has flushed that version: always (protocol rule 7). What is held
/// is a set of keys of its own, and no flush, merge or fold of log versions releases anybody.
#[must_use]
pub fn outlives_bulk(version: u64, newest_bulk: Option<u64>) -> bool {
    keeps(Rule::HoldsOutliveBulk) || newest_bulk.is_none_or(|bulk| version > bulk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_changes_are_too_many_for_any_list() {
        let t = BulkThreshold::default();
        assert!(!t.is_passed(1_000_000, 0, 50_000_000, 50_000_000));
        assert!(t.is_passed(1_000_001, 0, 50_000_000, 50_000_000));
        assert!(t.is_passed(400_000, 600_001, 50_000_000, 50_000_000), "together with what is logged");
    }

    #[test]
    fn a_third_is_too_much_of_a_long_list_only() {
        let t = BulkThreshold::default();
        assert!(!t.is_passed(60_000, 0, 200_000, 200_000));
        assert!(t.is_passed(60_001, 0, 200_000, 200_000));
        assert!(t.is_passed(1, 60_000, 200_000, 200_000), "together with what is logged");
        assert!(!t.is_passed(100_000, 0, 0, 100_000), "a first load of a list that is not long");
        assert!(t.is_passed(100_001, 0, 0, 100_001));
        assert!(t.is_passed(100_001, 0, 100_001, 0), "a long list that is emptied");
    }

    #[test]
    fn the_room_is_what_is_not_too_many() {
        for (list, logged) in
            [(10, 0), (100_000, 5), (100_001, 0), (200_000, 59_999), (200_000, 60_001), (9_999_999, 7)]
        {
            let t = BulkThreshold::default();
            let room = t.room(logged, list);
            assert!(room == 0 || !t.is_passed(room, logged, list, list));
            assert!(t.is_passed(room + 1, logged, list, list));
        }
        assert_eq!(BulkThreshold::ALWAYS.room(0, 5), 0);
    }

    #[test]
    fn bulk_can_be_forced() {
        assert!(BulkThreshold::ALWAYS.is_passed(1, 0, 0, 1));
        assert!(!BulkThreshold::ALWAYS.is_passed(0, 0, 5, 5));
        assert!(BulkThreshold::from_changes(0).is_passed(1, 0, 0, 1));
    }
}
