//! What a run would do, without writing anything.

use driftless_deltalog::ledger::{Call, Counts};
use driftless_model::{KeyHash, RunId, SyncId};
use driftless_state::SyncState;

use crate::calls::lay_out;
use crate::decision::{counts, removed};
use crate::error::Error;
use crate::payloads::Payloads;
use crate::plan::Planner;
use crate::setting::first_call;
use crate::strategy::Alternative;

/// What `driftless plan` shows.
#[derive(Clone, Debug)]
pub struct Preview {
    /// What would be sent.
    pub counts: Counts,
    /// The calls it would take.
    pub calls: Vec<Call>,
    /// Key hashes of some records concerned.
    pub sample: Vec<KeyHash>,
    /// What the run's guard would hold, and why.
    pub held: Option<String>,
    /// Members of the list.
    pub list: u64,
    /// The strategy, and why.
    pub strategy: String,
    /// What the destination could be asked for.
    pub alternatives: Vec<Alternative>,
    /// What one call costs at the destination, in nano-dollars, where that is known.
    pub price_per_call: Option<u64>,
    /// The destination's rate budget.
    pub rate: Option<driftless_config::destination::Rate>,
}

impl Planner {
    /// Decides what to send without writing anything: what `driftless plan` shows.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    pub async fn preview(&self, sync: &SyncId) -> Result<Option<Preview>, Error> {
        let Some(entry) = self.log.sync(sync).await? else { return Ok(None) };
        let head = self.log.head(sync).await?.filter(|h| h.incarnation == entry.incarnation);
        let Some(head) = head.filter(|h| h.snapshot.is_some()) else { return Ok(None) };
        let setting = self.setting(entry).await?;
        let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), &head);
        let mut decision = self.decide(&head, &setting, &state).await?;
        let Payloads { by_key, .. } = self.payloads(&head, &setting, &mut decision).await?;
        let rows = lay_out(&decision.net, by_key, &setting.capabilities, decision.way);
        let calls = rows.calls(&RunId::new("preview"), &setting.capabilities, first_call(&head, &setting));
        Ok(Some(Preview {
            counts: counts(&decision.net, &rows),
            sample: decision.net.sends.iter().map(|s| s.key_hash).chain(removed(&decision.net)).take(10).collect(),
            held: decision.run_hold.map(|(_, reason)| reason),
            list: decision.a_size,
            strategy: decision.strategy,
            alternatives: decision.alternatives,
            price_per_call: setting.capabilities.price_per_call,
            rate: setting.capabilities.rate,
            calls,
        }))
    }
}
