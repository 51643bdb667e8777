//! How the bytes are fetched: by ranges, only what is needed, never much at once, whoever polls.

use core::ops::Range;
use core::task::Poll;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use driftless_model::{InTurn, ObjectVersion};
use driftless_objects::{Listed, MemoryObjects, ObjectMeta, Objects, Result, Written};
use driftless_snapshot::{SnapshotError, Source, View, digest};
use futures::executor::block_on;
use futures::future::poll_fn;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::support::{Snapshot, ints, key, parquet, spec, strings, table};

/// A bucket that never answers at once, writes down what it is asked, and may fail or stop short.
struct Slow<'a> {
    inner: &'a MemoryObjects,
    ranges: Mutex<Vec<Range<u64>>>,
    under_way: AtomicU64,
    most_under_way: AtomicU64,
    broken_after: usize,
}

impl<'a> Slow<'a> {
    fn new(inner: &'a MemoryObjects) -> Self {
        Self {
            inner,
            ranges: Mutex::default(),
            under_way: AtomicU64::new(0),
            most_under_way: AtomicU64::new(0),
            broken_after: usize::MAX,
        }
    }
}

#[async_trait]
impl Objects for Slow<'_> {
    async fn head(&self, key: &str, version: Option<&str>) -> Result<ObjectMeta> {
        self.inner.head(key, version).await
    }

    async fn read_range(&self, object: &ObjectVersion, range: Range<u64>) -> Result<Bytes> {
        let number = {
            let mut ranges = self.ranges.lock().expect("no panic");
            ranges.push(range.clone());
            ranges.len()
        };
        let now = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_under_way.fetch_max(now, Ordering::Relaxed);
        for _ in 0..3 {
            let mut polled = false;
            poll_fn(|cx| {
                if polled {
                    return Poll::Ready(());
                }
                polled = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        if number > self.broken_after {
            let source = "connection reset".into();
            return Err(driftless_objects::Error::Unavailable { operation: "GetObject", source });
        }
        self.inner.read_range(object, range).await
    }

    async fn read(&self, key: &str) -> Result<Bytes> {
        self.inner.read(key).await
    }
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Written> {
        self.inner.create(key, bytes).await
    }
    async fn list(&self, prefix: &str) -> Result<Listed> {
        self.inner.list(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key).await
    }
}

/// Three row groups of 40,000 rows; `id` and `x` are mapped, `ballast` is the most of the file.
fn wide() -> Snapshot {
    let ids: Vec<i64> = (0..120_000).map(|i: i64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed())).collect();
    let texts: Vec<String> = ids.iter().map(|i| format!("{i:x}")).collect();
    let ballast: Vec<String> = ids.iter().map(|i| format!("{i:064x}")).collect();
    let view = |texts: &[String]| strings(&texts.iter().map(|t| Some(t.as_str())).collect::<Vec<_>>());
    let batch = table(vec![("id", ints(&ids)), ("ballast", view(&ballast)), ("x", view(&texts))]);
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(40_000))
        .set_dictionary_enabled(false)
        .set_compression(Compression::UNCOMPRESSED)
        .build();
    Snapshot::of(vec![parquet(&batch, properties)])
}

#[test]
fn a_slow_store_gives_the_same_answer_with_requests_side_by_side() {
    let snapshot = wide();
    let view = spec("id", &["x"]);
    let erased = BTreeSet::new();
    let views = [View { spec: &view, erased: &erased }];
    let slow = Slow::new(&snapshot.objects);
    let source = Source { objects: &slow, parts: &snapshot.parts, limits: &snapshot.limits };
    let digested = block_on(digest(source, &views, &key(), &InTurn::default())).expect("fine").remove(0).expect("fine");
    assert_eq!(digested.rows.iter().collect::<Vec<_>>(), snapshot.digest(&view).rows);
    assert_eq!(digested.rows.len(), 120_000);
    assert!(slow.most_under_way.load(Ordering::Relaxed) > 1, "the next bytes are asked for while these are decoded");
    let ranges = slow.ranges.into_inner().expect("no panic");
    let fetched: u64 = ranges.iter().map(|r| r.end - r.start).sum();
    assert_eq!(digested.report.bytes_read, fetched);
    assert!(fetched < snapshot.parts[0].size / 2, "columns that are not mapped are not read");
    let mut sorted = ranges;
    sorted.sort_by_key(|r| r.start);
    assert!(sorted.windows(2).all(|w| w[0].end <= w[1].start), "nothing is read twice");
}

#[test]
fn a_small_budget_makes_small_requests() {
    let mut snapshot = wide();
    snapshot.limits.read_ahead_bytes = 256 << 10;
    let view = spec("id", &["ballast"]);
    let erased = BTreeSet::new();
    let views = [View { spec: &view, erased: &erased }];
    let slow = Slow::new(&snapshot.objects);
    let source = Source { objects: &slow, parts: &snapshot.parts, limits: &snapshot.limits };
    block_on(digest(source, &views, &key(), &InTurn::default())).expect("fine").remove(0).expect("fine");
    let ranges = slow.ranges.into_inner().expect("no panic");
    // A page has a megabyte; a window is what the page that has begun still needs.
    assert!(ranges.iter().all(|r| r.end - r.start <= 2 << 20), "{ranges:?}");
    assert!(ranges.len() > 10);
}

#[test]
fn a_store_that_fails_is_a_reason_to_try_again() {
    let snapshot = wide();
    let view = spec("id", &["x"]);
    let erased = BTreeSet::new();
    let views = [View { spec: &view, erased: &erased }];
    for broken_after in 0..4 {
        let slow = Slow { broken_after, ..Slow::new(&snapshot.objects) };
        let source = Source { objects: &slow, parts: &snapshot.parts, limits: &snapshot.limits };
        let error = block_on(digest(source, &views, &key(), &InTurn::default())).expect_err("broken");
        assert!(matches!(error, SnapshotError::Objects(_)));
        assert!(error.disposition().is_retry());
    }
}
