//! States of many records in few allocations.

use driftless_model::{AttrHash, Identifier, IdentifierSet, KeyHash, RecordKey, RecordState};

/// A record's state, as [`PackedStates`] holds it.
#[derive(Clone, Copy, Debug)]
pub struct PackedState<'s> {
    /// The record.
    pub key_hash: KeyHash,
    /// What it holds.
    pub attr_hash: AttrHash,
    /// Its key.
    pub key: &'s str,
    fields: &'s [String],
    text: &'s str,
    pieces: &'s [Piece],
    first: usize,
}

impl<'s> PackedState<'s> {
    /// What the destination matches it by: fields and values, in order.
    pub fn identifiers(&self) -> impl Iterator<Item = (&'s str, &'s str)> + use<'s> {
        let (fields, text, mut start) = (self.fields, self.text, self.first);
        self.pieces.iter().map(move |piece| {
            let value = text.get(start..piece.end).unwrap_or_default();
            start = piece.end;
            (fields.get(usize::from(piece.field)).map_or("", String::as_str), value)
        })
    }
}

/// States of records in key-hash order: some 100 bytes a record, where a value a record would take four times as much.
#[derive(Debug, Default)]
pub struct PackedStates {
    lanes: Vec<Packed>,
    /// Where the states are, by key hash.
    order: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// The upper half of the key hash: enough to put nearly all of them in order without a look at the rows, which are far apart.
    high: u64,
    lane: u32,
    row: u32,
}

/// Of the 40 bytes a record that DL-9 allows the digests take 28; the rest, and this much for buffers, is for states.
const ROOM: (usize, usize) = (12, 80 << 20);
/// What a record takes, with an identifier or two.
const STATE_BYTES: usize = 128;

/// What one lane has found.
#[derive(Debug, Default)]
pub(super) struct Packed {
    fields: Vec<String>,
    rows: Vec<Row>,
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Row {
    key_hash: KeyHash,
    attr_hash: AttrHash,
    /// Where its text begins, and its key ends.
    start: usize,
    key_end: usize,
    first_piece: usize,
}

/// An identifier: its value ends where the next begins.
#[derive(Clone, Copy, Debug)]
struct Piece {
    end: usize,
    field: u16,
}

impl Packed {
    pub(super) fn push(
        &mut self,
        key_hash: KeyHash,
        attr_hash: AttrHash,
        key: &RecordKey,
        identifiers: &IdentifierSet,
    ) {
        let (start, first_piece) = (self.text.len(), self.pieces.len());
        self.text.push_str(key.as_str());
        self.rows.push(Row { key_hash, attr_hash, start, key_end: self.text.len(), first_piece });
        for identifier in identifiers {
            let field = self.fields.iter().position(|f| *f == identifier.field).unwrap_or_else(|| {
                self.fields.push(identifier.field.clone());
                self.fields.len() - 1
            });
            self.text.push_str(&identifier.value);
            self.pieces.push(Piece { end: self.text.len(), field: u16::try_from(field).unwrap_or(u16::MAX) });
        }
    }

    fn state(&self, row: usize) -> Option<PackedState<'_>> {
        let Row { key_hash, attr_hash, start, key_end, first_piece } = *self.rows.get(row)?;
        let pieces = first_piece..self.rows.get(row + 1).map_or(self.pieces.len(), |next| next.first_piece);
        Some(PackedState {
            key_hash,
            attr_hash,
            key: self.text.get(start..key_end)?,
            fields: &self.fields,
            text: &self.text,
            pieces: self.pieces.get(pieces)?,
            first: key_end,
        })
    }
}

impl PackedStates {
    pub(super) fn of(lanes: Vec<Packed>) -> Self {
        let mut order = Vec::with_capacity(lanes.iter().map(|lane| lane.rows.len()).sum());
        for (lane, packed) in (0..).zip(&lanes) {
            #[allow(clippy::cast_possible_truncation)] // the upper half
            let high = |row: &Row| (row.key_hash.0 >> 64) as u64;
            order.extend((0..).zip(&packed.rows).map(|(row, of_row)| Place { high: high(of_row), lane, row }));
        }
        let key = |place: &Place| {
            lanes.get(place.lane as usize).and_then(|lane| lane.rows.get(place.row as usize)).map(|row| row.key_hash)
        };
        order.sort_unstable_by(|a, b| a.high.cmp(&b.high).then_with(|| key(a).cmp(&key(b))));
        Self { lanes, order }
    }

    /// How many records of a list of so many may be held at a time (DL-9), beside its digests.
    #[must_use]
    pub const fn at_once(records: usize) -> usize {
        (ROOM.0 * records + ROOM.1) / STATE_BYTES
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The states with these two hashes, which come in key-hash order; what is not there is left out.
    #[must_use]
    pub fn find(&self, wanted: &[(KeyHash, AttrHash)]) -> Vec<(KeyHash, RecordState)> {
        let mut wanted = wanted.iter().peekable();
        let mut found = Vec::with_capacity(wanted.len().min(self.len()));
        for state in self.iter() {
            while wanted.next_if(|(key, _)| *key < state.key_hash).is_some() {}
            if wanted.next_if(|hashes| **hashes == (state.key_hash, state.attr_hash)).is_some() {
                let identifiers = state.identifiers().map(|(field, value)| Identifier::new(field, value)).collect();
                let (key, attr_hash) = (RecordKey::new(state.key), state.attr_hash);
                found.push((state.key_hash, RecordState { key, attr_hash, identifiers }));
            }
        }
        found
    }

    /// All of them, in key-hash order.
    pub fn iter(&self) -> impl Iterator<Item = PackedState<'_>> {
        self.order.iter().filter_map(|place| self.lanes.get(place.lane as usize)?.state(place.row as usize))
    }
}
