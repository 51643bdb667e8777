use core::cmp::Ordering;
use driftless_config::PreferOrder;
use driftless_model::KeyHash;

use super::digest::View;
use super::entries::Winner;
use super::files::{Files, located, unreadable};
use super::rows::{Row, RowReader, ranks};
use crate::value::Rank;
use crate::view::plan;
use crate::{HashKey, SnapshotError, ViewError};

/// The keys for which a sync's preference decides, and the winning row of each.
#[derive(Debug, Default)]
pub(super) struct Contest {
    /// In order.
    keys: Vec<KeyHash>,
    best: Vec<Option<(Rank, Winner)>>,
}

impl Contest {
    /// `keys` in any order, with repetitions.
    pub(super) fn new(mut keys: Vec<KeyHash>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        let best = keys.iter().map(|_| None).collect();
        Self { keys, best }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn find(&self, key: KeyHash) -> Option<usize> {
        self.keys.binary_search(&key).ok()
    }

    pub(super) fn has(&self, key: KeyHash) -> bool {
        self.find(key).is_some()
    }

    pub(super) fn winner(&self, key: KeyHash) -> Option<Winner> {
        self.best.get(self.find(key)?)?.as_ref().map(|(_, winner)| *winner)
    }

    fn challenge(&mut self, key: KeyHash, rank: &Rank, winner: Winner, highest: bool) {
        let Some(holder) = self.find(key).and_then(|at| self.best.get_mut(at)) else { return };
        if holder.as_ref().is_none_or(|holder| beats((rank, winner), (&holder.0, holder.1), highest)) {
            *holder = Some((rank.clone(), winner));
        }
    }
}

/// Reads the files again to find which row of each contested key the sync prefers. Rows that are equal in the preferred
/// column are told apart as if nothing were preferred: a valid one before a refused one, then the smallest attribute hash.
pub(super) async fn decide(
    files: &mut Files<'_>,
    view: View<'_>,
    key: &HashKey,
    contest: &mut Contest,
) -> Result<Result<(), ViewError>, SnapshotError> {
    let mut reader = RowReader::new(view.spec, key);
    let mut again = Files::new(files.source)?;
    while let Some(file) = again.next().await? {
        let schema = file.schema();
        let planned = match plan(view.spec, &schema).and_then(|p| Ok((p.bind(&schema)?, p.columns))) {
            Ok(planned) => planned,
            Err(e) => return Ok(Err(unreadable(&file, e))),
        };
        let (bound, columns) = planned;
        let highest = bound.prefer.as_ref().is_some_and(|(_, order)| *order == PreferOrder::Highest);
        let mut scan = again.scan(&file, &columns);
        while let Some((row_group, batch)) = scan.next().await? {
            let mut rows = Vec::new();
            let selected = reader.read(&bound, &batch, view.erased, |row, found| match found {
                Row::Valid(key, attr, _) if contest.has(key) => rows.push((row, key, Winner::Valid(attr))),
                Row::Invalid(key, reason) if contest.has(key) => rows.push((row, key, Winner::Invalid(reason))),
                _ => {}
            });
            let ranked = selected.and_then(|s| if rows.is_empty() { Ok(Vec::new()) } else { ranks(&bound, &s) });
            let ranks = match ranked {
                Ok(ranks) => ranks,
                Err(e) => return Ok(Err(located(e, &file, row_group))),
            };
            for (row, key, winner) in rows {
                if let Some(rank) = ranks.get(row) {
                    contest.challenge(key, rank, winner, highest);
                }
            }
        }
        again.fetched += scan.fetched;
    }
    files.fetched += again.fetched;
    Ok(Ok(()))
}

fn beats(a: (&Rank, Winner), b: (&Rank, Winner), highest: bool) -> bool {
    let by_rank = match (a.0.is_absent(), b.0.is_absent()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) if highest => a.0.compare(b.0),
        (false, false) => b.0.compare(a.0),
    };
    let by_winner = || match (a.1, b.1) {
        (Winner::Valid(x), Winner::Valid(y)) => y.cmp(&x),
        (Winner::Valid(_), Winner::Invalid(_)) => Ordering::Greater,
        (Winner::Invalid(_), Winner::Valid(_)) => Ordering::Less,
        (Winner::Invalid(x), Winner::Invalid(y)) => y.cmp(&x),
    };
    by_rank.then_with(by_winner) == Ordering::Greater
}
