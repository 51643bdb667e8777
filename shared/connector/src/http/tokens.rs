//! Tokens that are fetched: one at a time within the process, and one for all workers of the destination.

use core::time::Duration;
use std::sync::Arc;

use driftless_model::{Clock, Millis, Token};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{
    login::{Grant, bearer_header},
    session::{Session, Trouble},
};
use crate::{
    reason,
    token::{
        Issued, LocalTokens, Seal, Step, TokenClaim, TokenItem, TokenSharing, TokenStore, View, ahead_of, claim_ms,
        decide,
    },
};

/// Looks at the shared token within one request: others may win each time, but not for ever.
const LOOKS: usize = 4;
/// Writes of a new token that are tried before the process keeps it for itself.
const KEEPS: usize = 3;
/// The longest pause of an issuer that a claim is kept for.
const LONGEST_PAUSE_MS: i64 = 60_000;

/// The token of a destination.
pub(super) struct Tokens {
    grant: Grant,
    seal: Seal,
    store: Arc<dyn TokenStore>,
    /// Without one, a token is used until it is refused.
    clock: Option<Arc<dyn Clock>>,
    worker: Token,
    /// Whoever fetches holds the lock, so a process fetches once at a time.
    held: Mutex<Option<Held>>,
}

/// A token that this process has seen.
#[derive(Clone)]
struct Held {
    item: TokenItem,
    header: HeaderValue,
    /// It is not kept in the store yet; the revision that it replaces there.
    replaces: Option<u64>,
}

/// A token to log in with.
pub(super) struct Granted {
    pub(super) header: HeaderValue,
    pub(super) generation: u64,
    /// It was fetched for this very request.
    pub(super) fresh: bool,
}

impl Tokens {
    pub(super) fn new(grant: Grant, secret: &SecretString, purpose: &str, sharing: Option<TokenSharing>) -> Self {
        let seal = Seal::new(secret, purpose);
        let (store, clock, worker): (Arc<dyn TokenStore>, _, _) = match sharing {
            Some(sharing) => (sharing.store, Some(sharing.clock), sharing.worker),
            None => (Arc::new(LocalTokens::default()), None, Token::new("local")),
        };
        Self { grant, seal, store, clock, worker, held: Mutex::new(None) }
    }

    fn now(&self) -> Millis {
        self.clock.as_ref().map_or(Millis(0), |clock| clock.now())
    }

    fn step(&self, item: Option<&TokenItem>, opens: bool, refused: Option<u64>) -> Step {
        let ahead_ms = item.map_or(0, |item| ahead_of(item, self.worker.as_str()));
        let mine =
            item.is_some_and(|item| item.claim.as_ref().is_some_and(|claim| claim.by == self.claimant(item.revision)));
        decide(View { item, seed: self.seal.seed(), opens, mine, refused, now: self.now(), ahead_ms })
    }

    /// A token that the destination has not refused. Fetches one if there is none, or if the one there is will soon be over
    /// and nobody else fetches.
    pub(super) async fn granted(&self, session: &Session<'_>, refused: Option<u64>) -> Result<Granted, Trouble> {
        let mut held = self.held.lock().await;
        if let Some(unkept) = held.as_mut().filter(|held| held.replaces.is_some())
            && self.store.swap(unkept.replaces, &unkept.item).await.is_ok()
        {
            unkept.replaces = None;
        }
        for _ in 0..LOOKS {
            if let Some(held) = held.as_ref() {
                let step = self.step(Some(&held.item), true, refused);
                // What is not kept yet cannot be found newer by anybody.
                if step == Step::Use || (step == Step::Renew && held.replaces.is_some()) {
                    return Ok(held.granted(false));
                }
            }
            let item = match (self.store.read().await, held.as_ref()) {
                (Ok(item), _) => item,
                // What this process holds is good for a while, perhaps.
                (Err(_), Some(held))
                    if matches!(self.step(Some(&held.item), true, refused), Step::Use | Step::Renew) =>
                {
                    return Ok(held.granted(false));
                }
                (Err(error), _) => return Err(Trouble::NotSent { reason: error.to_string() }),
            };
            let opened = item.as_ref().and_then(|item| self.open(item));
            match self.step(item.as_ref(), opened.is_some(), refused) {
                Step::Wait { until } => {
                    let ms = u64::try_from(until.0.saturating_sub(self.now().0)).unwrap_or(0);
                    let reason = "another worker is fetching a token".into();
                    return Err(Trouble::Throttled { after: Some(Duration::from_millis(ms.max(1))), reason });
                }
                Step::Use => {
                    if let (Some(item), Some(issued)) = (item, opened) {
                        return Ok(held.insert(Held::new(item, &issued)?).granted(false));
                    }
                }
                step @ (Step::Renew | Step::Fetch) => {
                    let claimed = self.claimed(item.as_ref(), session.timeout());
                    let expected = item.as_ref().map(|item| item.revision);
                    let fetched = match self.store.swap(expected, &claimed).await {
                        Ok(true) => self.fetch(session, claimed, opened.as_ref()).await,
                        Ok(false) => continue,
                        Err(error) => Err(Trouble::NotSent { reason: error.to_string() }),
                    };
                    match (fetched, item, opened) {
                        (Ok(Some(fetched)), ..) => return Ok(held.insert(fetched).granted(true)),
                        (Ok(None), ..) => {}
                        // The one there is has not ended yet.
                        (Err(_), Some(item), Some(issued)) if step == Step::Renew => {
                            return Ok(held.insert(Held::new(item, &issued)?).granted(false));
                        }
                        (Err(trouble), ..) => return Err(trouble),
                    }
                }
            }
        }
        let reason = "other workers are fetching tokens".into();
        Err(Trouble::Throttled { after: Some(Duration::from_secs(1)), reason })
    }

