//! The registry, version records, refused input and rate budgets.

use driftless_model::{Advance, Advanced, Budget, Millis};
use futures::future::join_all;

use super::example::{config, entry, names, run_id, sync};
use super::{done, lost};
use crate::Deltalog;
use crate::head::{RetiredBy, Swap};
use crate::item::VersionRecord;
use crate::ledger::InputReject;
use crate::registry::{DestinationEntry, SharedToken, SyncEntry};

fn registered(name: &str, revision: u64) -> SyncEntry {
    SyncEntry {
        sync: sync(name),
        dataset: names().dataset,
        destination: names().destination,
        incarnation: 1,
        names: names(),
        config: config(revision),
        object: format!("config/{revision}"),
        paused: false,
        applied_at: Millis(1),
        revision,
    }
}

/// Condition: absent, or `revision` is the next. Of two people who apply, one is told.
pub async fn a_sync_is_registered_by_revision(store: &dyn Deltalog) {
    assert_eq!(store.sync(&sync("reg-b")).await.expect("answers"), None);
    for _ in 0..2 {
        done(store.put_sync(&registered("reg-b", 1)).await);
    }
    done(store.put_sync(&registered("reg-a", 0)).await);
    lost(store.put_sync(&SyncEntry { paused: true, ..registered("reg-a", 0) }).await);
    lost(store.put_sync(&SyncEntry { paused: true, ..registered("reg-b", 1) }).await);
    lost(store.put_sync(&registered("reg-b", 3)).await);
    let paused = SyncEntry { paused: true, ..registered("reg-b", 2) };
    for _ in 0..2 {
        done(store.put_sync(&paused).await);
    }
    lost(store.put_sync(&registered("reg-b", 2)).await);
    assert_eq!(store.sync(&sync("reg-b")).await.expect("answers"), Some(paused.clone()));
    assert_eq!(store.syncs().await.expect("lists"), [registered("reg-a", 0), paused]);
    for _ in 0..2 {
        store.delete_sync(&sync("reg-b")).await.expect("removes");
    }
    assert_eq!(store.syncs().await.expect("lists"), [registered("reg-a", 0)]);
}

/// The last one written stands.
pub async fn destinations_are_registered_by_name(store: &dyn Deltalog) {
    let destination = |name: &str, object: &str| DestinationEntry {
        destination: name.parse().expect("a valid name"),
        kind: "rest".into(),
        object: object.into(),
        queue_url: "http://127.0.0.1/queue".into(),
        applied_at: Millis(1),
    };
    for entry in [destination("d-b", "1"), destination("d-a", "1"), destination("d-b", "2")] {
        store.put_destination(&entry).await.expect("registers");
    }
    assert_eq!(store.destinations().await.expect("lists"), [destination("d-a", "1"), destination("d-b", "2")]);
    store.delete_destination(&destination("d-a", "1").destination).await.expect("removes");
    assert_eq!(store.destinations().await.expect("lists"), [destination("d-b", "2")]);
}

/// By incarnation, then by number, as numbers.
pub async fn version_records_are_listed_newest_first(store: &dyn Deltalog) {
    let sync = sync("records");
    let record = |incarnation, version: u64| VersionRecord {
        version,
        incarnation,
        entry: entry("t", 1, 3),
        by: RetiredBy::Run(run_id("r1")),
        at: Millis(50),
        expires_at: 60,
    };
    for (incarnation, version) in [(1, 9), (1, 10), (2, 1), (1, 2), (1, 9)] {
        store.put_version_record(&sync, &record(incarnation, version)).await.expect("writes");
    }
    let expected = [record(2, 1), record(1, 10), record(1, 9), record(1, 2)];
    assert_eq!(store.version_records(&sync).await.expect("lists"), expected);
}

/// Repeated by subject, newest first; a subject may be longer than a sort key.
pub async fn refused_input_is_kept_by_subject(store: &dyn Deltalog) {
    let long = format!("datasets/{}.parquet", "x".repeat(2_000));
    let reject =
        |subject: &str, at| InputReject { subject: subject.into(), reason: "not Parquet".into(), at: Millis(at) };
    for refused in [reject("a", 1), reject(&long, 3), reject("b", 3), reject("a", 2)] {
        store.put_input_reject("acme/refused", &refused, 4_000_000_000).await.expect("keeps");
    }
    let expected = [reject("b", 3), reject(&long, 3), reject("a", 2)];
    assert_eq!(store.input_rejects("acme/refused").await.expect("lists"), expected);
    assert_eq!(store.input_rejects("acme/other").await.expect("lists"), []);
}

