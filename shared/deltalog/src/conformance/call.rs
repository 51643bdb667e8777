//! Calls: claim, release, outcome.

use driftless_model::{InFlight, Millis, Operation, Outcome, RemoteJob};

use super::example::{call, outcome, run_id, sync, token};
use super::{done, lost};
use crate::Deltalog;
use crate::ledger::{Call, Claimed, Reading};

const NUMBER: u32 = 1;

async fn claim(store: &dyn Deltalog, name: &str, text: &str, now: i64, until: i64) -> Claimed {
    let claimed = store.claim(&sync(name), &run_id("r1"), NUMBER, &token(text), Millis(now), Millis(until)).await;
    claimed.expect("the store answers")
}

async fn read(store: &dyn Deltalog, name: &str) -> Call {
    store.call(&sync(name), &run_id("r1"), NUMBER).await.expect("the store answers").expect("there is a call")
}

async fn put(store: &dyn Deltalog, name: &str) -> Call {
    store.put_calls(&sync(name), &[call("r1", NUMBER)]).await.expect("creates it");
    call("r1", NUMBER)
}

/// Condition: open ∧ no claim, or the lease is over. Claiming again under the same token is success.
pub async fn rule_16_one_worker_holds_a_call(store: &dyn Deltalog) {
    let name = "claim";
    assert_eq!(claim(store, name, "w1", 10, 20).await, Claimed::Missing);
    assert_eq!(store.call(&sync(name), &run_id("r1"), NUMBER).await.expect("answers"), None);
    let planned = put(store, name).await;
    let mine = Call { claim: Some(token("w1")), lease_until: Millis(20), ..planned };
    for now in [10, 15] {
        assert_eq!(claim(store, name, "w1", now, 20).await, Claimed::Mine(Box::new(mine.clone())));
    }
    for now in [11, 20] {
        assert_eq!(claim(store, name, "w2", now, 40).await, Claimed::Busy { until: Millis(20) });
    }
    assert_eq!(read(store, name).await, mine);
}

/// A claim without an outcome may have been sent: whoever claims after it knows.
pub async fn rule_3_a_claim_over_an_expired_one_is_maybe(store: &dyn Deltalog) {
    let name = "claim-over";
    put(store, name).await;
    claim(store, name, "w1", 10, 20).await;
    let theirs = Call { claim: Some(token("w2")), lease_until: Millis(41), maybe: true, ..call("r1", NUMBER) };
    assert_eq!(claim(store, name, "w2", 21, 41).await, Claimed::Mine(Box::new(theirs.clone())));
    assert_eq!(claim(store, name, "w2", 22, 41).await, Claimed::Mine(Box::new(theirs)));
    // The first worker comes back: its claim is void.
    assert_eq!(claim(store, name, "w1", 22, 50).await, Claimed::Busy { until: Millis(41) });
    lost(store.settle(&sync(name), &run_id("r1"), NUMBER, &token("w1"), &outcome([])).await);
    lost(store.release(&sync(name), &call("r1", NUMBER), &token("w1"), false).await);

    // The same worker, after its own lease: it cannot know either.
    let name = "claim-over-own";
    put(store, name).await;
    claim(store, name, "w1", 10, 20).await;
    let again = Call { claim: Some(token("w1")), lease_until: Millis(50), maybe: true, ..call("r1", NUMBER) };
    assert_eq!(claim(store, name, "w1", 30, 50).await, Claimed::Mine(Box::new(again)));
}

/// A release keeps what is final, and adds `maybe` after no answer; a later release does not take it back.
pub async fn rule_3_maybe_is_never_taken_back(store: &dyn Deltalog) {
    let name = "release";
    let planned = put(store, name).await;
    lost(store.release(&sync(name), &planned, &token("w1"), true).await);
    claim(store, name, "w1", 10, 20).await;
    let progress = outcome([(3, Outcome::Rejected { reason: "bad_email".into() }.into())]);
    let released = Call {
        progress: Some(progress),
        progress_rows: vec![0, 1, 2, 3, 9],
        reading: Some(Reading {
            cursor: Some("page 3".into()),
            objects: vec!["members/s/r/t-0".into()],
            members: 250,
            at: Millis(12),
        }),
        last_error: Some("503 at /members".into()),
        ..planned.clone()
    };
    for _ in 0..2 {
        done(store.release(&sync(name), &released, &token("w1"), true).await);
    }
    let expected = Call { maybe: true, ..released };
    assert_eq!(read(store, name).await, expected);

    let claimed = Call { claim: Some(token("w2")), lease_until: Millis(31), ..expected };
    assert_eq!(claim(store, name, "w2", 21, 31).await, Claimed::Mine(Box::new(claimed)));
    done(store.release(&sync(name), &planned, &token("w2"), false).await);
    assert_eq!(read(store, name).await, Call { maybe: true, ..planned.clone() });

    let name = "release-certain";
    put(store, name).await;
    claim(store, name, "w1", 10, 20).await;
    done(store.release(&sync(name), &planned, &token("w1"), false).await);
    assert_eq!(claim(store, name, "w2", 11, 30).await, {
        Claimed::Mine(Box::new(Call { claim: Some(token("w2")), lease_until: Millis(30), ..planned }))
    });
}

