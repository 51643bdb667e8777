//! Compaction of the chain.

use driftless_model::Millis;

use super::example::{activate, append, delivered, entry, fold, head_with, hold, read, run_id, sync, token};
use super::{done, lost};
use crate::Deltalog;
use crate::head::{Append, Compaction, Head, MOST_MERGED, Retired, RetiredBy, VersionEntry, VersionKind};

/// Merges the versions from the first to the last number into one under a token of its own.
pub(super) fn compaction(head: &Head, from: u64, to: u64, text: &str) -> Compaction {
    Compaction {
        incarnation: head.incarnation,
        stamp: head.stamp.clone(),
        active_run: head.active_run.clone(),
        merged: head.versions.range(from..=to).map(|(v, e)| (*v, e.clone())).collect(),
        into: entry(text, i64::try_from(to).expect("a small number"), 5),
        at: Millis(80),
    }
}

fn merged_away(compaction: &Compaction, version: u64, into: u64) -> Retired {
    Retired { version, entry: compaction.merged[&version].clone(), by: RetiredBy::Merge(into), at: Millis(80) }
}

/// One write; the head's version stays, and with it what an ingest or a planner has read.
pub async fn versions_are_merged_into_the_last_of_them(store: &dyn Deltalog) {
    let name = "compact";
    let head = head_with(store, name, 5).await;
    let merging = compaction(&head, 2, 4, "c");
    for _ in 0..2 {
        done(store.compact(&sync(name), &merging).await);
    }
    let merged = read(store, name).await;
    let mut versions = head.versions.clone();
    versions.retain(|v, _| ![2, 3].contains(v));
    versions.insert(4, merging.into.clone());
    let retired = [2, 3, 4].map(|v| merged_away(&merging, v, 4)).into();
    assert_eq!(merged, Head { versions, retired, ..head.clone() });
    // What was read before still holds: an ingest is not made to start again, and finds its own earlier write.
    done(store.append_version(&sync(name), &head.guard(), &append("t6", 6)).await);
    done(store.append_version(&sync(name), &read(store, name).await.guard(), &append("t7", 7)).await);
    // The merged version is one like any other.
    let merged = read(store, name).await;
    done(store.compact(&sync(name), &compaction(&merged, 4, 6, "d")).await);
    assert_eq!(read(store, name).await.versions.keys().copied().collect::<Vec<_>>(), [1, 6, 7]);
    // Its caller still finds its own write, as that of an append does.
    done(store.compact(&sync(name), &merging).await);
}

/// Incarnation, stamp, active run and every merged version are as they were read.
pub async fn rule_11_a_compaction_is_refused_on_anything_that_moved(store: &dyn Deltalog) {
    let name = "compact-guard";
    lost(store.compact(&sync("compact-nobody"), &compaction(&super::example::new_head(name), 1, 2, "c")).await);
    let head = head_with(store, name, 4).await;
    let fresh = compaction(&head, 2, 4, "c");
    let mut other = fresh.clone();
    other.merged.insert(3, entry("other", 3, 1));
    let mut gone = fresh.clone();
    gone.merged.insert(0, entry("t0", 0, 1));
    for stale in [
        Compaction { incarnation: 2, ..fresh.clone() },
        Compaction { stamp: token("other"), ..fresh.clone() },
        Compaction { active_run: Some(run_id("r1")), ..fresh.clone() },
        other,
        gone,
    ] {
        lost(store.compact(&sync(name), &stale).await);
    }
    assert_eq!(read(store, name).await, head);
    // A run that became active meanwhile covers what would be merged.
    let active = activate(store, name, "r1").await;
    lost(store.compact(&sync(name), &fresh).await);
    done(store.append_version(&sync(name), &active.guard(), &append("t5", 5)).await);
    done(store.append_version(&sync(name), &read(store, name).await.guard(), &append("t6", 6)).await);
    let above = compaction(&read(store, name).await, 5, 6, "d");
    done(store.commit(&sync(name), &active.stamp, &delivered("r1", 4), None).await);
    lost(store.compact(&sync(name), &above).await);
    done(store.compact(&sync(name), &Compaction { active_run: None, ..above }).await);
}

