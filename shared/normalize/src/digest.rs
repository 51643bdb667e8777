use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

/// A hash of the normalised value's UTF-8 bytes that a destination wants instead of the value, and the text form of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VendorHash {
    /// SHA-256, 64 lower-case hex digits.
    Sha256,
    /// MD5, 32 lower-case hex digits, for destinations that name records by it; it hides nothing.
    Md5,
    /// SHA-512, 128 lower-case hex digits.
    Sha512,
    /// SHA-256 in Base64 (44 characters).
    Sha256Base64,
}

impl VendorHash {
    /// The name as it is written in a mapping.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Md5 => "md5",
            Self::Sha512 => "sha512",
            Self::Sha256Base64 => "sha256_base64",
        }
    }

    /// The digest of a text, in this form.
    #[must_use]
    pub fn of(self, text: &str) -> String {
        match self {
            Self::Sha256 => hex::encode(Sha256::digest(text)),
            Self::Md5 => hex::encode(Md5::digest(text)),
            Self::Sha512 => hex::encode(Sha512::digest(text)),
            Self::Sha256Base64 => STANDARD.encode(Sha256::digest(text)),
        }
    }
}

/// A value that is a digest already: hashing it again would match nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest<'a> {
    text: &'a str,
    form: VendorHash,
}

impl<'a> Digest<'a> {
    /// Tells by its form whether a text is a digest: 32, 64 or 128 hex digits, or the Base64 of 32 bytes.
    #[must_use]
    pub fn find(text: &'a str) -> Option<Self> {
        let form = match text.len() {
            32 => VendorHash::Md5,
            44 => VendorHash::Sha256Base64,
            64 => VendorHash::Sha256,
            128 => VendorHash::Sha512,
            _ => return None,
        };
        let is_one = match form {
            VendorHash::Sha256Base64 => {
                text.ends_with('=') && STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
            }
            _ => text.bytes().all(|b| b.is_ascii_hexdigit()),
        };
        is_one.then_some(Self { text, form })
    }

    /// What it looks like. Any hash of 32 bytes looks like SHA-256.
    #[must_use]
    pub const fn form(self) -> VendorHash {
        self.form
    }

    /// The same digest in the text form that is wanted; `None` if it is of another algorithm.
    #[must_use]
    pub fn written(self, wanted: VendorHash) -> Option<Cow<'a, str>> {
        match (self.form, wanted) {
            (VendorHash::Sha256Base64, VendorHash::Sha256Base64) => Some(Cow::Borrowed(self.text)),
            (VendorHash::Sha256Base64, VendorHash::Sha256) => {
                STANDARD.decode(self.text).ok().map(|b| hex::encode(b).into())
            }
            (VendorHash::Sha256, VendorHash::Sha256Base64) => {
                hex::decode(self.text).ok().map(|b| STANDARD.encode(b).into())
            }
            (own, wanted) if own == wanted => Some(match self.text.bytes().any(|b| b.is_ascii_uppercase()) {
                true => Cow::Owned(self.text.to_ascii_lowercase()),
                false => Cow::Borrowed(self.text),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_told_by_its_form() {
        for form in [VendorHash::Sha256, VendorHash::Md5, VendorHash::Sha512, VendorHash::Sha256Base64] {
            let digest = form.of("mary@example.com");
            assert_eq!(Digest::find(&digest).map(Digest::form), Some(form));
            assert_eq!(Digest::find(&digest).and_then(|d| d.written(form)).as_deref(), Some(digest.as_str()));
            assert_eq!(Digest::find(&digest[1..]), None);
        }
        assert_eq!(Digest::find("mary@example.com"), None);
        assert_eq!(Digest::find(&"z".repeat(64)), None);
        assert_eq!(Digest::find(&"A".repeat(44)), None, "33 bytes, without padding");
    }

    #[test]
    fn one_digest_has_several_text_forms() {
        let (hex, base64) = (VendorHash::Sha256.of("a"), VendorHash::Sha256Base64.of("a"));
        let written = |text: &str, form| Digest::find(text).and_then(|d| d.written(form)).map(Cow::into_owned);
        assert_eq!(written(&hex.to_uppercase(), VendorHash::Sha256), Some(hex.clone()));
        assert_eq!(written(&base64, VendorHash::Sha256), Some(hex.clone()));
        assert_eq!(written(&hex.to_uppercase(), VendorHash::Sha256Base64), Some(base64.clone()));
        assert_eq!(written(&VendorHash::Md5.of("a"), VendorHash::Sha256), None);
        assert_eq!(written(&hex, VendorHash::Md5), None);
    }
}
