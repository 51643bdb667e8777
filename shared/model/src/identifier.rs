use core::fmt;
use core::slice;
use std::vec;

use serde::{Deserialize, Deserializer, Serialize};

/// One value by which a destination matches a record: a destination field and the value as it was sent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identifier {
    /// The destination field, for example `email`.
    pub field: String,
    /// The value as sent (normalised; hashed if the mapping says so).
    pub value: String,
}

impl Identifier {
    /// An identifier from its parts.
    pub fn new(field: impl Into<String>, value: impl Into<String>) -> Self {
        Self { field: field.into(), value: value.into() }
    }
}

/// Never prints the value: identifiers are personal data.
impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…", self.field)
    }
}

/// The identifiers of a record, in order. A set: only a delivered removal takes one out (protocol rule 5).
///
/// A record has one or two of them, and a plan has many records: so this is a list, of which nothing is allocated beyond what it
/// holds. To collect the identifiers of many records, use a [`std::collections::BTreeSet`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct IdentifierSet(Vec<Identifier>);

impl IdentifierSet {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one. False if it is there already.
    pub fn insert(&mut self, identifier: Identifier) -> bool {
        match self.0.binary_search(&identifier) {
            Ok(_) => false,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, identifier);
                true
            }
        }
    }

    /// Takes one out. False if it is not there.
    pub fn remove(&mut self, identifier: &Identifier) -> bool {
        self.0.binary_search(identifier).is_ok_and(|at| {
            self.0.remove(at);
            true
        })
    }

    /// Whether it is there.
    #[must_use]
    pub fn contains(&self, identifier: &Identifier) -> bool {
        self.0.binary_search(identifier).is_ok()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first in order.
    #[must_use]
    pub fn first(&self) -> Option<&Identifier> {
        self.0.first()
    }

    /// In order.
    pub fn iter(&self) -> slice::Iter<'_, Identifier> {
        self.0.iter()
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Keeps those that `keep` says.
    pub fn retain(&mut self, keep: impl FnMut(&Identifier) -> bool) {
        self.0.retain(keep);
    }

    /// True if all of these are among those.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|i| other.contains(i))
    }

    /// True if none of these is among those.
    #[must_use]
    pub fn is_disjoint(&self, other: &Self) -> bool {
        !self.iter().any(|i| other.contains(i))
    }

    /// All of these and those, in order.
    pub fn union<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Identifier> {
        let mut all: Vec<&Identifier> = self.iter().chain(other).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }

    /// Those of these that are not among those, in order.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Identifier> {
        self.iter().filter(|i| !other.contains(i))
    }
}

impl FromIterator<Identifier> for IdentifierSet {
    fn from_iter<I: IntoIterator<Item = Identifier>>(identifiers: I) -> Self {
        let mut all: Vec<Identifier> = identifiers.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        all.shrink_to_fit();
        Self(all)
    }
}

impl Extend<Identifier> for IdentifierSet {
    fn extend<I: IntoIterator<Item = Identifier>>(&mut self, identifiers: I) {
        for identifier in identifiers {
            self.insert(identifier);
        }
    }
}

impl<const N: usize> From<[Identifier; N]> for IdentifierSet {
    fn from(identifiers: [Identifier; N]) -> Self {
        identifiers.into_iter().collect()
    }
}

impl IntoIterator for IdentifierSet {
    type Item = Identifier;
    type IntoIter = vec::IntoIter<Identifier>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a IdentifierSet {
    type Item = &'a Identifier;
    type IntoIter = slice::Iter<'a, Identifier>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'de> Deserialize<'de> for IdentifierSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

impl fmt::Debug for IdentifierSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn identifier() -> impl Strategy<Value = Identifier> {
        (0u8..2, 0u8..4).prop_map(|(field, value)| Identifier::new(field.to_string(), value.to_string()))
    }

    proptest! {
        #[test]
        fn it_is_a_set_in_order(
            mut one in prop::collection::vec(identifier(), 0..8),
            other in prop::collection::vec(identifier(), 0..8),
            gone in identifier(),
        ) {
            let (mut set, others): (IdentifierSet, IdentifierSet) =
                (one.iter().cloned().collect(), other.iter().cloned().collect());
            let (mut tree, tree_of_others): (BTreeSet<_>, BTreeSet<_>) =
                (one.iter().cloned().collect(), other.iter().cloned().collect());
            prop_assert_eq!(set.is_subset(&others), tree.is_subset(&tree_of_others));
            prop_assert_eq!(set.is_disjoint(&others), tree.is_disjoint(&tree_of_others));
            prop_assert!(set.union(&others).eq(tree.union(&tree_of_others)));
            prop_assert!(set.difference(&others).eq(tree.difference(&tree_of_others)));
            prop_assert_eq!(set.remove(&gone), tree.remove(&gone));
            one.extend(other);
            for identifier in one {
                prop_assert_eq!(set.insert(identifier.clone()), tree.insert(identifier));
            }
            prop_assert_eq!((set.len(), set.first(), set.contains(&gone)), (tree.len(), tree.first(), tree.contains(&gone)));
            let json = serde_json::to_string(&set).unwrap();
            prop_assert_eq!(&json, &serde_json::to_string(&tree).unwrap());
            prop_assert_eq!(serde_json::from_str::<IdentifierSet>(&json).unwrap(), set.clone());
            prop_assert!(set.into_iter().eq(tree));
        }
    }
}
