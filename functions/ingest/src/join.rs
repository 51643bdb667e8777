//! The outer join of one sync's D and a snapshot (US 2025/0265237, FIG. 4).
//!
//! D is read twice, as a stream of two hashes a record: before the snapshot, so that its rows can be compared as they are decoded, and
//! after it, to find who left. Where rows cannot be compared so, it is read once, after the snapshot.

use driftless_changeset::{Changes, MergeDiff};
use driftless_model::{AttrHash, IdentifierSet, KeyHash, Lanes, RecordKey, Task, in_lanes};
use driftless_snapshot::{Digests, Known, KnownRange, Sifted, can_sift};
use driftless_state::{Base, D, SyncState, Touched};

use crate::error::Error;
use crate::take_up::{Candidate, Ingest};

/// D of one sync, as its head names it.
pub(crate) struct Opened<'c> {
    pub(crate) state: SyncState<'c>,
    pub(crate) touched: Touched,
    base: Option<Base<'c>>,
    /// What rows are compared with while they are read.
    pub(crate) known: Option<Known>,
}

/// Items that are held while a snapshot is read for several syncs, for each of them. A sync that has more of them is opened when its
/// turn comes.
const ITEMS: u64 = 100_000;

impl Ingest {
    /// Opens D of each candidate, and reads what rows can be compared with, as far as memory allows: what was selected of the rows
    /// takes more where it cannot. `None`: later. An error is the candidate's alone.
    pub(crate) async fn open_all<'c>(&'c self, candidates: &'c [Candidate]) -> Vec<Option<Result<Opened<'c>, Error>>> {
        let mut room = self.limits.kept_bytes / 2;
        let mut all = Vec::with_capacity(candidates.len());
        for c in candidates {
            let items: u64 = c.head.versions.values().map(|version| version.count).sum();
            let opened =
                if candidates.len() > 1 && items > ITEMS { None } else { Some(self.learn(c, &mut room).await) };
            all.push(opened);
            self.meter.owe(&c.entry.sync, self.meter.take());
        }
        all
    }

    pub(crate) async fn open<'c>(&'c self, c: &'c Candidate) -> Result<Opened<'c>, Error> {
        let state = SyncState::new(self.log.as_ref(), self.objects.as_ref(), &c.head);
        let (touched, base) = (state.touched(None).await?, state.base().await?);
        Ok(Opened { state, touched, base, known: None })
    }

    async fn learn<'c>(&'c self, c: &'c Candidate, room: &mut u64) -> Result<Opened<'c>, Error> {
        let mut opened = self.open(c).await?;
        let Some(base) = opened.base.as_ref().filter(|_| c.is_comparable() && can_sift(&c.spec)) else {
            return Ok(opened);
        };
        let records = base.len() + opened.touched.states.len() as u64;
        let most = self.bulk.room(&c.head, records);
        let bytes = Known::bytes(records);
        if most > 0 && bytes <= *room {
            *room -= bytes;
            opened.known = Some(opened.read(most, records, self.lanes.as_ref()).await?);
        }
        Ok(opened)
    }
}

