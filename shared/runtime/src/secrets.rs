use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use driftless_model::{Clock, Disposition, Millis};
use secrecy::{ExposeSecret, SecretString};

/// Why a secret could not be used. Names it, never shows it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// There is no such secret.
    #[error("secret {name} does not exist; create it in AWS Secrets Manager")]
    Missing {
        /// Its name or ARN.
        name: String,
    },
    /// We may not read it.
    #[error("access to secret {name} is denied; let the function's role read it")]
    Denied {
        /// Its name or ARN.
        name: String,
    },
    /// It is there, but does not have the form that is needed.
    #[error("secret {name} {problem}")]
    Form {
        /// Its name or ARN.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// No answer, or one that says to try later.
    #[error("secret {name} could not be fetched")]
    Unavailable {
        /// Its name or ARN.
        name: String,
        /// What the client said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SecretError {
    /// What the caller does next.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } => Disposition::RETRY,
            _ => Disposition::Fatal,
        }
    }
}

/// Where secrets are kept.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// A secret by its name or ARN; with `json_key`, that text member of a secret that is a JSON object.
    async fn get(&self, name: &str, json_key: Option<&str>) -> Result<SecretString, SecretError>;

    /// The 32 bytes that hashes are keyed with: a secret of 64 hexadecimal digits.
    async fn hash_key(&self, name: &str) -> Result<[u8; 32], SecretError> {
        let text = self.get(name, None).await?;
        let mut key = [0; 32];
        hex::decode_to_slice(text.expose_secret().trim(), &mut key).map_err(|_| SecretError::Form {
            name: name.to_owned(),
            problem: "does not consist of 64 hexadecimal digits".to_owned(),
        })?;
        Ok(key)
    }
}

/// AWS Secrets Manager, remembered for a while: a warm function asks once, a rotated secret arrives soon.
pub struct SecretsManager {
    client: Client,
    clock: Arc<dyn Clock>,
    known: Mutex<BTreeMap<String, (Millis, SecretString)>>,
}

/// How long a secret is remembered.
const REMEMBER_MS: i64 = 5 * 60 * 1000;

impl SecretsManager {
    /// Over a configured client.
    #[must_use]
    pub fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock, known: Mutex::default() }
    }

    async fn whole(&self, name: &str) -> Result<SecretString, SecretError> {
        let now = self.clock.now();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some((at, secret)) = known
            && now < at.plus(REMEMBER_MS)
        {
            return Ok(secret);
        }
        let owned = || name.to_owned();
        let answer = self.client.get_secret_value().secret_id(name).send().await.map_err(|error| {
            match error.as_service_error().and_then(ProvideErrorMetadata::code) {
                Some("ResourceNotFoundException") => SecretError::Missing { name: owned() },
                Some("AccessDeniedException" | "DecryptionFailure") => SecretError::Denied { name: owned() },
                _ => SecretError::Unavailable { name: owned(), source: error.into() },
            }
        })?;
        let text = answer
            .secret_string
            .ok_or_else(|| SecretError::Form { name: owned(), problem: "is binary; store it as text".to_owned() })?;
        let secret = SecretString::from(text);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(owned(), (now, secret.clone()));
        Ok(secret)
    }
}

#[async_trait]
impl SecretStore for SecretsManager {
    async fn get(&self, name: &str, json_key: Option<&str>) -> Result<SecretString, SecretError> {
        let whole = self.whole(name).await?;
        match json_key {
            None => Ok(whole),
            Some(key) => member(&whole, key).ok_or_else(|| SecretError::Form {
                name: name.to_owned(),
                problem: format!("has no text member {key}"),
            }),
        }
    }
}

fn member(whole: &SecretString, key: &str) -> Option<SecretString> {
    let object: serde_json::Value = serde_json::from_str(whole.expose_secret()).ok()?;
    object.get(key)?.as_str().map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use aws_sdk_secretsmanager::operation::get_secret_value::{GetSecretValueError, GetSecretValueOutput};
    use aws_sdk_secretsmanager::types::error::ResourceNotFoundException;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::*;

    #[derive(Default)]
    struct At(Mutex<i64>);
    impl Clock for At {
        fn now(&self) -> Millis {
            Millis(*self.0.lock().unwrap())
        }
    }

    #[tokio::test]
    async fn a_secret_is_fetched_once_until_it_is_old() {
        let rule = mock!(Client::get_secret_value)
            .match_requests(|r| r.secret_id() == Some("crm"))
            .then_output(|| GetSecretValueOutput::builder().secret_string(r#"{"token":"t0p","n":1}"#).build());
        let client = mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, [&rule]);
        let clock = Arc::new(At::default());
        let store = SecretsManager::new(client, Arc::clone(&clock) as Arc<dyn Clock>);
        for _ in 0..3 {
            assert_eq!(store.get("crm", Some("token")).await.unwrap().expose_secret(), "t0p");
        }
        assert_eq!(rule.num_calls(), 1);
        *clock.0.lock().unwrap() = REMEMBER_MS;
        assert!(store.get("crm", None).await.is_ok());
        assert_eq!(rule.num_calls(), 2);
        for key in ["n", "absent"] {
            let error = store.get("crm", Some(key)).await.unwrap_err();
            assert_eq!(error.to_string(), format!("secret crm has no text member {key}"));
            assert_eq!(error.disposition(), Disposition::Fatal);
        }
    }

    #[tokio::test]
    async fn the_hash_key_is_64_hex_digits() {
        let digits = "0f".repeat(32);
        let (good, bad) = (digits.clone() + "\n", digits[1..].to_owned());
        let rules = [
            mock!(Client::get_secret_value)
                .match_requests(|r| r.secret_id() == Some("good"))
                .then_output(move || GetSecretValueOutput::builder().secret_string(good.clone()).build()),
            mock!(Client::get_secret_value)
                .match_requests(|r| r.secret_id() == Some("bad"))
                .then_output(move || GetSecretValueOutput::builder().secret_string(bad.clone()).build()),
        ];
        let client = mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, &rules);
        let store = SecretsManager::new(client, Arc::new(At::default()));
        assert_eq!(store.hash_key("good").await.unwrap(), [0x0f; 32]);
        let error = store.hash_key("bad").await.unwrap_err().to_string();
        assert!(!error.contains("0f"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_secret_says_what_to_do() {
        let gone = mock!(Client::get_secret_value).then_error(|| {
            let meta =
                aws_sdk_secretsmanager::error::ErrorMetadata::builder().code("ResourceNotFoundException").build();
            GetSecretValueError::ResourceNotFoundException(ResourceNotFoundException::builder().meta(meta).build())
        });
        let client = mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, [&gone]);
        let store = SecretsManager::new(client, Arc::new(At::default()));
        let error = store.get("crm", None).await.unwrap_err();
        assert_eq!(error.to_string(), "secret crm does not exist; create it in AWS Secrets Manager");
    }
}
