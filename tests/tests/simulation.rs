//! The four functions, as they are, through random histories: duplicated, reordered, late and lost messages, killed and paused
//! invocations, stores that fail before or after a write, lost answers, refused records, erasures and new configurations.
//!
//! `DRIFTLESS_SIM_SEEDS=5000` runs more of them. A failing seed prints the command that replays it.

#![allow(clippy::print_stdout)] // the report is what a reader of CI wants

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use driftless_changeset::{Rule, switch_off, switch_on};
use driftless_testkit::Visits;
use driftless_tests::Forgotten;
use driftless_tests::history::{self, Ended};

/// Seeds of a run in CI.
const SEEDS: u64 = 3_000;
/// Seeds within which the loss of any rule must show.
const MUTATION_SEEDS: u64 = 3_000;

/// What is taken away.
#[derive(Clone, Copy, Debug)]
enum Missing {
    Pure(Rule),
    Stored(Forgotten),
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

/// A panic of the product is a violation like any other.
fn run(seed: u64, missing: Option<Missing>) -> Ended {
    let forgotten = match missing {
        Some(Missing::Stored(rule)) => Some(rule),
        Some(Missing::Pure(rule)) => {
            switch_off(rule);
            None
        }
        None => None,
    };
    // Who may be reading a file is given no time where readers do not see that it is gone.
    let hasty = matches!(missing, Some(Missing::Pure(Rule::BulkIsThere)));
    let ended = catch_unwind(AssertUnwindSafe(|| history::run(seed, forgotten, hasty)));
    switch_on();
    ended.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default();
        Ended { violation: Some(format!("panic: {text}")), trace: Vec::new(), visits: Visits::default() }
    })
}

/// Runs seeds on both cores; stops handing out seeds after the first failure. Returns the failures.
fn run_all(seeds: u64, missing: Option<Missing>, visits: &Visits) -> BTreeMap<u64, String> {
    let next = AtomicU64::new(number("DRIFTLESS_SIM_FIRST").unwrap_or(0));
    let last = next.load(Ordering::Relaxed) + seeds;
    let failures = Mutex::new(BTreeMap::new());
    let threads = thread::available_parallelism().map_or(2, usize::from).min(8);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last || !failures.lock().expect("no thread panics").is_empty() {
                        return;
                    }
                    let ended = run(seed, missing);
                    visits.add(&ended.visits);
                    if let Some(violation) = ended.violation {
                        failures.lock().expect("no thread panics").insert(seed, violation);
                    }
                }
            });
        }
    });
    failures.into_inner().expect("no thread panics")
}

#[test]
fn every_history_keeps_the_invariants() {
    let visits = Visits::default();
    let seeds = number("DRIFTLESS_SIM_SEEDS").unwrap_or(SEEDS);
    let failures = run_all(seeds, None, &visits);
    println!("{visits}");
    if let Some((seed, violation)) = failures.first_key_value() {
        panic!(
            "seed {seed}: {violation}\nreplay it: DRIFTLESS_SIM_SEED={seed} cargo test -p driftless-tests --test simulation -- --nocapture replay"
        );
    }
    let points = visits.crashes();
    let never: Vec<String> = points
        .iter()
        .filter(|(_, crashes)| **crashes == 0)
        .map(|((point, when), _)| format!("{point} {when:?}"))
        .collect();
    println!("nobody died at {} of {} points: {never:?}", never.len(), points.len());
    assert!(never.is_empty() || seeds < SEEDS, "nobody ever died at {never:?}");
}

/// Replays the seed in `DRIFTLESS_SIM_SEED`, step by step.
#[test]
fn replay() {
    let Some(seed) = number("DRIFTLESS_SIM_SEED") else { return };
    let missing = std::env::var("DRIFTLESS_SIM_WITHOUT").ok();
    let missing = missing.and_then(|name| all().into_iter().find(|m| format!("{m:?}").contains(&name)));
    let ended = run(seed, missing);
    for line in &ended.trace {
        println!("{line}");
    }
    assert!(ended.violation.is_none(), "seed {seed}: {}", ended.violation.unwrap_or_default());
}

fn all() -> Vec<Missing> {
    let pure = [
        Rule::Uncertain,
        Rule::RejectionAfterUnsettled,
        Rule::IdentifierSet,
        Rule::SharedIdentifiers,
        Rule::Holds,
        Rule::HoldsOutliveBulk,
        Rule::Residue,
        Rule::CompactionBoundary,
        Rule::BulkIsThere,
        Rule::NewConfiguration,
        Rule::MissingIsUncertain,
        Rule::StillThere,
    ];
    let stored = [
        Forgotten::PrivateTokens,
        Forgotten::NewestOrder,
        Forgotten::ActivationGuard,
        Forgotten::Resending,
        Forgotten::Counting,
        Forgotten::ErasureIsAVersion,
        Forgotten::ConfigurationEpoch,
        Forgotten::Ticks,
        Forgotten::ClaimsWhileClosing,
    ];
    pure.into_iter().map(Missing::Pure).chain(stored.into_iter().map(Missing::Stored)).collect()
}

/// Each rule of the protocol is needed: without it some history of the same set breaks an invariant.
#[test]
fn without_any_one_rule_a_history_breaks_an_invariant() {
    let seeds = number("DRIFTLESS_SIM_MUTATION_SEEDS").unwrap_or(MUTATION_SEEDS);
    let mut unneeded = Vec::new();
    for missing in all() {
        let failures = run_all(seeds, Some(missing), &Visits::default());
        match failures.first_key_value() {
            Some((seed, violation)) => println!("{:<40} seed {seed:>4}: {violation:.90}", format!("{missing:?}")),
            None => unneeded.push(missing),
        }
    }
    assert!(unneeded.is_empty(), "no history needs {unneeded:?}");
}
