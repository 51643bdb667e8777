//! States of many records in few allocations.

use driftless_model::{AttrHash, Identifier, IdentifierSet, KeyHash, Lanes, RecordKey, RecordState, Task, in_lanes};

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
    /// The upper half of the key hash: enough to put nearly all of them in order.
    high: u64,
    lane: u16,
    part: u16,
    row: u32,
}

/// Of the 40 bytes a record that DL-9 allows the digests take 28; the rest, and this much for buffers, is for states.
const ROOM: (usize, usize) = (12, 80 << 20);
/// What a record takes, with an identifier or two.
const STATE_BYTES: usize = 128;

/// What one lane has found. In parts by key hash: rows come in the order of the snapshot and leave in that of their keys, and a part
/// is small enough to be near while its rows are looked for.
#[derive(Debug)]
pub(super) struct Packed {
    fields: Vec<String>,
    /// The lowest key hash, its upper half, and what is left of the difference to it names the part.
    low: u64,
    shift: u32,
    parts: Vec<Part>,
}

/// Leading bits that name a part.
const PART_BITS: u32 = 6;

#[derive(Debug, Default)]
struct Part {
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

#[allow(clippy::cast_possible_truncation)] // the upper half
const fn high(key: KeyHash) -> u64 {
    (key.0 >> 64) as u64
}

impl Packed {
    /// For records with key hashes from `low` to `high`; others are in the first or the last part.
    pub(super) fn new((low, last): (KeyHash, KeyHash)) -> Self {
        let (low, span) = (high(low), high(last).saturating_sub(high(low)));
        let shift = (64 - span.leading_zeros()).saturating_sub(PART_BITS);
        Self { fields: Vec::new(), low, shift, parts: (0..1 << PART_BITS).map(|_| Part::default()).collect() }
    }

    /// Another one for the same records, empty.
    pub(super) fn empty(&self) -> Self {
        let parts = self.parts.iter().map(|_| Part::default()).collect();
        Self { fields: Vec::new(), low: self.low, shift: self.shift, parts }
    }

    pub(super) fn push(&mut self, key_hash: KeyHash, attr_hash: AttrHash, key: &str, identifiers: &IdentifierSet) {
        let number = (high(key_hash).saturating_sub(self.low) >> self.shift).min((1 << PART_BITS) - 1);
        let number = usize::try_from(number).unwrap_or_default();
        let Some(part) = self.parts.get_mut(number) else { return };
        let (start, first_piece) = (part.text.len(), part.pieces.len());
        part.text.push_str(key);
        part.rows.push(Row { key_hash, attr_hash, start, key_end: part.text.len(), first_piece });
        for identifier in identifiers {
            let field = self.fields.iter().position(|f| *f == identifier.field).unwrap_or_else(|| {
                self.fields.push(identifier.field.clone());
                self.fields.len() - 1
            });
            part.text.push_str(&identifier.value);
            part.pieces.push(Piece { end: part.text.len(), field: u16::try_from(field).unwrap_or(u16::MAX) });
        }
    }

    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len()).sum()
    }

    fn state(&self, part: usize, row: usize) -> Option<PackedState<'_>> {
        let Part { rows, text, pieces } = self.parts.get(part)?;
        let Row { key_hash, attr_hash, start, key_end, first_piece } = *rows.get(row)?;
        let of_row = first_piece..rows.get(row + 1).map_or(pieces.len(), |next| next.first_piece);
        Some(PackedState {
            key_hash,
            attr_hash,
            key: text.get(start..key_end)?,
            fields: &self.fields,
            text,
            pieces: pieces.get(of_row)?,
            first: key_end,
        })
    }
}

/// The rows of one part of all lanes, in key-hash order.
fn in_order(lanes: &[Packed], part: u16) -> Vec<Place> {
    let rows = |packed: &'_ Packed| packed.parts.get(usize::from(part)).map_or(0, |part| part.rows.len());
    let mut order: Vec<Place> = Vec::with_capacity(lanes.iter().map(rows).sum());
    for (lane, packed) in (0..).zip(lanes) {
        let rows = packed.parts.get(usize::from(part)).map(|part| part.rows.as_slice()).unwrap_or_default();
        order.extend((0..).zip(rows).map(|(row, of)| Place { high: high(of.key_hash), lane, part, row }));
    }
    let key = |at: &Place| {
        let part = lanes.get(usize::from(at.lane))?.parts.get(usize::from(at.part))?;
        part.rows.get(at.row as usize).map(|row| row.key_hash)
    };
    order.sort_unstable_by(|a, b| a.high.cmp(&b.high).then_with(|| key(a).cmp(&key(b))));
    order
}

impl PackedStates {
    pub(super) async fn of(packed: Vec<Packed>, lanes: &dyn Lanes) -> Self {
        let parts: Vec<u16> = (0..1 << PART_BITS).collect();
        let tasks = parts.chunks(parts.len().div_ceil(lanes.count().max(1))).map(|parts| {
            let packed = &packed;
            let task: Task<'_, Vec<Vec<Place>>> =
                Box::pin(async move { parts.iter().map(|part| in_order(packed, *part)).collect() });
            task
        });
        let parts = in_lanes(lanes, tasks.collect()).await.into_iter().flatten();
        let mut order = Vec::with_capacity(packed.iter().map(Packed::len).sum());
        parts.for_each(|part| order.extend(part));
        Self { lanes: packed, order }
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

    /// The state that has this number in key-hash order, from 0 on.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<PackedState<'_>> {
        let at = self.order.get(number)?;
        self.lanes.get(usize::from(at.lane))?.state(usize::from(at.part), at.row as usize)
    }

    /// All of them, in key-hash order.
    pub fn iter(&self) -> impl Iterator<Item = PackedState<'_>> {
        (0..self.len()).filter_map(|number| self.get(number))
    }
}
