//! Jobs: accepted is not delivered, and a row that is in flight is not sent again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Mutex;

use async_trait::async_trait;
use driftless_model::Outcome;
use futures::executor::block_on;
use proptest::prelude::*;

use super::tests::{Virtual, rows, with, work};
use super::*;
use crate::{
    Acknowledges, Answer, Answered, Batch, Capabilities, CheckStep, Failure, Gate, Job, Limits, ListState, Page,
    Replace,
};

/// What a request or a question meets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The answer is lost; what was asked was done.
    Lost,
    Throttled,
    Down,
    /// The destination forgets the job after it was applied.
    Forgotten,
    LoginGone,
}

/// A destination that works on everything for a while. Its job is refused as a whole where a row of it is bad.
struct Factory<'a> {
    capabilities: Capabilities,
    time: &'a Virtual,
    takes: i64,
    bad: BTreeSet<u32>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jobs: BTreeMap<String, (Vec<u32>, i64)>,
    applied: BTreeSet<u32>,
    /// Every request with its rows.
    sent: Vec<Vec<u32>>,
    polls: u32,
    cleared: u32,
    faults: VecDeque<Option<Fault>>,
}

impl<'a> Factory<'a> {
    fn new(time: &'a Virtual, takes: i64) -> Self {
        let limits = Some(Limits::records(NonZeroU32::new(4).unwrap()));
        let capabilities = Capabilities {
            add: limits,
            acknowledges: Acknowledges::Job,
            replace: Some(Replace::ClearAfter),
            job_timeout: Duration::from_millis(JOB_TIMEOUT_MS.unsigned_abs()),
            ..Capabilities::default()
        };
        Self { capabilities, time, takes, bad: BTreeSet::new(), state: Mutex::default() }
    }

    fn meeting(self, faults: impl IntoIterator<Item = Option<Fault>>) -> Self {
        self.state.lock().unwrap().faults.extend(faults);
        self
    }

    fn accept(&self, rows: Vec<u32>) -> Answered {
        let mut state = self.state.lock().unwrap();
        state.sent.push(rows.clone());
        let fault = state.faults.pop_front().flatten();
        if fault == Some(Fault::Throttled) {
            return Answered::Throttled { after: Some(Duration::from_secs(2)), reason: "429".into() };
        }
        let name = format!("job-{}", state.sent.len());
        state.jobs.insert(name.clone(), (rows, self.time.now().0 + self.takes));
        match fault {
            Some(Fault::Lost) => Answered::NoAnswer { reason: "reset".into() },
            _ => Answered::Accepted { job: Job::new(name).unwrap() },
        }
    }

    fn told(&self, job: &Job, rows: usize) -> Answered {
        let mut state = self.state.lock().unwrap();
        state.polls += 1;
        let reason = || "as told".to_owned();
        let unknown = Answered::Rows(vec![Outcome::Unknown.into(); rows]);
        let Some((of, done)) = state.jobs.get(job.as_str()).cloned() else { return unknown };
        let is_done = done <= self.time.now().0;
        if is_done && of.iter().all(|row| !self.bad.contains(row)) {
            state.applied.extend(&of);
        }
        match state.faults.pop_front().flatten() {
            Some(Fault::Lost) => return Answered::NoAnswer { reason: reason() },
            Some(Fault::Throttled) => return Answered::Throttled { after: None, reason: reason() },
            Some(Fault::Down) => return Answered::Unavailable { reason: reason() },
            Some(Fault::LoginGone) => return Answered::Fatal { reason: reason() },
            Some(Fault::Forgotten) => {
                state.jobs.remove(job.as_str());
                return unknown;
            }
            None => {}
        }
        if !is_done {
            return Answered::Pending { after: None };
        }
        if of.iter().any(|row| self.bad.contains(row)) {
            return Answered::BatchRejected { reason: "INVALID".into() };
        }
        Answered::Rows(vec![Outcome::Delivered.into(); rows])
    }
}

fn numbers(rows: &[OutRow]) -> Vec<u32> {
    rows.iter().map(|row| row.key.as_str().parse().unwrap()).collect()
}

