//! What a worker does with the shared token. Pure.

use core::time::Duration;

use driftless_model::Millis;
use sha2::{Digest, Sha256};

use super::TokenItem;

/// A token is not used so shortly before its end: a request takes time, and clocks differ.
const MARGIN_MS: i64 = 10_000;
/// The longest wait for another worker before looking again.
const LOOK_AGAIN_MS: i64 = 1_000;
/// The earliest that a token is renewed before its end.
const EARLIEST_MS: i64 = 5 * 60_000;

/// What a worker sees when it needs a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// The stored item.
    pub(crate) item: Option<&'a TokenItem>,
    /// Names the secret that this worker has.
    pub(crate) seed: &'a str,
    /// There is a token in it, and this worker can open it.
    pub(crate) opens: bool,
    /// The claim in it is one of this worker's own: an attempt that was not heard of, as there is one at a time.
    pub(crate) mine: bool,
    /// The generation that the destination refused, if one was.
    pub(crate) refused: Option<u64>,
    /// The time.
    pub(crate) now: Millis,
    /// How long before its end this worker renews a token; see [`ahead_of`].
    pub(crate) ahead_ms: i64,
}

/// What it does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Use the stored token.
    Use,
    /// Claim and fetch the next one; until it is there, and if that fails, the stored one is good.
    Renew,
    /// Claim and fetch; there is none to use.
    Fetch,
    /// Another worker is fetching it; look again then.
    Wait {
        /// When.
        until: Millis,
    },
}

pub(crate) fn decide(view: View<'_>) -> Step {
    // Tokens of another secret are as good as none, and who fetches those does not fetch ours.
    let Some(item) = view.item.filter(|item| item.seed == view.seed) else { return Step::Fetch };
    let claimed = item.claim.as_ref().filter(|claim| !view.mine && view.now < claim.until);
    let left = item.expires_at.map_or(i64::MAX, |at| at.0.saturating_sub(view.now.0));
    let usable = view.opens && view.refused != Some(item.generation) && left > MARGIN_MS.min(life(item) / 4);
    match claimed {
        _ if usable && left > view.ahead_ms => Step::Use,
        Some(_) if usable => Step::Use,
        None if usable => Step::Renew,
        Some(claim) => Step::Wait { until: claim.until.min(view.now.plus(LOOK_AGAIN_MS)) },
        None => Step::Fetch,
    }
}

/// How long before its end a worker renews a token: a tenth of its life and at most five minutes, stretched up to
/// twice that by who the worker is and which token it is, so that workers do not try all at once and one of them has
/// renewed it before the others would.
pub(crate) fn ahead_of(item: &TokenItem, worker: &str) -> i64 {
    let tenth = (life(item) / 10).min(EARLIEST_MS);
    let hash = Sha256::new().chain_update(worker).chain_update(item.generation.to_be_bytes()).finalize();
    let share = hash.first().copied().map_or(0, i64::from);
    tenth + tenth * share / 256
}

/// How long the token lives in all.
fn life(item: &TokenItem) -> i64 {
    item.expires_at.map_or(i64::MAX, |at| at.0.saturating_sub(item.issued_at.0)).max(0)
}

/// How long a claim lasts: longer than the fetch that it is for, and the write after it.
pub(crate) fn claim_ms(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX / 4).saturating_mul(2).saturating_add(5_000)
}

#[cfg(test)]
mod tests {
    use driftless_model::Token;
    use proptest::prelude::*;

    use super::{super::TokenClaim, *};

    fn item() -> TokenItem {
        TokenItem {
            revision: 4,
            generation: 2,
            seed: "s".into(),
            sealed: vec![1],
            issued_at: Millis(0),
            expires_at: Some(Millis(1_800_000)),
            claim: None,
        }
    }

    fn claimed(until: i64) -> TokenItem {
        TokenItem { claim: Some(TokenClaim { by: Token::new("t"), until: Millis(until) }), ..item() }
    }

