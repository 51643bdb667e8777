use core::future::poll_fn;
use core::pin::Pin;
use core::task::Poll;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use super::buffers::Buffers;
use super::fetch::{Request, coalesce};
use super::file::ParquetFile;
use super::row_group::{RowGroup, refused};
use crate::{Cause, Limits, SnapshotError};

/// The least and the most that one request asks for one column.
const WINDOW: (u64, u64) = (128 << 10, 8 << 20);

/// Row groups that are open at once, at most: each has its decoders.
const MAX_OPEN: usize = 32;

/// Some rows of a file, one after the other.
pub(crate) struct Batch {
    pub(crate) row_group: usize,
    /// The place of the first row within the row group.
    pub(crate) first_row: u32,
    /// The places of all of them, where they do not follow each other.
    pub(crate) places: Option<Vec<u32>>,
    pub(crate) rows: RecordBatch,
}

impl Batch {
    /// The place within the row group of a row of the batch.
    #[inline]
    pub(crate) fn place(&self, row: u32) -> u32 {
        match &self.places {
            None => self.first_row.saturating_add(row),
            Some(places) => places.get(row as usize).copied().unwrap_or(u32::MAX),
        }
    }
}

/// A row group to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its number.
    pub(crate) index: usize,
    /// The places of the rows that are wanted, in order; `None`: all.
    pub(crate) rows: Option<Vec<u32>>,
}

/// What is read of a file.
pub(crate) struct Columns {
    /// The columns, as they are in the file.
    pub(crate) schema: SchemaRef,
    /// Those of which nobody needs more than a hash of each value: they may come as a dictionary and codes.
    pub(crate) only_hashed: BTreeSet<String>,
}

/// Reads the rows of some columns of some row groups, batch by batch, in the order of the file.
///
/// While one batch is being worked on, the bytes of the next ones are on their way: the requests that are under way are
/// polled before every batch, and the next row groups are begun when all of the ones before have been asked for.
pub(crate) struct Scan<'f, 'a> {
    file: &'f ParquetFile<'a>,
    columns: Columns,
    limits: &'f Limits,
    window: u64,
    buffers: Buffers,
    /// The row group that is being decoded, then those that are read ahead.
    open: VecDeque<RowGroup>,
    /// The row groups that are not open yet.
    next: std::vec::IntoIter<Group>,
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Fetched> + Send + 'f>>>,
    /// Bytes fetched so far.
    pub(crate) fetched: u64,
}

struct Fetched {
    request: Request,
    bytes: Result<(Bytes, u64), SnapshotError>,
}

impl<'f, 'a> Scan<'f, 'a> {
    /// Reads the columns called `names`, which must be columns of the file, in that order.
    pub(crate) fn new(
        file: &'f ParquetFile<'a>,
        groups: Vec<Group>,
        names: &[String],
        limits: &'f Limits,
        buffers: Buffers,
    ) -> Self {
        let roots: Vec<_> = names.iter().filter_map(|n| file.root(n)).collect();
        let fields: Vec<_> = roots.iter().map(|r| Arc::clone(&r.field)).collect();
        let leaves: usize = roots.iter().map(|r| r.leaves.len()).sum();
        let window = (limits.read_ahead_bytes / (3 * leaves.max(1) as u64)).clamp(WINDOW.0, WINDOW.1);
        Self {
            file,
            columns: Columns { schema: SchemaRef::new(Schema::new(fields)), only_hashed: BTreeSet::new() },
            limits,
            window,
            buffers,
            open: VecDeque::new(),
            next: groups.into_iter(),
            under_way: FuturesUnordered::new(),
            fetched: 0,
        }
    }

    /// Of these columns nobody needs more than a hash of each value: where the file has a dictionary for all of them, the column is
    /// a dictionary array.
    pub(crate) fn only_hashing(mut self, columns: BTreeSet<String>) -> Self {
        self.columns.only_hashed = columns;
        self
    }

