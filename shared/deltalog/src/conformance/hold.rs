//! Holds.

use driftless_model::Millis;

use super::example::{head_with, hold, new_head, read, sync};
use super::{done, lost};
use crate::Deltalog;
use crate::head::{Head, HeadGuard, Hold};

/// Condition: incarnation, version; absent, or the same object.
pub async fn rule_7_a_hold_is_placed_once_and_keeps_its_approval(store: &dyn Deltalog) {
    let name = "hold";
    lost(store.place_hold(&sync(name), &new_head(name).guard(), 1, &hold("a", 5)).await);
    let head = head_with(store, name, 2).await;
    let (sync, fresh, number) = (sync(name), head.guard(), Head::run_hold(2));
    lost(store.place_hold(&sync, &HeadGuard { version: 1, ..fresh.clone() }, number, &hold("a", 5)).await);
    lost(store.place_hold(&sync, &HeadGuard { incarnation: 2, ..fresh.clone() }, number, &hold("a", 5)).await);
    assert_eq!(read(store, name).await, head);
    for _ in 0..2 {
        done(store.place_hold(&sync, &fresh, number, &hold("a", 5)).await);
    }
    lost(store.place_hold(&sync, &fresh, number, &hold("b", 5)).await);
    done(store.approve(&sync, number, 5, Millis(9)).await);
    // Repeated late, by a planner that read the head before.
    done(store.place_hold(&sync, &HeadGuard { version: 1, ..fresh }, number, &hold("a", 5)).await);
    let approved = Hold { approved_at: Some(Millis(9)), ..hold("a", 5) };
    assert_eq!(read(store, name).await, Head { holds: [(number, approved)].into(), ..head });
}

/// What is held grew since the person looked: the approval does not cover it.
pub async fn an_approval_is_a_ceiling(store: &dyn Deltalog) {
    let name = "approve";
    lost(store.approve(&sync(name), 4, 100, Millis(9)).await);
    let head = head_with(store, name, 2).await;
    lost(store.approve(&sync(name), 4, 100, Millis(9)).await);
    done(store.place_hold(&sync(name), &head.guard(), 4, &hold("a", 50)).await);
    done(store.place_hold(&sync(name), &head.guard(), 5, &hold("b", 50)).await);
    lost(store.approve(&sync(name), 4, 49, Millis(9)).await);
    done(store.approve(&sync(name), 4, 50, Millis(10)).await);
    done(store.approve(&sync(name), 4, 80, Millis(11)).await);
    let after = read(store, name).await;
    assert_eq!(after.holds[&4].approved_at, Some(Millis(10)), "the first approval stands");
    assert_eq!(after.active_holds().map(|(number, _)| number).collect::<Vec<_>>(), [5]);
}

/// Condition: its object. Dropping what is gone is success.
pub async fn a_hold_is_dropped_by_its_object(store: &dyn Deltalog) {
    let name = "drop";
    lost(store.drop_hold(&sync(name), 4, "a").await);
    let head = head_with(store, name, 2).await;
    done(store.place_hold(&sync(name), &head.guard(), 4, &hold("a", 50)).await);
    lost(store.drop_hold(&sync(name), 4, "b").await);
    for _ in 0..2 {
        done(store.drop_hold(&sync(name), 4, "a").await);
    }
    assert_eq!(read(store, name).await, head);
}
