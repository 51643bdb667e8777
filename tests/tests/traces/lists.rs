//! Runs that make a new list, load it, put it in the place of the old one, and have that retired.

use driftless_deltalog::Deltalog;
use driftless_deltalog::head::{Named, Swap};
use driftless_deltalog::registry::SyncEntry;
use driftless_model::Millis;
use driftless_testkit::When::After;
use driftless_tests::{Mood, Replaces, Settings, Setup, World};
use futures::executor::block_on;

use super::stage::{email, holds_with, members, p};
use super::{INGEST, JANITOR, TO_CRM};

const PLANNER: &str = "memory:planner";

fn new_lists(deadline_s: u64) -> Setup {
    let settings = Settings { deadline_s, replaces: Some(Replaces::ByNewList), ..Settings::default() };
    Setup { settings, ..Setup::default() }
}

/// What the sync calls the list that it goes by.
fn list(w: &World) -> String {
    w.head(&w.sync()).expect("ingested").list().to_owned()
}

fn old_lists(w: &World) -> usize {
    w.head(&w.sync()).expect("ingested").lists.old.len()
}

/// The lists that there are.
fn lists(w: &World) -> Vec<String> {
    w.remote.lists(&w.sync()).into_keys().collect()
}

/// a and b are in the configured list.
fn filled(w: &mut World) {
    w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
    w.ingest();
    w.refresh();
    assert_eq!((members(w), list(w)), (vec!["a0".to_owned(), "b0".to_owned()], "s0".to_owned()), "it begins with it");
}

/// b leaves, c and d come; planned.
fn changed(w: &mut World) {
    w.upload(vec![p("a", "a0", 0), p("c", "c0", 0), p("d", "d0", 0)], false);
    w.ingest();
    w.plan();
}

#[test]
fn a_new_list_takes_the_place_of_the_old_one_once_it_is_loaded() {
    holds_with(new_lists(86_400), |w| {
        filled(w);
        changed(w);
        w.deliver();
        assert_eq!((list(w), lists(w).len(), members(w).len()), ("s0".to_owned(), 2, 2), "made, and not loaded yet");
        w.work_off(&[JANITOR]);
        let call = w.queue.visible(TO_CRM)[0].clone();
        let worker = w.receive(TO_CRM, &call).expect("it is there");
        w.finish(worker);
        let half = w.remote.members(&w.sync(), "list-1");
        assert_eq!((half.len(), members(w)), (2, vec!["a0".to_owned(), "b0".to_owned()]), "nobody sees half a list");
        w.work_off(&World::QUEUES);
        assert_eq!(
            (list(w), lists(w), members(w)),
            ("list-1".into(), vec!["list-1".into()], vec!["a0".into(), "c0".into(), "d0".into()])
        );
        assert_eq!(old_lists(w), 0);
        assert_eq!(w.remote.lists(&w.sync())["list-1"], "s0", "people know it by the name that they know");

        let writes = w.ghosts.writes();
        w.refresh();
        assert_eq!(
            (w.ghosts.writes(), list(w)),
            (writes, "list-1".to_owned()),
            "where nothing differs no list is made"
        );
        w.upload(vec![p("a", "a1", 0)], false);
        w.ingest();
        w.refresh();
        while w.approve(&w.sync()) {}
        w.refresh();
        assert_eq!((lists(w), members(w)), (vec!["list-2".to_owned()], vec!["a1".to_owned()]));
    });
}

#[test]
fn whoever_dies_anywhere_leaves_no_list_behind() {
    let points = [
        (TO_CRM, "claim"),
        (TO_CRM, "create_list"),
        (TO_CRM, "settle"),
        (TO_CRM, "request"),
        (JANITOR, "calls"),
        (JANITOR, "create_object"),
        (JANITOR, "fold"),
        (JANITOR, "update_run"),
        (TO_CRM, "pass_name_on"),
        (TO_CRM, "replace_old_list"),
        (TO_CRM, "retire_list"),
    ];
    for (url, step) in points {
        holds_with(new_lists(86_400), |w| {
            filled(w);
            changed(w);
            let mut died = false;
            for _ in 0..100 {
                let next = World::QUEUES.iter().find_map(|q| w.queue.visible(q).first().map(|id| (*q, id.clone())));
                let Some((queue, message)) = next else { break };
                let Some(worker) = w.receive(queue, &message) else { break };
                if queue == url && !died && w.run_until(worker, step, After) {
                    w.kill(worker);
                    died = true;
                    w.pass(400_000);
                } else {
                    w.finish(worker);
                }
            }
            assert!(died, "nobody came to {step}");
            for _ in 0..3 {
                w.pass(400_000);
                w.sweep();
                w.work_off(&World::QUEUES);
            }
            assert_eq!((lists(w), old_lists(w)), (vec!["list-1".to_owned()], 0), "{step}");
            assert_eq!(members(w), ["a0", "c0", "d0"], "{step}");
        });
    }
}

