//! The writes of the head as pure functions: from the head as it stands at the write to the head after it.
//!
//! Each function is the condition *and* the effect of one row of the protocol's table. `None` means that the condition
//! does not hold ([`Swap::Lost`](super::Swap)). The head unchanged means that the write took effect before, by an earlier
//! attempt of the same caller; that is success (DL-6). The store in memory applies these functions; the one on `DynamoDB`
//! states the same conditions in its expressions and uses them to tell its own earlier write from a lost race.

use driftless_model::{Millis, RunId, SnapshotRef, Token};

use super::{
    ActivationGuard, Append, Attention, Compaction, ConfigStamp, DeliveredRun, Fold, Head, HeadGuard, Hold, OldList,
    Retired, RetiredBy,
};

/// True when the head is exactly what an ingest read.
fn is_as_read(head: &Head, guard: &HeadGuard) -> bool {
    head.incarnation == guard.incarnation
        && head.version == guard.version
        && head.snapshot.as_ref().map(|s| &s.order) == guard.order.as_ref()
        && head.config.epoch == guard.epoch
}

/// True when the head names this token for this version, or did until a fold retired it.
fn names(head: &Head, version: u64, token: &Token) -> bool {
    head.versions.get(&version).is_some_and(|e| e.token == *token)
        || head.retired.iter().any(|r| r.version == version && r.entry.token == *token)
}

/// A new sync, or the successor of a deleted one. Condition: absent ∨ stored incarnation < new.
#[must_use]
pub fn try_create(stored: Option<&Head>, new: &Head) -> Option<Head> {
    match stored {
        Some(s) if s.incarnation >= new.incarnation => (s == new).then(|| s.clone()),
        _ => Some(new.clone()),
    }
}

/// Ingest. Condition: the guard's incarnation, version, order and epoch. Writes `versions.{n+1}`, version, snapshot,
/// configuration and hold; clears `attention`.
#[must_use]
pub fn try_append(head: &Head, guard: &HeadGuard, append: &Append) -> Option<Head> {
    let next = guard.version + 1;
    if head.incarnation == guard.incarnation && names(head, next, &append.entry.token) {
        return Some(head.clone());
    }
    is_as_read(head, guard).then(|| {
        let mut new = head.clone();
        new.version = next;
        new.versions.insert(next, append.entry.clone());
        new.snapshot = Some(append.snapshot.clone());
        new.config = append.config.clone();
        if let Some(hold) = &append.hold {
            new.holds.insert(Head::snapshot_hold(next), hold.clone());
        }
        new.attention = None;
        new
    })
}

/// Ingest, nothing changed. Condition as [`try_append`]. Writes snapshot and configuration; clears `attention`, because a
/// snapshot that could be taken up heals what a bad one reported.
#[must_use]
pub fn try_stamp(head: &Head, guard: &HeadGuard, snapshot: &SnapshotRef, config: &ConfigStamp) -> Option<Head> {
    if head.incarnation == guard.incarnation && head.snapshot.as_ref() == Some(snapshot) && head.config == *config {
        return Some(head.clone());
    }
    is_as_read(head, guard).then(|| Head {
        snapshot: Some(snapshot.clone()),
        config: config.clone(),
        attention: None,
        ..head.clone()
    })
}

/// Erasure (protocol rule 13); the tombstone is in the same transaction. Condition: the guard's incarnation and version.
/// Writes `versions.{n+1}` and version only: erasing is not a new snapshot, and no guard holds it.
#[must_use]
pub fn try_erase(head: &Head, guard: &HeadGuard, append: &Append) -> Option<Head> {
    let next = guard.version + 1;
    if head.incarnation == guard.incarnation && names(head, next, &append.entry.token) {
        return Some(head.clone());
    }
    (head.incarnation == guard.incarnation && head.version == guard.version).then(|| {
        let mut new = head.clone();
        new.version = next;
        new.versions.insert(next, append.entry.clone());
        new
    })
}

