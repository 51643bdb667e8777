use core::fmt;

use driftless_config::RECIPE_VERSION;
use driftless_model::{AttrHash, KeyHash, RecordKey};

use crate::sip::{Sip, tail};
use crate::value::{Scalar, Words, tag, text_encoding};

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

    #[inline]
    pub(crate) fn text_hash(&self, key: &str) -> KeyHash {
        KeyHash(Sip::<2, 4>::new(&self.for_keys).hash128(key.as_bytes()))
    }

    /// What tells rows without a key apart, of the two sums of their values.
    #[inline]
    pub(crate) fn content(&self, sum: u128, twin: u128) -> u128 {
        let mut sums = [0; 32];
        sums[..16].copy_from_slice(&sum.to_le_bytes());
        sums[16..].copy_from_slice(&twin.to_le_bytes());
        Sip::<2, 4>::new(&self.for_keys).hash128(&sums)
    }
}

/// Words of a value that are summed as they are. Of a longer value its hash is.
const DIRECT: usize = 32;

/// No name is encoded so: it tells the twin from the first.
const TWIN: u64 = 1;

/// Hashes records of one mapping (`docs/hash-recipe.md`): every value is a sum of its words, each times a secret number of its
/// place; a record is the hash of the sum of its values. Sums of columns can be added up column by column, which is
/// what makes this as fast as reading.
pub(crate) struct RecordHasher {
    record: Sip<1, 3>,
    fields: Vec<FieldHasher>,
    identifiers: [u8; 16],
}

/// The secret numbers of one field.
pub(crate) struct FieldHasher {
    factors: Box<[u128; DIRECT]>,
    long: [u8; 16],
}

impl RecordHasher {
    /// `fields` in the order of their names.
    pub(crate) fn new<'a>(key: &HashKey, fields: impl Iterator<Item = &'a str>) -> Self {
        Self::of(vec![u64::from(RECIPE_VERSION)], key, fields)
    }

    /// Another hasher of the same records. One sum tells two records apart, but not all of many millions from each other; two do.
    pub(crate) fn twin<'a>(key: &HashKey, fields: impl Iterator<Item = &'a str>) -> Self {
        Self::of(vec![u64::from(RECIPE_VERSION), TWIN], key, fields)
    }

    fn of<'a>(mut names: Vec<u64>, key: &HashKey, fields: impl Iterator<Item = &'a str>) -> Self {
        let mut count = 0_u64;
        for field in fields {
            text_encoding(field, &mut names);
            count += 1;
        }
        let mapping = Sip::<2, 4>::new(&key.for_attributes).hash128(&bytes(&names)).to_le_bytes();
        let secret = |field: u64, place: u64| Sip::<2, 4>::new(&mapping).hash128(&bytes(&[field, place]));
        let long = secret(count, 1).to_le_bytes();
        let fields = (0..count).map(|field| {
            let mut factors = Box::new([0; DIRECT]);
            for (place, factor) in (0..).zip(factors.iter_mut()) {
                *factor = secret(field, place);
            }
            FieldHasher { factors, long }
        });
        Self {
            fields: fields.collect(),
            record: Sip::new(&secret(count, 0).to_le_bytes()),
            identifiers: secret(count, 2).to_le_bytes(),
        }
    }

    /// The hasher of a field, by its number.
    pub(crate) fn field(&self, number: usize) -> Option<&FieldHasher> {
        self.fields.get(number)
    }

    /// The attribute hash of a record, from the sum of its values.
    #[inline]
    pub(crate) fn finish(&self, sum: u128) -> AttrHash {
        AttrHash(self.record.hash64(&sum.to_le_bytes()))
    }

    /// Tells identifiers apart within one snapshot; never stored.
    #[inline]
    pub(crate) fn identifier(&self, field: usize, text: &str) -> u128 {
        let of_text = Sip::<1, 3>::new(&self.identifiers).hash128(text.as_bytes());
        // The fields are apart: equal texts of two fields are two identifiers.
        of_text ^ self.fields.get(field).map_or(0, |f| f.factors[0])
    }
}

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

