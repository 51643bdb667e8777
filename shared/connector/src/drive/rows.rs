use std::collections::{BTreeMap, BTreeSet};

use driftless_model::{InFlight, Operation, Outcome, RowOutcome};
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
    /// A job is about it. It is not known to be applied, and not to be sent again before the job has ended.
    in_flight: bool,
}

/// What an answer leaves to be done.
pub(super) struct Left {
    /// Rows without a last word that `verdict` is about.
    pub(super) open: Vec<usize>,
    /// Rows to be sent again although the others were accepted. Empty, but for an acceptance.
    pub(super) aside: Vec<usize>,
    /// What became of the open rows.
    pub(super) verdict: Answered,
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

    /// The rows that are not in flight, by index.
    pub(super) fn to_send(&self) -> Vec<usize> {
        (0..self.known.len()).filter(|&i| self.known.get(i).is_some_and(|k| !k.in_flight)).collect()
    }

    /// The indexes of numbered rows.
    pub(super) fn indexes(&self, numbers: &[u32]) -> Vec<usize> {
        let wanted: BTreeSet<u32> = numbers.iter().copied().collect();
        self.rows.iter().enumerate().filter(|(_, (n, _))| wanted.contains(n)).map(|(i, _)| i).collect()
    }

    /// The numbers of rows.
    pub(super) fn numbers(&self, indexes: &[usize]) -> Vec<u32> {
        indexes.iter().filter_map(|&i| self.rows.get(i)).map(|(number, _)| *number).collect()
    }

    /// Marks rows as in flight, or not any more.
    pub(super) fn fly(&mut self, indexes: &[usize], in_flight: bool) {
        for &index in indexes {
            if let Some(known) = self.known.get_mut(index) {
                known.in_flight = in_flight;
            }
        }
    }

    /// Nothing more is found out about these rows: what was accepted of them may have been applied.
    pub(super) fn lose(&mut self, indexes: &[usize]) {
        for &index in indexes {
            if let Some(known) = self.known.get_mut(index) {
                known.maybe = true;
                known.outcome = Some(Outcome::Unknown);
            }
        }
    }

    /// These rows may have been applied.
    pub(super) fn doubt(&mut self, indexes: &[usize]) {
        for &index in indexes {
            if let Some(known) = self.known.get_mut(index) {
                known.maybe = true;
            }
        }
    }

    /// Takes in an answer: what it says of single rows is recorded.
    pub(super) fn settle(&mut self, indexes: &[usize], answered: Answered) -> Left {
        let (outcomes, rest) = match answered {
            Answered::Rows(outcomes) => (outcomes.into_iter().map(Some).collect(), None),
            Answered::RowsButUnnamed { .. } => (vec![Some(Outcome::Delivered.into()); indexes.len()], None),
            Answered::Partly { rows, rest } if matches!(*rest, Answered::RowsButUnnamed { .. }) => {
                (rows.into_iter().map(|row| row.or(Some(Outcome::Delivered.into()))).collect(), None)
            }
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
            Some(verdict @ (Answered::Accepted { .. } | Answered::Pending { .. })) => {
                Left { open, aside: to_retry, verdict }
            }
            // Rows that are to be tried again go with those that the rest of the answer is about.
            Some(verdict) if !(open.is_empty() && to_retry.is_empty()) || indexes.is_empty() => {
                open.extend(to_retry);
                open.sort_unstable();
                Left { open, aside: Vec::new(), verdict }
            }
            _ if to_retry.iter().any(|&i| self.known.get(i).is_some_and(|k| k.maybe)) => {
                let verdict = Answered::NoAnswer { reason: "for some records".into() };
                Left { open: to_retry, aside: Vec::new(), verdict }
            }
            _ => Left { open: to_retry, aside: Vec::new(), verdict: Answered::Rows(Vec::new()) },
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

    pub(super) fn refuse_all(&mut self, reason: &str) {
        for index in 0..self.known.len() {
            self.reject(index, reason.to_owned());
        }
    }

    /// The rows that have their last word.
    pub(super) fn settled(&self) -> BTreeMap<u32, RowOutcome> {
        let all = self.rows.iter().zip(&self.known);
        all.filter_map(|((number, _), known)| {
            let outcome = known.outcome.clone()?;
            Some((*number, RowOutcome { outcome, remote_id: known.remote_id.clone() }))
        })
        .collect()
    }

    /// Something was sent for a row, in no job that has not ended, and what became of it is not known.
    pub(super) fn unanswered(&self) -> bool {
        let unknown = |known: &Known| match &known.outcome {
            None => known.maybe,
            Some(outcome) => *outcome == Outcome::Unknown,
        };
        self.known.iter().any(unknown)
    }

    /// Every row gets an outcome: without a last word it is unknown where something may have been applied or is in flight,
    /// else to be tried again.
    pub(super) fn finish(
        self,
        requests: u32,
        unnamed: BTreeMap<String, u64>,
        jobs: Vec<InFlight>,
        stop: Option<Stop>,
    ) -> Driven {
        let unanswered = self.unanswered();
        let last = self.settled().into_keys().collect();
        let outcomes: BTreeMap<u32, RowOutcome> = self
            .rows
            .iter()
            .zip(self.known)
            .map(|((number, _), known)| {
                let open = if known.maybe || known.in_flight { Outcome::Unknown } else { Outcome::Retry };
                (*number, RowOutcome { outcome: known.outcome.unwrap_or(open), remote_id: known.remote_id })
            })
            .collect();
        Driven { outcomes, last, requests, unanswered, unnamed, jobs, stop }
    }
}
