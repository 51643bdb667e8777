use core::num::NonZeroU32;

use driftless_config::HumanDuration;
use driftless_config::destination::{Rate, Window};
use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_800_000_000 * SECOND;

fn plan(windows: &[(u32, u64)]) -> Plan {
    let window = |(requests, seconds): &(u32, u64)| Window {
        requests: NonZeroU32::new(*requests).unwrap(),
        per: HumanDuration::from_secs(*seconds),
    };
    Plan::new(&Rate::new(windows.iter().map(window).collect()).unwrap())
}

fn throttled(after: Option<u64>) -> Heard {
    Heard::Throttled { after: after.map(Duration::from_secs), reason: "HTTP 429".into() }
}

/// Takes one slot after the other, each when it comes, by advances where they do.
struct Sender {
    plan: Plan,
    budget: Option<Budget>,
    now: i64,
    writes_of_terms: usize,
}

impl Sender {
    fn new(plan: Plan) -> Self {
        Self { plan, budget: None, now: NOW, writes_of_terms: 0 }
    }

    fn lease(&mut self, want: u32) -> Lease {
        if let Some(budget) = &mut self.budget
            && let Some((advance, leased)) = quick(&self.plan, budget, self.now, want)
            && advance.fits(budget)
        {
            let first = budget.slot;
            (budget.slot, budget.count) = (first + advance.by, budget.count + advance.slots);
            return Lease { first, ..leased };
        }
        self.writes_of_terms += 1;
        let (after, leased) = lease(&self.plan, self.budget.as_ref(), self.now, want);
        self.budget = Some(after);
        leased
    }

    /// The times of the next requests, sent as early as may be.
    fn send(&mut self, requests: usize, want: u32) -> Vec<i64> {
        let mut sent = Vec::new();
        while sent.len() < requests {
            let leased = self.lease(want);
            sent.extend((0..i64::from(leased.slots)).map(|n| leased.first + n * leased.step));
            self.now = self.now.max(leased.first);
        }
        sent.truncate(requests);
        sent
    }

    fn hear(&mut self, said: &Heard) {
        if let Some(after) = heard(&self.plan, self.budget.as_ref(), self.now, said) {
            self.budget = Some(after);
        }
    }
}

/// The most that any window of a span, which ends with a request, has.
fn most(sent: &[i64], span: i64) -> usize {
    let within = |end: &i64| sent.iter().filter(|at| **at <= *end && **at > end - span).count();
    sent.iter().map(within).max().unwrap_or(0)
}

#[test]
fn slots_are_apart_by_a_little_more_than_the_rate_allows() {
    let mut sender = Sender::new(plan(&[(10, 1)]));
    let sent = sender.send(25, 1);
    assert_eq!(sent[0], NOW);
    assert!(sent.windows(2).all(|pair| pair[1] - pair[0] == 104_000), "{sent:?}");
    assert_eq!(sender.writes_of_terms, 1, "the rest are advances");
}

#[test]
fn after_an_idle_time_there_is_no_burst() {
    let mut sender = Sender::new(plan(&[(10, 1)]));
    sender.send(3, 1);
    sender.now += 60 * SECOND;
    let sent = sender.send(3, 1);
    assert_eq!(sent, [sender.now, sender.now + 104_000, sender.now + 208_000].map(|at| at - 208_000));
}

/// A range without numbers in it would be an invalid request to the table, again and again: nothing else would ever be tried.
#[test]
fn after_an_idle_time_longer_than_the_terms_reach_they_are_written_anew() {
    let the_plan = plan(&[(10, 1), (150, 60)]);
    let mut sender = Sender::new(the_plan.clone());
    sender.send(3, 1);
    for seconds in [0, 1, 3, 60] {
        sender.now += seconds * SECOND;
        let asked = sender.budget.as_ref().and_then(|budget| quick(&the_plan, budget, sender.now, 1));
        assert!(asked.is_none_or(|(advance, _)| advance.not_before <= advance.not_after), "{seconds} s later");
        assert!(sender.lease(1).first >= sender.now);
    }
}

#[test]
fn a_lease_takes_what_is_waited_for_but_not_far_ahead() {
    let mut sender = Sender::new(plan(&[(1_000, 1)]));
    assert_eq!(sender.lease(30), Lease { first: NOW, step: 1_040, slots: 30 });
    assert_eq!(sender.lease(10_000).slots, 240, "a quarter of a second");
    let mut slow = Sender::new(plan(&[(10, 60)]));
    assert_eq!(slow.lease(30).slots, 1);
}

#[test]
fn a_wait_that_is_asked_for_holds_everybody() {
    let mut sender = Sender::new(plan(&[(10, 1)]));
    sender.send(5, 1);
    sender.hear(&throttled(Some(30)));
    let at = sender.now + 30 * SECOND;
    let terms = Terms::read(&sender.budget.as_ref().unwrap().terms);
    assert_eq!(terms.hold, Some(Hold { until: at, reason: "HTTP 429".into() }));
    assert_eq!(sender.lease(1).first, at);
    sender.hear(&throttled(Some(5)));
    assert!(sender.lease(1).first > at, "a shorter wait does not end a longer one");
}

