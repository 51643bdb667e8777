use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroU32,
    sync::Mutex,
};

use async_trait::async_trait;
use driftless_model::{Identifier, Outcome, RecordKey};
use futures::executor::block_on;
use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::{
    Acknowledges, Answer, Answered, Batch, Capabilities, CheckStep, Failure, Gate, Limits, ListState, PacerError, Page,
};

/// Time that passes only when somebody sleeps or a request takes some.
pub(super) struct Virtual {
    now: Mutex<i64>,
    slots: Mutex<u32>,
    /// Every slot is this much after the one before.
    spacing: i64,
}

impl Virtual {
    pub(super) fn new(spacing: i64) -> Self {
        Self { now: Mutex::new(0), slots: Mutex::new(0), spacing }
    }
    pub(super) fn pass(&self, ms: i64) {
        *self.now.lock().unwrap() += ms;
    }
}

impl Clock for Virtual {
    fn now(&self) -> Millis {
        Millis(*self.now.lock().unwrap())
    }
}

#[async_trait]
impl Pacer for Virtual {
    async fn slot(&self) -> Result<Millis, PacerError> {
        let mut slots = self.slots.lock().unwrap();
        *slots += 1;
        Ok(Millis(i64::from(*slots - 1) * self.spacing))
    }
    async fn sleep_until(&self, at: Millis) {
        let mut now = self.now.lock().unwrap();
        *now = (*now).max(at.0);
    }
}

/// What a request meets before the list is touched, or after.
#[derive(Clone, Debug)]
enum Fault {
    Throttled(Option<u64>),
    Unavailable,
    LostBefore,
    LostAfter,
    Fatal,
    /// The odd rows of the request are to be tried again.
    SomeRetry,
}

/// A list that refuses a request whole if one of its rows is bad.
struct Fake<'a> {
    capabilities: Capabilities,
    bad: BTreeSet<u32>,
    faults: Mutex<VecDeque<Fault>>,
    applied: Mutex<BTreeSet<u32>>,
    sent: Mutex<Vec<Vec<u32>>>,
    started: Mutex<Vec<i64>>,
    keys: Mutex<Vec<(String, Vec<u32>)>>,
    time: &'a Virtual,
    takes: i64,
}

impl<'a> Fake<'a> {
    fn new(time: &'a Virtual, limit: u32) -> Self {
        let limits = Some(Limits::records(NonZeroU32::new(limit).unwrap()));
        Self {
            capabilities: Capabilities {
                add: limits,
                update: limits,
                acknowledges: Acknowledges::Batch,
                ..Capabilities::default()
            },
            bad: BTreeSet::new(),
            faults: Mutex::default(),
            applied: Mutex::default(),
            sent: Mutex::default(),
            started: Mutex::default(),
            keys: Mutex::default(),
            time,
            takes: 100,
        }
    }
    fn bad(mut self, bad: impl IntoIterator<Item = u32>) -> Self {
        self.bad = bad.into_iter().collect();
        self
    }
    fn faults(self, faults: impl IntoIterator<Item = Fault>) -> Self {
        *self.faults.lock().unwrap() = faults.into_iter().collect();
        self
    }
    fn requests(&self) -> usize {
        self.sent.lock().unwrap().len()
    }
    fn apply(&self, rows: &[u32]) -> Answered {
        if rows.iter().any(|r| self.bad.contains(r)) {
            return Answered::BatchRejected { reason: "HTTP 400".into() };
        }
        self.applied.lock().unwrap().extend(rows);
        Answered::Rows(vec![Outcome::Delivered.into(); rows.len()])
    }
}

#[async_trait]
impl Connector for Fake<'_> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn send(&self, batch: &Batch<'_>) -> Answer {
        let rows: Vec<u32> = batch.rows.iter().map(|r| r.key.as_str().parse().unwrap()).collect();
        self.started.lock().unwrap().push(self.time.now().0);
        self.time.pass(self.takes);
        self.sent.lock().unwrap().push(rows.clone());
        self.keys.lock().unwrap().push((batch.idempotency_key.to_owned(), rows.clone()));
        let reason = || "as told".to_owned();
        let fault = self.faults.lock().unwrap().pop_front();
        let is = match fault {
            None => self.apply(&rows),
            Some(Fault::Throttled(after)) => {
                Answered::Throttled { after: after.map(Duration::from_secs), reason: reason() }
            }
            Some(Fault::Unavailable) => Answered::Unavailable { reason: reason() },
            Some(Fault::LostBefore) => Answered::NoAnswer { reason: reason() },
            Some(Fault::LostAfter) => {
                self.apply(&rows);
                Answered::NoAnswer { reason: reason() }
            }
            Some(Fault::Fatal) => Answered::Fatal { reason: reason() },
            Some(Fault::SomeRetry) => {
                let (later, now): (Vec<u32>, Vec<u32>) = rows.iter().partition(|r| *r % 2 == 1);
                match self.apply(&now) {
                    Answered::Rows(_) => Answered::Rows(
                        rows.iter()
                            .map(|r| if later.contains(r) { Outcome::Retry.into() } else { Outcome::Delivered.into() })
                            .collect(),
                    ),
                    refused => refused,
                }
            }
        };
        Answer { is, requests: 1 }
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

pub(super) fn rows(n: u32) -> Vec<(u32, OutRow)> {
    let row = |i: u32| OutRow {
        key: RecordKey::new(i.to_string()),
        identifiers: [Identifier::new("email", format!("{i}@example.com"))].into(),
        remote_id: None,
        fields: Map::new(),
    };
    (0..n).map(|i| (i, row(i))).collect()
}

pub(super) fn work(rows: &[(u32, OutRow)]) -> Work<'_> {
    Work {
        stop_before: Millis(600_000),
        request_timeout: Duration::from_secs(10),
        ..Work::new(Operation::Add, rows, "run-1")
    }
}

