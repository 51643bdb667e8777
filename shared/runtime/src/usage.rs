//! Counting and telling what a function uses.

use std::sync::{Arc, LazyLock};

use driftless_cost::PriceTable;
use driftless_model::{Clock, Meter, RunId, SyncId, Usage};

use crate::EnvSource;

/// Counts what this process uses, time included where Lambda says how much memory it has. Outside of Lambda time is free.
pub fn meter(env: &dyn EnvSource, clock: &Arc<dyn Clock>) -> Meter {
    let memory = env.var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").and_then(|mb| mb.parse().ok()).unwrap_or_default();
    Meter::timed(Arc::clone(clock), memory)
}

/// One line for each ingest and each run of a sync: what it used, and what that costs by the list prices that were compiled in.
pub fn tell_usage(work: &'static str, sync: &SyncId, run: Option<&RunId>, usage: &Usage) {
    static PRICES: LazyLock<PriceTable> = LazyLock::new(PriceTable::default);
    tracing::info!(
        work,
        sync_id = %sync,
        run_id = run.map(RunId::as_str),
        invocations = usage.invocations,
        gb_milliseconds = usage.compute / 1_024,
        rows = usage.rows,
        bytes = usage.bytes,
        read_units = usage.read_units,
        write_units = usage.write_units,
        object_gets = usage.gets,
        object_puts = usage.puts,
        messages = usage.messages,
        queue_requests = usage.queue_requests,
        nano_usd = PRICES.bill(usage).total.0,
        prices = format!("{} {}", PRICES.region, PRICES.as_of),
        "usage"
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::SystemClock;

    #[test]
    fn time_is_free_where_no_memory_is_named() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        for memory in ["", "much"] {
            let env = BTreeMap::from([("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory)]);
            let meter = meter(&env, &clock);
            assert_eq!(meter.take().compute, 0);
        }
    }
}
