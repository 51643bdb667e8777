use async_trait::async_trait;
use driftless_model::Millis;

use crate::budget::Heard;

/// The rate budget that all invocations of a destination share, and the only place where the stack waits.
#[async_trait]
pub trait Pacer: Send + Sync {
    /// Reserves the next free slot of the budget and says when it is; in the past or now if it is free already. A slot that
    /// is not used is lost.
    async fn slot(&self) -> Result<Millis, PacerError>;

    /// Returns when that time has come.
    async fn sleep_until(&self, at: Millis);

    /// Takes in what the destination said about its limits, for all who share the budget. What cannot be kept is lost: the
    /// destination will say it again.
    async fn heard(&self, _: Heard) {}
}

/// The shared budget could not be reserved. Nothing was sent; try again later.
#[derive(Debug, thiserror::Error)]
#[error("the shared rate budget could not be reserved")]
pub struct PacerError(#[source] pub Box<dyn core::error::Error + Send + Sync>);
