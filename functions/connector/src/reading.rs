//! A call that reads the list, to be compared with what was acknowledged.

use std::collections::BTreeMap;

use driftless_connector::{Connector, ListState, ReadPage, Stop, read_page};
use driftless_deltalog::head::Swap;
use driftless_deltalog::ledger::{Call, CallOutcome, Reading, Run};
use driftless_history::encode_members;
use driftless_model::{Member, Millis, Token};
use driftless_state::names;

use crate::deliver::{Delivered, Delivery, reason};
use crate::error::Error;

/// Members that are written into one object.
const AT_ONCE: usize = 50_000;

/// A cursor that has rested for so long is not trusted: the list is read from its beginning, in milliseconds.
const RESTED: i64 = 3_600_000;

/// The wait before reading goes on in another claim, in milliseconds.
const NEXT_CLAIM: i64 = 1_000;

impl Delivery {
    /// Reads the list as far as the claim reaches, page by page, and goes on in the next claim where it does not reach to the end.
    ///
    /// What was read is an object first, then named by the call together with the cursor that comes after it, under the claim.
    /// * Dies after an object was written, before the call names it: the next claim reads these pages again, into an object of
    ///   another name; the first one expires with its prefix.
    /// * Dies after the last page was kept, before the outcome: the next claim reads the list again.
    /// * Two workers: the second write of the call is lost, because the claim is not its any more.
    ///
    /// A cursor that the destination no longer knows costs what was read: the list is read again from its beginning, once a claim.
    pub(crate) async fn read_list(
        &self,
        connector: &dyn Connector,
        run: &Run,
        mut call: Call,
        token: &Token,
        stop_before: Millis,
    ) -> Result<Delivered, Error> {
        let going_on = |r: &Reading| r.cursor.is_some() && self.clock.now() < r.at.plus(RESTED);
        let mut reading = call.reading.take().filter(going_on).unwrap_or_default();
        let (mut members, mut requests, mut again) = (Vec::new(), 0, false);
        if run.compares.is_some_and(|compares| compares.first) && connector.inspect().await == Ok(ListState::Empty) {
            // Perhaps it is still to be created.
            let usage = self.used(&call, run);
            let known = self.known(&call, &BTreeMap::new(), &BTreeMap::new(), 1, usage);
            call.reading = Some(Reading::default());
            return self.end_reading(run, &call, token, &known).await;
        }
        let stop = loop {
            let (pacer, clock, cursor) = (self.pacer.as_ref(), self.clock.as_ref(), reading.cursor.as_deref());
            let ReadPage { page, requests: made } =
                read_page(connector, pacer, clock, cursor, stop_before, self.timing.request_timeout).await;
            requests += made;
            match page {
                Ok(page) => {
                    members.extend(page.members);
                    reading.at = self.clock.now();
                    reading.cursor = page.next;
                    if reading.cursor.is_none() {
                        break None;
                    }
                    if members.len() >= AT_ONCE {
                        self.keep_members(run, token, &mut reading, &mut members).await?;
                        let kept = Call { reading: Some(reading.clone()), ..call.clone() };
                        if self.log.keep(&run.sync, &kept, token, false).await? == Swap::Lost {
                            return Ok(Delivered::Dropped);
                        }
                    }
                }
                Err(Stop::Fatal { .. }) if reading.cursor.is_some() && !again => {
                    (reading, again) = (Reading::default(), true);
                    members.clear();
                }
                // Not a receive of the message that failed: there is only more to read than one claim has time for.
                Err(Stop::Deadline) => break Some(Stop::Pending { until: self.clock.now().plus(NEXT_CLAIM) }),
                Err(stop) => break Some(stop),
            }
        };
        self.keep_members(run, token, &mut reading, &mut members).await?;
        let found = reading.members;
        let usage = self.used(&call, run);
        let known = self.known(&call, &BTreeMap::new(), &BTreeMap::new(), requests, usage);
        call.reading = Some(reading);
        let Some(stop) = stop else {
            tracing::info!(run_id = %run.id, members = found, "the remote list was read");
            return self.end_reading(run, &call, token, &known).await;
        };
        call.progress = Some(known);
        call.last_error = reason(&stop).map(str::to_owned);
        let released = self.log.release(&run.sync, &call, token, false).await?;
        self.carried();
        if released == Swap::Lost {
            return Ok(Delivered::Dropped);
        }
        let stopped = self.stop(run, &call, stop).await?;
        if stopped == Delivered::Parked && !run.compares.is_some_and(|compares| compares.first) {
            // Nothing is sent while a comparison is active, so the janitor ends it at once.
            self.sweep(run).await?;
        }
        Ok(stopped)
    }

    /// Writes what was read, so that the call can name it.
    async fn keep_members(
        &self,
        run: &Run,
        token: &Token,
        reading: &mut Reading,
        members: &mut Vec<Member>,
    ) -> Result<(), Error> {
        if members.is_empty() {
            return Ok(());
        }
        let object = names::members(&run.sync, &run.id, token, reading.objects.len());
        self.objects.create(&object, encode_members(members)?).await?;
        reading.members += members.len() as u64;
        reading.objects.push(object);
        members.clear();
        Ok(())
    }

    /// All is read: the call names it, then settles.
    async fn end_reading(
        &self,
        run: &Run,
        call: &Call,
        token: &Token,
        known: &CallOutcome,
    ) -> Result<Delivered, Error> {
        if self.log.keep(&run.sync, call, token, false).await? == Swap::Lost {
            return Ok(Delivered::Dropped);
        }
        let settled = self.log.settle(&run.sync, &run.id, call.number, token, known).await?;
        self.carried();
        if settled == Swap::Lost {
            return Ok(Delivered::Dropped);
        }
        self.ask_for_sweep(run).await?;
        Ok(Delivered::Settled { delivered: 0, other: 0, requests: known.requests })
    }
}
