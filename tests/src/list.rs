//! The remote lists as they really are, and a connector that a simulation scripts.

mod connector;

pub(crate) use connector::Scripted;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use driftless_connector::{Answered, Job, OutRow};
use driftless_model::{Identifier, IdentifierSet, KeyHash, Millis, Operation, Outcome, RowOutcome, Session, SyncId};
use driftless_testkit::Random;

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
    /// Whom somebody else has put into a list.
    by_hand: BTreeMap<ListId, IdentifierSet>,
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
        self.lock().by_hand.entry(list.clone()).or_default().insert(identifier.clone());
        self.lock().members.entry(list).or_default().insert(identifier, value.to_owned());
    }

    /// Takes somebody out of the configured list by hand.
    pub fn take(&self, sync: &SyncId, identifiers: &IdentifierSet) {
        let list = (sync.clone(), sync.to_string());
        let mut state = self.lock();
        for i in identifiers {
            state.members.entry(list.clone()).or_default().remove(i);
            state.by_hand.entry(list.clone()).or_default().remove(i);
        }
    }

    /// Who is in a list because somebody else has put them there.
    pub fn by_hand(&self, sync: &SyncId, list: &str) -> IdentifierSet {
        self.lock().by_hand.get(&(sync.clone(), list.to_owned())).cloned().unwrap_or_default()
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
            let by_hand = self.by_hand.entry(sent.list.clone()).or_default();
            for i in &row.identifiers {
                by_hand.remove(i);
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
        self.by_hand.remove(&sent.list);
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

/// Identifiers and the record they were sent for.
pub(crate) type SentFor = BTreeMap<KeyHash, IdentifierSet>;
