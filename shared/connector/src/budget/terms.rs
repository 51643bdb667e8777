use driftless_model::Budget;
use serde::{Deserialize, Serialize};

use super::{LONGEST_WAIT, Plan, SECOND, SLOWER, SLOWEST};

/// What is known of a destination's budget beside the next slot. Times are microseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// No request before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// The pace is slower than the rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Slow>,
    /// When how many slots were leased, oldest first: all slots before the time, and no other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) marks: Vec<(i64, i64)>,
    /// Leases under these terms end before this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<i64>,
    /// No more slots than this are leased under these terms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ceiling: Option<i64>,
}

/// A wait that everybody keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Until when.
    pub until: i64,
    /// Why.
    pub reason: String,
}

/// A pace slower than the rate; it recovers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slow {
    /// The distance of requests, in thousandths of the planned one, at the time.
    pub pace: i64,
    /// When it was set.
    pub at: i64,
    /// Why.
    pub reason: String,
}

/// A pace this close to the planned one is the planned one.
const RECOVERED: i64 = 1_005;
/// A reason longer than this is cut: the item stays small.
const LONGEST_REASON: usize = 200;

impl Terms {
    /// From the text in a budget. What cannot be read is nothing: the budget is conservative without it.
    #[must_use]
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub(super) fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The pace now, in thousandths of the planned distance. Half of what it is slower goes every ten spans.
    #[must_use]
    pub fn pace(&self, plan: &Plan, now: i64) -> i64 {
        let Some(slow) = &self.slow else { return 1_000 };
        let half = (plan.span() * 10).max(10 * SECOND);
        let (mut slower, mut age) = (slow.pace - 1_000, (now - slow.at).max(0));
        while age >= half && slower > 0 {
            slower /= 2;
            age -= half;
        }
        // Between two halvings in a straight line.
        1_000 + slower - i64::try_from(i128::from(slower / 2) * i128::from(age) / i128::from(half)).unwrap_or(0)
    }

    pub(super) fn held_until(&self) -> i64 {
        self.hold.as_ref().map_or(i64::MIN, |hold| hold.until)
    }

    pub(super) fn hold_until(&mut self, until: i64, reason: &str) {
        if until > self.held_until() {
            self.hold = Some(Hold { until, reason: cut(reason) });
        }
    }

    /// A throttle. Those that come of the same burst count once; one that names a wait slows only if it comes again soon.
    pub(super) fn slow_down(&mut self, plan: &Plan, now: i64, named_a_wait: bool, reason: &str) {
        let same_burst = self.slow.as_ref().is_some_and(|slow| now - slow.at < plan.span().max(SECOND));
        if same_burst {
            return;
        }
        let pace = self.pace(plan, now);
        let slower = if named_a_wait { i64::midpoint(1_000, SLOWER) } else { SLOWER };
        let pace = (pace * slower / 1_000).min(SLOWEST);
        self.slow = Some(Slow { pace, at: now, reason: cut(reason) });
    }

    /// Others use the account: the pace becomes what is left for us, unless it is that slow already.
    pub(super) fn share(&mut self, plan: &Plan, now: i64, pace: i64, reason: &str) {
        let pace = pace.min(SLOWEST);
        if pace * 9 / 10 > self.pace(plan, now) {
            self.slow = Some(Slow { pace, at: now, reason: cut(reason) });
        }
    }

    /// Notes that nothing was leased since the next slot came by.
    pub(super) fn idle_until(&mut self, plan: &Plan, now: i64, budget: &Budget) {
        let Some(between) = plan.between_marks() else { return };
        if self.marks.is_empty() || now - budget.slot >= between {
            self.add(budget.slot, budget.count);
        }
    }

    /// The first time from `wanted` on at which a counted window has room.
    pub(super) fn free_at(&self, plan: &Plan, wanted: i64, budget: &Budget) -> i64 {
        let mut at = wanted;
        for window in &plan.counted {
            let gone = budget.count + 1 - window.requests;
            if self.base(at - window.span) >= gone {
                continue;
            }
            // When the requests that are in the way were leased; at the latest, all of them before the next slot.
            let since = self.marks.iter().find(|(_, count)| *count >= gone).map_or(budget.slot, |(time, _)| *time);
            at = at.max(since + window.span);
        }
        at
    }

    /// How many slots from `at` on all counted windows have room for.
    pub(super) fn left(&self, plan: &Plan, at: i64, budget: &Budget) -> i64 {
        let left = |w: &super::plan::Counted| self.base(at - w.span) + w.requests - budget.count;
        plan.counted.iter().map(left).min().unwrap_or(i64::MAX)
    }

    /// What may be leased under these terms: until the next mark, and no more than all windows have room for.
    pub(super) fn mark(&mut self, plan: &Plan, at: i64, budget: &Budget) {
        let Some(between) = plan.between_marks() else {
            // What an earlier rate of this destination counted.
            (self.last, self.ceiling) = (None, None);
            self.marks.clear();
            return;
        };
        if self.marks.last().is_none_or(|(time, _)| at - time >= between) {
            self.add(at, budget.count);
        }
        let before = self.marks.last().map_or(at, |(time, _)| *time);
        self.last = Some(before + between);
        self.ceiling = plan.counted.iter().map(|w| self.base(at - w.span) + w.requests).min();
    }

    /// Drops what says nothing any more.
    pub(super) fn forget(&mut self, plan: &Plan, at: i64, now: i64) {
        let beyond = at - plan.longest();
        while self.marks.get(1).is_some_and(|(time, _)| *time <= beyond) {
            self.marks.remove(0);
        }
        // Kept while it is the answer to why nothing goes out.
        if self.hold.as_ref().is_some_and(|hold| hold.until <= now || hold.until > now + 2 * LONGEST_WAIT) {
            self.hold = None;
        }
        if self.slow.is_some() && self.pace(plan, now) <= RECOVERED {
            self.slow = None;
        }
    }

    pub(super) fn add(&mut self, time: i64, count: i64) {
        match self.marks.last_mut() {
            Some((last, _)) if *last >= time => {}
            Some((_, same)) if *same == count => {}
            _ => self.marks.push((time, count)),
        }
    }

    /// Slots that were leased before a time, at least.
    fn base(&self, time: i64) -> i64 {
        let known = self.marks.iter().rev().find(|(at, _)| *at <= time);
        known.or(self.marks.first()).map_or(0, |(_, count)| *count)
    }
}

fn cut(reason: &str) -> String {
    reason.chars().take(LONGEST_REASON).collect()
}
