//! Files that are not what they say: refused with their place and cause, without a panic and in little memory.

use std::io::Write;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, RecordBatch, StringBuilder};
use bytes::Bytes;
use driftless_model::{Disposition, Millis};
use driftless_objects::MemoryObjects;
use driftless_snapshot::{Cause, Limits, SnapshotError, Source, verify};
use flate2::write::GzEncoder;
use futures::executor::block_on;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::craft::{Lie, Struct, data, dictionary, page, varint, with_footer};
use crate::support::{Snapshot, ints, parquet, spec, strings, table};

fn read(bytes: Bytes) -> Result<u64, SnapshotError> {
    read_with(bytes, &Limits::default())
}

fn read_with(bytes: Bytes, limits: &Limits) -> Result<u64, SnapshotError> {
    let objects = MemoryObjects::default();
    let parts = [objects.upload("datasets/t/d/x.parquet", bytes, Millis(0)).object];
    block_on(verify(Source { objects: &objects, parts: &parts, limits }))
}

fn cause(bytes: Bytes) -> Cause {
    match read(bytes).expect_err("it must be refused") {
        e @ SnapshotError::Refused { .. } => {
            assert_eq!(e.disposition(), Disposition::Reject);
            assert!(e.to_string().starts_with("datasets/t/d/x.parquet"));
            match e {
                SnapshotError::Refused { cause, .. } => cause,
                _ => unreachable!(),
            }
        }
        other => panic!("{other:?}"),
    }
}

fn small() -> RecordBatch {
    let mut list = ListBuilder::new(StringBuilder::new());
    list.append_value([Some("a"), Some("b")]);
    list.append_null();
    list.append_value([None::<&str>]);
    table(vec![
        ("id", ints(&[1, 2, 3])),
        ("x", strings(&[Some("text"), None, Some("text")])),
        ("list", Arc::new(list.finish()) as ArrayRef),
    ])
}

/// One small file for each way of writing.
fn samples() -> Vec<Bytes> {
    let plain = || WriterProperties::builder().set_statistics_enabled(EnabledStatistics::Chunk);
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(parquet::basic::GzipLevel::default()),
        Compression::LZ4,
    ];
    let mut files: Vec<Bytes> = codecs.iter().map(|c| parquet(&small(), plain().set_compression(*c).build())).collect();
    let delta = plain()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_dictionary_enabled(false)
        .set_column_encoding(ColumnPath::from("x"), Encoding::DELTA_BYTE_ARRAY)
        .set_column_encoding(ColumnPath::from("id"), Encoding::DELTA_BINARY_PACKED);
    files.push(parquet(&small(), delta.build()));
    files
}

#[test]
fn every_truncation_is_refused() {
    for file in samples() {
        for length in 0..file.len() {
            let found = cause(file.slice(..length));
            let known =
                matches!(found, Cause::NotParquet | Cause::NoFooter | Cause::Truncated { .. } | Cause::Footer(_));
            assert!(known, "{length}: {found:?}");
        }
        assert_eq!(read(file).expect("whole"), 3);
    }
}

#[test]
fn a_file_without_its_beginning_is_refused() {
    for file in samples() {
        for start in 1..file.len() - 12 {
            let _ = read(file.slice(start..));
        }
    }
}

#[test]
fn what_is_not_parquet_says_so() {
    assert_eq!(cause(Bytes::new()), Cause::NotParquet);
    assert_eq!(cause(Bytes::from_static(b"id,email\n1,a@x.org\n")), Cause::NotParquet);
    assert_eq!(cause(Bytes::from_static(b"PAR1 and then the upload stopped")), Cause::NoFooter);
    assert_eq!(cause(Bytes::from_static(b"PARE            \x04\0\0\0PARE")), Cause::Encrypted);
}

#[test]
fn an_encrypted_file_with_a_plain_footer_says_so() {
    let footer = Struct::default().int(1, 1).list(2, 0, vec![]).nested(8, Struct::default());
    assert_eq!(cause(with_footer(&[], &footer.end())), Cause::Encrypted);
}

#[test]
fn a_changed_byte_in_a_page_is_found_by_its_checksum() {
    // The writer of this crate makes no checksums: this page has one.
    let body = [1_u8, 0, 0, 0, 0, 0, 0, 0];
    let with_crc = |crc: u32| {
        let header = Struct::default().int(1, 0).int(2, 8).int(3, 8).int(4, crc.cast_signed().into());
        let pages = [header.nested(5, data(1, 0)).end(), body.to_vec()].concat();
        Lie { rows: 1, values: 1, pages, ..Lie::default() }.file()
    };
    assert_eq!(read(with_crc(crc32fast::hash(&body))).expect("as it was written"), 1);
    assert_eq!(cause(with_crc(7)), Cause::Checksum);
}

