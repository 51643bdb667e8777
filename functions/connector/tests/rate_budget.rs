//! The shared rate budget in virtual time: ten invocations, a destination that counts what arrives, and what comes of it.
//!
//! A request takes a while to arrive, is counted then, and is answered 50 to 500 ms after it was sent. How much of that is the way
//! there decides what can be promised: what was sent evenly arrives unevenly by as much, and the destination counts arrivals.
//! `NEAR` is a way of 5 to 40 ms, with timers late by up to 2 ms: the rest is the destination's own work. `FAR` is a way of up to all of
//! the answer's time but 5 ms.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test that tells what it measured

use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use driftless_config::destination::{Rate, Window};
use driftless_connector::Pacer;
use driftless_connector::budget::Heard;
use driftless_deltalog::head::Swap;
use driftless_deltalog::{Deltalog, MemoryDeltalog, Result};
use driftless_fn_connector::{BudgetItem, SharedBudget, Sleep};
use driftless_model::{Advance, Advanced, Budget, Clock, DestinationId, Millis};
use driftless_testkit::Random;
use futures::channel::oneshot;
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;

/// Virtual time, in microseconds. It passes when everybody waits.
#[derive(Default)]
struct Time(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    now: i64,
    number: u64,
    timers: BTreeMap<(i64, u64), oneshot::Sender<()>>,
}

const START: i64 = 1_800_000_000_000_000;

impl Time {
    fn now(&self) -> i64 {
        START + self.0.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    async fn pass(&self, micros: i64) {
        let (wake, woken) = oneshot::channel();
        {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.number += 1;
            let at = (waiting.now + micros.max(0), waiting.number);
            waiting.timers.insert(at, wake);
        }
        let _ = woken.await;
    }

    /// Goes to the next timer, if it is before `end`.
    fn advance(&self, end: i64) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.timers.pop_first() {
            Some(((at, _), wake)) if START + at < end => {
                waiting.now = at;
                let _ = wake.send(());
                true
            }
            _ => false,
        }
    }
}

impl Clock for Time {
    fn now(&self) -> Millis {
        Millis(self.now() / 1_000)
    }
}

#[async_trait]
impl Sleep for Time {
    async fn sleep(&self, duration: Duration) {
        self.pass(i64::try_from(duration.as_micros()).expect("short")).await;
    }
}

/// The table: a few milliseconds away, on either side of the write.
struct Table {
    log: MemoryDeltalog,
    destination: DestinationId,
    time: Arc<Time>,
    random: Arc<Mutex<Random>>,
    writes: Mutex<u64>,
}

impl Table {
    async fn away(&self) {
        let micros = between(&self.random, 1_000, 8_000);
        self.time.pass(micros).await;
    }

    fn wrote(&self) {
        *self.writes.lock().unwrap() += 1;
    }
}

fn between(random: &Mutex<Random>, from: i64, to: i64) -> i64 {
    let span = usize::try_from(to - from).expect("a span");
    from + i64::try_from(random.lock().unwrap().below(span.max(1))).expect("short")
}

#[async_trait]
impl BudgetItem for Table {
    async fn read(&self) -> Result<Option<Budget>> {
        self.away().await;
        let budget = self.log.budget(&self.destination).await;
        self.away().await;
        budget
    }
    async fn advance(&self, advance: &Advance) -> Result<Advanced> {
        self.away().await;
        self.wrote();
        let advanced = self.log.advance_budget(&self.destination, advance).await;
        self.away().await;
        advanced
    }
    async fn swap(&self, from: Option<&Budget>, to: &Budget) -> Result<Swap> {
        self.away().await;
        self.wrote();
        let swapped = self.log.swap_budget(&self.destination, from, to).await;
        self.away().await;
        swapped
    }
}

/// How the destination counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// In windows that begin every span, at a phase of its own.
    Fixed,
    /// What arrived in the span before.
    Sliding,
}

/// How long a request is on its way, in microseconds, and what it takes until it is answered.
#[derive(Clone, Copy, Debug)]
struct Way {
    least: i64,
    most: i64,
}

const NEAR: Way = Way { least: 5_000, most: 40_000 };
const FAR: Way = Way { least: 5_000, most: 495_000 };

/// The destination: who is let in, and who is throttled.
struct Destination {
    requests: usize,
    span: i64,
    counts: Counts,
    phase: i64,
    arrived: VecDeque<i64>,
    window: (i64, usize),
    /// When each request arrived, and whether it was taken.
    seen: Vec<(i64, bool)>,
}

