//! The writes of the head that must know what it holds before: fold, compaction, and clearing what is retired.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use driftless_model::{SyncId, Token};

use super::DynamoDeltalog;
use super::attribute::{Attributes, Reader, json, malformed, n, s};
use super::failure::Operation;
use super::head::{UPDATE, decode};
use super::key;
use super::limits::{PATHS_PER_EXPRESSION, RACE_RETRIES};
use super::lists;
use super::table::{Change, Write};
use crate::head::transition::{merged_away, retired_by, try_compact, try_fold};
use crate::head::{Compaction, Fold, Head, Retired, Swap};
use crate::{Error, Result};

impl DynamoDeltalog {
    /// Reads which versions it retires, then writes once. Their numbers cannot change while the stamp and the active run are
    /// those that were read: ingest only adds above them, and a compaction touches none that a run covers.
    pub(super) async fn write_fold(&self, sync: &SyncId, fold: &Fold) -> Result<Swap> {
        let mut stored = self.table.get(&key::head(sync)).await?;
        for _ in 0..RACE_RETRIES {
            let Some(item) = stored else { return Ok(Swap::Lost) };
            let head = decode(sync, &item)?;
            let Some(folded) = try_fold(&head, fold) else { return Ok(Swap::Lost) };
            if folded == head {
                return Ok(Swap::Done);
            }
            let change = fold_change(&item, &head, &folded, fold)?;
            match self.update_head(sync, change, false).await? {
                Write::Done(_) => return Ok(Swap::Done),
                // Our own write, a lost race, or (where maps or lists are replaced) another writer in between: look again.
                Write::Refused(item) => stored = item,
            }
        }
        Err(raced(UPDATE))
    }

    /// Merges versions, each only as it was read, byte by byte.
    pub(super) async fn write_compaction(&self, sync: &SyncId, compaction: &Compaction) -> Result<Swap> {
        let mut stored = self.table.get(&key::head(sync)).await?;
        for _ in 0..RACE_RETRIES {
            let Some(item) = stored else { return Ok(Swap::Lost) };
            let head = decode(sync, &item)?;
            let Some(compacted) = try_compact(&head, compaction) else { return Ok(Swap::Lost) };
            if compacted == head {
                return Ok(Swap::Done);
            }
            let change = compact_change(&item, compaction)?;
            match self.update_head(sync, change, false).await? {
                Write::Done(_) => return Ok(Swap::Done),
                // Our own write, or a lost race: look again.
                Write::Refused(item) => stored = item,
            }
        }
        Err(raced(UPDATE))
    }

    /// Takes entries out of the list of retired versions, each only where it was read.
    pub(super) async fn remove_retired(&self, sync: &SyncId, tokens: &BTreeSet<Token>) -> Result<()> {
        let mut stored = self.table.get(&key::head(sync)).await?;
        for _ in 0..RACE_RETRIES {
            let Some(item) = stored else { return Ok(()) };
            let retired: Vec<Retired> = Reader::new(&item, "the head").json_list("retired")?;
            let raw = item.get("retired").and_then(|l| l.as_l().ok()).map(Vec::as_slice).unwrap_or_default();
            let gone = retired.iter().zip(raw).enumerate().rev().filter(|(_, (r, _))| tokens.contains(&r.entry.token));
            let gone: Vec<_> = gone.map(|(at, (_, raw))| (at, raw.clone())).take(PATHS_PER_EXPRESSION).collect();
            if gone.is_empty() {
                return Ok(());
            }
            let paths =
                |form: fn(usize) -> String, by| gone.iter().map(|(at, _)| form(*at)).collect::<Vec<_>>().join(by);
            let mut change = Change::new(
                format!("REMOVE {}", paths(|at| format!("#retired[{at}]"), ", ")),
                paths(|at| format!("#retired[{at}] = :r{at}"), " AND "),
                [],
            );
            for (at, raw) in gone {
                change = change.value(&format!(":r{at}"), raw);
            }
            stored = match self.update_head(sync, change, true).await? {
                Write::Done(item) => Some(item),
                Write::Refused(item) => item,
            };
        }
        Err(raced(UPDATE))
    }
}

pub(super) fn raced(operation: Operation) -> Error {
    let reason = format!("{RACE_RETRIES} writers were faster");
    Error::Unavailable { operation: operation.name, reason, source: None }
}

