use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use driftless_model::{InvalidReason, KeyHash, Lanes, Task, in_lanes};

use super::entries::{Digests, Entries};
use super::files::{First, Place, Source, Stretch, Survey, located, unreadable};
use super::kept::Kept;
use super::known::{Known, Unchanged};
use super::merged::Merged;
use super::packed::PackedStates;
use super::pruned::Pruned;
use super::report::{Refused, Report};
use super::rows::{Row, RowReader};
use super::sift::{Against, Sift};
use crate::parquet_file::{Batch, Group, ParquetFile, Statistics};
use crate::sql::Evaluated;
use crate::view::{Bound, plan};
use crate::{HashKey, Limits, SnapshotError, ViewError, ViewSpec};

/// One sync's demand on a pass.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What it selects and maps.
    pub spec: &'a ViewSpec,
    /// The keys that must never be in any list of the tenant.
    pub erased: &'a BTreeSet<KeyHash>,
}

/// What one sync's selection of a snapshot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digested {
    /// One for each valid record, in key-hash order; each key once.
    pub rows: Digests,
    /// What was found on the way.
    pub report: Report,
}

/// What one sync's selection of a snapshot is, beside a list that is known.
#[derive(Debug)]
pub struct Sifted {
    /// The records that have a row which is not as the list has it, in key-hash order, each key once. The list may have another row
    /// of theirs: then the one with the smaller attribute hash counts.
    pub rows: Digests,
    /// Their states, in key-hash order; of a key with several rows that differ, several.
    pub states: PackedStates,
    /// The records of the list that have a row which is as the list has it.
    pub unchanged: Unchanged,
    /// What was found on the way. A key that is in `rows` and in `unchanged` is one more duplicate than it says.
    pub report: Report,
}

/// What [`digest_against`] answers.
#[derive(Debug)]
pub enum Outcome {
    /// All records.
    Whole(Digested),
    /// Only those that are not as the list has them.
    Sifted(Sifted),
}

impl Outcome {
    /// What was found on the way.
    #[must_use]
    pub const fn report(&self) -> &Report {
        match self {
            Self::Whole(Digested { report, .. }) | Self::Sifted(Sifted { report, .. }) => report,
        }
    }
}