fn run(fake: &Fake<'_>, work: Work<'_>) -> Driven {
    block_on(drive(fake, fake.time, fake.time, work))
}

pub(super) fn with(driven: &Driven, wanted: &Outcome) -> BTreeSet<u32> {
    driven.outcomes.iter().filter(|(_, o)| o.outcome == *wanted).map(|(n, _)| *n).collect()
}

fn rejected() -> Outcome {
    Outcome::Rejected { reason: "HTTP 400".into() }
}

#[test]
fn a_call_beyond_the_limit_goes_out_in_the_fewest_requests() {
    for (n, requests) in [(1, 1), (9, 1), (10, 1), (11, 2), (30, 3)] {
        let time = Virtual::new(0);
        let fake = Fake::new(&time, 10);
        let driven = run(&fake, work(&rows(n)));
        assert_eq!((driven.requests, driven.stop.clone()), (requests, None), "{n} rows");
        assert_eq!(with(&driven, &Outcome::Delivered).len(), n as usize);
    }
}

#[test]
fn an_empty_call_settles_without_a_request() {
    let time = Virtual::new(0);
    let driven = run(&Fake::new(&time, 10), work(&[]));
    assert_eq!(
        driven,
        Driven {
            outcomes: BTreeMap::new(),
            last: BTreeSet::new(),
            requests: 0,
            unanswered: false,
            unnamed: BTreeMap::new(),
            jobs: Vec::new(),
            stop: None
        }
    );
}

#[test]
fn one_bad_row_is_found_in_about_two_requests_per_halving() {
    for bad in [0, 37, 63] {
        let time = Virtual::new(0);
        let fake = Fake::new(&time, 64).bad([bad]);
        let driven = run(&fake, work(&rows(64)));
        assert_eq!(with(&driven, &rejected()), BTreeSet::from([bad]));
        assert_eq!(with(&driven, &Outcome::Delivered).len(), 63);
        assert!(driven.requests <= 1 + 2 * 6, "{} requests", driven.requests);
        assert_eq!(driven.stop, None);
    }
}

#[test]
fn the_second_half_is_not_sent_whole_when_the_first_went_through() {
    let time = Virtual::new(0);
    let fake = Fake::new(&time, 8).bad([7]);
    run(&fake, work(&rows(8)));
    let sizes: Vec<usize> = fake.sent.lock().unwrap().iter().map(Vec::len).collect();
    // 8 refused; 4 good, so 4..8 has the bad one: 2 good, so 6..8 has it: 6 good, and 7 is asked for its own reason.
    assert_eq!(sizes, [8, 4, 2, 1, 1]);
}

#[test]
fn a_throttle_is_waited_out_for_as_long_as_it_asks() {
    let time = Virtual::new(0);
    let fake = Fake::new(&time, 10).faults([Fault::Throttled(Some(30))]);
    let driven = run(&fake, work(&rows(3)));
    assert_eq!(driven.stop, None);
    assert_eq!(*fake.started.lock().unwrap(), [0, 30_100]);
}

#[test]
fn a_throttle_beyond_the_deadline_stops_with_the_time_to_come_back() {
    let time = Virtual::new(0);
    let fake = Fake::new(&time, 10).faults([Fault::Throttled(Some(3_600))]);
    let driven = run(&fake, work(&rows(3)));
    assert_eq!(driven.stop, Some(Stop::Throttled { until: Millis(3_600_100), reason: "as told".into() }));
    assert_eq!(with(&driven, &Outcome::Retry).len(), 3);
    assert!(!driven.unanswered);
}

