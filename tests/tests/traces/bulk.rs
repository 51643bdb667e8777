//! Bulk versions and compactions of the chain.

use std::collections::{BTreeMap, BTreeSet};

use driftless_changeset::Rule;
use driftless_deltalog::Deltalog;
use driftless_state::SyncState;
use driftless_testkit::When::After;
use driftless_tests::{Forgotten, Settings, Setup, World};
use futures::executor::block_on;

use super::stage::{breaks_without_in, breaks_without_rule, email, holds_with, members, off, p};
use super::{INGEST, SETTINGS, SETUP, only};

/// Every snapshot that changes something is a bulk version.
const ALWAYS: Setup = Setup { bulk: 0, ..SETUP };
/// No two uncommitted versions lie behind each other after a sweep.
const MERGING: Setup = Setup { chain: 1, ..SETUP };

/// The versions that the head names, oldest first: a bulk version as `true`.
fn chain(w: &World) -> Vec<(u64, bool)> {
    let head = w.head(&w.sync()).expect("ingested");
    head.versions.iter().map(|(n, v)| (*n, v.bulk_object().is_some())).collect()
}

fn bulk_objects(w: &World) -> usize {
    w.bucket().keys("history/").iter().filter(|key| key.contains("/bulk-")).count()
}

/// v2 removes a and b (held). v3 brings b back and adds others: it removes nobody itself.
fn held_then_overlaid(w: &mut World, before_the_plan: impl Fn(&mut World)) {
    w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
    w.ingest();
    w.refresh();
    w.upload(Vec::new(), false);
    w.ingest();
    w.upload(vec![p("c", "c0", 0), p("d", "d0", 0), p("b", "b0", 1)], false);
    w.ingest();
    before_the_plan(w);
    for _ in 0..2 {
        w.refresh();
        assert!(off() || members(w) == ["a0", "b0", "c0", "d0"], "nobody approved that a goes");
    }
    let sync = w.sync();
    while w.approve(&sync) {}
    w.refresh();
    assert!(off() || members(w) == ["b0", "c0", "d0"]);
}

#[test]
fn trace_07_a_bulk_version_releases_nobody() {
    let guarded = Setup { settings: Settings { max_removals: 1, ..SETTINGS }, ..ALWAYS };
    let trace = |w: &mut World| held_then_overlaid(w, |w| assert_eq!(chain(w), [(2, true), (3, true)]));
    holds_with(guarded.clone(), trace);
    breaks_without_rule(Rule::HoldsOutliveBulk, guarded, trace);
}

#[test]
fn trace_07_a_merge_releases_nobody() {
    let guarded = Setup { settings: Settings { max_removals: 1, ..SETTINGS }, ..MERGING };
    holds_with(guarded, |w| {
        held_then_overlaid(w, |w| {
            assert_eq!(chain(w), [(2, false), (3, false)]);
            w.sweep();
            assert_eq!(chain(w), [(3, false)], "the held version is merged into the next");
        });
    });
}

#[test]
fn trace_11_a_compaction_stays_above_what_the_active_run_covers() {
    let trace = |w: &mut World| {
        w.remote.refuse(email("b0"));
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
        w.ingest();
        w.plan();
        for plan in 1..4 {
            w.upload(vec![p("a", "a0", plan), p("b", "b0", 0), p("c", "c0", 0)], false);
            w.ingest();
        }
        w.sweep();
        assert!(off() || chain(w) == [(1, false), (4, false)], "version 1 is the active run's");
        // b is refused: it is what the fold of version 1 leaves over, and only version 1 says what b should be.
        w.deliver();
        w.sweep();
    };
    holds_with(MERGING, trace);
    breaks_without_rule(Rule::CompactionBoundary, MERGING, trace);
}

#[test]
fn trace_11_what_committed_runs_cover_is_a_boundary_too() {
    let lazy = Setup { fold_percent: 10_000, ..MERGING };
    holds_with(lazy, |w| {
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
        w.ingest();
        w.refresh();
        w.upload(vec![p("a", "a0", 1), p("b", "b0", 0)], false);
        w.ingest();
        w.refresh();
        assert_eq!(chain(w), [(2, false)], "committed without a fold");
        for plan in 2..5 {
            w.upload(vec![p("a", "a0", plan), p("b", "b0", 0)], false);
            w.ingest();
        }
        w.sweep();
        assert_eq!(chain(w), [(2, false), (5, false)]);
    });
}

#[test]
fn trace_12_versions_that_were_merged_away_are_not_empty() {
    let trace = |w: &mut World| {
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
        w.ingest();
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 1)], false);
        w.ingest();
        w.upload(vec![p("c", "c0", 0)], false);
        let message = only(w, INGEST);
        let slow = w.receive(INGEST, &message).expect("it is there");
        assert!(w.run_until(slow, "tombstones", After), "it has read the head");
        w.sweep();
        assert_eq!(chain(w), [(2, false)], "merged under its feet");
        w.sweep();
        w.pass(1_000);
        w.expire();
        w.finish(slow);
    };
    holds_with(MERGING, trace);
    breaks_without_in(Forgotten::Counting, MERGING, trace);
}