impl Opened<'_> {
    /// Reads D, each lane its own range of key hashes.
    async fn read(&self, most: u64, records: u64, lanes: &dyn Lanes) -> Result<Known, Error> {
        let (base, states) = (self.base.as_ref(), &self.touched.states);
        let tasks = KnownRange::cut(records, lanes.count()).into_iter().map(|mut range| {
            let task: Task<'_, Result<KnownRange, Error>> = Box::pin(async move {
                let (from, to) = range.bounds();
                let mut d = D::new(base, states, from, to);
                while let Some(records) = d.next().await? {
                    records.for_each(|key, hash, _| range.push(key, hash));
                }
                Ok(range)
            });
            task
        });
        let ranges = in_lanes(lanes, tasks.collect()).await.into_iter().collect::<Result<_, _>>()?;
        Ok(Known::of(ranges, most))
    }

    /// Joins all records of a snapshot with D, each lane its own range of key hashes.
    pub(crate) async fn join(&self, rows: &Digests, comparable: bool, lanes: &dyn Lanes) -> Result<Joined, Error> {
        let tasks = rows.ranges(lanes.count()).into_iter().map(|range| {
            let task: Task<'_, Result<Joined, Error>> = Box::pin(async move {
                let merge = MergeDiff::new(range.iter().map(|r| (r.key_hash, r.attr_hash)), comparable);
                self.join_range((range.from, range.to), merge, |_| false).await
            });
            task
        });
        Joined::of(in_lanes(lanes, tasks.collect()).await)
    }

    /// The same for the records that are not as D has them.
    pub(crate) async fn join_sifted(&self, sifted: &Sifted, lanes: &dyn Lanes) -> Result<Joined, Error> {
        let Some(known) = &self.known else { return Ok(Joined::default()) };
        if sifted.rows.is_empty() && sifted.unchanged.len() == known.len() {
            return Ok(Joined { members: known.len() as u64, ..Joined::default() });
        }
        let tasks = known.spans(lanes.count()).into_iter().map(|span| {
            let task: Task<'_, Result<Joined, Error>> = Box::pin(async move {
                let rows = sifted.rows.within(span.from, span.to);
                let merge = MergeDiff::new(rows.map(|r| (r.key_hash, r.attr_hash)), true);
                let mut walk = sifted.unchanged.walk(known);
                self.join_range((span.from, span.to), merge, |key| walk.is_unchanged(key)).await
            });
            task
        });
        Joined::of(in_lanes(lanes, tasks.collect()).await)
    }

    /// `is_unchanged` is asked about every record of D in the range, in order.
    async fn join_range(
        &self,
        (from, to): (KeyHash, KeyHash),
        mut merge: MergeDiff<impl Iterator<Item = (KeyHash, AttrHash)>>,
        mut is_unchanged: impl FnMut(KeyHash) -> bool,
    ) -> Result<Joined, Error> {
        let mut d = D::new(self.base.as_ref(), &self.touched.states, from, to);
        let mut joined = Joined::default();
        while let Some(records) = d.next().await? {
            joined.members += records.len() as u64;
            records.for_each(|key, hash, place| {
                if is_unchanged(key) {
                    joined.both += u64::from(merge.unchanged(key, hash));
                    return;
                }
                let left = merge.left();
                merge.member(key, hash);
                if merge.left() > left {
                    joined.left.push((key, place));
                }
            });
        }
        joined.changes = merge.finish();
        Ok(joined)
    }

    /// Keys and identifiers of the records that left: from the log where it has touched them, else from what is below it. Each lane
    /// reads its own part of the file.
    pub(crate) async fn who_left(
        &self,
        left: &[(KeyHash, Option<u64>)],
        lanes: &dyn Lanes,
    ) -> Result<Vec<(KeyHash, RecordKey, IdentifierSet)>, Error> {
        let mut found = Vec::with_capacity(left.len());
        let (mut keys, mut places) = (Vec::new(), Vec::new());
        for (key_hash, place) in left {
            match (place, self.touched.states.get(key_hash)) {
                (Some(place), _) => {
                    keys.push(*key_hash);
                    places.push(*place);
                }
                (None, Some((key, Some(state)))) => found.push((*key_hash, key.clone(), state.identifiers.clone())),
                // D has them from nowhere else.
                (None, _) => {}
            }
        }
        let Some(base) = self.base.as_ref().filter(|_| !places.is_empty()) else { return Ok(found) };
        let share = places.len().div_ceil(lanes.count().max(1));
        let tasks = places.chunks(share).map(|places| {
            let task: Task<'_, Result<_, Error>> = Box::pin(async move { Ok(base.names_at(places).await?) });
            task
        });
        let mut keys = keys.into_iter();
        for names in in_lanes(lanes, tasks.collect()).await {
            found.extend(keys.by_ref().zip(names?).map(|(key_hash, (key, identifiers))| (key_hash, key, identifiers)));
        }
        Ok(found)
    }
}

/// What a join has found.
#[derive(Default)]
pub(crate) struct Joined {
    pub(crate) changes: Changes,
    /// Records of D.
    pub(crate) members: u64,
    /// The records that left, and where they lie in what D starts from; `None` if the log says all of them.
    pub(crate) left: Vec<(KeyHash, Option<u64>)>,
    /// Records that the snapshot has both as D has them and otherwise.
    pub(crate) both: u64,
}

impl Joined {
    /// The ranges follow each other.
    fn of(ranges: Vec<Result<Self, Error>>) -> Result<Self, Error> {
        let mut all = Self::default();
        for joined in ranges {
            let mut joined = joined?;
            all.changes.append(joined.changes);
            all.members += joined.members;
            all.left.append(&mut joined.left);
            all.both += joined.both;
        }
        Ok(all)
    }
}
