//! Columns that are read as a dictionary and codes: the same as if every value had been read.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use bytes::Bytes;
use driftless_snapshot::{Cause, SnapshotError};
use parquet::basic::{Encoding, PageType};
use parquet::file::metadata::{PageEncodingStats, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};

use crate::support::{Snapshot, ints, parquet, spec, table, with_where};

const COLUMNS: [&str; 4] = ["money", "number", "text", "time"];
const ROWS: i64 = 3_000;

/// Few values, many times; every seventh is null.
fn rows() -> RecordBatch {
    let some = |n: i64, of: i64| (n % 7 != 0).then_some(n % of);
    let text: StringArray = (0..ROWS).map(|n| some(n, 40).map(|n| format!("value number {n}"))).collect();
    #[allow(clippy::cast_precision_loss)] // small numbers
    let money: Float64Array = (0..ROWS).map(|n| some(n, 90).map(|n| n as f64 / 4.0)).collect();
    let time: TimestampMillisecondArray = (0..ROWS).map(|n| some(n, 11).map(|n| n * 86_400_000)).collect();
    table(vec![
        ("id", ints(&(0..ROWS).collect::<Vec<_>>())),
        ("text", Arc::new(text) as ArrayRef),
        ("money", Arc::new(money)),
        ("time", Arc::new(time)),
        ("number", ints(&(0..ROWS).map(|n| n % 5).collect::<Vec<_>>())),
    ])
}

fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_max_row_group_row_count(Some(1_100)).set_write_batch_size(64)
}

fn plain() -> Snapshot {
    Snapshot::of(vec![parquet(&rows(), properties().set_dictionary_enabled(false).build())])
}

#[test]
fn codes_hash_as_the_values_they_stand_for() {
    let view = spec("id", &COLUMNS);
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let coded = properties().set_writer_version(version).set_data_page_row_count_limit(200).build();
        let coded = Snapshot::of(vec![parquet(&rows(), coded)]);
        assert_eq!(coded.digest(&view).rows, plain().digest(&view).rows);
        // Some rows of a batch only; a column that is looked into besides is read as values.
        let view = with_where("number = 2 AND text LIKE '%7'", "id", &COLUMNS);
        let found = coded.digest(&view).rows;
        assert!(!found.is_empty());
        assert_eq!(found, plain().digest(&view).rows);
    }
}

#[test]
fn a_dictionary_that_its_writer_gave_up_is_not_relied_on() {
    let view = spec("id", &COLUMNS);
    let given_up = properties().set_dictionary_page_size_limit(200).set_data_page_row_count_limit(100).build();
    let given_up = parquet(&rows(), given_up);
    let text = ParquetMetaDataReader::new().parse_and_finish(&given_up).expect("a footer");
    let pages = text.row_group(0).column(1).page_encoding_stats_mask().expect("the writer tells");
    assert!(pages.is_set(Encoding::PLAIN) && pages.is_set(Encoding::RLE_DICTIONARY), "{pages:?}");
    assert_eq!(Snapshot::of(vec![given_up]).digest(&view).rows, plain().digest(&view).rows);
}

/// The file with a footer that says of every page that it is codes.
fn lying(file: &Bytes) -> Bytes {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(file).expect("a footer");
    let codes =
        || vec![PageEncodingStats { page_type: PageType::DATA_PAGE, encoding: Encoding::RLE_DICTIONARY, count: 1 }];
    let groups = metadata.row_groups().iter().map(|group| {
        let columns = group
            .columns()
            .iter()
            .map(|column| column.clone().into_builder().set_page_encoding_stats(codes()).build().expect("a column"));
        group.clone().into_builder().set_column_metadata(columns.collect()).build().expect("a row group")
    });
    let lie = ParquetMetaData::new(metadata.file_metadata().clone(), groups.collect());
    let footer = u32::from_le_bytes(*file[file.len() - 8..].first_chunk().expect("a length"));
    let mut out = file[..file.len() - 8 - footer as usize].to_vec();
    let mut writer = Vec::new();
    ParquetMetaDataWriter::new(&mut writer, &lie).finish().expect("a footer");
    out.extend(writer);
    out.into()
}

#[test]
fn a_footer_that_says_codes_where_there_are_none_is_found_out() {
    let given_up = properties().set_dictionary_page_size_limit(200).set_data_page_row_count_limit(100).build();
    let refused = Snapshot::of(vec![lying(&parquet(&rows(), given_up))]).try_digest(&spec("id", &COLUMNS));
    match refused {
        Err(SnapshotError::Refused { cause: Cause::Inconsistent(what), column: Some(_), .. }) => {
            assert_eq!(what, "a column has pages of an encoding that the footer does not tell of");
        }
        other => panic!("{other:?}"),
    }
    // Without a dictionary nothing is codes, whatever the footer says.
    let none = parquet(&rows(), properties().set_dictionary_enabled(false).build());
    let view = spec("id", &COLUMNS);
    assert_eq!(Snapshot::of(vec![lying(&none)]).digest(&view).rows, plain().digest(&view).rows);
}

#[test]
fn flipped_bits_of_codes_and_dictionaries_never_panic() {
    let file = parquet(&rows().slice(0, 60), properties().build());
    let view = spec("id", &COLUMNS);
    let mut refused = 0;
    for at in 4..file.len() - 8 {
        let mut changed = file.to_vec();
        changed[at] ^= 1 << (at % 8);
        refused += usize::from(Snapshot::of(vec![changed.into()]).try_digest(&view).is_err());
    }
    assert!(refused > 20, "{refused}");
}
