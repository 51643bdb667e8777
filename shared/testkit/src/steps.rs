use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A named place where a function can crash: a call of a port. Shows as `planner:put_run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// The function.
    pub function: &'static str,
    /// The port's method.
    pub step: &'static str,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.function, self.step)
    }
}

/// On which side of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// Nothing was done yet.
    Before,
    /// It was done; its answer is not known yet.
    After,
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Goes on.
    Continue,
    /// The port answers that it is not available: before, nothing was done; after, it was done and the answer is lost.
    Fail,
    /// The function is killed.
    Crash,
}

/// Decides what happens at a point.
pub type Hook = Arc<dyn Fn(Point, When) -> Next + Send + Sync>;

/// One invocation: once dead, none of its steps does anything any more.
#[derive(Clone, Debug, Default)]
pub struct Life(Arc<AtomicBool>);

impl Life {
    /// Ends it.
    pub fn kill(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// True once it was killed or crashed.
    pub fn is_dead(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// How often each point was passed, failed and crashed at. Shared by all steps of a simulation, and over simulations.
#[derive(Clone, Debug, Default)]
pub struct Visits(Arc<Mutex<BTreeMap<(Point, When), Visit>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Visit {
    passed: u64,
    failed: u64,
    crashed: u64,
}

impl Visits {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Point, When), Visit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, point: Point, when: When, next: Next) {
        let mut all = self.lock();
        let visit = all.entry((point, when)).or_default();
        match next {
            Next::Continue => visit.passed += 1,
            Next::Fail => visit.failed += 1,
            Next::Crash => visit.crashed += 1,
        }
    }

    /// Crashes by point and side; zero where a point was reached and never crashed at.
    pub fn crashes(&self) -> BTreeMap<(Point, When), u64> {
        self.lock().iter().map(|(at, visit)| (*at, visit.crashed)).collect()
    }

    /// Failures by point and side.
    pub fn failures(&self) -> BTreeMap<(Point, When), u64> {
        self.lock().iter().map(|(at, visit)| (*at, visit.failed)).collect()
    }

    /// Adds the counts of another simulation.
    pub fn add(&self, other: &Self) {
        let other = other.lock().clone();
        let mut all = self.lock();
        for (at, more) in other {
            let visit = all.entry(at).or_default();
            visit.passed += more.passed;
            visit.failed += more.failed;
            visit.crashed += more.crashed;
        }
    }
}

/// One line a point: how often it was passed, failed and crashed at, before and after.
impl fmt::Display for Visits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<40} {:>6} {:>10} {:>8} {:>8}", "point", "side", "passed", "failed", "crashed")?;
        for ((point, when), visit) in &*self.lock() {
            let side = if *when == When::Before { "before" } else { "after" };
            let point = point.to_string();
            writeln!(f, "{point:<40} {side:>6} {:>10} {:>8} {:>8}", visit.passed, visit.failed, visit.crashed)?;
        }
        Ok(())
    }
}

/// Makes the I/O of one invocation of a function step by step.
#[derive(Clone)]
pub struct Steps {
    function: &'static str,
    life: Life,
    hook: Hook,
    visits: Visits,
}

impl Steps {
    /// The steps of an invocation of `function`. Every call of the hook is counted in `visits`.
    pub fn new(function: &'static str, life: Life, hook: Hook, visits: Visits) -> Self {
        Self { function, life, hook, visits }
    }

    /// One step: lets others run, does `work`, lets others run. The hook is asked on both sides; `fail` makes the error of an
    /// injected failure. After a crash it never completes, and no other step of the invocation begins.
    pub async fn step<T, E>(
        &self,
        step: &'static str,
        work: impl Future<Output = Result<T, E>> + Send,
        fail: impl FnOnce() -> E + Send,
    ) -> Result<T, E> {
        let point = Point { function: self.function, step };
        yield_now().await;
        match self.ask(point, When::Before) {
            Next::Continue => {}
            Next::Fail => return Err(fail()),
            Next::Crash => core::future::pending().await,
        }
        let result = work.await;
        let result = match self.ask(point, When::After) {
            Next::Continue => result,
            Next::Fail => Err(fail()),
            Next::Crash => core::future::pending().await,
        };
        yield_now().await;
        if self.life.is_dead() {
            core::future::pending::<()>().await;
        }
        result
    }

    fn ask(&self, point: Point, when: When) -> Next {
        if self.life.is_dead() {
            return Next::Crash;
        }
        let next = (self.hook)(point, when);
        self.visits.count(point, when, next);
        if next == Next::Crash {
            self.life.kill();
        }
        next
    }
}

/// The cause of an injected failure.
#[derive(Debug)]
pub(crate) struct Injected;

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a failure that the test injected")
    }
}

impl core::error::Error for Injected {}

/// The two parts that a write of many falls into; one if there are not two things to write.
pub(crate) fn halves<T>(items: &[T]) -> Vec<&[T]> {
    if items.len() < 2 {
        return vec![items];
    }
    let (first, second) = items.split_at(items.len() / 2);
    vec![first, second]
}

/// Lets every other task run once before it completes.
pub fn yield_now() -> impl Future<Output = ()> + Send {
    struct Yield(bool);
    impl Future for Yield {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            if core::mem::replace(&mut self.0, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
    Yield(false)
}
