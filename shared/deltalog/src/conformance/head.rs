//! Ingest, erasure and activation.

use driftless_model::{Millis, Token};

use super::example::{
    activate, activation, append, config, head_with, hold, key, names, new_head, read, run_id, snapshot, sync, tick,
};
use super::{done, lost};
use crate::Deltalog;
use crate::head::{ActivationGuard, Append, Attention, Head, HeadGuard};

/// Absent, or of an older incarnation.
pub async fn a_head_is_created_once_per_incarnation(store: &dyn Deltalog) {
    let name = "create";
    assert_eq!(store.head(&sync(name)).await.expect("answers"), None);
    let first = new_head(name);
    done(store.create_head(&first).await);
    done(store.create_head(&first).await);
    assert_eq!(read(store, name).await, first);
    lost(store.create_head(&Head { version: 9, ..first.clone() }).await);
    lost(store.create_head(&Head::new(sync(name), 2, names(), config(9))).await);
    let moved = head_with(store, "create-moved", 1).await;
    lost(store.create_head(&new_head("create-moved")).await);
    assert_eq!(read(store, "create-moved").await, moved);
    let successor = Head::new(sync(name), 4, names(), config(2));
    done(store.create_head(&successor).await);
    assert_eq!(read(store, name).await, successor);
}

/// S1 and S0 both write version 1: the head names one token, and the loser learns that it lost.
pub async fn rule_1_of_two_writers_of_a_version_one_wins(store: &dyn Deltalog) {
    let name = "append";
    let head = head_with(store, name, 0).await;
    let attention = Attention { reason: "column plan is missing".into(), since: Millis(1) };
    store.set_attention(&sync(name), 3, Some(&attention)).await.expect("sets it");
    let winner = Append { hold: Some(hold("history/hold-1", 4)), config: config(2), ..append("winner", 1) };
    done(store.append_version(&sync(name), &head.guard(), &winner).await);
    lost(store.append_version(&sync(name), &head.guard(), &append("loser", 2)).await);
    let after = read(store, name).await;
    done(store.append_version(&sync(name), &head.guard(), &winner).await);
    assert_eq!(read(store, name).await, after, "the same write again changes nothing");

    assert_eq!(after.version, 1);
    assert_eq!(after.versions.get(&1), Some(&winner.entry));
    assert_eq!(after.versions.len(), 1);
    assert_eq!((&after.snapshot, &after.config), (&Some(snapshot(1)), &config(2)));
    assert_eq!(after.holds.get(&Head::snapshot_hold(1)), winner.hold.as_ref());
    assert_eq!(after.attention, None, "a snapshot that was taken up heals");

    // Still the caller's own after the next version, and after a fold has retired it.
    done(store.append_version(&sync(name), &after.guard(), &append("next", 2)).await);
    done(store.append_version(&sync(name), &head.guard(), &winner).await);
}

/// DL-7: incarnation, version, order and epoch are all checked at the write.
pub async fn rule_1_an_append_is_refused_on_anything_that_moved(store: &dyn Deltalog) {
    let name = "append-guard";
    lost(store.append_version(&sync(name), &new_head(name).guard(), &append("none", 1)).await);
    assert_eq!(store.head(&sync(name)).await.expect("answers"), None, "a refused write makes no head");
    let head = head_with(store, name, 3).await;
    let fresh = head.guard();
    for stale in [
        HeadGuard { incarnation: 2, ..fresh.clone() },
        HeadGuard { version: 2, ..fresh.clone() },
        HeadGuard { version: 4, ..fresh.clone() },
        HeadGuard { order: None, ..fresh.clone() },
        HeadGuard { order: Some(snapshot(2).order), ..fresh.clone() },
        HeadGuard { epoch: 2, ..fresh.clone() },
    ] {
        lost(store.append_version(&sync(name), &stale, &append("late", 9)).await);
        lost(store.stamp_snapshot(&sync(name), &stale, &snapshot(9), &config(1)).await);
    }
    assert_eq!(read(store, name).await, head);
    done(store.append_version(&sync(name), &fresh, &append("t4", 4)).await);
}

/// S2 = S0 changes nothing and is still the newest: S1, which is older, finds another order than it read.
pub async fn rule_2_the_order_of_an_unchanged_snapshot_is_written(store: &dyn Deltalog) {
    let name = "stamp";
    let head = head_with(store, name, 1).await;
    let attention = Attention { reason: "snapshot is not Parquet".into(), since: Millis(1) };
    store.set_attention(&sync(name), 3, Some(&attention)).await.expect("sets it");
    done(store.stamp_snapshot(&sync(name), &head.guard(), &snapshot(8), &config(2)).await);
    let stamped = read(store, name).await;
    assert_eq!(stamped, Head { snapshot: Some(snapshot(8)), config: config(2), ..head.clone() });
    done(store.stamp_snapshot(&sync(name), &head.guard(), &snapshot(8), &config(2)).await);
    lost(store.stamp_snapshot(&sync(name), &head.guard(), &snapshot(7), &config(2)).await);
    lost(store.append_version(&sync(name), &head.guard(), &append("older", 5)).await);
    assert_eq!(read(store, name).await, stamped);

    let name = "stamp-first";
    let empty = head_with(store, name, 0).await;
    done(store.stamp_snapshot(&sync(name), &empty.guard(), &snapshot(1), &config(1)).await);
    lost(store.stamp_snapshot(&sync(name), &empty.guard(), &snapshot(2), &config(1)).await);
}

