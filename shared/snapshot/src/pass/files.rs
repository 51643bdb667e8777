use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use driftless_model::ObjectVersion;
use driftless_objects::Objects;
use futures::{StreamExt, TryStreamExt, stream};

use crate::parquet_file::{Buffers, Group, ParquetFile, Scan};
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

/// Footers that are read at a time.
const FOOTERS: usize = 8;
/// Bytes of parsed footers that are kept; the files beyond are opened again when they are read.
const KEPT: u64 = 48 << 20;

/// All files of a snapshot, their footers read.
pub(super) struct Survey<'a> {
    pub(super) source: Source<'a>,
    opened: Vec<Option<Arc<ParquetFile<'a>>>>,
    layout: Arc<Layout>,
    fetched: AtomicU64,
    /// For the pages of all lanes and files.
    buffers: Buffers,
}

/// How many rows each row group of each file has: what the position of a row means.
#[derive(Debug, Default)]
pub(super) struct Layout {
    files: Vec<FileRows>,
    rows: u64,
}

#[derive(Debug)]
struct FileRows {
    /// The position of its first row in the snapshot.
    first: u32,
    of_groups: Vec<u32>,
}

impl Layout {
    /// Where rows lie, which are in order: for each file that has some, and in it for each row group that has some, their
    /// places in it. Positions beyond the last row are left out.
    pub(super) fn find(&self, rows: impl Iterator<Item = u32>) -> Vec<(usize, Vec<Group>)> {
        let mut found: Vec<(usize, Vec<Group>)> = Vec::new();
        let groups = self.files.iter().enumerate().flat_map(|(number, file)| {
            let mut first = file.first;
            file.of_groups.iter().enumerate().map(move |(group, rows)| {
                let begin = first;
                first = first.saturating_add(*rows);
                (number, group, begin, first)
            })
        });
        let mut rows = rows.peekable();
        for (file, index, first, end) in groups {
            let mut places = Vec::new();
            while let Some(row) = rows.next_if(|row| *row < end) {
                places.push(row - first);
            }
            if places.is_empty() {
                continue;
            }
            let group = Group { index, rows: Some(places) };
            match found.last_mut().filter(|(last, _)| *last == file) {
                Some((_, groups)) => groups.push(group),
                None => found.push((file, vec![group])),
            }
        }
        found
    }
}

/// Some row groups of one file, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) file: usize,
    pub(super) groups: Vec<usize>,
}

impl Stretch {
    /// The row groups, to be read whole.
    pub(super) fn whole(&self) -> Vec<Group> {
        self.groups.iter().map(|group| Group { index: *group, rows: None }).collect()
    }
}

/// A place in a snapshot: file, then 0 for what concerns the file or 1 + the row group. Of several errors the first counts,
/// whichever lane met it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

impl Place {
    pub(super) const NOWHERE: Self = Self(u64::MAX);

    pub(super) const fn file(file: usize) -> Self {
        Self((file as u64) << 32)
    }

    pub(super) const fn group(file: usize, group: usize) -> Self {
        Self((file as u64) << 32 | (group as u64 + 1))
    }
}

/// The first place that lanes have met an error at.
pub(super) struct First(AtomicU64);

impl Default for First {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl First {
    pub(super) fn meet(&self, place: Place) {
        self.0.fetch_min(place.0, Ordering::Relaxed);
    }

    pub(super) fn place(&self) -> Place {
        Place(self.0.load(Ordering::Relaxed))
    }
}

impl<'a> Survey<'a> {
    /// Reads every footer, some at a time.
    pub(super) async fn of(source: Source<'a>) -> Result<Self, SnapshotError> {
        if source.parts.is_empty() {
            return Err(SnapshotError::NoFiles);
        }
        let Source { objects, parts, limits } = source;
        let footers = parts.iter().map(|part| async move {
            let mut fetched = 0;
            ParquetFile::open(objects, part, limits, &mut fetched).await.map(|file| (file, fetched))
        });
        let mut footers = stream::iter(footers).buffered(FOOTERS).boxed();
        let mut survey = Self {
            source,
            opened: Vec::with_capacity(parts.len()),
            layout: Arc::default(),
            fetched: AtomicU64::new(0),
            buffers: Buffers::default(),
        };
        let mut layout = Layout::default();
        let limit = limits.rows.min(u32::MAX.into());
        let mut kept = 0;
        while let Some((file, fetched)) = footers.try_next().await? {
            survey.count(fetched);
            let first = u32::try_from(layout.rows).unwrap_or(u32::MAX);
            layout.rows = layout.rows.saturating_add(file.rows());
            if layout.rows > limit {
                let cause = Cause::TooLarge { what: "the number of rows", found: layout.rows, limit };
                let object = file.object.key.clone();
                return Err(SnapshotError::Refused { object, row_group: None, column: None, cause });
            }
            let of_groups = file.group_rows().map(|rows| u32::try_from(rows).unwrap_or(u32::MAX)).collect();
            layout.files.push(FileRows { first, of_groups });
            kept += file.held();
            survey.opened.push((survey.opened.is_empty() || kept <= KEPT).then(|| Arc::new(file)));
        }
        survey.layout = Arc::new(layout);
        Ok(survey)
    }

