use core::future::Future;
use core::pin::Pin;

/// One piece of work that a lane takes on, and what comes of it.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One piece of work that a lane takes on.
pub type Job<'a> = Task<'a, ()>;

/// Where pieces of work that do not depend on each other are done side by side. What is computed must not depend on how many
/// lanes there are, nor on which lane is faster.
pub trait Lanes: Send + Sync {
    /// How many pieces are worth making of one piece of work.
    fn count(&self) -> usize;

    /// Does all jobs, and returns when the last is done. A panic of one is a panic of the caller.
    fn run<'a>(&'a self, jobs: Vec<Job<'a>>) -> Job<'a>;
}

/// One job after the other, on the caller's thread: for tests and for simulation, and where there is one processor.
#[derive(Clone, Copy, Debug)]
pub struct InTurn {
    count: usize,
}

impl Default for InTurn {
    fn default() -> Self {
        Self::cut_in(1)
    }
}

impl InTurn {
    /// Cuts work into so many pieces all the same.
    #[must_use]
    pub const fn cut_in(count: usize) -> Self {
        Self { count }
    }
}

impl Lanes for InTurn {
    fn count(&self) -> usize {
        self.count
    }

    fn run<'a>(&'a self, jobs: Vec<Job<'a>>) -> Job<'a> {
        Box::pin(async move {
            for job in jobs {
                job.await;
            }
        })
    }
}

/// Does all tasks in lanes and returns their results, in the order of the tasks.
pub async fn in_lanes<T: Send>(lanes: &dyn Lanes, tasks: Vec<Task<'_, T>>) -> Vec<T> {
    let mut results: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    let jobs = tasks.into_iter().zip(&mut results).map(|(task, result)| {
        let job: Job<'_> = Box::pin(async move { *result = Some(task.await) });
        job
    });
    let jobs = jobs.collect();
    lanes.run(jobs).await;
    // `run` returns when all jobs are done.
    results.into_iter().flatten().collect()
}
