//! The histories that must not happen, one by one and by their numbers in the protocol, each with its rule and, where it can be
//! taken away, without. What bulk versions and compactions add to rules 7, 11 and 12 is in a file of its own.

#[path = "traces/bulk.rs"]
mod bulk;
#[path = "traces/jobs.rs"]
mod jobs;
#[path = "traces/lists.rs"]
mod lists;
#[path = "traces/smaller.rs"]
mod smaller;
#[path = "traces/stage.rs"]
mod stage;

use driftless_changeset::Rule;
use driftless_testkit::When::After;
use driftless_tests::{Forgotten, Mood, Settings, Setup, World};

use stage::{breaks_without, email, holds, holds_with, members, p};

const INGEST: &str = "memory:ingest";
const JANITOR: &str = "memory:janitor";
const TO_CRM: &str = "memory:to-crm";

/// The only message of a queue.
fn only(w: &World, url: &str) -> String {
    let visible = w.queue.visible(url);
    assert_eq!(visible.len(), 1, "{url} has one message");
    visible[0].clone()
}

#[test]
fn trace_01_a_loser_of_the_race_for_a_version_leaves_nothing_behind() {
    let trace = |w: &mut World| {
        w.upload(vec![p("b", "b0", 0)], false);
        w.upload(vec![p("c", "c0", 0), p("d", "d0", 0)], false);
        let messages = w.queue.visible(INGEST);
        let late = w.receive(INGEST, &messages[1]).expect("it is there");
        assert!(w.run_until(late, "put_items", After));
        w.kill(late);
        let wins = w.receive(INGEST, &messages[0]).expect("it is there");
        w.finish(wins);
        let planner = w.planner("one");
        w.finish(planner);
        w.deliver();
        assert_eq!(members(w), ["b0"]);
    };
    holds(trace);
    breaks_without(Forgotten::PrivateTokens, |w| {
        w.upload(vec![p("b", "b0", 0)], false);
        w.upload(vec![p("c", "c0", 0), p("d", "d0", 0)], false);
        let messages = w.queue.visible(INGEST);
        let late = w.receive(INGEST, &messages[1]).expect("it is there");
        w.run_until(late, "put_items", After);
        w.kill(late);
        let wins = w.receive(INGEST, &messages[0]).expect("it is there");
        w.finish(wins);
    });
}

#[test]
fn trace_02_a_snapshot_that_changes_nothing_still_makes_older_ones_old() {
    let trace = |w: &mut World| {
        w.upload(vec![p("c", "c0", 0), p("d", "d0", 0)], false);
        w.upload(vec![p("c", "c1", 0), p("b", "b0", 0)], false);
        w.upload(vec![p("c", "c0", 0), p("d", "d0", 0)], false);
        for n in [0, 2, 1] {
            let announcement = w.announcement(n).expect("uploaded");
            let task = w.invoke(INGEST, announcement, None);
            w.finish(task);
        }
    };
    holds(trace);
    breaks_without(Forgotten::NewestOrder, trace);
}

/// b is applied and the answer is lost.
fn lose_b(w: &mut World) {
    w.upload(vec![p("b", "b0", 0)], false);
    w.ingest();
    w.plan();
    w.remote.script([Mood::LosesAnswer; 4]);
    let call = only(w, TO_CRM);
    let task = w.receive(TO_CRM, &call).expect("it is there");
    w.finish(task);
}

const SETTINGS: Settings = Settings::USUAL;
const SETUP: Setup = Setup {
    seed: 0,
    syncs: 1,
    settings: SETTINGS,
    fold_percent: 10,
    bulk: u64::MAX,
    at_most: usize::MAX,
    chain: 50,
    grace_ms: 600_000,
    all_or_nothing: false,
    updates: false,
    jobs: false,
    forgotten: None,
};

