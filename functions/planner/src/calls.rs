//! From what must be sent to rows, and from rows to the fewest calls, in the phases that keep removals before the sends that
//! touch the same record.

use std::collections::BTreeMap;

use driftless_changeset::{BatchLimit, Net, PlannedRow, pack};
use driftless_connector::{Capabilities, Limits, Replace};
use driftless_delivery::{Message, Outgoing};
use driftless_deltalog::ledger::{Call, Run};
use driftless_model::{KeyHash, Millis, Operation, RunId, Session};
use driftless_snapshot::Record;

use crate::strategy::Way;

/// A record whose payload is larger than one request of the destination may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oversized {
    /// The record.
    pub key_hash: KeyHash,
    /// The state that cannot be sent.
    pub attr_hash: driftless_model::AttrHash,
}

/// Rows in call order, each with the phase in which its call may be queued.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The changeset's rows: removals, updates, adds; within an operation those of an earlier phase first.
    pub rows: Vec<PlannedRow>,
    phases: Vec<u8>,
    way: Way,
    /// Refused by us, before sending.
    pub oversized: Vec<Oversized>,
}

/// The JSON text around the records of a request, reserved out of its byte limit.
const ENVELOPE_BYTES: u64 = 512;

/// Lays out the rows of a net change. `records` has the payload of every send.
#[must_use]
pub fn lay_out(net: &Net, mut records: BTreeMap<KeyHash, Record>, capabilities: &Capabilities, way: Way) -> Rows {
    let mut planned: Vec<(u8, u8, PlannedRow)> = Vec::new();
    let mut oversized = Vec::new();
    for r in &net.removals {
        let phase = u8::from(way == Way::FullThenRemove && !r.before_send) * 2;
        let row = PlannedRow {
            operation: Operation::Remove,
            key_hash: r.key_hash,
            key: r.key.clone(),
            attr_hash: None,
            identifiers: r.identifiers.clone(),
            remote_id: r.remote_id.clone(),
            fields: None,
        };
        planned.push((0, phase, row));
    }
    for s in &net.sends {
        let Some(record) = records.remove(&s.key_hash) else { continue };
        let operation = if way.loading().is_some() { Operation::Add } else { supported(s.operation, capabilities) };
        let row = PlannedRow {
            operation,
            key_hash: s.key_hash,
            key: record.key,
            attr_hash: Some(s.state.attr_hash),
            identifiers: record.identifiers,
            remote_id: s.remote_id.clone(),
            fields: Some(serde_json::Value::Object(record.fields).to_string()),
        };
        if limit(capabilities, operation, way).bytes.is_some_and(|most| size(&row) > most) {
            oversized.push(Oversized { key_hash: s.key_hash, attr_hash: s.state.attr_hash });
            continue;
        }
        let order = if operation == Operation::Update { 1 } else { 2 };
        planned.push((order, u8::from(s.after_removal), row));
    }
    // Stable: key-hash order within an operation and phase. Sends that wait come last, so that the fewest calls wait.
    planned.sort_by_key(|(order, phase, _)| (*order, *phase));
    let (phases, rows) = planned.into_iter().map(|(_, phase, row)| (phase, row)).unzip();
    Rows { rows, phases, way, oversized }
}

/// A destination without an update of its own takes an add of what is there as one.
fn supported(operation: Operation, capabilities: &Capabilities) -> Operation {
    match operation {
        Operation::Update if capabilities.update.is_none() => Operation::Add,
        Operation::Add if capabilities.add.is_none() => Operation::Update,
        other => other,
    }
}

fn limit(capabilities: &Capabilities, operation: Operation, way: Way) -> BatchLimit {
    let limits: Option<Limits> = match way.loading() {
        Some(Replace::Session { limits, .. }) => Some(limits),
        _ => capabilities.limits(operation),
    };
    limits.map_or(BatchLimit { records: 1, bytes: None }, |l| BatchLimit {
        records: l.records.get(),
        bytes: l.bytes.map(|b| b.get().saturating_sub(ENVELOPE_BYTES).max(1)),
    })
}

/// What a row takes of a request's body, rounded up: its fields, or its identifiers.
fn size(row: &PlannedRow) -> u64 {
    let identifiers: usize = row.identifiers.iter().map(|i| i.field.len() + i.value.len() + 8).sum();
    let fields = row.fields.as_ref().map_or(0, String::len);
    (fields.max(identifiers) + row.remote_id.as_ref().map_or(0, |id| id.len() + 16) + 2) as u64
}

