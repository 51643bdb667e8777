use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use driftless_model::ObjectVersion;
use driftless_objects::Objects;
use parquet::file::metadata::{
    ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
};

use super::{footer, schema};
use crate::{Cause, Limits, SnapshotError};

/// The last bytes of a file, read in one request: enough for most footers, and for the whole of a small file.
const TAIL: u64 = 256 << 10;
const MAGIC: &[u8; 4] = b"PAR1";
const MAGIC_ENCRYPTED: &[u8; 4] = b"PARE";
/// Length and magic.
const SUFFIX: u64 = 8;

/// One Parquet object, opened: its footer is read and plausible.
pub(crate) struct ParquetFile<'a> {
    objects: &'a dyn Objects,
    pub(crate) object: &'a ObjectVersion,
    pub(crate) metadata: Arc<ParquetMetaData>,
    /// Where the footer begins; no page lies beyond.
    pub(crate) data_end: u64,
    roots: Vec<Result<schema::Root, String>>,
    names: Vec<String>,
    tail: Bytes,
}

impl<'a> ParquetFile<'a> {
    /// Reads and checks the footer. Returns the bytes that were fetched beside the file.
    pub(crate) async fn open(
        objects: &'a dyn Objects,
        object: &'a ObjectVersion,
        limits: &Limits,
        fetched: &mut u64,
    ) -> Result<Self, SnapshotError> {
        let refuse = |cause| refused(object, cause);
        let size = object.size;
        if size < MAGIC.len() as u64 + SUFFIX {
            return Err(refuse(Cause::NotParquet));
        }
        let tail_start = size.saturating_sub(TAIL);
        let mut tail = read(objects, object, tail_start..size, fetched).await?;
        let suffix = tail.len() - 8;
        let magic = &tail[suffix + 4..];
        if magic == MAGIC_ENCRYPTED {
            return Err(refuse(Cause::Encrypted));
        }
        if magic != MAGIC {
            let head = read(objects, object, 0..4, fetched).await?;
            let begun = head.as_ref() == MAGIC || head.as_ref() == MAGIC_ENCRYPTED;
            return Err(refuse(if begun { Cause::NoFooter } else { Cause::NotParquet }));
        }
        let mut length = [0; 4];
        length.copy_from_slice(&tail[suffix..suffix + 4]);
        let length = u64::from(u32::from_le_bytes(length));
        let room = size - SUFFIX - MAGIC.len() as u64;
        if length > room {
            return Err(refuse(Cause::Truncated { what: "the footer", needed: length, found: room }));
        }
        if length > limits.footer_bytes {
            return Err(refuse(Cause::TooLarge {
                what: "the footer in bytes",
                found: length,
                limit: limits.footer_bytes,
            }));
        }
        let data_end = size - SUFFIX - length;
        if data_end < tail_start {
            let rest = read(objects, object, data_end..tail_start, fetched).await?;
            tail = [rest, tail].concat().into();
        }
        let start = tail.len() - to_usize(SUFFIX + length);
        let footer = tail.slice(start..start + to_usize(length));
        let metadata = parse(&footer).map_err(refuse)?;
        check_rows(&metadata).map_err(refuse)?;
        let mut file = Self {
            objects,
            object,
            metadata: Arc::new(metadata),
            data_end,
            roots: Vec::new(),
            names: Vec::new(),
            tail,
        };
        file.describe(limits)?;
        Ok(file)
    }

    fn describe(&mut self, limits: &Limits) -> Result<(), SnapshotError> {
        let descriptor = self.metadata.file_metadata().schema_descr();
        let columns = descriptor.root_schema().get_fields();
        for i in 0..descriptor.num_columns() {
            let column = descriptor.column(i);
            let length = u64::try_from(column.type_length()).unwrap_or(0);
            if length > limits.fixed_bytes {
                return Err(SnapshotError::Refused {
                    object: self.object.key.clone(),
                    row_group: None,
                    column: Some(column.path().string()),
                    cause: Cause::TooLarge {
                        what: "the length of a fixed-length value in bytes",
                        found: length,
                        limit: limits.fixed_bytes,
                    },
                });
            }
        }
        let mut leaf = 0;
        let (mut roots, mut names) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
        for column in columns {
            let first = leaf;
            leaf += schema::leaves(column);
            let root = catch_unwind(AssertUnwindSafe(|| schema::root(column, first)));
            roots.push(match root {
                Ok(root) => root.map_err(|e| e.to_string()),
                Err(_) => Err("its type cannot be converted".to_owned()),
            });
            names.push(column.name().to_owned());
        }
        let mut seen = BTreeMap::<&str, usize>::new();
        for (i, name) in names.iter().enumerate() {
            if let Some(first) = seen.insert(name, i) {
                for twin in [first, i] {
                    roots[twin] = Err("the file has several columns of this name".to_owned());
                }
            }
        }
        (self.roots, self.names) = (roots, names);
        Ok(())
    }

