//! Files that are read in key-hash order, a batch at a time, with what has changed since laid over them.

use core::cmp::Ordering;
use core::iter::Peekable;
use std::collections::btree_map;
use std::vec;

use driftless_model::KeyHash;

use crate::{Error, Result};

/// Rows in key-hash order that come in batches.
pub(crate) trait Batches {
    type Row;

    /// The next rows; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<(KeyHash, Self::Row)>>>;

    /// What to say if they are not in order.
    fn unsorted(&self) -> Error;
}

/// The rows of a file (of none, if there is none), with the entries of an overlay in their place or between them.
pub(crate) struct Overlaid<'o, B: Batches, O> {
    file: Option<B>,
    batch: vec::IntoIter<(KeyHash, B::Row)>,
    next: Option<(KeyHash, B::Row)>,
    last: Option<KeyHash>,
    overlay: Peekable<btree_map::Iter<'o, KeyHash, O>>,
}

/// Which of the two has the next entry.
pub(crate) enum Laid<'o, R, O> {
    /// The file, and the overlay says nothing of it.
    Below(KeyHash, R),
    /// The overlay, whatever the file says.
    Above(KeyHash, &'o O),
}

impl<'o, B: Batches, O> Overlaid<'o, B, O> {
    pub(crate) fn new(file: Option<B>, overlay: &'o std::collections::BTreeMap<KeyHash, O>) -> Self {
        let batch = Vec::new().into_iter();
        Self { file, batch, next: None, last: None, overlay: overlay.iter().peekable() }
    }

    /// The next entry, in key-hash order.
    pub(crate) async fn next(&mut self) -> Result<Option<Laid<'o, B::Row, O>>> {
        if self.next.is_none() {
            self.next = self.below().await?;
        }
        let order = match (&self.next, self.overlay.peek()) {
            (Some((below, _)), Some((above, _))) => below.cmp(above),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return Ok(None),
        };
        let below = if order.is_le() { self.next.take() } else { None };
        let above = if order.is_ge() { self.overlay.next() } else { None };
        Ok(match (below, above) {
            (_, Some((key, entry))) => Some(Laid::Above(*key, entry)),
            (Some((key, row)), None) => Some(Laid::Below(key, row)),
            (None, None) => None,
        })
    }

    async fn below(&mut self) -> Result<Option<(KeyHash, B::Row)>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        loop {
            if let Some((key, row)) = self.batch.next() {
                return if self.last.replace(key).is_some_and(|last| last >= key) {
                    Err(file.unsorted())
                } else {
                    Ok(Some((key, row)))
                };
            }
            match file.next().await? {
                Some(batch) => self.batch = batch.into_iter(),
                None => return Ok(None),
            }
        }
    }
}
