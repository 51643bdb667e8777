/// The most that one data request may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimit {
    /// Records.
    pub records: u32,
    /// Bytes of the rows' share of the body, envelope subtracted by the caller; `None`: no limit.
    pub bytes: Option<u64>,
}

/// One call: rows `first .. first + rows` of the slice that was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRange {
    /// Index of the first row.
    pub first: usize,
    /// Rows.
    pub rows: u32,
}

/// Cuts rows of the given sizes, in order, into the fewest calls within both limits. A row that alone is larger than the
/// byte limit must have been refused before; if one comes it gets a call of its own.
///
/// Greedy from the left is minimal for contiguous ranges: any other cut's k-th boundary lies no further to the right.
#[must_use]
pub fn pack(sizes: &[u64], limit: BatchLimit) -> Vec<CallRange> {
    let records = limit.records.max(1);
    let mut calls: Vec<CallRange> = Vec::new();
    let mut bytes = 0u64;
    for (i, size) in sizes.iter().enumerate() {
        let fits =
            |c: &CallRange| c.rows < records && limit.bytes.is_none_or(|most| bytes.saturating_add(*size) <= most);
        match calls.last_mut() {
            Some(call) if fits(call) => {
                call.rows += 1;
                bytes = bytes.saturating_add(*size);
            }
            _ => {
                calls.push(CallRange { first: i, rows: 1 });
                bytes = *size;
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fewest(sizes: &[u64], limit: BatchLimit) -> usize {
        // Shortest path over all contiguous cuts.
        let n = sizes.len();
        let mut best = vec![usize::MAX; n + 1];
        best[0] = 0;
        for end in 1..=n {
            for start in 0..end {
                let bytes: u64 = sizes[start..end].iter().sum();
                let fits = end - start <= limit.records as usize && limit.bytes.is_none_or(|b| bytes <= b);
                if fits && best[start] != usize::MAX {
                    best[end] = best[end].min(best[start] + 1);
                }
            }
        }
        best[n]
    }

    proptest! {
        #[test]
        fn packing_loses_nothing_keeps_both_limits_and_is_minimal(
            sizes in prop::collection::vec(1u64..20, 0..40), records in 1u32..8, bytes in prop::option::of(20u64..60),
        ) {
            let limit = BatchLimit { records, bytes };
            let calls = pack(&sizes, limit);
            let mut next = 0;
            for c in &calls {
                prop_assert_eq!(c.first, next);
                next += c.rows as usize;
                let sum: u64 = sizes[c.first..next].iter().sum();
                prop_assert!(c.rows <= records && bytes.is_none_or(|b| sum <= b));
            }
            prop_assert_eq!(next, sizes.len());
            prop_assert_eq!(calls.len(), fewest(&sizes, limit));
        }
    }
}
