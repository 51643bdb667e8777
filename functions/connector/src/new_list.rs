//! Lists that runs make, and lists that are to go (docs/adr/0022-new-lists.md).

use driftless_connector::{Connector, Failure};
use driftless_deltalog::Deltalog;
use driftless_deltalog::head::{Head, Named, OldList, Swap};
use driftless_deltalog::ledger::{Call, CallOutcome, Run};
use driftless_model::{Clock, DestinationId, SyncId, Token};

use crate::deliver::{Delivered, Delivery};
use crate::error::Error;

/// The call of a run that makes its list: the first.
const MAKES: u32 = 0;

/// The list that a call of a run goes to, as the ledger says it: the one that the run has made, or the one that the sync went
/// by when it was planned. Nothing: the run has not made its list yet, and the call must wait for that.
///
/// # Errors
/// [`Error`]: the ledger could not be read.
pub async fn list_of(log: &dyn Deltalog, run: &Run, number: u32) -> Result<Option<String>, Error> {
    if run.new_list.is_none() || number == MAKES {
        return Ok(Some(run.list.clone()));
    }
    let made = log.call(&run.sync, &run.id, MAKES).await?.and_then(|call| call.outcome);
    Ok(made.and_then(|outcome| outcome.list))
}

impl Delivery {
    /// Makes the list that the run loads.
    ///
    /// * We die before it is asked for: the next claim asks.
    /// * It was made and we did not hear, or died before the outcome was written: the next claim asks for the same name, and takes
    ///   the list that is there. If the run is closed instead, a list of that name is retired, whether or not it was made.
    /// * The outcome was written: from here on every call of the run goes there.
    pub(crate) async fn make_list(
        &self,
        connector: &dyn Connector,
        run: &Run,
        mut call: Call,
        token: &Token,
        name: &str,
    ) -> Result<Delivered, Error> {
        let failure = match connector.create_list(name).await {
            Ok(list) => {
                let usage = self.used(&call, run);
                let at = self.clock.now();
                let outcome = CallOutcome { requests: 1, at, usage, list: Some(list), ..CallOutcome::default() };
                let settled = self.log.settle(&run.sync, &run.id, call.number, token, &outcome).await?;
                self.carried();
                if settled == Swap::Lost {
                    return Ok(Delivered::Dropped);
                }
                self.ask_for_sweep(run).await?;
                return Ok(Delivered::Settled { delivered: 0, other: 0, requests: 1 });
            }
            Err(failure) => failure,
        };
        call.last_error = Some(failure.to_string());
        let maybe = call.maybe || matches!(failure, Failure::Unavailable { .. });
        if self.log.release(&run.sync, &call, token, maybe).await? == Swap::Lost {
            return Ok(Delivered::Dropped);
        }
        self.stop(run, &call, self.stop_of(failure)).await
    }
}

/// What came of old lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Retired now.
    pub retired: u32,
    /// Still there: the head says why, and the janitor asks again.
    pub failed: u32,
}

/// Retires the old lists of a sync that are at this destination: first their names are passed on, where lists have names, then
/// they are deleted, then the head forgets them.
///
/// Every step is repeatable, so a death between any two costs a repetition. A list that cannot be retired stays in the head with
/// the reason; it holds nothing else up. The list of the active run is not touched, nor is the one that the sync goes by.
///
/// # Errors
/// [`Error`]: the head could not be read or written; the message should come back.
pub async fn retire(
    log: &dyn Deltalog,
    clock: &dyn Clock,
    connector: &dyn Connector,
    destination: &DestinationId,
    sync: &SyncId,
) -> Result<Retired, Error> {
    let mut done = Retired::default();
    let Some(head) = log.head(sync).await? else { return Ok(done) };
    for old in due(&head, clock, destination) {
        match retire_one(log, connector, sync, &head, old.clone()).await? {
            None => done.retired += 1,
            Some((old, failure)) => {
                tracing::warn!(sync_id = %sync, run_id = %old.run, %failure, "an old list could not be retired yet");
                let failures = old.failures.saturating_add(1);
                let told = OldList { failures, last_error: Some(failure.to_string()), ..old.clone() };
                // Lost: another worker knows more.
                let _: Swap = log.replace_old_list(sync, &old, Some(&told)).await?;
                done.failed += 1;
            }
        }
    }
    Ok(done)
}

/// Which old lists may go now.
fn due<'a>(
    head: &'a Head,
    clock: &dyn Clock,
    destination: &'a DestinationId,
) -> impl Iterator<Item = &'a OldList> + use<'a> {
    let now = clock.now();
    let old = head.lists.old.iter();
    old.filter(move |o| o.destination == *destination && o.since <= now && head.active_run.as_ref() != Some(&o.run))
}

/// Nothing: it is retired. Else how it stands, and why.
async fn retire_one(
    log: &dyn Deltalog,
    connector: &dyn Connector,
    sync: &SyncId,
    head: &Head,
    mut old: OldList,
) -> Result<Option<(OldList, Failure)>, Error> {
    let found = match &old.list {
        Named::Called(list) => Ok(list.clone()),
        // Asking for the name finds the list, or makes one that goes at once.
        Named::AskedFor(name) => connector.create_list(name).await,
    };
    let mut list = match found {
        Ok(list) => list,
        Err(failure) => return Ok(Some((old, failure))),
    };
    if let Some(successor) = old.successor.clone() {
        let mark = format!(" (before {})", old.run);
        match connector.pass_name_on(&list, &successor, &mark).await {
            Ok(called) => list = called,
            Err(failure) => return Ok(Some((old, failure))),
        }
        // Written down, so that a name is not taken back from a list that has passed it on itself meanwhile.
        let passed = OldList { list: Named::Called(list.clone()), successor: None, ..old.clone() };
        if log.replace_old_list(sync, &old, Some(&passed)).await? == Swap::Lost {
            return Ok(None);
        }
        old = passed;
    }
    if list == head.list() {
        let reason = "it is the list that the sync goes by".to_owned();
        return Ok(Some((old, Failure::Fatal { reason })));
    }
    match connector.retire_list(&list).await {
        Ok(()) => {
            let _: Swap = log.replace_old_list(sync, &old, None).await?;
            Ok(None)
        }
        Err(failure) => Ok(Some((old, failure))),
    }
}