    /// The columns of the batches, in their order.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.columns.schema
    }

    /// The next batch, or `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Batch>, SnapshotError> {
        loop {
            while self.open.pop_front_if(|group| group.emitted == group.rows).is_some() {}
            if self.open.is_empty() && !self.open_next()? {
                return Ok(None);
            }
            while let Some(Some(fetched)) = self.under_way.next().now_or_never() {
                self.take(fetched)?;
            }
            self.request();
            if self.open.front().is_some_and(RowGroup::is_ready) {
                if !self.under_way.is_empty() {
                    // Whoever drives the requests (a runtime of one thread) gets a turn.
                    yield_now().await;
                }
                if let Some(group) = self.open.front_mut() {
                    let (first_row, places) = (group.first_row(), group.places());
                    let rows = group.decode(self.file)?;
                    return Ok(Some(Batch { row_group: group.index, first_row, places, rows }));
                }
            }
            let Some(fetched) = self.under_way.next().await else {
                // A complete chunk is always ready, and an incomplete one always has something to ask for.
                let index = self.open.front().map_or(0, |g| g.index);
                let cause = Cause::Inconsistent("a column has fewer pages than it declares");
                return Err(refused(self.file, index, None, cause));
            };
            self.take(fetched)?;
        }
    }

    /// Opens the next row group that has rows.
    fn open_next(&mut self) -> Result<bool, SnapshotError> {
        let groups = self.file.metadata.row_groups();
        // Peeked at first: one that cannot be opened is met again when its turn comes.
        while let Some(Group { index, rows }) = self.next.as_slice().first() {
            let any = rows.as_ref().is_none_or(|rows| !rows.is_empty());
            let opened = if any && groups.get(*index).is_some_and(|group| group.num_rows() > 0) {
                Some(RowGroup::open(self.file, *index, rows.as_deref(), &self.columns, self.limits, &self.buffers)?)
            } else {
                None
            };
            self.next.next();
            if let Some(opened) = opened {
                self.open.push_back(opened);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks for more, as far as the budget goes.
    fn request(&mut self) {
        let window = self.window;
        let mut pieces = Vec::new();
        let mut held = 0;
        let mut at = 0;
        loop {
            if at == self.open.len() {
                // A row group that cannot be opened is reported when its turn comes.
                let room = held < self.limits.read_ahead_bytes / 2 && at < MAX_OPEN;
                if !room || !matches!(self.open_next(), Ok(true)) {
                    break;
                }
            }
            let group = &mut self.open[at];
            let row = group.next_row();
            let mut requested = true;
            for (i, chunk) in group.chunks.iter_mut().enumerate() {
                // What the next batch needs is read whatever the budget says.
                if ((at == 0 && !chunk.has(row)) || chunk.held() < window)
                    && let Some(range) = chunk.request(window)
                {
                    pieces.push(((group.index, i), range));
                }
                held += chunk.held();
                requested &= chunk.is_requested();
            }
            if !requested {
                break;
            }
            at += 1;
        }
        for request in coalesce(pieces) {
            let file = self.file;
            self.under_way.push(Box::pin(async move {
                let bytes = file.bytes(request.range.clone()).await;
                Fetched { request, bytes }
            }));
        }
    }

    fn take(&mut self, fetched: Fetched) -> Result<(), SnapshotError> {
        let Fetched { request, bytes } = fetched;
        let (bytes, count) = bytes?;
        self.fetched += count;
        for ((row_group, chunk), range) in request.pieces {
            let Some(group) = self.open.iter_mut().find(|g| g.index == row_group) else { continue };
            let start = usize::try_from(range.start - request.range.start).unwrap_or(usize::MAX);
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let piece = bytes.slice(start..start + length);
            if let Err(cause) = group.chunks[chunk].feed(piece) {
                return Err(refused(self.file, row_group, group.column_of(chunk), cause));
            }
        }
        Ok(())
    }
}

/// Lets other tasks run, once.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