#[test]
fn an_outage_with_a_stated_end_holds_everybody_and_slows_nobody() {
    let the_plan = plan(&[(10, 1)]);
    let mut sender = Sender::new(the_plan.clone());
    sender.send(5, 1);
    sender.hear(&Heard::Away { after: Duration::from_secs(30), reason: "HTTP 502".into() });
    let at = sender.now + 30 * SECOND;
    assert_eq!(sender.lease(1).first, at);
    assert_eq!(Terms::read(&sender.budget.as_ref().unwrap().terms).pace(&the_plan, at), 1_000);
}

#[test]
fn a_throttle_slows_the_pace_once_a_burst_and_the_pace_recovers() {
    let the_plan = plan(&[(10, 1)]);
    let mut sender = Sender::new(the_plan.clone());
    sender.send(5, 1);
    (0..5).for_each(|_| sender.hear(&throttled(None)));
    let terms = Terms::read(&sender.budget.as_ref().unwrap().terms);
    assert_eq!(terms.pace(&the_plan, sender.now), 1_200);
    sender.now += SECOND;
    assert_eq!(sender.lease(1).step, 123_864, "a second later a little of it is gone");
    let half = sender.now + 10 * SECOND;
    assert!((1_090..1_101).contains(&terms.pace(&the_plan, half)), "{}", terms.pace(&the_plan, half));
    sender.now += 120 * SECOND;
    sender.lease(1);
    assert_eq!(sender.lease(1).step, 104_000);
    assert_eq!(Terms::read(&sender.budget.as_ref().unwrap().terms).slow, None, "status has nothing to tell any more");
}

#[test]
fn a_quota_that_we_would_not_use_up_ourselves_changes_nothing() {
    let the_plan = plan(&[(100, 60)]);
    let quota = |remaining, seconds| Heard::Quota { remaining, reset: Duration::from_secs(seconds) };
    let hears = |said: Heard| heard(&the_plan, None, NOW, &said).map(|b| Terms::read(&b.terms));
    assert_eq!(hears(quota(40, 30)), None);
    assert_eq!(hears(quota(0, 2)), None, "seconds are rounded");
    let shared = hears(quota(10, 30)).unwrap();
    assert!(shared.hold.is_none() && shared.pace(&the_plan, NOW) > 4_000, "{shared:?}");
    assert_eq!(hears(quota(0, 30)).unwrap().hold.unwrap().until, NOW + 30 * SECOND);
    let again = heard(&the_plan, heard(&the_plan, None, NOW, &quota(10, 30)).as_ref(), NOW, &quota(10, 30));
    assert_eq!(again, None, "what is known is not written again");
}

#[test]
fn a_short_window_paces_and_a_longer_one_is_counted() {
    let mut sender = Sender::new(plan(&[(10, 1), (150, 60)]));
    let sent = sender.send(1_000, 1);
    assert!(sent[..150].windows(2).all(|pair| pair[1] - pair[0] == 104_000), "a minute's worth goes out quickly");
    assert!(most(&sent, 61 * SECOND) <= 150 && most(&sent, SECOND) <= 10);
    let seconds = (sent[999] - sent[0]) / SECOND;
    assert!(seconds < 60 * 1_000 / 150 * 105 / 100, "{seconds} s for 1,000 requests");
    let terms = Terms::read(&sender.budget.as_ref().unwrap().terms);
    assert!(terms.marks.len() < 40 && sender.budget.unwrap().terms.len() < 1_500);
}

#[test]
fn a_day_alone_is_counted_and_not_spread_over_the_day() {
    let mut sender = Sender::new(plan(&[(1_000, 86_400)]));
    let sent = sender.send(1_500, 1);
    assert!(sent[999] - sent[0] < 3 * 3_600 * SECOND);
    assert!(most(&sent, 86_401 * SECOND) <= 1_000);
    assert!(sent[1_000] >= sent[0] + 86_400 * SECOND);
}

#[test]
fn terms_that_cannot_be_read_are_none() {
    assert_eq!(Terms::read("nonsense"), Terms::default());
    let terms = Terms { hold: Some(Hold { until: 7, reason: "x".into() }), ..Terms::default() };
    assert_eq!(Terms::read(&terms.write()), terms);
}

proptest! {
    /// Whatever is asked for and heard, no window has more than it may, and time does not run backwards.
    #[test]
    fn no_window_is_ever_exceeded(
        short in (1_u32..50, 1_u64..5),
        long in (1_u32..400, 10_u64..120),
        steps in proptest::collection::vec((1_u32..20, 0_i64..20_000_000, 0_u8..12), 1..200),
    ) {
        let mut sender = Sender::new(plan(&[short, long]));
        let mut sent: Vec<i64> = Vec::new();
        for (want, passes, what) in steps {
            match what {
                0 => sender.hear(&throttled(Some(u64::from(want)))),
                1 => sender.hear(&throttled(None)),
                2 => sender.hear(&Heard::Quota { remaining: u64::from(want), reset: Duration::from_secs(40) }),
                3..5 => sender.now += passes,
                _ => {
                    let leased = sender.lease(want);
                    prop_assert!(leased.first >= sender.now);
                    sent.extend((0..i64::from(leased.slots)).map(|n| leased.first + n * leased.step));
                }
            }
        }
        prop_assert!(sent.windows(2).all(|pair| pair[0] < pair[1]), "slots are in order");
        for (requests, seconds) in [short, long] {
            let span = i64::try_from(seconds).unwrap() * SECOND;
            prop_assert!(most(&sent, span) <= requests as usize, "{requests} per {seconds} s");
        }
    }
}
