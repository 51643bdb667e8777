//! When an invocation dies, or a store does not answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use driftless_testkit::{Next, Point, Random, When};

/// Draws faults; points that were seldom passed are more likely to be hit, so that none is left out.
pub struct Faults(Mutex<State>);

struct State {
    random: Random,
    on: bool,
    passed: BTreeMap<(Point, When), u32>,
}

impl Faults {
    /// Off at first.
    #[must_use]
    pub const fn new(random: Random) -> Self {
        Self(Mutex::new(State { random, on: false, passed: BTreeMap::new() }))
    }

    /// Switches them on or off.
    pub fn set(&self, on: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).on = on;
    }

    /// What happens at a point now.
    pub fn decide(&self, point: Point, when: When) -> Next {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.on {
            return Next::Continue;
        }
        let passed = state.passed.entry((point, when)).or_default();
        *passed += 1;
        let seldom = *passed <= 2;
        match (state.random.below(1000), seldom) {
            (0..=4, _) | (5..=49, true) => Next::Crash,
            (50..=55, _) | (56..=79, true) => Next::Fail,
            _ => Next::Continue,
        }
    }
}