impl FieldHasher {
    /// The sum of one value that is not nested.
    #[inline(always)]
    #[allow(clippy::inline_always)] // where the kind of value is known, the rest of this falls away
    pub(crate) fn scalar(&self, value: Scalar<'_>) -> u128 {
        match value.words() {
            Words::Few(words, count) => {
                let mut sum = 0_u128;
                for (factor, word) in self.factors.iter().zip(words).take(count) {
                    sum = sum.wrapping_add(factor.wrapping_mul(u128::from(word)));
                }
                sum
            }
            Words::Bytes(kind, bytes) => self.bytes(kind, bytes),
        }
    }

    #[inline]
    fn bytes(&self, kind: u8, bytes: &[u8]) -> u128 {
        let (words, rest) = bytes.as_chunks::<8>();
        let [first, places @ ..] = self.factors.as_ref();
        let Some(last) = places.get(words.len()) else { return self.encoded(&encoding(kind, bytes)) };
        let mut sum = first.wrapping_mul(u128::from(tag::with_length(kind, bytes.len())));
        for (factor, word) in places.iter().zip(words) {
            sum = sum.wrapping_add(factor.wrapping_mul(u128::from(u64::from_le_bytes(*word))));
        }
        // Without a rest this adds nothing.
        sum.wrapping_add(last.wrapping_mul(u128::from(tail(rest))))
    }

    /// The sum of one encoded value.
    pub(crate) fn encoded(&self, words: &[u64]) -> u128 {
        let hashed;
        let words = if words.len() <= DIRECT {
            words
        } else {
            let hash = Sip::<2, 4>::new(&self.long).hash128(&bytes(words));
            #[allow(clippy::cast_possible_truncation)] // the two halves
            let halves = [hash as u64, (hash >> 64) as u64];
            hashed = [tag::with_length(tag::LONG, words.len()), halves[0], halves[1]];
            &hashed
        };
        let products = self.factors.iter().zip(words).map(|(factor, word)| factor.wrapping_mul(u128::from(*word)));
        products.fold(0, u128::wrapping_add)
    }
}

fn encoding(kind: u8, bytes: &[u8]) -> Vec<u64> {
    let mut words = Vec::with_capacity(2 + bytes.len() / 8);
    crate::value::bytes_encoding(kind, bytes, &mut words);
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hasher() -> RecordHasher {
        RecordHasher::new(&HashKey::new([7; 32]), ["a", "b"].into_iter())
    }

    proptest! {
        #[test]
        fn a_text_is_hashed_as_it_is_encoded(text in ".{0,300}") {
            let hasher = hasher();
            let field = hasher.field(1).expect("two fields");
            let mut words = Vec::new();
            Scalar::Text(&text).encode(&mut words);
            prop_assert_eq!(field.scalar(Scalar::Text(&text)), field.encoded(&words));
        }

        #[test]
        fn numbers_are_hashed_as_they_are_encoded(n: i64, unscaled: i128, scale in 1_u8..30, nanos in 0_u32..1_000_000_000) {
            let hasher = hasher();
            let field = hasher.field(0).expect("two fields");
            for scalar in [
                Scalar::Null,
                Scalar::Bool(true),
                Scalar::Int(n),
                Scalar::Decimal { unscaled, scale },
                Scalar::Float(0.1),
                Scalar::Float(f64::NAN),
                Scalar::Timestamp { seconds: n, nanos, zoned: true },
                Scalar::Uuid(&[3; 16]),
            ] {
                let mut words = Vec::new();
                scalar.encode(&mut words);
                prop_assert_eq!(field.scalar(scalar), field.encoded(&words));
            }
        }
    }

    #[test]
    fn places_and_fields_are_told_apart() {
        let hasher = hasher();
        let [a, b] = [0, 1].map(|f| hasher.field(f).expect("two fields"));
        assert_ne!(a.scalar(Scalar::Int(1)), b.scalar(Scalar::Int(1)));
        assert_ne!(a.encoded(&[1, 2]), a.encoded(&[2, 1]));
        assert_ne!(hasher.identifier(0, "x"), hasher.identifier(1, "x"));
    }
}