#[test]
fn the_place_of_the_cause_is_named() {
    let error =
        read(Lie { pages: page(16, 16, data(1, 0), &[0; 16]), ..Lie::default() }.file()).expect_err("a value short");
    let SnapshotError::Refused { object, row_group, column, .. } = &error else { panic!("{error:?}") };
    assert_eq!((object.as_str(), *row_group, column.as_deref()), ("datasets/t/d/x.parquet", Some(0), Some("x")));
    assert_eq!(
        error.to_string(),
        "datasets/t/d/x.parquet, row group 0, column \"x\": the file contradicts itself: the pages of a column have not one value a row"
    );
}

#[test]
fn absurd_sizes_are_refused_before_they_are_allocated() {
    let huge = i64::from(i32::MAX);
    let is_too_large = |file: Bytes| assert!(matches!(cause(file), Cause::TooLarge { .. }));
    // A footer of four gigabytes; a footer of 200 MB that is there.
    let mut lie = Lie::default().file().to_vec();
    let at = lie.len() - 8;
    lie[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(cause(lie.into()), Cause::Truncated { what: "the footer", .. }));
    let limits = Limits { footer_bytes: 10, ..Limits::default() };
    let refused = read_with(Lie::default().file(), &limits).expect_err("too large");
    assert!(matches!(refused, SnapshotError::Refused { cause: Cause::TooLarge { limit: 10, .. }, .. }));
    // Pages.
    is_too_large(Lie { pages: page(huge, 16, data(2, 0), &[0; 16]), codec: 1, ..Lie::default() }.file());
    is_too_large(Lie { pages: page(16, huge, data(2, 0), &[0; 16]), ..Lie::default() }.file());
    assert!(matches!(
        cause(Lie { pages: page(16, 10_000_000, data(2, 0), &[0; 16]), ..Lie::default() }.file()),
        Cause::PageHeader("the page is longer than its column")
    ));
    // Values and rows.
    assert!(matches!(
        cause(Lie { pages: page(16, 16, data(huge, 0), &[0; 16]), ..Lie::default() }.file()),
        Cause::Inconsistent(_)
    ));
    assert!(matches!(cause(Lie { values: i64::MAX, ..Lie::default() }.file()), Cause::Inconsistent(_)));
    is_too_large(Lie { rows: i64::MAX, values: i64::MAX, ..Lie::default() }.file());
    assert!(matches!(cause(Lie { rows: -1, values: -1, ..Lie::default() }.file()), Cause::Inconsistent(_)));
    // A column beyond the file.
    assert!(matches!(
        cause(Lie { compressed: Some(1 << 40), ..Lie::default() }.file()),
        Cause::Truncated { what: "a column", .. }
    ));
    assert!(matches!(cause(Lie { compressed: Some(-5), ..Lie::default() }.file()), Cause::Inconsistent(_)));
    // A fixed length of two gigabytes.
    is_too_large(Lie { physical: 7, type_length: Some(huge), ..Lie::default() }.file());
    // A dictionary of two thousand million values.
    let pages = [dictionary(huge, &[0; 16]), page(3, 3, data(2, 8), &[1, 2, 0])].concat();
    assert!(matches!(cause(Lie { pages, ..Lie::default() }.file()), Cause::Inconsistent(_)));
}

#[test]
fn compressed_bombs_are_stopped_at_their_declared_size() {
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        gzip.write_all(&vec![0; 1 << 20]).expect("memory");
    }
    let bomb = gzip.finish().expect("memory");
    let size = i64::try_from(bomb.len()).expect("small");
    let file = Lie { codec: 2, pages: page(16, size, data(2, 0), &bomb), ..Lie::default() }.file();
    assert!(matches!(cause(file), Cause::Decompress(_)));
    let zstd = zstd::bulk::compress(&vec![0; 64 << 20], 19).expect("memory");
    let size = i64::try_from(zstd.len()).expect("small");
    let file = Lie { codec: 6, pages: page(16, size, data(2, 0), &zstd), ..Lie::default() }.file();
    assert!(matches!(cause(file), Cause::Decompress(_)));
}