#[test]
fn a_throttle_without_a_wait_backs_off_by_doubling() {
    let time = Virtual::new(0);
    let fake = Fake::new(&time, 10).faults(vec![Fault::Throttled(None); 6]);
    let driven = run(&fake, work(&rows(1)));
    assert_eq!(driven.stop, None);
    let started = fake.started.lock().unwrap();
    let waits: Vec<i64> = started.windows(2).map(|w| w[1] - w[0] - 100).collect();
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
}

#[test]
fn a_destination_that_is_down_is_given_up_after_a_few_tries() {
    let time = Virtual::new(0);
    let fake = Fake::new(&time, 2).faults(vec![Fault::Unavailable; 9]);
    let driven = run(&fake, work(&rows(6)));
    assert_eq!(driven.stop, Some(Stop::Down { reason: "as told".into() }));
    assert_eq!(driven.requests, course::TRIES);
    assert_eq!(with(&driven, &Outcome::Retry).len(), 6);
}

#[test]
fn a_lost_answer_is_sent_again_and_delivered() {
    let time = Virtual::new(0);
    let fake = Fake::new(&time, 10).faults([Fault::LostAfter]);
    let driven = run(&fake, work(&rows(3)));
    assert_eq!(with(&driven, &Outcome::Delivered).len(), 3);
    assert_eq!((driven.stop, driven.unanswered), (None, false));
    let keys = fake.keys.lock().unwrap();
    assert_eq!(keys[0].0, keys[1].0, "the same rows go out under the same key");
}

#[test]
fn what_was_sent_without_an_answer_is_unknown_and_the_rest_is_to_be_tried_again() {
    let time = Virtual::new(0);
    let fake = Fake::new(&time, 2).faults(vec![Fault::LostBefore; 9]);
    let driven = run(&fake, work(&rows(4)));
    assert_eq!(driven.stop, Some(Stop::NoAnswer { reason: "as told".into() }));
    assert_eq!(with(&driven, &Outcome::Unknown), BTreeSet::from([0, 1]));
    assert_eq!(with(&driven, &Outcome::Retry), BTreeSet::from([2, 3]));
    assert!(driven.unanswered);
}

#[test]
fn a_rejection_after_an_unsettled_attempt_is_unknown() {
    // Protocol rule 4, within one claim and across claims.
    let time = Virtual::new(0);
    let fake = Fake::new(&time, 4).bad([1]).faults([Fault::LostBefore]);
    let driven = run(&fake, work(&rows(4)));
    assert_eq!(with(&driven, &Outcome::Unknown), BTreeSet::from([1]));
    assert_eq!(with(&driven, &Outcome::Delivered), BTreeSet::from([0, 2, 3]));
    assert_eq!((driven.stop, driven.unanswered), (None, true));

    let time = Virtual::new(0);
    let fake = Fake::new(&time, 4).bad([1]);
    let driven = run(&fake, Work { first_attempt_unsettled: true, ..work(&rows(4)) });
    assert_eq!(with(&driven, &Outcome::Unknown), BTreeSet::from([1]));
    assert_eq!(driven.stop, None);
}

#[test]
fn what_must_not_be_repeated_is_sent_once() {
    let time = Virtual::new(0);
    let mut fake = Fake::new(&time, 2).faults([Fault::LostAfter]);
    fake.capabilities.repeatable = false;
    let driven = run(&fake, work(&rows(4)));
    assert_eq!((fake.requests(), driven.stop), (2, None));
    assert_eq!(driven.outcomes[&0].outcome, Outcome::Unknown);
    assert_eq!(driven.outcomes[&2].outcome, Outcome::Delivered);

    let time = Virtual::new(0);
    let mut fake = Fake::new(&time, 2);
    fake.capabilities.repeatable = false;
    let driven = run(&fake, Work { first_attempt_unsettled: true, ..work(&rows(4)) });
    assert_eq!((fake.requests(), driven.stop.clone()), (0, None));
    assert_eq!(with(&driven, &Outcome::Unknown).len(), 4);
}

#[test]
fn rows_that_are_to_be_tried_again_are_sent_without_the_others() {
    let time = Virtual::new(0);
    let fake = Fake::new(&time, 4).faults([Fault::SomeRetry]);
    let driven = run(&fake, work(&rows(4)));
    assert_eq!(driven.stop, None);
    assert_eq!(*fake.sent.lock().unwrap(), [vec![0, 1, 2, 3], vec![1, 3]]);
    let keys = fake.keys.lock().unwrap();
    assert_ne!(keys[0].0, keys[1].0, "other rows go out under another key");
}

#[test]
fn a_refused_login_stops_at_once() {
    let time = Virtual::new(0);
    let fake = Fake::new(&time, 1).faults([Fault::Fatal]);
    let driven = run(&fake, work(&rows(3)));
    assert_eq!((driven.stop, driven.requests), (Some(Stop::Fatal { reason: "as told".into() }), 1));
}

