use core::hash::{Hash, Hasher};
use std::collections::BTreeMap;
use std::hash::DefaultHasher;

use driftless_model::{AckRow, Identifier, IdentifierSet, KeyHash, Member, RecordKey};

use crate::rules::{Rule, keeps};

/// Who is in a remote list, as it is read.
///
/// Takes 33 bytes a member with one identifier and an id: names are kept as 64-bit hashes. A false match, which has a chance of one
/// in 2^64 for each pair, makes one missing member pass for present until the next comparison.
#[derive(Clone, Debug, Default)]
pub struct RemoteList {
    /// What each member is found by, and its number.
    names: Vec<(u64, u32)>,
    /// What tells a member from others, and its number.
    selves: Vec<(u64, u32)>,
}

/// A remote list that is looked through, row of A by row.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Sorted.
    names: Vec<(u64, u32)>,
    members: Vec<Is>,
    found: u64,
    duplicates: u64,
    /// Acknowledged, and not in the list.
    missing: BTreeMap<KeyHash, AckRow>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Unknown,
    Ours,
    /// Listed before, under a smaller number.
    Repeated,
}

/// How a remote list differs from what was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Members of the remote list, each counted once.
    pub members: u64,
    /// Acknowledged, and found.
    pub found: u64,
    /// Acknowledged, and not in the list: they are sent again.
    pub missing: u64,
    /// Members beyond the first of one record.
    pub duplicates: u64,
    /// Members who are nobody that was acknowledged.
    pub strangers: u64,
}

impl Drift {
    /// False if not one member is anybody that was sent: the list shows other identifiers than it takes, or it is another list.
    /// Nothing follows from such a comparison.
    #[must_use]
    pub const fn says_something(&self) -> bool {
        self.found > 0 || self.members == 0 || self.missing == 0
    }
}

impl RemoteList {
    /// Takes in a member. Its number is how many were taken in before it.
    pub fn push(&mut self, member: &Member) {
        let number = u32::try_from(self.selves.len()).unwrap_or(u32::MAX);
        let by_id = member.remote_id.as_deref().map(of_id);
        self.names.extend(by_id.into_iter().chain(member.identifiers.iter().map(of_identifier)).map(|h| (h, number)));
        self.selves.push((by_id.unwrap_or_else(|| of_set(&member.identifiers)), number));
    }

    /// All of it was read.
    #[must_use]
    pub fn compare(mut self) -> Comparison {
        self.names.sort_unstable();
        self.selves.sort_unstable();
        let mut members = vec![Is::Unknown; self.selves.len()];
        for pair in self.selves.windows(2) {
            if let [(first, _), (second, number)] = pair
                && first == second
                && let Some(member) = members.get_mut(*number as usize)
            {
                *member = Is::Repeated;
            }
        }
        Comparison { names: self.names, members, found: 0, duplicates: 0, missing: BTreeMap::new() }
    }
}

impl Comparison {
    /// Looks for one row of A, by its id and by any of its identifiers, in whatever case they are written. Of uncertain rows
    /// nothing is concluded but that a member is not a stranger.
    pub fn look_for(&mut self, row: &AckRow) {
        let by_id = row.remote_id.as_deref().map(of_id);
        let mut seen: Vec<u32> = Vec::new();
        for name in by_id.into_iter().chain(row.identifiers.iter().map(of_identifier)) {
            let start = self.names.partition_point(|(hash, _)| *hash < name);
            for (_, number) in self.names.iter().skip(start).take_while(|(hash, _)| *hash == name) {
                match self.members.get_mut(*number as usize) {
                    Some(Is::Repeated) | None => continue,
                    Some(member) => *member = Is::Ours,
                }
                if !seen.contains(number) {
                    seen.push(*number);
                }
            }
        }
        self.duplicates += (seen.len() as u64).saturating_sub(1);
        if row.acknowledged.is_none() {
            return;
        }
        if seen.is_empty() {
            self.missing.insert(row.key_hash, missing(row));
        } else {
            self.found += 1;
        }
    }

    /// What was found out. Once every row of A was looked for.
    #[must_use]
    pub fn drift(&self) -> Drift {
        let of = |what: Is| self.members.iter().filter(|is| **is == what).count() as u64;
        Drift {
            members: self.members.len() as u64 - of(Is::Repeated),
            found: self.found,
            missing: self.missing.len() as u64,
            duplicates: self.duplicates,
            strangers: of(Is::Unknown),
        }
    }

    /// True if the member of that number is nobody in A, and was not listed under a smaller number.
    #[must_use]
    pub fn is_stranger(&self, number: u32) -> bool {
        self.members.get(number as usize) == Some(&Is::Unknown)
    }

    /// The rows of A that are missing in the list, as they are to be from now on: uncertain, so that each is sent again or, where D
    /// has it no more, removed.
    #[must_use]
    pub fn into_missing(self) -> BTreeMap<KeyHash, AckRow> {
        if keeps(Rule::MissingIsUncertain) { self.missing } else { BTreeMap::new() }
    }
}

/// An acknowledged row whose member is gone. The id may be that of a member who is no more.
fn missing(row: &AckRow) -> AckRow {
    AckRow { acknowledged: None, remote_id: None, ..row.clone() }
}

