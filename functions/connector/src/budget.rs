//! The rate budget that all invocations of a destination share.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use driftless_config::destination::Rate;
use driftless_connector::budget::{Heard, Lease, Plan, heard, lease, quick};
use driftless_connector::{Pacer, PacerError};
use driftless_deltalog::head::Swap;
use driftless_deltalog::{Deltalog, Error, Result};
use driftless_model::{Advance, Advanced, Budget, Clock, DestinationId, Millis};
use tokio::sync::Mutex;

/// Leases slots from the budget's item in the deltalog, for everybody in this process who waits for one.
///
/// A lease is one write. Who asks while one is under way, or while slots of the last one are still ahead, waits and is served with the
/// others by the next: under load a write covers as many requests as the process sends in the time that its last lease reached
/// ahead. A process that sends one request after another writes once a request.
///
/// Dying with a lease loses its slots, at most a quarter of a second of the budget; leasing twice, after an answer that was lost, too.
pub struct SharedBudget {
    item: Arc<dyn BudgetItem>,
    clock: Arc<dyn Clock>,
    sleep: Arc<dyn Sleep>,
    plan: Option<Plan>,
    /// Who waits for a slot.
    waiting: AtomicU32,
    local: Mutex<Local>,
}

/// How the function waits; virtual in the simulation.
#[async_trait]
pub trait Sleep: Send + Sync {
    /// Returns when `duration` has passed.
    async fn sleep(&self, duration: Duration);
}

/// The one item of a budget, as [`Deltalog`] has it.
#[async_trait]
pub trait BudgetItem: Send + Sync {
    /// The budget; nothing before the first lease.
    async fn read(&self) -> Result<Option<Budget>>;
    /// [`Deltalog::advance_budget`].
    async fn advance(&self, advance: &Advance) -> Result<Advanced>;
    /// [`Deltalog::swap_budget`].
    async fn swap(&self, from: Option<&Budget>, to: &Budget) -> Result<Swap>;
}

struct InDeltalog {
    log: Arc<dyn Deltalog>,
    destination: DestinationId,
}

#[async_trait]
impl BudgetItem for InDeltalog {
    async fn read(&self) -> Result<Option<Budget>> {
        self.log.budget(&self.destination).await
    }
    async fn advance(&self, advance: &Advance) -> Result<Advanced> {
        self.log.advance_budget(&self.destination, advance).await
    }
    async fn swap(&self, from: Option<&Budget>, to: &Budget) -> Result<Swap> {
        self.log.swap_budget(&self.destination, from, to).await
    }
}

/// What this process knows of the budget.
#[derive(Default)]
struct Local {
    /// As it was read, or written, last.
    known: Option<Budget>,
    /// Slots that are leased and not given out.
    left: Option<Lease>,
    /// Where the last lease ends.
    end: i64,
}

/// Leases are asked for this long before the last one ends.
const EARLY: i64 = 50_000;
/// Refused writes in a row after which something is wrong.
const RACES: u32 = 50;
/// Nobody waits longer for others to join a lease.
const PATIENCE: i64 = 250_000;

impl SharedBudget {
    /// The budget of one destination; without a rate every slot is free.
    pub fn new(
        log: Arc<dyn Deltalog>,
        clock: Arc<dyn Clock>,
        sleep: Arc<dyn Sleep>,
        destination: DestinationId,
        rate: Option<Rate>,
    ) -> Self {
        Self::of(Arc::new(InDeltalog { log, destination }), clock, sleep, rate)
    }

    /// The budget that lies in an item.
    pub fn of(item: Arc<dyn BudgetItem>, clock: Arc<dyn Clock>, sleep: Arc<dyn Sleep>, rate: Option<Rate>) -> Self {
        let plan = rate.map(|rate| Plan::new(&rate));
        Self { item, clock, sleep, plan, waiting: AtomicU32::new(0), local: Mutex::default() }
    }

    fn now(&self) -> i64 {
        self.clock.now().0.saturating_mul(1_000)
    }

