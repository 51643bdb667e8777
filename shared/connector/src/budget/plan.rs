use std::time::Duration;

use driftless_config::destination::Rate;

use super::{AHEAD, SECOND};

/// A rate in the form in which it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Microseconds from one request to the next.
    pace: i64,
    /// The span of the window that is paced.
    span: i64,
    pub(super) counted: Vec<Counted>,
    text: String,
}

/// A window that is kept by counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) requests: i64,
    /// With its guard.
    pub(super) span: i64,
}

/// Marks that are kept of the longest window, about: what is counted twice at the edge of a mark is lost.
const MARKS: i64 = 32;
/// A longer window alone is not paced evenly: a day's budget may be used faster, and is counted.
const LONGEST_PACED: i64 = 600 * SECOND;
/// How much faster.
const BURST: i64 = 10;

impl Plan {
    /// The plan of a rate.
    #[must_use]
    pub fn new(rate: &Rate) -> Self {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 4).clamp(1, i64::MAX / 4);
        let windows: Vec<Counted> = rate
            .windows()
            .map(|w| {
                let span = micros(w.per.into());
                Counted { requests: i64::from(w.requests.get()), span: span + (span / 25).min(SECOND) }
            })
            .collect();
        let text = rate.to_string();
        let Some((first, longer)) = windows.split_first() else {
            return Self { pace: 1, span: SECOND, counted: Vec::new(), text };
        };
        let even = ceiling(first.span, first.requests);
        let (pace, counted) = match first.span > LONGEST_PACED + SECOND {
            true => (even / BURST, windows.clone()),
            false => (even, longer.to_vec()),
        };
        Self { pace: pace.max(1), span: first.span, counted, text }
    }

    /// Microseconds from one request to the next at a pace in thousandths.
    pub(super) fn step(&self, pace: i64) -> i64 {
        (self.pace.saturating_mul(pace) / 1_000).max(1)
    }

    /// The paced window.
    pub(super) const fn span(&self) -> i64 {
        self.span
    }

    /// How many of the slots that are wanted one lease may take.
    pub(super) fn block(&self, want: u32, step: i64) -> u32 {
        let ahead = u32::try_from(AHEAD / step).unwrap_or(u32::MAX);
        want.clamp(1, ahead.max(1))
    }

    /// How far apart marks are; `None` where nothing is counted.
    pub(super) fn between_marks(&self) -> Option<i64> {
        self.counted.iter().map(|w| w.span / MARKS).min().map(|between| between.max(1))
    }

    pub(super) fn longest(&self) -> i64 {
        self.counted.iter().map(|w| w.span).max().unwrap_or(0)
    }

    /// The rate as people write it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

const fn ceiling(a: i64, b: i64) -> i64 {
    (a + b - 1) / b
}
