//! SipHash over bytes that are in one piece, with `C` rounds a word and `D` at the end.
//!
//! The hashes of a snapshot are a large part of what reading it costs, and most inputs are shorter than forty bytes. The usual
//! implementations carry a buffer for input that comes in pieces; this one needs none. A test compares it with one of them.

/// The state of one hash.
#[derive(Clone, Copy)]
pub(crate) struct Sip<const C: usize, const D: usize> {
    v: [u64; 4],
}

impl<const C: usize, const D: usize> Sip<C, D> {
    /// Keyed with 16 bytes.
    #[inline]
    pub(crate) const fn new(key: &[u8; 16]) -> Self {
        let k = u128::from_le_bytes(*key);
        #[allow(clippy::cast_possible_truncation)] // the two halves
        let (k0, k1) = (k as u64, (k >> 64) as u64);
        Self {
            v: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
        }
    }

    /// 64 bits.
    #[inline]
    pub(crate) fn hash64(mut self, bytes: &[u8]) -> u64 {
        self.absorb(bytes);
        self.v[2] ^= 0xff;
        self.squeeze()
    }

    /// 128 bits: the second word × 2⁶⁴ + the first.
    #[inline]
    pub(crate) fn hash128(mut self, bytes: &[u8]) -> u128 {
        self.v[1] ^= 0xee;
        self.absorb(bytes);
        self.v[2] ^= 0xee;
        let first = self.squeeze();
        self.v[1] ^= 0xdd;
        let second = self.squeeze();
        u128::from(second) << 64 | u128::from(first)
    }

    #[inline]
    fn absorb(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        self.word(tail(rest) | (bytes.len() as u64) << 56);
    }

    #[inline]
    fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        for _ in 0..C {
            self.round();
        }
        self.v[0] ^= word;
    }

    #[inline]
    fn squeeze(&mut self) -> u64 {
        for _ in 0..D {
            self.round();
        }
        self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3]
    }

    #[inline]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.v;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32);
        c = c.wrapping_add(b);
        a = a.wrapping_add(d);
        b = b.rotate_left(17) ^ c;
        d = d.rotate_left(21) ^ a;
        c = c.rotate_left(32);
        self.v = [a, b, c, d];
    }
}

/// Fewer than eight bytes as the low bytes of a word. Reads halves that overlap: a copy of unknown length is a call.
#[inline]
pub(crate) fn tail(rest: &[u8]) -> u64 {
    if let (Some(low), Some(high)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << (8 * (rest.len() - 4));
    }
    match *rest {
        [] => 0,
        [a] => u64::from(a),
        [a, b] => u64::from(a) | u64::from(b) << 8,
        [a, b, c, ..] => u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16,
    }
}

#[cfg(test)]
mod tests {
    use core::hash::Hasher;
    use proptest::prelude::*;
    use siphasher::sip::{SipHasher13, SipHasher24};
    use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24With128};

    use super::*;

    proptest! {
        #[test]
        fn the_hash_is_siphash(key: [u8; 16], bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            let mut reference = SipHasher13::new_with_key(&key);
            reference.write(&bytes);
            prop_assert_eq!(Sip::<1, 3>::new(&key).hash64(&bytes), reference.finish());
            let mut reference = SipHasher24::new_with_key(&key);
            reference.write(&bytes);
            prop_assert_eq!(Sip::<2, 4>::new(&key).hash64(&bytes), reference.finish());
            let mut reference = SipHasher24With128::new_with_key(&key);
            reference.write(&bytes);
            prop_assert_eq!(Sip::<2, 4>::new(&key).hash128(&bytes), reference.finish128().as_u128());
        }
    }

    #[test]
    fn a_tail_is_its_bytes() {
        let bytes = [1, 2, 3, 4, 5, 6, 7];
        for n in 0..8 {
            let mut word = [0; 8];
            word[..n].copy_from_slice(&bytes[..n]);
            assert_eq!(tail(&bytes[..n]), u64::from_le_bytes(word));
        }
    }
}
