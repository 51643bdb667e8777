//! The parts of the diff, each alone and in memory: `make bench-micro`.

#![allow(missing_docs)] // criterion's macros

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use driftless_changeset::{States, aggregate, merge_diff};
use driftless_config::{FieldMapping, KeyColumns, Mapping, Selection};
use driftless_history::{FileMeta, encode_history, fold};
use driftless_model::{AckRow, Acknowledged, AttrHash, Identifier, InTurn, KeyHash, Millis, RecordKey, RecordState};
use driftless_objects::{MemoryObjects, Objects};
use driftless_snapshot::{HashKey, Limits, Source, View, ViewSpec, digest};
use futures::executor::block_on;
use parquet::arrow::ArrowWriter;

const RECORDS: u64 = 100_000;

fn hash_key() -> HashKey {
    HashKey::new([7; 32])
}

fn email(record: u64) -> String {
    format!("user{record}@example.com")
}

fn keys() -> Vec<RecordKey> {
    (0..RECORDS).map(|n| RecordKey::new(email(n))).collect()
}

/// Pairs of hashes as a snapshot has them, before they are sorted.
fn pairs() -> Vec<(KeyHash, AttrHash)> {
    let key = hash_key();
    keys().iter().zip(0..).map(|(k, n)| (key.key_hash(k), AttrHash(n))).collect()
}

fn sorted() -> Vec<(KeyHash, AttrHash)> {
    let mut pairs = pairs();
    pairs.sort_unstable();
    pairs
}

fn hash(c: &mut Criterion) {
    let mut group = c.benchmark_group("hash");
    group.throughput(Throughput::Elements(RECORDS));
    let (key, keys) = (hash_key(), keys());
    group.bench_function("record keys", |b| {
        b.iter(|| keys.iter().fold(0, |all, k| all ^ key.key_hash(black_box(k)).0));
    });
    // Decoding, selecting, mapping, hashing and sorting: a snapshot's whole pass.
    let objects = MemoryObjects::default();
    let parts = [objects.upload("datasets/b/d/all.parquet", snapshot(), Millis(0)).object];
    let (limits, erased) = (Limits::default(), BTreeSet::new());
    let columns = ["email", "city", "ltv", "age"];
    let spec = ViewSpec {
        key: KeyColumns::new(vec!["email".to_owned()]).expect("one column"),
        selection: Selection::Everything,
        mapping: Mapping::new(columns.iter().map(|c| FieldMapping::new(*c, *c)).collect()),
        prefer: None,
    };
    group.bench_function("a snapshot of four columns", |b| {
        b.iter(|| {
            let source = Source { objects: &objects, parts: &parts, limits: &limits };
            block_on(digest(source, &[View { spec: &spec, erased: &erased }], &key, &InTurn::default()))
                .expect("a snapshot")
        });
    });
    group.finish();
}

/// Records with a text of few values, a number and a small number.
fn snapshot() -> Bytes {
    let cities = ["Paris", "Berlin", "Tokyo", "Austin"];
    let columns: [(&str, ArrayRef); 4] = [
        ("email", Arc::new((0..RECORDS).map(|n| Some(email(n))).collect::<StringArray>())),
        (
            "city",
            Arc::new(
                (0..RECORDS).map(|n| Some(cities[usize::try_from(n % 4).expect("small")])).collect::<StringArray>(),
            ),
        ),
        (
            "ltv",
            Arc::new((0..RECORDS).map(|n| f64::from(u32::try_from(n).expect("few")) / 8.0).collect::<Float64Array>()),
        ),
        ("age", Arc::new((0..RECORDS).map(|n| i32::try_from(n % 90).expect("small")).collect::<Int32Array>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).expect("a schema");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    file.into()
}

fn sort(c: &mut Criterion) {
    let mut group = c.benchmark_group("sort");
    group.throughput(Throughput::Elements(RECORDS));
    let unsorted = pairs();
    group.bench_function("pairs of hashes", |b| {
        b.iter_batched(
            || unsorted.clone(),
            |mut pairs| {
                pairs.sort_unstable();
                pairs
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn merge(c: &mut Criterion) {
    let mut group = c.benchmark_group("merge");
    group.throughput(Throughput::Elements(RECORDS));
    let old = sorted();
    for percent in [0, 1, 100] {
        let new: Vec<_> =
            old.iter().zip(0_u64..).map(|((k, a), n)| (*k, AttrHash(a.0 ^ u64::from(n % 100 < percent)))).collect();
        group.bench_with_input(BenchmarkId::new("percent changed", percent), &new, |b, new| {
            b.iter(|| merge_diff(old.iter().copied(), new.iter().copied(), true));
        });
    }
    group.finish();
}

fn aggregation(c: &mut Criterion) {
    let mut group = c.benchmark_group("aggregate");
    let (layers, each) = (20, RECORDS / 20);
    group.throughput(Throughput::Elements(layers * each));
    let states: Vec<States> = (0..layers)
        .map(|layer| (layer * each / 2..layer * each / 2 + each).map(|n| state(n, layer)).collect())
        .collect();
    group.bench_function("twenty versions, each half of the one before", |b| {
        b.iter_batched(|| states.clone(), aggregate, BatchSize::LargeInput);
    });
    group.finish();
}

fn state(record: u64, version: u64) -> (KeyHash, (RecordKey, Option<RecordState>)) {
    let key = RecordKey::new(email(record));
    let identifiers = [Identifier::new("email", email(record))].into();
    let state = RecordState { key: key.clone(), attr_hash: AttrHash(version), identifiers };
    (hash_key().key_hash(&key), (key, Some(state)))
}

fn folding(c: &mut Criterion) {
    let mut group = c.benchmark_group("fold");
    group.sample_size(10);
    group.throughput(Throughput::Elements(RECORDS));
    let rows: BTreeMap<KeyHash, AckRow> = (0..RECORDS).map(row).collect();
    let objects = MemoryObjects::default();
    let history = encode_history(rows.values().cloned(), &FileMeta::default()).expect("sorted rows");
    block_on(objects.create("history", history)).expect("memory");
    for percent in [1, 10] {
        let changed = rows.iter().take(rows.len() * percent / 100);
        let overlay: BTreeMap<_, _> = changed.map(|(k, row)| (*k, Some(row.clone()))).collect();
        group.bench_with_input(BenchmarkId::new("percent delivered", percent), &overlay, |b, overlay| {
            b.iter(|| {
                block_on(fold(&objects, Some("history"), overlay, &FileMeta::default(), &InTurn::default()))
                    .expect("a history")
            });
        });
    }
    group.finish();
}

fn row(record: u64) -> (KeyHash, AckRow) {
    let (key_hash, (key, state)) = state(record, 0);
    let identifiers = state.map(|s| s.identifiers).unwrap_or_default();
    let acknowledged = Some(Acknowledged { attr_hash: AttrHash(0), identifiers: identifiers.clone() });
    (key_hash, AckRow { acknowledged, identifiers, ..AckRow::unacknowledged(key_hash, key) })
}

criterion_group!(parts, hash, sort, merge, aggregation, folding);
criterion_main!(parts);