/// A compare-and-swap of the revision; one's own write again is success.
pub async fn a_shared_token_changes_hands_one_at_a_time(store: &dyn Deltalog) {
    let destination = "token".parse().expect("a valid name");
    let token = |revision, text: &str| SharedToken { revision, document: text.into() };
    let put = async |expected, token: &SharedToken| {
        store.put_shared_token(&destination, expected, token).await.expect("answers")
    };
    assert_eq!(store.shared_token(&destination).await.expect("reads"), None);
    assert_eq!(put(Some(1), &token(2, "none to replace")).await, Swap::Lost);
    assert_eq!(put(None, &token(1, "first")).await, Swap::Done);
    assert_eq!(put(None, &token(1, "first")).await, Swap::Done, "the answer was lost");
    assert_eq!(put(None, &token(1, "another first")).await, Swap::Lost);
    assert_eq!(put(Some(1), &token(2, "second")).await, Swap::Done);
    assert_eq!(put(Some(1), &token(2, "another second")).await, Swap::Lost);
    assert_eq!(store.shared_token(&destination).await.expect("reads"), Some(token(2, "second")));
    let other = "token-2".parse().expect("a valid name");
    assert_eq!(store.shared_token(&other).await.expect("reads"), None);
    let claims: Vec<SharedToken> = (0..8).map(|n| token(3, &format!("claim {n}"))).collect();
    let swaps = join_all(claims.iter().map(|claim| store.put_shared_token(&destination, Some(2), claim))).await;
    let won = swaps.into_iter().filter(|swap| matches!(swap, Ok(Swap::Done))).count();
    assert_eq!(won, 1, "of many claims one is made");
}

/// Leases move slot and count; the terms, an idle time and what a window allows are looked at with the write.
pub async fn slots_of_a_rate_budget_are_leased_under_its_terms(store: &dyn Deltalog) {
    let destination = "rate".parse().expect("a valid name");
    assert_eq!(store.budget(&destination).await.expect("reads"), None);
    let advance = Advance { epoch: 1, not_before: 1_000, not_after: 5_000, at_most: 8, by: 300, slots: 3 };
    let lease = async |advance: Advance| store.advance_budget(&destination, &advance).await.expect("leases");
    assert_eq!(lease(advance).await, Advanced::Refused(None));
    let budget = Budget { slot: 1_000, count: 2, epoch: 1, terms: "{}".into() };
    assert_eq!(store.swap_budget(&destination, None, &budget).await.expect("writes"), Swap::Done);
    assert_eq!(lease(advance).await, Advanced::Leased(1_000));
    assert_eq!(lease(advance).await, Advanced::Leased(1_300));
    let there = Budget { slot: 1_600, count: 8, ..budget.clone() };
    assert_eq!(store.budget(&destination).await.expect("reads"), Some(there.clone()));
    for refused in [
        Advance { epoch: 2, ..advance },
        Advance { not_before: 1_601, ..advance },
        Advance { not_after: 1_599, ..advance },
        Advance { not_before: 1_700, not_after: 1_500, ..advance },
        Advance { at_most: 7, ..advance },
    ] {
        assert_eq!(lease(refused).await, Advanced::Refused(Some(there.clone())));
    }
    let other = "rate-2".parse().expect("a valid name");
    assert_eq!(store.budget(&other).await.expect("reads"), None, "a budget a destination");
}

/// New terms are written from exactly the budget that was read, once.
pub async fn terms_of_a_rate_budget_change_from_what_was_read(store: &dyn Deltalog) {
    let destination = "rate-terms".parse().expect("a valid name");
    let swap = async |from: Option<&Budget>, to: &Budget| {
        store.swap_budget(&destination, from, to).await.expect("writes or refuses")
    };
    let first = Budget { slot: 10, count: 0, epoch: 0, terms: "first".into() };
    let second = Budget { slot: 20, count: 1, epoch: 1, terms: "second".into() };
    assert_eq!(swap(Some(&first), &second).await, Swap::Lost, "there is none");
    assert_eq!(swap(None, &first).await, Swap::Done);
    assert_eq!(swap(None, &first).await, Swap::Lost, "two that write the same are two");
    assert_eq!(swap(None, &second).await, Swap::Lost);
    assert_eq!(swap(Some(&first), &second).await, Swap::Done);
    assert_eq!(swap(Some(&first), &second).await, Swap::Lost, "two that write the same are two");
    assert_eq!(swap(Some(&first), &Budget { slot: 30, ..second.clone() }).await, Swap::Lost);
    assert_eq!(store.budget(&destination).await.expect("reads"), Some(second));
}

/// Many invocations, one budget.
pub async fn slots_leased_at_the_same_time_differ(store: &dyn Deltalog) {
    let destination = "rate-many".parse().expect("a valid name");
    let budget = Budget { slot: 100, count: 0, epoch: 0, terms: String::new() };
    assert_eq!(store.swap_budget(&destination, None, &budget).await.expect("writes"), Swap::Done);
    let advance = Advance { epoch: 0, not_before: 0, not_after: i64::MAX, at_most: i64::MAX, by: 10, slots: 1 };
    let leases = join_all((0..20).map(|_| store.advance_budget(&destination, &advance))).await;
    let mut slots: Vec<_> = leases
        .into_iter()
        .map(|lease| match lease.expect("leases") {
            Advanced::Leased(slot) => slot,
            Advanced::Refused(_) => panic!("nothing can make it fail"),
        })
        .collect();
    slots.sort_unstable();
    assert!(slots.into_iter().eq((0..20).map(|n| 100 + 10 * n)));
}
