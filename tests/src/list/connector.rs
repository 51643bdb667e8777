//! What an invocation talks to the remote lists by.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use driftless_connector::{
    Answer, Answered, Batch, Capabilities, CheckStep, Connector, Failure, Gate, Job, ListState, Member, Page,
};
use driftless_model::{Clock, Identifier, Millis, Operation, Outcome};
use driftless_testkit::{ManualClock, Steps};

use super::{ListId, Mood, Remote, Sent};
use crate::dataset::key_hash;
use crate::ghosts::Ghosts;

/// Members of a page of the list.
const PAGE: usize = 3;

/// The connector of one invocation.
pub(crate) struct Scripted {
    /// The destination.
    pub remote: Arc<Remote>,
    /// What is remembered of it.
    pub ghosts: Arc<Ghosts>,
    /// The clock.
    pub clock: Arc<ManualClock>,
    /// The invocation's steps: requests are points at which it can die.
    pub steps: Steps,
    /// The list.
    pub list: ListId,
    /// The run on whose behalf it sends.
    pub run: String,
    /// As the planner knows them.
    pub capabilities: Capabilities,
}

impl Scripted {
    fn request(&self, sent: Sent, timeout: Duration) -> (Answered, Option<Millis>) {
        let mut state = self.remote.lock();
        if state.down {
            return (Answered::Unavailable { reason: "503".into() }, None);
        }
        let rows = sent.rows.len();
        let lost = Answered::NoAnswer { reason: "timeout".into() };
        let now = self.clock.now();
        if state.jobs {
            return match state.mood() {
                Mood::Answers | Mood::AnswersHalf | Mood::RejectsAll => {
                    (Answered::Accepted { job: state.accept(sent, now) }, None)
                }
                Mood::LosesAnswer | Mood::GetsItLate => {
                    let _: Job = state.accept(sent, now);
                    (lost, None)
                }
                Mood::NeverGetsIt => (lost, None),
                Mood::Throttles => {
                    (Answered::Throttled { after: Some(Duration::from_secs(7)), reason: "429".into() }, None)
                }
                Mood::RefusesUs => (Answered::Fatal { reason: "401".into() }, None),
            };
        }
        let give_up = now.plus(i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX));
        match state.mood() {
            Mood::Answers => (state.apply(&sent, rows, &self.ghosts, true), None),
            Mood::LosesAnswer => {
                state.apply(&sent, rows, &self.ghosts, false);
                (lost, None)
            }
            Mood::NeverGetsIt => (lost, None),
            Mood::GetsItLate => {
                state.late.push((Millis(i64::midpoint(now.0, give_up.0)), sent, None));
                (lost, Some(give_up))
            }
            Mood::AnswersHalf if sent.session.is_some() => (lost, None),
            Mood::AnswersHalf => (state.apply(&sent, rows.div_ceil(2), &self.ghosts, true), None),
            Mood::Throttles => {
                (Answered::Throttled { after: Some(Duration::from_secs(7)), reason: "429".into() }, None)
            }
            Mood::RejectsAll if sent.session.is_some() || sent.operation == Operation::Clear => {
                (state.apply(&sent, rows, &self.ghosts, true), None)
            }
            Mood::RejectsAll => {
                let rejected = Outcome::Rejected { reason: "refused".into() };
                (Answered::Rows(vec![rejected.into(); rows]), None)
            }
            Mood::RefusesUs => (Answered::Fatal { reason: "401".into() }, None),
        }
    }
}

impl Scripted {
    async fn ask(&self, sent: Sent, timeout: Duration) -> Answer {
        // An injected failure is a lost answer: after the step the request was made.
        let work = async {
            let (answered, until) = self.request(sent, timeout);
            if let Some(until) = until {
                self.clock.sleep_until(until).await;
            }
            Ok::<_, ()>(answered)
        };
        let answered = self.steps.step("request", work, || ()).await;
        Answer { is: answered.unwrap_or(Answered::NoAnswer { reason: "reset".into() }), requests: 1 }
    }
}

#[async_trait]
impl Connector for Scripted {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn send(&self, batch: &Batch<'_>) -> Answer {
        let sent = Sent {
            list: self.list.clone(),
            run: self.run.clone(),
            operation: batch.operation,
            rows: batch.rows.to_vec(),
            session: batch.session,
        };
        self.ask(sent, batch.timeout).await
    }

