//! Tokens that many workers share: an issuer with rotating refresh tokens, virtual time, and a store that fails.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use driftless_connector::{
    BuildError, Connector, FetchedSecrets, LocalTokens, Stop, TokenClaim, TokenItem, TokenSharing, TokenStore,
    TokenStoreError, build,
};
use driftless_model::{Clock, Millis, Operation, Token};
use futures::future::join_all;
use serde_json::json;
use support::{Does, Got, Server, deliver, destination, letters, local, rows};

/// A clock that a test moves.
#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

/// What the issuer remembers.
#[derive(Default)]
struct Issued {
    /// Tokens given so far.
    count: u32,
    /// Refresh tokens that are still good. A token is good for one use where the issuer rotates.
    good: BTreeSet<String>,
    /// Access tokens that the API takes.
    accepted: BTreeSet<String>,
    rotates: bool,
    /// The next answer is lost after the token was issued.
    lose: bool,
    down: bool,
}

/// An issuer and an API on one server.
struct Account {
    server: Server,
    issued: Arc<Mutex<Issued>>,
}

impl Account {
    async fn start(rotates: bool) -> Self {
        let good = BTreeSet::from(["seed".to_owned(), "seed-2".to_owned()]);
        let issued = Arc::new(Mutex::new(Issued { good, rotates, ..Issued::default() }));
        let state = Arc::clone(&issued);
        let server = Server::start(move |got: &Got, _| {
            let mut issued = state.lock().unwrap();
            if got.path() != "/token" {
                let token = got.header("authorization").unwrap_or_default().trim_start_matches("Bearer ").to_owned();
                return Does::status(if issued.accepted.contains(&token) { 200 } else { 401 });
            }
            if issued.down {
                return Does::status(503);
            }
            let form: Vec<(String, String)> = url::form_urlencoded::parse(&got.body).into_owned().collect();
            let field = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
            let mut answer = json!({ "token_type": "bearer", "expires_in": 1800 });
            if field("grant_type").as_deref() == Some("refresh_token") {
                let used = field("refresh_token").unwrap();
                if !issued.good.contains(&used) {
                    return Does::json(400, &json!({ "error": "invalid_grant" }));
                }
                if issued.rotates {
                    issued.good.remove(&used);
                    let next = format!("r{}", issued.count + 1);
                    issued.good.insert(next.clone());
                    answer["refresh_token"] = json!(next);
                }
            }
            issued.count += 1;
            let access = format!("a{}", issued.count);
            issued.accepted.insert(access.clone());
            answer["access_token"] = json!(access);
            if core::mem::take(&mut issued.lose) { Does::Cuts } else { Does::json(200, &answer) }
        })
        .await;
        Self { server, issued }
    }

    fn issued(&self) -> u32 {
        self.issued.lock().unwrap().count
    }

    fn worker(
        &self,
        name: &str,
        seed: &str,
        store: &Arc<impl TokenStore + 'static>,
        clock: &Arc<Hand>,
    ) -> Box<dyn Connector> {
        let yaml = format!(
            "version: 1
kind: rest
base_url: {url}
auth:
  oauth2_refresh_token:
    {{token_url: {url}/token, client_id: id, client_secret: {{secret: client}}, refresh_token: {{secret: seed}}}}
add: {{method: POST, path: /members, body: {{json: '{{{{ record.fields }}}}'}}}}
",
            url = self.server.url
        );
        let secrets = [("client", "c"), ("seed", seed)].map(|(n, s)| (n.parse().unwrap(), s.to_owned().into()));
        let secrets: FetchedSecrets = secrets.into_iter().collect();
        let sharing = TokenSharing {
            store: Arc::clone(store) as Arc<dyn TokenStore>,
            clock: Arc::clone(clock) as Arc<dyn Clock>,
            worker: Token::new(name),
        };
        build(&destination(&yaml), "news", &secrets.sharing(sharing), local()).unwrap()
    }
}

/// A store whose writes fail when told to, before or after they are made.
#[derive(Default)]
struct Fragile {
    inner: LocalTokens,
    refuses: AtomicU32,
    loses: AtomicBool,
    blind: AtomicBool,
}