#[test]
fn an_operation_that_is_not_supported_is_rejected_without_a_request() {
    let time = Virtual::new(0);
    let fake = Fake::new(&time, 1);
    let driven = run(&fake, Work { operation: Operation::Remove, ..work(&rows(2)) });
    assert_eq!((driven.requests, driven.stop), (0, None));
    assert!(driven.outcomes.values().all(|o| matches!(o.outcome, Outcome::Rejected { .. })));
}

#[test]
fn no_request_starts_that_could_outlive_the_claim() {
    let time = Virtual::new(0);
    let mut fake = Fake::new(&time, 1);
    fake.takes = 4_000;
    let driven = run(&fake, Work { stop_before: Millis(20_000), ..work(&rows(9)) });
    assert_eq!(*fake.started.lock().unwrap(), [0, 4_000, 8_000]);
    assert_eq!(driven.stop, Some(Stop::Deadline));
    assert_eq!(with(&driven, &Outcome::Delivered).len(), 3);
}

#[test]
fn a_slot_beyond_the_deadline_stops_with_its_time() {
    let time = Virtual::new(8_000);
    let fake = Fake::new(&time, 1);
    let driven = run(&fake, Work { stop_before: Millis(20_000), ..work(&rows(9)) });
    assert_eq!(*fake.started.lock().unwrap(), [0, 8_000]);
    let reason = "the rate budget has no slot before the deadline".into();
    assert_eq!(driven.stop, Some(Stop::Throttled { until: Millis(16_000), reason }));
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        prop::option::of(0_u64..40).prop_map(Fault::Throttled),
        Just(Fault::Unavailable),
        Just(Fault::LostBefore),
        Just(Fault::LostAfter),
        Just(Fault::SomeRetry),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_bad_rows_are_found_and_all_others_delivered(
        n in 1_u32..80,
        limit in 1_u32..40,
        bad in prop::collection::btree_set(0_u32..80, 0..6),
    ) {
        let bad: BTreeSet<u32> = bad.into_iter().filter(|b| *b < n).collect();
        let time = Virtual::new(0);
        let fake = Fake::new(&time, limit).bad(bad.clone());
        let driven = run(&fake, work(&rows(n)));
        prop_assert_eq!(with(&driven, &rejected()), bad.clone());
        prop_assert_eq!(with(&driven, &Outcome::Delivered).len() + bad.len(), n as usize);
        prop_assert_eq!(&driven.stop, &None);
        let depth = 32 - limit.leading_zeros();
        let most = n.div_ceil(limit) + 2 * depth * u32::try_from(bad.len()).unwrap();
        prop_assert!(driven.requests <= most, "{} requests, at most {} expected", driven.requests, most);
    }

    #[test]
    fn whatever_fails_nothing_is_claimed_that_did_not_happen(
        n in 1_u32..30,
        limit in 1_u32..12,
        spacing in 0_i64..3_000,
        bad in prop::collection::btree_set(0_u32..30, 0..4),
        faults in prop::collection::vec(fault(), 0..12),
        unsettled in any::<bool>(),
        stop_before in 0_i64..120_000,
    ) {
        let time = Virtual::new(spacing);
        let fake = Fake::new(&time, limit).bad(bad.clone()).faults(faults);
        let rows = rows(n);
        let work = Work { stop_before: Millis(stop_before), first_attempt_unsettled: unsettled, ..work(&rows) };
        let driven = run(&fake, work);
        let applied = fake.applied.lock().unwrap().clone();
        prop_assert_eq!(driven.outcomes.len(), n as usize, "every row has an outcome (DL-3)");
        for (number, row) in &driven.outcomes {
            match &row.outcome {
                Outcome::Delivered => prop_assert!(applied.contains(number), "delivered means applied (DL-2)"),
                Outcome::Rejected { .. } | Outcome::Retry => {
                    prop_assert!(!applied.contains(number) && !unsettled, "known not to be applied");
                }
                _ => {}
            }
            if driven.stop.is_none() && !bad.contains(number) {
                prop_assert_eq!(&row.outcome, &Outcome::Delivered, "without a stop, only bad rows are left");
            }
        }
        for started in fake.started.lock().unwrap().iter() {
            prop_assert!(started + 10_000 <= stop_before, "a request at {} could outlive {}", started, stop_before);
        }
        prop_assert!(u32::try_from(fake.requests()).unwrap() <= *time.slots.lock().unwrap(), "a slot for every request");
        prop_assert_eq!(driven.requests as usize, fake.requests());
        let mut keys: Vec<_> = fake.keys.lock().unwrap().clone();
        keys.sort();
        keys.dedup();
        let distinct: BTreeSet<_> = keys.iter().map(|(key, _)| key).collect();
        prop_assert_eq!(distinct.len(), keys.len(), "one key never stands for two sets of rows");
    }
}
