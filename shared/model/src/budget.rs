/// The rate budget of a destination, as all invocations share it. Times are microseconds since 1970; what the terms say is known
/// to who paces (`driftless-connector`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The next free slot.
    pub slot: i64,
    /// Slots leased since the budget began.
    pub count: i64,
    /// Grows with every change of the terms.
    pub epoch: i64,
    /// What is known beside: waits, slowing, what was used when. JSON.
    pub terms: String,
}

/// A lease of slots under terms that are known: nothing but the next slot and the count move, so that no other lease can make it
/// fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// The epoch of the terms.
    pub epoch: i64,
    /// Refused if the next slot is before this.
    pub not_before: i64,
    /// Refused if the next slot is after this.
    pub not_after: i64,
    /// Refused if more slots than this were leased.
    pub at_most: i64,
    /// How far the next slot moves.
    pub by: i64,
    /// How many slots are leased.
    pub slots: i64,
}

/// The answer to an [`Advance`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// The first of the slots.
    Leased(i64),
    /// A condition does not hold on the budget as it is (`None`: there is none yet).
    Refused(Option<Budget>),
}

impl Advance {
    /// Whether it may be applied.
    #[must_use]
    pub const fn fits(&self, budget: &Budget) -> bool {
        budget.epoch == self.epoch
            && budget.slot >= self.not_before
            && budget.slot <= self.not_after
            && budget.count <= self.at_most
    }
}
