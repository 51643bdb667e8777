use core::cmp::Ordering;
use driftless_config::PreferOrder;
use driftless_model::{KeyHash, Lanes, Task, in_lanes};

use super::digest::View;
use super::entries::Winner;
use super::files::{Place, Stretch, Survey, located, unreadable};
use super::rows::{Row, RowReader, ranks};
use crate::value::Rank;
use crate::view::plan;
use crate::{HashKey, Limits, SnapshotError, ViewError};

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

    /// Adds what another lane has found of the same keys.
    fn absorb(&mut self, other: Self, highest: bool) {
        for (key, best) in other.keys.into_iter().zip(other.best) {
            if let Some((rank, winner)) = best {
                self.challenge(key, &rank, winner, highest);
            }
        }
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
    survey: &Survey<'_>,
    view: View<'_>,
    key: &HashKey,
    lanes: &dyn Lanes,
    contest: &mut Contest,
) -> Result<Result<(), ViewError>, SnapshotError> {
    let highest = view.spec.prefer.as_ref().is_some_and(|prefer| prefer.order == PreferOrder::Highest);
    let shares = survey.deal(lanes.count());
    let limits = survey.lane_limits(shares.len());
    let tasks = shares.iter().map(|share| {
        let contest = Contest::new(contest.keys.clone());
        let lane = Lane { survey, limits: &limits, view, highest, contest };
        let task: Task<'_, _> = Box::pin(lane.run(share, key));
        task
    });
    let tasks = tasks.collect();
    let mut failed: Option<(Place, ViewError)> = None;
    for lane in in_lanes(lanes, tasks).await {
        match lane? {
            Ok(found) => contest.absorb(found, highest),
            Err(error) => failed = failed.into_iter().chain([error]).min_by_key(|(place, _)| *place),
        }
    }
    Ok(failed.map_or(Ok(()), |(_, e)| Err(e)))
}

struct Lane<'s, 'a> {
    survey: &'s Survey<'a>,
    limits: &'s Limits,
    view: View<'s>,
    highest: bool,
    contest: Contest,
}

impl Lane<'_, '_> {
    async fn run(
        mut self,
        share: &[Stretch],
        key: &HashKey,
    ) -> Result<Result<Contest, (Place, ViewError)>, SnapshotError> {
        let mut reader = RowReader::new(self.view.spec, key);
        for stretch in share {
            let file = self.survey.open(stretch.file).await?;
            let schema = file.schema();
            let (bound, columns) = match plan(self.view.spec, &schema).and_then(|p| Ok((p.bind(&schema)?, p.columns))) {
                Ok(planned) => planned,
                Err(e) => return Ok(Err((Place::file(stretch.file), unreadable(&file, e)))),
            };
            let mut scan = self.survey.scan(&file, stretch.whole(), &columns, self.limits);
            while let Some(batch) = scan.next().await? {
                let mut rows = Vec::new();
                let contest = &self.contest;
                let selected = reader.read(&bound, &batch.rows, self.view.erased, |_, row, found| match found {
                    Row::Valid(key, attr, _) if contest.has(key) => rows.push((row, key, Winner::Valid(attr))),
                    Row::Invalid(key, reason) if contest.has(key) => rows.push((row, key, Winner::Invalid(reason))),
                    _ => {}
                });
                let ranked =
                    selected.and_then(|s| if rows.is_empty() { Ok(Vec::new()) } else { ranks(&bound, &s.rows) });
                let ranks = match ranked {
                    Ok(ranks) => ranks,
                    Err(e) => {
                        let place = Place::group(stretch.file, batch.row_group);
                        return Ok(Err((place, located(e, &file, batch.row_group))));
                    }
                };
                for (row, key, winner) in rows {
                    if let Some(rank) = ranks.get(row) {
                        self.contest.challenge(key, rank, winner, self.highest);
                    }
                }
            }
            self.survey.count(scan.fetched);
        }
        Ok(Ok(self.contest))
    }
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
