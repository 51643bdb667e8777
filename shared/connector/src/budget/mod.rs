//! The rate budget: when the next request may go out, decided over values, so that any number of invocations can share one item.
//!
//! The destination counts in windows whose kind (fixed or sliding) and phase we do not know, and it counts when a request
//! *arrives*. Requests are therefore sent at even distances, a little further apart than allowed: with `n` requests in a span `w`,
//! every `(w + guard) / n`. Then any `n + 1` requests take longer than the span even if the first is late and the last is quick
//! by the guard together, and no window of any phase sees more than `n`. The guard is a twenty-fifth of the span, and at most a
//! second: it costs 4 % of a budget per second and less than 2 % of one per minute.
//!
//! Of several windows the shortest is paced so, and the longer ones are counted: what was leased when is kept coarsely, in
//! marks, and a lease waits until enough of it is older than the span.
//!
//! What destinations say is heard: a wait that is asked for holds everybody; a throttle slows the pace, which recovers by half
//! every ten spans; a quota header that shows that others use the account too slows it until the reset.

mod plan;
mod terms;

use core::time::Duration;

use driftless_model::{Advance, Budget};

pub use plan::Plan;
pub use terms::{Hold, Slow, Terms};

/// Slots that are one's own, at even distances. Times are microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The first slot.
    pub first: i64,
    /// From one to the next.
    pub step: i64,
    /// How many; at least one.
    pub slots: u32,
}

impl Lease {
    /// Where the slot after the last would be.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.first + self.step * i64::from(self.slots)
    }
}

/// What a destination said about its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It refused a request for now.
    Throttled {
        /// How long to wait, where it said so.
        after: Option<Duration>,
        /// Why; no part of an answer's body.
        reason: String,
    },
    /// It is away, and says for how long: `Retry-After` beside an error of its own. Whether it applied the request is another matter.
    Away {
        /// How long to wait.
        after: Duration,
        /// Why; no part of an answer's body.
        reason: String,
    },
    /// Its quota headers: so many requests are left until the quota is renewed.
    Quota {
        /// Requests left.
        remaining: u64,
        /// Time until then.
        reset: Duration,
    },
}

/// The longest wait that a destination can ask for: a wrong number must not silence an account for good.
const LONGEST_WAIT: i64 = 24 * 3_600 * SECOND;
const SECOND: i64 = 1_000_000;
/// Headers about less time than this say nothing that pacing does not know: their seconds are rounded.
const SHORT_RESET: i64 = 5 * SECOND;
/// How much slower a throttle without a wait makes the pace, in thousandths.
const SLOWER: i64 = 1_200;
/// The pace never becomes slower than this.
const SLOWEST: i64 = 8_000;
/// Slots that one lease may reach ahead: what is leased no longer hears of a throttle.
const AHEAD: i64 = SECOND / 4;

/// A lease that needs nothing but the next slot to move; with what it would be if its first slot were at 0. `None`: the terms must
/// change too, or a window is used up.
#[must_use]
pub fn quick(plan: &Plan, budget: &Budget, now: i64, want: u32) -> Option<(Advance, Lease)> {
    let terms = Terms::read(&budget.terms);
    if plan.between_marks().is_some() && (terms.last.is_none() || terms.ceiling.is_none()) {
        // Something was heard before the first lease, or the rate had no longer window before: nothing is counted yet.
        return None;
    }
    let step = plan.step(terms.pace(plan, now));
    let slots = plan.block(want, step);
    let by = step * i64::from(slots);
    let advance = Advance {
        epoch: budget.epoch,
        not_before: now.max(terms.held_until()),
        not_after: terms.last.map_or(i64::MAX, |last| last - by),
        at_most: terms.ceiling.map_or(i64::MAX, |ceiling| ceiling - i64::from(slots)),
        by,
        slots: i64::from(slots),
    };
    // The budget may have moved since it was read, but never backwards. After an idle time longer than the terms reach, no next slot
    // would do: a range without numbers in it is not asked for.
    let may_fit = advance.not_before.max(budget.slot) <= advance.not_after && budget.count <= advance.at_most;
    may_fit.then_some((advance, Lease { first: 0, step, slots }))
}

/// A lease from a budget as it was read, and the budget after it.
#[must_use]
pub fn lease(plan: &Plan, budget: Option<&Budget>, now: i64, want: u32) -> (Budget, Lease) {
    let mut after = budget.cloned().unwrap_or_else(|| Budget { slot: now, count: 0, epoch: 0, terms: String::new() });
    let before = Terms::read(&after.terms);
    let mut terms = before.clone();
    let step = plan.step(terms.pace(plan, now));
    terms.idle_until(plan, now.max(terms.held_until()), &after);
    let wanted = after.slot.max(now).max(terms.held_until());
    let first = terms.free_at(plan, wanted, &after);
    if first > wanted {
        // From the next slot on nothing was leased.
        terms.add(after.slot, after.count);
    }
    if first > wanted + SECOND {
        terms.hold = Some(Hold { until: first, reason: format!("the budget ({}) is used up", plan.text()) });
    }
    let left = terms.left(plan, first, &after);
    let slots = u32::try_from(left.min(i64::from(plan.block(want, step)))).unwrap_or(1).max(1);
    terms.mark(plan, first, &after);
    terms.forget(plan, first, now);
    after.slot = first + step * i64::from(slots);
    after.count += i64::from(slots);
    if terms != before || budget.is_none() {
        after.epoch += 1;
        after.terms = terms.write();
    }
    (after, Lease { first, step, slots })
}

/// What the budget becomes when something is heard. `None`: nothing that it does not know.
#[must_use]
pub fn heard(plan: &Plan, budget: Option<&Budget>, now: i64, heard: &Heard) -> Option<Budget> {
    let mut after = budget.cloned().unwrap_or_else(|| Budget { slot: now, count: 0, epoch: 0, terms: String::new() });
    let before = Terms::read(&after.terms);
    let mut terms = before.clone();
    match heard {
        Heard::Throttled { after, reason } => {
            // Without a wait: until what is on its way has been answered.
            let wait = after.map_or_else(|| plan.span().min(SECOND / 2), micros_of);
            terms.hold_until(now + wait, reason);
            terms.slow_down(plan, now, after.is_some(), reason);
        }
        // It is not too much for it, so the pace stays as it is.
        Heard::Away { after, reason } => terms.hold_until(now + micros_of(*after), reason),
        Heard::Quota { remaining, reset } => {
            let reset = micros_of(*reset);
            let remaining = i64::try_from(*remaining).unwrap_or(i64::MAX);
            let step = plan.step(1_000);
            // Alone we would leave enough: what is left shrinks no faster than the time.
            if reset < SHORT_RESET || remaining.saturating_mul(2) >= reset / step {
                return None;
            }
            let reason = format!("the destination has {remaining} requests left for {} s", reset / SECOND);
            if remaining == 0 {
                terms.hold_until(now + reset, &reason);
            } else {
                terms.share(plan, now, (reset / remaining).saturating_mul(1_000) / step, &reason);
            }
        }
    }
    if terms == before {
        return None;
    }
    after.epoch += 1;
    after.terms = terms.write();
    Some(after)
}

fn micros_of(wait: Duration) -> i64 {
    i64::try_from(wait.as_micros()).unwrap_or(i64::MAX).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests;
