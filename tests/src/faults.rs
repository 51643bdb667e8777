//! When an invocation dies, or a store does not answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use driftless_testkit::{Next, Point, Random, When};

/// Draws faults. Every simulation aims at a few points, so that over many of them none is left out, and common points do not
/// keep a history from going anywhere.
pub struct Faults(Mutex<State>);

struct State {
    random: Random,
    aim: u64,
    on: bool,
    passed: BTreeMap<(Point, When), u32>,
}

impl Faults {
    /// Off at first.
    #[must_use]
    pub fn new(mut random: Random) -> Self {
        let aim = random.next();
        Self(Mutex::new(State { random, aim, on: false, passed: BTreeMap::new() }))
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
        let aimed_at = is_aimed_at(state.aim, point, when);
        let passed = state.passed.entry((point, when)).or_default();
        *passed += 1;
        let aimed_at = aimed_at && *passed <= 4;
        match (state.random.below(1000), aimed_at) {
            (0..=2, _) | (3..=349, true) => Next::Crash,
            (350..=353, _) | (354..=449, true) => Next::Fail,
            _ => Next::Continue,
        }
    }
}

/// Steps that few histories come to.
const SELDOM: [&str; 11] = [
    "commit",
    "compact",
    "count_reject",
    "create_list",
    "deactivate",
    "drop_hold",
    "list",
    "put_old_list",
    "replace_old_list",
    "retire_list",
    "stamp_snapshot",
];

/// Steps that the fewest histories come to.
const RARE: [&str; 2] = ["pass_name_on", "place_hold"];

/// One point in ten, every second of those that few histories come to, and each of those that the fewest come to.
fn is_aimed_at(aim: u64, point: Point, when: When) -> bool {
    let name = point.function.bytes().chain(point.step.bytes()).chain([u8::from(when == When::After)]);
    // FNV-1a, with the aim as its basis.
    let hash = name.fold(aim, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    // Mixed once more: the two sides of a point differ in the last byte, which the upper half would hardly feel.
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    // Only what was read of a remote list is an object of a connector.
    let seldom = SELDOM.contains(&point.step) || (point.function, point.step) == ("connector", "create_object");
    (hash >> 32).is_multiple_of(match () {
        () if RARE.contains(&point.step) => 1,
        () if seldom => 2,
        () => 10,
    })
}