    async fn clear(&self, _: Millis, batch: &Batch<'_>) -> Answer {
        let sent = Sent {
            list: self.list.clone(),
            run: self.run.clone(),
            operation: Operation::Clear,
            rows: Vec::new(),
            session: None,
        };
        self.ask(sent, batch.timeout).await
    }

    async fn poll(&self, job: &Job, batch: &Batch<'_>) -> Answer {
        let work = async {
            let mut state = self.remote.lock();
            if state.down {
                return Ok(Answered::Unavailable { reason: "503".into() });
            }
            Ok::<_, ()>(state.told(job, batch.rows.len()))
        };
        let answered = self.steps.step("poll", work, || ()).await;
        let answered = answered.unwrap_or(Answered::NoAnswer { reason: "reset".into() });
        if let Answered::Rows(outcomes) = &answered {
            let said = batch.rows.iter().zip(outcomes).filter(|(_, row)| row.outcome == Outcome::Delivered);
            for (row, _) in said {
                self.ghosts.heard(&self.list, key_hash(row.key.as_str()), &row.identifiers);
            }
        }
        Answer { is: answered, requests: 1 }
    }

    async fn create_list(&self, name: &str) -> Result<String, Failure> {
        self.make(name).await
    }

    async fn retire_list(&self, list: &str) -> Result<(), Failure> {
        self.delete(list).await
    }

    async fn pass_name_on(&self, old: &str, new: &str, mark: &str) -> Result<String, Failure> {
        self.rename(old, new, mark).await
    }

    async fn inspect(&self) -> Result<ListState, Failure> {
        let work = async {
            let mut state = self.remote.lock();
            if state.down {
                return Ok(Err(Failure::Unavailable { reason: "503".into() }));
            }
            // Only where a trace says so.
            if state.moods.front() == Some(&Mood::Throttles) {
                state.moods.pop_front();
                return Ok(Err(Failure::Throttled { after: Some(Duration::from_secs(7)), reason: "429".into() }));
            }
            let empty = state.members.get(&self.list).is_none_or(BTreeMap::is_empty);
            Ok::<_, ()>(Ok(if empty { ListState::Empty } else { ListState::NotEmpty }))
        };
        let lost = || Err(Failure::Unavailable { reason: "reset".into() });
        self.steps.step("inspect", work, || ()).await.unwrap_or_else(|()| lost())
    }

    async fn list(&self, cursor: Option<String>, _: &dyn Gate) -> Result<Page, Failure> {
        let work = async {
            let mut state = self.remote.lock();
            let unavailable = |reason: &str| Ok(Err(Failure::Unavailable { reason: reason.into() }));
            if state.down {
                return unavailable("503");
            }
            match state.mood() {
                Mood::Answers | Mood::AnswersHalf | Mood::RejectsAll => {}
                Mood::Throttles => {
                    let after = Some(Duration::from_secs(7));
                    return Ok(Err(Failure::Throttled { after, reason: "429".into() }));
                }
                Mood::RefusesUs => return Ok(Err(Failure::Fatal { reason: "401".into() })),
                Mood::LosesAnswer | Mood::NeverGetsIt | Mood::GetsItLate => return unavailable("timeout"),
            }
            let from: usize = cursor.as_deref().unwrap_or("0").parse().unwrap_or_default();
            let all: Vec<&Identifier> = state.members.get(&self.list).into_iter().flat_map(BTreeMap::keys).collect();
            let page = all.iter().skip(from).take(PAGE);
            // Whom we have sent it shows in a case of its own.
            let by_hand = state.by_hand.get(&self.list).cloned().unwrap_or_default();
            let member = |i: &&Identifier| {
                let value = if by_hand.contains(i) { i.value.clone() } else { i.value.to_uppercase() };
                let identifier = Identifier::new(i.field.clone(), value);
                Member { identifiers: [identifier].into(), remote_id: None }
            };
            let members = page.map(member).collect();
            let next = (from + PAGE < all.len()).then(|| (from + PAGE).to_string());
            Ok::<_, ()>(Ok(Page { members, next }))
        };
        let lost = || Err(Failure::Unavailable { reason: "reset".into() });
        self.steps.step("list", work, || ()).await.unwrap_or_else(|()| lost())
    }

    async fn check(&self) -> Vec<CheckStep> {
        Vec::new()
    }
}