fn fold_change(item: &Attributes, head: &Head, folded: &Head, fold: &Fold) -> Result<Change> {
    let retired = retired_by(head, fold).map(|r| json(&r)).collect::<Result<_>>()?;
    let mut change = Change::new(
        "SET #stamp = :stamp, #history = :history, #retired = list_append(#retired, :retired)",
        "#stamp = :from_stamp AND size(#delivered) >= :taken_in AND ",
        [
            (":stamp", s(fold.stamp.as_str())),
            (":history", json(&fold.history)?),
            (":retired", AttributeValue::L(retired)),
            (":from_stamp", s(fold.from_stamp.as_str())),
            (":taken_in", n(fold.delivered)),
        ],
    );
    let mut removed = vec!["#active_run".to_owned()];
    match &fold.run {
        Some(run) => {
            change.condition.push_str("#active_run = :run");
            change = change.value(":run", s(run.as_str()));
        }
        None => change.condition.push_str("attribute_not_exists(#active_run)"),
    }
    change = lists::replacing(item, head, folded, change)?;
    if let Some(at) = fold.succeeded_at {
        change = change.and(", #last_succeeded_at = :succeeded").value(":succeeded", n(at.0));
    }
    match &fold.residue {
        Some(residue) => change = change.and(", #residue = :residue").value(":residue", json(residue)?),
        None => removed.push("#residue".to_owned()),
    }
    let versions = head.versions.range(..=fold.through).map(|(v, _)| format!("#versions.#{v}"));
    // Last first: the service removes what the list had at each index, but an emulator that removes one after the other
    // shifts the rest.
    let delivered = (0..fold.delivered).rev().map(|at| format!("#delivered[{at}]"));
    let paths: Vec<_> = versions.chain(delivered).collect();
    if paths.len() <= PATHS_PER_EXPRESSION {
        removed.extend(paths);
    } else {
        // More than an expression can name: both are replaced, and must be as they were read.
        let left = folded.versions.iter().map(|(v, e)| Ok((v.to_string(), json(e)?))).collect::<Result<_>>()?;
        let runs = folded.delivered.iter().map(json).collect::<Result<_>>()?;
        // An append changes the version, a compaction makes the map smaller.
        change.condition.push_str(
            " AND #version = :version AND size(#versions) = :versions_read AND size(#delivered) = :delivered_read",
        );
        change = change
            .and(", #versions = :versions, #delivered = :delivered")
            .value(":versions", AttributeValue::M(left))
            .value(":delivered", AttributeValue::L(runs))
            .value(":version", n(head.version))
            .value(":versions_read", n(head.versions.len()))
            .value(":delivered_read", n(head.delivered.len()));
    }
    Ok(change.and(&format!(" REMOVE {}", removed.join(", "))))
}

fn compact_change(item: &Attributes, compaction: &Compaction) -> Result<Change> {
    let Some((last, _)) = compaction.merged.last_key_value() else {
        return Err(malformed("a compaction", "merges nothing"));
    };
    let retired = merged_away(compaction).map(|r| json(&r)).collect::<Result<_>>()?;
    let mut change = Change::new(
        format!("SET #retired = list_append(#retired, :retired), #versions.#{last} = :into"),
        "#incarnation = :incarnation AND #stamp = :stamp AND ",
        [
            (":retired", AttributeValue::L(retired)),
            (":into", json(&compaction.into)?),
            (":incarnation", n(compaction.incarnation)),
            (":stamp", s(compaction.stamp.as_str())),
        ],
    );
    match &compaction.active_run {
        Some(run) => {
            change.condition.push_str("#active_run = :run");
            change = change.value(":run", s(run.as_str()));
        }
        None => change.condition.push_str("attribute_not_exists(#active_run)"),
    }
    let stored = item.get("versions").and_then(|v| v.as_m().ok());
    for (version, raw) in compaction.merged.keys().filter_map(|v| Some((v, stored?.get(&v.to_string())?))) {
        change.condition.push_str(&format!(" AND #versions.#{version} = :v{version}"));
        change = change.value(&format!(":v{version}"), raw.clone());
    }
    let before = compaction.merged.keys().filter(|v| *v != last).map(|v| format!("#versions.#{v}"));
    let before: Vec<_> = before.collect();
    Ok(if before.is_empty() { change } else { change.and(&format!(" REMOVE {}", before.join(", "))) })
}
