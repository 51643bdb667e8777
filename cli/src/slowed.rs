//! Why requests to a destination go out more slowly than its rate allows.

use driftless_connector::budget::{Plan, Terms};
use driftless_deltalog::registry::SyncEntry;
use driftless_model::Millis;
use driftless_state::documents;
use serde::Serialize;

use crate::session::Session;
use crate::time::utc;

/// What the shared rate budget of a destination waits for.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Slowed {
    /// No request before.
    pub(crate) until: Option<String>,
    /// The pace, in percent of what the rate allows. It recovers by itself.
    pub(crate) pace_percent: i64,
    /// What the destination said.
    pub(crate) reason: String,
}

impl Slowed {
    /// `None` if requests go out as the rate allows.
    fn of(terms: &Terms, plan: &Plan, now: Millis) -> Option<Self> {
        let now = now.0.saturating_mul(1_000);
        let hold = terms.hold.as_ref().filter(|hold| hold.until > now);
        let pace_percent = 100_000 / terms.pace(plan, now).max(1);
        let slow = terms.slow.as_ref().filter(|_| pace_percent < 99);
        let reason = hold.map(|h| &h.reason).or(slow.map(|s| &s.reason))?.clone();
        Some(Self { until: hold.map(|h| utc(Millis(h.until / 1_000))), pace_percent, reason })
    }

    /// A line for people.
    pub(crate) fn line(&self, destination: &str) -> String {
        match &self.until {
            Some(at) => format!("{destination}: no request before {at}: {}", self.reason),
            None => format!("{destination}: slowed to {} % of its rate: {}", self.pace_percent, self.reason),
        }
    }
}

/// How the budget of a sync's destination stands.
pub(crate) async fn slowed(session: &Session, entry: &SyncEntry) -> anyhow::Result<Option<Slowed>> {
    let Some(budget) = session.log.budget(&entry.destination).await? else { return Ok(None) };
    let terms = Terms::read(&budget.terms);
    if terms.hold.is_none() && terms.slow.is_none() {
        return Ok(None);
    }
    let registered = session.log.destinations().await?;
    let Some(registered) = registered.into_iter().find(|d| d.destination == entry.destination) else { return Ok(None) };
    let described = documents::destination(session.objects.as_ref(), &registered).await?;
    Ok(described.rate().and_then(|rate| Slowed::of(&terms, &Plan::new(&rate), session.clock.now())))
}

#[cfg(test)]
mod tests {
    use driftless_config::destination::Rate;
    use driftless_connector::budget::{Hold, Slow};

    use super::*;

    #[test]
    fn a_wait_and_a_slow_pace_are_told_while_they_last() {
        let rate: Rate = serde_json::from_str(r#"{"requests": 10, "per": "1s"}"#).unwrap();
        let plan = Plan::new(&rate);
        let now = Millis(1_800_000_000_000);
        let micros = now.0 * 1_000;
        let mut terms = Terms::default();
        assert_eq!(Slowed::of(&terms, &plan, now), None);
        terms.slow = Some(Slow { pace: 2_000, at: micros, reason: "HTTP 429".into() });
        let slowed = Slowed::of(&terms, &plan, now).unwrap();
        assert_eq!(slowed.line("crm"), "crm: slowed to 50 % of its rate: HTTP 429");
        terms.hold = Some(Hold { until: micros + 60_000_000, reason: "HTTP 429, Retry-After".into() });
        let line = Slowed::of(&terms, &plan, now).unwrap().line("crm");
        assert_eq!(line, "crm: no request before 2027-01-15T08:01:00Z: HTTP 429, Retry-After");
        assert_eq!(Slowed::of(&terms, &plan, now.plus(3_600_000)), None, "both are over");
    }
}
