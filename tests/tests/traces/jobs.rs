//! A destination that accepts requests and tells later what became of them.

use driftless_deltalog::Deltalog;
use driftless_deltalog::ledger::RunState;
use driftless_testkit::When::After;
use driftless_tests::{Settings, Setup, World};
use futures::executor::block_on;

use super::stage::{holds_with, members, p};
use super::{TO_CRM, only};

fn asynchronous(deadline_s: u64) -> Setup {
    Setup { jobs: true, settings: Settings { deadline_s, ..Settings::default() }, ..Setup::default() }
}

/// b is to be added by a job that takes so long.
fn add_b(w: &mut World, job_ms: i64) {
    w.upload(vec![p("b", "b0", 0)], false);
    w.ingest();
    w.plan();
    w.remote.script_jobs([job_ms]);
    w.deliver();
}

fn is_active(w: &World) -> bool {
    w.head(&w.sync()).is_some_and(|head| head.active_run.is_some())
}

fn state(w: &World) -> Option<RunState> {
    let head = w.head(&w.sync())?;
    block_on(w.memory().run(&w.sync(), &head.active_run?)).expect("memory").map(|run| run.state)
}

fn jobs_in_flight(w: &World) -> usize {
    let run = w.head(&w.sync()).and_then(|head| head.active_run).expect("a run is active");
    let calls = block_on(w.memory().calls(&w.sync(), &run)).expect("memory");
    calls.iter().flat_map(|call| &call.jobs).count()
}

#[test]
fn what_is_accepted_is_committed_when_its_job_has_ended_and_not_before() {
    holds_with(asynchronous(86_400), |w| {
        add_b(w, 400_000);
        assert_eq!((members(w).len(), jobs_in_flight(w)), (0, 1));
        w.sweep();
        assert!(is_active(w), "accepted is not delivered (DL-2)");
        let writes = w.ghosts.writes();
        w.pass(900_000);
        w.deliver();
        w.sweep();
        assert!(!is_active(w), "the job has told what became of it");
        assert_eq!((members(w), w.ghosts.writes()), (vec!["b0".to_owned()], writes + 1));
    });
}

#[test]
fn a_run_is_not_committed_while_a_job_may_still_change_the_list() {
    holds_with(asynchronous(100), |w| {
        add_b(w, 1_000_000);
        w.upload(vec![p("c", "c0", 0)], false);
        w.ingest();
        w.pass(110_000);
        w.sweep();
        w.sweep();
        assert!(matches!(state(w), Some(RunState::Closing { .. })), "its deadline has passed: {:?}", state(w));
        w.refresh();
        assert!(is_active(w), "rule 16: the next run waits for the job");
        w.pass(1_800_000);
        w.deliver();
        w.sweep();
        w.refresh();
        w.pass(1_000_000);
        w.refresh();
        w.pass(1_000_000);
        w.refresh();
        assert_eq!(members(w), ["c0"], "b was added by the old run and removed by the next one");
    });
}

#[test]
fn whoever_dies_before_a_job_is_kept_sends_again_and_whoever_dies_after_does_not() {
    for (died_after, requests) in [("request", 2), ("keep", 1)] {
        holds_with(asynchronous(86_400), |w| {
            w.upload(vec![p("b", "b0", 0)], false);
            w.ingest();
            w.plan();
            w.remote.script_jobs([30_000, 30_000]);
            let call = only(w, TO_CRM);
            let worker = w.receive(TO_CRM, &call).expect("it is there");
            assert!(w.run_until(worker, died_after, After));
            w.kill(worker);
            w.pass(400_000);
            w.deliver();
            w.pass(400_000);
            w.deliver();
            w.sweep();
            assert_eq!((members(w), w.ghosts.writes()), (vec!["b0".to_owned()], requests));
        });
    }
}
