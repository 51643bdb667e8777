//! Runs, calls and rejects. The conditions are those of [`crate::ledger::transition`].

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use driftless_model::{AttrHash, KeyHash, Millis, RunId, SyncId, Token};
use futures::{StreamExt, TryStreamExt, stream};

use super::DynamoDeltalog;
use super::attribute::{Attributes, Reader, json, malformed, n, s};
use super::failure::Operation;
use super::fold::raced;
use super::key::{self, SK};
use super::limits::{PARALLEL_BATCHES, RACE_RETRIES};
use super::rows::{jobs_value, outcome_value, read_jobs, read_outcome, read_rows, rows_value};
use super::table::{Change, Range, Write};
use crate::Result;
use crate::head::Swap;
use crate::ledger::{Call, CallOutcome, Claimed, Reject, Run, transition};

const PUT_RUN: Operation = Operation::small("PutItem");
const CALL: Operation = Operation {
    name: "UpdateItem",
    item: "a call (the outcomes and remote ids of its rows)",
    remedy: "configure smaller batches for the destination",
};

pub(super) fn encode_run(run: &Run) -> Result<Attributes> {
    Ok(key::run(&run.sync, &run.id).item([("state", s(run.state.name())), ("run", json(run)?)]))
}

fn decode_run(item: &Attributes) -> Result<Run> {
    Reader::new(item, "a run").json("run")
}

pub(super) fn encode_call(sync: &SyncId, call: &Call) -> Result<Attributes> {
    let mut item = key::call(sync, &call.run, call.number).item([
        ("phase", n(call.phase)),
        ("operation", json(&call.operation)?),
        ("first_row", n(call.first_row)),
        ("rows", n(call.rows)),
        ("lease_until", n(call.lease_until.0)),
        ("maybe", AttributeValue::Bool(call.maybe)),
    ]);
    let optional = [
        ("claim", call.claim.as_ref().map(|c| s(c.as_str()))),
        ("progress", call.progress.as_ref().map(outcome_value).transpose()?),
        ("progress_rows", (!call.progress_rows.is_empty()).then(|| rows_value(&call.progress_rows)).transpose()?),
        ("session", call.session.as_ref().map(json).transpose()?),
        ("jobs", (!call.jobs.is_empty()).then(|| jobs_value(&call.jobs)).transpose()?),
        ("reading", call.reading.as_ref().map(json).transpose()?),
        ("outcome", call.outcome.as_ref().map(outcome_value).transpose()?),
        ("last_error", call.last_error.as_ref().map(s)),
    ];
    item.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Ok(item)
}

fn decode_call(run: &RunId, item: &Attributes) -> Result<Call> {
    let r = Reader::new(item, "a call");
    Ok(Call {
        run: run.clone(),
        number: r.parsed(SK)?,
        phase: r.number("phase")?,
        operation: r.json("operation")?,
        first_row: r.number("first_row")?,
        rows: r.number("rows")?,
        session: r.opt_json("session")?,
        claim: r.opt_text("claim")?.map(Token::new),
        lease_until: Millis(r.number("lease_until")?),
        maybe: r.flag("maybe")?,
        progress: read_outcome(r, "progress")?,
        progress_rows: read_rows(r, "progress_rows")?,
        jobs: read_jobs(r, "jobs")?,
        reading: r.opt_json("reading")?,
        outcome: read_outcome(r, "outcome")?,
        last_error: r.opt_text("last_error")?.map(ToOwned::to_owned),
    })
}

/// Takes a call that has no claim, or the claim `over`, whose lease has passed.
fn claim_change(token: &Token, lease_until: Millis, over: Option<(Token, Millis)>) -> Change {
    let ours = [(":mine", s(token.as_str())), (":until", n(lease_until.0))];
    match over {
        None => Change::new(
            "SET #claim = :mine, #lease_until = :until",
            "attribute_exists(#pk) AND attribute_not_exists(#outcome) AND attribute_not_exists(#claim)",
            ours,
        ),
        Some((claim, lease)) => Change::new(
            "SET #claim = :mine, #lease_until = :until, #maybe = :true",
            "attribute_not_exists(#outcome) AND #claim = :theirs AND #lease_until = :their_lease",
            ours,
        )
        .value(":true", AttributeValue::Bool(true))
        .value(":theirs", s(claim.as_str()))
        .value(":their_lease", n(lease.0)),
    }
}

