use std::collections::BTreeMap;

use driftless_config::SecretRef;
use secrecy::SecretString;

/// Where a connector takes its secrets from when it is built. Fetch them before
/// ([`driftless_config::Destination::secret_refs`]): building does no I/O.
pub trait Secrets: Send + Sync {
    /// The secret, or that it is not there.
    fn secret(&self, reference: &SecretRef) -> Result<SecretString, MissingSecret>;
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
pub struct FetchedSecrets(BTreeMap<SecretRef, SecretString>);

impl FetchedSecrets {
    /// Adds one.
    pub fn insert(&mut self, reference: SecretRef, secret: SecretString) {
        self.0.insert(reference, secret);
    }
}

impl FromIterator<(SecretRef, SecretString)> for FetchedSecrets {
    fn from_iter<I: IntoIterator<Item = (SecretRef, SecretString)>>(secrets: I) -> Self {
        Self(secrets.into_iter().collect())
    }
}

impl Secrets for FetchedSecrets {
    fn secret(&self, reference: &SecretRef) -> Result<SecretString, MissingSecret> {
        self.0.get(reference).cloned().ok_or_else(|| MissingSecret { reference: reference.clone() })
    }
}
