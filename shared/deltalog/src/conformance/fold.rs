//! Commit and fold.

use std::collections::BTreeSet;

use driftless_model::Millis;

use super::example::{activate, append, delivered, entry, fold, head_with, hold, new_head, read, run_id, sync, token};
use super::{done, lost};
use crate::Deltalog;
use crate::head::{Append, Fold, Head, ResidueRef, Retired, RetiredBy};

/// Condition: active run = the run ∧ stamp.
pub async fn a_commit_needs_its_run_and_its_stamp(store: &dyn Deltalog) {
    let name = "commit";
    head_with(store, name, 2).await;
    let active = activate(store, name, "r1").await;
    let (sync, committed) = (sync(name), delivered("r1", 2));
    lost(store.commit(&sync, &token("other"), &committed, None).await);
    lost(store.commit(&sync, &active.stamp, &delivered("r2", 2), None).await);
    assert_eq!(read(store, name).await, active);
    for _ in 0..2 {
        done(store.commit(&sync, &active.stamp, &committed, Some(Millis(60))).await);
    }
    let after = Head { active_run: None, delivered: vec![committed], last_succeeded_at: Some(Millis(60)), ..active };
    assert_eq!(read(store, name).await, after);
    lost(store.deactivate(&sync, &run_id("r1")).await);
    activate(store, name, "r2").await;
    done(store.commit(&sync, &after.stamp, &delivered("r2", 2), None).await);
    let both = read(store, name).await;
    assert_eq!(both.delivered, [delivered("r1", 2), delivered("r2", 2)]);
    assert_eq!(both.last_succeeded_at, Some(Millis(60)), "a run below the threshold does not reset it");
}

/// New history, residue, stamp; versions ≤ `through` retired; the run cleared. Repeating it is success.
pub async fn a_fold_commits_and_retires_in_one_write(store: &dyn Deltalog) {
    let name = "fold";
    lost(store.fold(&sync(name), &fold(&new_head(name), None, "f0", 0)).await);
    head_with(store, name, 3).await;
    let active = activate(store, name, "r1").await;
    let residue = ResidueRef { object: "history/residue-1".into(), count: 2 };
    let committing =
        Fold { residue: Some(residue.clone()), succeeded_at: Some(Millis(70)), ..fold(&active, Some("r1"), "f1", 2) };
    lost(store.fold(&sync(name), &Fold { from_stamp: token("other"), ..committing.clone() }).await);
    lost(store.fold(&sync(name), &Fold { run: Some(run_id("r2")), ..committing.clone() }).await);
    lost(store.fold(&sync(name), &Fold { run: None, ..committing.clone() }).await);
    lost(store.fold(&sync(name), &Fold { delivered: 1, ..committing.clone() }).await);
    assert_eq!(read(store, name).await, active);
    for _ in 0..2 {
        done(store.fold(&sync(name), &committing).await);
    }
    let folded = read(store, name).await;
    let retired = |version: u64, run| Retired {
        version,
        entry: active.versions[&version].clone(),
        by: RetiredBy::Run(run_id(run)),
        at: Millis(50),
    };
    assert_eq!(
        folded,
        Head {
            stamp: token("f1"),
            history: Some(committing.history.clone()),
            residue: Some(residue),
            versions: [(3, active.versions[&3].clone())].into(),
            active_run: None,
            retired: vec![retired(1, "r1"), retired(2, "r1")],
            last_succeeded_at: Some(Millis(70)),
            ..active.clone()
        }
    );
    // The caller of an append of a retired version still finds its own write.
    done(store.append_version(&sync(name), &new_head(name).guard(), &append("t1", 1)).await);

    activate(store, name, "r2").await;
    lost(store.fold(&sync(name), &fold(&active, Some("r2"), "f2", 3)).await);
    done(store.fold(&sync(name), &fold(&folded, Some("r2"), "f2", 3)).await);
    let again = read(store, name).await;
    assert_eq!((again.residue, again.versions.len()), (None, 0));
    assert_eq!(again.retired, [retired(1, "r1"), retired(2, "r1"), retired(3, "r2")]);
    assert_eq!(again.last_succeeded_at, Some(Millis(70)));
}

