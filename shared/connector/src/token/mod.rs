//! The token that all workers of a destination share.
//!
//! Issuers give few tokens, and some give a refresh token that is good for one use ("rotation", RFC 9700 section 4.14.2): two
//! workers that refresh at the same time would lock the destination out. So the token of a destination is one item, in one
//! place, and every change of it is a compare-and-swap of its revision:
//!
//! ```text
//!   read ── good for a while ───────────────────────────────► use it
//!     │
//!     ├─ soon over, nobody fetches ─► claim ─► fetch ─► keep ─► use the new one; on failure the old one
//!     ├─ over, or refused, nobody fetches ─► claim ─► fetch ─► keep ─► use it
//!     └─ over, or refused, somebody fetches ─► come back in a moment; nothing was sent
//! ```
//!
//! # What if
//!
//! * Two workers claim at once: one swap wins, the other reads again.
//! * We die between the claim and the fetch: the claim ends by itself, the next worker fetches.
//! * We die between the fetch and keeping it, or its answer is lost: what was issued is lost. Where the refresh token is not
//!   rotated nothing else happened. Where it is, the next worker uses it a second time: issuers with a grace period answer
//!   again; from the others it is refused and a person must authorise anew, which no protocol without the issuer's help can
//!   avoid. The window is one write, made before anything else, and tried three times.
//! * Keeping it fails for good: this process uses what it holds and tries to keep it with every later request.
//! * The item cannot be read: a token that this process holds is used; without one nothing is sent.
//! * A person writes a new refresh token into the secret: the item is sealed by the secret it came from, so the new
//!   secret does not open it and begins a new chain; the old chain is not used by who has the new secret.
//!
//! The item is sealed (AES-256-GCM) by a key derived from the secret that the token was issued for, which every worker
//! reads from Secrets Manager anyway: who can read the table alone learns when tokens end, and nothing else.

mod decide;
mod seal;
mod sharing;

use core::fmt;

use async_trait::async_trait;
use driftless_model::{Millis, Token};
use serde::{Deserialize, Serialize};

pub(crate) use decide::{Step, View, ahead_of, claim_ms, decide};
pub(crate) use seal::{Issued, Seal};
pub use sharing::{LocalTokens, TokenSharing};

/// Where the token of one destination is kept.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// The item, read consistently.
    async fn read(&self) -> Result<Option<TokenItem>, TokenStoreError>;

    /// Replaces the item, if its revision is `expected` (`None`: if there is none) at the write. False: it is not, and
    /// nothing was written. Success if the item is this very one already: an answer may have been lost.
    async fn swap(&self, expected: Option<u64>, item: &TokenItem) -> Result<bool, TokenStoreError>;
}

/// The shared token could not be read or written. Repeatable.
#[derive(Debug, thiserror::Error)]
#[error("the shared token could not be read or written")]
pub struct TokenStoreError(#[source] pub Box<dyn core::error::Error + Send + Sync>);

/// The shared token of a destination, as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenItem {
    /// Counts every write.
    pub revision: u64,
    /// Counts the tokens; 0 before the first.
    pub generation: u64,
    /// Names the secret that the tokens were issued for, without giving it away.
    pub seed: String,
    /// What was issued, sealed; empty before the first token.
    #[serde(with = "base64_text")]
    pub sealed: Vec<u8>,
    /// When it was issued.
    pub issued_at: Millis,
    /// When it ends; `None` if the issuer did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// Who is fetching the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<TokenClaim>,
}

/// Somebody is fetching a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenClaim {
    /// The attempt.
    pub by: Token,
    /// When it is over, whatever became of it.
    pub until: Millis,
}

/// Bytes as text.
mod base64_text {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(d)?).map_err(de::Error::custom)
    }
}

/// Sealed bytes are not worth showing.
impl fmt::Debug for TokenItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenItem")
            .field("revision", &self.revision)
            .field("generation", &self.generation)
            .field("expires_at", &self.expires_at)
            .field("claim", &self.claim)
            .finish_non_exhaustive()
    }
}