/// P1 plans at v1 and pauses; v2 is logged or delivered, or the configuration changes: P1 must not become active.
pub async fn rule_8_activation_is_refused_on_anything_that_moved(store: &dyn Deltalog) {
    let name = "activate";
    let head = head_with(store, name, 2).await;
    let fresh = activation(&head);
    let (sync, run) = (sync(name), run_id("r1"));
    for stale in [
        ActivationGuard { incarnation: 2, ..fresh.clone() },
        ActivationGuard { version: 1, ..fresh.clone() },
        ActivationGuard { stamp: Token::new("other"), ..fresh.clone() },
        ActivationGuard { epoch: 2, ..fresh.clone() },
        ActivationGuard { delivered: 1, ..fresh.clone() },
    ] {
        lost(store.activate(&sync, &run, &stale, &tick("monday")).await);
    }
    assert!(!store.tick_claimed(&sync, "monday").await.expect("answers"), "a refused activation uses no tick up");
    done(store.activate(&sync, &run, &fresh, &tick("monday")).await);
    done(store.activate(&sync, &run, &fresh, &tick("monday")).await);
    assert_eq!(read(store, name).await, Head { active_run: Some(run), ..head });
    lost(store.activate(&sync, &run_id("r2"), &fresh, &tick("tuesday")).await);
    assert!(!store.tick_claimed(&sync, "tuesday").await.expect("answers"));
}

/// The same tick twice plans once, also after the first run is gone.
pub async fn rule_15_a_tick_makes_one_run(store: &dyn Deltalog) {
    let name = "tick";
    let head = head_with(store, name, 1).await;
    let (sync, guard) = (sync(name), activation(&head));
    done(store.activate(&sync, &run_id("r1"), &guard, &tick("monday")).await);
    assert!(store.tick_claimed(&sync, "monday").await.expect("answers"));
    done(store.deactivate(&sync, &run_id("r1")).await);
    lost(store.activate(&sync, &run_id("r2"), &guard, &tick("monday")).await);
    assert_eq!(read(store, name).await.active_run, None);
    done(store.activate(&sync, &run_id("r2"), &guard, &tick("tuesday")).await);
    let elsewhere = head_with(store, "tick-elsewhere", 1).await;
    done(store.activate(&elsewhere.sync, &run_id("r3"), &activation(&elsewhere), &tick("monday")).await);
}

/// Tombstone and version are one transaction; the snapshot and the configuration stay what they were.
pub async fn rule_13_an_erasure_is_a_version_and_a_tombstone_or_neither(store: &dyn Deltalog) {
    let name = "erase";
    let head = head_with(store, name, 1).await;
    let dataset = "acme/erasures".parse().expect("a valid dataset");
    let stale = HeadGuard { version: 0, ..head.guard() };
    let erasure = Append { config: config(9), ..append("erase", 9) };
    lost(store.erase(&sync(name), &dataset, key(1), &stale, &erasure).await);
    lost(store.erase(&sync(name), &dataset, key(1), &HeadGuard { incarnation: 2, ..head.guard() }, &erasure).await);
    assert!(store.tombstones(&dataset).await.expect("answers").is_empty());
    // Whether a newer snapshot was stamped meanwhile does not matter: the erasure is about the version.
    done(store.stamp_snapshot(&sync(name), &head.guard(), &snapshot(2), &config(1)).await);
    for _ in 0..2 {
        done(store.erase(&sync(name), &dataset, key(1), &head.guard(), &erasure).await);
    }
    lost(store.erase(&sync(name), &dataset, key(2), &head.guard(), &append("other", 9)).await);
    assert!(store.tombstones(&dataset).await.expect("answers").into_iter().eq([key(1)]));
    let erased = read(store, name).await;
    assert_eq!(erased.version, 2);
    assert_eq!(erased.versions.get(&2), Some(&erasure.entry));
    assert_eq!((erased.snapshot, erased.config), (Some(snapshot(2)), config(1)));
    let before_it = HeadGuard { order: Some(snapshot(2).order), ..head.guard() };
    lost(store.append_version(&sync(name), &before_it, &append("during", 3)).await);
}

/// Condition: active run = the run.
pub async fn a_run_is_given_up_only_while_it_is_active(store: &dyn Deltalog) {
    let name = "deactivate";
    lost(store.deactivate(&sync(name), &run_id("r1")).await);
    head_with(store, name, 1).await;
    let active = activate(store, name, "r1").await;
    lost(store.deactivate(&sync(name), &run_id("r2")).await);
    assert_eq!(read(store, name).await, active);
    for _ in 0..2 {
        done(store.deactivate(&sync(name), &run_id("r1")).await);
    }
    assert_eq!(read(store, name).await, Head { active_run: None, ..active });
}

/// Set and cleared under the incarnation only.
pub async fn what_needs_attention_belongs_to_one_incarnation(store: &dyn Deltalog) {
    let name = "attention";
    let attention = Attention { reason: "list is not empty".into(), since: Millis(77) };
    store.set_attention(&sync(name), 3, Some(&attention)).await.expect("is repeatable, also without a head");
    assert_eq!(store.head(&sync(name)).await.expect("answers"), None);
    let head = head_with(store, name, 1).await;
    store.set_attention(&sync(name), 2, Some(&attention)).await.expect("answers");
    assert_eq!(read(store, name).await, head);
    store.set_attention(&sync(name), 3, Some(&attention)).await.expect("sets it");
    assert_eq!(read(store, name).await.attention, Some(attention));
    store.set_attention(&sync(name), 3, None).await.expect("clears it");
    assert_eq!(read(store, name).await, head);
}