/// A fold without a run takes in what is committed, and must not run while a planned run rests on the old stamp.
pub async fn a_fold_of_committed_runs_waits_for_the_active_one(store: &dyn Deltalog) {
    let name = "fold-later";
    head_with(store, name, 2).await;
    for run in ["r1", "r2"] {
        let active = activate(store, name, run).await;
        done(store.commit(&sync(name), &active.stamp, &delivered(run, 1), None).await);
    }
    let committed = read(store, name).await;
    let folding = fold(&committed, None, "f1", 1);
    let active = activate(store, name, "r3").await;
    lost(store.fold(&sync(name), &folding).await);
    assert_eq!(read(store, name).await, active);
    done(store.commit(&sync(name), &active.stamp, &delivered("r3", 2), None).await);
    done(store.fold(&sync(name), &folding).await);
    let folded = read(store, name).await;
    assert_eq!(folded.delivered, [delivered("r3", 2)], "what was committed since stays");
    assert_eq!(folded.versions.keys().copied().collect::<Vec<_>>(), [2]);
    assert_eq!(folded.retired[0].by, RetiredBy::Run(run_id("janitor")));
}

/// v2 removes a, b (held) and updates c; c is folded: the hold stays. What is logged after the plan stays as well.
pub async fn rule_7_a_fold_leaves_holds_and_later_versions_alone(store: &dyn Deltalog) {
    let name = "fold-holds";
    head_with(store, name, 1).await;
    let head = read(store, name).await;
    let guarded = Append { hold: Some(hold("history/hold-2", 2)), ..append("t2", 2) };
    done(store.append_version(&sync(name), &head.guard(), &guarded).await);
    let active = activate(store, name, "r1").await;
    // Logged while the run was sending.
    done(store.append_version(&sync(name), &active.guard(), &append("t3", 3)).await);
    done(store.fold(&sync(name), &fold(&active, Some("r1"), "f1", 2)).await);
    let folded = read(store, name).await;
    assert_eq!(folded.holds.get(&Head::snapshot_hold(2)), guarded.hold.as_ref());
    assert_eq!((folded.version, folded.versions.get(&3)), (3, Some(&entry("t3", 3, 1))));
    assert_eq!(folded.snapshot, Some(super::example::snapshot(3)));
}

/// More versions than one expression can name.
pub async fn a_long_chain_folds_and_is_cleared(store: &dyn Deltalog) {
    let name = "fold-long";
    head_with(store, name, 120).await;
    let active = activate(store, name, "r1").await;
    let folding = fold(&active, Some("r1"), "f1", 119);
    for _ in 0..2 {
        done(store.fold(&sync(name), &folding).await);
    }
    let folded = read(store, name).await;
    assert_eq!(folded.versions.keys().copied().collect::<Vec<_>>(), [120]);
    assert!(folded.retired.iter().map(|r| r.version).eq(1..=119));
    done(store.append_version(&sync(name), &folded.guard(), &append("t121", 121)).await);

    // All but two are stamped and deleted; clearing is repeatable and knows nothing of other tokens.
    let cleared: BTreeSet<_> =
        (1..=119).filter(|v| ![1, 60].contains(v)).map(|v| token(&format!("t{v}"))).chain([token("foreign")]).collect();
    for _ in 0..2 {
        store.clear_retired(&sync(name), &cleared).await.expect("clears");
    }
    let left = read(store, name).await;
    assert_eq!(left.retired.iter().map(|r| r.version).collect::<Vec<_>>(), [1, 60]);
    assert_eq!(left.version, 121);
    store.clear_retired(&sync("fold-nobody"), &cleared).await.expect("there is nothing to clear");
}