impl Rows {
    /// Cuts the rows into calls, in order. A call that contains a waiting row waits as a whole, so their number stays the
    /// fewest that both limits allow. `opening` comes before all others.
    #[must_use]
    pub fn calls(&self, run: &RunId, capabilities: &Capabilities, opening: Option<Operation>) -> Vec<Call> {
        let mut calls: Vec<Call> = opening.map(|operation| call(run, 0, 0, operation, 0, 0)).into_iter().collect();
        if let Some(replace) = self.way.loading() {
            self.replacing(replace, run, capabilities, &mut calls);
            return calls;
        }
        let mut start = 0;
        while let Some(operation) = self.rows.get(start).map(|r| r.operation) {
            let same = self.rows.iter().skip(start).take_while(|r| r.operation == operation).count();
            let sizes: Vec<u64> = self.rows.iter().skip(start).take(same).map(size).collect();
            for range in pack(&sizes, limit(capabilities, operation, self.way)) {
                let first = start + range.first;
                let last = first + range.rows as usize;
                let phase = self.phases.get(first..last).and_then(|p| p.iter().max()).copied().unwrap_or(0);
                let number = u32::try_from(calls.len()).unwrap_or(u32::MAX);
                calls.push(call(run, number, phase + u8::from(opening.is_some()), operation, first as u64, range.rows));
            }
            start += same;
        }
        calls
    }

    /// The calls that replace the whole list. Who left is taken out by the replacement itself: these rows belong to the call that
    /// clears, and are acknowledged with it. Where a session replaces, or a new list is loaded, that call makes no request, and
    /// comes after the last part.
    fn replacing(&self, replace: Replace, run: &RunId, capabilities: &Capabilities, calls: &mut Vec<Call>) {
        let removals = self.rows.iter().take_while(|row| row.operation == Operation::Remove).count();
        let sizes: Vec<u64> = self.rows.iter().skip(removals).map(size).collect();
        let parts = pack(&sizes, limit(capabilities, Operation::Add, self.way));
        let (opened, count) = (u8::from(!calls.is_empty()), parts.len());
        let clear =
            |phase: u8| call(run, 0, opened + phase, Operation::Clear, 0, u32::try_from(removals).unwrap_or(u32::MAX));
        let mut replacing = Vec::with_capacity(count + 1);
        if replace == Replace::ClearFirst {
            replacing.push(clear(0));
        }
        let number = session_number(run);
        for (index, range) in parts.iter().enumerate() {
            let phase = match replace {
                Replace::ClearFirst => 1,
                Replace::ClearAfter => 0,
                Replace::Session { .. } if index == 0 => 0,
                Replace::Session { .. } if index + 1 == count => 2,
                Replace::Session { .. } => 1,
            };
            let mut part = call(run, 0, opened + phase, Operation::Add, (removals + range.first) as u64, range.rows);
            if let Replace::Session { .. } = replace {
                let of = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                part.session =
                    Some(Session { number, part: of(index + 1), parts: of(count), records: sizes.len() as u64 });
            }
            replacing.push(part);
        }
        match replace {
            Replace::ClearFirst => {}
            Replace::ClearAfter if removals > 0 || self.way == Way::Replace(replace) => replacing.push(clear(1)),
            Replace::ClearAfter => {}
            Replace::Session { .. } if removals > 0 => replacing.push(clear(3)),
            Replace::Session { .. } => {}
        }
        for call in replacing {
            let number = u32::try_from(calls.len()).unwrap_or(u32::MAX);
            calls.push(Call { number, ..call });
        }
    }
}

/// Names the session of a run at its destination: FNV-1a of the run's name, below 2^63.
fn session_number(run: &RunId) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    run.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, fold) >> 1
}

fn call(run: &RunId, number: u32, phase: u8, operation: Operation, first_row: u64, rows: u32) -> Call {
    Call {
        run: run.clone(),
        number,
        phase,
        operation,
        first_row,
        rows,
        session: None,
        claim: None,
        lease_until: Millis(0),
        maybe: false,
        progress: None,
        progress_rows: Vec::new(),
        jobs: Vec::new(),
        outcome: None,
        last_error: None,
    }
}

/// The messages for the open calls of one phase.
pub(crate) fn messages(run: &Run, calls: &[Call], phase: u8) -> Vec<Outgoing> {
    let open = calls.iter().filter(|c| c.phase == phase && c.outcome.is_none());
    open.map(|c| {
        let message = Message::Call {
            sync: run.sync.clone(),
            run: run.id.clone(),
            number: c.number,
            operation: c.operation,
            first_row: c.first_row,
            rows: c.rows,
            changeset: run.changeset.clone(),
        };
        Outgoing::from(&message)
    })
    .collect()
}
