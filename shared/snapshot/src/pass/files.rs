use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use driftless_model::ObjectVersion;
use driftless_objects::Objects;

use crate::parquet_file::{ParquetFile, Scan};
use crate::sql::Evaluated;
use crate::{Cause, Limits, SnapshotError, ViewError};

/// The files of one snapshot, and what may be spent on reading them.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The bucket.
    pub objects: &'a dyn Objects,
    /// The part files, by the versions named when the snapshot was taken up.
    pub parts: &'a [ObjectVersion],
    /// What the files may ask for.
    pub limits: &'a Limits,
}

/// The columns of a snapshot, as its first file has them. A column whose type cannot be decoded is left out.
///
/// # Errors
/// [`SnapshotError::Refused`] if the file's footer cannot be used.
pub async fn schema(source: Source<'_>) -> Result<SchemaRef, SnapshotError> {
    let first = source.parts.first().ok_or(SnapshotError::NoFiles)?;
    Ok(ParquetFile::open(source.objects, first, source.limits, &mut 0).await?.schema())
}

/// Opens the files of a source one after the other, and counts.
pub(super) struct Files<'a> {
    pub(super) source: Source<'a>,
    next: usize,
    rows: u64,
    /// Bytes fetched so far.
    pub(super) fetched: u64,
}

impl<'a> Files<'a> {
    pub(super) fn new(source: Source<'a>) -> Result<Self, SnapshotError> {
        if source.parts.is_empty() {
            return Err(SnapshotError::NoFiles);
        }
        Ok(Self { source, next: 0, rows: 0, fetched: 0 })
    }

    pub(super) async fn next(&mut self) -> Result<Option<ParquetFile<'a>>, SnapshotError> {
        let Source { objects, parts, limits } = self.source;
        let Some(part) = parts.get(self.next) else { return Ok(None) };
        self.next += 1;
        let file = ParquetFile::open(objects, part, limits, &mut self.fetched).await?;
        self.rows = self.rows.saturating_add(file.rows());
        if self.rows > limits.rows {
            let cause = Cause::TooLarge { what: "the number of rows", found: self.rows, limit: limits.rows };
            let object = part.key.clone();
            return Err(SnapshotError::Refused { object, row_group: None, column: None, cause });
        }
        Ok(Some(file))
    }

    /// Reads some columns of a file, which must have them.
    pub(super) fn scan<'f>(&self, file: &'f ParquetFile<'a>, columns: &BTreeSet<String>) -> Scan<'f, 'a>
    where
        'a: 'f,
    {
        let names: Vec<String> = columns.iter().cloned().collect();
        Scan::new(file, &names, self.source.limits)
    }
}

/// Says of a missing column that it is there and cannot be read, if that is so.
pub(super) fn unreadable(file: &ParquetFile<'_>, error: ViewError) -> ViewError {
    match error {
        ViewError::MissingColumn { column, named_in, nearest } => {
            match file.unreadable().find(|(name, _)| *name == column) {
                Some((_, why)) => ViewError::WrongType {
                    column,
                    named_in,
                    found: format!("of a type that cannot be read ({why})"),
                    needs: "leave it out, or write it with another type",
                },
                None => ViewError::MissingColumn { column, named_in, nearest },
            }
        }
        other => other,
    }
}

/// Adds the place in the snapshot to a failed evaluation.
pub(super) fn located(error: Evaluated, file: &ParquetFile<'_>, row_group: usize) -> ViewError {
    let Evaluated { expression, failure, message } = error;
    if let Some(message) = message {
        return ViewError::Sql { at: None, message: format!("{expression}: {message}") };
    }
    ViewError::Evaluation { expression, failure, object: file.object.key.clone(), row_group }
}