impl Destination {
    fn takes(&mut self, now: i64) -> bool {
        let taken = match self.counts {
            Counts::Fixed => {
                let window = (now + self.phase).div_euclid(self.span);
                if self.window.0 != window {
                    self.window = (window, 0);
                }
                self.window.1 += 1;
                self.window.1 <= self.requests
            }
            Counts::Sliding => {
                while self.arrived.front().is_some_and(|at| *at <= now - self.span) {
                    self.arrived.pop_front();
                }
                let taken = self.arrived.len() < self.requests;
                if taken {
                    self.arrived.push_back(now);
                }
                taken
            }
        };
        self.seen.push((now, taken));
        taken
    }
}

struct Scene {
    requests: u32,
    span: Duration,
    counts: Counts,
    way: Way,
    /// Requests that one invocation has under way at once.
    lanes: usize,
    /// Windows that are looked at, after two.
    windows: i64,
    seed: u64,
}

#[derive(Debug)]
struct Seen {
    taken_per_window: f64,
    throttled: f64,
    writes_per_request: f64,
}

const INVOCATIONS: usize = 10;

fn run(scene: &Scene, longer: &[(u32, Duration)]) -> Seen {
    let time = Arc::new(Time::default());
    let random = Arc::new(Mutex::new(Random::new(scene.seed)));
    let span = i64::try_from(scene.span.as_micros()).expect("short");
    let table = Arc::new(Table {
        log: MemoryDeltalog::default(),
        destination: "crm".parse().expect("a name"),
        time: Arc::clone(&time),
        random: Arc::clone(&random),
        writes: Mutex::default(),
    });
    let destination = Arc::new(Mutex::new(Destination {
        requests: scene.requests as usize,
        span,
        counts: scene.counts,
        phase: between(&random, 0, span),
        arrived: VecDeque::new(),
        window: (i64::MIN, 0),
        seen: Vec::new(),
    }));
    let window = |requests: u32, per: Duration| Window {
        requests: NonZeroU32::new(requests).expect("not none"),
        per: driftless_config::HumanDuration::from_secs(per.as_secs()),
    };
    let mut windows = vec![window(scene.requests, scene.span)];
    windows.extend(longer.iter().map(|(requests, per)| window(*requests, *per)));
    let rate = Rate::new(windows).expect("a rate");
    let mut pool = LocalPool::new();
    for _ in 0..INVOCATIONS {
        let item: Arc<dyn BudgetItem> = Arc::clone(&table) as _;
        let budget = Arc::new(SharedBudget::of(item, Arc::clone(&time) as _, Arc::clone(&time) as _, Some(rate)));
        for _ in 0..scene.lanes {
            let (time, random) = (Arc::clone(&time), Arc::clone(&random));
            let (budget, destination, way) = (Arc::clone(&budget), Arc::clone(&destination), scene.way);
            let lane = async move {
                // Invocations do not begin together.
                time.pass(between(&random, 0, 300_000)).await;
                loop {
                    let at = budget.slot().await.expect("the table answers");
                    budget.sleep_until(at).await;
                    time.pass(between(&random, 0, 2_000)).await;
                    let answered = between(&random, 50_000, 500_000);
                    let there = between(&random, way.least, way.most.min(answered - 5_000).max(way.least + 1));
                    time.pass(there).await;
                    let taken = destination.lock().unwrap().takes(time.now());
                    time.pass(answered - there).await;
                    if !taken {
                        budget.heard(Heard::Throttled { after: None, reason: "HTTP 429".into() }).await;
                        time.pass(1_000_000).await;
                    }
                }
            };
            pool.spawner().spawn_local(lane).expect("it lives");
        }
    }
    let (from, to) = (START + 2 * span, START + (2 + scene.windows) * span);
    loop {
        pool.run_until_stalled();
        if !time.advance(to) {
            break;
        }
    }
    let destination = destination.lock().unwrap();
    let seen: Vec<bool> = destination.seen.iter().filter(|(at, _)| *at >= from).map(|(_, taken)| *taken).collect();
    let taken = seen.iter().filter(|taken| **taken).count();
    #[allow(clippy::cast_precision_loss)] // small counts
    let share = |a: usize, b: usize| a as f64 / b as f64;
    #[allow(clippy::cast_precision_loss)]
    let seen = Seen {
        taken_per_window: share(taken, scene.requests as usize) / scene.windows as f64,
        throttled: share(seen.len() - taken, seen.len().max(1)),
        writes_per_request: share(usize::try_from(*table.writes.lock().unwrap()).unwrap(), destination.seen.len()),
    };
    eprintln!(
        "{:>5} per {:>3} s, {:?}, {:?}: {:.2} % of the rate, {:.3} % throttled, {:.3} writes a request",
        scene.requests,
        scene.span.as_secs(),
        scene.counts,
        scene.way,
        seen.taken_per_window * 100.0,
        seen.throttled * 100.0,
        seen.writes_per_request,
    );
    seen
}

