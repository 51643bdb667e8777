//! What was issued, sealed by the secret it was issued for.

use core::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf, rand,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

const NONCE: usize = 12;

/// What an issuer gave.
#[derive(Clone)]
pub(crate) struct Issued {
    /// What requests are logged in with.
    pub(crate) access: SecretString,
    /// What the next token is asked for with; none with client credentials.
    pub(crate) refresh: Option<SecretString>,
}

/// Seals and opens. Whoever has the secret and asks for the same thing can open what another has sealed.
pub(crate) struct Seal {
    key: LessSafeKey,
    purpose: Vec<u8>,
    seed: String,
}

/// The version is within what is sealed, so that it cannot be changed.
#[derive(Serialize, Deserialize)]
struct Written {
    v: u8,
    access: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    refresh: Option<String>,
}

/// An output of 16 bytes.
struct Short;

impl hkdf::KeyType for Short {
    fn len(&self) -> usize {
        16
    }
}

impl Seal {
    /// The seal of a secret, for one purpose (what is asked of the issuer): a token for another is not opened.
    pub(crate) fn new(secret: &SecretString, purpose: &str) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"driftless shared token");
        let extracted = salt.extract(secret.expose_secret().trim().as_bytes());
        let mut seed = [0; 16];
        let (named, keyed) = ([b"seed ", purpose.as_bytes()], [b"key ".as_slice(), purpose.as_bytes()]);
        // Only lengths beyond 255 blocks fail.
        let expanded = extracted.expand(&named, Short).and_then(|okm| okm.fill(&mut seed));
        expanded.expect("16 bytes are within what HKDF gives");
        let key = extracted.expand(&keyed, &AES_256_GCM).map(UnboundKey::from);
        let key = LessSafeKey::new(key.expect("32 bytes are within what HKDF gives"));
        Self { key, purpose: purpose.as_bytes().to_vec(), seed: hex::encode(seed) }
    }

    /// Names the secret and the purpose without giving them away.
    pub(crate) fn seed(&self) -> &str {
        &self.seed
    }

    /// Nonce and ciphertext; `None` if there is no randomness.
    pub(crate) fn close(&self, issued: &Issued) -> Option<Vec<u8>> {
        let written = Written {
            v: 1,
            access: issued.access.expose_secret().to_owned(),
            refresh: issued.refresh.as_ref().map(|refresh| refresh.expose_secret().to_owned()),
        };
        let mut text = serde_json::to_vec(&written).ok()?;
        let mut nonce = [0; NONCE];
        rand::fill(&mut nonce).ok()?;
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&self.purpose), &mut text)
            .ok()?;
        Some([nonce.as_slice(), &text].concat())
    }

    /// What was sealed, if it was sealed by this secret and nobody changed it.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<Issued> {
        let (nonce, text) = sealed.split_at_checked(NONCE)?;
        let mut text = text.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.key.open_in_place(nonce, Aad::from(&self.purpose), &mut text).ok()?;
        let written: Written = serde_json::from_slice(opened).ok()?;
        Some(Issued { access: written.access.into(), refresh: written.refresh.map(Into::into) })
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secret: &str, purpose: &str) -> Seal {
        Seal::new(&secret.to_owned().into(), purpose)
    }

    #[test]
    fn only_the_same_secret_and_purpose_open_it() {
        let issued = Issued { access: "a-token".to_owned().into(), refresh: Some("r-token".to_owned().into()) };
        let sealed = seal("s", "p").close(&issued).unwrap();
        let opened = seal("s\n", "p").open(&sealed).expect("opens");
        assert_eq!(opened.access.expose_secret(), "a-token");
        assert_eq!(opened.refresh.unwrap().expose_secret(), "r-token");
        assert!(seal("t", "p").open(&sealed).is_none());
        assert!(seal("s", "q").open(&sealed).is_none());
        assert_ne!(seal("s", "p").seed(), seal("t", "p").seed());
        assert_ne!(seal("s", "p").seed(), seal("s", "q").seed());
    }

    #[test]
    fn what_was_changed_or_cut_is_not_opened() {
        let issued = Issued { access: "a".to_owned().into(), refresh: None };
        let sealed = seal("s", "p").close(&issued).unwrap();
        assert!(!sealed.windows(1).all(|w| w == b"a"));
        for cut in [0, 5, NONCE, sealed.len() - 1] {
            assert!(seal("s", "p").open(&sealed[..cut]).is_none());
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(seal("s", "p").open(&changed).is_none());
        }
        assert_ne!(sealed, seal("s", "p").close(&issued).unwrap(), "no nonce twice");
    }
}
