//! The smaller rules of the protocol.

use driftless_config::Selection;
use driftless_deltalog::Deltalog;
use driftless_deltalog::item::LogPartition;
use driftless_snapshot::{ViewSpec, check_view};
use driftless_testkit::When::After;
use driftless_tests::{Mood, Settings, Setup, key_hash};
use futures::executor::block_on;

use super::stage::{email, holds, holds_with, members, off, p};
use super::{JANITOR, TO_CRM, only};

#[test]
fn selections_whose_answer_changes_are_refused() {
    use arrow::datatypes::{DataType, Field, Schema};
    let schema = Schema::new(vec![Field::new("id", DataType::Utf8, true), Field::new("at", DataType::Int64, true)]);
    let spec = |condition: &str| ViewSpec {
        key: driftless_config::KeyColumns::new(vec!["id".into()]).expect("one column"),
        selection: Selection::Where(condition.into()),
        mapping: driftless_config::Mapping::default(),
        prefer: None,
    };
    assert!(check_view(&spec("at > 3"), &schema).is_ok());
    for changing in ["random() < 0.5", "now() IS NOT NULL", "current_date IS NOT NULL"] {
        assert!(check_view(&spec(changing), &schema).is_err(), "{changing}");
    }
}

#[test]
fn what_a_fold_did_not_deliver_is_superseded_not_committed() {
    holds(|w| {
        w.remote.refuse(email("b0"));
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
        w.ingest();
        let sync = w.sync();
        let head = w.head(&sync).expect("ingested");
        let token = head.versions[&1].token.clone();
        w.refresh();
        let partition = LogPartition { sync, incarnation: 1, version: 1, token };
        let item = |id| block_on(w.memory().item(&partition, key_hash(id))).expect("memory").expect("kept");
        let (a, b) = (item("a"), item("b"));
        assert!(a.committed_at.is_some() && a.superseded_by.is_none());
        assert!(b.committed_at.is_none() && b.superseded_by.is_some());
        assert!(a.expires_at.is_some() && b.expires_at.is_some());
    });
}

/// Found on the local cloud: the run parked until the next periodic sweep.
#[test]
fn a_first_request_that_is_throttled_is_made_again_after_the_wait_that_was_asked_for() {
    holds(|w| {
        w.upload(vec![p("a", "a0", 0)], false);
        w.ingest();
        w.plan();
        w.remote.script([Mood::Throttles]);
        w.deliver();
        w.pass(8_000);
        w.work_off(&[TO_CRM, JANITOR]);
        assert_eq!(members(w), ["a0"]);
    });
}

/// Found by the simulation: every later sweep failed.
#[test]
fn a_sweep_that_died_after_stamping_does_not_wait_for_items_that_have_expired() {
    holds(|w| {
        w.upload(vec![p("a", "a0", 0)], false);
        w.ingest();
        w.plan();
        w.deliver();
        let sweep = only(w, JANITOR);
        let sweeper = w.receive(JANITOR, &sweep).expect("it is there");
        assert!(w.run_until(sweeper, "stamp_items", After));
        w.kill(sweeper);
        w.pass(2_000_000);
        w.expire();
        w.sweep();
        assert!(w.head(&w.sync()).expect("ingested").retired.is_empty());
    });
}

#[test]
fn a_record_that_returns_and_leaves_again_needs_every_hold_approved() {
    let guarded = Setup { settings: Settings { max_removals: 1, ..Settings::default() }, ..Setup::default() };
    holds_with(guarded, |w| {
        let everybody = vec![p("a", "a0", 0), p("b", "b0", 0), p("c", "c0", 0)];
        w.upload(everybody.clone(), false);
        w.ingest();
        w.refresh();
        w.upload(vec![p("c", "c0", 0)], false);
        w.ingest();
        w.refresh();
        w.upload(everybody, false);
        w.ingest();
        w.refresh();
        assert_eq!(members(w), ["a0", "b0", "c0"]);
        w.upload(vec![p("c", "c0", 0)], false);
        w.ingest();
        w.refresh();
        assert_eq!(members(w), ["a0", "b0", "c0"], "held again");
        let sync = w.sync();
        while w.approve(&sync) {}
        w.refresh();
        assert_eq!(members(w), ["c0"]);
    });
}

#[test]
fn quarantine_outlives_folds_and_old_identifiers_go_all_the_same() {
    holds(|w| {
        w.upload(vec![p("a", "a0", 0)], false);
        w.ingest();
        w.refresh();
        w.remote.refuse(email("a1"));
        w.upload(vec![p("a", "a1", 0), p("b", "b0", 0)], false);
        w.ingest();
        for _ in 0..4 {
            w.refresh();
        }
        assert_eq!(members(w), ["b0"], "a0 is removed although a1 is refused");
        let sync = w.sync();
        let rejects = block_on(w.memory().rejects(&sync)).expect("memory");
        assert_eq!(rejects.iter().map(|r| r.attempts).collect::<Vec<_>>(), [2], "left alone after two attempts");
        w.upload(vec![p("a", "a0", 1), p("b", "b0", 0)], false);
        w.ingest();
        w.refresh();
        assert_eq!(members(w), ["a0", "b0"], "another state is tried");
    });
}

#[test]
fn nobody_swaps_a_head_after_their_own_deadline() {
    holds(|w| {
        w.upload(vec![p("a", "a0", 0)], false);
        let message = w.queue.visible("memory:ingest")[0].clone();
        let slow = w.receive("memory:ingest", &message).expect("it is there");
        assert!(w.run_until(slow, "put_items", After));
        w.pass(145_000);
        w.finish(slow);
        assert_eq!(w.head(&w.sync()).map(|h| h.version), Some(0));
    });
}

#[test]
fn a_destination_that_is_away_parks_the_run_and_nothing_is_lost() {
    holds(|w| {
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0), p("c", "c0", 0)], false);
        w.ingest();
        w.plan();
        w.remote.script([Mood::Answers, Mood::RefusesUs]);
        w.deliver();
        assert_eq!(members(w).len(), 2, "two a request");
        assert!(!off());
    });
}
