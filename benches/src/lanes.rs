//! Lanes as a function has them (`driftless_runtime::Threads`), without what that crate links.

use driftless_model::{Job, Lanes};
use tokio::runtime::Handle;

/// Each job is driven by a thread of its own while the caller waits.
pub(crate) struct Threads(pub(crate) usize);

impl Lanes for Threads {
    fn count(&self) -> usize {
        self.0
    }

    fn run<'a>(&'a self, jobs: Vec<Job<'a>>) -> Job<'a> {
        Box::pin(async move {
            let runtime = &Handle::current();
            tokio::task::block_in_place(|| {
                std::thread::scope(|scope| {
                    for job in jobs {
                        scope.spawn(move || runtime.block_on(job));
                    }
                });
            });
        })
    }
}
