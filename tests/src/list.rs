//! The remote lists as they really are, and a connector that a simulation scripts.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use driftless_connector::{
    Answer, Answered, Batch, Capabilities, CheckStep, Connector, Failure, Job, ListState, OutRow, Page,
};
use driftless_model::{
    Clock, Identifier, IdentifierSet, KeyHash, Millis, Operation, Outcome, RowOutcome, Session, SyncId,
};
use driftless_testkit::{ManualClock, Random, Steps};

use crate::dataset::key_hash;
use crate::ghosts::Ghosts;
use crate::named::Named;

/// What the destination does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers.
    Answers,
    /// Applies it; the answer is lost.
    LosesAnswer,
    /// Never gets it; nobody knows.
    NeverGetsIt,
    /// The request arrives late, but within its timeout; nobody hears of it.
    GetsItLate,
    /// Answers for the first row only.
    AnswersHalf,
    /// Too many requests.
    Throttles,
    /// Refuses our login.
    RefusesUs,
    /// Rejects every row.
    RejectsAll,
}

/// One destination with a list per sync.
#[derive(Default)]
pub struct Remote {
    state: Mutex<State>,
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // manners, each of which it has or has not
pub(crate) struct State {
    /// What each identifier carries, by list.
    pub(crate) members: BTreeMap<ListId, BTreeMap<Identifier, String>>,
    /// Which lists there are, and by what people know them.
    pub(crate) named: Named,
    /// By list.
    sessions: BTreeMap<ListId, Replacing>,
    refused: BTreeSet<Identifier>,
    pub(crate) down: bool,
    all_or_nothing: bool,
    stubborn: bool,
    moods: VecDeque<Mood>,
    random: Option<Random>,
    /// On their way: when they arrive, what they do, and the job that they are of.
    late: Vec<(Millis, Sent, Option<String>)>,
    /// It accepts requests and works on them later.
    jobs: bool,
    accepted: u64,
    /// How long the next jobs take, before that is drawn again.
    durations: VecDeque<i64>,
    /// When the last accepted job of a list is done: a list's jobs are worked on in order.
    busy_until: BTreeMap<ListId, Millis>,
    /// What became of jobs.
    ended: BTreeMap<String, Answered>,
}

/// The session that replaces a list, and those that have ended.
#[derive(Default)]
struct Replacing {
    number: u64,
    parts: BTreeMap<u32, Vec<OutRow>>,
    ended: BTreeSet<u64>,
}

/// For how long a job may be worked on; its time-out is longer.
const JOB_MS: [i64; 6] = [0, 3_000, 12_000, 70_000, 400_000, 1_500_000];
/// How long we wait for a job.
pub(crate) const JOB_TIMEOUT: Duration = Duration::from_mins(50);

/// A list of a sync, as the sync calls it.
pub(crate) type ListId = (SyncId, String);

/// One request, as it travels.
#[derive(Clone)]
struct Sent {
    list: ListId,
    run: String,
    operation: Operation,
    rows: Vec<OutRow>,
    session: Option<Session>,
}

impl Remote {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a request as a whole where one of its rows is refused.
    pub fn set_all_or_nothing(&self, yes: bool) {
        self.lock().all_or_nothing = yes;
    }

    /// Refuses to remove those whom it refuses to add, too.
    pub fn set_stubborn(&self, yes: bool) {
        self.lock().stubborn = yes;
    }

    /// Accepts requests, and tells later what became of them.
    pub fn set_jobs(&self, yes: bool) {
        self.lock().jobs = yes;
    }

    /// How long the next accepted jobs take, in milliseconds.
    pub fn script_jobs(&self, durations: impl IntoIterator<Item = i64>) {
        self.lock().durations.extend(durations);
    }

    /// Down, or up again.
    pub fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    /// True while it is down.
    pub fn is_down(&self) -> bool {
        self.lock().down
    }

    /// Refuses records with this identifier until [`Remote::accept_all`].
    pub fn refuse(&self, identifier: Identifier) {
        self.lock().refused.insert(identifier);
    }

    /// Refuses nobody.
    pub fn accept_all(&self) {
        self.lock().refused.clear();
    }

    /// From now on moods are drawn; `None`: it answers.
    pub fn set_random(&self, random: Option<Random>) {
        self.lock().random = random;
    }

    /// What it does with the next requests, before moods are drawn again.
    pub fn script(&self, moods: impl IntoIterator<Item = Mood>) {
        self.lock().moods.extend(moods);
    }

