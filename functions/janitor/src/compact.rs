//! A long chain of small uncommitted versions becomes a short one (the compaction of the change-log filing of 2000).

use std::collections::BTreeMap;

use driftless_changeset::{Rule, keeps};
use driftless_deltalog::head::{Compaction, Head, MOST_MERGED, Swap, VersionEntry, VersionKind};
use driftless_deltalog::item::{ChangeOp, LogItem};
use driftless_model::{KeyHash, Millis};
use driftless_state::SyncState;

use crate::error::Error;
use crate::sweep::Janitor;

/// When a chain is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacting {
    /// Uncommitted versions that may lie behind each other.
    pub versions: usize,
    /// Items of a merged version, at most: what a sweep reads and writes at once. A version with more is left as it is.
    pub items: u64,
}

impl Default for Compacting {
    /// Fifty versions: two days of hourly snapshots, and a head of some 20 KB.
    fn default() -> Self {
        Self { versions: 50, items: 100_000 }
    }
}

/// The versions that are merged next, oldest first; none if the chain is short enough, or nothing in it can be merged.
///
/// Only versions that no run covers (protocol rule 11): what the active run, or a committed one that is not folded yet, goes
/// through is a boundary that a fold must find where it was. What a bulk version has flushed goes into it as it is; else neighbours
/// that stay within the limits are merged, the longest row of them first.
#[must_use]
pub fn mergeable(head: &Head, active_through: Option<u64>, limits: Compacting) -> BTreeMap<u64, VersionEntry> {
    let covered = head.delivered.iter().map(|d| d.through).chain(active_through).max();
    let covered = covered.filter(|_| keeps(Rule::CompactionBoundary)).unwrap_or(0);
    let chain: Vec<(u64, &VersionEntry)> = head.versions.range(covered + 1..).map(|(n, e)| (*n, e)).collect();
    if chain.len() <= limits.versions {
        return BTreeMap::new();
    }
    let flushed = chain.iter().rposition(|(_, e)| e.bulk_object().is_some()).unwrap_or(0);
    if flushed > 0 {
        // The newest of them, so that they stay neighbours of what is left.
        let first = (flushed + 1).saturating_sub(MOST_MERGED);
        return named(chain.get(first..=flushed).unwrap_or_default());
    }
    let mut longest: &[(u64, &VersionEntry)] = &[];
    let mut start = 0;
    let mut items = 0;
    for (at, (_, entry)) in chain.iter().enumerate() {
        if entry.bulk_object().is_some() || entry.count > limits.items {
            (start, items) = (at + 1, 0);
            continue;
        }
        items += entry.count;
        while items > limits.items || at + 1 - start > MOST_MERGED {
            items -= chain.get(start).map_or(0, |(_, e)| e.count);
            start += 1;
        }
        let row = chain.get(start..=at).unwrap_or_default();
        if row.len() > longest.len() {
            longest = row;
        }
    }
    if longest.len() < 2 { BTreeMap::new() } else { named(longest) }
}

fn named(versions: &[(u64, &VersionEntry)]) -> BTreeMap<u64, VersionEntry> {
    versions.iter().map(|(n, e)| (*n, (*e).clone())).collect()
}

impl Janitor {
    /// Merges neighbours in the chain until it is short enough, or nothing can be merged.
    ///
    /// The merged version is written under a token of its own before the head names it; if we die before the swap, or lose it,
    /// nobody reads it, and it is deleted with the attempts that lost. The originals become retired in the same swap: whoever has
    /// read the head before still finds them, or counts too few and starts again (rule 12).
    pub(crate) async fn compact(&self, head: &Head, deadline: Millis) -> Result<(), Error> {
        let mut head = head.clone();
        loop {
            let through = match &head.active_run {
                Some(run) => match self.log.run(&head.sync, run).await? {
                    Some(run) => Some(run.through),
                    // What it covers is not known.
                    None => return Ok(()),
                },
                None => None,
            };
            let merged = mergeable(&head, through, self.keeping.compacting);
            if merged.is_empty() {
                return Ok(());
            }
            self.in_time(deadline)?;
            if self.merge(&head, merged, deadline).await? == Swap::Lost {
                return Ok(());
            }
            match self.log.head(&head.sync).await? {
                Some(next) if next.incarnation == head.incarnation => head = next,
                _ => return Ok(()),
            }
        }
    }

