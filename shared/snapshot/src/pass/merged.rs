use std::sync::Arc;

use driftless_model::{InvalidReason, KeyHash, Lanes};

use super::digest::{Digested, Found, Outcome, Pass, Sifted, View};
use super::entries::{Entries, Winner};
use super::files::{Place, Survey};
use super::packed::PackedStates;
use super::prefer::{Contest, decide};
use super::sift::{Sift, SiftFound};
use crate::{HashKey, SnapshotError, ViewError};

/// What all lanes have found for one view.
pub(super) struct Merged<'v> {
    view: View<'v>,
    found: Option<Found>,
    sifted: Option<SiftFound>,
    pub(super) failed: Option<(Place, ViewError)>,
}

impl<'v> Merged<'v> {
    pub(super) fn new(view: View<'v>) -> Self {
        Self { view, found: None, sifted: None, failed: None }
    }

    pub(super) fn absorb(&mut self, pass: Pass<'v>) {
        let failed = pass.failed.map(|e| (pass.failed_at, e));
        self.failed = self.failed.take().into_iter().chain(failed).min_by_key(|(place, _)| *place);
        let sifted = pass.sift.map(Sift::finish);
        match (&mut self.sifted, sifted) {
            (Some(sifted), Some(more)) => sifted.absorb(more),
            (none, more) => *none = more,
        }
        match &mut self.found {
            None => self.found = Some(pass.found),
            Some(found) => {
                found.entries.absorb(pass.found.entries);
                found.invalid.extend(pass.found.invalid);
                found.refused.absorb(pass.found.refused);
                found.report.absorb(&pass.found.report);
            }
        }
    }

    pub(super) async fn finish(
        self,
        survey: &Survey<'_>,
        key: &HashKey,
        lanes: &dyn Lanes,
    ) -> Result<Result<Outcome, ViewError>, SnapshotError> {
        if let Some((_, e)) = self.failed {
            return Ok(Err(e));
        }
        let Found { mut entries, mut invalid, mut refused, mut report } = self.found.unwrap_or_else(|| Found::new(0));
        if self.view.spec.key.is_content() {
            let erased;
            (entries, erased) = entries.number(key, self.view.erased, lanes).await;
            report.erased += erased;
        }
        let mut contest = Contest::default();
        let mut lost = 0;
        if self.view.spec.prefer.is_some() {
            entries.sort(lanes).await;
            invalid.sort_unstable();
            contest = contested(&entries, &invalid);
            if !contest.is_empty()
                && let Err(e) = decide(survey, self.view, key, lanes, &mut contest).await?
            {
                return Ok(Err(e));
            }
            for rows in invalid.chunk_by(|a, b| a.0 == b.0) {
                let (key, reason) = rows[0];
                if !contest.has(key) {
                    refused.add(reason, Some(key));
                } else if entries.has(key) {
                    lost += rows.len() as u64;
                } else {
                    // A key that only refused rows have: one of them is the record.
                    lost += rows.len() as u64 - 1;
                    if let Some(Winner::Invalid(reason)) = contest.winner(key) {
                        refused.add(reason, Some(key));
                    }
                }
            }
        }
        report.duplicate_keys = lost + entries.elect(lanes, &|key| contest.winner(key), &mut refused).await;
        let rows = entries.digests(Arc::clone(survey.layout()), lanes, &mut refused).await;
        report.invalid = refused.finish();
        let Some(SiftFound { unchanged, matched, states }) = self.sifted else {
            return Ok(Ok(Outcome::Whole(Digested { rows, report })));
        };
        report.duplicate_keys += matched - unchanged.len() as u64;
        let states = PackedStates::of(states, lanes).await;
        Ok(Ok(Outcome::Sifted(Sifted { rows, states, unchanged, report })))
    }
}

/// The keys for which `prefer` decides: more than one row has them, and not all are the same. Both sorted.
fn contested(entries: &Entries, invalid: &[(KeyHash, InvalidReason)]) -> Contest {
    let mut keys = entries.contested();
    keys.extend(invalid.windows(2).filter(|w| w[0].0 == w[1].0).map(|w| w[0].0));
    keys.extend(invalid.iter().map(|(key, _)| *key).filter(|key| entries.has(*key)));
    Contest::new(keys)
}
