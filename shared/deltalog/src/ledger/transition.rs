//! The conditional writes of the ledger as pure functions; what they mean is said at
//! [`head::transition`](crate::head::transition).

use driftless_model::{Millis, Token};

use super::{Call, CallOutcome, Claimed, Reject, Run};

/// The answer to a claim, and the call to store if it is to be changed. Condition: open ∧ (no claim ∨ lease over).
///
/// A claim whose lease is over leaves `maybe` behind, the claimer's own included: it may have sent (protocol rule 3).
#[must_use]
pub fn try_claim(stored: Option<&Call>, token: &Token, now: Millis, lease_until: Millis) -> (Claimed, Option<Call>) {
    let Some(call) = stored else { return (Claimed::Missing, None) };
    if call.outcome.is_some() {
        return (Claimed::Settled, None);
    }
    let lives = call.claim.is_some() && now <= call.lease_until;
    if lives && call.claim.as_ref() == Some(token) {
        return (Claimed::Mine(Box::new(call.clone())), None);
    }
    if lives {
        return (Claimed::Busy { until: call.lease_until }, None);
    }
    let mine =
        Call { claim: Some(token.clone()), lease_until, maybe: call.maybe || call.claim.is_some(), ..call.clone() };
    (Claimed::Mine(Box::new(mine.clone())), Some(mine))
}

/// Gives a claim back. Condition: open ∧ claim = mine. Writes `progress`, `progress_rows`, `jobs`, `reading` and `last_error` of `released`;
/// `maybe` is only ever added: what an earlier claim left uncertain stays so.
#[must_use]
pub fn try_release(stored: &Call, released: &Call, token: &Token, maybe: bool) -> Option<Call> {
    let after = Call {
        claim: None,
        lease_until: Millis(0),
        maybe: stored.maybe || maybe,
        progress: released.progress.clone(),
        progress_rows: released.progress_rows.clone(),
        jobs: released.jobs.clone(),
        reading: released.reading.clone(),
        last_error: released.last_error.clone(),
        ..stored.clone()
    };
    if stored.outcome.is_some() {
        return None;
    }
    (stored.claim.as_ref() == Some(token) || after == *stored).then_some(after)
}

/// Replaces what is known of a claimed call; the claim stays. Condition: open ∧ claim = mine.
#[must_use]
pub fn try_keep(stored: &Call, kept: &Call, token: &Token, maybe: bool) -> Option<Call> {
    if stored.outcome.is_some() || stored.claim.as_ref() != Some(token) {
        return None;
    }
    let after = try_release(stored, kept, token, maybe)?;
    Some(Call { claim: stored.claim.clone(), lease_until: stored.lease_until, ..after })
}

/// Writes the outcome. Condition: open ∧ claim = mine. The claim stays in the item: it says whose outcome it is.
#[must_use]
pub fn try_settle(stored: &Call, token: &Token, outcome: &CallOutcome) -> Option<Call> {
    if stored.claim.as_ref() != Some(token) {
        return None;
    }
    let outcome = stored.outcome.clone().unwrap_or_else(|| outcome.clone());
    Some(Call { outcome: Some(outcome), ..stored.clone() })
}

/// Counts a rejection. Condition: `last_run` ≠ this run. `reject.attempts` is not read; the first rejection is 1.
#[must_use]
pub fn try_count(stored: Option<&Reject>, reject: &Reject) -> Option<Reject> {
    match stored {
        Some(s) if s.last_run == reject.last_run => None,
        _ => Some(Reject { attempts: stored.map_or(0, |s| s.attempts) + 1, ..reject.clone() }),
    }
}

/// Replaces a run. Condition: the stored state's name is in `from`.
#[must_use]
pub fn try_update_run(stored: &Run, run: &Run, from: &[&str]) -> Option<Run> {
    (from.contains(&stored.state.name()) || stored == run).then(|| run.clone())
}
