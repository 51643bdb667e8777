use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use crate::{Life, Random};

/// Names a task of an [`Executor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its future completed.
    Completed,
    /// Its invocation was killed; the future was dropped where it stood.
    Killed,
}

/// A task that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub id: TaskId,
    /// Its name, as given to [`Executor::spawn`].
    pub name: String,
    /// How.
    pub how: How,
}

/// Polls futures on this thread, one poll at a time, in an order drawn from a seed: every interleaving of their steps can
/// happen, and a seed always gives the same one. No timer, no thread, no other runtime.
pub struct Executor<'f> {
    random: Random,
    spawned: u64,
    tasks: Vec<Task<'f>>,
}

struct Task<'f> {
    id: TaskId,
    name: String,
    life: Life,
    ready: Arc<Ready>,
    future: Pin<Box<dyn Future<Output = ()> + 'f>>,
}

/// Set when a task should be polled again.
struct Ready(AtomicBool);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<'f> Executor<'f> {
    /// No tasks yet.
    #[must_use]
    pub const fn new(random: Random) -> Self {
        Self { random, spawned: 0, tasks: Vec::new() }
    }

    /// Adds a task. It is dropped when it completes, or at the end of the poll in which its life ends.
    pub fn spawn(&mut self, name: impl Into<String>, life: Life, future: impl Future<Output = ()> + 'f) -> TaskId {
        let id = TaskId(self.spawned);
        self.spawned += 1;
        let ready = Arc::new(Ready(AtomicBool::new(true)));
        self.tasks.push(Task { id, name: name.into(), life, ready, future: Box::pin(future) });
        id
    }

    /// Tasks that have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// True when every task has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The tasks that have not ended, by name.
    pub fn running(&self) -> impl Iterator<Item = (TaskId, &str)> {
        self.tasks.iter().map(|t| (t.id, t.name.as_str()))
    }

    /// Polls one ready task. `false`: none is ready (none is left, or all wait for the clock).
    /// What ended is appended to `ended`.
    pub fn poll_one(&mut self, ended: &mut Vec<Ended>) -> bool {
        // Killed from outside while it waited.
        self.bury(ended);
        let ready: Vec<usize> =
            (0..self.tasks.len()).filter(|&at| self.tasks[at].ready.0.load(Ordering::SeqCst)).collect();
        let Some(&at) = self.random.pick(&ready) else { return false };
        let task = &mut self.tasks[at];
        task.ready.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&task.ready));
        if let Poll::Ready(()) = task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            let task = self.tasks.remove(at);
            ended.push(Ended { id: task.id, name: task.name, how: How::Completed });
        }
        self.bury(ended);
        true
    }

    /// Polls until no task is ready. Whoever then is still running waits for the clock, or for ever.
    pub fn run(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        while self.poll_one(&mut ended) {}
        ended
    }

    fn bury(&mut self, ended: &mut Vec<Ended>) {
        let mut at = 0;
        while at < self.tasks.len() {
            if self.tasks[at].life.is_dead() {
                let task = self.tasks.remove(at);
                ended.push(Ended { id: task.id, name: task.name, how: How::Killed });
            } else {
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::Mutex;

    use driftless_model::Millis;

    use super::*;
    use crate::{ManualClock, Next, Point, Steps, Visits, When, yield_now};

    fn interleaving(seed: u64) -> String {
        let trace = RefCell::new(String::new());
        let mut executor = Executor::new(Random::new(seed));
        for name in ["a", "b", "c"] {
            let trace = &trace;
            executor.spawn(name, Life::default(), async move {
                for _ in 0..3 {
                    trace.borrow_mut().push_str(name);
                    yield_now().await;
                }
            });
        }
        assert_eq!(executor.run().len(), 3);
        drop(executor);
        trace.into_inner()
    }

    #[test]
    fn a_seed_gives_one_interleaving_and_seeds_give_many() {
        assert_eq!(interleaving(1), interleaving(1));
        let many: std::collections::BTreeSet<_> = (0..50).map(interleaving).collect();
        assert!(many.len() > 20, "{}", many.len());
    }

    #[test]
    fn a_crash_keeps_what_was_done_and_does_no_more() {
        for (crash_at, when, how, expected) in [
            ("two", When::Before, How::Killed, vec!["one"]),
            ("two", When::After, How::Killed, vec!["one", "two"]),
            ("never", When::After, How::Completed, vec!["one", "two", "three"]),
        ] {
            let done = Arc::new(Mutex::new(Vec::new()));
            let hook = move |p: Point, w| if (p.step, w) == (crash_at, when) { Next::Crash } else { Next::Continue };
            let (life, visits) = (Life::default(), Visits::default());
            let steps = Steps::new("planner", life.clone(), Arc::new(hook), visits.clone());
            let mut executor = Executor::new(Random::new(0));
            let task_done = Arc::clone(&done);
            executor.spawn("planner", life, async move {
                for step in ["one", "two", "three"] {
                    let work = async {
                        task_done.lock().unwrap().push(step);
                        Ok::<_, ()>(())
                    };
                    steps.step(step, work, || ()).await.unwrap();
                }
            });
            assert_eq!(executor.run().into_iter().map(|e| e.how).collect::<Vec<_>>(), [how]);
            assert_eq!(*done.lock().unwrap(), expected);
            assert_eq!(visits.crashes().values().sum::<u64>(), u64::from(how == How::Killed));
        }
    }

    #[test]
    fn a_failure_after_a_step_loses_its_answer_only() {
        let hook = |_: Point, when| if when == When::After { Next::Fail } else { Next::Continue };
        let visits = Visits::default();
        let steps = Steps::new("ingest", Life::default(), Arc::new(hook), visits.clone());
        let answer = futures::executor::block_on(async {
            let mut done = 0;
            let work = async {
                done += 1;
                Ok::<_, &str>(())
            };
            (steps.step("append_version", work, || "unavailable").await, done)
        });
        assert_eq!(answer, (Err("unavailable"), 1));
        let point = Point { function: "ingest", step: "append_version" };
        assert_eq!(visits.failures()[&(point, When::After)], 1);
        assert!(visits.to_string().contains("ingest:append_version"));
    }

    #[test]
    fn sleepers_wait_for_the_clock() {
        let clock = ManualClock::new(Millis(0));
        let mut executor = Executor::new(Random::new(3));
        executor.spawn("sleeper", Life::default(), clock.sleep_until(Millis(10)));
        assert!(executor.run().is_empty());
        assert_eq!(executor.running().count(), 1);
        clock.set(clock.next_sleeper().unwrap());
        assert_eq!(executor.run().len(), 1);
        assert!(executor.is_empty());
    }

    #[test]
    fn a_task_killed_from_outside_is_dropped_where_it_stands() {
        let life = Life::default();
        let mut executor = Executor::new(Random::new(3));
        executor.spawn("stuck", life.clone(), core::future::pending());
        assert!(executor.run().is_empty());
        life.kill();
        assert_eq!(executor.run().first().map(|e| e.how), Some(How::Killed));
        assert_eq!(executor.len(), 0);
    }
}