#[async_trait]
impl TokenStore for Fragile {
    async fn read(&self) -> Result<Option<TokenItem>, TokenStoreError> {
        if self.blind.load(Ordering::SeqCst) {
            return Err(TokenStoreError("blind".into()));
        }
        self.inner.read().await
    }
    async fn swap(&self, expected: Option<u64>, item: &TokenItem) -> Result<bool, TokenStoreError> {
        // The claim goes through; what is written with a token does not.
        if item.claim.is_none() && self.refuses.load(Ordering::SeqCst) > 0 {
            self.refuses.fetch_sub(1, Ordering::SeqCst);
            return Err(TokenStoreError("refused".into()));
        }
        let swapped = self.inner.swap(expected, item).await;
        if self.loses.swap(false, Ordering::SeqCst) { Err(TokenStoreError("lost".into())) } else { swapped }
    }
}

async fn send(connector: &dyn Connector) -> String {
    letters(&deliver(connector, Operation::Add, &rows(1)).await)
}

/// Sends as many times as another worker is being waited for; nothing else is waited out.
async fn send_patiently(connector: &dyn Connector) -> String {
    loop {
        let driven = deliver(connector, Operation::Add, &rows(1)).await;
        match &driven.stop {
            Some(Stop::Throttled { reason, .. }) if reason.contains("another worker") => tokio::task::yield_now().await,
            _ => return letters(&driven),
        }
    }
}

