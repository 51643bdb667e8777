//! What work costs, counted on the stores in memory as the table, the bucket and the queues would bill it. The README's figures
//! and the fixed part of `driftless status --cost` rest on these.

use driftless_cost::{PriceTable, SWEEP, SWEEP_OF_A_SYNC};
use driftless_deltalog::head::Account;
use driftless_model::{SyncId, Usage};
use driftless_tests::{Setup, World, people};

fn billed(syncs: usize) -> World {
    let mut w = World::new(Setup { syncs, ..Setup::default() });
    w.billed = true;
    w
}

fn account(w: &World, sync: &SyncId) -> Account {
    w.head(sync).map(|head| head.account).unwrap_or_default()
}

fn used(w: &World, sync: &SyncId) -> Usage {
    account(w, sync).months().map(|(_, usage)| usage).sum()
}

fn minus(all: Usage, before: Usage) -> Usage {
    Usage::of(std::array::from_fn(|i| all.figures()[i] - before.figures()[i]))
}

/// Prints a line that can be compared with the README.
#[allow(clippy::print_stdout)] // the figures are what the test is read for
fn tell(what: &str, usage: &Usage) {
    println!("{what}: {usage:?} {}", PriceTable::default().bill(usage).total);
}

#[test]
fn an_ingest_writes_one_unit_a_change_and_an_unchanged_snapshot_one_write() {
    const CHANGES: u64 = 1_000;
    let mut w = billed(1);
    let sync = w.sync();
    w.upload(people(1_000, 0), false);
    w.ingest();
    let first = used(&w, &sync);
    tell("ingest of 1,000 adds", &first);
    // The attempt, the head that is created, and the head that is swapped.
    assert_eq!(first.write_units, CHANGES + 3);
    assert_eq!(first.rows, CHANGES);
    assert!(first.read_units <= 8, "{first:?}");

    w.upload(people(1_000, 0), false);
    w.ingest();
    let head = w.head(&sync).expect("ingested");
    let again = used(&w, &sync);
    let unchanged = minus(again, first);
    tell("an unchanged snapshot", &unchanged);
    assert_eq!(unchanged.write_units, head.write_units(), "the head, and nothing else");
    assert_eq!(unchanged.rows, CHANGES);
    assert_eq!((unchanged.puts, unchanged.messages), (0, 0), "no object, no message");
}

#[test]
fn a_change_is_written_when_it_is_logged_and_when_it_is_committed() {
    const CHANGES: u64 = 300;
    const CALLS: u64 = CHANGES / 2;
    let mut w = billed(1);
    let sync = w.sync();
    w.upload(people(300, 0), false);
    w.ingest();
    let logged = used(&w, &sync);
    w.refresh();
    let all = used(&w, &sync);
    tell("300 adds, logged, planned, delivered in 150 calls and committed", &all);
    let rest = all.write_units - logged.write_units;
    // Stamping; a call is created, claimed and settled. Each is delivered by a process that is new here, and so leases slots of the
    // rate budget for itself: at most two writes. One that goes on living leases them for many requests.
    let expected = CHANGES + 5 * CALLS;
    assert!((expected..expected + 40).contains(&rest), "{rest} write units after the log, not about {expected}");
    assert!(all.messages > CALLS && all.queue_requests < all.messages, "messages are sent ten a request");
}

#[test]
fn a_file_that_is_read_for_several_syncs_is_divided_among_them() {
    let mut one = billed(1);
    one.upload(people(200, 0), false);
    one.ingest();
    let alone = used(&one, &one.sync());
    let mut w = billed(4);
    w.upload(people(200, 0), false);
    w.ingest();
    let syncs = w.syncs().to_vec();
    let each: Vec<Usage> = syncs.iter().map(|s| used(&w, s)).collect();
    let together: Usage = each.iter().copied().sum();
    assert_eq!(together.rows, 200, "rows are read once");
    for usage in &each {
        assert_eq!(usage.rows, 50);
        assert!(usage.write_units >= 200, "but each has its own log: {usage:?}");
        assert!(usage.bytes < alone.bytes && usage.gets < alone.gets + 3, "{usage:?} of {alone:?}");
    }
}

#[test]
fn the_fixed_part_counts_the_sweeps_as_they_are() {
    for syncs in [1, 2, 5] {
        let mut w = billed(syncs);
        w.upload(people(20, 0), false);
        w.ingest();
        for sync in w.syncs().to_vec() {
            w.tick(&sync);
        }
        w.work_off(&World::QUEUES);
        w.sweep();
        w.work_off(&World::QUEUES);
        w.pass(2_000_000);
        w.sweep();
        let before = w.meter.total();
        let accounts: Vec<Account> = w.syncs().iter().map(|s| account(&w, s)).collect();
        w.sweep();
        let sweep = minus(w.meter.total(), before);
        tell("a sweep that finds nothing", &sweep);
        let each = |of: fn(&Usage) -> u64| of(&SWEEP) + syncs as u64 * of(&SWEEP_OF_A_SYNC);
        assert_eq!(sweep.gets, each(|u| u.gets), "{syncs} syncs");
        assert_eq!(sweep.puts, each(|u| u.puts), "{syncs} syncs");
        assert_eq!(sweep.write_units, 0);
        // The function looks at each head once more, to say what is held.
        assert_eq!(sweep.read_units + syncs as u64, each(|u| u.read_units), "{syncs} syncs");
        assert_eq!(w.syncs().iter().map(|s| account(&w, s)).collect::<Vec<_>>(), accounts, "nobody is charged");
    }
}
