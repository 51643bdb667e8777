//! How much of a large file is fetched, and what is said of a file that cannot be read.
#![allow(clippy::unwrap_used, missing_docs)]

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use driftless_changeset::{Changeset, PlannedRow};
use driftless_history::{
    Error, FileMeta, HistoryFile, Malformation, encode_changeset, encode_history, encode_holds, fold, read_changeset,
    read_delta, read_holds, read_rows,
};
use driftless_model::{
    AckRow, Acknowledged, AttrHash, Disposition, Identifier, InTurn, KeyHash, Millis, ObjectVersion, Operation,
    RecordKey,
};
use driftless_objects::{Listed, MemoryObjects, ObjectMeta, Objects, Result, Written};
use futures::executor::block_on;

/// Counts the bytes and requests that readers cause.
#[derive(Default)]
struct Metered {
    objects: MemoryObjects,
    read: Mutex<(u64, u64)>,
}

impl Metered {
    fn holding(bytes: Bytes) -> Self {
        let metered = Self::default();
        block_on(metered.objects.create("f", bytes)).unwrap();
        metered
    }

    /// Bytes and requests since the last call.
    fn take(&self) -> (u64, u64) {
        core::mem::take(&mut *self.read.lock().unwrap())
    }
}

#[async_trait]
impl Objects for Metered {
    async fn head(&self, key: &str, version_id: Option<&str>) -> Result<ObjectMeta> {
        self.objects.head(key, version_id).await
    }
    async fn read_range(&self, object: &ObjectVersion, range: Range<u64>) -> Result<Bytes> {
        {
            let mut read = self.read.lock().unwrap();
            read.0 += range.end - range.start;
            read.1 += 1;
        }
        self.objects.read_range(object, range).await
    }
    async fn read(&self, key: &str) -> Result<Bytes> {
        self.objects.read(key).await
    }
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Written> {
        self.objects.create(key, bytes).await
    }
    async fn list(&self, prefix: &str) -> Result<Listed> {
        self.objects.list(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<()> {
        self.objects.delete(key).await
    }
}

/// Spread over the whole range, in order, and incompressible.
fn spread(i: u64, of: u64) -> KeyHash {
    KeyHash((u128::MAX / u128::from(of)) * u128::from(i) + u128::from(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8))
}

fn row(i: u64, of: u64) -> AckRow {
    let text = format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let identifiers = [Identifier::new("email", format!("{text}@example.com"))].into();
    AckRow {
        key: RecordKey::new(&text),
        acknowledged: Some(Acknowledged { attr_hash: AttrHash(i), identifiers }),
        identifiers: [Identifier::new("email", format!("{text}@example.com"))].into(),
        added_at: Some(Millis(i.cast_signed())),
        ..AckRow::unacknowledged(spread(i, of), RecordKey::new(""))
    }
}

#[test]
fn a_large_history_is_read_by_column_and_by_page() {
    const N: u64 = 150_000;
    let bytes = encode_history((0..N).map(|i| row(i, N)), &FileMeta::default()).unwrap();
    let size = bytes.len() as u64;
    let objects = Metered::holding(bytes);
    block_on(async {
        let file = HistoryFile::open(&objects, "f").await.unwrap();
        objects.take();

        let mut hashes = file.hashes(KeyHash(0), KeyHash(u128::MAX));
        let mut found = 0;
        while let Some(rows) = hashes.next().await.unwrap() {
            found += rows.len() as u64;
        }
        assert_eq!(found, N);
        let (read, _) = objects.take();
        assert!(read < N * 25, "two hash columns take 24 bytes a row; {read} were fetched");

        let one = file.row(spread(70_000, N)).await.unwrap();
        assert_eq!(one, Some(row(70_000, N)));
        let (read, requests) = objects.take();
        assert!(read < size / 3, "one row group's keys and some pages, not {read} of {size} bytes");
        assert!(requests < 20, "{requests}");

        let wanted: BTreeSet<_> = (0..N).step_by(977).map(|i| spread(i, N)).collect();
        let rows = file.rows(&wanted).await.unwrap();
        assert_eq!(rows.keys().copied().collect::<BTreeSet<_>>(), wanted);
        let (read, _) = objects.take();
        assert!(
            read <= size,
            "a row from nearly every page is no reason to read anything twice: {read} of {size} bytes"
        );
        assert_eq!(file.row(KeyHash(5)).await.unwrap(), None);
    });

    let overlay = BTreeMap::from([(spread(3, N), None), (KeyHash(u128::MAX), Some(row(9, N)))]);
    let overlay = overlay.into_iter().map(|(k, r)| (k, r.map(|r| AckRow { key_hash: k, ..r }))).collect();
    let (_, rows) = block_on(fold(&objects, Some("f"), &overlay, &FileMeta::default(), &InTurn::default())).unwrap();
    assert_eq!(rows, N, "one went, one came");
}

#[test]
fn a_call_fetches_little_of_a_large_changeset() {
    const N: u64 = 60_000;
    let planned = |i: u64| PlannedRow {
        operation: if i < 40_000 { Operation::Add } else { Operation::Remove },
        key_hash: spread(i, N),
        key: RecordKey::new(format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        attr_hash: Some(AttrHash(i)),
        identifiers: row(i, N).identifiers,
        remote_id: None,
        fields: Some(format!("{{\"email\":\"{:x}@example.com\"}}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
    };
    let rows: Vec<_> = (0..N).map(planned).collect();
    let bytes = encode_changeset(&Changeset { rows: rows.clone(), transfers: vec![] }).unwrap();
    let size = bytes.len() as u64;
    let objects = Metered::holding(bytes);
    // 8,000 to 8,500 crosses a row group.
    for first in [0_usize, 8_000, 30_000, 59_500] {
        let read = block_on(read_rows(&objects, "f", first as u64, 500)).unwrap();
        assert_eq!(read, rows[first..first + 500]);
        let (read, requests) = objects.take();
        assert!(read < size / 3, "{read} of {size} bytes in {requests} requests");
    }
    let beyond = block_on(read_rows(&objects, "f", N - 1, 2)).unwrap_err();
    assert!(matches!(beyond, Error::Malformed { source: Malformation::TooShort { has: N, .. }, .. }));
    assert_eq!(block_on(read_changeset(&objects, "f")).unwrap().rows, rows);
}

#[test]
fn what_is_not_a_file_of_ours_is_fatal_and_says_why() {
    let holds = encode_holds(&(0..100).map(KeyHash).collect()).unwrap();
    let cut = holds.slice(..holds.len() - 9);
    let mut overlong = holds.to_vec();
    let at = overlong.len() - 8;
    overlong[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    for bytes in
        [Bytes::new(), Bytes::from_static(b"PAR1"), Bytes::from_static(b"no such thing at all"), cut, overlong.into()]
    {
        let error = block_on(read_holds(&Metered::holding(bytes).objects, "f")).unwrap_err();
        assert!(matches!(error, Error::Malformed { source: Malformation::NotParquet(_), .. }), "{error:?}");
        assert_eq!(error.disposition(), Disposition::Fatal);
    }
    let objects = Metered::holding(holds).objects;
    let error = block_on(read_delta(&objects, "f")).unwrap_err();
    assert!(matches!(error, Error::Malformed { source: Malformation::OtherKind { .. }, .. }), "{error:?}");
    assert_eq!(error.to_string(), "object f is not a delta file that this version can read");
}

#[test]
fn an_object_of_ours_that_is_gone_is_fatal() {
    let objects = MemoryObjects::default();
    let error = block_on(HistoryFile::open(&objects, "history/x")).err().unwrap();
    assert_eq!(error.disposition(), Disposition::Fatal);
    assert_eq!(error.to_string(), "history file history/x could not be fetched");
}
