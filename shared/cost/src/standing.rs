//! What a deployment costs while nothing changes.

use driftless_model::Usage;

use crate::{Item, Money, PriceTable};

/// What a deployment consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deployment {
    /// Destinations: each has a queue, a function, and alarms.
    pub destinations: u64,
    /// Kinds of destination: each has metrics of its own.
    pub kinds: u64,
    /// Secrets: the hash key, and those that destinations refer to.
    pub secrets: u64,
    /// Registered syncs: the periodic sweep looks at each of them.
    pub syncs: u64,
    /// Bytes that lie in the bucket.
    pub stored: u64,
}

/// One line of the fixed part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is.
    pub what: &'static str,
    /// How it was worked out.
    pub basis: String,
    /// What it costs a month.
    pub cost: Money,
}

/// Alarms of the core stack, and of the stack of a destination. A test compares them with the templates.
pub const ALARMS_OF_THE_CORE: u64 = 12;
/// See [`ALARMS_OF_THE_CORE`].
pub const ALARMS_OF_A_DESTINATION: u64 = 3;

/// Queues of the core that Lambda polls: ingest, planner, janitor. A destination adds one.
const QUEUES_OF_THE_CORE: u64 = 3;

/// Lambda asks an empty queue with five connections of 20 seconds each, always: 15 receives a minute.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>; as counted by others:
/// <https://github.com/getlift/lift/issues/132>.
const RECEIVES_A_MONTH: u64 = 15 * 60 * 730;

/// Metrics that an ordinary month writes whatever the destinations are: snapshots (taken up, without change), changes logged,
/// runs (planned, empty, committed), syncs held and needing attention.
const METRICS_OF_THE_CORE: u64 = 8;
/// Records delivered and rejected, and requests.
const METRICS_OF_A_KIND: u64 = 3;

/// Bytes of logs a month: 2,920 sweeps of a kilobyte, and as much again for each destination and sync.
const LOG_BYTES: u64 = 3_000_000;

/// The sweep comes every 15 minutes (parameter `JanitorSchedule`).
pub const SWEEPS_A_MONTH: u64 = 4 * 730;

/// What a periodic sweep that finds nothing uses, whatever it looks at: a message, the list of syncs, and the time to look.
/// The time is an estimate (100 ms of a GB, and as much for each sync); the requests are held by a test.
pub const SWEEP: Usage = Usage {
    invocations: 1,
    compute: 100 * 1_024,
    rows: 0,
    bytes: 0,
    read_units: 1,
    write_units: 0,
    gets: 0,
    puts: 0,
    messages: 1,
    queue_requests: 3,
};

/// What it uses for each sync more: its head three times, its version records, its last runs twice and its attempts; the
/// document of its configuration; and a listing of its files.
pub const SWEEP_OF_A_SYNC: Usage = Usage {
    invocations: 0,
    compute: 100 * 1_024,
    rows: 0,
    bytes: 0,
    read_units: 7,
    write_units: 0,
    gets: 1,
    puts: 1,
    messages: 0,
    queue_requests: 0,
};

fn times(usage: Usage, n: u64) -> Usage {
    Usage::of(usage.figures().map(|figure| figure.saturating_mul(n)))
}

impl PriceTable {
    /// The fixed part, a month.
    #[must_use]
    pub fn standing(&self, d: &Deployment) -> Vec<Standing> {
        let line = |what, item, quantity: u64, parts: u64, basis: String| Standing {
            what,
            basis,
            cost: self.cost(item, quantity, parts),
        };
        let alarms = ALARMS_OF_THE_CORE + ALARMS_OF_A_DESTINATION * d.destinations;
        let metrics = METRICS_OF_THE_CORE + METRICS_OF_A_KIND * d.kinds;
        let queues = QUEUES_OF_THE_CORE + d.destinations;
        let logs = LOG_BYTES * (1 + d.destinations + d.syncs);
        let sweep = times(SWEEP + times(SWEEP_OF_A_SYNC, d.syncs), SWEEPS_A_MONTH);
        const GB: u64 = 1 << 30;
        vec![
            line("secrets", Item::Secret, d.secrets, 1, format!("{}", d.secrets)),
            line(
                "alarms",
                Item::Alarm,
                alarms,
                1,
                format!("{ALARMS_OF_THE_CORE} of the core, {ALARMS_OF_A_DESTINATION} a destination"),
            ),
            line("metrics", Item::Metric, metrics, 1, format!("about {metrics} written in a month")),
            line("logs", Item::LogGb, logs, GB, format!("about {} MB", logs / 1_000_000)),
            line(
                "polling of queues",
                Item::QueueRequest,
                queues * RECEIVES_A_MONTH,
                1,
                format!("{queues} queues, about {RECEIVES_A_MONTH} receives each, by Lambda"),
            ),
            Standing {
                what: "sweeps",
                basis: format!("{SWEEPS_A_MONTH} of {} syncs, one every 15 minutes; time estimated", d.syncs),
                cost: self.bill(&sweep).total,
            },
            line("objects kept", Item::ObjectGbMonth, d.stored, GB, format!("{} MB now", d.stored.div_ceil(1_000_000))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(d: &Deployment, what: &str) -> Money {
        PriceTable::default().standing(d).into_iter().find(|s| s.what == what).unwrap().cost
    }

    #[test]
    fn the_fixed_part_grows_with_what_is_deployed() {
        let one = Deployment { destinations: 1, kinds: 1, secrets: 2, syncs: 1, stored: 1 << 30 };
        assert_eq!(of(&one, "secrets"), Money(800_000_000));
        assert_eq!(of(&one, "alarms"), Money(1_500_000_000));
        assert_eq!(of(&one, "metrics"), Money(3_300_000_000));
        assert_eq!(of(&one, "polling of queues"), Money(4 * 657_000 * 400));
        assert_eq!(of(&one, "objects kept"), Money(23_000_000));
        let two = Deployment { destinations: 2, syncs: 10, ..one };
        assert_eq!(of(&two, "alarms"), Money(1_800_000_000));
        assert_eq!(of(&two, "metrics"), of(&one, "metrics"), "two destinations of one kind share their metrics");
        assert!(of(&two, "sweeps") > of(&one, "sweeps"));
        let total: Money = PriceTable::default().standing(&one).iter().map(|s| s.cost).sum();
        assert!((Money(6_500_000_000)..Money(7_500_000_000)).contains(&total), "{total}");
    }

    #[test]
    fn the_sweeps_of_one_sync_cost_cents() {
        let one = Deployment { syncs: 1, ..Deployment::default() };
        let cost = of(&one, "sweeps");
        assert!((Money(20_000_000)..Money(40_000_000)).contains(&cost), "{cost}");
    }
}
