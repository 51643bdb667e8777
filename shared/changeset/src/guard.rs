/// How much a guard allows: a share of the list, but never less than a number of records.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// Share of the list, 0.0 to 1.0; `None`: no share.
    pub share: Option<f64>,
    /// A number that is always allowed.
    pub at_least: u64,
}

impl Allowance {
    /// The number of records allowed out of a list of `list` records.
    #[must_use]
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // records < 2^52
    pub fn of(&self, list: u64) -> u64 {
        let share = self.share.map_or(0, |s| (list as f64 * s).floor() as u64);
        share.max(self.at_least)
    }
}

/// The outcome of a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Within the allowance.
    Within,
    /// More than allowed: hold.
    Exceeded {
        /// Records that would change.
        found: u64,
        /// Records allowed.
        allowed: u64,
    },
}

impl Allowance {
    /// Compares a number of changes of a list of `list` records with the allowance.
    #[must_use]
    pub fn check(&self, found: u64, list: u64) -> Limit {
        let allowed = self.of(list);
        if found > allowed { Limit::Exceeded { found, allowed } } else { Limit::Within }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_list_may_always_lose_the_stated_number() {
        let a = Allowance { share: Some(0.1), at_least: 100 };
        assert_eq!(a.check(100, 200), Limit::Within);
        assert_eq!(a.check(101, 200), Limit::Exceeded { found: 101, allowed: 100 });
        assert_eq!(a.check(1000, 10_000), Limit::Within);
        assert_eq!(a.check(1001, 10_000), Limit::Exceeded { found: 1001, allowed: 1000 });
    }
}
