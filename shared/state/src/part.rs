//! What differs between D and A, all of it or as much as one run takes.

use std::collections::{BTreeMap, BTreeSet};

use driftless_changeset::part::{can_wait, foreign};
use driftless_changeset::{States, forget_fingerprints};
use driftless_history::{BulkFile, BulkRow, HistoryFile, Residue};
use driftless_model::{AckRow, Identifier, KeyHash};

use crate::bulk::Found;
use crate::state::{SyncState, Touched};
use crate::{Error, Result};

pub(crate) type Deltas = BTreeMap<KeyHash, Option<AckRow>>;

/// Says which of some records would be sent now: not those that a hold, the horizon, the mode or too many rejections keep back.
pub type Sent<'c> = dyn Fn(&Touched, &BTreeMap<KeyHash, AckRow>) -> BTreeSet<KeyHash> + Sync + 'c;

/// How much one run takes.
pub struct Cut<'c> {
    /// If no more records than this differ, it takes all of them. Of those who can wait it takes enough to reach this number, and
    /// at least an eighth of it.
    pub at_most: usize,
    /// More records than this that cannot wait do not fit.
    pub fits: usize,
    /// Who does not get sent is not taken in the place of others: else they would wait for ever.
    pub sent: &'c Sent<'c>,
}

impl Cut<'_> {
    /// All of it.
    pub const NONE: Self =
        Self { at_most: usize::MAX, fits: usize::MAX, sent: &|touched, _| touched.states.keys().copied().collect() };
}

/// What one run looks at.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// The newest states of its records.
    pub touched: Touched,
    /// What it leaves to others; `None`: nothing.
    pub rest: Option<Rest>,
}

/// Records that differ and are not in a part, for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Members of A that wait to be sent again.
    pub updates: u64,
    /// Who waits to enter the list.
    pub adds: u64,
    /// Of those that were looked at: who would not be sent now.
    pub kept_back: u64,
}

impl Rest {
    /// Records that a further run can send.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.updates + self.adds
    }
}

/// Records looked at together.
const CHUNK: usize = 16 << 10;

impl SyncState<'_> {
    /// The newest state of every record whose D and A may differ, with the time of its last change: what the residue and the
    /// log versions touch and what `deltas` name.
    ///
    /// After a bulk version, that is what one pass over the fingerprints of both files finds, together with every record of the
    /// residue, of `deltas` and of the versions after it; [`driftless_changeset::Differing`] says why no other record matters. Two
    /// hash columns of both files are read as a stream, and in full only the records that are in the answer. Where these are more
    /// than `cut` allows, the answer is a part of them; [`driftless_changeset::part`] says which parts will do. In memory are then 16
    /// bytes for each record that differs, and what is in the answer.
    ///
    /// `fingerprint`: of the configuration that D was made under.
    ///
    /// # Errors
    /// As [`Self::touched`]; [`Error::CannotWait`] where more records than `cut` allows must be looked at together.
    pub async fn part(&self, deltas: &Deltas, fingerprint: &str, cut: &Cut<'_>) -> Result<Part> {
        let mut touched = self.touched(None).await?;
        let Some(bulk) = self.bulk_file(None).await? else {
            self.complete(&mut touched.states, deltas).await?;
            return Ok(Part { touched, rest: None });
        };
        let residue = match &self.head.residue {
            Some(residue) => driftless_history::read_residue(self.objects, &residue.object).await?,
            None => Residue::new(),
        };
        let history = match &self.head.history {
            Some(h) => Some(HistoryFile::open(self.objects, &h.object).await?),
            None => None,
        };
        let comparable = self.made_under(fingerprint);
        let Found { mut entering, mut changing, leaving } =
            Self::differing(&bulk, history.as_ref(), comparable).await?;
        let mut taken: BTreeSet<KeyHash> = deltas.keys().chain(residue.keys()).copied().collect();
        taken.extend(leaving);
        taken.retain(|k| !touched.states.contains_key(k));
        let known = |taken: &BTreeSet<KeyHash>, touched: &Touched, k: &KeyHash| {
            taken.contains(k) || touched.states.contains_key(k)
        };
        entering.retain(|k| !known(&taken, &touched, k));
        changing.retain(|k| !known(&taken, &touched, k));
        let cannot_wait = touched.states.len() + taken.len();
        let chunks = Chunks { bulk: &bulk, history: history.as_ref(), comparable };
        if cannot_wait + changing.len() + entering.len() <= cut.at_most {
            taken.extend(changing.drain(..).chain(entering.drain(..)));
        } else if cannot_wait + changing.len() <= cut.at_most {
            taken.extend(changing.drain(..));
        } else {
            changing = chunks.who_can_wait(&changing, &mut taken).await?;
        }
        if touched.states.len() + taken.len() > cut.fits {
            return Err(Error::CannotWait { records: touched.states.len() + taken.len() });
        }
        for (k, row) in bulk.rows(&taken).await? {
            taken.remove(&k);
            touched.insert(k, row);
        }
        self.absent(&mut touched.states, taken, deltas, &residue).await?;
        if changing.is_empty() && entering.is_empty() {
            return Ok(Part { touched, rest: None });
        }
        let asked = self.asked_for(&touched.states, deltas, fingerprint).await?;
        let mut wanted = cut.at_most.saturating_sub(touched.states.len()).max(cut.at_most / 8).max(1);
        let mut rest = Rest::default();
        rest.updates = chunks.take(&changing, &mut wanted, &asked, cut, &mut touched, &mut rest.kept_back).await?;
        rest.adds = chunks.take(&entering, &mut wanted, &asked, cut, &mut touched, &mut rest.kept_back).await?;
        Ok(Part { touched, rest: (rest != Rest::default()).then_some(rest) })
    }

    /// No more records than this can be found to differ by a comparison of files: none where there is no bulk version, else those
    /// of both. Reads a footer.
    ///
    /// # Errors
    /// As [`Self::touched`].
    pub async fn differ_at_most(&self) -> Result<u64> {
        let bulk = self.bulk_file(None).await?;
        let history = self.head.history.as_ref().map_or(0, |h| h.rows);
        Ok(bulk.map_or(0, |bulk| bulk.len() + history))
    }

    /// D has no more members than this. Reads a footer.
    ///
    /// # Errors
    /// As [`Self::touched`].
    pub async fn list_at_most(&self) -> Result<u64> {
        let base = match self.bulk_file(None).await? {
            Some(bulk) => bulk.len(),
            None => self.head.history.as_ref().map_or(0, |h| h.rows),
        };
        let items = self.head.versions.values().rev().take_while(|v| v.bulk_object().is_none());
        Ok(base + items.map(|v| v.adds).sum::<u64>())
    }

    /// Identifiers that A holds for one of these records and that D does not give to it: whoever owns them in D is asked for.
    async fn asked_for(&self, states: &States, deltas: &Deltas, fingerprint: &str) -> Result<BTreeSet<Identifier>> {
        let rows = self.a_rows(&states.keys().copied().collect(), deltas, fingerprint).await?;
        let of = |(k, row): (&KeyHash, &AckRow)| -> Vec<Identifier> {
            foreign(states.get(k).and_then(|(_, state)| state.as_ref()), Some(row)).cloned().collect()
        };
        Ok(rows.iter().flat_map(of).collect())
    }
}

