//! Outcomes of a call as attributes. A call has up to thousands of rows and an item must stay small, so rows with the same
//! outcome are written once, with the ranges of their numbers.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use driftless_model::{InFlight, Millis, RemoteJob, RowOutcome, Usage};
use serde::{Deserialize, Serialize};

use super::attribute::{Reader, json};
use crate::Result;
use crate::ledger::CallOutcome;

/// First and last row of a range without gaps.
type Ranges = Vec<(u32, u32)>;

#[derive(Serialize, Deserialize)]
struct Packed {
    exceptions: Vec<(RowOutcome, Ranges)>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    remote_ids: BTreeMap<u32, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    unnamed: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    list: Option<String>,
    requests: u32,
    at: Millis,
    #[serde(default, skip_serializing_if = "Usage::is_nothing")]
    usage: Usage,
}

fn pack(rows: impl Iterator<Item = u32>) -> Ranges {
    let mut ranges = Ranges::new();
    for row in rows {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(row) => *last = row,
            _ => ranges.push((row, row)),
        }
    }
    ranges
}

fn unpack(ranges: &[(u32, u32)]) -> impl Iterator<Item = u32> {
    ranges.iter().flat_map(|(first, last)| *first..=*last)
}

pub(super) fn rows_value(rows: &[u32]) -> Result<AttributeValue> {
    json(&pack(rows.iter().copied()))
}

pub(super) fn read_rows(r: Reader<'_>, name: &str) -> Result<Vec<u32>> {
    Ok(r.opt_json::<Ranges>(name)?.map(|ranges| unpack(&ranges).collect()).unwrap_or_default())
}

/// A job with the ranges of its rows: it may be about all thousands of a call.
#[derive(Serialize, Deserialize)]
struct PackedJob {
    job: RemoteJob,
    rows: Ranges,
    since: Millis,
    until: Millis,
    poll_at: Millis,
    polls: u32,
}

pub(super) fn jobs_value(jobs: &[InFlight]) -> Result<AttributeValue> {
    let packed: Vec<PackedJob> = jobs
        .iter()
        .map(|j| PackedJob {
            job: j.job.clone(),
            rows: pack(j.rows.iter().copied()),
            since: j.since,
            until: j.until,
            poll_at: j.poll_at,
            polls: j.polls,
        })
        .collect();
    json(&packed)
}

pub(super) fn read_jobs(r: Reader<'_>, name: &str) -> Result<Vec<InFlight>> {
    let packed = r.opt_json::<Vec<PackedJob>>(name)?.unwrap_or_default();
    let job = |j: PackedJob| InFlight {
        rows: unpack(&j.rows).collect(),
        job: j.job,
        since: j.since,
        until: j.until,
        poll_at: j.poll_at,
        polls: j.polls,
    };
    Ok(packed.into_iter().map(job).collect())
}

pub(super) fn outcome_value(outcome: &CallOutcome) -> Result<AttributeValue> {
    let mut same: Vec<(RowOutcome, Vec<u32>)> = Vec::new();
    let mut at = BTreeMap::new();
    for (row, is) in &outcome.exceptions {
        let text = serde_json::to_string(is).unwrap_or_default();
        let at = *at.entry(text).or_insert_with(|| {
            same.push((is.clone(), Vec::new()));
            same.len() - 1
        });
        same[at].1.push(*row);
    }
    json(&Packed {
        exceptions: same.into_iter().map(|(is, rows)| (is, pack(rows.into_iter()))).collect(),
        remote_ids: outcome.remote_ids.clone(),
        unnamed: outcome.unnamed.clone(),
        list: outcome.list.clone(),
        requests: outcome.requests,
        at: outcome.at,
        usage: outcome.usage,
    })
}

pub(super) fn read_outcome(r: Reader<'_>, name: &str) -> Result<Option<CallOutcome>> {
    Ok(r.opt_json::<Packed>(name)?.map(|packed| CallOutcome {
        exceptions: packed
            .exceptions
            .iter()
            .flat_map(|(is, ranges)| unpack(ranges).map(|row| (row, is.clone())))
            .collect(),
        remote_ids: packed.remote_ids,
        unnamed: packed.unnamed,
        list: packed.list,
        requests: packed.requests,
        at: packed.at,
        usage: packed.usage,
    }))
}

#[cfg(test)]
mod tests {
    use driftless_model::Outcome;

    use super::super::attribute::Attributes;
    use super::*;

    #[test]
    fn a_job_about_ten_thousand_rows_takes_little_space_and_reads_back() {
        let jobs = vec![InFlight {
            job: RemoteJob::new("request-1").unwrap(),
            rows: (0..10_000).filter(|row| *row != 77).collect(),
            since: Millis(1),
            until: Millis(9),
            poll_at: Millis(5),
            polls: 3,
        }];
        let value = jobs_value(&jobs).unwrap();
        assert!(value.as_s().unwrap().len() < 120);
        let item = Attributes::from([("jobs".to_owned(), value)]);
        assert_eq!(read_jobs(Reader::new(&item, "a call"), "jobs").unwrap(), jobs);
        assert_eq!(read_jobs(Reader::new(&Attributes::new(), "a call"), "jobs").unwrap(), []);
    }

    #[test]
    fn ten_thousand_rejected_rows_take_little_space_and_read_back() {
        let rejected = RowOutcome::from(Outcome::Rejected { reason: "bad_email".into() });
        let named = RowOutcome { outcome: Outcome::Delivered, remote_id: Some("r1".into()) };
        let mut exceptions: BTreeMap<_, _> = (0..10_000).map(|row| (row, rejected.clone())).collect();
        exceptions.insert(77, named);
        exceptions.insert(u32::MAX, Outcome::Unknown.into());
        let outcome = CallOutcome {
            exceptions,
            remote_ids: BTreeMap::from([(3, "id-3".into())]),
            unnamed: BTreeMap::from([("NO_CONSENT".into(), 3)]),
            list: None,
            requests: 9,
            at: Millis(5),
            usage: Usage::of([7; 10]),
        };
        let value = outcome_value(&outcome).unwrap();
        assert!(value.as_s().unwrap().len() < 510);
        let item = Attributes::from([("outcome".to_owned(), value)]);
        assert_eq!(read_outcome(Reader::new(&item, "a call"), "outcome").unwrap(), Some(outcome));
    }

    #[test]
    fn rows_are_kept_as_ranges() {
        assert_eq!(rows_value(&[0, 1, 2, 5, 7, 8]).unwrap().as_s().unwrap(), "[[0,2],[5,5],[7,8]]");
    }
}
