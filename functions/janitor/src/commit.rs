//! A settled or closed run becomes part of A, with or without a fold.

use std::collections::{BTreeMap, BTreeSet};

use driftless_changeset::{CallReport, Changeset, Settlement, States, forget_fingerprints, residue, settle};
use driftless_config::Sync;
use driftless_deltalog::head::{self, DeliveredRun, Head, HistoryRef, NewList, ResidueRef, Swap};
use driftless_deltalog::ledger::{Call, CallOutcome, Reject, Run, RunResult, RunState};
use driftless_history::{Against, FileMeta, Fold, Folded, HistoryFile, encode_delta, encode_residue};
use driftless_model::{AckRow, KeyHash, Millis, Operation, Outcome, RowOutcome, Token, Usage};
use driftless_runtime::tell_usage;
use driftless_state::{SyncState, names};

use crate::error::Error;
use crate::sweep::Janitor;

impl Janitor {
    /// Moves A forward by exactly what the ledger says was delivered (DL-2), and keeps the rest as residue (DL-3).
    ///
    /// Called only when nothing of the run is in flight: every call settled, or every lease passed. Repeatable: the same
    /// ledger gives the same settlement; rejections count once a run; objects are written under a private token; the head moves
    /// under "active run = this run ∧ stamp", in one write. If we die before it the next sweep does it again; if we die after it
    /// the run item is marked by the next sweep that finds it committed in the head.
    pub(crate) async fn commit(&self, head: &Head, run: &Run, config: &Sync, deadline: Millis) -> Result<Swap, Error> {
        let calls = self.log.calls(&head.sync, &run.id).await?;
        let changeset = driftless_history::read_changeset(self.objects.as_ref(), &run.changeset).await?;
        let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), head);
        let deltas = state.deltas().await?;
        let named: BTreeSet<KeyHash> = (changeset.rows.iter().map(|r| r.key_hash))
            .chain(changeset.transfers.iter().flat_map(|t| [t.from, t.owner]))
            .collect();
        let a = state.a_rows(&named, &deltas, &run.config.fingerprint).await?;
        let mut reports: Vec<CallReport<'_>> = calls.iter().map(|c| report(c, &changeset)).collect();
        if replaces(&calls) && run.new_list.is_none() && calls.iter().any(was_claimed) {
            // The parts of a session are what the list is when the last one was taken, and nothing before.
            let unfinished = calls.iter().any(|c| c.session.is_some_and(|s| s.last()) && c.outcome.is_none());
            for (report, call) in reports.iter_mut().zip(&calls) {
                report.replaced = true;
                if unfinished && call.session.is_some() && was_claimed(call) {
                    report.outcomes.clear();
                    report.maybe = true;
                }
            }
        }
        let (settlement, new_list) = if run.new_list.is_some() {
            let a = state.all_rows(&deltas).await?;
            self.settle_loading(head, run, config, &calls, &reports, &a).await?
        } else {
            (settle(&a, &reports, &changeset.transfers), None)
        };
        let now = self.clock.now();
        for r in &settlement.rejected {
            let reject = Reject {
                key_hash: r.key_hash,
                attr_hash: r.attr_hash,
                attempts: 0,
                last_run: run.id.clone(),
                reason: r.reason.clone(),
                at: now,
            };
            self.log.count_reject(&head.sync, &reject).await?;
        }
        let result = RunResult {
            delivered: settlement.delivered,
            rejected: settlement.rejected.len() as u64,
            unknown: settlement.unknown,
            undelivered: settlement.undelivered,
            unnamed: calls.iter().filter_map(told).flat_map(|t| t.unnamed.values()).sum(),
        };
        let all = result.delivered + result.unknown + result.undelivered;
        let succeeded_at = (result.delivered >= config.success_threshold.of(all)).then_some(now);
        let until_now = run.usage + calls.iter().map(Call::usage).sum();
        let (swap, usage) = if new_list.is_some() || self.must_fold(head, run, &state, &deltas, &settlement) {
            self.fold_run(head, run, until_now, &state, deltas, settlement, new_list, succeeded_at, deadline).await?
        } else {
            self.append_delta(head, run, until_now, settlement, succeeded_at, deadline).await?
        };
        if swap == Swap::Done {
            tell_usage("run", &head.sync, Some(&run.id), &usage);
            let committed =
                Run { state: RunState::Committed, committed_at: Some(now), result: Some(result), usage, ..run.clone() };
            let _: Swap = self.log.update_run(&committed, &["open", "closing"]).await?;
        }
        Ok(swap)
    }

    fn must_fold(
        &self,
        head: &Head,
        run: &Run,
        state: &SyncState<'_>,
        deltas: &BTreeMap<KeyHash, Option<AckRow>>,
        settlement: &Settlement,
    ) -> bool {
        let rows = head.history.as_ref().map_or(0, |h| h.rows);
        let changed = (deltas.len() + settlement.changed.len()) as u64;
        head.history.is_none()
            || !state.made_under(&run.config.fingerprint)
            || head.delivered.len() + 1 >= self.keeping.folding.runs
            || changed * 100 > rows * self.keeping.folding.share_percent
    }

    /// Commit without a fold: the changed rows become a delta object that the head lists; the versions stay until a fold.
    async fn append_delta(
        &self,
        head: &Head,
        run: &Run,
        until_now: Usage,
        settlement: Settlement,
        succeeded_at: Option<Millis>,
        deadline: Millis,
    ) -> Result<(Swap, Usage), Error> {
        let token = self.tokens.token();
        let object = names::delta(&head.sync, head.incarnation, &token);
        let rows = settlement.changed.len() as u64;
        self.objects.create(&object, encode_delta(&settlement.changed)?).await?;
        let delivered = DeliveredRun {
            run: run.id.clone(),
            object,
            rows,
            through: run.through,
            fingerprint: run.config.fingerprint.clone(),
            at: self.clock.now(),
        };
        self.in_time(deadline)?;
        let own = self.charge(head, until_now);
        let swap = self.log.commit(&head.sync, &head.stamp, &delivered, succeeded_at).await?;
        Ok((swap, self.settled(head, until_now, own, swap)))
    }

    /// The run's usage, and what committing it took so far, travel with the write that commits it. Answers the latter.
    fn charge(&self, head: &Head, until_now: Usage) -> Usage {
        let own = self.meter.take_for(&head.sync);
        self.log.charge(head, until_now + own, self.clock.now());
        own
    }

    /// All that the run has used. Where another sweep has committed it, that one has counted it, and only our own work is left.
    fn settled(&self, head: &Head, until_now: Usage, own: Usage, swap: Swap) -> Usage {
        if swap == Swap::Lost {
            self.meter.owe(&head.sync, own);
        }
        until_now + own + Usage { write_units: head.write_units(), ..Usage::default() }
    }

    /// Commit with a fold: history ⊕ deltas ⊕ this run becomes the next history file, the rest the residue, in one swap.
    #[allow(clippy::too_many_arguments)] // the last step: everything that the commit found out
    async fn fold_run(
        &self,
        head: &Head,
        run: &Run,
        until_now: Usage,
        state: &SyncState<'_>,
        mut deltas: BTreeMap<KeyHash, Option<AckRow>>,
        settlement: Settlement,
        new_list: Option<NewList>,
        succeeded_at: Option<Millis>,
        deadline: Millis,
    ) -> Result<(Swap, Usage), Error> {
        let through = head.delivered.iter().map(|d| d.through).chain([run.through]).max().unwrap_or(run.through);
        let bulk = state.bulk_file(Some(through)).await?;
        let mut states = state.touched(Some(through)).await?.states;
        let fingerprint = &run.config.fingerprint;
        let comparable = state.made_under(fingerprint);
        if !comparable {
            // Acknowledged under another configuration: what this run did not settle is uncertain by hash, identifiers kept.
            forget_fingerprints(deltas.values_mut().flatten());
        }
        deltas.extend(settlement.changed);
        let token = self.tokens.token();
        let (sync, incarnation) = (&head.sync, head.incarnation);
        let list = new_list.as_ref().map_or_else(|| head.list(), |made| made.list.as_str());
        let meta = file_meta(head, list, &token, fingerprint);
        let base = match &head.history {
            Some(h) => Some(HistoryFile::open(self.objects.as_ref(), &h.object).await?),
            None => None,
        };
        let object = names::history(sync, incarnation, &token);
        let mut overlay = deltas;
        // After a bulk version both files are long: they are compared while they are read. Else the records that D touches are
        // few, and what remains of them is found before.
        let left = match &bulk {
            Some(_) => None,
            None => Some(self.left(state, &mut states, &mut overlay, fingerprint).await?),
        };
        let against = bulk.as_ref().map(|bulk| Against { bulk, states: &states });
        let mut fold =
            Fold::new(base.as_ref(), &overlay, bulk.is_some() && !comparable, against, &meta, self.lanes.as_ref())?;
        if let Err(e) = self.objects.create_from(&object, &mut fold).await {
            return Err(e.of_maker::<driftless_history::Error>().map_or_else(Error::from, Error::from));
        }
        let mut folded = fold.finish()?;
        if let Some(left) = left {
            folded = Folded { residue: encode_residue(&left)?, left: left.len() as u64, ..folded };
        }
        let rows = folded.rows;
        let residue = if folded.left == 0 {
            None
        } else {
            let object = names::residue(sync, incarnation, &token);
            self.objects.create(&object, folded.residue).await?;
            Some(ResidueRef { object, count: folded.left })
        };
        let fold = head::Fold {
            from_stamp: head.stamp.clone(),
            run: Some(run.id.clone()),
            delivered: head.delivered.len(),
            stamp: token,
            history: HistoryRef { object, fingerprint: fingerprint.clone(), rows },
            residue,
            through,
            by: run.id.clone(),
            succeeded_at,
            new_list,
            at: self.clock.now(),
        };
        self.in_time(deadline)?;
        let own = self.charge(head, until_now);
        let swap = self.log.fold(sync, &fold).await?;
        Ok((swap, self.settled(head, until_now, own, swap)))
    }

    /// What of A changes, and what remains different (protocol rule 10), where the records that D touches are few.
    async fn left(
        &self,
        state: &SyncState<'_>,
        states: &mut States,
        overlay: &mut BTreeMap<KeyHash, Option<AckRow>>,
        fingerprint: &str,
    ) -> Result<States, Error> {
        let changed: BTreeSet<KeyHash> = overlay.keys().copied().collect();
        // D's states from before: for records that were sent although no version named them.
        state.complete(states, &changed).await?;
        let touched: BTreeSet<KeyHash> = states.keys().copied().collect();
        if !state.made_under(fingerprint) {
            let before = state.a_rows(&touched, &BTreeMap::new(), fingerprint).await?;
            for (k, row) in before {
                overlay.entry(k).or_insert(Some(row));
            }
        }
        let mut after = state.base_rows(&touched).await?;
        for (k, row) in overlay.iter() {
            match row {
                Some(row) => drop(after.insert(*k, row.clone())),
                None => drop(after.remove(k)),
            }
        }
        Ok(residue(states, &after))
    }

    pub(crate) fn in_time(&self, deadline: Millis) -> Result<(), Error> {
        if self.clock.now() < deadline { Ok(()) } else { Err(Error::Deadline) }
    }
}