#[test]
fn trace_03_what_may_be_there_is_removed_and_what_may_be_gone_is_added() {
    let applied = |w: &mut World| {
        lose_b(w);
        w.upload(Vec::new(), false);
        w.ingest();
        w.sweep();
        w.sweep();
        w.refresh();
        assert!(stage::off() || members(w).is_empty(), "b is removed");
    };
    holds(applied);
    stage::breaks_without_rule(Rule::Uncertain, SETUP, applied);
    let removed = |w: &mut World| {
        w.upload(vec![p("b", "b0", 0)], false);
        w.ingest();
        w.refresh();
        w.upload(Vec::new(), false);
        w.ingest();
        w.plan();
        w.remote.script([Mood::LosesAnswer; 4]);
        let call = only(w, TO_CRM);
        let task = w.receive(TO_CRM, &call).expect("it is there");
        w.finish(task);
        w.upload(vec![p("b", "b0", 0)], false);
        w.ingest();
        w.sweep();
        w.sweep();
        w.refresh();
        assert!(stage::off() || members(w) == ["b0"], "b is added again");
    };
    holds(removed);
    stage::breaks_without_rule(Rule::Uncertain, SETUP, removed);
}

#[test]
fn trace_04_a_refusal_or_an_erasure_after_a_lost_answer_is_uncertain() {
    let erased = |w: &mut World| {
        w.upload(vec![p("b", "b0", 0)], false);
        w.ingest();
        w.plan();
        w.remote.script([Mood::LosesAnswer]);
        let call = only(w, TO_CRM);
        let worker = w.receive(TO_CRM, &call).expect("it is there");
        assert!(w.run_until(worker, "request", After));
        w.kill(worker);
        let erasing = w.erase("b");
        w.finish(erasing);
        w.pass(200_000);
        w.deliver();
        w.refresh();
    };
    holds(erased);
    stage::breaks_without_rule(Rule::RejectionAfterUnsettled, SETUP, erased);
    holds(|w| {
        w.upload(vec![p("b", "b0", 0)], false);
        w.ingest();
        w.plan();
        w.remote.script([Mood::LosesAnswer]);
        w.remote.refuse(email("b0"));
        w.deliver();
        w.upload(Vec::new(), false);
        w.ingest();
        w.refresh();
        assert!(members(w).is_empty(), "b may be there, so it is removed");
    });
}

#[test]
fn trace_05_an_old_identifier_stays_known_until_it_is_removed() {
    let trace = |w: &mut World| {
        w.upload(vec![p("a", "a0", 0)], false);
        w.ingest();
        w.refresh();
        w.upload(vec![p("a", "a1", 0)], false);
        w.ingest();
        w.plan();
        w.remote.script([Mood::RejectsAll]);
        w.deliver();
        w.sweep();
        w.deliver();
        w.sweep();
        assert_eq!(members(w), ["a0", "a1"], "the removal was refused, the add was not");
        w.refresh();
        assert!(stage::off() || members(w) == ["a1"]);
    };
    holds(trace);
    stage::breaks_without_rule(Rule::IdentifierSet, SETUP, trace);
}

#[test]
fn trace_06_an_identifier_that_another_record_takes_over_stays() {
    let trace = |w: &mut World| {
        w.upload(vec![p("a", "x", 0)], false);
        w.ingest();
        w.refresh();
        w.upload(vec![p("d", "x", 1)], false);
        w.ingest();
        w.refresh();
        assert!(stage::off() || members(w) == ["x"]);
    };
    holds(trace);
    stage::breaks_without_rule(Rule::SharedIdentifiers, SETUP, trace);
}

#[test]
fn trace_07_what_is_held_stays_held_through_commits_and_folds() {
    let guarded = Setup { settings: Settings { max_removals: 1, ..SETTINGS }, ..SETUP };
    let trace = |w: &mut World| {
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0), p("c", "c0", 0)], false);
        w.ingest();
        w.refresh();
        w.upload(vec![p("c", "c0", 1)], false);
        w.ingest();
        for _ in 0..3 {
            w.refresh();
            assert!(stage::off() || members(w) == ["a0", "b0", "c0"], "nobody approved the removals");
        }
        let sync = w.sync();
        assert!(w.approve(&sync) || stage::off());
        while w.approve(&sync) {}
        w.refresh();
        assert!(stage::off() || members(w) == ["c0"]);
    };
    holds_with(guarded.clone(), trace);
    stage::breaks_without_rule(Rule::Holds, guarded, trace);
}