    /// A survey made before, of the same source; footers are read as files are opened.
    pub(super) fn again(source: Source<'a>, layout: Arc<Layout>) -> Self {
        let (fetched, buffers) = (AtomicU64::new(0), Buffers::default());
        Self { source, opened: Vec::new(), layout, fetched, buffers }
    }

    /// How the rows lie.
    pub(super) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Rows of the snapshot.
    pub(super) fn rows(&self) -> u64 {
        self.layout.rows
    }

    /// Bytes fetched so far.
    pub(super) fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, fetched: u64) {
        self.fetched.fetch_add(fetched, Ordering::Relaxed);
    }

    /// One of the files.
    pub(super) async fn open(&self, file: usize) -> Result<Arc<ParquetFile<'a>>, SnapshotError> {
        if let Some(Some(opened)) = self.opened.get(file) {
            return Ok(Arc::clone(opened));
        }
        let Source { objects, parts, limits } = self.source;
        let object = parts.get(file).ok_or(SnapshotError::NoFiles)?;
        let mut fetched = 0;
        let opened = ParquetFile::open(objects, object, limits, &mut fetched).await?;
        self.count(fetched);
        Ok(Arc::new(opened))
    }

    /// Reads some columns of some row groups of a file, which must have them.
    pub(super) fn scan<'f>(
        &self,
        file: &'f ParquetFile<'a>,
        groups: Vec<Group>,
        columns: &BTreeSet<String>,
        limits: &'f Limits,
    ) -> Scan<'f, 'a> {
        let names: Vec<String> = columns.iter().cloned().collect();
        Scan::new(file, groups, &names, limits, self.buffers.clone())
    }

    /// The position in the snapshot of the first row of a row group.
    pub(super) fn first_row(&self, file: usize, group: usize) -> u32 {
        let Some(rows) = self.layout.files.get(file) else { return u32::MAX };
        rows.of_groups.iter().take(group).fold(rows.first, |row, rows| row.saturating_add(*rows))
    }

    /// Deals the row groups to the lanes, so that each has about as many rows. Every file is some lane's, and each lane's
    /// stretches are in the order of the files.
    pub(super) fn deal(&self, lanes: usize) -> Vec<Vec<Stretch>> {
        let mut shares: Vec<(u64, Vec<Stretch>)> = (0..lanes.max(1)).map(|_| (0, Vec::new())).collect();
        for (file, rows) in self.layout.files.iter().enumerate() {
            let all = 0..rows.of_groups.len();
            let is_open = self.opened.get(file).is_some_and(Option::is_some);
            let units: Vec<core::ops::Range<usize>> = if !is_open || all.is_empty() {
                // Whoever reads it opens it again: one lane, then.
                vec![all]
            } else {
                all.map(|group| group..group + 1).collect()
            };
            for groups in units {
                let Some((load, share)) = shares.iter_mut().min_by_key(|(load, _)| *load) else { continue };
                *load += rows.of_groups[groups.clone()].iter().copied().map(u64::from).sum::<u64>();
                match share.last_mut().filter(|s| s.file == file) {
                    Some(stretch) => stretch.groups.extend(groups),
                    None => share.push(Stretch { file, groups: groups.collect() }),
                }
            }
        }
        shares.into_iter().map(|(_, share)| share).filter(|share| !share.is_empty()).collect()
    }

    /// What one lane may use, where there are so many.
    pub(super) fn lane_limits(&self, lanes: usize) -> Limits {
        let limits = self.source.limits;
        Limits { read_ahead_bytes: limits.read_ahead_bytes / lanes.max(1) as u64, ..limits.clone() }
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
