use core::fmt;

use driftless_config::RECIPE_VERSION;
use driftless_model::{AttrHash, KeyHash, RecordKey};
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::value::text_encoding;

/// The secret that keys every hash of a deployment. Without it a hash says nothing of a key or value; with another one no
/// hash compares.
#[derive(Clone)]
pub struct HashKey {
    for_keys: [u8; 16],
    for_attributes: [u8; 16],
}

/// Never prints the secret.
impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(…)")
    }
}

impl HashKey {
    /// From the deployment's secret of 32 bytes: the first half keys the hashes of keys, the second those of attributes.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        let (mut for_keys, mut for_attributes) = ([0; 16], [0; 16]);
        for_keys.copy_from_slice(&secret[..16]);
        for_attributes.copy_from_slice(&secret[16..]);
        Self { for_keys, for_attributes }
    }

    /// The hash of a record key: SipHash-2-4 with 128 bits over its canonical text.
    #[must_use]
    pub fn key_hash(&self, key: &RecordKey) -> KeyHash {
        self.text_hash(key.as_str())
    }

    pub(crate) fn text_hash(&self, key: &str) -> KeyHash {
        KeyHash(SipHasher24::new_with_key(&self.for_keys).hash(key.as_bytes()).as_u128())
    }

    /// Tells identifiers apart within one snapshot; never stored.
    pub(crate) fn identifier_hash(&self, field: u32, value: &str) -> u128 {
        use core::hash::Hasher;
        let mut hasher = SipHasher24::new_with_key(&self.for_attributes);
        hasher.write(&field.to_le_bytes());
        hasher.write(value.as_bytes());
        hasher.finish128().as_u128()
    }

    /// The hash of one encoded value.
    pub(crate) fn value_hash(&self, encoding: &[u8]) -> u64 {
        SipHasher13::new_with_key(&self.for_attributes).hash(encoding)
    }
}

/// Hashes records of one mapping: the names of the fields once, then the values' hashes of each record.
pub(crate) struct RecordHasher {
    key: HashKey,
    names: u64,
    buffer: Vec<u8>,
}

impl RecordHasher {
    /// `fields` in the order of their names.
    pub(crate) fn new<'a>(key: &HashKey, fields: impl Iterator<Item = &'a str>) -> Self {
        let mut names = RECIPE_VERSION.to_le_bytes().to_vec();
        for field in fields {
            text_encoding(field, &mut names);
        }
        Self { names: key.value_hash(&names), key: key.clone(), buffer: Vec::new() }
    }

    /// The attribute hash of a record, from the hashes of its values in the order of the fields.
    pub(crate) fn hash(&mut self, values: impl Iterator<Item = u64>) -> AttrHash {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.names.to_le_bytes());
        for value in values {
            self.buffer.extend_from_slice(&value.to_le_bytes());
        }
        AttrHash(self.key.value_hash(&self.buffer))
    }
}
