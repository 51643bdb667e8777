use std::collections::BTreeMap;

use driftless_config::SecretRef;
use secrecy::SecretString;

use crate::TokenSharing;

/// Where a connector takes its secrets from when it is built. Fetch them before
/// ([`driftless_config::Destination::secret_refs`]): building does no I/O.
pub trait Secrets: Send + Sync {
    /// The secret, or that it is not there.
    fn secret(&self, reference: &SecretRef) -> Result<SecretString, MissingSecret>;

    /// Where the tokens that secrets are exchanged for are shared with other workers of the destination. Without it every
    /// process fetches its own, and a destination that logs in by a refresh token is not built.
    fn tokens(&self) -> Option<TokenSharing> {
        None
    }
}

/// A secret that a destination refers to was not provided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret {reference} is not provided; create it and let the connector's function read it")]
pub struct MissingSecret {
    /// Which.
    pub reference: SecretRef,
}

/// Secrets that were fetched before.
#[derive(Debug, Default)]
pub struct FetchedSecrets {
    secrets: BTreeMap<SecretRef, SecretString>,
    tokens: Option<TokenSharing>,
}

impl FetchedSecrets {
    /// Adds one.
    pub fn insert(&mut self, reference: SecretRef, secret: SecretString) {
        self.secrets.insert(reference, secret);
    }

    /// The same, with a place where tokens are shared.
    #[must_use]
    pub fn sharing(self, tokens: TokenSharing) -> Self {
        Self { tokens: Some(tokens), ..self }
    }
}

impl FromIterator<(SecretRef, SecretString)> for FetchedSecrets {
    fn from_iter<I: IntoIterator<Item = (SecretRef, SecretString)>>(secrets: I) -> Self {
        Self { secrets: secrets.into_iter().collect(), tokens: None }
    }
}

impl Secrets for FetchedSecrets {
    fn secret(&self, reference: &SecretRef) -> Result<SecretString, MissingSecret> {
        self.secrets.get(reference).cloned().ok_or_else(|| MissingSecret { reference: reference.clone() })
    }

    fn tokens(&self) -> Option<TokenSharing> {
        self.tokens.clone()
    }
}
