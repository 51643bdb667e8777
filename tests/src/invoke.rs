//! Invocations of the functions: started, paused, resumed, killed.

use std::sync::{Arc, Mutex, PoisonError};

use driftless_changeset::BulkThreshold;
use driftless_delivery::{Message, Queue};
use driftless_deltalog::{Deltalog, Metered};
use driftless_fn_ingest::Bulk;
use driftless_fn_janitor::{Compacting, Keeping};
use driftless_fn_planner::Room;
use driftless_fn_planner::plan::{Asked, Request};
use driftless_model::{Clock, Meter, Tokens};
use driftless_objects::Objects;
use driftless_state::room::Memory;
use driftless_testkit::{Life, When};

use crate::functions::{INGEST, JANITOR, PLANNER, Ports, TO_CRM, Verdict};
use crate::store::{Forgetful, Forgotten};
use crate::task::{Task, TaskId, Whereabouts, steps};
use crate::world::World;

/// How long a function lives.
pub(crate) const FUNCTION_MS: i64 = 150_000;
/// Nobody swaps a head in its last seconds.
const MARGIN_MS: i64 = 10_000;
/// How long a received message stays hidden.
const VISIBILITY_S: u32 = 160;
/// What one step takes.
const STEP_MS: i64 = 100;

impl World {
    /// Starts the function that drains `url` with a message of its queue. `None`: there is no such visible message.
    pub fn receive(&mut self, url: &str, id: &str) -> Option<TaskId> {
        let record = self.queue.receive_one(url, id, VISIBILITY_S)?;
        let body = record.body.clone().unwrap_or_default();
        self.received.insert((url.to_owned(), body.clone()));
        Some(self.invoke(url, body, Some(record.receipt)))
    }

    /// Starts the function that drains `url` with a body, beside the queue: a duplicate delivery.
    pub fn invoke(&mut self, url: &str, body: String, receipt: Option<String>) -> TaskId {
        let url = url.to_owned();
        let function = match url.as_str() {
            INGEST => "ingest",
            PLANNER => "planner",
            JANITOR => "janitor",
            _ => "connector",
        };
        let queue = Arc::clone(&self.queue);
        self.spawn(function, move |ports| async move {
            ports.meter.begin();
            let verdict = match ports.steps_for(&url, &body).await {
                Ok(verdict) => verdict,
                Err(e) => {
                    ports.ghosts.note(format!("   fails: {e}"));
                    Verdict::Failed
                }
            };
            let Some(receipt) = receipt else { return };
            match verdict {
                Verdict::Done => queue.delete(&url, &receipt),
                Verdict::Later(after) => {
                    let seconds = u32::try_from(after.as_secs()).unwrap_or(900).min(900);
                    let _ = queue.defer(&url, &receipt, seconds).await;
                }
                Verdict::Failed => {}
            }
        })
    }

    /// `driftless erase`. If it fails, people repeat it: see [`World::repeat_erasures`].
    pub fn erase(&mut self, id: &str) -> TaskId {
        self.ghosts.note(format!("-- erase {id}"));
        let id = id.to_owned();
        let unfinished = Arc::clone(&self.unfinished);
        unfinished.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        self.spawn("erase", move |ports| async move {
            match ports.erase(&id).await {
                Ok(Verdict::Done) => {
                    unfinished.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                }
                Ok(_) => ports.ghosts.note("   not everywhere"),
                Err(e) => ports.ghosts.note(format!("   fails: {e}")),
            }
        })
    }

    /// Repeats the erasures that failed or were killed half-way.
    pub fn repeat_erasures(&mut self) {
        let unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for id in unfinished {
            let task = self.erase(&id);
            self.finish(task);
        }
    }

