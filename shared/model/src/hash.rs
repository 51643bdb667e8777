use core::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// 128-bit keyed hash of a record key. Orders the history file; the only form in which a key may be shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub u128);

/// 64-bit keyed fingerprint of a record's mapped field values, after normalisation and before any vendor hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttrHash(pub u64);

/// A string that is not the fixed-width lower-case hex of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hex digits")]
pub struct HashParseError {
    expected: usize,
}

macro_rules! hex_hash {
    ($name:ident, $int:ty, $digits:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0width$x}", self.0, width = $digits)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = HashParseError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                if s.len() != $digits || !s.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(HashParseError { expected: $digits });
                }
                <$int>::from_str_radix(s, 16).map(Self).map_err(|_| HashParseError { expected: $digits })
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

hex_hash!(KeyHash, u128, 32);
hex_hash!(AttrHash, u64, 16);

impl KeyHash {
    /// The 16 bytes, most significant first, so that byte order is the order of the hashes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`KeyHash::to_bytes`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The shard (0..`shards`) of a log version's partitions that holds this key: the top bits, so that shards are
    /// contiguous ranges of the hash order.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // the product of a 16-bit and a 16-bit number, shifted by 16
    pub const fn shard(self, shards: u16) -> u16 {
        (((self.0 >> 112) * shards as u128) >> 16) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_read_back_what_they_print() {
        let k = KeyHash(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(k.to_string().parse::<KeyHash>(), Ok(k));
        assert_eq!(KeyHash::from_bytes(k.to_bytes()), k);
        assert!("12".parse::<KeyHash>().is_err());
        assert!("+123456789abcdef".parse::<AttrHash>().is_err());
    }

    #[test]
    fn shards_follow_the_hash_order_and_cover_the_range() {
        assert_eq!(KeyHash(0).shard(8), 0);
        assert_eq!(KeyHash(u128::MAX).shard(8), 7);
        assert_eq!(KeyHash(u128::MAX / 2 + 1).shard(8), 4);
        assert_eq!(KeyHash(u128::MAX).shard(1), 0);
    }
}
