//! What planning decided, and what of it is kept whether or not a run comes of it.

use std::collections::BTreeSet;

use driftless_changeset::Net;
use driftless_deltalog::head::{Head, Hold, Swap};
use driftless_deltalog::ledger::Counts;
use driftless_model::{KeyHash, Operation};
use driftless_state::{Rest, names};

use crate::calls::Rows;
use crate::error::Error;
use crate::plan::Planner;
use crate::setting::Setting;
use crate::strategy::{Alternative, Way};

/// What planning decided, before anything is written.
pub(crate) struct Decision {
    pub(crate) way: Way,
    /// The strategy, and why.
    pub(crate) strategy: String,
    pub(crate) alternatives: Vec<Alternative>,
    pub(crate) net: Net,
    pub(crate) a_size: u64,
    pub(crate) run_hold: Option<(BTreeSet<KeyHash>, String)>,
    pub(crate) over: Vec<(u64, String)>,
    /// What is left to the runs after this one.
    pub(crate) rest: Option<Rest>,
    /// Bytes that what is sent may take.
    pub(crate) sent_bytes: u64,
}

impl Decision {
    /// Leaves more to the runs after this one.
    pub(crate) fn leaves(&mut self, later: Rest) {
        if later.waiting() > 0 {
            let rest = self.rest.get_or_insert_default();
            rest.adds += later.adds;
            rest.updates += later.updates;
        }
    }
}

impl Planner {
    /// A run-level hold is placed before anything is planned around it; holds that hold nobody any more are dropped.
    pub(crate) async fn write_holds(&self, head: &Head, setting: &Setting, decision: &Decision) -> Result<(), Error> {
        if let Some((keys, reason)) = &decision.run_hold {
            let object = names::hold(&head.sync, setting.entry.incarnation, &self.tokens.token());
            self.objects.create(&object, driftless_history::encode_holds(keys)?).await?;
            let hold = Hold {
                object,
                count: keys.len() as u64,
                reason: reason.clone(),
                since: self.clock.now(),
                approved_at: None,
            };
            let number = Head::run_hold(head.version);
            // Lost: the state moved, or the hold is there; either way activation is checked against what was read.
            let _: Swap = self.log.place_hold(&head.sync, &head.guard(), number, &hold).await?;
        }
        for (number, object) in &decision.over {
            let _: Swap = self.log.drop_hold(&head.sync, *number, object).await?;
        }
        Ok(())
    }
}

pub(crate) fn counts(net: &Net, rows: &Rows) -> Counts {
    let of = |op| rows.rows.iter().filter(|r| r.operation == op).count() as u64;
    Counts {
        adds: of(Operation::Add),
        updates: of(Operation::Update),
        removals: of(Operation::Remove),
        held: net.held.len() as u64 + net.beyond_horizon,
        quarantined: net.quarantined,
    }
}

pub(crate) fn removed(net: &Net) -> impl Iterator<Item = KeyHash> + '_ {
    net.removals.iter().map(|r| r.key_hash)
}
