use std::collections::BTreeMap;

use driftless_model::{Operation, Outcome, RowOutcome};
use sha2::{Digest, Sha256};

use super::{Driven, Stop};
use crate::{Answered, OutRow};

/// The rows of a call and what is known of each.
pub(super) struct Rows<'a> {
    rows: &'a [(u32, OutRow)],
    known: Vec<Known>,
}

#[derive(Clone, Default)]
struct Known {
    /// The last word on the row.
    outcome: Option<Outcome>,
    /// Something was sent for it and not answered, by us or by an earlier claim.
    maybe: bool,
    /// The id that the destination gave it meanwhile.
    remote_id: Option<String>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(rows: &'a [(u32, OutRow)], maybe: bool) -> Self {
        Self { rows, known: vec![Known { maybe, ..Known::default() }; rows.len()] }
    }

    /// The rows as they are sent now: with the remote ids learned so far.
    pub(super) fn batch(&self, indexes: &[usize]) -> Vec<OutRow> {
        let pairs = indexes.iter().filter_map(|&i| self.rows.get(i).zip(self.known.get(i)));
        pairs
            .map(|((_, row), known)| OutRow {
                remote_id: known.remote_id.clone().or_else(|| row.remote_id.clone()),
                ..row.clone()
            })
            .collect()
    }

    /// The same for the same rows of the same call, different for any other.
    pub(super) fn idempotency_key(&self, base: &str, operation: Operation, indexes: &[usize]) -> String {
        let mut hash = Sha256::new();
        for (number, _) in indexes.iter().filter_map(|&i| self.rows.get(i)) {
            hash.update(number.to_be_bytes());
        }
        let hash = hash.finalize();
        format!("{base}-{operation}-{}", hex::encode(hash.get(..12).unwrap_or_default()))
    }

    /// Takes in an answer: what it says of single rows is recorded. Returns the rows that have no last word yet, and the part
    /// of the answer that is about them.
    pub(super) fn settle(&mut self, indexes: &[usize], answered: Answered) -> (Vec<usize>, Answered) {
        let (outcomes, rest) = match answered {
            Answered::Rows(outcomes) => (outcomes.into_iter().map(Some).collect(), None),
            Answered::Partly { rows, rest } => (rows, Some(*rest)),
            other => (vec![None; indexes.len()], Some(other)),
        };
        if outcomes.len() != indexes.len() {
            let reason = format!("{} outcomes for {} records", outcomes.len(), indexes.len());
            return self.settle(indexes, Answered::NoAnswer { reason });
        }
        let lost = matches!(rest, Some(Answered::NoAnswer { .. }));
        let mut open = Vec::new();
        let mut to_retry = Vec::new();
        for (&index, outcome) in indexes.iter().zip(outcomes) {
            let Some(known) = self.known.get_mut(index) else { continue };
            match outcome {
                Some(row) => {
                    known.remote_id = row.remote_id.or(known.remote_id.take());
                    known.maybe |= row.outcome == Outcome::Unknown;
                    match row.outcome {
                        Outcome::Retry | Outcome::Unknown => to_retry.push(index),
                        // Rule 4: the earlier attempt may have been applied, whatever this one says.
                        Outcome::Rejected { .. } if known.maybe => known.outcome = Some(Outcome::Unknown),
                        last => known.outcome = Some(last),
                    }
                }
                None => {
                    known.maybe |= lost;
                    open.push(index);
                }
            }
        }
        match rest {
            // Rows that are to be tried again go with those that the rest of the answer is about.
            Some(rest) if !(open.is_empty() && to_retry.is_empty()) => {
                open.extend(to_retry);
                open.sort_unstable();
                (open, rest)
            }
            _ if to_retry.iter().any(|&i| self.known.get(i).is_some_and(|k| k.maybe)) => {
                (to_retry, Answered::NoAnswer { reason: "for some records".into() })
            }
            _ => (to_retry, Answered::Rows(Vec::new())),
        }
    }

    pub(super) fn reject(&mut self, index: usize, reason: String) {
        if let Some(known) = self.known.get_mut(index) {
            known.outcome = Some(if known.maybe { Outcome::Unknown } else { Outcome::Rejected { reason } });
        }
    }

    /// True if one of these rows was refused.
    pub(super) fn any_rejected(&self, indexes: &[usize]) -> bool {
        indexes
            .iter()
            .filter_map(|&i| self.known.get(i))
            .any(|k| matches!(k.outcome, Some(Outcome::Rejected { .. } | Outcome::Unknown)))
    }

    pub(super) fn refused_all(mut self, reason: String) -> Driven {
        for index in 0..self.known.len() {
            self.reject(index, reason.clone());
        }
        self.finish(0, None)
    }

    /// Every row gets an outcome: without a last word it is unknown where something may have been applied, else to be tried
    /// again.
    pub(super) fn finish(self, requests: u32, stop: Option<Stop>) -> Driven {
        let outcomes: BTreeMap<u32, RowOutcome> = self
            .rows
            .iter()
            .zip(self.known)
            .map(|((number, _), known)| {
                let open = if known.maybe { Outcome::Unknown } else { Outcome::Retry };
                (*number, RowOutcome { outcome: known.outcome.unwrap_or(open), remote_id: known.remote_id })
            })
            .collect();
        let unanswered = outcomes.values().any(|o| o.outcome == Outcome::Unknown);
        Driven { outcomes, requests, unanswered, jobs: Vec::new(), stop }
    }
}