/// Reads a snapshot once for several syncs of its dataset, for the records that are not as the sync's list has them.
///
/// As [`digest`], but of a row that the list has just so, one bit remains: nothing is sorted, and its record needs not to be merged
/// with the list. Of the other rows, keys and identifiers are kept from the same reading. The answer is
/// [`Outcome::Whole`] where no list is given, where single rows do not decide (see [`can_sift`](super::can_sift)), and where more
/// rows differ than the list allows: then what was sifted is dropped, and the snapshot is read again for those syncs.
///
/// # Errors
/// As [`digest`].
pub async fn digest_against(
    source: Source<'_>,
    views: &[(View<'_>, Option<&Known>)],
    key: &HashKey,
    lanes: &dyn Lanes,
) -> Result<Vec<Result<Outcome, ViewError>>, SnapshotError> {
    let against: Vec<_> =
        views.iter().map(|(view, known)| known.and_then(|known| Against::new(view.spec, known))).collect();
    let demands: Vec<_> = views.iter().zip(&against).map(|((view, _), against)| (*view, against.as_ref())).collect();
    let mut outcomes = pass(source, &demands, key, lanes).await?;
    let over: Vec<usize> = (0..views.len()).filter(|n| against[*n].as_ref().is_some_and(Against::is_over)).collect();
    if !over.is_empty() {
        let again: Vec<_> = over.iter().map(|n| (views[*n].0, None)).collect();
        for (n, outcome) in over.into_iter().zip(pass(source, &again, key, lanes).await?) {
            outcomes[n] = outcome;
        }
    }
    Ok(outcomes)
}

/// Reads a snapshot once for several syncs of its dataset.
///
/// The row groups are dealt to `lanes`, each of which decodes and hashes its own. The result depends on the values only: not
/// on the number of lanes, nor on the order of rows, columns, row groups or files, nor on encodings. Holds 28 bytes for each
/// selected row (12 more for each identifier that another record may carry too, and 64 for each key that `prefer` must
/// decide) beside a bounded read buffer a lane. Repeatable.
///
/// # Errors
/// The outer error is the snapshot's: nothing can be said for any sync. An inner error is that sync's alone. Of several the
/// first in the order of files and row groups is reported. [`SnapshotError::DoesNotFit`] comes before anything but footers was
/// read, where a sync selects every row.
pub async fn digest(
    source: Source<'_>,
    views: &[View<'_>],
    key: &HashKey,
    lanes: &dyn Lanes,
) -> Result<Vec<Result<Digested, ViewError>>, SnapshotError> {
    let demands: Vec<_> = views.iter().map(|view| (*view, None)).collect();
    let outcomes = pass(source, &demands, key, lanes).await?.into_iter();
    let whole = |outcome| match outcome {
        Outcome::Whole(digested) => digested,
        Outcome::Sifted(Sifted { rows, report, .. }) => Digested { rows, report },
    };
    Ok(outcomes.map(|outcome| outcome.map(whole)).collect())
}

async fn pass(
    source: Source<'_>,
    views: &[(View<'_>, Option<&Against<'_>>)],
    key: &HashKey,
    lanes: &dyn Lanes,
) -> Result<Vec<Result<Outcome, ViewError>>, SnapshotError> {
    let survey = Survey::of(source).await?;
    let kept = Kept::new(source.limits, views.iter().map(|(view, _)| view.spec));
    kept.check(survey.rows())?;
    let shares = survey.deal(lanes.count());
    let limits = survey.lane_limits(shares.len());
    let errors = Errors::new(views.len());
    let tasks = shares.iter().map(|share| {
        let passes = views.iter().map(|(view, against)| Pass::new(*view, *against, key, survey.rows())).collect();
        let lane = Lane { survey: &survey, limits: &limits, errors: &errors, kept: &kept, passes };
        let task: Task<'_, _> = Box::pin(lane.run(share));
        task
    });
    let tasks = tasks.collect();
    let done = in_lanes(lanes, tasks).await;
    let mut passes: Vec<Merged<'_>> = views.iter().map(|(view, _)| Merged::new(*view)).collect();
    let mut refused: Option<(Place, SnapshotError)> = None;
    for (lane, error) in done {
        passes.iter_mut().zip(lane).for_each(|(merged, pass)| merged.absorb(pass));
        refused = refused.into_iter().chain(error).min_by_key(|(place, _)| *place);
    }
    // What is over is read again, and then the first error is met.
    let all_over = views.iter().all(|(_, against)| against.is_some_and(Against::is_over));
    if let Some((place, error)) = refused.filter(|_| !all_over) {
        // Where every view has failed before, nobody would have read so far.
        let last = passes.iter().map(|p| p.failed.as_ref().map_or(Place::NOWHERE, |(at, _)| *at)).max();
        if last.is_none_or(|last| place <= last) {
            return Err(error);
        }
    }
    let mut digested = Vec::with_capacity(passes.len());
    for pass in passes {
        digested.push(pass.finish(&survey, key, lanes).await?);
    }
    for outcome in digested.iter_mut().flatten() {
        let (Outcome::Whole(Digested { report, .. }) | Outcome::Sifted(Sifted { report, .. })) = outcome;
        report.bytes_read = survey.fetched();
    }
    Ok(digested)
}

/// Where the lanes have met errors first: what lies behind them need not be read.
struct Errors {
    snapshot: First,
    views: Vec<First>,
}

impl Errors {
    fn new(views: usize) -> Self {
        Self { snapshot: First::default(), views: (0..views).map(|_| First::default()).collect() }
    }

    /// True if nobody needs what is at this place: the snapshot or every view has failed before it.
    fn precede(&self, place: Place) -> bool {
        self.snapshot.place() < place || self.views.iter().all(|view| view.place() < place)
    }

    /// True if every view has failed at this place or before it.
    fn nobody_reads(&self, place: Place) -> bool {
        self.views.iter().all(|view| view.place() <= place)
    }
}

/// One lane: its own decoders and its own rows of every view.
struct Lane<'s, 'a, 'v> {
    survey: &'s Survey<'a>,
    limits: &'s Limits,
    errors: &'s Errors,
    kept: &'s Kept,
    passes: Vec<Pass<'v>>,
}

impl<'v> Lane<'_, '_, 'v> {
    async fn run(mut self, share: &[Stretch]) -> (Vec<Pass<'v>>, Option<(Place, SnapshotError)>) {
        let mut place = Place::file(0);
        let read = self.read(share, &mut place).await;
        if read.is_err() {
            self.errors.snapshot.meet(place);
        }
        (self.passes, read.err().map(|e| (place, e)))
    }

    async fn read(&mut self, share: &[Stretch], place: &mut Place) -> Result<(), SnapshotError> {
        for stretch in share {
            *place = Place::file(stretch.file);
            if self.errors.precede(*place) {
                return Ok(());
            }
            let file = self.survey.open(stretch.file).await?;
            let schema = file.schema();
            let mut columns = BTreeSet::new();
            for (pass, met) in self.passes.iter_mut().zip(&self.errors.views) {
                columns.extend(pass.open(&schema, |e| unreadable(&file, e)).iter().cloned());
                pass.fail_at(*place, met);
            }
            if self.errors.nobody_reads(*place) {
                continue;
            }
            let needed = self.needed(&file, stretch).await;
            let mut next = needed.first().map_or(0, |group| group.index);
            let mut only_hashed = columns.clone();
            self.passes.iter().for_each(|pass| pass.keep_only_hashed(&mut only_hashed));
            let mut scan = self.survey.scan(&file, needed, &columns, self.limits).only_hashing(only_hashed);
            for pass in &mut self.passes {
                pass.project(scan.schema());
            }
            loop {
                // An error of the scan names its row group; the one that is being read is the best we know without it.
                *place = Place::group(stretch.file, next);
                let batch = scan.next().await.inspect_err(|e| {
                    *place = Place::group(stretch.file, e.row_group().unwrap_or(next));
                });
                let Some(batch) = batch? else { break };
                next = batch.row_group;
                *place = Place::group(stretch.file, next);
                let is_over = self.passes.iter().all(Pass::is_over);
                if is_over || self.errors.precede(*place) || self.errors.nobody_reads(*place) {
                    break;
                }
                let first_row = self.survey.first_row(stretch.file, next);
                for (number, pass) in self.passes.iter_mut().enumerate() {
                    let before = pass.found.report.selected;
                    pass.read(&batch, first_row, |e| located(e, &file, batch.row_group));
                    pass.fail_at(*place, &self.errors.views[number]);
                    self.kept.add(number, pass.found.report.selected - before)?;
                }
            }
            self.survey.count(scan.fetched);
        }
        Ok(())
    }
}

impl Lane<'_, '_, '_> {
    /// The row groups that any view needs. The rows of the others count as read for that view, which knows without reading
    /// that it selects none of them: `min_rows` and the shares of the guards are of all rows of the snapshot.
    ///
    /// So are rows in pages of which no view selects any, where they are many: their pages are not unpacked.
    async fn needed(&mut self, file: &ParquetFile<'_>, stretch: &Stretch) -> Vec<Group> {
        let mut pruned: Vec<Pruned> = Vec::with_capacity(self.passes.len());
        for pass in &mut self.passes {
            pruned.push(pass.leave_out(file, stretch, self.limits.footer_bytes).await);
        }
        let mut groups = stretch.whole();
        groups.retain(|group| self.passes.iter().any(|pass| pass.needs(group.index)));
        let rows: Vec<u64> = file.group_rows().collect();
        for group in &mut groups {
            let all = rows.get(group.index).copied().unwrap_or(0);
            let needing = self.passes.iter().zip(&pruned).filter(|(pass, _)| pass.needs(group.index));
            group.rows = Pruned::together(needing.map(|(_, pruned)| pruned.rows(group.index)), all);
            let Some(read) = &group.rows else { continue };
            for pass in self.passes.iter_mut().filter(|pass| pass.needs(group.index)) {
                pass.found.report.rows_read += all.saturating_sub(read.len() as u64);
            }
        }
        groups
    }
}

/// One view on its way through the files of one lane.
pub(super) struct Pass<'v> {
    view: View<'v>,
    reader: RowReader,
    /// For files of one schema: the bound expressions, their columns, and where these are in the batches.
    bound: Option<(SchemaRef, Bound<'v>, Vec<String>, Vec<usize>)>,
    /// The row groups of the current file of which the view selects nothing.
    left_out: BTreeSet<usize>,
    pub(super) found: Found,
    pub(super) sift: Option<Sift<'v>>,
    pub(super) failed: Option<ViewError>,
    pub(super) failed_at: Place,
}

/// What a view has found.
pub(super) struct Found {
    pub(super) entries: Entries,
    /// Kept apart only where a refused row may win over a valid one.
    pub(super) invalid: Vec<(KeyHash, InvalidReason)>,
    pub(super) refused: Refused,
    pub(super) report: Report,
}

impl Found {
    pub(super) fn new(rows: u64) -> Self {
        Self {
            entries: Entries::new(rows),
            invalid: Vec::new(),
            refused: Refused::default(),
            report: Report::default(),
        }
    }
}

impl<'v> Pass<'v> {
    fn new(view: View<'v>, against: Option<&'v Against<'v>>, key: &HashKey, rows: u64) -> Self {
        Self {
            view,
            reader: RowReader::new(view.spec, key),
            bound: None,
            left_out: BTreeSet::new(),
            found: Found::new(rows),
            sift: against.map(Sift::new),
            failed: None,
            failed_at: Place::NOWHERE,
        }
    }

    /// Plans the view for a file and returns the columns it reads. A view that has failed in this lane reads nothing more:
    /// whether a defect is met that only it would have met depends on the lanes.
    fn open(&mut self, schema: &SchemaRef, explain: impl FnOnce(ViewError) -> ViewError) -> &[String] {
        if self.failed.is_some() {
            return &[];
        }
        let known = self.bound.as_ref().is_some_and(|(known, ..)| Arc::ptr_eq(known, schema) || known == schema);
        if !known {
            match plan(self.view.spec, schema).and_then(|p| Ok((p.bind(schema)?, p.columns))) {
                Ok((bound, columns)) => {
                    self.bound = Some((Arc::clone(schema), bound, columns.into_iter().collect(), Vec::new()));
                }
                Err(e) => {
                    self.failed = Some(explain(e));
                    return &[];
                }
            }
        }
        self.bound.as_ref().map_or(&[], |(_, _, columns, _)| columns)
    }

    /// Leaves out the columns of which it needs more than hashes.
    fn keep_only_hashed(&self, columns: &mut BTreeSet<String>) {
        let Some((_, bound, reads, _)) = self.bound.as_ref().filter(|_| self.failed.is_none()) else { return };
        columns.retain(|column| !reads.contains(column) || bound.only_hashed.contains(column));
    }

    fn project(&mut self, batches: &Schema) {
        if let Some((_, _, columns, indices)) = &mut self.bound {
            *indices = columns.iter().filter_map(|c| batches.index_of(c).ok()).collect();
        }
    }

    /// Looks in the statistics for row groups of which the view selects nothing, and in the page index for such pages of the others.
    async fn leave_out(&mut self, file: &ParquetFile<'_>, stretch: &Stretch, most: u64) -> Pruned {
        self.left_out.clear();
        let mut pruned = Pruned::default();
        let Some(prunable) = self.bound.as_ref().and_then(|(_, bound, ..)| bound.prunable.as_ref()) else {
            return pruned;
        };
        if self.failed.is_some() {
            return pruned;
        }
        let Some(statistics) = Statistics::of(file, &prunable.columns()) else { return pruned };
        let rows: Vec<u64> = file.group_rows().collect();
        for group in &stretch.groups {
            let all = rows.get(*group).copied().unwrap_or(0);
            if prunable.may_be_true(&|column| statistics.bounds(*group, column)) {
                pruned.look(&statistics, prunable, *group, all, most).await;
            } else {
                self.left_out.insert(*group);
                self.found.report.rows_read += all;
            }
        }
        pruned
    }

    fn needs(&self, group: usize) -> bool {
        self.failed.is_none() && !self.is_over() && !self.left_out.contains(&group)
    }

    /// True when all that it would find is dropped.
    fn is_over(&self) -> bool {
        self.sift.as_ref().is_some_and(Sift::is_over)
    }

    /// Notes where the view has failed, if it just has.
    fn fail_at(&mut self, place: Place, met: &First) {
        if self.failed.is_some() && self.failed_at == Place::NOWHERE {
            self.failed_at = place;
            met.meet(place);
        }
    }

    fn read(&mut self, batch: &Batch, first_row: u32, explain: impl FnOnce(Evaluated) -> ViewError) {
        let Some((_, bound, _, indices)) = &self.bound else { return };
        if !self.needs(batch.row_group) {
            return;
        }
        let prefers = self.view.spec.prefer.is_some();
        let (Found { entries, invalid, refused, report }, sift) = (&mut self.found, &mut self.sift);
        report.rows_read += batch.rows.num_rows() as u64;
        let read = super::rows::project(&batch.rows, indices).and_then(|projected| {
            self.reader.read(bound, &projected, self.view.erased, |selected, at, row| {
                report.selected += 1;
                match row {
                    Row::Erased => report.erased += 1,
                    Row::NullKey => {
                        report.null_keys += 1;
                        refused.add(InvalidReason::NullKey, None);
                    }
                    Row::Invalid(key, reason) if prefers => invalid.push((key, reason)),
                    Row::Invalid(key, reason) => refused.add(reason, Some(key)),
                    Row::Valid(key, attr, ids) => {
                        let row = first_row.saturating_add(batch.place(selected.position(at)));
                        if let Some(sift) = sift {
                            return sift.add(key, attr, row, at);
                        }
                        entries.push(key, attr, row);
                        ids.iter().for_each(|id| entries.identify(*id, row));
                    }
                }
            })
        });
        let read = read.and_then(|selected| match sift {
            Some(sift) => sift.end(bound, &selected.rows, entries),
            None => Ok(()),
        });
        if let Err(e) = read {
            self.failed = Some(explain(e));
        }
        for (field, count) in self.view.spec.mapping.fields().iter().zip(self.reader.take_digests()) {
            if count > 0 {
                *report.digests.entry(field.field.clone()).or_default() += count;
            }
        }
    }
}
