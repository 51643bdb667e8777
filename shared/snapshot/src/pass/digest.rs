use std::collections::BTreeSet;

use arrow::datatypes::Schema;
use driftless_model::{AttrHash, InvalidReason, KeyHash};

use super::entries::{Entries, Winner};
use super::files::{Files, Source, located, unreadable};
use super::prefer::{Contest, decide};
use super::report::{Refused, Report};
use super::rows::{Row, RowReader};
use crate::view::{Bound, plan};
use crate::{HashKey, SnapshotError, ViewError, ViewSpec};

/// What the join with D needs of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    /// The record.
    pub key_hash: KeyHash,
    /// What it holds.
    pub attr_hash: AttrHash,
}

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
    pub rows: Vec<Digest>,
    /// What was found on the way.
    pub report: Report,
}

/// Reads a snapshot once for several syncs of its dataset.
///
/// The result depends on the values only: not on the order of rows, columns, row groups or files, nor on encodings. Holds
/// 40 bytes for each selected row (as much again for each further identifier, and 64 for each key that `prefer` must
/// decide) beside a bounded read buffer. Repeatable.
///
/// # Errors
/// The outer error is the snapshot's: nothing can be said for any sync. An inner error is that sync's alone.
pub async fn digest(
    source: Source<'_>,
    views: &[View<'_>],
    key: &HashKey,
) -> Result<Vec<Result<Digested, ViewError>>, SnapshotError> {
    let mut passes: Vec<Pass<'_>> = views.iter().map(|view| Pass::new(*view, key)).collect();
    let mut files = Files::new(source)?;
    while passes.iter().any(|p| p.failed.is_none())
        && let Some(file) = files.next().await?
    {
        let schema = file.schema();
        let mut columns = BTreeSet::new();
        for pass in &mut passes {
            columns.extend(pass.open(&schema, |e| unreadable(&file, e)));
        }
        let mut scan = files.scan(&file, &columns);
        for pass in &mut passes {
            pass.project(scan.schema());
        }
        while passes.iter().any(|p| p.failed.is_none())
            && let Some((row_group, batch)) = scan.next().await?
        {
            for pass in &mut passes {
                pass.read(&batch, |e| located(e, &file, row_group));
            }
        }
        files.fetched += scan.fetched;
    }
    let mut digested = Vec::with_capacity(passes.len());
    for pass in passes {
        digested.push(pass.finish(&mut files, key).await?);
    }
    for pass in digested.iter_mut().flatten() {
        pass.report.bytes_read = files.fetched;
    }
    Ok(digested)
}

/// One view on its way through the files.
struct Pass<'v> {
    view: View<'v>,
    reader: RowReader,
    /// For the current file: the bound expressions, and their columns in the batches.
    bound: Option<(Bound<'v>, Vec<String>, Vec<usize>)>,
    entries: Entries,
    /// Kept apart only where a refused row may win over a valid one.
    invalid: Vec<(KeyHash, InvalidReason)>,
    refused: Refused,
    report: Report,
    failed: Option<ViewError>,
}

impl<'v> Pass<'v> {
    fn new(view: View<'v>, key: &HashKey) -> Self {
        Self {
            view,
            reader: RowReader::new(view.spec, key),
            bound: None,
            entries: Entries::default(),
            invalid: Vec::new(),
            refused: Refused::default(),
            report: Report::default(),
            failed: None,
        }
    }

    /// Plans the view for a file and returns the columns it reads.
    fn open(&mut self, schema: &Schema, explain: impl FnOnce(ViewError) -> ViewError) -> Vec<String> {
        if self.failed.is_some() {
            return Vec::new();
        }
        let planned = plan(self.view.spec, schema).and_then(|p| Ok((p.bind(schema)?, p.columns)));
        match planned {
            Ok((bound, columns)) => {
                let columns: Vec<String> = columns.into_iter().collect();
                self.bound = Some((bound, columns.clone(), Vec::new()));
                columns
            }
            Err(e) => {
                self.failed = Some(explain(e));
                Vec::new()
            }
        }
    }

    fn project(&mut self, batches: &Schema) {
        if let Some((_, columns, indices)) = &mut self.bound {
            *indices = columns.iter().filter_map(|c| batches.index_of(c).ok()).collect();
        }
    }

    fn read(&mut self, batch: &arrow::array::RecordBatch, explain: impl FnOnce(crate::sql::Evaluated) -> ViewError) {
        let Some((bound, _, indices)) = &self.bound else { return };
        if self.failed.is_some() {
            return;
        }
        let prefers = self.view.spec.prefer.is_some();
        let (entries, report) = (&mut self.entries, &mut self.report);
        let (refused, invalid) = (&mut self.refused, &mut self.invalid);
        report.rows_read += batch.num_rows() as u64;
        let read = super::rows::project(batch, indices).and_then(|batch| {
            self.reader.read(bound, &batch, self.view.erased, |_, row| {
                report.selected += 1;
                match row {
                    Row::Erased => report.erased += 1,
                    Row::NullKey => {
                        report.null_keys += 1;
                        refused.add(InvalidReason::NullKey, None);
                    }
                    Row::Invalid(key, reason) if prefers => invalid.push((key, reason)),
                    Row::Invalid(key, reason) => refused.add(reason, Some(key)),
                    Row::Valid(key, attr, ids) => entries.push(key, attr, ids),
                }
            })
        });
        if let Err(e) = read {
            self.failed = Some(explain(e));
        }
    }

    async fn finish(
        mut self,
        files: &mut Files<'_>,
        key: &HashKey,
    ) -> Result<Result<Digested, ViewError>, SnapshotError> {
        if let Some(e) = self.failed {
            return Ok(Err(e));
        }
        self.entries.sort();
        let mut contest = self.contest();
        if !contest.is_empty()
            && let Err(e) = decide(files, self.view, key, &mut contest).await?
        {
            return Ok(Err(e));
        }
        let mut lost = 0;
        for rows in self.invalid.chunk_by(|a, b| a.0 == b.0) {
            let (key, reason) = rows[0];
            if !contest.has(key) {
                self.refused.add(reason, Some(key));
            } else if self.entries.has(key) {
                lost += rows.len() as u64;
            } else {
                // A key that only refused rows have: one of them is the record.
                lost += rows.len() as u64 - 1;
                if let Some(Winner::Invalid(reason)) = contest.winner(key) {
                    self.refused.add(reason, Some(key));
                }
            }
        }
        self.report.duplicate_keys = lost + self.entries.elect(|key| contest.winner(key), &mut self.refused);
        let rows = self.entries.digests(self.reader.identifiers, &mut self.refused);
        self.report.invalid = self.refused.finish();
        Ok(Ok(Digested { rows, report: self.report }))
    }

    /// The keys for which `prefer` decides: more than one row has them, and not all are the same.
    fn contest(&mut self) -> Contest {
        if self.view.spec.prefer.is_none() {
            return Contest::default();
        }
        let mut keys: Vec<KeyHash> = self.entries.contested().collect();
        self.invalid.sort_unstable();
        keys.extend(self.invalid.windows(2).filter(|w| w[0].0 == w[1].0).map(|w| w[0].0));
        keys.extend(self.invalid.iter().map(|(key, _)| *key).filter(|key| self.entries.has(*key)));
        Contest::new(keys)
    }
}