#[test]
fn trace_12_a_bulk_file_that_is_gone_is_not_an_empty_list() {
    // Nothing is kept for the grace period: what a reader would need an hour for happens at once.
    let hasty = Setup { bulk: 2, grace_ms: 0, ..SETUP };
    let trace = |w: &mut World| {
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0), p("c", "c0", 0)], false);
        w.ingest();
        assert_eq!(chain(w), [(1, true)]);
        w.upload(vec![p("c", "c0", 0)], false);
        let message = only(w, INGEST);
        let slow = w.receive(INGEST, &message).expect("it is there");
        assert!(w.run_until(slow, "tombstones", After), "it has read the head");
        let planner = w.planner("one");
        w.finish(planner);
        w.deliver();
        for _ in 0..3 {
            w.sweep();
            w.pass(1_000);
        }
        assert_eq!(bulk_objects(w), 0, "nobody names it any more");
        w.finish(slow);
    };
    holds_with(hasty.clone(), trace);
    breaks_without_rule(Rule::BulkIsThere, hasty, trace);
}

#[test]
fn a_bulk_file_is_kept_for_the_grace_period_and_not_longer() {
    holds_with(ALWAYS, |w| {
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0)], false);
        w.ingest();
        w.refresh();
        assert_eq!((chain(w), bulk_objects(w)), (vec![], 1), "folded, and somebody may be reading it");
        w.pass(500_000);
        w.sweep();
        assert_eq!(bulk_objects(w), 1);
        w.pass(700_000);
        w.sweep();
        w.sweep();
        assert_eq!(bulk_objects(w), 0);
    });
}

#[test]
fn a_bulk_version_makes_no_items_and_sends_what_items_would() {
    let sent = |setup: Setup| {
        let mut w = World::new(setup);
        for people in [
            vec![p("a", "a0", 0), p("b", "b0", 0), p("c", "x", 0)],
            vec![p("a", "a1", 0), p("b", "b0", 1), p("d", "x", 0)],
            vec![p("b", "b0", 1), p("d", "x", 1), p("e", "e0", 0)],
        ] {
            w.upload(people, false);
            w.ingest();
            w.refresh();
        }
        assert!(w.ghosts.violation().is_none(), "{:?}", w.ghosts.violation());
        let partitions = w.memory().log_partitions().len();
        (w.members(&w.sync()), w.ghosts.writes(), partitions)
    };
    let (members, writes, partitions) = sent(SETUP);
    assert!(partitions > 0);
    assert_eq!(sent(ALWAYS), (members, writes, 0));
}

#[test]
fn the_time_of_a_change_is_the_same_however_it_is_kept() {
    let dated = |setup: Setup| {
        let mut w = World::new(setup);
        for people in [
            vec![p("a", "a0", 0), p("b", "b0", 0), p("c", "c0", 0)],
            vec![p("a", "a0", 0), p("b", "b0", 1), p("d", "d0", 0)],
            vec![p("a", "a0", 0), p("b", "b0", 1), p("d", "d0", 1)],
        ] {
            w.upload(people, false);
            w.ingest();
        }
        let head = w.head(&w.sync()).expect("ingested");
        let state = SyncState::new(w.memory(), w.bucket(), &head);
        let touched = block_on(state.differences(&BTreeMap::new(), &head.config.fingerprint)).expect("it can be read");
        let members = touched.states.iter().filter(|(_, (_, state))| state.is_some());
        let dates: BTreeMap<_, _> = members.map(|(k, _)| (*k, touched.updated_at[k])).collect();
        // The clock of a world goes by steps, and a file takes others than items: which of the snapshots it was.
        let snapshots: Vec<_> = dates.values().collect::<BTreeSet<_>>().into_iter().copied().collect();
        dates.into_iter().map(|(k, at)| (k, snapshots.binary_search(&at).ok())).collect::<BTreeMap<_, _>>()
    };
    let items = dated(SETUP);
    assert_eq!(items.values().collect::<BTreeSet<_>>().len(), 3, "each was changed by another snapshot");
    assert_eq!(dated(ALWAYS), items, "what the horizon is counted from");
    assert_eq!(dated(Setup { bulk: 5, ..SETUP }), items, "a bulk version over items");
}

#[test]
fn an_erasure_and_a_new_mapping_on_top_of_a_bulk_version_are_seen() {
    holds_with(ALWAYS, |w| {
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 0), p("c", "c0", 0)], false);
        w.ingest();
        let erasing = w.erase("a");
        w.finish(erasing);
        assert_eq!(chain(w), [(1, true), (2, false)]);
        w.refresh();
        assert_eq!(members(w), ["b0", "c0"]);
        let sync = w.sync();
        w.reconfigure(&sync);
        w.ingest();
        assert_eq!(chain(w), [(3, true)]);
        w.refresh();
        assert_eq!(members(w), ["b0", "c0"]);
        assert!(block_on(w.memory().rejects(&sync)).expect("memory").is_empty());
    });
}

#[test]
fn a_bulk_version_takes_what_it_flushed_out_of_the_chain() {
    holds_with(Setup { bulk: 3, ..MERGING }, |w| {
        w.upload(vec![p("a", "a0", 0)], false);
        w.ingest();
        w.upload(vec![p("a", "a0", 1), p("b", "b0", 0)], false);
        w.ingest();
        w.upload(vec![p("a", "a0", 0), p("b", "b0", 1), p("c", "c0", 0)], false);
        w.ingest();
        assert_eq!(chain(w), [(1, false), (2, false), (3, true)], "together they are too many");
        w.sweep();
        assert_eq!(chain(w), [(3, true)]);
        w.refresh();
        assert_eq!(members(w), ["a0", "b0", "c0"]);
    });
}