    fn spawn<F, R>(&mut self, function: &'static str, start: F) -> TaskId
    where
        F: FnOnce(Ports) -> R + 'static,
        R: Future<Output = ()> + 'static,
    {
        let id = TaskId(self.spawned);
        self.spawned += 1;
        let life = Life::default();
        let at: Whereabouts = Arc::new(Mutex::new(None));
        let started = self.clock.now();
        let queue: Arc<dyn Queue> = Arc::clone(&self.queue) as Arc<dyn Queue>;
        let forgets = function == "janitor" && self.setup.forgotten == Some(Forgotten::Resending);
        let keeping = Keeping { grace: self.setup.grace_ms, log: 1_000_000, stalled: 300_000, ..Keeping::default() };
        let log = Arc::clone(&self.log) as Arc<dyn Deltalog>;
        let billed = self.billed;
        let meter = if billed { self.meter.clone() } else { Meter::default() };
        let mut ports = Ports {
            log: if billed { Arc::new(Metered::new(log, meter.clone())) } else { log },
            meter,
            objects: Arc::clone(&self.objects) as Arc<dyn Objects>,
            queue: if forgets { Arc::new(Forgetful(queue)) } else { queue },
            clock: Arc::clone(&self.clock),
            tokens: Arc::clone(&self.tokens) as Arc<dyn Tokens>,
            remote: Arc::clone(&self.remote),
            ghosts: Arc::clone(&self.ghosts),
            steps: steps(function, &life, &at, &self.faults, &self.visits),
            keeping,
            bulk: Bulk {
                threshold: BulkThreshold::from_changes(self.setup.bulk),
                records_at_once: Some(2),
                ..Bulk::default()
            },
            room: Room {
                planner: Memory::of_planner(self.planner_mb << 20),
                janitor: Memory::of_janitor(self.janitor_mb << 20),
                at_most: self.setup.at_most,
            },
            stop_at: started.plus(FUNCTION_MS - MARGIN_MS),
        };
        ports.keeping.folding.share_percent = self.setup.fold_percent;
        ports.keeping.compacting = Compacting { versions: self.setup.chain, items: 8 };
        if self.setup.forgotten == Some(Forgotten::Counting) {
            (ports.keeping.grace, ports.keeping.log) = (0, 0);
        }
        // Steps pass no charges on: what a crash makes of them is nobody's promise.
        let future = Box::pin(start(if billed { ports } else { ports.stepped() }));
        let name = format!("{function}{}", id.0);
        self.ghosts.note(format!("{name} starts"));
        self.tasks.push(Task { id, name, started, life, at, future });
        id
    }

    /// Invocations under way, oldest first.
    #[must_use]
    pub fn running(&self) -> Vec<TaskId> {
        self.tasks.iter().map(|t| t.id).collect()
    }

    /// Moves time, and with it everything that waits for it.
    pub fn pass(&mut self, ms: i64) {
        self.clock.advance(ms);
        self.remote.land(self.clock.now(), &self.ghosts);
        // Lambda kills what has used up its time.
        let now = self.clock.now();
        let ghosts = &self.ghosts;
        self.tasks.retain(|t| {
            let alive = now.0 - t.started.0 <= FUNCTION_MS;
            if !alive {
                ghosts.note(format!("{} is killed: its time is over", t.name));
            }
            alive
        });
    }

    /// One step of an invocation. False: it is not under way any more.
    pub fn step(&mut self, id: TaskId) -> bool {
        self.pass(STEP_MS);
        let Some(at) = self.tasks.iter().position(|t| t.id == id) else { return false };
        let before = self.tasks[at].passed();
        let ended = self.tasks[at].poll();
        let task = &self.tasks[at];
        if let (Some((point, when)), true) = (task.passed(), task.passed() != before) {
            let side = if when == When::Before { "before" } else { "after" };
            let died = if task.life.is_dead() { " DIES" } else { "" };
            if !died.is_empty() || !point.step.starts_with("read") {
                self.ghosts.note(format!("{} {side} {}{died}", task.name, point.step));
            }
        }
        if ended {
            self.tasks.remove(at);
        }
        !ended
    }

    /// Kills an invocation where it is.
    pub fn kill(&mut self, id: TaskId) {
        if let Some(at) = self.tasks.iter().position(|t| t.id == id) {
            self.ghosts.note(format!("{} is killed", self.tasks[at].name));
            self.tasks.remove(at);
        }
    }

    /// Lets an invocation run to its end.
    pub fn finish(&mut self, id: TaskId) {
        while self.step(id) {}
    }

    /// Lets an invocation run until it has passed a step on the given side. False: it ended without.
    pub fn run_until(&mut self, id: TaskId, step: &str, side: When) -> bool {
        while self.step(id) {
            let task = self.tasks.iter().find(|t| t.id == id);
            if task.and_then(Task::passed).is_some_and(|(p, w)| p.step == step && w == side) {
                return true;
            }
        }
        false
    }

    /// Lets everything that is under way come to its end, one after the other.
    pub fn drain(&mut self) {
        while let Some(id) = self.running().first().copied() {
            self.finish(id);
        }
    }

    /// Receives every visible message and works it off, and whatever that asks for, until nothing is visible.
    pub fn work_off(&mut self, urls: &[&str]) {
        // Everything that was ever received may have come once more, and whoever meets a comparison comes back.
        for round in 0..200 + 20 * self.received.len() {
            // In turn: messages that come back to one queue must not keep the others waiting.
            let mut in_turn = urls.iter().cycle().skip(round % urls.len()).take(urls.len());
            let next =
                in_turn.find_map(|url| self.queue.visible(url).first().map(|id| ((*url).to_owned(), id.clone())));
            let Some((url, id)) = next else { return };
            if let Some(task) = self.receive(&url, &id) {
                self.finish(task);
            }
        }
        self.ghosts.violated("DL-6 messages never end");
    }

    /// Every queue.
    pub const QUEUES: [&'static str; 4] = [INGEST, PLANNER, TO_CRM, JANITOR];

    /// Works off announcements and requests to ingest.
    pub fn ingest(&mut self) {
        self.work_off(&[INGEST]);
    }

    /// A new tick, planned.
    pub fn plan(&mut self) {
        let sync = self.sync();
        self.tick(&sync);
        self.work_off(&[PLANNER]);
    }

    /// Works off calls.
    pub fn deliver(&mut self) {
        self.work_off(&[TO_CRM]);
    }

    /// A periodic sweep.
    pub fn sweep(&mut self) {
        self.ask_for_sweep();
        self.work_off(&[JANITOR]);
    }

    /// Ticks, calls and sweeps until nothing is asked for any more.
    pub fn refresh(&mut self) {
        self.plan();
        self.work_off(&Self::QUEUES);
        self.sweep();
        self.work_off(&Self::QUEUES);
    }

    /// A request to plan, without a message.
    #[must_use]
    pub fn request(&self, tick: &str) -> Request {
        Request {
            sync: self.sync(),
            tick: tick.to_owned(),
            cause: "test".to_owned(),
            look_for_snapshot: false,
            compare: None,
        }
    }

    /// Starts a planner for a tick; it may be paused.
    pub fn planner(&mut self, tick: &str) -> TaskId {
        let request = self.request(tick);
        self.spawn("planner", move |ports| async move {
            if let Err(e) = ports.plan(&request).await {
                ports.ghosts.note(format!("   fails: {e}"));
            }
        })
    }
}

impl Ports {
    async fn steps_for(&self, url: &str, body: &str) -> Result<Verdict, Box<dyn core::error::Error + Send + Sync>> {
        match url {
            INGEST => self.take_up(body).await,
            PLANNER => match Message::parse(body)? {
                Message::Plan { sync, tick, cause, after_ingest } => {
                    self.plan(&Request { sync, tick, cause, look_for_snapshot: !after_ingest, compare: None }).await
                }
                Message::Compare { sync, tick, cause, dry_run } => {
                    let compare = Some(if dry_run { Asked::Report } else { Asked::Correct });
                    self.plan(&Request { sync, tick, cause, look_for_snapshot: false, compare }).await
                }
                _ => Ok(Verdict::Done),
            },
            JANITOR => self.sweep(body).await,
            _ => self.deliver(body).await,
        }
    }
}