    /// The members of a list of a sync: by identifier, what it carries.
    pub fn members(&self, sync: &SyncId, list: &str) -> BTreeMap<Identifier, String> {
        self.lock().members.get(&(sync.clone(), list.to_owned())).cloned().unwrap_or_default()
    }

    /// Puts somebody into the configured list by hand.
    pub fn put(&self, sync: &SyncId, identifier: Identifier, value: &str) {
        let list = (sync.clone(), sync.to_string());
        self.lock().members.entry(list).or_default().insert(identifier, value.to_owned());
    }

    /// True while a request to this list is on its way.
    pub fn in_flight(&self, sync: &SyncId, list: &str) -> bool {
        self.lock().late.iter().any(|(_, s, _)| s.list.0 == *sync && s.list.1 == list)
    }

    /// Lets requests arrive that are due.
    pub fn land(&self, now: Millis, ghosts: &Ghosts) {
        let mut state = self.lock();
        let (due, rest): (Vec<_>, Vec<_>) =
            core::mem::take(&mut state.late).into_iter().partition(|(at, _, _)| *at <= now);
        state.late = rest;
        for (_, sent, job) in due {
            let answered = state.apply(&sent, sent.rows.len(), ghosts, false);
            if let Some(job) = job {
                state.ended.insert(job, answered);
            }
        }
    }

    /// When the next late request arrives.
    pub fn next_landing(&self) -> Option<Millis> {
        self.lock().late.iter().map(|(at, _, _)| *at).min()
    }
}

impl State {
    pub(crate) fn mood(&mut self) -> Mood {
        if let Some(mood) = self.moods.pop_front() {
            return mood;
        }
        match self.random.as_mut().map(|r| r.below(100)) {
            Some(0..=9) => Mood::LosesAnswer,
            Some(10..=16) => Mood::NeverGetsIt,
            Some(17..=21) => Mood::GetsItLate,
            Some(22..=26) => Mood::AnswersHalf,
            Some(27..=29) => Mood::Throttles,
            Some(30) => Mood::RefusesUs,
            _ => Mood::Answers,
        }
    }

    /// Takes a request on, as a job that is done later. One in thirty is taken and never worked on.
    fn accept(&mut self, sent: Sent, now: Millis) -> Job {
        let draw = self.random.as_mut().map_or((0, 0), |r| (r.below(JOB_MS.len()), r.below(30)));
        self.accepted += 1;
        let name = format!("job-{}", self.accepted);
        if draw.1 != 29 {
            let before = self.busy_until.get(&sent.list).copied().unwrap_or(now).max(now);
            let drawn = JOB_MS.get(draw.0).copied().unwrap_or(0);
            let done = before.plus(self.durations.pop_front().unwrap_or(drawn));
            self.busy_until.insert(sent.list.clone(), done);
            self.late.push((done, sent, Some(name.clone())));
        }
        Job::new(name).unwrap_or_else(|_| unreachable!("it is short"))
    }

    /// What a job is said to have come to.
    fn told(&mut self, job: &Job, rows: usize) -> Answered {
        match self.random.as_mut().map(|r| r.below(40)) {
            Some(0..=2) => return Answered::NoAnswer { reason: "timeout".into() },
            Some(3) => return Answered::Throttled { after: None, reason: "429".into() },
            Some(4) => return Answered::Fatal { reason: "401".into() },
            // It has forgotten the job.
            Some(5) => {
                self.ended.remove(job.as_str());
                return Answered::Rows(vec![Outcome::Unknown.into(); rows]);
            }
            _ => {}
        }
        self.ended.get(job.as_str()).cloned().unwrap_or(Answered::Pending { after: None })
    }

    fn refuses(&self, operation: Operation, row: &OutRow) -> bool {
        (operation.sends() || self.stubborn) && row.identifiers.iter().any(|i| self.refused.contains(i))
    }

