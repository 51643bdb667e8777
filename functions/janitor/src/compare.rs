//! What a comparison with the remote list has found becomes part of A.

use std::collections::{BTreeMap, BTreeSet};

use driftless_changeset::{Comparison, PlannedRow, RemoteList, Settlement, as_compared, still_there};
use driftless_deltalog::head::{Head, Swap};
use driftless_deltalog::ledger::{Call, Compares, Drift, Run, RunResult, RunState};
use driftless_history::{HistoryFile, read_changeset, read_members};
use driftless_model::{AckRow, Disposition, Identifier, KeyHash, Member, Operation, RecordKey, Usage};
use driftless_runtime::tell_usage;
use driftless_state::SyncState;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::sweep::Janitor;

/// Strangers that are looked at one by one. More are only counted: the next comparison finds them again.
const STRANGERS: usize = 100_000;

/// Runs whose removals are looked through for members who are still there.
const RECENT_RUNS: usize = 50;

type Rows = BTreeMap<KeyHash, Option<AckRow>>;

impl Janitor {
    /// Looks for every row of A in the list that the run has read.
    ///
    /// What becomes of A is only ever more caution. Whoever is acknowledged and missing becomes *uncertain*, as after an answer that
    /// was lost: sent again if D has them, else removed once more. Whoever was removed and is there gets a row with what is there, which
    /// D lacks. So an old, partial or wrong listing costs calls and never a member, and a listing in which nobody is known
    /// changes nothing.
    ///
    /// Strangers stay, unless the sync says that the list has no other members than ours; then each gets a row under a key of its own.
    pub(crate) async fn compared(
        &self,
        head: &Head,
        run: &Run,
        calls: &[Call],
        compares: Compares,
        state: &SyncState<'_>,
        deltas: &Rows,
    ) -> Result<(Settlement, RunResult), Error> {
        let read = calls.iter().find(|c| c.operation == Operation::List && c.outcome.is_some());
        let Some(objects) = read.and_then(|call| call.reading.as_ref()).map(|reading| &reading.objects) else {
            // Closed before the list was read to its end.
            return Ok(Default::default());
        };
        let mut list = RemoteList::default();
        for object in objects {
            read_members(self.objects.as_ref(), object).await?.iter().for_each(|member| list.push(member));
        }
        let mut comparison = list.compare();
        self.look_for_all(head, deltas, &mut comparison).await?;
        let found = comparison.drift();
        let strangers = if found.strangers == 0 { Vec::new() } else { self.strangers(objects, &comparison).await? };
        let strays = self.strays(head, state, deltas, run, &strangers).await?;
        let drift = Drift {
            members: found.members,
            found: found.found,
            missing: found.missing,
            strays: strays.len() as u64,
            strangers: found.strangers.saturating_sub(strays.len() as u64),
            duplicates: found.duplicates,
            incomparable: !found.says_something(),
        };
        let mut changed = BTreeMap::new();
        if compares.corrects && !drift.incomparable {
            if compares.strangers_go {
                let wanted = self.wanted(state, deltas, run).await?;
                let unwanted =
                    strangers.iter().filter(|m| !m.identifiers.iter().any(|i| wanted.contains(&as_compared(i))));
                changed.extend(unwanted.filter_map(stranger).map(|row| (row.key_hash, row)));
                for member in strays.values().map(|(member, _)| member) {
                    changed.remove(&stranger_key(member).0);
                }
            }
            changed.extend(comparison.into_missing());
            changed.extend(strays.into_iter().map(|(key_hash, (_, row))| (key_hash, row)));
        }
        let changed = changed.into_iter().map(|(k, row)| (k, Some(row))).collect();
        let result = RunResult { drift: Some(drift), ..RunResult::default() };
        Ok((Settlement { changed, ..Settlement::default() }, result))
    }

    /// A comparison after which A is what it was. The run says so first; if we die before the head lets go of it, the next sweep finds
    /// it committed and active.
    pub(crate) async fn end_comparison(&self, run: &Run, calls: Usage, result: RunResult) -> Result<Swap, Error> {
        let own = self.meter.take_for(&run.sync);
        let usage = run.usage + calls + own;
        let committed = Run {
            state: RunState::Committed,
            committed_at: Some(self.clock.now()),
            result: Some(result),
            usage,
            ..run.clone()
        };
        if self.log.update_run(&committed, &["open", "closing"]).await? == Swap::Lost {
            return Ok(Swap::Lost);
        }
        tell_usage("run", &run.sync, Some(&run.id), &usage);
        self.log.deactivate(&run.sync, &run.id).await.map_err(Error::from)
    }

    /// The identifiers of everybody who is to be sent: a member of theirs is not a stranger, in whatever case the list shows it.
    async fn wanted(&self, state: &SyncState<'_>, deltas: &Rows, run: &Run) -> Result<BTreeSet<Identifier>, Error> {
        let touched = state.differences(deltas, &run.config.fingerprint).await?;
        let states = touched.states.values().filter_map(|(_, state)| state.as_ref());
        Ok(states.flat_map(|state| state.identifiers.iter().map(as_compared)).collect())
    }