/// Twice the requests that must be under way to use the rate, so that some always wait.
fn lanes(requests: u32, span: Duration) -> usize {
    let a_second = f64::from(requests) / span.as_secs_f64();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a small number
    let in_flight = (a_second * 0.3 / 10.0).ceil() as usize;
    2 * in_flight.max(1)
}

#[test]
fn the_rate_is_used_and_not_exceeded_in_windows_of_any_kind_and_phase() {
    for span in [Duration::from_secs(1), Duration::from_mins(1)] {
        for requests in [10, 100, 1_000] {
            for counts in [Counts::Fixed, Counts::Sliding] {
                for seed in 1..=3 {
                    let lanes = lanes(requests, span);
                    let scene = Scene { requests, span, counts, way: NEAR, lanes, windows: 10, seed };
                    let seen = run(&scene, &[]);
                    let what = format!("{requests} per {span:?}, {counts:?}, seed {seed}: {seen:?}");
                    assert!(seen.taken_per_window >= 0.95, "{what}");
                    assert!(seen.throttled <= 0.001, "{what}");
                }
            }
        }
    }
}

#[test]
fn a_lease_covers_many_requests_under_load() {
    let scene = Scene {
        requests: 1_000,
        span: Duration::from_secs(1),
        counts: Counts::Sliding,
        way: NEAR,
        lanes: lanes(1_000, Duration::from_secs(1)),
        windows: 10,
        seed: 7,
    };
    let seen = run(&scene, &[]);
    assert!(seen.writes_per_request < 0.2, "{seen:?}");
}

#[test]
fn a_long_way_does_no_harm_where_it_is_short_beside_the_span_or_the_requests_are_many() {
    for (requests, span) in [(1_000, 1), (10, 60), (100, 60), (1_000, 60)] {
        for counts in [Counts::Fixed, Counts::Sliding] {
            let span = Duration::from_secs(span);
            let scene = Scene { requests, span, counts, way: FAR, lanes: lanes(requests, span), windows: 10, seed: 5 };
            let seen = run(&scene, &[]);
            let what = format!("{requests} per {span:?}, {counts:?}: {seen:?}");
            assert!(seen.taken_per_window >= 0.95 && seen.throttled <= 0.001, "{what}");
        }
    }
}

/// With few requests a second and ways of up to half a second nothing that is sent can be promised to arrive in step: the count of
/// a sliding second varies by more than the twentieth that may be given up. There the pace gives way.
#[test]
fn where_requests_arrive_out_of_step_the_pace_gives_way() {
    for requests in [10, 100] {
        for counts in [Counts::Fixed, Counts::Sliding] {
            let span = Duration::from_secs(1);
            let scene = Scene { requests, span, counts, way: FAR, lanes: lanes(requests, span), windows: 120, seed: 5 };
            let seen = run(&scene, &[]);
            let what = format!("{requests} per {span:?}, {counts:?}: {seen:?}");
            assert!(seen.throttled <= 0.05 && seen.taken_per_window >= 0.6, "{what}");
        }
    }
}

#[test]
fn a_longer_window_is_kept_too() {
    // 10 a second and 150 a minute: the destination counts the minute.
    for counts in [Counts::Fixed, Counts::Sliding] {
        let minute = Duration::from_mins(1);
        let scene = Scene { requests: 150, span: minute, counts, way: NEAR, lanes: 2, windows: 10, seed: 3 };
        let seen = run(&scene, &[(10, Duration::from_secs(1))]);
        assert!(seen.throttled <= 0.0, "{counts:?}: {seen:?}");
        assert!(seen.taken_per_window >= 0.90, "{counts:?}: {seen:?}");
    }
}