#[test]
fn trace_08_a_plan_that_was_overtaken_is_not_activated() {
    let trace = |w: &mut World| {
        w.upload(vec![p("a", "a0", 0)], false);
        w.ingest();
        let slow = w.planner("one");
        assert!(w.run_until(slow, "put_calls", After));
        w.upload(vec![p("a", "a0", 1)], false);
        w.ingest();
        let fast = w.planner("two");
        w.finish(fast);
        w.deliver();
        w.sweep();
        w.finish(slow);
        w.deliver();
    };
    holds(trace);
    breaks_without(Forgotten::ActivationGuard, trace);
}

#[test]
fn trace_09_a_run_whose_planner_died_before_it_sent_is_finished() {
    let trace = |w: &mut World| {
        w.upload(vec![p("a", "a0", 0)], false);
        w.ingest();
        let planner = w.planner("one");
        assert!(w.run_until(planner, "activate", After));
        w.kill(planner);
    };
    holds(trace);
    breaks_without(Forgotten::Resending, trace);
}

#[test]
fn trace_10_what_a_run_left_is_older_than_every_version_after_it() {
    let overtaken = |w: &mut World| {
        w.upload(vec![p("b", "b0", 0)], false);
        w.ingest();
        w.refresh();
        w.upload(vec![p("b", "b0", 0), p("c", "c0", 0)], false);
        w.ingest();
        w.plan();
        w.remote.set_down(true);
        w.deliver();
        w.upload(vec![p("b", "b0", 0)], false);
        w.ingest();
        w.remote.set_down(false);
        w.sweep();
        w.refresh();
        assert_eq!(members(w), ["b0"], "c must not come back");
    };
    holds(overtaken);
    let left = |w: &mut World| {
        w.upload(vec![p("b", "b0", 0)], false);
        w.ingest();
        w.plan();
        w.remote.set_down(true);
        w.deliver();
        w.upload(vec![p("b", "b0", 0), p("c", "c0", 0)], false);
        w.ingest();
        w.remote.set_down(false);
        w.sweep();
        w.refresh();
        assert!(stage::off() || members(w) == ["b0", "c0"], "b was not delivered, so it is sent");
    };
    holds(left);
    stage::breaks_without_rule(Rule::Residue, SETUP, left);
}

#[test]
fn trace_12_an_incomplete_version_is_not_an_empty_one() {
    let trace = |w: &mut World| {
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
        w.ingest();
        w.upload(vec![p("c", "c0", 0)], false);
        let message = only(w, INGEST);
        let slow = w.receive(INGEST, &message).expect("it is there");
        assert!(w.run_until(slow, "tombstones", After), "it has read the head");
        let planner = w.planner("one");
        w.finish(planner);
        w.deliver();
        w.sweep();
        w.sweep();
        w.pass(1_000);
        w.expire();
        w.finish(slow);
    };
    holds(trace);
    breaks_without(Forgotten::Counting, trace);
}

#[test]
fn trace_13_an_erasure_is_a_version_and_stops_what_is_queued() {
    let member = |w: &mut World| {
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
        w.ingest();
        w.refresh();
        let erasing = w.erase("a");
        w.finish(erasing);
        w.refresh();
        assert!(stage::off() || members(w) == ["b0"]);
    };
    holds(member);
    breaks_without(Forgotten::ErasureIsAVersion, member);
    holds(|w| {
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
        w.ingest();
        w.plan();
        let erasing = w.erase("a");
        w.finish(erasing);
        w.deliver();
        assert_eq!(members(w), ["b0"], "a call that was queued before does not send her");
    });
    holds(|w| {
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
        let message = only(w, INGEST);
        let slow = w.receive(INGEST, &message).expect("it is there");
        w.finish(slow);
        w.upload(vec![p("a", "a0", 1), p("b", "b0", 1)], false);
        let message = only(w, INGEST);
        let slow = w.receive(INGEST, &message).expect("it is there");
        assert!(w.run_until(slow, "put_items", After));
        let erasing = w.erase("a");
        w.finish(erasing);
        w.finish(slow);
        w.refresh();
        assert_eq!(members(w), ["b0"], "an ingest that had read the tombstones before starts again");
    });
}

