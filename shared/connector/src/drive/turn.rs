use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use driftless_model::{Clock, Millis};

use super::Stop;
use super::course::LONGEST_ASKED_MS;
use crate::budget::Heard;
use crate::{Gate, NoSlot, Pacer};

/// Why a request may not go out: the budget could not be asked.
const PACER_WAIT_MS: i64 = 1_000;

/// Lets requests out one by one: a slot each, and none too late.
pub(super) struct Turn<'a> {
    pacer: &'a dyn Pacer,
    clock: &'a dyn Clock,
    stop_before: Millis,
    timeout_ms: i64,
    /// Why a connector was refused a further request.
    stop: Mutex<Option<Stop>>,
    /// Until when the destination said that it is away.
    away: Mutex<Option<Millis>>,
    entered: AtomicU32,
}

impl<'a> Turn<'a> {
    pub(super) fn new(pacer: &'a dyn Pacer, clock: &'a dyn Clock, stop_before: Millis, timeout: Duration) -> Self {
        let timeout_ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        Self {
            pacer,
            clock,
            stop_before,
            timeout_ms,
            stop: Mutex::new(None),
            away: Mutex::new(None),
            entered: AtomicU32::new(0),
        }
    }

    /// Waits for a slot. When it returns, a request may start now.
    pub(super) async fn enter(&self) -> Result<(), Stop> {
        if !self.reaches(self.clock.now()) {
            return Err(Stop::Deadline);
        }
        let at = match self.pacer.slot().await {
            Ok(at) => at,
            Err(error) => {
                let until = self.later(PACER_WAIT_MS);
                return Err(Stop::Throttled { until, reason: error.to_string() });
            }
        };
        if !self.reaches(at) {
            return Err(Stop::Throttled {
                until: at,
                reason: "the rate budget has no slot before the deadline".into(),
            });
        }
        self.pacer.sleep_until(at).await;
        // The slot was reserved and slept for: both take time.
        if !self.reaches(self.clock.now()) {
            return Err(Stop::Deadline);
        }
        self.entered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Requests that were let out.
    pub(super) fn requests(&self) -> u32 {
        self.entered.load(Ordering::Relaxed)
    }

    /// Tells the budget what the destination said of its limits.
    pub(super) async fn tell(&self, heard: Heard) {
        self.pacer.heard(heard).await;
    }

    /// A request that starts then ends before the claim does.
    pub(super) fn reaches(&self, start: Millis) -> bool {
        start.plus(self.timeout_ms) <= self.stop_before
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.now()
    }

    pub(super) fn later(&self, ms: i64) -> Millis {
        self.clock.now().plus(ms)
    }

    pub(super) async fn sleep_until(&self, at: Millis) {
        self.pacer.sleep_until(at).await;
    }

    /// Until when the destination said that it is away, since this was asked last.
    pub(super) fn away(&self) -> Option<Millis> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Why a request inside a batch was refused, if one was.
    pub(super) fn stopped(&self) -> Option<Stop> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait]
impl Gate for Turn<'_> {
    async fn pass(&self) -> Result<(), NoSlot> {
        self.enter().await.map_err(|stop| {
            *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
            NoSlot
        })
    }

    async fn heard(&self, heard: Heard) {
        if let Heard::Away { after, .. } = &heard {
            let wait = i64::try_from(after.as_millis()).unwrap_or(i64::MAX).clamp(1, LONGEST_ASKED_MS);
            *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.later(wait));
        }
        self.tell(heard).await;
    }
}
