//! The rules of the protocol that are kept by a decision, by name. In a deployed function they are constants; the simulation's
//! mutation check switches one off at a time (feature `mutation`) and expects to see an invariant break.

/// A rule of the protocol that this crate keeps, or whose keeper asks this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Rule 3: rows without an outcome, whose call was claimed, become uncertain.
    Uncertain,
    /// Rule 4: a rejection after an unsettled attempt is uncertain.
    RejectionAfterUnsettled,
    /// Rule 5: identifiers are a set; only a delivered removal takes one out.
    IdentifierSet,
    /// Rule 6: an identifier that D gives to another record is passed on, not removed.
    SharedIdentifiers,
    /// Rule 7: holds are subtracted.
    Holds,
    /// Rule 7: a bulk version that flushes a held version does not release what it held.
    HoldsOutliveBulk,
    /// Rule 10: what was not delivered is kept as residue.
    Residue,
    /// Rule 11: a compaction stays above what the active run, and every committed one, covers.
    CompactionBoundary,
    /// Rule 12: a bulk file that is gone is not an empty D.
    BulkIsThere,
    /// Rule 14: under a new configuration acknowledged hashes are not compared.
    NewConfiguration,
    /// Whoever is missing in the list that a comparison has read becomes uncertain.
    MissingIsUncertain,
    /// Whoever was removed and is in that list is remembered with what is there.
    StillThere,
}

#[cfg(feature = "mutation")]
mod switches {
    use super::Rule;
    use std::cell::Cell;

    thread_local! {
        static OFF: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    /// Switches one rule off on this thread.
    pub fn switch_off(rule: Rule) {
        OFF.with(|off| off.set(Some(rule)));
    }

    /// Switches every rule on again on this thread.
    pub fn switch_on() {
        OFF.with(|off| off.set(None));
    }

    /// True unless the rule is switched off on this thread.
    pub fn keeps(rule: Rule) -> bool {
        OFF.with(|off| off.get() != Some(rule))
    }
}

#[cfg(feature = "mutation")]
pub use switches::{keeps, switch_off, switch_on};

/// True while the rule is in force: always, but in the mutation check. For the functions that keep a rule whose decision needs
/// what they alone have read.
#[cfg(not(feature = "mutation"))]
#[inline]
#[must_use]
pub const fn keeps(_: Rule) -> bool {
    true
}