    /// The columns that can be read. A column of a type that cannot be decoded is left out: it matters to nobody who
    /// does not map it.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.roots.iter().flatten().map(|r| Arc::clone(&r.field)).collect::<Vec<Arc<Field>>>()))
    }

    /// The names of the columns that cannot be decoded, with the reason.
    pub(crate) fn unreadable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().zip(&self.roots).filter_map(|(n, r)| r.as_ref().err().map(|e| (n.as_str(), e.as_str())))
    }

    /// The column that is called `name`.
    pub(crate) fn root(&self, name: &str) -> Option<&schema::Root> {
        self.roots.iter().flatten().find(|r| r.field.name() == name)
    }

    /// Rows as the footer states them for the row groups.
    pub(crate) fn rows(&self) -> u64 {
        self.metadata.row_groups().iter().filter_map(|g| u64::try_from(g.num_rows()).ok()).sum()
    }

    /// The footer as it stands in the file.
    pub(super) fn footer(&self) -> Bytes {
        let length = to_usize(self.object.size - SUFFIX - self.data_end);
        let end = self.tail.len() - to_usize(SUFFIX);
        self.tail.slice(end - length..end)
    }

    /// Rows of each row group.
    pub(crate) fn group_rows(&self) -> impl Iterator<Item = u64> {
        self.metadata.row_groups().iter().map(|g| u64::try_from(g.num_rows()).unwrap_or(0))
    }

    /// About how many bytes of memory it takes while it is open.
    pub(crate) fn held(&self) -> u64 {
        self.tail.len() as u64 + 8 * (self.object.size - self.data_end)
    }

    /// Bytes of the file, and how many of them had to be fetched: what was read with the footer is not read again.
    pub(crate) async fn bytes(&self, range: core::ops::Range<u64>) -> Result<(Bytes, u64), SnapshotError> {
        let tail_start = self.object.size - self.tail.len() as u64;
        let held = |range: core::ops::Range<u64>| {
            self.tail.slice(to_usize(range.start - tail_start)..to_usize(range.end - tail_start))
        };
        if range.start >= tail_start {
            return Ok((held(range), 0));
        }
        let mut fetched = 0;
        let bytes = read(self.objects, self.object, range.start..range.end.min(tail_start), &mut fetched).await?;
        if range.end <= tail_start {
            return Ok((bytes, fetched));
        }
        Ok(([bytes, held(tail_start..range.end)].concat().into(), fetched))
    }
}

/// Lengths here are bounded by a limit or by bytes that are in memory.
fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

async fn read(
    objects: &dyn Objects,
    object: &ObjectVersion,
    range: core::ops::Range<u64>,
    fetched: &mut u64,
) -> Result<Bytes, SnapshotError> {
    let needed = range.end - range.start;
    let bytes = objects.read_range(object, range).await?;
    *fetched += bytes.len() as u64;
    if bytes.len() as u64 == needed {
        return Ok(bytes);
    }
    Err(refused(object, Cause::Truncated { what: "a ranged read", needed, found: bytes.len() as u64 }))
}

pub(crate) fn refused(object: &ObjectVersion, cause: Cause) -> SnapshotError {
    SnapshotError::Refused { object: object.key.clone(), row_group: None, column: None, cause }
}

fn parse(bytes: &[u8]) -> Result<ParquetMetaData, Cause> {
    footer::check(bytes)?;
    let options = ParquetMetaDataOptions::new()
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_encoding_stats_as_mask(true)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
    let parsed =
        catch_unwind(AssertUnwindSafe(|| ParquetMetaDataReader::decode_metadata_with_options(bytes, Some(&options))));
    match parsed {
        Ok(Ok(metadata)) => Ok(metadata),
        Ok(Err(e)) => Err(Cause::Footer(e.to_string())),
        Err(_) => Err(Cause::Footer("it cannot be parsed".to_owned())),
    }
}

fn check_rows(metadata: &ParquetMetaData) -> Result<(), Cause> {
    let mut sum = 0_i64;
    for group in metadata.row_groups() {
        if group.num_rows() < 0 {
            return Err(Cause::Inconsistent("a row group has a negative number of rows"));
        }
        sum = sum.checked_add(group.num_rows()).ok_or(Cause::Inconsistent("the numbers of rows overflow"))?;
    }
    // Some writers leave the file's own count at 0.
    if ![0, sum].contains(&metadata.file_metadata().num_rows()) {
        return Err(Cause::Inconsistent("the rows of the row groups are not the rows of the file"));
    }
    Ok(())
}
