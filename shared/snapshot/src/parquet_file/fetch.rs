use core::ops::Range;

/// Bytes between two ranges that are cheaper to read than a second request.
const GAP: u64 = 256 << 10;
/// Bytes of one request that was made of several.
const MAX_MERGED: u64 = 16 << 20;

/// A piece of a request: the row group and the chunk in it that it is for, and where it lies in the file.
pub(crate) type Piece = ((usize, usize), Range<u64>);

/// One ranged read, and the pieces that are cut out of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) range: Range<u64>,
    pub(crate) pieces: Vec<Piece>,
}

/// Puts neighbouring pieces into one request each.
pub(crate) fn coalesce(mut pieces: Vec<Piece>) -> Vec<Request> {
    pieces.sort_by_key(|(_, range)| range.start);
    let mut requests: Vec<Request> = Vec::new();
    for (chunk, range) in pieces {
        match requests.last_mut() {
            Some(last)
                if range.start <= last.range.end + GAP && range.end.saturating_sub(last.range.start) <= MAX_MERGED =>
            {
                last.range.end = last.range.end.max(range.end);
                last.pieces.push((chunk, range));
            }
            _ => requests.push(Request { range: range.clone(), pieces: vec![(chunk, range)] }),
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_request_and_strangers_do_not() {
        let far = 100 << 20;
        let requests = coalesce(vec![((0, 1), 500..900), ((0, 0), 4..500), ((1, 0), far..far + 10)]);
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0], Request { range: 4..900, pieces: vec![((0, 0), 4..500), ((0, 1), 500..900)] });
    }

    #[test]
    fn a_request_does_not_grow_without_end() {
        let mib = 1 << 20;
        let requests = coalesce((0..40).map(|i| ((0, i), i as u64 * mib..(i as u64 + 1) * mib)).collect());
        assert!(requests.iter().all(|r| r.range.end - r.range.start <= MAX_MERGED));
        assert_eq!(requests.iter().map(|r| r.pieces.len()).sum::<usize>(), 40);
    }
}
