//! Records that their content identifies: the hash of a row's values, and a number that tells equal rows apart.

use core::fmt::Write;
use std::collections::HashMap;

use driftless_model::{Identifier, IdentifierSet, KeyHash, RecordKey};
use serde_json::{Map, Value};

use super::fields::Fields;
use crate::keyed::RecordHasher;
use crate::{HashKey, ViewSpec};

/// Writes the keys of such records: 32 hex digits of the content, `#` and the number, from 1.
#[derive(Debug, Default)]
pub(super) struct KeyText(String);

impl KeyText {
    pub(super) fn of(&mut self, content: u128, number: u32) -> &str {
        self.0.clear();
        let mut digits = [0; 32];
        // 16 bytes are 32 digits; writing into memory cannot fail.
        let _: Result<(), _> = hex::encode_to_slice(content.to_be_bytes(), &mut digits);
        self.0.extend(digits.iter().map(|digit| char::from(*digit)));
        let _: Result<(), _> = write!(self.0, "#{number}");
        &self.0
    }
}

/// Finds the keys of rows, one row at a time.
pub(super) struct Contents<'k> {
    spec: &'k ViewSpec,
    key: &'k HashKey,
    hashers: [RecordHasher; 2],
    text: KeyText,
    /// The numbers of each content whose key hashes were made so far.
    made: HashMap<u128, HashMap<KeyHash, u32>>,
}

impl<'k> Contents<'k> {
    pub(super) fn new(spec: &'k ViewSpec, key: &'k HashKey) -> Self {
        let names = || spec.column_fields().map(|f| f.field.as_str());
        let hashers = [RecordHasher::new(key, names()), RecordHasher::twin(key, names())];
        Self { spec, key, hashers, text: KeyText::default(), made: HashMap::new() }
    }

    /// The content of a row, unless a value is refused.
    pub(super) fn of(&self, fields: &Fields<'_>, row: usize) -> Option<u128> {
        let [first, twin] = &self.hashers;
        Some(self.key.content(fields.sum(row, first)?, fields.sum(row, twin)?))
    }

    /// The key with this hash, of a row with this content; `None` if none of the content's first `most` keys has it. Which of equal
    /// rows has which number does not matter: they are equal.
    pub(super) fn key(&mut self, content: u128, wanted: KeyHash, most: u64) -> Option<RecordKey> {
        let made = self.made.entry(content).or_default();
        while !made.contains_key(&wanted) {
            let number = u32::try_from(made.len()).ok().filter(|count| u64::from(*count) < most)? + 1;
            made.insert(self.key.text_hash(self.text.of(content, number)), number);
        }
        made.get(&wanted).map(|number| RecordKey::new(self.text.of(content, *number)))
    }

    /// The next key of this content.
    pub(super) fn next(&mut self, content: u128) -> Option<(KeyHash, RecordKey)> {
        let made = self.made.entry(content).or_default();
        let number = u32::try_from(made.len()).ok()?.checked_add(1)?;
        let text = self.text.of(content, number);
        let hash = self.key.text_hash(text);
        made.insert(hash, number);
        Some((hash, RecordKey::new(text)))
    }

    /// Adds the identifiers that carry the key.
    pub(super) fn identify(&self, key: &RecordKey, identifiers: &mut IdentifierSet) {
        let fields = self.spec.key_fields().filter(|f| f.identifier);
        identifiers.extend(fields.map(|f| Identifier::new(f.field.as_str(), key.as_str())));
    }

    /// Adds the fields that carry the key.
    pub(super) fn send(&self, key: &RecordKey, sent: &mut Map<String, Value>) {
        sent.extend(self.spec.key_fields().map(|f| (f.field.clone(), Value::from(key.as_str()))));
        sent.sort_keys();
    }
}