/// A's row of a record that was removed and is still, or again, in the list under these of the identifiers that were sent: its removal
/// differs from D, and is sent again. `row` is what A has of the record, if it has anything.
#[must_use]
pub fn still_there(
    row: Option<&AckRow>,
    key_hash: KeyHash,
    key: &RecordKey,
    identifiers: &IdentifierSet,
    remote_id: Option<&str>,
) -> AckRow {
    match row {
        _ if !keeps(Rule::StillThere) => row.cloned().unwrap_or_else(|| AckRow::unacknowledged(key_hash, key.clone())),
        Some(row) => AckRow { identifiers: row.identifiers.union(identifiers).cloned().collect(), ..row.clone() },
        None => AckRow {
            identifiers: identifiers.clone(),
            remote_id: remote_id.map(str::to_owned),
            ..AckRow::unacknowledged(key_hash, key.clone())
        },
    }
}

/// The identifier in the form in which two are compared: destinations write values in the case they like.
#[must_use]
pub fn as_compared(identifier: &Identifier) -> Identifier {
    Identifier::new(identifier.field.clone(), identifier.value.trim().to_lowercase())
}

fn of_id(id: &str) -> u64 {
    hash(|h| (0_u8, id).hash(h))
}

fn of_identifier(identifier: &Identifier) -> u64 {
    hash(|h| (1_u8, as_compared(identifier)).hash(h))
}

fn of_set(identifiers: &IdentifierSet) -> u64 {
    hash(|h| identifiers.iter().for_each(|i| of_identifier(i).hash(h)))
}

/// The same within a process, which is all that is asked of it.
fn hash(of: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use driftless_model::{Acknowledged, AttrHash};

    use super::*;

    fn set(values: &[&str]) -> IdentifierSet {
        values.iter().map(|v| Identifier::new("email", *v)).collect()
    }

    fn member(id: Option<&str>, values: &[&str]) -> Member {
        Member { identifiers: set(values), remote_id: id.map(str::to_owned) }
    }

    fn row(n: u128, id: Option<&str>, values: &[&str]) -> AckRow {
        AckRow {
            acknowledged: Some(Acknowledged { attr_hash: AttrHash(1), identifiers: set(values) }),
            identifiers: set(values),
            remote_id: id.map(str::to_owned),
            ..AckRow::unacknowledged(KeyHash(n), RecordKey::new(n.to_string()))
        }
    }

    fn compare(members: &[Member], rows: &[AckRow]) -> Comparison {
        let mut list = RemoteList::default();
        members.iter().for_each(|m| list.push(m));
        let mut comparison = list.compare();
        rows.iter().for_each(|r| comparison.look_for(r));
        comparison
    }

    #[test]
    fn members_are_found_by_id_or_identifier_in_any_case() {
        let members = [member(Some("u1"), &["new@x"]), member(None, &["Bob@X "]), member(Some("u9"), &["who@x"])];
        let rows = [row(1, Some("u1"), &["old@x"]), row(2, None, &["bob@x"]), row(3, Some("u3"), &["gone@x"])];
        let found = compare(&members, &rows);
        assert_eq!(found.drift(), Drift { members: 3, found: 2, missing: 1, duplicates: 0, strangers: 1 });
        assert!(found.is_stranger(2) && !found.is_stranger(0) && !found.is_stranger(7));
        let missing = found.into_missing();
        let gone = &missing[&KeyHash(3)];
        assert_eq!((&gone.acknowledged, &gone.remote_id, &gone.identifiers), (&None, &None, &set(&["gone@x"])));
    }

    #[test]
    fn whoever_is_listed_twice_counts_once_and_two_members_of_one_record_are_told() {
        let twice = [
            member(Some("u1"), &["a@x"]),
            member(Some("u1"), &["a@x"]),
            member(None, &["s@x"]),
            member(None, &["S@x"]),
        ];
        let found = compare(&twice, &[row(1, None, &["a@x"])]);
        assert_eq!(found.drift(), Drift { members: 2, found: 1, missing: 0, duplicates: 0, strangers: 1 });
        let two = [member(Some("u1"), &["a@x"]), member(Some("u2"), &["a@x"])];
        assert_eq!(compare(&two, &[row(1, Some("u1"), &["a@x"])]).drift().duplicates, 1);
    }

    #[test]
    fn of_an_uncertain_row_nothing_is_concluded() {
        let uncertain = AckRow { acknowledged: None, ..row(1, None, &["a@x"]) };
        let here = compare(&[member(None, &["a@x"])], core::slice::from_ref(&uncertain));
        assert_eq!(here.drift(), Drift { members: 1, ..Drift::default() });
        assert!(compare(&[], &[uncertain]).into_missing().is_empty());
    }

    #[test]
    fn a_list_in_which_nobody_is_known_says_nothing_and_an_empty_one_says_all() {
        let rows = [row(1, None, &["a@x"])];
        assert!(!compare(&[member(None, &["5d41402a"])], &rows).drift().says_something());
        assert!(compare(&[], &rows).drift().says_something());
        assert!(compare(&[member(None, &["5d41402a"])], &[]).drift().says_something());
    }

    #[test]
    fn who_is_still_there_keeps_what_a_has_of_the_record() {
        let key = RecordKey::new("1");
        let old = member(Some("u1"), &["old@x"]);
        let new = still_there(None, KeyHash(1), &key, &old.identifiers, Some("u1"));
        assert_eq!((&new.acknowledged, &new.identifiers), (&None, &set(&["old@x"])));
        let row = row(1, None, &["new@x"]);
        let both = still_there(Some(&row), KeyHash(1), &key, &old.identifiers, Some("u1"));
        assert_eq!((&both.acknowledged, &both.identifiers), (&row.acknowledged, &set(&["new@x", "old@x"])));
    }
}