    /// Applies the first rows of a request and says what became of them.
    fn apply(&mut self, sent: &Sent, rows: usize, ghosts: &Ghosts, heard: bool) -> Answered {
        if self.named.is_gone(&sent.list) {
            return Answered::Fatal { reason: "404".into() };
        }
        if sent.operation == Operation::Clear {
            self.replace(sent, BTreeMap::new(), ghosts);
            return Answered::Rows(Vec::new());
        }
        if let Some(session) = sent.session {
            return self.part(sent, session, ghosts, heard);
        }
        if self.all_or_nothing && sent.rows.iter().any(|r| self.refuses(sent.operation, r)) {
            return Answered::BatchRejected { reason: "one of them".into() };
        }
        let mut out = Vec::new();
        for row in sent.rows.iter().take(rows) {
            let k = key_hash(row.key.as_str());
            if self.refuses(sent.operation, row) {
                out.push(Some(Outcome::Rejected { reason: "refused".into() }.into()));
                continue;
            }
            ghosts.applied(&sent.list, &sent.run, sent.operation, k, &row.identifiers, heard);
            let members = self.members.entry(sent.list.clone()).or_default();
            for i in &row.identifiers {
                if sent.operation.sends() {
                    members.insert(i.clone(), plan(row));
                } else {
                    members.remove(i);
                }
            }
            out.push(Some(RowOutcome::from(Outcome::Delivered)));
        }
        let open = sent.rows.len() - out.len();
        if open == 0 {
            return Answered::Rows(out.into_iter().flatten().collect());
        }
        out.extend(vec![None; open]);
        Answered::Partly { rows: out, rest: Box::new(Answered::Unavailable { reason: "half-way".into() }) }
    }
}

impl State {
    /// The list becomes this one.
    fn replace(&mut self, sent: &Sent, members: BTreeMap<Identifier, String>, ghosts: &Ghosts) {
        let before = self.members.insert(sent.list.clone(), members).unwrap_or_default();
        ghosts.replaced(&sent.list, &sent.run, before.into_keys().collect());
    }

    /// A part of a session: nothing is seen of it before the last one has come.
    fn part(&mut self, sent: &Sent, session: Session, ghosts: &Ghosts, heard: bool) -> Answered {
        let refused: Vec<bool> = sent.rows.iter().map(|row| self.refuses(sent.operation, row)).collect();
        let replacing = self.sessions.entry(sent.list.clone()).or_default();
        if replacing.ended.contains(&session.number) && !session.last() {
            // It comes late, and nobody waits for it.
            return Answered::Unavailable { reason: "the session has ended".into() };
        }
        if replacing.number != session.number {
            if !session.first() {
                return Answered::Unavailable { reason: "the session was not begun".into() };
            }
            (replacing.number, replacing.parts) = (session.number, BTreeMap::new());
        }
        let mut taken = Vec::new();
        let mut outcomes = Vec::new();
        for (row, refused) in sent.rows.iter().zip(refused) {
            if refused {
                outcomes.push(Outcome::Rejected { reason: "refused".into() }.into());
                continue;
            }
            let k = key_hash(row.key.as_str());
            ghosts.applied(&sent.list, &sent.run, sent.operation, k, &row.identifiers, heard);
            taken.push(row.clone());
            outcomes.push(RowOutcome::from(Outcome::Delivered));
        }
        replacing.parts.insert(session.part, taken);
        if session.last() && replacing.ended.insert(session.number) {
            let whole = u32::try_from(replacing.parts.len()) == Ok(session.parts);
            let rows = core::mem::take(&mut replacing.parts).into_values().flatten();
            let members =
                rows.flat_map(|row| row.identifiers.iter().map(|i| (i.clone(), plan(&row))).collect::<Vec<_>>());
            let members = members.collect();
            if !whole {
                ghosts.violated("the last part of a session came before another");
            }
            self.replace(sent, members, ghosts);
        }
        Answered::Rows(outcomes)
    }
}

/// The field that is not an identifier, as sent.
fn plan(row: &OutRow) -> String {
    row.fields.get("plan").and_then(|v| v.as_str()).unwrap_or_default().to_owned()
}

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
            let state = self.remote.lock();
            if state.down {
                return Ok(Err(Failure::Unavailable { reason: "503".into() }));
            }
            let empty = state.members.get(&self.list).is_none_or(BTreeMap::is_empty);
            Ok::<_, ()>(Ok(if empty { ListState::Empty } else { ListState::NotEmpty }))
        };
        let lost = || Err(Failure::Unavailable { reason: "reset".into() });
        self.steps.step("inspect", work, || ()).await.unwrap_or_else(|()| lost())
    }

    async fn list(&self, _: Option<String>) -> Result<Page, Failure> {
        Err(Failure::Unsupported { what: "list its members here" })
    }

    async fn check(&self) -> Vec<CheckStep> {
        Vec::new()
    }
}

/// Identifiers and the record they were sent for.
pub(crate) type SentFor = BTreeMap<KeyHash, IdentifierSet>;
