//! Times the passes over one snapshot file beside plain decoding of the same columns: `timing FILE KEY [LANES]`.
//!
//! For finding out where the time goes; `make bench` is what counts.
#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use driftless_config::{FieldMapping, KeyColumns, Mapping, Selection};
use driftless_model::{Job, Lanes, ObjectVersion};
use driftless_objects::{Error, Listed, ObjectMeta, Objects, Result, Written};
use driftless_snapshot::{HashKey, Limits, Source, View, ViewSpec, digest, schema};
use futures::executor::block_on;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// One file on disk as a bucket.
struct Disk(File);

fn gone<T>() -> Result<T> {
    Err(Error::NotFound { key: String::new(), version: String::new() })
}

#[async_trait]
impl Objects for Disk {
    async fn head(&self, _: &str, _: Option<&str>) -> Result<ObjectMeta> {
        gone()
    }
    async fn read_range(&self, _: &ObjectVersion, range: core::ops::Range<u64>) -> Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).expect("fits")];
        self.0.read_exact_at(&mut bytes, range.start).expect("the file is there");
        Ok(bytes.into())
    }
    async fn read(&self, _: &str) -> Result<Bytes> {
        gone()
    }
    async fn create(&self, _: &str, _: Bytes) -> Result<Written> {
        gone()
    }
    async fn list(&self, _: &str) -> Result<Listed> {
        gone()
    }
    async fn delete(&self, _: &str) -> Result<()> {
        gone()
    }
}

struct Threads(usize);

impl Lanes for Threads {
    fn count(&self) -> usize {
        self.0
    }
    fn run<'a>(&'a self, jobs: Vec<Job<'a>>) -> Job<'a> {
        std::thread::scope(|scope| {
            for job in jobs {
                scope.spawn(move || block_on(job));
            }
        });
        Box::pin(async {})
    }
}

fn floor(path: &str, threads: usize) -> usize {
    let rows = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let rows = &rows;
            scope.spawn(move || {
                let builder =
                    ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("file")).expect("parquet");
                let groups = (0..builder.metadata().num_row_groups()).filter(|g| g % threads == thread).collect();
                let mask = ProjectionMask::all();
                let reader =
                    builder.with_row_groups(groups).with_projection(mask).with_batch_size(8192).build().expect("reads");
                for batch in reader {
                    rows.fetch_add(batch.expect("decodes").num_rows(), std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    rows.into_inner()
}

fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("linux");
    status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default().to_owned()
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (path, key) = (&args[1], &args[2]);
    let lanes = Threads(args.get(3).map_or(2, |n| n.parse().expect("a number")));
    let file = File::open(path).expect("file");
    let size = file.metadata().expect("metadata").len();
    let part = ObjectVersion { key: path.clone(), version_id: None, etag: String::new(), size };
    let disk = Disk(file);
    let limits = Limits::default();
    let parts = [part];
    let source = Source { objects: &disk, parts: &parts, limits: &limits };
    let columns: Vec<String> =
        block_on(schema(source)).expect("schema").fields().iter().map(|f| f.name().clone()).collect();
    let fields = columns.iter().map(|c| {
        let mut field = FieldMapping::new(c.clone(), c.clone());
        field.identifier = c == key;
        field
    });
    let spec = ViewSpec {
        key: KeyColumns::new(vec![key.clone()]).expect("key"),
        selection: Selection::Everything,
        mapping: Mapping::new(fields.collect()),
        prefer: None,
    };
    let erased = BTreeSet::new();
    let views = [View { spec: &spec, erased: &erased }];
    for _ in 0..3 {
        let start = Instant::now();
        let digested = block_on(digest(source, &views, &HashKey::new([1; 32]), &lanes)).expect("reads").remove(0);
        println!("digest {:?}, {} rows, {}", start.elapsed(), digested.expect("view").rows.len(), peak());
    }
    for _ in 0..3 {
        let start = Instant::now();
        let rows = floor(path, lanes.0);
        println!("floor {:?}, {rows} rows, {}", start.elapsed(), peak());
    }
}
