use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use driftless_model::{Clock, Token};

use super::{TokenItem, TokenStore, TokenStoreError};

/// How the workers of a destination share its token.
#[derive(Clone)]
pub struct TokenSharing {
    /// Where it is kept.
    pub store: Arc<dyn TokenStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This worker, for the life of its process.
    pub worker: Token,
}

/// A token that one process keeps for itself, where tokens may be had any number of times.
#[derive(Debug, Default)]
pub struct LocalTokens(Mutex<Option<TokenItem>>);

#[async_trait]
impl TokenStore for LocalTokens {
    async fn read(&self) -> Result<Option<TokenItem>, TokenStoreError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn swap(&self, expected: Option<u64>, item: &TokenItem) -> Result<bool, TokenStoreError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref() == Some(item) {
            return Ok(true);
        }
        let is_expected = kept.as_ref().map(|item| item.revision) == expected;
        if is_expected {
            *kept = Some(item.clone());
        }
        Ok(is_expected)
    }
}

impl fmt::Debug for TokenSharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSharing").field("worker", &self.worker).finish_non_exhaustive()
    }
}
