use driftless_model::{Outcome, RowOutcome};

use crate::Answered;

/// The rows of one batch, as a connector fills in what became of them.
pub(crate) struct Outcomes(Vec<Option<RowOutcome>>);

impl Outcomes {
    pub(crate) fn new(rows: usize) -> Self {
        Self(vec![None; rows])
    }

    /// Records what became of a row.
    pub(crate) fn set(&mut self, row: usize, outcome: impl Into<RowOutcome>) {
        if let Some(known) = self.0.get_mut(row) {
            *known = Some(outcome.into());
        }
    }

    pub(crate) fn reject(&mut self, row: usize, reason: impl Into<String>) {
        self.set(row, Outcome::Rejected { reason: reason.into() });
    }

    /// The rows of which nothing is recorded.
    pub(crate) fn open(&self) -> Vec<usize> {
        (0..self.0.len()).filter(|row| self.is_open(*row)).collect()
    }

    pub(crate) fn is_open(&self, row: usize) -> bool {
        self.0.get(row).is_some_and(Option::is_none)
    }

    /// The answer for the batch; `rest` is what became of the rows of which nothing is recorded.
    pub(crate) fn answer(self, rest: Option<Answered>) -> Answered {
        let open = self.0.iter().filter(|outcome| outcome.is_none()).count();
        match rest {
            Some(rest) if open == self.0.len() => rest,
            // Rows that are to be tried again are so when `rest` says.
            Some(rest) if open > 0 || self.0.iter().flatten().any(|row| !row.outcome.is_final()) => {
                Answered::Partly { rows: self.0, rest: Box::new(rest) }
            }
            _ => {
                let lost = || RowOutcome::from(Outcome::Unknown);
                Answered::Rows(self.0.into_iter().map(|outcome| outcome.unwrap_or_else(lost)).collect())
            }
        }
    }
}