#[test]
fn an_overtaken_run_leaves_the_old_list_as_it_was_and_its_own_is_retired() {
    for made in [true, false] {
        holds_with(new_lists(86_400), |w| {
            filled(w);
            changed(w);
            if made {
                w.deliver();
                w.work_off(&[JANITOR]);
                w.remote.set_down(true);
            } else {
                // It is made, and nobody hears of it.
                w.remote.script([Mood::LosesAnswer]);
            }
            w.deliver();
            assert_eq!((lists(w).len(), members(w)), (2, vec!["a0".to_owned(), "b0".to_owned()]));
            w.remote.set_down(false);
            w.upload(vec![p("a", "a0", 0), p("e", "e0", 0)], false);
            w.ingest();
            w.sweep();
            w.work_off(&[JANITOR]);
            assert_eq!(
                (list(w), members(w)),
                ("s0".into(), vec!["a0".to_owned(), "b0".to_owned()]),
                "A is what it was"
            );
            let old = w.head(&w.sync()).expect("ingested").lists.old;
            assert!(matches!(&old[..], [one] if matches!(one.list, Named::Called(_)) == made), "{old:?}");
            w.work_off(&World::QUEUES);
            w.refresh();
            assert_eq!((lists(w), members(w)), (vec!["list-2".into()], vec!["a0".to_owned(), "e0".to_owned()]));
        });
    }
}

#[test]
fn a_list_that_cannot_be_retired_holds_nothing_up_and_is_not_forgotten() {
    holds_with(new_lists(86_400), |w| {
        filled(w);
        changed(w);
        w.work_off(&[TO_CRM, JANITOR]);
        // The calls are done; what follows is about the old list.
        assert_eq!((list(w), old_lists(w)), ("list-1".to_owned(), 0));
        w.upload(vec![p("a", "a1", 0), p("c", "c0", 0), p("d", "d0", 0)], false);
        w.ingest();
        w.plan();
        while list(w) == "list-1" {
            if w.queue.visible(JANITOR).is_empty() {
                w.deliver();
            }
            w.work_off(&[JANITOR]);
        }
        w.remote.script([Mood::RefusesUs; 2]);
        w.deliver();
        let old = w.head(&w.sync()).expect("ingested").lists.old.remove(0);
        assert_eq!((old.failures, old.last_error.is_some()), (1, true), "{old:?}");
        w.sweep();
        w.deliver();
        assert_eq!(w.head(&w.sync()).expect("ingested").lists.old[0].failures, 2);
        w.upload(vec![p("a", "a0", 0), p("c", "c0", 0), p("d", "d0", 0)], false);
        w.ingest();
        w.refresh();
        assert_eq!((list(w), lists(w)), ("list-3".to_owned(), vec!["list-3".to_owned()]), "runs go on");
    });
}

#[test]
fn refused_members_are_not_lost_in_bulk_and_a_few_are_not_in_the_new_list() {
    holds_with(new_lists(86_400), |w| {
        let everybody = |plan| ["a", "b", "c", "d"].map(|id| p(id, &format!("{id}0"), plan)).to_vec();
        w.upload(everybody(0), false);
        w.ingest();
        w.refresh();
        for id in ["a", "b", "c"] {
            w.remote.refuse(email(&format!("{id}0")));
        }
        w.upload(everybody(1), false);
        w.ingest();
        w.refresh();
        assert_eq!((list(w), members(w).len()), ("s0".to_owned(), 4), "three of four would be lost, two are allowed");
        assert_eq!(lists(w), ["s0"]);
        w.remote.accept_all();
        w.remote.refuse(email("a0"));
        w.refresh();
        assert_eq!((lists(w).len(), members(w)), (1, vec!["b0".to_owned(), "c0".into(), "d0".into()]));
        w.remote.accept_all();
        w.refresh();
        w.refresh();
    });
}

#[test]
fn a_person_who_is_erased_while_a_list_is_loaded_is_in_no_list() {
    holds_with(new_lists(86_400), |w| {
        filled(w);
        changed(w);
        w.deliver();
        w.work_off(&[JANITOR]);
        let calls = w.queue.visible(TO_CRM);
        let worker = w.receive(TO_CRM, &calls[0]).expect("it is there");
        w.finish(worker);
        let erasing = w.erase("a");
        w.finish(erasing);
        w.work_off(&World::QUEUES);
        w.refresh();
        assert_eq!((members(w), lists(w).len()), (vec!["c0".to_owned(), "d0".to_owned()], 1));
    });
}

#[test]
fn another_configured_list_is_another_list_and_a_half_loaded_one_is_retired() {
    holds_with(new_lists(86_400), |w| {
        filled(w);
        changed(w);
        w.deliver();
        w.work_off(&[JANITOR]);
        assert_eq!(lists(w), ["list-1", "s0"], "made, not loaded");
        // The sync is registered again: another incarnation of the same list.
        let entry = block_on(w.memory().sync(&w.sync())).expect("memory").expect("applied");
        let next = SyncEntry { incarnation: 2, revision: entry.revision + 1, ..entry };
        assert_eq!(block_on(w.memory().put_sync(&next)).expect("memory"), Swap::Done);
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
        w.work_off(&[INGEST]);
        let head = w.head(&w.sync()).expect("ingested");
        assert_eq!((head.incarnation, head.lists.old.len()), (2, 1));
        assert!(head.lists.old[0].since > Millis(0));
        w.sweep();
        w.work_off(&[JANITOR, PLANNER]);
        assert_eq!(lists(w).len(), 2, "somebody may still be loading it");
        w.pass(1_000_000);
        w.sweep();
        w.work_off(&World::QUEUES);
        assert_eq!((lists(w), old_lists(w)), (vec!["s0".to_owned()], 0));
        w.refresh();
    });
}
