//! Runs and rejects.

use driftless_model::{AttrHash, Millis};

use super::example::{key, run, run_id, sync};
use super::{done, lost};
use crate::Deltalog;
use crate::ledger::{Drift, Reject, Run, RunResult, RunState};

fn parked(run: Run) -> Run {
    let state = RunState::Parked { reason: "503".into(), until: Some(Millis(99)) };
    Run { state, parkings: 1, ..run }
}

/// park: open; resume: parked; close: open or parked; committed: open or closing.
pub async fn a_run_changes_state_only_from_the_states_named(store: &dyn Deltalog) {
    let name = "run";
    let open = run(name, "r1");
    assert_eq!(store.run(&open.sync, &open.id).await.expect("answers"), None);
    lost(store.update_run(&open, &["open"]).await);
    for _ in 0..2 {
        done(store.put_run(&open).await);
    }
    lost(store.put_run(&Run { calls: 9, ..open.clone() }).await);
    assert_eq!(store.run(&open.sync, &open.id).await.expect("answers"), Some(open.clone()));

    let parked = parked(open.clone());
    lost(store.update_run(&parked, &["parked", "closing"]).await);
    for _ in 0..2 {
        done(store.update_run(&parked, &["open"]).await);
    }
    lost(store.update_run(&Run { phase: 1, ..open.clone() }, &["open"]).await);
    let closing = Run { state: RunState::Closing { reason: "overtaken".into() }, ..parked };
    done(store.update_run(&closing, &["open", "parked"]).await);
    let drift = Drift { members: 9, found: 5, missing: 2, strays: 1, strangers: 3, duplicates: 1, incomparable: false };
    let result = RunResult { delivered: 5, rejected: 1, unknown: 0, undelivered: 0, unnamed: 2, drift: Some(drift) };
    let committed = Run { state: RunState::Committed, result: Some(result), committed_at: Some(Millis(70)), ..closing };
    for _ in 0..2 {
        done(store.update_run(&committed, &["open", "closing"]).await);
    }
    lost(store.update_run(&open, &["open"]).await);
    assert_eq!(store.run(&open.sync, &open.id).await.expect("answers"), Some(committed));
}

/// By id, which sorts by planning time; other syncs' runs are not seen.
pub async fn runs_are_listed_newest_first(store: &dyn Deltalog) {
    let name = "runs";
    for id in ["r2", "r1", "r3"] {
        done(store.put_run(&run(name, id)).await);
    }
    done(store.put_run(&run("runs-2", "r9")).await);
    done(store.update_run(&parked(run(name, "r2")), &["open"]).await);
    let ids = |runs: Vec<Run>| runs.into_iter().map(|r| r.id.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(store.runs(&sync(name), usize::MAX).await.expect("lists")), ["r3", "r2", "r1"]);
    assert_eq!(ids(store.runs(&sync(name), 2).await.expect("lists")), ["r3", "r2"]);
    assert!(store.runs(&sync(name), 0).await.expect("lists").is_empty());
    let parked = RunState::Parked { reason: String::new(), until: None };
    assert_eq!(ids(store.runs_in(&sync(name), &[parked]).await.expect("lists")), ["r2"]);
}

fn reject(record: u64, attr: u64, run: &str, reason: &str) -> Reject {
    Reject {
        key_hash: key(record),
        attr_hash: AttrHash(attr),
        attempts: 1,
        last_run: run_id(run),
        reason: reason.into(),
        at: Millis(80),
    }
}

/// A repeated commit counts once; another state of the record is another reject.
pub async fn a_rejection_is_counted_once_a_run(store: &dyn Deltalog) {
    let sync = sync("rejects");
    for rejected in [
        reject(1, 1, "r1", "bad_email"),
        reject(1, 1, "r1", "bad_email"),
        reject(1, 1, "r2", "blocked"),
        reject(1, 1, "r2", "repeated"),
        reject(1, 2, "r2", "bad_email"),
    ] {
        store.count_reject(&sync, &rejected).await.expect("counts");
    }
    let expected = [Reject { attempts: 2, ..reject(1, 1, "r2", "blocked") }, reject(1, 2, "r2", "bad_email")];
    assert_eq!(store.rejects(&sync).await.expect("lists"), expected);
}

/// Of one record state, of one record, or of all.
pub async fn rejects_are_released_by_state_by_record_or_all(store: &dyn Deltalog) {
    let sync = sync("rejects-release");
    for (record, attr) in [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)] {
        store.count_reject(&sync, &reject(record, attr, "r1", "x")).await.expect("counts");
    }
    let release = async |which| store.release_rejects(&sync, which).await.expect("releases");
    assert_eq!(release(Some((key(1), Some(AttrHash(2))))).await, 1);
    assert_eq!(release(Some((key(1), Some(AttrHash(2))))).await, 0);
    assert_eq!(release(Some((key(1), None))).await, 2);
    assert_eq!(store.rejects(&sync).await.expect("lists").len(), 2);
    assert_eq!(release(None).await, 2);
    assert_eq!(store.rejects(&sync).await.expect("lists"), []);
}
