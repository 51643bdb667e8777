//! What the traces mean. Pure.

use driftless_deltalog::item::ChangeOp;
use driftless_model::{Operation, Outcome};
use serde::Serialize;

use super::ERASURE;
use super::facts::{DeliveryFact, Facts, HoldFact, Sent, VersionFact};
use crate::time::utc;

/// How a record stands in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// In the list, as it should be.
    InSync,
    /// To be added by the next run.
    ToAdd,
    /// To be updated by the next run.
    ToUpdate,
    /// To be removed by the next run.
    ToRemove,
    /// A run is sending it.
    Sending,
    /// Sent, and no answer came: it may or may not be in the list. Sent again, or removed, by the next run.
    Uncertain,
    /// A guard keeps its change back.
    Held,
    /// The destination refused it; the next run tries again.
    Rejected,
    /// The destination refused it too often; left alone until it changes or is released.
    Quarantined,
    /// Erased: in no list of the dataset.
    Erased,
    /// Was in the list, or was to be, and is not selected any more.
    Gone,
    /// No snapshot that was taken up had it, and every one is still known.
    NeverSeen,
    /// Neither selected nor in the list; older details have expired.
    NotInList,
}

/// The story of one record, as it is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Story {
    pub(crate) sync: String,
    pub(crate) key_hash: String,
    pub(crate) state: State,
    /// The state in one sentence.
    pub(crate) summary: String,
    /// The newest snapshot selects it.
    pub(crate) in_selection: bool,
    /// It is, or may be, in the remote list.
    pub(crate) member: bool,
    pub(crate) member_since: Option<String>,
    pub(crate) last_acknowledged_at: Option<String>,
    pub(crate) remote_id: Option<String>,
    /// What the remote list has, or may have, of it.
    pub(crate) identifiers: Vec<Named>,
    /// Oldest first.
    pub(crate) changes: Vec<Change>,
    /// Oldest first.
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) rejects: Vec<Rejection>,
    pub(crate) holds: Vec<Held>,
    pub(crate) last_error: Option<String>,
    /// What is not known any more, and why.
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Named {
    pub(crate) field: String,
    pub(crate) value: String,
}

/// What one snapshot did to it, and what became of that.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) op: ChangeOp,
    /// Object key of the snapshot; none where a person had the record erased.
    pub(crate) snapshot: Option<String>,
    /// The snapshot's time.
    pub(crate) snapshot_time: String,
    pub(crate) logged_at: String,
    pub(crate) committed_at: Option<String>,
    /// The run that ended with another state in its place.
    pub(crate) superseded_by: Option<String>,
    /// The last delivery of a run that covered it.
    pub(crate) run: Option<String>,
    pub(crate) call: Option<u32>,
    pub(crate) outcome: Option<&'static str>,
    pub(crate) at: Option<String>,
}