/// The run replaces the whole list: every member of A is in one of its calls, to be sent again or to leave.
fn replaces(calls: &[Call]) -> bool {
    calls.iter().any(|call| call.session.is_some() || call.operation == Operation::Clear)
}

pub(crate) fn was_claimed(call: &Call) -> bool {
    let looks = matches!(call.operation, Operation::Inspect | Operation::Prepare);
    !looks && (call.outcome.is_some() || call.claim.is_some() || call.maybe || call.progress.is_some())
}

/// The ledger's word on one call. A call without an outcome that was claimed at some time may have been applied.
fn report<'a>(call: &Call, changeset: &'a Changeset) -> CallReport<'a> {
    let first = usize::try_from(call.first_row).unwrap_or(usize::MAX);
    let rows = changeset.rows.get(first..).unwrap_or_default();
    let rows = rows.get(..call.rows as usize).unwrap_or(rows);
    let mut outcomes: BTreeMap<u32, RowOutcome> = BTreeMap::new();
    let told = told(call);
    if let Some(told) = told {
        let covered: Vec<u32> =
            if call.outcome.is_some() { (0..call.rows).collect() } else { call.progress_rows.clone() };
        for number in covered {
            let exception = told.exceptions.get(&number).cloned();
            let remote_id = told.remote_ids.get(&number).cloned();
            outcomes.insert(number, exception.unwrap_or(RowOutcome { outcome: Outcome::Delivered, remote_id }));
        }
    }
    // Accepted, and never heard of to its end.
    for number in call.jobs.iter().flat_map(|job| &job.rows) {
        outcomes.entry(*number).or_insert_with(|| Outcome::Unknown.into());
    }
    let maybe = call.maybe || (call.outcome.is_none() && call.claim.is_some());
    CallReport { rows, outcomes, maybe, replaced: false, at: told.map_or(Millis(0), |t| t.at) }
}

/// What is known of a call: its outcome, or what its claims had found out before the run was closed.
fn told(call: &Call) -> Option<&CallOutcome> {
    call.outcome.as_ref().or(call.progress.as_ref())
}

fn file_meta(head: &Head, list: &str, stamp: &Token, fingerprint: &str) -> FileMeta {
    let names = &head.names;
    FileMeta {
        tenant: names.dataset.tenant().to_string(),
        dataset: names.dataset.dataset().to_owned(),
        source: names.source.clone(),
        kind: names.kind.clone(),
        destination: names.destination.to_string(),
        list: list.to_owned(),
        stamp: stamp.to_string(),
        fingerprint: fingerprint.to_owned(),
    }
}