#[async_trait]
impl Connector for Factory<'_> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
    async fn send(&self, batch: &Batch<'_>) -> Answer {
        Answer { is: self.accept(numbers(batch.rows)), requests: 1 }
    }
    async fn poll(&self, job: &Job, batch: &Batch<'_>) -> Answer {
        Answer { is: self.told(job, batch.rows.len()), requests: 1 }
    }
    async fn clear(&self, before: Millis, batch: &Batch<'_>) -> Answer {
        assert_eq!((before, batch.rows.len()), (Millis(77), 0));
        self.state.lock().unwrap().cleared += 1;
        Answer { is: self.accept(Vec::new()), requests: 1 }
    }
    async fn inspect(&self) -> Result<ListState, Failure> {
        Ok(ListState::Unreadable)
    }
    async fn list(&self, _: Option<String>, _: &dyn Gate) -> Result<Page, Failure> {
        Err(Failure::Unsupported { what: "list" })
    }
    async fn check(&self) -> Vec<CheckStep> {
        Vec::new()
    }
}

/// Remembers what was kept, or fails to.
#[derive(Default)]
struct Book {
    kept: Mutex<Vec<Kept>>,
    fails: bool,
}

#[async_trait]
impl KeepJobs for Book {
    async fn keep(&self, kept: &Kept) -> Result<(), NotKept> {
        if self.fails {
            return Err(NotKept);
        }
        self.kept.lock().unwrap().push(kept.clone());
        Ok(())
    }
}

static NOBODY: BTreeSet<u32> = BTreeSet::new();

fn jobs<'a>(in_flight: &'a [InFlight], book: &'a Book) -> Jobs<'a> {
    Jobs { in_flight, never_again: &NOBODY, keeper: book }
}

fn run(factory: &Factory<'_>, work: Work<'_>) -> Driven {
    block_on(drive(factory, factory.time, factory.time, work))
}

#[test]
fn a_short_job_is_waited_for_within_the_claim() {
    let time = Virtual::new(0);
    let (factory, book) = (Factory::new(&time, 6_000), Book::default());
    let driven = run(&factory, Work { jobs: jobs(&[], &book), ..work(&rows(4)) });
    assert_eq!((with(&driven, &Outcome::Delivered).len(), driven.stop, driven.jobs), (4, None, vec![]));
    let kept = book.kept.lock().unwrap();
    assert_eq!(kept.len(), 1, "the job is kept before it is asked for");
    assert_eq!((kept[0].in_flight[0].rows.clone(), kept[0].unanswered), (vec![0, 1, 2, 3], false));
    assert_eq!(kept[0].outcomes, BTreeMap::new(), "accepted is not delivered (DL-2)");
}

#[test]
fn a_long_job_outlives_the_claim_and_its_rows_are_not_sent_again() {
    let time = Virtual::new(0);
    let (factory, book) = (Factory::new(&time, 1_000_000), Book::default());
    let rows = rows(6);
    let first = run(&factory, Work { jobs: jobs(&[], &book), ..work(&rows) });
    assert_eq!(first.jobs.len(), 2, "both requests are in flight");
    assert!(!first.unanswered, "what is in flight is not in doubt");
    let Some(Stop::Pending { until }) = first.stop else { panic!("it waits for the jobs: {:?}", first.stop) };
    assert_eq!(with(&first, &Outcome::Unknown).len(), 6);

    time.pass(until.0 - time.now().0);
    let later = Millis(time.now().0 + 600_000);
    let second = run(&factory, Work { jobs: jobs(&first.jobs, &book), stop_before: later, ..work(&rows) });
    assert!(matches!(second.stop, Some(Stop::Pending { .. })));
    time.pass(1_000_000);
    let later = Millis(time.now().0 + 600_000);
    let third = run(&factory, Work { jobs: jobs(&second.jobs, &book), stop_before: later, ..work(&rows) });
    assert_eq!((with(&third, &Outcome::Delivered).len(), third.stop), (6, None));
    assert_eq!(factory.state.lock().unwrap().sent.len(), 2, "nothing was sent twice");
}

#[test]
fn a_job_that_cannot_be_kept_stops_the_claim() {
    let time = Virtual::new(0);
    let (factory, book) = (Factory::new(&time, 0), Book { fails: true, ..Book::default() });
    let driven = run(&factory, Work { jobs: jobs(&[], &book), ..work(&rows(8)) });
    assert_eq!(driven.stop, Some(Stop::Deadline));
    assert_eq!(factory.state.lock().unwrap().sent.len(), 1, "nothing more is sent");
    assert_eq!(driven.jobs[0].rows, [0, 1, 2, 3], "the release may still keep it");
}