/// The two files, read for some records at a time.
struct Chunks<'c> {
    bulk: &'c BulkFile<'c>,
    history: Option<&'c HistoryFile<'c>>,
    comparable: bool,
}

impl Chunks<'_> {
    async fn rows(&self, keys: &BTreeSet<KeyHash>) -> Result<BTreeMap<KeyHash, AckRow>> {
        let mut rows = match self.history {
            Some(history) => history.rows(keys).await?,
            None => BTreeMap::new(),
        };
        if !self.comparable {
            forget_fingerprints(rows.values_mut());
        }
        Ok(rows)
    }

    /// Of records that both files have, those that can wait; the others are added to `taken`.
    async fn who_can_wait(&self, changing: &[KeyHash], taken: &mut BTreeSet<KeyHash>) -> Result<Vec<KeyHash>> {
        let mut waiting = Vec::new();
        for keys in changing.chunks(CHUNK) {
            let keys: BTreeSet<KeyHash> = keys.iter().copied().collect();
            let (d, a) = (self.bulk.rows(&keys).await?, self.rows(&keys).await?);
            for k in keys {
                if can_wait(d.get(&k).map(|row| &row.state), a.get(&k)) {
                    waiting.push(k);
                } else {
                    taken.insert(k);
                }
            }
        }
        Ok(waiting)
    }

    /// Takes of `waiting` as many as are `wanted` and will be sent, and everybody who is asked for. Answers how many can be sent
    /// later. Reads no further than it must.
    async fn take(
        &self,
        waiting: &[KeyHash],
        wanted: &mut usize,
        asked: &BTreeSet<Identifier>,
        cut: &Cut<'_>,
        into: &mut Touched,
        kept_back: &mut u64,
    ) -> Result<u64> {
        let (mut later, mut seen) = (0, 0);
        for keys in waiting.chunks(CHUNK) {
            if *wanted == 0 && asked.is_empty() {
                break;
            }
            seen += keys.len();
            let keys: BTreeSet<KeyHash> = keys.iter().copied().collect();
            let mut chunk = Touched::default();
            for (k, row) in self.bulk.rows(&keys).await? {
                chunk.insert(k, row);
            }
            let sent = if *wanted == 0 { None } else { Some((cut.sent)(&chunk, &self.rows(&keys).await?)) };
            let Touched { states, updated_at } = chunk;
            for (k, (key, state)) in states {
                let is_owner = || state.iter().flat_map(|s| &s.identifiers).any(|i| asked.contains(i));
                if *wanted > 0 && sent.as_ref().is_some_and(|sent| sent.contains(&k)) {
                    *wanted -= 1;
                } else if asked.is_empty() || !is_owner() {
                    let is_kept = sent.as_ref().is_some_and(|sent| !sent.contains(&k));
                    *(if is_kept { &mut *kept_back } else { &mut later }) += 1;
                    continue;
                }
                into.updated_at.extend(updated_at.get(&k).map(|at| (k, *at)));
                into.states.insert(k, (key, state));
            }
        }
        Ok(later + (waiting.len() - seen) as u64)
    }
}

impl Touched {
    fn insert(&mut self, k: KeyHash, BulkRow { state, updated_at }: BulkRow) {
        self.updated_at.extend(updated_at.map(|at| (k, at)));
        self.states.insert(k, (state.key.clone(), Some(state)));
    }
}