    fn step(item: Option<&TokenItem>, now: i64, refused: Option<u64>) -> Step {
        let (now, ahead_ms) = (Millis(now), 180_000);
        decide(View { item, seed: "s", opens: true, mine: false, refused, now, ahead_ms })
    }

    #[test]
    fn a_token_is_used_then_renewed_by_one_and_fetched_when_it_is_over() {
        let (free, taken) = (item(), claimed(1_700_000));
        assert_eq!(step(Some(&free), 0, None), Step::Use);
        assert_eq!(step(Some(&free), 1_650_000, None), Step::Renew);
        assert_eq!(step(Some(&taken), 1_650_000, None), Step::Use, "another renews it");
        assert_eq!(step(Some(&free), 1_795_000, None), Step::Fetch, "too late to arrive in time");
        assert_eq!(step(None, 0, None), Step::Fetch);
    }

    #[test]
    fn a_refused_token_is_fetched_once_and_the_others_wait_a_moment() {
        assert_eq!(step(Some(&item()), 0, Some(2)), Step::Fetch);
        assert_eq!(step(Some(&item()), 0, Some(1)), Step::Use, "another has fetched it meanwhile");
        assert_eq!(step(Some(&claimed(60_000)), 0, Some(2)), Step::Wait { until: Millis(1_000) });
        assert_eq!(step(Some(&claimed(300)), 0, Some(2)), Step::Wait { until: Millis(300) });
        assert_eq!(step(Some(&claimed(300)), 300, Some(2)), Step::Fetch, "whoever it was is gone");
        let item = claimed(60_000);
        let own =
            View { item: Some(&item), seed: "s", opens: false, mine: true, refused: None, now: Millis(0), ahead_ms: 0 };
        assert_eq!(decide(own), Step::Fetch, "our own claim, of which we did not hear");
    }

    #[test]
    fn tokens_of_another_secret_are_as_good_as_none() {
        let other = TokenItem { seed: "other".into(), ..claimed(60_000) };
        assert_eq!(step(Some(&other), 0, None), Step::Fetch);
    }

    #[test]
    fn a_token_without_an_end_is_used_until_it_is_refused() {
        let endless = TokenItem { expires_at: None, ..item() };
        assert_eq!(step(Some(&endless), i64::MAX / 2, None), Step::Use);
        assert_eq!(step(Some(&endless), 0, Some(2)), Step::Fetch);
    }

    #[test]
    fn a_token_that_lives_for_seconds_can_be_used_at_all() {
        let short = TokenItem { expires_at: Some(Millis(8_000)), ..item() };
        let ahead_ms = ahead_of(&short, "w");
        let view =
            View { item: Some(&short), seed: "s", opens: true, mine: false, refused: None, now: Millis(0), ahead_ms };
        assert_eq!(decide(view), Step::Use);
        assert_eq!(decide(View { opens: false, ..view }), Step::Fetch);
    }

    proptest! {
        #[test]
        fn workers_renew_at_different_times_and_never_too_early(worker in "[a-z0-9]{8}", life in 60_000i64..90_000_000) {
            let item = TokenItem { expires_at: Some(Millis(life)), ..item() };
            let ahead = ahead_of(&item, &worker);
            prop_assert!(ahead >= (life / 10).min(EARLIEST_MS) && ahead <= (life / 5).min(2 * EARLIEST_MS));
        }

        #[test]
        fn nobody_fetches_while_another_does(now in 0i64..2_000_000, until in 0i64..2_000_000, refused in any::<bool>()) {
            let item = claimed(until);
            let step = step(Some(&item), now, refused.then_some(2));
            if now < until {
                prop_assert!(matches!(step, Step::Use | Step::Wait { .. }), "{:?}", step);
            } else {
                prop_assert!(!matches!(step, Step::Wait { .. }), "{:?}", step);
            }
        }
    }
}
