//! Log items and attempts.

use std::collections::BTreeMap;

use driftless_model::Millis;

use super::example::{item, key, partition, run_id, sync};
use crate::item::{ItemFate, LogItem};
use crate::{Deltalog, Error};

/// S1 writes `add c` of v1 and dies; S0 also writes v1: neither sees the other's items.
pub async fn rule_1_items_are_read_under_their_own_token(store: &dyn Deltalog) {
    let (s1, s0) = (partition("log", 1, "s1"), partition("log", 1, "s0"));
    store.put_items(&s1, &[item(0), item(1), item(2)]).await.expect("writes");
    for _ in 0..2 {
        store.put_items(&s0, &[item(4)]).await.expect("writes");
    }
    assert_eq!(store.items(&s0, 1).await.expect("reads"), BTreeMap::from([(key(4), item(4))]));
    let all = (0..3).map(|n| (key(n), item(n))).collect();
    assert_eq!(store.items(&s1, 3).await.expect("reads"), all);
    assert_eq!(store.item(&s1, key(1)).await.expect("reads"), Some(item(1)));
    assert_eq!(store.item(&s1, key(4)).await.expect("reads"), None);
    store.delete_items(&s1).await.expect("deletes");
    store.delete_items(&s1).await.expect("deletes nothing");
    assert!(store.items(&s1, 0).await.expect("reads").is_empty());
    assert_eq!(store.items(&s0, 1).await.expect("reads").len(), 1);
}

/// Fewer or more items than the head says: start again from the head.
pub async fn rule_12_readers_count(store: &dyn Deltalog) {
    let p = partition("log-count", 7, "t");
    assert!(store.items(&p, 0).await.expect("a version of nobody").is_empty());
    store.put_items(&p, &[item(0), item(1)]).await.expect("writes");
    for expected in [0, 1, 3, 6_000] {
        match store.items(&p, expected).await {
            Err(Error::Incomplete { version: 7, expected: e, found: 2 }) if e == expected => {}
            other => panic!("expected an incomplete version, got {other:?}"),
        }
    }
    store.put_items(&p, &[item(2)]).await.expect("a second slice");
    assert_eq!(store.items(&p, 3).await.expect("reads").len(), 3);
}

/// Fates and expiry are set; the rest stays; what was deleted meanwhile stays deleted.
pub async fn items_are_stamped_and_not_brought_back(store: &dyn Deltalog) {
    let p = partition("log-stamp", 1, "t");
    store.put_items(&p, &[item(0), item(1), item(2)]).await.expect("writes");
    let fates = BTreeMap::from([
        (key(0), ItemFate::Committed(Millis(90))),
        (key(1), ItemFate::Superseded(run_id("r1"))),
        (key(9), ItemFate::Committed(Millis(90))),
    ]);
    for _ in 0..2 {
        store.stamp_items(&p, &fates, 4_000_000_000).await.expect("stamps");
    }
    let expected = [
        LogItem { committed_at: Some(Millis(90)), expires_at: Some(4_000_000_000), ..item(0) },
        LogItem { superseded_by: Some(run_id("r1")), expires_at: Some(4_000_000_000), ..item(1) },
        item(2),
    ];
    let expected: BTreeMap<_, _> = expected.into_iter().map(|i| (i.key_hash, i)).collect();
    assert_eq!(store.items(&p, 3).await.expect("reads"), expected);
}

/// In one write, or in slices of any size.
pub async fn a_large_version_is_read_whole_however_it_was_written(store: &dyn Deltalog) {
    let items: Vec<_> = (0..5_300).map(item).collect();
    let (whole, sliced) = (partition("log-large", 1, "whole"), partition("log-large", 2, "sliced"));
    store.put_items(&whole, &items).await.expect("writes");
    store.put_items(&sliced, &items[..5_100]).await.expect("writes");
    store.put_items(&sliced, &items[5_100..]).await.expect("writes");
    for p in [whole, sliced] {
        let read = store.items(&p, 5_300).await.expect("reads");
        assert!(
            read.into_values().eq(items
                .iter()
                .map(|i| (i.key_hash, i.clone()))
                .collect::<BTreeMap<_, _>>()
                .into_values())
        );
        let fates = [2, 5_200].map(|n| (key(n), ItemFate::Committed(Millis(90)))).into();
        store.stamp_items(&p, &fates, 4_000_000_000).await.expect("stamps");
        for n in [2, 5_200] {
            let stamped = store.item(&p, key(n)).await.expect("reads").expect("is there");
            assert_eq!(stamped.committed_at, Some(Millis(90)));
        }
        store.delete_items(&p).await.expect("deletes");
        assert!(store.items(&p, 0).await.expect("reads").is_empty());
        assert_eq!(store.item(&p, key(2)).await.expect("reads"), None);
    }
}

/// What a dead attempt leaves behind can be found by its announcement.
pub async fn attempts_are_found_until_they_are_forgotten(store: &dyn Deltalog) {
    let (first, second) = (partition("attempts", 1, "a"), partition("attempts", 2, "b"));
    store.put_attempt(&first, Millis(100)).await.expect("announces");
    store.put_attempt(&first, Millis(500)).await.expect("is repeatable; the first time counts");
    store.put_attempt(&second, Millis(200)).await.expect("announces");
    let found = async |before| store.attempts(&sync("attempts"), Millis(before)).await.expect("lists");
    assert_eq!(found(100).await, []);
    assert_eq!(found(101).await, std::slice::from_ref(&first));
    assert_eq!(found(201).await, [first.clone(), second.clone()]);
    for _ in 0..2 {
        store.delete_attempt(&first).await.expect("forgets");
    }
    assert_eq!(found(1_000).await, [second]);
    assert_eq!(store.attempts(&sync("attempts-none"), Millis(1_000)).await.expect("lists"), []);
}
