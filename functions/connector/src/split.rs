//! Which rows of a call have their last word, and which are to be sent.

use std::collections::{BTreeMap, BTreeSet};

use driftless_changeset::PlannedRow;
use driftless_connector::OutRow;
use driftless_deltalog::ledger::Call;
use driftless_model::{KeyHash, Outcome, RowOutcome};

use crate::error::Error;

type OpenRows = Vec<(u32, OutRow)>;

/// The rows of a call.
pub(crate) struct Split {
    /// Final already: from an earlier claim, or because they are erased.
    pub(crate) outcomes: BTreeMap<u32, RowOutcome>,
    /// To be sent, or in flight.
    pub(crate) open: OpenRows,
    /// In flight, and not to be sent again.
    pub(crate) never_again: BTreeSet<u32>,
}

/// What is in flight is asked for even if it is erased meanwhile: it was sent. Of a run that closes nothing else is open.
pub(crate) fn split(
    call: &Call,
    rows: &[PlannedRow],
    erased: &BTreeSet<KeyHash>,
    closing: bool,
) -> Result<Split, Error> {
    let mut out = Split { outcomes: BTreeMap::new(), open: Vec::new(), never_again: BTreeSet::new() };
    let in_flight: BTreeSet<u32> = call.jobs.iter().flat_map(|job| job.rows.iter().copied()).collect();
    for (number, row) in (0u32..).zip(rows) {
        let is_erased = row.operation.sends() && erased.contains(&row.key_hash);
        let flies = in_flight.contains(&number);
        if call.progress_rows.binary_search(&number).is_ok() {
            let kept = call.progress.as_ref();
            let exception = kept.and_then(|p| p.exceptions.get(&number)).cloned();
            let remote_id = kept.and_then(|p| p.remote_ids.get(&number)).cloned();
            out.outcomes.insert(number, exception.unwrap_or(RowOutcome { outcome: Outcome::Delivered, remote_id }));
            continue;
        }
        match () {
            () if flies && (is_erased || closing) => drop(out.never_again.insert(number)),
            () if flies => {}
            () if closing => continue,
            () if is_erased => {
                out.outcomes.insert(number, Outcome::Suppressed.into());
                continue;
            }
            () => {}
        }
        let fields = match &row.fields {
            None => serde_json::Map::new(),
            Some(json) => {
                serde_json::from_str(json).map_err(|_| Error::Payload { row: call.first_row + u64::from(number) })?
            }
        };
        let row = OutRow {
            key: row.key.clone(),
            identifiers: row.identifiers.clone(),
            remote_id: row.remote_id.clone(),
            fields,
        };
        out.open.push((number, row));
    }
    Ok(out)
}
