//! A run that has loaded a new list: does it take the place of the old one, and which of the two is to go
//! (docs/adr/0022-new-lists.md).

use std::collections::{BTreeMap, BTreeSet};

use driftless_changeset::{CallReport, Settlement, dropped_by_new_list, settle_new_list};
use driftless_config::Sync;
use driftless_delivery::{Message, Outgoing};
use driftless_deltalog::head::{Head, Named, NewList, OldList, Swap};
use driftless_deltalog::ledger::{Call, Run};
use driftless_model::{AckRow, KeyHash, Operation};

use crate::error::Error;
use crate::sweep::Janitor;

impl Janitor {
    /// What the run has come to. Its list takes the place of the old one if every call has settled, no row of it is uncertain, and
    /// the destination has refused no more members than a guard allows to be removed at once. Else A stays what it
    /// is, and the list that was made, or may have been, is named in the head to be retired: before the run is committed, so that
    /// it is not forgotten if we die in between.
    pub(crate) async fn settle_loading(
        &self,
        head: &Head,
        run: &Run,
        config: &Sync,
        calls: &[Call],
        reports: &[CallReport<'_>],
        a: &BTreeMap<KeyHash, AckRow>,
    ) -> Result<(Settlement, Option<NewList>), Error> {
        let settlement = settle_new_list(a, reports);
        let making = calls.iter().find(|call| call.operation == Operation::Prepare);
        let made = making.and_then(|call| call.outcome.as_ref()).and_then(|outcome| outcome.list.clone());
        let old = |list: Named, successor: Option<String>| OldList {
            run: run.id.clone(),
            destination: head.names.destination.clone(),
            list,
            successor,
            since: self.clock.now(),
            failures: 0,
            last_error: None,
        };
        let settled = calls.iter().all(|call| call.outcome.is_some()) && settlement.unknown == 0;
        let allowed = config.guards.max_removals.of(a.len() as u64);
        match made {
            Some(list) if settled && dropped_by_new_list(a, reports) <= allowed => {
                let old = old(Named::Called(head.list().to_owned()), Some(list.clone()));
                Ok((settlement, Some(NewList { list, old })))
            }
            made => {
                let name = || run.new_list.clone().unwrap_or_default();
                let asked = making.is_some_and(|c| c.outcome.is_some() || c.claim.is_some() || c.maybe);
                if let Some(list) = made.map(Named::Called).or_else(|| asked.then(|| Named::AskedFor(name()))) {
                    // Lost: the run is not the active one any more, so another sweep has committed it, which is found out next.
                    let _: Swap = self.log.put_old_list(&head.sync, &old(list, None)).await?;
                }
                Ok((in_vain(settlement), None))
            }
        }
    }

    /// Has old lists retired. What fails is asked for again by every periodic sweep, and never keeps a run from being planned.
    pub(crate) async fn ask_to_retire(&self, head: &Head) -> Result<(), Error> {
        let now = self.clock.now();
        let waits = |o: &&OldList| o.since <= now && head.active_run.as_ref() != Some(&o.run);
        let at: BTreeSet<_> = head.lists.old.iter().filter(waits).map(|o| &o.destination).collect();
        if at.is_empty() {
            return Ok(());
        }
        let message = Outgoing::from(&Message::Retire { sync: head.sync.clone() });
        for destination in self.log.destinations().await?.iter().filter(|d| at.contains(&d.destination)) {
            self.queue.send(&destination.queue_url, core::slice::from_ref(&message)).await?;
        }
        Ok(())
    }
}

/// A stays what it was, and nothing counts but what was refused.
fn in_vain(settlement: Settlement) -> Settlement {
    let rows = settlement.delivered + settlement.unknown + settlement.undelivered;
    Settlement { rejected: settlement.rejected, undelivered: rows, ..Settlement::default() }
}
