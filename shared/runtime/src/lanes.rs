use std::thread;

use driftless_model::{Job, Lanes};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

/// Lanes that are threads: each job is driven by a thread of its own while the caller waits, its I/O by the runtime.
///
/// Needs a runtime of several threads, as every function has: a runtime of one could not serve the I/O of the jobs while
/// the caller waits.
#[derive(Clone, Copy, Debug)]
pub struct Threads {
    count: usize,
}

impl Threads {
    /// One for each processor that the function sees; how much of them it gets follows from its memory.
    #[must_use]
    pub fn of_processors() -> Self {
        Self { count: thread::available_parallelism().map_or(1, usize::from) }
    }
}

impl Lanes for Threads {
    fn count(&self) -> usize {
        self.count
    }

    fn run<'a>(&'a self, jobs: Vec<Job<'a>>) -> Job<'a> {
        Box::pin(async move {
            let runtime = Handle::current();
            let runtime = &runtime;
            block_in_place(|| {
                thread::scope(|scope| {
                    for job in jobs {
                        scope.spawn(move || runtime.block_on(job));
                    }
                });
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use driftless_model::{Task, in_lanes};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn jobs_run_side_by_side_and_answer_in_order() {
        let lanes = Threads { count: 3 };
        let barrier = std::sync::Barrier::new(3);
        let tasks = (0..3).map(|n| {
            let barrier = &barrier;
            let task: Task<'_, i32> = Box::pin(async move {
                // Passed only if all three are under way; what waits for the runtime is woken by it.
                barrier.wait();
                tokio::time::sleep(Duration::from_millis(1)).await;
                n
            });
            task
        });
        assert_eq!(in_lanes(&lanes, tasks.collect()).await, [0, 1, 2]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[should_panic(expected = "a scoped thread panicked")]
    async fn a_panic_in_a_lane_is_the_callers() {
        let lanes = Threads { count: 1 };
        let task: Task<'_, ()> = Box::pin(async { panic!("a bug") });
        in_lanes(&lanes, vec![task]).await;
    }
}
