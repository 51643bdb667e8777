//! What an ingest and a run take of the table, in the units that are billed.

use std::collections::BTreeMap;

use driftless_model::{Meter, Millis, Usage};

use super::done;
use super::example::{activation, append, call, config, head_with, item, key, outcome, partition, read, run, run_id};
use super::example::{snapshot, sync, tick, token};
use crate::Deltalog;
use crate::item::{ItemFate, LogItem};
use crate::ledger::Call;

#[track_caller]
fn takes(meter: &Meter, read_units: u64, write_units: u64, what: &str) {
    assert_eq!(meter.take(), Usage { read_units, write_units, ..Usage::default() }, "{what}");
}

/// The store counts on `meter`.
pub async fn of_an_ingest_and_a_run(store: &dyn Deltalog, meter: &Meter) {
    let name = "units";
    let id = sync(name);
    let head = head_with(store, name, 0).await;
    let _ = meter.take();

    let p = partition(name, 1, "t1");
    let items: Vec<LogItem> = (0..100).map(item).collect();
    store.put_attempt(&p, Millis(1)).await.expect("writes");
    takes(meter, 0, 1, "an attempt is announced");
    store.put_items(&p, &items).await.expect("writes");
    takes(meter, 0, 100, "a log item is one unit");
    done(store.append_version(&id, &head.guard(), &append("t1", 1)).await);
    takes(meter, 0, 1, "a small head is one unit");
    let head = read(store, name).await;
    takes(meter, 1, 0, "and one when it is read");
    assert!(store.append_version(&id, &head.guard(), &append("t2", 2)).await.is_ok());
    let _ = meter.take();
    let stale = head.guard();
    assert!(store.stamp_snapshot(&id, &stale, &snapshot(9), &config(1)).await.is_ok());
    let refused = meter.take().write_units;
    assert!((1..=2).contains(&refused), "a refused write is paid for: {refused}");
    let all = store.items(&p, 100).await.expect("reads");
    assert_eq!(all.len(), 100);
    let reading = meter.take().read_units;
    // The emulator bills any read as one unit; the service, and the store in memory, some ten items a unit.
    assert!((1..=10).contains(&reading), "{reading} units for a hundred items");
    let fates: BTreeMap<_, _> = (0..100).map(|n| (key(n), ItemFate::Committed(Millis(5)))).collect();
    store.stamp_items(&p, &fates, 4_000_000_000).await.expect("stamps");
    takes(meter, 0, 100, "a stamp is one unit");

    let r = run(name, "r1");
    done(store.put_run(&r).await);
    takes(meter, 0, 1, "a run is one unit");
    let calls: Vec<Call> = (0..30).map(|number| call("r1", number)).collect();
    store.put_calls(&id, &calls).await.expect("writes");
    takes(meter, 0, 30, "a call is one unit");
    let head = read(store, name).await;
    let _ = meter.take();
    let swap = store.activate(&id, &run_id("r1"), &activation(&head), &tick("units")).await;
    done(swap);
    takes(meter, 0, 2 * (head.write_units() + 1), "a transaction takes twice the units of its items");
    let mine = token("mine");
    let claimed = store.claim(&id, &run_id("r1"), 0, &mine, Millis(1), Millis(9)).await;
    assert!(claimed.is_ok());
    takes(meter, 0, 1, "a claim");
    done(store.settle(&id, &run_id("r1"), 0, &mine, &outcome([])).await);
    takes(meter, 0, 1, "an outcome");
}