    /// Every row of A, a batch at a time: history, and over it what runs have delivered since.
    async fn look_for_all(&self, head: &Head, deltas: &Rows, comparison: &mut Comparison) -> Result<(), Error> {
        if let Some(history) = &head.history {
            let file = HistoryFile::open(self.objects.as_ref(), &history.object).await?;
            let mut rows = file.stream()?;
            while let Some(batch) = rows.next().await? {
                batch.iter().filter(|row| !deltas.contains_key(&row.key_hash)).for_each(|row| comparison.look_for(row));
            }
        }
        deltas.values().flatten().for_each(|row| comparison.look_for(row));
        Ok(())
    }

    /// The first members who are nobody in A.
    async fn strangers(&self, objects: &[String], comparison: &Comparison) -> Result<Vec<Member>, Error> {
        let (mut strangers, mut number) = (Vec::new(), 0);
        for object in objects {
            for member in read_members(self.objects.as_ref(), object).await? {
                if comparison.is_stranger(number) && strangers.len() < STRANGERS {
                    strangers.push(member);
                }
                number += 1;
            }
        }
        Ok(strangers)
    }

    /// Of those nobody knows, the ones whom a recent run has removed: by record, the member and A's row as it is to be.
    ///
    /// Looks as far back as changesets are kept. A changeset that has expired, and with it all older ones, says nothing.
    async fn strays(
        &self,
        head: &Head,
        state: &SyncState<'_>,
        deltas: &Rows,
        run: &Run,
        strangers: &[Member],
    ) -> Result<BTreeMap<KeyHash, (Member, AckRow)>, Error> {
        let names = |m: &Member| m.identifiers.iter().map(as_compared).collect::<Vec<Identifier>>();
        let by_name: BTreeMap<Identifier, &Member> =
            strangers.iter().flat_map(|m| names(m).into_iter().map(move |name| (name, m))).collect();
        if by_name.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut removed: BTreeMap<KeyHash, (PlannedRow, &Member)> = BTreeMap::new();
        for earlier in self.log.runs(&head.sync, RECENT_RUNS).await? {
            if earlier.state != RunState::Committed || earlier.counts.removals == 0 {
                continue;
            }
            let changeset = match read_changeset(self.objects.as_ref(), &earlier.changeset).await {
                Ok(changeset) => changeset,
                Err(e) if e.disposition() == Disposition::RETRY => return Err(e.into()),
                Err(_) => break,
            };
            for mut row in changeset.rows.into_iter().filter(|row| row.operation == Operation::Remove) {
                // As they were sent: that is what they are removed by (DL-4).
                row.identifiers.retain(|i| by_name.contains_key(&as_compared(i)));
                let found = row.identifiers.first().and_then(|i| by_name.get(&as_compared(i)));
                if let Some(member) = found {
                    removed.entry(row.key_hash).or_insert((row, member));
                }
            }
        }
        let keys: BTreeSet<KeyHash> = removed.keys().copied().collect();
        let rows = state.a_rows(&keys, deltas, &run.config.fingerprint).await?;
        let with_row = |(k, (sent, member)): (KeyHash, (PlannedRow, &Member))| {
            let row = still_there(rows.get(&k), k, &sent.key, &sent.identifiers, member.remote_id.as_deref());
            (k, (member.clone(), row))
        };
        Ok(removed.into_iter().map(with_row).collect())
    }
}

/// True if what differs is to be planned after a comparison: it may have corrected A, and whoever asked for a plan meanwhile has
/// found the sync busy. A dry run changes nothing, and who met it comes back; but a snapshot may have been taken up beside it.
pub(crate) fn plans_after(head: &Head, run: &Run, compares: Compares) -> bool {
    compares.corrects || head.versions.values().any(|version| version.logged_at >= run.planned_at)
}

/// A's row of somebody who must not be in the list: of no record, so that D never has it.
fn stranger(member: &Member) -> Option<AckRow> {
    if member.identifiers.is_empty() {
        // There is nothing to remove them by.
        return None;
    }
    let (key_hash, key) = stranger_key(member);
    Some(still_there(None, key_hash, &key, &member.identifiers, member.remote_id.as_deref()))
}

/// A key that no record has: record keys have no control characters before their text. Its hash is not keyed, and meets that of
/// a record by a chance of one in 2^128.
fn stranger_key(member: &Member) -> (KeyHash, RecordKey) {
    let mut digest = Sha256::new_with_prefix("driftless stranger");
    for identifier in &member.identifiers {
        for text in [&identifier.field, &identifier.value] {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        }
    }
    let digest: [u8; 32] = digest.finalize().into();
    let (hash, _) = digest.split_at(16);
    let hash = <[u8; 16]>::try_from(hash).unwrap_or_default();
    (KeyHash::from_bytes(hash), RecordKey::new(format!("\u{1}stranger {}", hex::encode(hash))))
}