#[test]
fn whoever_died_before_the_job_was_kept_sends_again() {
    let time = Virtual::new(0);
    let factory = Factory::new(&time, 0);
    let rows = rows(3);
    run(&factory, work(&rows));
    // The next claim knows of no job, only that something may have been sent.
    let driven = run(&factory, Work { first_attempt_unsettled: true, ..work(&rows) });
    assert_eq!((with(&driven, &Outcome::Delivered).len(), driven.stop), (3, None));
    assert_eq!(factory.state.lock().unwrap().sent.len(), 2);
}

#[test]
fn a_job_that_the_destination_forgot_is_sent_again_if_that_does_no_harm() {
    for repeatable in [true, false] {
        let time = Virtual::new(0);
        let mut factory = Factory::new(&time, 0).meeting([None, Some(Fault::Forgotten)]);
        factory.capabilities.repeatable = repeatable;
        let driven = run(&factory, work(&rows(3)));
        let (outcome, sent) = if repeatable { (Outcome::Delivered, 2) } else { (Outcome::Unknown, 1) };
        assert_eq!((with(&driven, &outcome).len(), &driven.stop), (3, &None));
        assert_eq!(factory.state.lock().unwrap().sent.len(), sent);
    }
}

#[test]
fn a_destination_that_forgets_every_job_is_given_up_for_now() {
    let time = Virtual::new(0);
    let factory = Factory::new(&time, 0).meeting([[None, Some(Fault::Forgotten)]; 9].concat());
    let driven = run(&factory, work(&rows(3)));
    assert!(matches!(driven.stop, Some(Stop::NoAnswer { .. })));
    assert!(driven.unanswered);
    assert_eq!(factory.state.lock().unwrap().sent.len(), course::TRIES as usize);
}

#[test]
fn a_job_whose_time_is_over_leaves_its_rows_unknown() {
    let time = Virtual::new(0);
    let (factory, book) = (Factory::new(&time, i64::MAX / 2), Book::default());
    let rows = rows(3);
    let first = run(&factory, Work { jobs: jobs(&[], &book), ..work(&rows) });
    time.pass(3_600_000);
    let work = Work { jobs: jobs(&first.jobs, &book), stop_before: Millis(9_000_000), ..work(&rows) };
    let driven = run(&factory, work);
    assert_eq!((with(&driven, &Outcome::Unknown).len(), driven.stop.clone(), driven.jobs.len()), (3, None, 0));
    assert!(driven.unanswered);
}

#[test]
fn a_question_without_an_answer_is_put_again_and_says_nothing_of_the_rows() {
    for fault in [Fault::Lost, Fault::Throttled, Fault::Down] {
        let time = Virtual::new(0);
        let mut factory = Factory::new(&time, 0).meeting([None, Some(fault), None]);
        factory.bad.insert(1);
        let driven = run(&factory, work(&rows(2)));
        let rejected = Outcome::Rejected { reason: "INVALID".into() };
        assert_eq!(with(&driven, &rejected), BTreeSet::from([1]), "{fault:?} does not make a rejection doubtful");
        assert_eq!(with(&driven, &Outcome::Delivered), BTreeSet::from([0]));
    }
}

#[test]
fn a_login_that_is_gone_stops_the_questions_and_keeps_the_jobs() {
    let time = Virtual::new(0);
    let factory = Factory::new(&time, 0).meeting([None, Some(Fault::LoginGone)]);
    let driven = run(&factory, work(&rows(2)));
    assert!(matches!(driven.stop, Some(Stop::Fatal { .. })));
    assert_eq!(driven.jobs.len(), 1);
}

#[test]
fn a_row_that_was_erased_in_flight_is_asked_for_and_not_sent_again() {
    let time = Virtual::new(0);
    let (factory, book) = (Factory::new(&time, 100_000), Book::default());
    let rows = rows(3);
    let first = run(&factory, Work { jobs: jobs(&[], &book), ..work(&rows) });
    time.pass(200_000);
    factory.state.lock().unwrap().faults.push_back(Some(Fault::Forgotten));
    let erased = BTreeSet::from([1]);
    let jobs = Jobs { never_again: &erased, ..jobs(&first.jobs, &book) };
    let driven = run(&factory, Work { jobs, ..work(&rows) });
    assert_eq!(driven.outcomes[&1].outcome, Outcome::Unknown);
    assert_eq!(factory.state.lock().unwrap().sent, [vec![0, 1, 2], vec![0, 2]]);
}