/// What was accepted is kept under the claim, and read by whoever claims next. DL-2: accepted is not an outcome.
pub async fn a_job_is_kept_before_anything_else_happens(store: &dyn Deltalog) {
    let name = "keep";
    let planned = put(store, name).await;
    let job = |text: &str, rows: Vec<u32>| InFlight {
        job: RemoteJob::new(text).expect("short"),
        rows,
        since: Millis(12),
        until: Millis(1_000),
        poll_at: Millis(17),
        polls: 2,
    };
    let accepted = Call {
        progress: Some(outcome([(3, Outcome::Rejected { reason: "bad_email".into() }.into())])),
        progress_rows: vec![3],
        jobs: vec![job("j1", vec![0, 1, 2, 5]), job("j2", Vec::new())],
        ..planned.clone()
    };
    lost(store.keep(&sync(name), &accepted, &token("w1"), false).await);
    claim(store, name, "w1", 10, 20).await;
    lost(store.keep(&sync(name), &accepted, &token("w2"), false).await);
    for _ in 0..2 {
        done(store.keep(&sync(name), &accepted, &token("w1"), false).await);
    }
    let kept = Call { claim: Some(token("w1")), lease_until: Millis(20), ..accepted.clone() };
    assert_eq!(read(store, name).await, kept, "the claim and its lease stay");
    assert_eq!(claim(store, name, "w2", 15, 40).await, Claimed::Busy { until: Millis(20) });

    // The worker dies. Who claims next knows the jobs, and that something may have been sent besides.
    let next = Call { claim: Some(token("w2")), lease_until: Millis(40), maybe: true, ..accepted.clone() };
    assert_eq!(claim(store, name, "w2", 21, 40).await, Claimed::Mine(Box::new(next)));
    lost(store.keep(&sync(name), &planned, &token("w1"), false).await);
    // One of them has ended; the other is left for the next claim.
    let left = Call { jobs: vec![job("j2", Vec::new())], ..accepted };
    done(store.keep(&sync(name), &left, &token("w2"), false).await);
    done(store.release(&sync(name), &left, &token("w2"), false).await);
    assert_eq!(read(store, name).await, Call { maybe: true, ..left });
    // A settled call keeps nothing any more.
    claim(store, name, "w3", 50, 60).await;
    done(store.settle(&sync(name), &run_id("r1"), NUMBER, &token("w3"), &outcome([])).await);
    lost(store.keep(&sync(name), &planned, &token("w3"), false).await);
}

/// Condition: open ∧ claim = mine. DL-2: nobody else's answer settles a call.
pub async fn an_outcome_is_written_once_by_the_claimer(store: &dyn Deltalog) {
    let name = "settle";
    let run = run_id("r1");
    let settled = outcome([
        (0, Outcome::Unknown.into()),
        (7, Outcome::Rejected { reason: "bad_email".into() }.into()),
        (8, Outcome::Rejected { reason: "bad_email".into() }.into()),
        (9, Outcome::Suppressed.into()),
    ]);
    lost(store.settle(&sync(name), &run, NUMBER, &token("w1"), &settled).await);
    put(store, name).await;
    lost(store.settle(&sync(name), &run, NUMBER, &token("w1"), &settled).await);
    let Claimed::Mine(mine) = claim(store, name, "w1", 10, 20).await else { panic!("the call is free") };
    lost(store.settle(&sync(name), &run, NUMBER, &token("w2"), &settled).await);
    for _ in 0..2 {
        done(store.settle(&sync(name), &run, NUMBER, &token("w1"), &settled).await);
    }
    lost(store.settle(&sync(name), &run, NUMBER, &token("w2"), &outcome([])).await);
    lost(store.release(&sync(name), &mine, &token("w1"), true).await);
    assert_eq!(claim(store, name, "w1", 15, 20).await, Claimed::Settled);
    assert_eq!(claim(store, name, "w2", 99, 120).await, Claimed::Settled);
    assert_eq!(read(store, name).await, Call { outcome: Some(settled), ..*mine });
}

/// Calls that are there are left as they are.
pub async fn calls_are_created_once_and_listed_by_number(store: &dyn Deltalog) {
    let name = "calls";
    let calls: Vec<_> = (0..30).map(|n| call("r1", n)).collect();
    store.put_calls(&sync(name), &calls[..12]).await.expect("creates");
    store.put_calls(&sync(name), &[call("r2", 0)]).await.expect("creates");
    let claimed = store.claim(&sync(name), &run_id("r1"), 11, &token("w1"), Millis(1), Millis(2)).await;
    let Ok(Claimed::Mine(mine)) = claimed else { panic!("the call is free") };
    store.put_calls(&sync(name), &calls).await.expect("creates the rest");
    let mut expected = calls;
    expected[11] = *mine;
    assert_eq!(store.calls(&sync(name), &run_id("r1")).await.expect("lists"), expected);
    assert_eq!(store.calls(&sync(name), &run_id("r3")).await.expect("lists"), []);
}

/// A removal settles before the send that touches the same record is queued.
pub async fn open_calls_are_seen_up_to_a_phase(store: &dyn Deltalog) {
    let (name, run) = ("phases", run_id("r1"));
    let removal = Call { operation: Operation::Remove, ..call("r1", 0) };
    let sends = Call { phase: 1, ..call("r1", 1) };
    store.put_calls(&sync(name), &[removal, sends]).await.expect("creates");
    let open = async |phase| store.has_open_calls(&sync(name), &run, phase).await.expect("answers");
    assert!(open(0).await);
    let claimed = store.claim(&sync(name), &run, 0, &token("w1"), Millis(1), Millis(2)).await.expect("answers");
    assert!(matches!(claimed, Claimed::Mine(_)));
    assert!(open(0).await);
    done(store.settle(&sync(name), &run, 0, &token("w1"), &outcome([])).await);
    assert!(!open(0).await);
    assert!(open(1).await);
}
