//! The token that all invocations of a destination share, in the deltalog.

use std::sync::Arc;

use async_trait::async_trait;
use driftless_connector::{TokenItem, TokenStore, TokenStoreError};
use driftless_deltalog::Deltalog;
use driftless_deltalog::head::Swap;
use driftless_deltalog::registry::SharedToken;
use driftless_model::DestinationId;

/// One item of the deltalog. It is sealed before it comes here.
pub struct DeltalogTokens {
    log: Arc<dyn Deltalog>,
    destination: DestinationId,
}

impl DeltalogTokens {
    /// The token of one destination.
    pub fn new(log: Arc<dyn Deltalog>, destination: DestinationId) -> Self {
        Self { log, destination }
    }
}

#[async_trait]
impl TokenStore for DeltalogTokens {
    async fn read(&self) -> Result<Option<TokenItem>, TokenStoreError> {
        let kept = self.log.shared_token(&self.destination).await.map_err(failed)?;
        kept.map(|kept| serde_json::from_str(&kept.document).map_err(failed)).transpose()
    }

    async fn swap(&self, expected: Option<u64>, item: &TokenItem) -> Result<bool, TokenStoreError> {
        let document = serde_json::to_string(item).map_err(failed)?;
        let token = SharedToken { revision: item.revision, document };
        let swapped = self.log.put_shared_token(&self.destination, expected, &token).await.map_err(failed)?;
        Ok(swapped == Swap::Done)
    }
}

fn failed(error: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> TokenStoreError {
    TokenStoreError(error.into())
}

#[cfg(test)]
mod tests {
    use driftless_connector::TokenClaim;
    use driftless_deltalog::MemoryDeltalog;
    use driftless_model::{Millis, Token};

    use super::*;

    #[tokio::test]
    async fn an_item_comes_back_as_it_was_put_and_only_one_swap_wins() {
        let log: Arc<dyn Deltalog> = Arc::new(MemoryDeltalog::default());
        let store = DeltalogTokens::new(log, "crm".parse().expect("a name"));
        assert_eq!(store.read().await.expect("reads"), None);
        let item = TokenItem {
            revision: 1,
            generation: 1,
            seed: "s".into(),
            sealed: vec![0, 255, 7],
            issued_at: Millis(1),
            expires_at: Some(Millis(2)),
            claim: Some(TokenClaim { by: Token::new("w"), until: Millis(3) }),
        };
        assert!(store.swap(None, &item).await.expect("swaps"));
        assert!(store.swap(None, &item).await.expect("swaps"), "again is success");
        assert_eq!(store.read().await.expect("reads"), Some(item.clone()));
        let other = TokenItem { generation: 9, ..item.clone() };
        assert!(!store.swap(None, &other).await.expect("is refused"));
        let next = TokenItem { revision: 2, claim: None, expires_at: None, ..item };
        assert!(store.swap(Some(1), &next).await.expect("swaps"));
        assert_eq!(store.read().await.expect("reads"), Some(next));
    }
}
