//! Reading a list, page by page, within the budget and the claim.

use core::time::Duration;

use driftless_model::{Clock, Millis};

use super::Stop;
use super::course::{FIRST_WAIT_MS, LONGEST_ASKED_MS, TRIES};
use super::turn::Turn;
use crate::budget::Heard;
use crate::{Connector, Failure, Pacer, Page};

/// What came of reading a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPage {
    /// The page; or why it was not read, to be read again from the same cursor. A cursor that the destination refuses is
    /// [`Stop::Fatal`], as a refused login is: start again without one before giving up.
    pub page: Result<Page, Stop>,
    /// All requests made.
    pub requests: u32,
}

/// Reads one page of a list: a slot of the rate budget for each of its requests, and a few tries while the destination cannot.
/// Changes nothing, so that it may be asked again after any answer.
pub async fn read_page(
    connector: &dyn Connector,
    pacer: &dyn Pacer,
    clock: &dyn Clock,
    cursor: Option<&str>,
    stop_before: Millis,
    timeout: Duration,
) -> ReadPage {
    let turn = Turn::new(pacer, clock, stop_before, timeout);
    let page = try_to_read(connector, &turn, cursor).await;
    ReadPage { page, requests: turn.requests() }
}

async fn try_to_read(connector: &dyn Connector, turn: &Turn<'_>, cursor: Option<&str>) -> Result<Page, Stop> {
    let mut failures = 0;
    loop {
        turn.enter().await?;
        let failure = match connector.list(cursor.map(str::to_owned), turn).await {
            Ok(page) => return Ok(page),
            Err(failure) => failure,
        };
        if let Some(stop) = turn.stopped() {
            return Err(stop);
        }
        failures += 1;
        let doubling = FIRST_WAIT_MS << (failures - 1);
        let (wait, stop): (i64, fn(Millis, String) -> Stop) = match &failure {
            Failure::Throttled { after, reason } => {
                turn.tell(Heard::Throttled { after: *after, reason: reason.clone() }).await;
                let asked = after.map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
                let wait = asked.map_or(doubling, |ms| ms.clamp(1, LONGEST_ASKED_MS));
                (wait, |until, reason| Stop::Throttled { until, reason })
            }
            Failure::Unavailable { .. } => (doubling, |_, reason| Stop::Down { reason }),
            Failure::Unsupported { .. } | Failure::Fatal { .. } => {
                return Err(Stop::Fatal { reason: failure.to_string() });
            }
        };
        let away = turn.away();
        let until = turn.later(wait).max(away.unwrap_or(Millis(0)));
        if failures == TRIES || !turn.reaches(until) {
            let reason = failure.to_string();
            // It said for how long.
            return Err(if away.is_some() { Stop::Throttled { until, reason } } else { stop(until, reason) });
        }
        turn.sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use futures::executor::block_on;

    use super::super::tests::Virtual;
    use super::*;
    use crate::{Answer, Batch, Capabilities, CheckStep, Gate, ListState};

    /// Answers what it is given, and asks for a second slot on the way.
    struct Listing(Mutex<VecDeque<Result<Page, Failure>>>, Capabilities);

    #[async_trait]
    impl Connector for Listing {
        fn capabilities(&self) -> &Capabilities {
            &self.1
        }
        async fn send(&self, _: &Batch<'_>) -> Answer {
            unreachable!("nothing is sent")
        }
        async fn inspect(&self) -> Result<ListState, Failure> {
            Ok(ListState::Unreadable)
        }
        async fn list(&self, _: Option<String>, gate: &dyn Gate) -> Result<Page, Failure> {
            if gate.pass().await.is_err() {
                return Err(Failure::Unavailable { reason: "no slot".into() });
            }
            self.0.lock().unwrap().pop_front().expect("asked once more than expected")
        }
        async fn check(&self) -> Vec<CheckStep> {
            Vec::new()
        }
    }

    fn read(answers: impl IntoIterator<Item = Result<Page, Failure>>, stop_before: i64) -> (Result<Page, Stop>, i64) {
        let listing = Listing(Mutex::new(answers.into_iter().collect()), Capabilities::default());
        let time = Virtual::new(100);
        let read = read_page(&listing, &time, &time, None, Millis(stop_before), Duration::from_secs(1));
        (block_on(read).page, time.now().0)
    }

    fn unavailable() -> Result<Page, Failure> {
        Err(Failure::Unavailable { reason: "503".into() })
    }

    #[test]
    fn every_request_of_a_page_takes_a_slot() {
        let (page, at) = read([Ok(Page::default())], 60_000);
        assert_eq!(page, Ok(Page::default()));
        assert_eq!(at, 100, "two requests, the second in the second slot");
    }

    #[test]
    fn a_destination_that_cannot_is_asked_a_few_times_and_then_is_down() {
        let (page, _) = read([unavailable(), unavailable(), Ok(Page::default())], 60_000);
        assert!(page.is_ok());
        let (page, _) = read([unavailable(), unavailable(), unavailable(), unavailable()], 60_000);
        assert!(matches!(page, Err(Stop::Down { .. })), "{page:?}");
    }

    #[test]
    fn a_wait_that_is_asked_for_is_kept_or_told() {
        let asked = |s| Err(Failure::Throttled { after: Some(Duration::from_secs(s)), reason: "429".into() });
        let (page, at) = read([asked(7), Ok(Page::default())], 60_000);
        assert!(page.is_ok() && at >= 7_000, "{at}");
        let (page, at) = read([asked(600)], 60_000);
        assert!(matches!(page, Err(Stop::Throttled { until, .. }) if until >= Millis(600_000)), "{page:?}");
        assert!(at < 60_000, "nobody slept for it");
    }

    #[test]
    fn no_request_starts_that_the_claim_would_not_outlive() {
        let (page, _) = read([Ok(Page::default())], 1_050);
        assert!(
            matches!(page, Err(Stop::Throttled { .. } | Stop::Deadline)),
            "the second request is not made: {page:?}"
        );
        let (page, _) = read([], 500);
        assert_eq!(page, Err(Stop::Deadline));
    }

    #[test]
    fn a_refusal_is_told_at_once() {
        let (page, _) = read([Err(Failure::Fatal { reason: "401".into() })], 60_000);
        assert!(matches!(page, Err(Stop::Fatal { .. })), "{page:?}");
    }
}