#[tokio::test]
async fn twenty_workers_at_once_use_one_refresh_token_once() {
    let account = Account::start(true).await;
    let (store, clock) = (Arc::new(LocalTokens::default()), Arc::new(Hand::default()));
    let workers: Vec<_> = (0..20).map(|n| account.worker(&format!("w{n}"), "seed", &store, &clock)).collect();
    let sent = join_all(workers.iter().map(|worker| send_patiently(&**worker))).await;
    assert!(sent.iter().all(|letters| letters == "D"), "{sent:?}");
    assert_eq!(account.issued(), 1);

    // Over: again one of them fetches, by the refresh token that came with the last one.
    clock.0.store(1_800_000, Ordering::SeqCst);
    join_all(workers.iter().map(|worker| send_patiently(&**worker))).await;
    assert_eq!(account.issued(), 2);

    // Refused by the API before its end: once more, for all of them.
    account.issued.lock().unwrap().accepted.clear();
    let sent = join_all(workers.iter().map(|worker| send_patiently(&**worker))).await;
    assert!(sent.iter().all(|letters| letters == "D"), "{sent:?}");
    assert_eq!(account.issued(), 3);
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_nobody_waits_for_it() {
    let account = Account::start(true).await;
    let (store, clock) = (Arc::new(LocalTokens::default()), Arc::new(Hand::default()));
    let (one, other) = (account.worker("one", "seed", &store, &clock), account.worker("other", "seed", &store, &clock));
    assert_eq!(send(&*one).await, "D");
    assert_eq!((send(&*other).await.as_str(), account.issued()), ("D", 1));
    clock.0.store(1_800_000 - 170_000, Ordering::SeqCst);
    assert_eq!((send(&*one).await.as_str(), account.issued()), ("D", 2));
    // The other has the old one in hand, which is good for longer than a request takes; it finds the new one by itself.
    assert_eq!((send(&*other).await.as_str(), account.issued()), ("D", 2));

    // The issuer is away: the token that there is stays in use until its end.
    account.issued.lock().unwrap().down = true;
    clock.0.store(2 * 1_800_000 - 340_000, Ordering::SeqCst);
    assert_eq!(send(&*one).await, "D");
    clock.0.store(2 * 1_800_000, Ordering::SeqCst);
    assert_eq!(send(&*one).await, "R", "nothing was sent");
    account.issued.lock().unwrap().down = false;
    assert_eq!((send(&*one).await.as_str(), account.issued()), ("D", 3));
}

#[tokio::test]
async fn a_worker_that_dies_with_its_claim_stops_the_others_only_until_the_claim_is_over() {
    let account = Account::start(true).await;
    let (store, clock) = (Arc::new(LocalTokens::default()), Arc::new(Hand::default()));
    let worker = account.worker("one", "seed", &store, &clock);
    send(&*worker).await;
    let item = store.read().await.unwrap().unwrap();
    let claim = Some(TokenClaim { by: Token::new("dead"), until: Millis(1_900_000) });
    let dead = TokenItem { revision: item.revision + 1, claim, ..item.clone() };
    assert!(store.swap(Some(item.revision), &dead).await.unwrap());
    let other = account.worker("other", "seed", &store, &clock);
    clock.0.store(1_850_000, Ordering::SeqCst);
    let waiting = deliver(&*other, Operation::Add, &rows(1)).await;
    assert_eq!((letters(&waiting).as_str(), waiting.requests), ("R", 0));
    assert!(matches!(waiting.stop, Some(Stop::Throttled { .. })), "{:?}", waiting.stop);
    clock.0.store(1_900_000, Ordering::SeqCst);
    assert_eq!((send(&*other).await.as_str(), account.issued()), ("D", 2));
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_and_a_used_up_refresh_token_is_for_a_person() {
    for (rotates, wanted) in [(false, "D"), (true, "R")] {
        let account = Account::start(rotates).await;
        let (store, clock) = (Arc::new(LocalTokens::default()), Arc::new(Hand::default()));
        account.issued.lock().unwrap().lose = true;
        let driven = deliver(&*account.worker("one", "seed", &store, &clock), Operation::Add, &rows(1)).await;
        assert_eq!(letters(&driven), wanted);
        if rotates {
            let Some(Stop::Fatal { reason }) = driven.stop else { panic!("{:?}", driven.stop) };
            assert_eq!(
                reason,
                "token: HTTP 400 invalid_grant: authorise again, and write the new refresh token into the secret"
            );
            // Who was given the new secret begins anew, though the old chain's item is there.
            assert_eq!(send(&*account.worker("two", "seed-2", &store, &clock)).await, "D");
        }
    }
}

#[tokio::test]
async fn a_write_that_is_lost_or_fails_loses_no_token() {
    let account = Account::start(true).await;
    let (store, clock) = (Arc::new(Fragile::default()), Arc::new(Hand::default()));
    let worker = account.worker("one", "seed", &store, &clock);
    store.loses.store(true, Ordering::SeqCst);
    assert_eq!(send(&*worker).await, "D", "the claim was made, though we did not hear");

    // Twice refused, written the third time.
    clock.0.store(1_800_000, Ordering::SeqCst);
    store.refuses.store(2, Ordering::SeqCst);
    assert_eq!((send(&*worker).await.as_str(), account.issued()), ("D", 2));
    assert_eq!(store.read().await.unwrap().unwrap().generation, 2);

    // Not written at all: this process uses what it has, and keeps it with a later request.
    clock.0.store(3_600_000, Ordering::SeqCst);
    store.refuses.store(3, Ordering::SeqCst);
    assert_eq!((send(&*worker).await.as_str(), account.issued()), ("D", 3));
    assert_eq!(store.read().await.unwrap().unwrap().generation, 2);
    assert_eq!((send(&*worker).await.as_str(), account.issued()), ("D", 3));
    assert_eq!(store.read().await.unwrap().unwrap().generation, 3);
    let other = account.worker("other", "seed", &store, &clock);
    assert_eq!((send(&*other).await.as_str(), account.issued()), ("D", 3));

    // The store cannot be read: who holds a token uses it, who holds none sends nothing.
    store.blind.store(true, Ordering::SeqCst);
    assert_eq!(send(&*other).await, "D");
    assert_eq!(send(&*account.worker("third", "seed", &store, &clock)).await, "R");
}

#[tokio::test]
async fn what_is_stored_gives_nothing_away() {
    let account = Account::start(true).await;
    let (store, clock) = (Arc::new(LocalTokens::default()), Arc::new(Hand::default()));
    send(&*account.worker("one", "seed", &store, &clock)).await;
    let item = store.read().await.unwrap().unwrap();
    let shown = format!("{item:?}");
    for secret in ["a1", "r1", "seed"] {
        let sealed = String::from_utf8_lossy(&item.sealed).into_owned();
        assert!(!sealed.contains(&format!("\"{secret}\"")) && !shown.contains(&format!("\"{secret}\"")));
    }
    assert_eq!((item.generation, item.expires_at, item.claim), (1, Some(Millis(1_800_000)), None));
}

#[test]
fn a_refresh_token_without_a_shared_place_is_refused() {
    let yaml = "version: 1
kind: rest
base_url: https://api.example.com
auth: {oauth2_refresh_token: {token_url: https://login.example.com/token, client_id: id, refresh_token: {secret: token}}}
add: {method: POST, path: /members, body: {json: '{{ record.fields }}'}}
";
    let refused = build(&destination(yaml), "news", &support::secrets(), local()).err().unwrap();
    assert!(matches!(refused, BuildError::Port { .. }), "{refused}");
}
