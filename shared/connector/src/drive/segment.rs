use std::collections::VecDeque;

/// Rows that go into one request, by their index in the call.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    rows: Vec<usize>,
    /// The bisected batch that it is a half of.
    half_of: Option<usize>,
    /// It is the second half.
    second: bool,
}

/// What is still to be sent, in order, and what bisecting has shown.
#[derive(Debug, Default)]
pub(super) struct Segments {
    queue: VecDeque<Segment>,
    /// Per bisected batch: its first half went through without a bad row, so the second half has one.
    first_half_good: Vec<bool>,
}

impl Segment {
    fn of(rows: Vec<usize>) -> Self {
        Self { rows, half_of: None, second: false }
    }

    pub(super) fn rows(&self) -> &[usize] {
        &self.rows
    }
}

impl Segments {
    pub(super) fn new(rows: &[usize], limit: u32) -> Self {
        let queue =
            rows.chunks(usize::try_from(limit).unwrap_or(usize::MAX)).map(|rows| Segment::of(rows.to_vec())).collect();
        Self { queue, first_half_good: Vec::new() }
    }

    /// A call without rows, which goes out in one request.
    pub(super) fn without_rows() -> Self {
        Self { queue: VecDeque::from([Segment::of(Vec::new())]), first_half_good: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Rows that came back are sent, first.
    pub(super) fn add(&mut self, rows: Vec<usize>) {
        self.queue.push_front(Segment::of(rows));
    }

    /// The next rows to send. Rows that do not fit into one request are cut in halves until they do; rows that are known to
    /// have a bad one among them are halved without being sent.
    pub(super) fn next(&mut self, fits: impl Fn(&[usize]) -> bool) -> Option<Segment> {
        while let Some(segment) = self.queue.pop_front() {
            if segment.rows.len() <= 1 {
                return Some(segment);
            }
            if self.known_bad(&segment) {
                let rows = segment.rows;
                self.halve(rows);
            } else if fits(&segment.rows) {
                return Some(segment);
            } else {
                // Cut for its size, which says nothing about its rows.
                let (first, second) = segment.rows.split_at(segment.rows.len().div_ceil(2));
                for rows in [second, first] {
                    self.queue.push_front(Segment::of(rows.to_vec()));
                }
            }
        }
        None
    }

    /// A segment has its last word. `bad`: a row of it was refused.
    pub(super) fn went_through(&mut self, segment: &Segment, bad: bool) {
        if let (Some(batch), false, false) = (segment.half_of, segment.second, bad)
            && let Some(good) = self.first_half_good.get_mut(batch)
        {
            *good = true;
        }
    }

    /// A segment was refused as a whole: halve those of its rows that have no outcome.
    pub(super) fn bisect(&mut self, open: Vec<usize>) {
        self.halve(open);
    }

    /// The rows without outcome are sent again, first.
    pub(super) fn again(&mut self, segment: &Segment, open: Vec<usize>) {
        self.queue.push_front(Segment { rows: open, ..segment.clone() });
    }

    fn known_bad(&self, segment: &Segment) -> bool {
        segment.second && segment.half_of.is_some_and(|batch| self.first_half_good.get(batch) == Some(&true))
    }

    fn halve(&mut self, mut rows: Vec<usize>) {
        let batch = self.first_half_good.len();
        self.first_half_good.push(false);
        let second = rows.split_off(rows.len().div_ceil(2));
        self.queue.push_front(Segment { rows: second, half_of: Some(batch), second: true });
        self.queue.push_front(Segment { rows, half_of: Some(batch), second: false });
    }
}
