//! temporary
use crate::support::*;
use arrow::array::*;
use std::sync::Arc;
use std::time::Instant;
#[test]
#[ignore]
fn million() {
    let n: i64 = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let s = |f: &dyn Fn(i64) -> String| -> ArrayRef { Arc::new((0..n).map(|i| Some(f(i))).collect::<StringArray>()) };
    let batch = table(vec![
        ("id", ints(&(0..n).map(|i| i * 7919).collect::<Vec<_>>())),
        ("email", s(&|i| format!("user{}@example{}.com", i, i % 1000))),
        ("phone", s(&|i| format!("+49301{i:08}"))),
        ("first", s(&|i| format!("First{}", i % 5000))),
        ("last", s(&|i| format!("Last{}", i % 20000))),
        ("city", s(&|i| format!("City{}", i % 300))),
        ("country", s(&|i| ["DE", "FR", "IT"][(i % 3) as usize].into())),
        (
            "spent",
            Arc::new(
                (0..n)
                    .map(|i| Some(i128::from(i % 100_000)))
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(12, 2)
                    .unwrap(),
            ),
        ),
        (
            "at",
            Arc::new(
                (0..n)
                    .map(|i| Some(1_700_000_000_000_000 + i * 1000))
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
        ),
    ]);
    let props = parquet::file::properties::WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .build();
    let file = parquet(&batch, props);
    drop(batch);
    let snapshot = Snapshot::of(vec![file]);
    let all = ["id", "email", "phone", "first", "last", "city", "country", "spent", "at"];
    let hwm = || {
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .find(|l| l.starts_with("VmHWM"))
            .unwrap()
            .to_owned()
    };
    let rss = || {
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .find(|l| l.starts_with("VmRSS"))
            .unwrap()
            .to_owned()
    };
    eprintln!("file {} MB, {} {}", snapshot.parts[0].size >> 20, hwm(), rss());
    for (name, spec) in [
        ("nine columns, key is the identifier", identified_by(spec("id", &all), &["id"])),
        (
            "nine columns, email is the identifier, normalised",
            field(identified_by(spec("id", &all), &["email"]), "email", |f| {
                f.normalize = vec![driftless_config::Normalize::Email];
            }),
        ),
        (
            "where country = 'DE', three columns",
            identified_by(with_where("country = 'DE'", "id", &["id", "email", "first"]), &["id"]),
        ),
        ("key only", identified_by(spec("id", &["id"]), &["id"])),
    ] {
        let start = Instant::now();
        let d = snapshot.digest(&spec);
        eprintln!("{name}: {} rows {:?} {} {}", d.rows.len(), start.elapsed(), hwm(), rss());
    }
    let start = Instant::now();
    let rows = futures::executor::block_on(driftless_snapshot::verify(snapshot.source())).unwrap();
    eprintln!("verify (decode + encode) {rows} {:?}", start.elapsed());
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let bytes =
        futures::executor::block_on(driftless_objects::Objects::read(&snapshot.objects, &snapshot.parts[0].key))
            .unwrap();
    let start = Instant::now();
    let r: usize = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .unwrap()
        .with_batch_size(8192)
        .build()
        .unwrap()
        .map(|b| b.unwrap().num_rows())
        .sum();
    eprintln!("floor {r} {:?}", start.elapsed());
}