    /// Who claims by writing this revision.
    fn claimant(&self, revision: u64) -> Token {
        Token::new(format!("{}-{revision}", self.worker))
    }

    fn open(&self, item: &TokenItem) -> Option<Issued> {
        (item.seed == self.seal.seed()).then(|| self.seal.open(&item.sealed)).flatten()
    }

    /// The item with our claim. What another secret has sealed is dropped: it is of no use to who has this one.
    fn claimed(&self, item: Option<&TokenItem>, timeout: Duration) -> TokenItem {
        let revision = item.map_or(0, |item| item.revision) + 1;
        let claim = Some(TokenClaim { by: self.claimant(revision), until: self.now().plus(claim_ms(timeout)) });
        match item.filter(|item| item.seed == self.seal.seed()) {
            Some(item) => TokenItem { revision, claim, ..item.clone() },
            None => TokenItem {
                revision,
                generation: item.map_or(0, |item| item.generation),
                seed: self.seal.seed().to_owned(),
                sealed: Vec::new(),
                issued_at: Millis(0),
                expires_at: None,
                claim,
            },
        }
    }

    /// Fetches a token under our claim, and keeps it before anything else. `None`: the claim was taken over meanwhile.
    async fn fetch(
        &self,
        session: &Session<'_>,
        claimed: TokenItem,
        last: Option<&Issued>,
    ) -> Result<Option<Held>, Trouble> {
        // Before the request, so that a token never lives longer for us than for its issuer.
        let asked_at = self.now();
        let chained = last.and_then(|issued| issued.refresh.as_ref());
        let refresh = self.grant.first().map(|first| chained.unwrap_or(first));
        let fetched = session.issued(self.grant.request(refresh)).await.and_then(|answer| {
            let next = answer.get("refresh_token").and_then(Value::as_str).map(|text| text.to_owned().into());
            let access = answer.get("access_token").and_then(Value::as_str).map(|text| text.to_owned().into());
            let no_token = || Trouble::NotSent { reason: "token: the issuer's answer has no access_token".into() };
            let issued = Issued { access: access.ok_or_else(no_token)?, refresh: next.or_else(|| refresh.cloned()) };
            let sealed = self.seal.close(&issued);
            let sealed = sealed.ok_or_else(|| Trouble::NotSent { reason: "the token could not be sealed".into() })?;
            let item = TokenItem {
                revision: claimed.revision + 1,
                generation: claimed.generation + 1,
                seed: claimed.seed.clone(),
                sealed,
                issued_at: asked_at,
                expires_at: life(&answer).filter(|_| self.clock.is_some()).map(|ms| asked_at.plus(ms)),
                claim: None,
            };
            Held::new(item, &issued)
        });
        let mut held = match fetched {
            Ok(held) => held,
            Err(trouble) => {
                self.give_back(claimed, &trouble).await;
                return Err(trouble);
            }
        };
        for _ in 0..KEEPS {
            match self.store.swap(Some(claimed.revision), &held.item).await {
                Ok(true) => return Ok(Some(held)),
                Ok(false) => return Ok(None),
                Err(_) => {}
            }
        }
        held.replaces = Some(claimed.revision);
        Ok(Some(held))
    }

    /// Lets the next worker try; not before an issuer wants to be asked again. If this fails the claim ends by itself.
    async fn give_back(&self, claimed: TokenItem, trouble: &Trouble) {
        let pause = match trouble {
            Trouble::Throttled { after: Some(after), .. } if self.clock.is_some() => {
                Some(i64::try_from(after.as_millis()).unwrap_or(i64::MAX).min(LONGEST_PAUSE_MS))
            }
            _ => None,
        };
        let claim =
            claimed.claim.clone().zip(pause).map(|(claim, ms)| TokenClaim { until: self.now().plus(ms), ..claim });
        let item = TokenItem { revision: claimed.revision + 1, claim, ..claimed };
        drop(self.store.swap(Some(item.revision - 1), &item).await);
    }
}

impl Held {
    fn new(item: TokenItem, issued: &Issued) -> Result<Self, Trouble> {
        let header = bearer_header(issued.access.expose_secret(), "access_token");
        let reason = "token: the issuer's token cannot stand in a header";
        let header = header.map_err(|_| Trouble::NotSent { reason: reason.into() })?;
        Ok(Self { item, header, replaces: None })
    }

    fn granted(&self, fresh: bool) -> Granted {
        Granted { header: self.header.clone(), generation: self.item.generation, fresh }
    }
}

/// What an issuer's refusal means.
pub(super) fn refusal(status: u16, answer: Option<&Value>, after: Option<Duration>) -> Trouble {
    let code = answer.and_then(|answer| answer.get("error")?.as_str());
    let reason = format!("token: {}", reason::http(status, code.and_then(|code| reason::code(code, &[])).as_deref()));
    match status {
        429 => Trouble::Throttled { after, reason },
        500.. | 408 => Trouble::NotSent { reason },
        _ if code == Some("invalid_grant") => Trouble::Fatal {
            reason: format!("{reason}: authorise again, and write the new refresh token into the secret"),
        },
        _ => Trouble::Fatal { reason },
    }
}

/// How long a token lives, in milliseconds: RFC 6749 has a number of seconds, some issuers a text.
fn life(answer: &Value) -> Option<i64> {
    let seconds = answer.get("expires_in")?;
    let seconds = seconds.as_i64().or_else(|| seconds.as_str()?.trim().parse().ok())?;
    (seconds > 0).then(|| seconds.saturating_mul(1000))
}