#[test]
fn trace_14_a_new_configuration_sends_everybody_again_and_is_not_undone() {
    let remapped = |w: &mut World| {
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
        w.ingest();
        w.refresh();
        let sync = w.sync();
        w.reconfigure(&sync);
        w.upload(vec![p("a", "a0", 0)], false);
        w.ingest();
        w.refresh();
        assert_eq!(members(w), ["a0"]);
    };
    holds(remapped);
    stage::breaks_without_rule(Rule::NewConfiguration, SETUP, remapped);
    let flipped_back = |w: &mut World| {
        w.upload(Vec::new(), false);
        w.ingest();
        w.upload(vec![p("a", "a0", 1)], false);
        let message = only(w, INGEST);
        let old = w.receive(INGEST, &message).expect("it is there");
        assert!(w.run_until(old, "tombstones", After), "it works with the old configuration");
        let sync = w.sync();
        w.reconfigure(&sync);
        let first = w.announcement(0).expect("uploaded");
        let new = w.invoke(INGEST, first, None);
        w.finish(new);
        w.finish(old);
    };
    holds(flipped_back);
    breaks_without(Forgotten::ConfigurationEpoch, flipped_back);
}

#[test]
fn trace_15_a_tick_plans_once() {
    let trace = |w: &mut World| {
        w.remote.refuse(email("a0"));
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
        w.ingest();
        for _ in 0..2 {
            let planner = w.planner("the tick");
            w.finish(planner);
            w.deliver();
            w.sweep();
        }
    };
    holds(trace);
    breaks_without(Forgotten::Ticks, trace);
}

#[test]
fn trace_16_closing_waits_for_claims() {
    let closing = Setup { settings: Settings { deadline_s: 60, ..SETTINGS }, ..SETUP };
    let trace = |w: &mut World| {
        w.upload(vec![p("b", "b0", 0)], false);
        w.ingest();
        w.plan();
        let call = only(w, TO_CRM);
        let worker = w.receive(TO_CRM, &call).expect("it is there");
        assert!(w.run_until(worker, "swap_budget", After), "it has claimed the call and is about to send");
        w.pass(70_000);
        w.sweep();
        w.work_off(&[JANITOR]);
        w.sweep();
        w.finish(worker);
        w.upload(Vec::new(), false);
        w.ingest();
        w.sweep();
    };
    holds_with(closing.clone(), trace);
    stage::breaks_without_in(Forgotten::ClaimsWhileClosing, closing, trace);
    // A worker that comes after the run was closed finds it so.
    holds_with(Setup { settings: Settings { deadline_s: 60, ..SETTINGS }, ..SETUP }, |w| {
        w.upload(vec![p("b", "b0", 0)], false);
        w.ingest();
        w.plan();
        let call = only(w, TO_CRM);
        let worker = w.receive(TO_CRM, &call).expect("it is there");
        assert!(w.run_until(worker, "run", After), "it has read the run");
        w.pass(70_000);
        w.sweep();
        w.finish(worker);
        assert!(members(w).is_empty(), "nothing is sent for a run that is closing");
    });
}

#[test]
fn trace_17_what_we_cannot_exclude_is_said() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/delivery-semantics.md");
    let text = std::fs::read_to_string(path).expect("the document is there");
    let (_, assumptions) = text.split_once("## Assumptions").expect("it states its assumptions");
    assert!(assumptions.contains("delays beyond the lease"));
    assert!(assumptions.contains("cannot be excluded"));
}
