//! A list that somebody else has changed is read, compared and corrected: strategy `compare`, and `driftless reconcile`.

use driftless_deltalog::Deltalog;
use driftless_deltalog::ledger::{Drift, Run, RunState};
use driftless_model::{Identifier, IdentifierSet};
use driftless_testkit::When;
use driftless_tests::history::end;
use driftless_tests::{Person, Settings, Setup, World};
use futures::executor::block_on;

const PLANNER: &str = World::QUEUES[1];
const TO_CRM: &str = World::QUEUES[2];
const JANITOR: &str = World::QUEUES[3];

fn person(n: usize) -> Person {
    let (id, plan) = (format!("p{n:02}"), "p0".to_owned());
    Person { email: format!("{id}@x.example"), id, phone: None, plan, consent: true }
}

fn email(n: usize) -> Identifier {
    Identifier::new("email", person(n).email)
}

/// A list of so many people, in step.
fn in_step(people: usize, settings: Settings) -> World {
    let mut w = World::new(Setup { settings, ..Setup::default() });
    w.upload((0..people).map(person).collect(), false);
    w.ingest();
    w.refresh();
    assert_eq!(w.members(&w.sync()).len(), people);
    w
}

/// The newest comparison.
fn compared(w: &World) -> Run {
    let runs = block_on(w.memory().runs(&w.sync(), 50)).expect("memory");
    runs.into_iter().find(|run| run.compares.is_some()).expect("there was one")
}

fn drift(w: &World) -> Drift {
    let run = compared(w);
    assert_eq!(run.state, RunState::Committed);
    run.result.and_then(|result| result.drift).expect("the list was read")
}

fn compare(w: &mut World, dry_run: bool) {
    w.compare(&w.sync(), dry_run);
    w.work_off(&World::QUEUES);
    w.sweep();
    w.work_off(&World::QUEUES);
}

fn take(w: &World, people: &[usize]) {
    w.remote.take(&w.sync(), &people.iter().map(|n| email(*n)).collect());
}

fn has(w: &World, n: usize) -> bool {
    w.members(&w.sync()).contains_key(&email(n))
}

fn well(mut w: World) {
    end(&mut w);
    assert_eq!(w.ghosts.violation(), None, "{}", w.ghosts.trace().join("\n"));
}

#[test]
fn whoever_is_missing_is_sent_again_and_nobody_else() {
    let mut w = in_step(8, Settings::default());
    take(&w, &[2, 5]);
    let writes = w.ghosts.writes();
    compare(&mut w, false);
    assert_eq!(drift(&w), Drift { members: 6, found: 6, missing: 2, ..Drift::default() });
    assert_eq!(w.ghosts.writes() - writes, 2, "two rows arrive");
    assert!(has(&w, 2) && has(&w, 5));
    well(w);
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let mut w = in_step(8, Settings::default());
    take(&w, &[2]);
    let before = w.signature();
    compare(&mut w, true);
    assert_eq!(drift(&w).missing, 1);
    assert_eq!(w.signature(), before);
    assert!(!has(&w, 2));
}

#[test]
fn a_comparison_that_finds_nothing_leaves_the_head_as_it_was() {
    let mut w = in_step(8, Settings::default());
    let before = w.signature();
    compare(&mut w, false);
    assert_eq!(drift(&w), Drift { members: 8, found: 8, ..Drift::default() });
    assert_eq!(w.signature(), before);
    well(w);
}

#[test]
fn whoever_was_removed_and_is_there_again_is_removed_again() {
    let mut w = in_step(4, Settings::default());
    w.upload((1..4).map(person).collect(), false);
    w.ingest();
    w.refresh();
    w.remote.put(&w.sync(), email(0), "p0");
    compare(&mut w, false);
    assert_eq!(drift(&w), Drift { members: 4, found: 3, strays: 1, ..Drift::default() });
    assert!(!has(&w, 0));
    well(w);
}

#[test]
fn strangers_stay_unless_the_list_is_ours_alone() {
    let stranger = Identifier::new("email", "stranger@elsewhere.example");
    for strangers_go in [false, true] {
        let mut w = in_step(4, Settings { strangers_go, ..Settings::default() });
        w.remote.put(&w.sync(), stranger.clone(), "?");
        // The scripted destination knows what was sent for whom; a stranger was never sent.
        w.ghosts.sent_before(&w.sync(), &stranger);
        compare(&mut w, false);
        assert_eq!(drift(&w).strangers, 1);
        let members: IdentifierSet = w.members(&w.sync()).into_keys().collect();
        assert_eq!(members.contains(&stranger), !strangers_go);
        assert_eq!(members.len(), 4 + usize::from(!strangers_go));
    }
}

#[test]
fn too_many_strangers_are_held_until_a_person_approves() {
    let mut w = in_step(4, Settings { strangers_go: true, max_removals: 2, ..Settings::default() });
    for n in 0..3 {
        let stranger = Identifier::new("email", format!("s{n}@elsewhere.example"));
        w.remote.put(&w.sync(), stranger.clone(), "?");
        w.ghosts.sent_before(&w.sync(), &stranger);
    }
    compare(&mut w, false);
    assert_eq!(w.members(&w.sync()).len(), 7, "DL-8: nobody is removed unasked");
    assert!(w.approve(&w.sync()));
    w.refresh();
    assert_eq!(w.members(&w.sync()).len(), 4);
}