#[test]
fn a_list_is_cleared_once_and_the_job_is_waited_for() {
    let time = Virtual::new(0);
    let (factory, book) = (Factory::new(&time, 100_000), Book::default());
    let clear = Work { operation: Operation::Clear, before: Millis(77), jobs: jobs(&[], &book), ..work(&[]) };
    let first = run(&factory, clear);
    assert!(matches!(first.stop, Some(Stop::Pending { .. })));
    assert_eq!(first.jobs[0].rows, [0_u32; 0]);
    time.pass(200_000);
    let driven = run(&factory, Work { jobs: jobs(&first.jobs, &book), ..clear });
    assert_eq!((driven.stop, driven.jobs.len()), (None, 0));
    assert_eq!(factory.state.lock().unwrap().cleared, 1);
}

#[test]
fn a_list_that_cannot_be_cleared_stops_the_call() {
    let time = Virtual::new(0);
    let mut factory = Factory::new(&time, 0);
    factory.capabilities.replace = None;
    let driven = run(&factory, Work { operation: Operation::Clear, ..work(&[]) });
    assert!(matches!(driven.stop, Some(Stop::Fatal { .. })));
}

const JOB_TIMEOUT_MS: i64 = 3_600_000;

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(Fault::Lost)),
        1 => Just(Some(Fault::Throttled)),
        1 => Just(Some(Fault::Down)),
        1 => Just(Some(Fault::Forgotten)),
        1 => Just(Some(Fault::LoginGone)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Claims follow one another, each with what the last one released; some die, and then the last word is what was kept.
    #[test]
    fn over_many_claims_delivered_means_applied_and_bad_rows_are_found(
        n in 1_u32..14,
        takes in 0_i64..2_000_000,
        bad in prop::collection::btree_set(0_u32..14, 0..3),
        faults in prop::collection::vec(fault(), 0..30),
        deaths in prop::collection::vec(any::<bool>(), 40),
    ) {
        let time = Virtual::new(0);
        let mut factory = Factory::new(&time, takes).meeting(faults);
        factory.bad.clone_from(&bad);
        let all = rows(n);
        let (mut in_flight, mut maybe) = (Vec::new(), false);
        let mut known: BTreeMap<u32, RowOutcome> = BTreeMap::new();
        let mut settled = false;
        for dies in deaths.into_iter().chain([false; 400]) {
            let open: Vec<(u32, OutRow)> = all.iter().filter(|(n, _)| !known.contains_key(n)).cloned().collect();
            let book = Book::default();
            let driven = run(&factory, Work {
                stop_before: Millis(time.now().0 + 60_000),
                first_attempt_unsettled: maybe,
                jobs: jobs(&in_flight, &book),
                ..work(&open)
            });
            let applied = factory.state.lock().unwrap().applied.clone();
            for (number, row) in &driven.outcomes {
                match &row.outcome {
                    Outcome::Delivered => prop_assert!(applied.contains(number), "delivered means applied (DL-2)"),
                    Outcome::Rejected { .. } => prop_assert!(bad.contains(number)),
                    _ => {}
                }
            }
            if dies {
                maybe = true;
                if let Some(kept) = book.kept.lock().unwrap().last() {
                    in_flight.clone_from(&kept.in_flight);
                    known.extend(kept.outcomes.clone());
                }
            } else {
                maybe |= driven.unanswered;
                in_flight = driven.jobs;
                if driven.stop.is_none() {
                    prop_assert!(in_flight.is_empty());
                    known.extend(driven.outcomes);
                    settled = true;
                    break;
                }
                known.extend(driven.outcomes.into_iter().filter(|(number, _)| driven.last.contains(number)));
            }
            let next = in_flight.iter().map(|job| job.poll_at.0).min().unwrap_or(0);
            time.pass((next - time.now().0).max(1_000));
        }
        prop_assert!(settled, "it comes to an end");
        for number in 0..n {
            let outcome = &known[&number].outcome;
            if !bad.contains(&number) {
                // A job that is asked for only after its time-out leaves its rows unknown.
                let timed_out = *outcome == Outcome::Unknown && time.now().0 >= JOB_TIMEOUT_MS;
                prop_assert!(*outcome == Outcome::Delivered || timed_out, "{number} is {outcome:?}");
            }
        }
    }
}