impl DynamoDeltalog {
    pub(super) async fn write_new_run(&self, run: &Run) -> Result<Swap> {
        match self.table.put_if_absent(PUT_RUN, encode_run(run)?).await? {
            Write::Refused(Some(item)) if decode_run(&item)? != *run => Ok(Swap::Lost),
            _ => Ok(Swap::Done),
        }
    }

    pub(super) async fn read_run(&self, sync: &SyncId, run: &RunId) -> Result<Option<Run>> {
        self.table.get(&key::run(sync, run)).await?.map(|item| decode_run(&item)).transpose()
    }

    pub(super) async fn read_runs(&self, sync: &SyncId, limit: usize) -> Result<Vec<Run>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let range = Range { newest_first: true, limit: Some(limit), ..Range::default() };
        self.table.query(&key::run_partition(sync), range).await?.iter().map(decode_run).collect()
    }

    pub(super) async fn replace_run(&self, run: &Run, from: &[&str]) -> Result<Swap> {
        let names = (0..from.len()).map(|i| format!(":s{i}")).collect::<Vec<_>>().join(", ");
        let values = from.iter().enumerate().map(|(i, state)| (format!(":s{i}"), s(*state))).collect();
        match self.table.put(PUT_RUN, encode_run(run)?, &format!("#state IN ({names})"), values).await? {
            Write::Refused(Some(item)) if decode_run(&item)? == *run => Ok(Swap::Done),
            Write::Refused(_) => Ok(Swap::Lost),
            Write::Done(_) => Ok(Swap::Done),
        }
    }

    pub(super) async fn write_new_calls(&self, sync: &SyncId, calls: &[Call]) -> Result<()> {
        // By number: a closure over references to the elements is not general enough for a boxed future.
        stream::iter(0..calls.len())
            .map(|at| self.write_new_call(sync, &calls[at]))
            .buffer_unordered(PARALLEL_BATCHES)
            .try_collect()
            .await
    }

    async fn write_new_call(&self, sync: &SyncId, call: &Call) -> Result<()> {
        // Refused: it is there.
        self.table.put_if_absent(CALL, encode_call(sync, call)?).await.map(|_| ())
    }

    pub(super) async fn read_call(&self, sync: &SyncId, run: &RunId, number: u32) -> Result<Option<Call>> {
        self.table.get(&key::call(sync, run, number)).await?.map(|item| decode_call(run, &item)).transpose()
    }

    pub(super) async fn read_calls(&self, sync: &SyncId, run: &RunId) -> Result<Vec<Call>> {
        let items = self.table.query(&key::call_partition(sync, run), Range::default()).await?;
        items.iter().map(|item| decode_call(run, item)).collect()
    }

    /// The first claim of a call is one write. A claim over another's, whose lease is over, must set `maybe` and so is
    /// conditioned on exactly that claim.
    pub(super) async fn take_claim(
        &self,
        sync: &SyncId,
        run: &RunId,
        number: u32,
        token: &Token,
        now: Millis,
        lease_until: Millis,
    ) -> Result<Claimed> {
        let key = key::call(sync, run, number);
        let mut over = None;
        for _ in 0..RACE_RETRIES {
            let change = claim_change(token, lease_until, over);
            let stored = match self.table.update(CALL, &key, change, ReturnValue::AllNew).await? {
                Write::Done(item) => return Ok(Claimed::Mine(Box::new(decode_call(run, &item)?))),
                Write::Refused(item) => item.map(|item| decode_call(run, &item)).transpose()?,
            };
            let (claimed, free) = transition::try_claim(stored.as_ref(), token, now, lease_until);
            if free.is_none() {
                return Ok(claimed);
            }
            over = stored.and_then(|call| Some((call.claim?, call.lease_until)));
        }
        Err(raced(CALL))
    }

    /// Replaces what is known of a call; the claim is given back, or kept.
    pub(super) async fn replace_known(
        &self,
        sync: &SyncId,
        call: &Call,
        token: &Token,
        maybe: bool,
        keep_claim: bool,
    ) -> Result<Swap> {
        let mine = (":mine", s(token.as_str()));
        let condition = "attribute_not_exists(#outcome) AND #claim = :mine";
        let mut change = if keep_claim {
            Change::new("SET #claim = :mine", condition, [mine])
        } else {
            Change::new("SET #lease_until = :zero", condition, [(":zero", n(0)), mine])
        };
        if maybe {
            change = change.and(", #maybe = :true").value(":true", AttributeValue::Bool(true));
        }
        let rows = (!call.progress_rows.is_empty()).then(|| rows_value(&call.progress_rows)).transpose()?;
        let replaced = [
            ("progress", call.progress.as_ref().map(outcome_value).transpose()?),
            ("progress_rows", rows),
            ("jobs", (!call.jobs.is_empty()).then(|| jobs_value(&call.jobs)).transpose()?),
            ("reading", call.reading.as_ref().map(json).transpose()?),
            ("last_error", call.last_error.as_ref().map(s)),
        ];
        let mut removed = if keep_claim { Vec::new() } else { vec!["#claim".to_owned()] };
        for (name, value) in replaced {
            match value {
                Some(value) => change = change.and(&format!(", #{name} = :{name}")).value(&format!(":{name}"), value),
                None => removed.push(format!("#{name}")),
            }
        }
        if !removed.is_empty() {
            change = change.and(&format!(" REMOVE {}", removed.join(", ")));
        }
        let key = key::call(sync, &call.run, call.number);
        let known = if keep_claim { transition::try_keep } else { transition::try_release };
        self.swap_call(&call.run, &key, change, |stored| known(stored, call, token, maybe)).await
    }

    pub(super) async fn write_outcome(
        &self,
        sync: &SyncId,
        run: &RunId,
        number: u32,
        token: &Token,
        outcome: &CallOutcome,
    ) -> Result<Swap> {
        let change = Change::new(
            "SET #outcome = :outcome",
            "attribute_not_exists(#outcome) AND #claim = :mine",
            [(":outcome", outcome_value(outcome)?), (":mine", s(token.as_str()))],
        );
        let key = key::call(sync, run, number);
        self.swap_call(run, &key, change, |stored| transition::try_settle(stored, token, outcome)).await
    }

    async fn swap_call(
        &self,
        run: &RunId,
        key: &key::Key,
        change: Change,
        to: impl FnOnce(&Call) -> Option<Call> + Send,
    ) -> Result<Swap> {
        match self.table.update(CALL, key, change, ReturnValue::None).await? {
            Write::Done(_) => Ok(Swap::Done),
            Write::Refused(None) => Ok(Swap::Lost),
            Write::Refused(Some(item)) => {
                let stored = decode_call(run, &item)?;
                Ok(if to(&stored).as_ref() == Some(&stored) { Swap::Done } else { Swap::Lost })
            }
        }
    }

    pub(super) async fn write_reject(&self, sync: &SyncId, reject: &Reject) -> Result<()> {
        let change = Change::new(
            "SET #last_run = :run, #reason = :reason, #at = :at ADD #attempts :one",
            "attribute_not_exists(#last_run) OR #last_run <> :run",
            [
                (":run", s(reject.last_run.as_str())),
                (":reason", s(&reject.reason)),
                (":at", n(reject.at.0)),
                (":one", n(1)),
            ],
        );
        let key = key::reject(sync, reject.key_hash, reject.attr_hash);
        // Refused: this run was counted before.
        self.table.update(Operation::small("UpdateItem"), &key, change, ReturnValue::None).await.map(|_| ())
    }

    pub(super) async fn read_rejects(&self, sync: &SyncId) -> Result<Vec<Reject>> {
        let items = self.table.query(&key::reject_partition(sync), Range::default()).await?;
        items.iter().map(decode_reject).collect()
    }

    pub(super) async fn remove_rejects(
        &self,
        sync: &SyncId,
        which: Option<(KeyHash, Option<AttrHash>)>,
    ) -> Result<u64> {
        let prefix = match which {
            Some((key, Some(attr))) => Some(format!("{key}#{attr}")),
            Some((key, None)) => Some(format!("{key}#")),
            None => None,
        };
        let range = Range { prefix: prefix.as_deref(), keys_only: true, ..Range::default() };
        let keys = self.table.query(&key::reject_partition(sync), range).await?;
        let count = keys.len() as u64;
        self.table.delete_all(keys).await?;
        Ok(count)
    }
}

fn decode_reject(item: &Attributes) -> Result<Reject> {
    let r = Reader::new(item, "a reject");
    let other = || malformed("a reject", "attribute sk has another form");
    let (key, attr) = r.text(SK)?.split_once('#').ok_or_else(other)?;
    Ok(Reject {
        key_hash: key.parse().map_err(|_| other())?,
        attr_hash: attr.parse().map_err(|_| other())?,
        attempts: r.number("attempts")?,
        last_run: RunId::new(r.text("last_run")?),
        reason: r.text("reason")?.to_owned(),
        at: Millis(r.number("at")?),
    })
}
