//! The pages of which a condition selects nothing.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};

use crate::parquet_file::Statistics;
use crate::sql::{Bounds, Prunable};

/// Rows of row groups that one view may select, as far as the page index tells; of row groups that are not here, all.
#[derive(Debug, Default)]
pub(super) struct Pruned(BTreeMap<usize, Vec<Range<u64>>>);

impl Pruned {
    /// Looks at the pages of one row group. A row group whose pages are known of no column stays whole.
    pub(super) async fn look(
        &mut self,
        statistics: &Statistics<'_, '_>,
        prunable: &Prunable,
        group: usize,
        rows: u64,
        most: u64,
    ) {
        let mut known: BTreeMap<String, Vec<(Range<u64>, Bounds)>> = BTreeMap::new();
        for column in prunable.columns() {
            if let Some(pages) = statistics.pages(group, &column, most).await {
                known.insert(column, pages);
            }
        }
        if known.is_empty() {
            return;
        }
        let starts: BTreeSet<u64> = known.values().flatten().map(|(rows, _)| rows.start).collect();
        let ends = starts.iter().copied().skip(1).chain([rows]);
        let mut may = Vec::new();
        for (start, end) in starts.iter().copied().zip(ends) {
            let bounds = |column: &str| {
                let pages = known.get(column).map(Vec::as_slice);
                let page = pages.and_then(|pages| {
                    let after = pages.partition_point(|(rows, _)| rows.start <= start);
                    pages.get(after.checked_sub(1)?)
                });
                page.map_or_else(|| statistics.bounds(group, column), |(_, bounds)| bounds.clone())
            };
            if prunable.may_be_true(&bounds) {
                may.push(start..end);
            }
        }
        self.0.insert(group, may);
    }

    /// The rows of a row group; `None`: all.
    pub(super) fn rows(&self, group: usize) -> Option<&[Range<u64>]> {
        self.0.get(&group).map(Vec::as_slice)
    }

    /// The places of the rows that any view may select, if they are few enough for it to be worth while: skipping costs, too.
    pub(super) fn together<'r>(views: impl Iterator<Item = Option<&'r [Range<u64>]>>, all: u64) -> Option<Vec<u32>> {
        let ranges: Option<Vec<&[Range<u64>]>> = views.collect();
        let ranges: BTreeSet<(u64, u64)> = ranges?.concat().iter().map(|rows| (rows.start, rows.end)).collect();
        let mut places = Vec::new();
        let mut next = 0;
        for (start, end) in ranges {
            let rows = start.max(next)..end;
            next = next.max(end);
            if places.len() as u64 + rows.end.saturating_sub(rows.start) > all / 2 {
                return None;
            }
            places.extend(rows.filter_map(|row| u32::try_from(row).ok()));
        }
        Some(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_any_view_may_select_are_read_once() {
        let ranges = |pairs: &[(u64, u64)]| pairs.iter().map(|(start, end)| *start..*end).collect::<Vec<_>>();
        let (a, b) = (ranges(&[(0, 3), (10, 12)]), ranges(&[(2, 4), (10, 12)]));
        let together = |views: &[Option<&[Range<u64>]>], all| Pruned::together(views.iter().copied(), all);
        assert_eq!(together(&[Some(&a), Some(&b)], 20), Some(vec![0, 1, 2, 3, 10, 11]));
        assert_eq!(together(&[Some(&a), Some(&b)], 11), None, "more than half");
        assert_eq!(together(&[Some(&a), None], 20), None, "one needs all");
        assert_eq!(together(&[Some(&[])], 20), Some(Vec::new()));
    }
}