#[test]
fn a_list_that_shows_other_identifiers_than_it_takes_says_nothing() {
    let mut w = in_step(4, Settings::default());
    take(&w, &[0, 1, 2, 3]);
    w.remote.put(&w.sync(), Identifier::new("email", "5d41402abc4b2a76b9719d911017c592"), "?");
    let before = w.signature();
    compare(&mut w, false);
    assert!(drift(&w).incomparable);
    assert_eq!(w.signature(), before);
}

#[test]
fn an_emptied_list_is_filled_again() {
    let mut w = in_step(4, Settings::default());
    take(&w, &[0, 1, 2, 3]);
    compare(&mut w, false);
    assert_eq!(drift(&w), Drift { missing: 4, ..Drift::default() });
    assert_eq!(w.members(&w.sync()).len(), 4);
    well(w);
}

#[test]
fn a_worker_that_dies_while_reading_loses_nothing() {
    let mut w = in_step(8, Settings::default());
    take(&w, &[7]);
    w.compare(&w.sync(), false);
    w.work_off(&[PLANNER]);
    let message = w.queue.visible(TO_CRM).first().cloned().expect("a call to read the list");
    let worker = w.receive(TO_CRM, &message).expect("it is there");
    assert!(w.run_until(worker, "list", When::After));
    w.kill(worker);
    w.pass(200_000);
    w.work_off(&World::QUEUES);
    w.sweep();
    w.work_off(&World::QUEUES);
    assert_eq!(drift(&w).missing, 1);
    assert!(has(&w, 7));
    well(w);
}

#[test]
fn a_list_that_cannot_be_read_holds_nothing_up() {
    let mut w = in_step(4, Settings::default());
    w.remote.set_down(true);
    w.compare(&w.sync(), false);
    w.work_off(&World::QUEUES);
    w.sweep();
    let run = compared(&w);
    assert_eq!(run.state, RunState::Committed, "it is over");
    assert_eq!(run.result.and_then(|r| r.drift), None);
    assert_eq!(w.head(&w.sync()).and_then(|head| head.active_run), None);
    w.remote.set_down(false);
    well(w);
}

#[test]
fn the_members_that_a_list_has_are_adopted() {
    let mut w = World::new(Setup { settings: Settings { adopts: true, ..Settings::default() }, ..Setup::default() });
    let elsewhere = Identifier::new("email", "old@elsewhere.example");
    // One of them is selected, and the list shows it in a case of its own.
    for i in [elsewhere.clone(), Identifier::new("email", person(1).email.to_uppercase())] {
        w.remote.put(&w.sync(), i.clone(), "?");
        w.ghosts.sent_before(&w.sync(), &i);
    }
    w.remote.set_down(true);
    w.upload((0..3).map(person).collect(), false);
    w.ingest();
    w.refresh();
    assert!(!has(&w, 0), "nothing is sent before the list was read");
    w.remote.set_down(false);
    for _ in 0..4 {
        w.pass(400_000);
        w.refresh();
    }
    assert_eq!(drift(&w).strangers, 2);
    let members = w.members(&w.sync());
    assert!(!members.contains_key(&elsewhere), "who is not selected is removed");
    assert!((0..3).all(|n| has(&w, n)));
    assert!(members.contains_key(&Identifier::new("email", person(1).email.to_uppercase())), "who is selected stays");
}

#[test]
fn an_empty_list_is_adopted_without_more() {
    let w = in_step(3, Settings { adopts: true, ..Settings::default() });
    well(w);
}

#[test]
fn the_strategy_reads_the_list_before_every_plan() {
    let mut w = in_step(4, Settings { compares: true, ..Settings::default() });
    take(&w, &[1]);
    w.upload([0, 1, 2, 4].map(person).to_vec(), false);
    w.ingest();
    w.refresh();
    assert_eq!(drift(&w).missing, 1);
    let members = w.members(&w.sync());
    assert_eq!(members.len(), 4);
    assert!(has(&w, 1) && has(&w, 4) && !has(&w, 3));
    well(w);
}

#[test]
fn a_comparison_that_meets_a_run_waits_for_it_and_a_plan_that_meets_a_comparison_is_not_lost() {
    let mut w = in_step(4, Settings::default());
    w.upload((0..5).map(person).collect(), false);
    w.ingest();
    w.plan();
    w.compare(&w.sync(), true);
    w.work_off(&[PLANNER]);
    w.deliver();
    w.work_off(&[JANITOR]);
    w.pass(61_000);
    w.work_off(&[PLANNER]);
    assert_eq!(compared(&w).state, RunState::Open, "the run is over, and the comparison began");
    w.upload((0..6).map(person).collect(), false);
    w.ingest();
    w.plan();
    assert!(!has(&w, 5));
    w.work_off(&World::QUEUES);
    w.pass(61_000);
    w.work_off(&World::QUEUES);
    assert!(has(&w, 5), "the tick came back");
    well(w);
}