/// Condition: no active run ∧ the guard (protocol rule 8).
#[must_use]
pub fn try_activate(head: &Head, run: &RunId, guard: &ActivationGuard) -> Option<Head> {
    if head.active_run.as_ref() == Some(run) {
        return Some(head.clone());
    }
    let holds = head.active_run.is_none()
        && head.incarnation == guard.incarnation
        && head.version == guard.version
        && head.stamp == guard.stamp
        && head.config.epoch == guard.epoch
        && head.delivered.len() == guard.delivered;
    holds.then(|| Head { active_run: Some(run.clone()), ..head.clone() })
}

/// Condition: active run = `run`. No active run and `run` not committed: given up before.
#[must_use]
pub fn try_deactivate(head: &Head, run: &RunId) -> Option<Head> {
    match &head.active_run {
        Some(active) => (active == run).then(|| Head { active_run: None, ..head.clone() }),
        None => head.delivered.iter().all(|d| d.run != *run).then(|| head.clone()),
    }
}

/// Commit without a fold. Condition: active run = the run ∧ stamp. Appends to `delivered`, clears the active run.
#[must_use]
pub fn try_commit(head: &Head, stamp: &Token, delivered: &DeliveredRun, succeeded_at: Option<Millis>) -> Option<Head> {
    if head.active_run.as_ref() != Some(&delivered.run) || head.stamp != *stamp {
        return head.delivered.iter().any(|d| d.run == delivered.run).then(|| head.clone());
    }
    let mut new = head.clone();
    new.delivered.push(delivered.clone());
    new.active_run = None;
    new.last_succeeded_at = succeeded_at.or(head.last_succeeded_at);
    Some(new)
}

/// Fold. Condition: stamp ∧ the active run is the fold's (none, if it has none) ∧ at least as many committed runs as it
/// takes in. Versions ≤ `through` become retired; holds stay (protocol rule 7). A new list becomes the sync's, and the one
/// before it is to be retired.
#[must_use]
pub fn try_fold(head: &Head, fold: &Fold) -> Option<Head> {
    if head.stamp == fold.stamp {
        return Some(head.clone());
    }
    if head.stamp != fold.from_stamp || head.active_run != fold.run || head.delivered.len() < fold.delivered {
        return None;
    }
    let mut new = head.clone();
    new.versions = new.versions.split_off(&(fold.through + 1));
    new.retired.extend(retired_by(head, fold));
    new.stamp = fold.stamp.clone();
    new.history = Some(fold.history.clone());
    new.residue.clone_from(&fold.residue);
    new.active_run = None;
    new.delivered.drain(..fold.delivered);
    new.last_succeeded_at = fold.succeeded_at.or(head.last_succeeded_at);
    if let Some(made) = &fold.new_list {
        new.lists.current = Some(made.list.clone());
        // A sweep that read a worker's last outcome too early has given the list up.
        new.lists.old.retain(|o| o.run != made.old.run);
        new.lists.old.push(made.old.clone());
    }
    Some(new)
}

/// The versions that a fold retires, oldest first.
pub(crate) fn retired_by<'a>(head: &'a Head, fold: &'a Fold) -> impl Iterator<Item = Retired> + 'a {
    head.versions.range(..=fold.through).map(|(version, entry)| Retired {
        version: *version,
        entry: entry.clone(),
        by: RetiredBy::Run(fold.by.clone()),
        at: fold.at,
    })
}