    async fn pause(&self, micros: i64) {
        if let Ok(micros) = u64::try_from(micros) {
            self.sleep.sleep(Duration::from_micros(micros)).await;
        }
    }

    async fn next(&self, plan: &Plan) -> Result<i64> {
        let mut local = self.local.lock().await;
        if let Some(slot) = local.take() {
            return Ok(slot);
        }
        // Slots that are given out already lie ahead: whoever comes until then is served by the same write.
        let ahead = (local.end - EARLY - self.now()).min(PATIENCE);
        if ahead > 0 {
            self.pause(ahead).await;
        }
        let want = self.waiting.load(Ordering::Relaxed).max(1);
        let lease = self.lease(plan, &mut local, want).await?;
        local.end = lease.end();
        local.left = Some(lease);
        Ok(local.take().unwrap_or(lease.first))
    }

    async fn lease(&self, plan: &Plan, local: &mut Local, want: u32) -> Result<Lease> {
        if local.known.is_none() {
            local.known = self.item.read().await?;
        }
        for _ in 0..RACES {
            let now = self.now();
            if let Some((advance, leased)) = local.known.as_ref().and_then(|known| quick(plan, known, now, want)) {
                match self.item.advance(&advance).await? {
                    Advanced::Leased(first) => {
                        if let Some(known) = &mut local.known {
                            (known.slot, known.count) = (first + advance.by, known.count + advance.slots);
                        }
                        return Ok(Lease { first, ..leased });
                    }
                    Advanced::Refused(there) => {
                        let same_terms = there.as_ref().map(|b| b.epoch) == Some(advance.epoch);
                        local.known = there;
                        if !same_terms {
                            continue;
                        }
                    }
                }
            }
            let (after, leased) = lease(plan, local.known.as_ref(), now, want);
            if self.item.swap(local.known.as_ref(), &after).await? == Swap::Done {
                local.known = Some(after);
                return Ok(leased);
            }
            local.known = self.item.read().await?;
        }
        Err(Error::Unavailable {
            operation: "UpdateItem",
            reason: "too many writers of one rate budget".into(),
            source: None,
        })
    }

    async fn keep(&self, plan: &Plan, said: &Heard) -> Result<()> {
        let mut local = self.local.lock().await;
        for _ in 0..RACES {
            let Some(after) = heard(plan, local.known.as_ref(), self.now(), said) else { return Ok(()) };
            if self.item.swap(local.known.as_ref(), &after).await? == Swap::Done {
                local.known = Some(after);
                // What is leased and not given out would go out in spite of it.
                if matches!(said, Heard::Throttled { .. } | Heard::Away { .. }) {
                    local.left = None;
                }
                return Ok(());
            }
            local.known = self.item.read().await?;
        }
        Ok(())
    }
}

impl Local {
    fn take(&mut self) -> Option<i64> {
        let lease = self.left.as_mut()?;
        let slot = lease.first;
        lease.first += lease.step;
        lease.slots = lease.slots.saturating_sub(1);
        if lease.slots == 0 {
            self.left = None;
        }
        Some(slot)
    }
}

#[async_trait]
impl Pacer for SharedBudget {
    async fn slot(&self) -> Result<Millis, PacerError> {
        let Some(plan) = &self.plan else { return Ok(self.clock.now()) };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let slot = self.next(plan).await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        // The next whole millisecond: never early.
        slot.map(|micros| Millis(micros.saturating_add(999).div_euclid(1_000))).map_err(|e| PacerError(Box::new(e)))
    }

    async fn sleep_until(&self, at: Millis) {
        let wait = at.0.saturating_sub(self.clock.now().0);
        if let Ok(ms) = u64::try_from(wait) {
            self.sleep.sleep(Duration::from_millis(ms)).await;
        }
    }

    async fn heard(&self, said: Heard) {
        let Some(plan) = &self.plan else { return };
        if let Err(error) = self.keep(plan, &said).await {
            tracing::warn!(%error, "what the destination said of its limits was not kept");
        }
    }
}
