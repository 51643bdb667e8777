//! The Rust writer's share of the tables: a file of another writer, rewritten in another row order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::manifest::Written;

/// How the Rust writer writes: a name, its properties, and whether the Arrow schema is embedded.
fn layouts() -> Vec<(&'static str, WriterProperties, bool)> {
    let base = || WriterProperties::builder().set_max_row_group_row_count(Some(100));
    let delta = base()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false);
    let delta = encoded(delta, Encoding::DELTA_BYTE_ARRAY, &["text", "bytes_view", "json"]);
    let delta = encoded(delta, Encoding::DELTA_LENGTH_BYTE_ARRAY, &["text_large", "bytes"]);
    let delta = encoded(delta, Encoding::DELTA_BINARY_PACKED, &["int_16", "int_64", "uint_32", "date", "instant_us"]);
    let delta = encoded(delta, Encoding::BYTE_STREAM_SPLIT, &["float_16", "float_32", "float_64", "decimal_38"]);
    vec![
        ("defaults", WriterProperties::default(), true),
        ("pages 2.0, delta and byte-stream-split encodings, zstd", delta.build(), true),
        (
            "no Arrow schema, gzip, small pages",
            base()
                .set_compression(Compression::GZIP(GzipLevel::default()))
                .set_data_page_row_count_limit(7)
                .set_write_batch_size(3)
                .set_statistics_enabled(EnabledStatistics::None)
                .build(),
            false,
        ),
        (
            "pages 2.0, brotli, dictionaries that run full",
            WriterProperties::builder()
                .set_writer_version(WriterVersion::PARQUET_2_0)
                .set_compression(Compression::BROTLI(BrotliLevel::default()))
                .set_dictionary_page_size_limit(100)
                .set_write_batch_size(16)
                .build(),
            true,
        ),
        (
            "lz4, a row group a row",
            base().set_max_row_group_row_count(Some(1)).set_compression(Compression::LZ4_RAW).build(),
            true,
        ),
    ]
}

fn encoded(builder: WriterPropertiesBuilder, encoding: Encoding, columns: &[&str]) -> WriterPropertiesBuilder {
    columns.iter().fold(builder, |b, c| b.set_column_encoding(ColumnPath::from(*c), encoding))
}

/// Writes both states of `reference` in every layout into its folder.
pub(crate) fn rewrite(reference: &Written) -> Vec<Written> {
    let mut shuffle = StdRng::seed_from_u64(1);
    let states = [read(&reference.old), read(&reference.new)];
    let written = layouts().into_iter().enumerate().map(|(number, (layout, properties, arrow_schema))| {
        let mut files = states.iter().zip(["old", "new"]).map(|(state, name)| {
            let path = reference.old.with_file_name(format!("rust-{number}-{name}.parquet"));
            write(&shuffled(state, &mut shuffle), &path, properties.clone(), arrow_schema);
            path
        });
        let (old, new) = (files.next().expect("two states"), files.next().expect("two states"));
        drop(files);
        let columns = reference.columns.clone();
        let writer = format!("parquet-rs {}", parquet_version());
        Written { writer, layout: layout.to_owned(), columns, lacks: reference.lacks.clone(), old, new }
    });
    written.collect()
}

/// As the writer itself says it.
fn parquet_version() -> &'static str {
    parquet::file::properties::DEFAULT_CREATED_BY.rsplit(' ').next().unwrap_or_default()
}

fn read(path: &PathBuf) -> RecordBatch {
    let file = std::fs::File::open(path).expect("it was written");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(ParquetRecordBatchReaderBuilder::build);
    let batches: Result<Vec<RecordBatch>, _> = reader.expect("it is Parquet").collect();
    let batches = batches.expect("it is readable");
    concat_batches(&batches[0].schema(), &batches).expect("one schema")
}

fn shuffled(batch: &RecordBatch, random: &mut StdRng) -> RecordBatch {
    let mut rows: Vec<u32> = (0..u32::try_from(batch.num_rows()).expect("few")).collect();
    rows.shuffle(random);
    let mut columns: Vec<usize> = (0..batch.num_columns()).collect();
    columns.shuffle(random);
    let batch = take_record_batch(batch, &UInt32Array::from(rows)).expect("the same rows");
    batch.project(&columns).expect("the same columns")
}

fn write(batch: &RecordBatch, path: &Path, properties: WriterProperties, arrow_schema: bool) {
    let file = std::fs::File::create(path).expect("the folder is ours");
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(!arrow_schema);
    let mut writer = ArrowWriter::try_new_with_options(file, Arc::clone(&batch.schema()), options).expect("a schema");
    writer.write(batch).expect("written");
    writer.close().expect("closed");
}