/// Compaction. Condition: incarnation ∧ stamp ∧ active run as read ∧ every merged version as read. The merged versions but the
/// last leave the chain, the last becomes `into`; what is replaced becomes retired. Holds stay (protocol rule 7).
#[must_use]
pub fn try_compact(head: &Head, compaction: &Compaction) -> Option<Head> {
    let (last, _) = compaction.merged.last_key_value()?;
    let before = || compaction.merged.keys().filter(|version| *version != last);
    if head.incarnation != compaction.incarnation {
        return None;
    }
    if names(head, *last, &compaction.into.token) && before().all(|version| !head.versions.contains_key(version)) {
        return Some(head.clone());
    }
    let as_read = head.stamp == compaction.stamp
        && head.active_run == compaction.active_run
        && compaction.merged.iter().all(|(version, entry)| head.versions.get(version) == Some(entry));
    as_read.then(|| {
        let mut new = head.clone();
        before().for_each(|version| drop(new.versions.remove(version)));
        new.versions.insert(*last, compaction.into.clone());
        new.retired.extend(merged_away(compaction));
        new
    })
}

/// The versions that a compaction retires, oldest first.
pub(crate) fn merged_away(compaction: &Compaction) -> impl Iterator<Item = Retired> + '_ {
    let into = compaction.merged.last_key_value().map_or(0, |(version, _)| *version);
    let replaced = compaction.merged.iter().filter(|(_, entry)| **entry != compaction.into);
    replaced.map(move |(version, entry)| Retired {
        version: *version,
        entry: entry.clone(),
        by: RetiredBy::Merge(into),
        at: compaction.at,
    })
}

/// Condition: the guard's incarnation and version; no hold of `version`, or one of the same object (whose approval stays).
#[must_use]
pub fn try_place_hold(head: &Head, guard: &HeadGuard, version: u64, hold: &Hold) -> Option<Head> {
    if head.incarnation != guard.incarnation {
        return None;
    }
    match head.holds.get(&version) {
        Some(there) => (there.object == hold.object).then(|| head.clone()),
        None => (head.version == guard.version).then(|| {
            let mut new = head.clone();
            new.holds.insert(version, hold.clone());
            new
        }),
    }
}

/// Condition: the hold is there ∧ its count ≤ `ceiling`. The first approval stands.
#[must_use]
pub fn try_approve(head: &Head, version: u64, ceiling: u64, at: Millis) -> Option<Head> {
    let mut new = head.clone();
    let hold = new.holds.get_mut(&version).filter(|h| h.count <= ceiling)?;
    hold.approved_at.get_or_insert(at);
    Some(new)
}

/// Condition: its object is `object`. A hold that is gone was dropped before.
#[must_use]
pub fn try_drop_hold(head: &Head, version: u64, object: &str) -> Option<Head> {
    if head.holds.get(&version).is_some_and(|h| h.object != object) {
        return None;
    }
    let mut new = head.clone();
    new.holds.remove(&version);
    Some(new)
}

/// Condition: incarnation.
#[must_use]
pub fn try_set_attention(head: &Head, incarnation: u64, attention: Option<&Attention>) -> Option<Head> {
    (head.incarnation == incarnation).then(|| Head { attention: attention.cloned(), ..head.clone() })
}

/// A list of the active run is to go. Condition: active run = the list's. Success if one of that run is to go already.
#[must_use]
pub fn try_put_old_list(head: &Head, old: &OldList) -> Option<Head> {
    if head.lists.old.iter().any(|o| o.run == old.run) {
        return Some(head.clone());
    }
    (head.active_run.as_ref() == Some(&old.run)).then(|| {
        let mut new = head.clone();
        new.lists.old.push(old.clone());
        new
    })
}

/// A list was retired (`None`), or something more is known of it. Condition: it is there as read. Success if what is to be
/// there is.
#[must_use]
pub fn try_replace_old_list(head: &Head, read: &OldList, by: Option<&OldList>) -> Option<Head> {
    let there = head.lists.old.iter().position(|o| o.run == read.run);
    let as_read = there.filter(|at| head.lists.old.get(*at) == Some(read));
    match (as_read, by) {
        (Some(at), _) => {
            let mut new = head.clone();
            new.lists.old.splice(at..=at, by.cloned());
            Some(new)
        }
        (None, None) => there.is_none().then(|| head.clone()),
        (None, Some(by)) => head.lists.old.contains(by).then(|| head.clone()),
    }
}
