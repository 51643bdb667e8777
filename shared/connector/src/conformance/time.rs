use core::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use driftless_model::{Clock, Millis};

use crate::{Pacer, PacerError};

/// Time that passes only when somebody waits for it; every slot is free at once.
#[derive(Debug, Default)]
pub struct VirtualTime(AtomicI64);

impl Clock for VirtualTime {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl Pacer for VirtualTime {
    async fn slot(&self) -> Result<Millis, PacerError> {
        Ok(self.now())
    }

    async fn sleep_until(&self, at: Millis) {
        self.0.fetch_max(at.0, Ordering::SeqCst);
    }
}
