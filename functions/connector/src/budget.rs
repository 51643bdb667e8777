//! The rate budget that all invocations of a destination share.

use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use driftless_connector::{Pacer, PacerError};
use driftless_deltalog::Deltalog;
use driftless_model::{Clock, DestinationId, Millis};

/// Slots in the deltalog, an interval apart: with n requests a period, one each period / n. Without bursts the phase of the
/// destination's own window is no matter.
pub struct SharedBudget {
    log: Arc<dyn Deltalog>,
    clock: Arc<dyn Clock>,
    sleep: Arc<dyn Sleep>,
    destination: DestinationId,
    interval: Option<Duration>,
}

/// How the function waits; virtual in the simulation.
#[async_trait]
pub trait Sleep: Send + Sync {
    /// Returns when `duration` has passed.
    async fn sleep(&self, duration: Duration);
}

impl SharedBudget {
    /// The budget of one destination; without an interval every slot is free.
    pub fn new(
        log: Arc<dyn Deltalog>,
        clock: Arc<dyn Clock>,
        sleep: Arc<dyn Sleep>,
        destination: DestinationId,
        interval: Option<Duration>,
    ) -> Self {
        Self { log, clock, sleep, destination, interval }
    }
}

#[async_trait]
impl Pacer for SharedBudget {
    async fn slot(&self) -> Result<Millis, PacerError> {
        let now = self.clock.now();
        match self.interval {
            None => Ok(now),
            Some(interval) => {
                let ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
                self.log.reserve_slot(&self.destination, now, ms).await.map_err(|e| PacerError(Box::new(e)))
            }
        }
    }

    async fn sleep_until(&self, at: Millis) {
        let wait = at.0.saturating_sub(self.clock.now().0);
        if let Ok(ms) = u64::try_from(wait) {
            self.sleep.sleep(Duration::from_millis(ms)).await;
        }
    }
}
