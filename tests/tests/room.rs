//! Changes that are too many for one run, and functions that are too small.

use driftless_deltalog::Deltalog;
use driftless_deltalog::ledger::{Run, RunState};
use driftless_tests::{Setup, World, history, people};
use futures::executor::block_on;

/// One tick, and whatever comes of it.
fn tick(w: &mut World) {
    let sync = w.sync();
    w.tick(&sync);
    w.work_off(&World::QUEUES);
}

fn runs(w: &World) -> Vec<Run> {
    let mut runs = block_on(w.memory().runs(&w.sync(), 100)).expect("memory");
    runs.reverse();
    runs
}

fn attention(w: &World) -> Option<String> {
    w.head(&w.sync()).and_then(|head| head.attention).map(|attention| attention.reason)
}

fn ends_well(mut w: World) {
    history::end(&mut w);
    let violation = w.ghosts.violation();
    assert!(violation.is_none(), "{}\n{}", violation.unwrap_or_default(), w.ghosts.trace().join("\n"));
}

#[test]
fn a_first_load_of_many_is_cut_into_runs_of_full_calls_that_follow_each_other() {
    let mut w = World::new(Setup { bulk: 0, at_most: 5, ..Setup::default() });
    w.upload(people(13, 0), false);
    w.ingest();
    tick(&mut w);
    let runs = runs(&w);
    let said: Vec<_> = runs.iter().map(|run| (run.counts.adds, run.calls, run.rest)).collect();
    // Two records a call: four, not five, so that the calls in total are seven, as in one run.
    assert_eq!(said, [(4, 2, Some(9)), (4, 2, Some(5)), (5, 3, None)]);
    assert!(runs.iter().all(|run| run.state == RunState::Committed));
    let head = w.head(&w.sync()).expect("it was ingested");
    assert!(head.versions.is_empty() && head.residue.is_none(), "the last run takes the bulk version in: {head:?}");
    assert_eq!(w.members(&w.sync()).len(), 13);
    ends_well(w);
}

#[test]
fn a_part_goes_on_with_the_newest_snapshot_and_what_no_longer_differs_is_not_sent() {
    let mut w = World::new(Setup { bulk: 0, at_most: 4, ..Setup::default() });
    w.upload(people(8, 0), false);
    w.ingest();
    w.plan();
    w.upload(people(6, 0), false);
    w.ingest();
    w.work_off(&World::QUEUES);
    let added: u64 = runs(&w).iter().map(|run| run.counts.adds).sum();
    let members = w.members(&w.sync()).len();
    assert_eq!(members, 6);
    assert!((6..=8).contains(&added), "{added} adds for 6 members, of whom some may have left since");
    ends_well(w);
}

#[test]
fn a_sweep_sees_to_it_that_a_run_has_its_successor() {
    let mut w = World::new(Setup { bulk: 0, at_most: 4, ..Setup::default() });
    w.upload(people(8, 0), false);
    w.ingest();
    w.plan();
    w.deliver();
    w.sweep();
    // The janitor's message to the planner is lost.
    let planner = World::QUEUES.into_iter().find(|url| url.ends_with("planner")).expect("there is one");
    for message in w.queue.messages(planner) {
        w.queue.lose(planner, &message.id);
    }
    assert_eq!(runs(&w).len(), 1, "{}", w.ghosts.trace().join("\n"));
    w.pass(185_000);
    w.ask_for_sweep();
    w.work_off(&World::QUEUES);
    assert_eq!(runs(&w).len(), 2, "{}", w.ghosts.trace().join("\n"));
    assert_eq!(w.members(&w.sync()).len(), 8);
    ends_well(w);
}

#[test]
fn a_planner_that_is_too_small_says_so_and_a_larger_one_heals_it_at_the_next_tick() {
    let mut w = World::new(Setup::default());
    w.upload(people(3, 0), false);
    w.ingest();
    w.planner_mb = 100;
    tick(&mut w);
    let reason = attention(&w).expect("somebody must act");
    assert!(reason.contains("raise PlannerMemoryMegabytes to"), "{reason}");
    assert!(runs(&w).is_empty(), "nothing was begun");
    w.planner_mb = 1_024;
    tick(&mut w);
    assert_eq!((attention(&w), w.members(&w.sync()).len()), (None, 3));
    ends_well(w);
}

#[test]
fn nothing_is_sent_that_the_janitor_could_not_commit() {
    let mut w = World::new(Setup::default());
    w.upload(people(3, 0), false);
    w.ingest();
    w.janitor_mb = 200;
    tick(&mut w);
    let reason = attention(&w).expect("somebody must act");
    assert!(reason.contains("raise JanitorMemoryMegabytes to"), "{reason}");
    assert!(w.members(&w.sync()).is_empty(), "nothing was sent");
    w.janitor_mb = 1_024;
    tick(&mut w);
    assert_eq!((attention(&w), w.members(&w.sync()).len()), (None, 3));
    ends_well(w);
}

#[test]
fn a_janitor_that_has_become_too_small_waits_and_commits_when_it_is_larger() {
    let mut w = World::new(Setup::default());
    w.upload(people(3, 0), false);
    w.ingest();
    let sync = w.sync();
    w.plan();
    w.janitor_mb = 200;
    w.work_off(&World::QUEUES);
    let reason = attention(&w).expect("somebody must act");
    assert!(reason.contains("raise JanitorMemoryMegabytes to"), "{reason}");
    assert!(w.head(&sync).is_some_and(|head| head.active_run.is_some()), "the run is not lost");
    w.janitor_mb = 1_024;
    w.ask_for_sweep();
    w.work_off(&World::QUEUES);
    assert!(w.head(&sync).is_some_and(|head| head.active_run.is_none()));
    assert_eq!(attention(&w), None);
    ends_well(w);
}