/// v2 removes a, b (held); merged with v3 they stay held.
pub async fn rule_7_a_compaction_leaves_holds_alone(store: &dyn Deltalog) {
    let name = "compact-holds";
    let head = head_with(store, name, 1).await;
    let guarded = Append { hold: Some(hold("history/hold-2", 2)), ..append("t2", 2) };
    done(store.append_version(&sync(name), &head.guard(), &guarded).await);
    done(store.append_version(&sync(name), &read(store, name).await.guard(), &append("t3", 3)).await);
    let head = read(store, name).await;
    done(store.compact(&sync(name), &compaction(&head, 1, 3, "c")).await);
    let merged = read(store, name).await;
    assert_eq!(merged.holds, head.holds);
    assert_eq!(merged.holds.get(&Head::snapshot_hold(2)), guarded.hold.as_ref());
}

/// A bulk version flushed what came before it: those versions leave the chain, and it stays as it is.
pub async fn a_bulk_version_takes_in_what_it_flushed(store: &dyn Deltalog) {
    let name = "compact-bulk";
    let head = head_with(store, name, 2).await;
    let kind = VersionKind::Bulk { object: "history/bulk-3".into() };
    let bulk = VersionEntry { kind, ..entry("t3", 3, 900) };
    let bulky = Append { entry: bulk.clone(), ..append("t3", 3) };
    done(store.append_version(&sync(name), &head.guard(), &bulky).await);
    let head = read(store, name).await;
    let absorbing = Compaction { into: bulk.clone(), ..compaction(&head, 1, 3, "unused") };
    for _ in 0..2 {
        done(store.compact(&sync(name), &absorbing).await);
    }
    let absorbed = read(store, name).await;
    assert_eq!(absorbed.versions, [(3, bulk)].into());
    assert_eq!(absorbed.retired, [1, 2].map(|v| merged_away(&absorbing, v, 3)));
}

/// `through` is a number of the chain, whether or not an entry has it.
pub async fn a_fold_takes_a_merged_version_with_its_number(store: &dyn Deltalog) {
    let name = "compact-fold";
    let head = head_with(store, name, 3).await;
    done(store.compact(&sync(name), &compaction(&head, 1, 2, "c")).await);
    let active = activate(store, name, "r1").await;
    done(store.fold(&sync(name), &fold(&active, Some("r1"), "f1", 2)).await);
    let folded = read(store, name).await;
    assert_eq!(folded.versions.keys().copied().collect::<Vec<_>>(), [3]);
    assert_eq!(folded.retired.last().map(|r| (r.version, r.by.clone())), Some((2, RetiredBy::Run(run_id("r1")))));
    // Both entries of number 2 wait for their stamps, each with its own token.
    let cleared = [token("t1"), token("t2")].into();
    store.clear_retired(&sync(name), &cleared).await.expect("clears");
    assert_eq!(read(store, name).await.retired.iter().map(|r| r.entry.token.clone()).collect::<Vec<_>>(), [token("c")]);
}

/// A chain that is longer than one expression is merged step by step.
pub async fn as_many_versions_are_merged_as_a_condition_can_name(store: &dyn Deltalog) {
    let name = "compact-long";
    let many = MOST_MERGED as u64;
    let head = head_with(store, name, i64::try_from(many).expect("a small number") + 2).await;
    done(store.compact(&sync(name), &compaction(&head, 1, many, "c")).await);
    let merged = read(store, name).await;
    assert_eq!(merged.versions.keys().copied().collect::<Vec<_>>(), [many, many + 1, many + 2]);
    assert_eq!(merged.retired.len(), MOST_MERGED);
}