#[test]
fn delta_lengths_that_multiply_are_refused() {
    let delta = |values: u64, first: i64, step: i64| {
        let mut out = Vec::new();
        for n in [128, 4, values] {
            varint(n, &mut out);
        }
        varint(((first << 1) ^ (first >> 63)).cast_unsigned(), &mut out);
        let mut left = values.saturating_sub(1);
        while left > 0 && out.len() < 100_000 {
            varint(((step << 1) ^ (step >> 63)).cast_unsigned(), &mut out);
            out.extend([0; 4]);
            left = left.saturating_sub(128);
        }
        out
    };
    // More lengths than values, by far.
    let body = delta(1 << 40, 0, 0);
    let size = i64::try_from(body.len()).expect("small");
    let pages = page(size, size, data(2, 6), &body);
    assert!(matches!(cause(Lie { physical: 6, pages, ..Lie::default() }.file()), Cause::Decode(_)));
    // A hundred thousand values, each with the one before as its prefix and one byte more.
    let rows = 100_000;
    let mut body = delta(100_000, 0, 1);
    body.extend(delta(100_000, 1, 0));
    body.extend(vec![b'a'; 100_000]);
    let size = i64::try_from(body.len()).expect("small");
    let pages = page(size, size, data(rows, 7), &body);
    let lie = Lie { physical: 6, rows, values: rows, pages, uncompressed: size, ..Lie::default() };
    assert!(matches!(cause(lie.file()), Cause::TooLarge { what: "the values of a page in bytes", .. }));
}

#[test]
fn lists_that_are_long_without_bytes_are_refused() {
    // Sixteen million elements of one row, in one run of levels.
    let values = 16_000_000_i64;
    let mut body = Vec::new();
    for level in [1_u8, 1] {
        let mut run = Vec::new();
        varint(values.cast_unsigned() << 1, &mut run);
        run.push(level);
        body.extend(u32::try_from(run.len()).expect("small").to_le_bytes());
        body.extend(run);
    }
    let size = i64::try_from(body.len()).expect("small");
    let pages = page(size, size, data(values, 0), &body);
    let lie = Lie { repetition: 2, rows: 1, values, pages, uncompressed: size, ..Lie::default() };
    let what = "the number of values of a nested column in one row group";
    assert!(matches!(cause(lie.file()), Cause::TooLarge { what: found, .. } if found == what));
}

#[test]
fn a_schema_that_is_too_deep_or_too_wide_is_refused() {
    let group = |children| Struct::default().int(3, 0).text(4, "g").int(5, children);
    let deep = (0..10_000).map(|_| group(1)).collect();
    let footer = Struct::default().int(1, 1).list(2, 10_000, deep).long(3, 0).list(4, 0, vec![]);
    assert!(matches!(cause(with_footer(&[], &footer.end())), Cause::TooLarge { what: "the depth of the schema", .. }));
    let lie = Struct::default().int(1, 1).list(2, 1 << 31, vec![group(1)]).long(3, 0);
    assert!(matches!(cause(with_footer(&[], &lie.end())), Cause::Footer(_)));
    let groups = Struct::default().int(1, 1).list(2, 1, vec![group(0)]).long(3, 0).list(4, 1 << 31, vec![]);
    assert!(matches!(cause(with_footer(&[], &groups.end())), Cause::Footer(_)));
}

#[test]
fn more_rows_than_allowed_are_refused_with_the_figure() {
    let mut snapshot = Snapshot::of(vec![samples()[0].clone(), samples()[1].clone()]);
    snapshot.limits.rows = 5;
    let error = snapshot.try_digest(&spec("id", &["x"])).expect_err("six rows");
    assert!(matches!(
        error,
        SnapshotError::Refused { cause: Cause::TooLarge { what: "the number of rows", found: 6, limit: 5 }, .. }
    ));
}

/// Flips every bit of every sample, and reads what remains. Runs in a process of its own, which says how much memory it
/// took.
#[test]
#[ignore = "run by `flipped_bits_never_panic_and_take_little_memory`"]
fn flip_bits() {
    let answer = std::env::var_os("DRIFTLESS_ANSWER").expect("set by the parent");
    std::panic::set_hook(Box::new(|_| {}));
    for file in samples() {
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut flipped = file.to_vec();
                flipped[at] ^= 1 << bit;
                let _ = read(flipped.into());
            }
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).map_or("0", |l| l.trim().trim_end_matches(" kB"));
    std::fs::write(answer, peak).expect("writable");
}

#[test]
fn flipped_bits_never_panic_and_take_little_memory() {
    let answer = std::env::temp_dir().join(format!("driftless-flipped-bits-{}", std::process::id()));
    let child = Command::new(std::env::current_exe().expect("a test binary"))
        .args(["hostile::flip_bits", "--exact", "--ignored", "--test-threads=1"])
        .env("DRIFTLESS_ANSWER", &answer)
        .output()
        .expect("it runs");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let peak: u64 = std::fs::read_to_string(&answer).expect("an answer").trim().parse().expect("a number");
    let _ = std::fs::remove_file(&answer);
    assert!(peak <= 512 << 10, "{peak} KiB");
}
