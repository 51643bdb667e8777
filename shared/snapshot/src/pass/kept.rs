use std::sync::atomic::{AtomicU64, Ordering};

use driftless_config::Selection;

use super::rows::RowReader;
use crate::{Limits, SnapshotError, ViewSpec};

/// What all lanes keep of the rows that are selected, counted against the limit.
pub(super) struct Kept {
    /// Bytes of a row of each view, and whether it selects every row.
    views: Vec<(u64, bool)>,
    bytes: AtomicU64,
    rows: AtomicU64,
    limit: u64,
}

impl Kept {
    pub(super) fn new<'v>(limits: &Limits, views: impl Iterator<Item = &'v ViewSpec>) -> Self {
        let views = views.map(|spec| (RowReader::row_bytes(spec), matches!(spec.selection, Selection::Everything)));
        let (bytes, rows) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { views: views.collect(), bytes, rows, limit: limits.kept_bytes }
    }

    /// Says before anything is read that it cannot fit, if that is sure.
    pub(super) fn check(&self, rows: u64) -> Result<(), SnapshotError> {
        let whole = || self.views.iter().filter(|(_, all)| *all).map(|(bytes, _)| rows.saturating_mul(*bytes));
        let needed = whole().fold(0, u64::saturating_add);
        if needed <= self.limit {
            return Ok(());
        }
        let rows = rows.saturating_mul(whole().count() as u64);
        Err(SnapshotError::DoesNotFit { rows, needed, limit: self.limit })
    }

    pub(super) fn add(&self, view: usize, rows: u64) -> Result<(), SnapshotError> {
        let bytes = rows * self.views.get(view).map_or(0, |(bytes, _)| *bytes);
        let needed = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        if needed <= self.limit { Ok(()) } else { Err(SnapshotError::DoesNotFit { rows, needed, limit: self.limit }) }
    }
}
