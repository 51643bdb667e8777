//! Times the join of a history file with a snapshot's digests, both made up: `timing ROWS`.
//!
//! For finding out where the time goes; `make bench` is what counts.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use driftless_changeset::MergeDiff;
use driftless_history::{FileMeta, HistoryFile, encode_history};
use driftless_model::{AckRow, Acknowledged, AttrHash, Identifier, KeyHash, RecordKey};
use driftless_objects::{MemoryObjects, Objects};
use futures::executor::block_on;

fn main() {
    let rows: u64 = std::env::args().nth(1).map_or(1_000_000, |n| n.parse().expect("a number"));
    let key = |n: u64| KeyHash(u128::from(n) * (u128::MAX / u128::from(rows)) + 7);
    let start = Instant::now();
    let row = |n: u64| {
        let identifiers = [Identifier::new("email", format!("user{n}@example.com"))];
        AckRow {
            acknowledged: Some(Acknowledged { attr_hash: AttrHash(n), identifiers: identifiers.clone().into() }),
            identifiers: identifiers.into(),
            ..AckRow::unacknowledged(key(n), RecordKey::new(format!("user{n}@example.com")))
        }
    };
    let bytes = encode_history((0..rows).map(row), &FileMeta::default()).expect("in order");
    println!("written {:?}, {} bytes", start.elapsed(), bytes.len());
    let objects = MemoryObjects::default();
    let _ = block_on(objects.create("history", bytes)).expect("in memory");
    for lanes in [1, 2, 1, 2] {
        let start = Instant::now();
        let objects = &objects;
        let found = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for lane in 0..lanes {
                let found = &found;
                scope.spawn(move || {
                    let (from, to) = (lane * rows / lanes, (lane + 1) * rows / lanes);
                    let snapshot = (from..to).map(|n| (key(n), AttrHash(if n % 100 == 0 { n + 1 } else { n })));
                    let mut merge = MergeDiff::new(snapshot, true);
                    block_on(async {
                        let file = HistoryFile::open(objects, "history").await.expect("there");
                        let mut hashes = file.hashes(key(from), key(to - 1));
                        while let Some(rows) = hashes.next().await.expect("reads") {
                            rows.into_iter().for_each(|(key, hash)| merge.member(key, hash.expect("known")));
                        }
                    });
                    found.fetch_add(merge.finish().len(), std::sync::atomic::Ordering::Relaxed);
                });
            }
        });
        println!("joined in {lanes} lanes {:?}, {} changes", start.elapsed(), found.into_inner());
    }
}