    async fn merge(&self, head: &Head, merged: BTreeMap<u64, VersionEntry>, deadline: Millis) -> Result<Swap, Error> {
        let Some((last, newest)) = merged.last_key_value() else { return Ok(Swap::Lost) };
        let into = match newest.kind {
            VersionKind::Bulk { .. } => newest.clone(),
            VersionKind::Items => {
                let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), head);
                let mut items: BTreeMap<KeyHash, LogItem> = BTreeMap::new();
                for (version, entry) in &merged {
                    for (k, item) in self.log.items(&state.partition(*version, entry), entry.count).await? {
                        let item = match items.get(&k) {
                            Some(earlier) => item.after(earlier),
                            None => item,
                        };
                        items.insert(k, item);
                    }
                }
                let of = |op| items.values().filter(|i| i.op == op).count() as u64;
                let into = VersionEntry {
                    token: self.tokens.token(),
                    kind: VersionKind::Items,
                    count: items.len() as u64,
                    adds: of(ChangeOp::Add),
                    updates: of(ChangeOp::Update),
                    removals: of(ChangeOp::Remove),
                    order: newest.order.clone(),
                    // What waits longest decides when it has waited long enough.
                    logged_at: merged.values().map(|v| v.logged_at).min().unwrap_or(newest.logged_at),
                };
                let partition = state.partition(*last, &into);
                self.log.put_attempt(&partition, self.clock.now()).await?;
                self.log.put_items(&partition, &items.into_values().collect::<Vec<_>>()).await?;
                into
            }
        };
        let compaction = Compaction {
            incarnation: head.incarnation,
            stamp: head.stamp.clone(),
            active_run: head.active_run.clone(),
            merged,
            into,
            at: self.clock.now(),
        };
        self.in_time(deadline)?;
        Ok(self.log.compact(&head.sync, &compaction).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driftless_deltalog::head::{ConfigStamp, Names};
    use driftless_model::{SnapshotOrder, Token};

    const BULK: u64 = 0;

    /// A chain of versions with so many items each; a bulk version where there are none.
    fn head(counts: &[u64]) -> Head {
        let names = Names {
            dataset: "acme/people".parse().expect("a name"),
            source: String::new(),
            kind: "rest".into(),
            destination: "crm".parse().expect("a name"),
            list: "l".into(),
        };
        let config = ConfigStamp { epoch: 0, fingerprint: "f".into() };
        let mut head = Head::new("s".parse().expect("a name"), 1, names, config);
        for (n, count) in (1..).zip(counts) {
            let order = SnapshotOrder { version: None, modified: Millis(0), key: String::new(), sequencer: None };
            let object = || VersionKind::Bulk { object: format!("bulk-{n}") };
            let entry = VersionEntry {
                token: Token::new(format!("t{n}")),
                kind: if *count == BULK { object() } else { VersionKind::Items },
                count: *count,
                adds: 0,
                updates: 0,
                removals: 0,
                order,
                logged_at: Millis(0),
            };
            head.versions.insert(n, entry);
        }
        head
    }

    fn merged(counts: &[u64], through: Option<u64>, versions: usize, items: u64) -> Vec<u64> {
        mergeable(&head(counts), through, Compacting { versions, items }).into_keys().collect()
    }

    #[test]
    fn a_short_chain_is_left_alone_and_a_long_one_is_merged() {
        assert!(merged(&[1; 3], None, 3, 100).is_empty());
        assert_eq!(merged(&[1; 4], None, 3, 100), [1, 2, 3, 4]);
        assert_eq!(merged(&[1; 60], None, 3, 100).len(), MOST_MERGED);
    }

    #[test]
    fn what_a_run_covers_is_a_boundary() {
        assert_eq!(merged(&[1; 6], Some(2), 3, 100), [3, 4, 5, 6]);
        assert!(merged(&[1; 6], Some(3), 3, 100).is_empty());
    }

    #[test]
    fn large_versions_are_left_as_they_are() {
        assert_eq!(merged(&[1, 1, 500, 1, 1, 1], None, 3, 100), [4, 5, 6]);
        assert_eq!(merged(&[60, 60, 30, 10, 60], None, 3, 100), [2, 3, 4]);
        assert!(merged(&[60, 60, 60, 60], None, 3, 100).is_empty());
    }

    #[test]
    fn a_bulk_version_takes_in_what_it_flushed() {
        assert_eq!(merged(&[1, 1, BULK, 1], None, 3, 100), [1, 2, 3]);
        assert_eq!(merged(&[1, BULK, 1, BULK, 1], None, 3, 100), [1, 2, 3, 4]);
        assert_eq!(merged(&[1, BULK, 1, BULK, 1], Some(2), 2, 100), [3, 4]);
        assert_eq!(merged(&[BULK, 1, 1, 1], None, 3, 100), [2, 3, 4]);
    }
}