/// One row of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Delivery {
    pub(crate) run: String,
    pub(crate) run_state: &'static str,
    pub(crate) call: Option<u32>,
    pub(crate) operation: Operation,
    /// `delivered`, `rejected`, `retry`, `unknown`, `suppressed`, `in_flight` or `not_sent`.
    pub(crate) outcome: &'static str,
    pub(crate) reason: Option<String>,
    /// When the destination answered; when the run was planned, if it has not.
    pub(crate) at: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Rejection {
    pub(crate) attempts: u32,
    pub(crate) reason: String,
    pub(crate) at: String,
    pub(crate) quarantined: bool,
    /// The state that was refused is the present one.
    pub(crate) current: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Held {
    pub(crate) version: u64,
    pub(crate) reason: String,
    pub(crate) since: String,
    pub(crate) approved_at: Option<String>,
    pub(crate) approve_command: String,
}

/// Puts the traces together.
pub(crate) fn story(facts: &Facts) -> Story {
    let state = state(facts);
    let row = facts.standing.acknowledged.as_ref();
    let changes: Vec<Change> = facts.versions.iter().filter_map(|v| change(facts, v)).collect();
    let deliveries: Vec<Delivery> = facts.deliveries.iter().map(delivery).collect();
    Story {
        sync: facts.sync.to_string(),
        key_hash: facts.key_hash.to_string(),
        state,
        summary: summary(facts, state),
        in_selection: facts.standing.selected.is_some(),
        member: row.is_some(),
        member_since: row.and_then(|r| r.added_at).map(utc),
        last_acknowledged_at: row.and_then(|r| r.last_sent_at).map(utc),
        remote_id: row.and_then(|r| r.remote_id.clone()),
        identifiers: row
            .iter()
            .flat_map(|r| &r.identifiers)
            .map(|i| Named { field: i.field.clone(), value: i.value.clone() })
            .collect(),
        last_error: last_error(facts),
        notes: notes(facts, &deliveries),
        rejects: rejections(facts),
        holds: facts.holds.iter().map(|h| held(facts, h)).collect(),
        changes,
        deliveries,
    }
}

fn state(facts: &Facts) -> State {
    let (selected, row) = (facts.standing.selected.as_ref(), facts.standing.acknowledged.as_ref());
    let differs = match (selected, row) {
        (Some(s), Some(r)) if r.in_sync_with(s) && facts.comparable => return erased_or(facts, State::InSync),
        (None, None) => return absent(facts),
        (Some(_), None) => State::ToAdd,
        (None, Some(r)) if r.acknowledged.is_none() => State::Uncertain,
        (None, Some(_)) => State::ToRemove,
        (Some(_), Some(r)) if r.acknowledged.is_none() => State::Uncertain,
        (Some(_), Some(_)) => State::ToUpdate,
    };
    let current = facts.rejects.iter().filter(|r| selected.is_some_and(|s| s.attr_hash == r.attr_hash));
    let attempts = current.map(|r| r.attempts).max();
    let held = facts.holds.iter().any(|h| h.approved_at.is_none()) && (selected.is_none() || row.is_none());
    let sending = facts.deliveries.iter().any(|d| {
        matches!(d.run_state, "open" | "parked" | "closing") && !matches!(&d.sent, Sent::Settled(o, _) if o.is_final())
    });
    match attempts {
        _ if sending => State::Sending,
        Some(n) if n >= facts.attempt_limit => State::Quarantined,
        _ if held => State::Held,
        Some(_) if differs != State::Uncertain => State::Rejected,
        _ => differs,
    }
}

/// An erased record that is nowhere any more is erased, whatever else is known.
const fn erased_or(facts: &Facts, state: State) -> State {
    if facts.erased { State::Erased } else { state }
}

/// Neither selected nor a member.
fn absent(facts: &Facts) -> State {
    let traces = facts.versions.iter().any(|v| v.item.is_some()) || !facts.deliveries.is_empty();
    match () {
        () if facts.erased => State::Erased,
        () if traces => State::Gone,
        () if all_is_known(facts) => State::NeverSeen,
        () => State::NotInList,
    }
}

/// No log version is missing, and none has lost its items or its file: what has no trace has never been there.
fn all_is_known(facts: &Facts) -> bool {
    let now = facts.now.epoch_seconds();
    let kept = |v: &VersionFact| {
        v.retired.as_ref().is_none_or(|(_, _, expires)| *expires > now && v.entry.bulk_object().is_none())
    };
    facts.versions.iter().zip(1..).all(|(v, n)| v.number == n && kept(v))
}

fn summary(facts: &Facts, state: State) -> String {
    let sync = &facts.sync;
    let row = facts.standing.acknowledged.as_ref();
    let acknowledged =
        row.and_then(|r| r.last_sent_at).map_or_else(String::new, |at| format!(", acknowledged at {}", utc(at)));
    match state {
        State::InSync => format!("It is in the list as the newest snapshot has it{acknowledged}."),
        State::ToAdd => "It is selected and not in the list yet; the next run adds it.".to_owned(),
        State::ToUpdate if !facts.comparable => {
            format!("It is in the list{acknowledged}; everything is sent again because the configuration changed.")
        }
        State::ToUpdate => format!("It is in the list{acknowledged}, and has changed since; the next run updates it."),
        State::ToRemove => {
            format!("It is in the list{acknowledged}, and is not selected any more; the next run removes it.")
        }
        State::Sending => "A run is sending it now.".to_owned(),
        State::Uncertain if facts.standing.selected.is_some() => {
            "It was sent and no answer came, so it may or may not be in the list; the next run sends it again."
                .to_owned()
        }
        State::Uncertain => {
            "It may or may not be in the list, because an answer was lost; the next run removes it.".to_owned()
        }
        State::Held => format!("A guard holds its change; `driftless status {sync}` says why."),
        State::Rejected => "The destination refused it; the next run tries again.".to_owned(),
        State::Quarantined => {
            format!(
                "The destination refused it too often; left alone until it changes, or `driftless rejects {sync} --release`."
            )
        }
        State::Erased => "It is erased, and is in no list of its dataset.".to_owned(),
        State::Gone => "It is not selected any more and not in the list.".to_owned(),
        State::NeverSeen if facts.has_snapshot => {
            format!(
                "None of the {} versions of this sync had it as a valid record, and it is not in the list.",
                facts.versions.len()
            )
        }
        State::NeverSeen => "No snapshot has been taken up yet.".to_owned(),
        State::NotInList => "It is neither selected nor in the list; details of earlier times have expired.".to_owned(),
    }
}

/// The change of one version, with the last delivery of a run that covered it and was planned after it was logged.
fn change(facts: &Facts, version: &VersionFact) -> Option<Change> {
    let item = version.item.as_ref()?;
    let next = facts.versions.iter().find(|v| v.number > version.number && v.item.is_some()).map(|v| v.number);
    // Sent under this version: by a run that covers it and not yet the next change.
    let sent = |d: &&DeliveryFact| d.through >= version.number && next.is_none_or(|n| d.through < n);
    let last = facts.deliveries.iter().rev().find(sent);
    let delivery = last.map(delivery);
    Some(Change {
        version: version.number,
        op: item.op,
        snapshot: Some(version.entry.order.key.clone()).filter(|key| key != ERASURE),
        snapshot_time: utc(item.updated_at),
        logged_at: utc(version.entry.logged_at),
        committed_at: item.committed_at.map(utc),
        superseded_by: item.superseded_by.as_ref().map(ToString::to_string),
        run: delivery.as_ref().map(|d| d.run.clone()),
        call: delivery.as_ref().and_then(|d| d.call),
        outcome: delivery.as_ref().map(|d| d.outcome),
        at: delivery.map(|d| d.at),
    })
}

fn delivery(d: &DeliveryFact) -> Delivery {
    let over = matches!(d.run_state, "committed" | "abandoned");
    let (outcome, reason, at) = match &d.sent {
        Sent::Settled(Outcome::Delivered, at) => ("delivered", None, *at),
        Sent::Settled(Outcome::Rejected { reason }, at) => ("rejected", Some(reason.clone()), *at),
        Sent::Settled(Outcome::Retry, at) => ("retry", d.last_error.clone(), *at),
        Sent::Settled(Outcome::Unknown, at) => ("unknown", d.last_error.clone(), *at),
        Sent::Settled(Outcome::Suppressed, at) => ("suppressed", None, *at),
        Sent::Unanswered if over => ("unknown", d.last_error.clone(), d.planned_at),
        Sent::Unanswered => ("in_flight", d.last_error.clone(), d.planned_at),
        Sent::InVain => ("retry", Some("the new list did not take the place of the old one".to_owned()), d.planned_at),
        Sent::Waiting => ("not_sent", d.last_error.clone(), d.planned_at),
    };
    Delivery {
        run: d.run.to_string(),
        run_state: d.run_state,
        call: d.call,
        operation: d.operation,
        outcome,
        reason,
        at: utc(at),
    }
}

fn rejections(facts: &Facts) -> Vec<Rejection> {
    let current = facts.standing.selected.as_ref().map(|s| s.attr_hash);
    let tell = |r: &driftless_deltalog::ledger::Reject| Rejection {
        attempts: r.attempts,
        reason: r.reason.clone(),
        at: utc(r.at),
        quarantined: r.attempts >= facts.attempt_limit,
        current: current == Some(r.attr_hash),
    };
    facts.rejects.iter().map(tell).collect()
}

fn held(facts: &Facts, h: &HoldFact) -> Held {
    Held {
        version: h.version,
        reason: h.reason.clone(),
        since: utc(h.since),
        approved_at: h.approved_at.map(utc),
        approve_command: format!("driftless approve {} --version {} --ceiling {}", facts.sync, h.version, h.count),
    }
}

/// The newest failure that is not followed by a delivery.
fn last_error(facts: &Facts) -> Option<String> {
    let newest = facts.deliveries.last();
    let told = newest.and_then(|d| match &d.sent {
        Sent::Settled(Outcome::Delivered, _) => Some(None),
        Sent::Settled(Outcome::Rejected { reason }, _) => Some(Some(reason.clone())),
        _ => d.last_error.clone().map(Some),
    });
    match told {
        Some(told) => told,
        None => facts.rejects.iter().max_by_key(|r| r.at).map(|r| r.reason.clone()),
    }
}

fn notes(facts: &Facts, deliveries: &[Delivery]) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(row) = &facts.standing.acknowledged
        && row.acknowledged.is_some()
        && !deliveries.iter().any(|d| d.outcome == "delivered")
        && let Some(at) = row.last_sent_at
    {
        notes.push(format!("acknowledged at or before {}; detail expired", utc(at)));
    }
    let now = facts.now.epoch_seconds();
    let expired = |v: &&VersionFact| v.retired.as_ref().is_some_and(|(_, _, at)| *at <= now) && v.item.is_none();
    let lost: Vec<u64> = facts.versions.iter().filter(expired).map(|v| v.number).collect();
    if let (Some(first), Some(last)) = (lost.first(), lost.last()) {
        notes.push(format!("details of versions {first} to {last} have expired"));
    }
    let bulk = |v: &&VersionFact| v.retired.is_some() && v.entry.bulk_object().is_some();
    let bulk: Vec<u64> = facts.versions.iter().filter(bulk).map(|v| v.number).collect();
    if let (Some(first), Some(last)) = (bulk.first(), bulk.last()) {
        let which = if first == last { format!("version {first}") } else { format!("versions from {first} to {last}") };
        notes.push(format!("what bulk {which} changed is not kept by record; deliveries tell what was sent"));
    }
    if let Some(first) = facts.versions.first().filter(|v| v.number > 1) {
        notes.push(format!("versions before {} have expired", first.number));
    }
    if facts.expired_runs > 0 {
        notes.push(format!("the changesets of {} runs have expired", facts.expired_runs));
    }
    notes
}

#[cfg(test)]
mod tests;
