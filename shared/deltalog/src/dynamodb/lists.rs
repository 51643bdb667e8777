//! The lists that a head names: one attribute, replaced only as it was read.

use driftless_model::SyncId;

use super::DynamoDeltalog;
use super::attribute::{Attributes, json};
use super::fold::raced;
use super::head::{UPDATE, decode};
use super::key;
use super::limits::RACE_RETRIES;
use super::table::{Change, Write};
use crate::Result;
use crate::head::{Head, Swap};

impl DynamoDeltalog {
    /// Writes the lists of the head as `to` makes them, and nothing else of it.
    pub(super) async fn write_lists(
        &self,
        sync: &SyncId,
        to: impl Fn(&Head) -> Option<Head> + Send + Sync,
    ) -> Result<Swap> {
        let mut stored = self.table.get(&key::head(sync)).await?;
        for _ in 0..RACE_RETRIES {
            let Some(item) = stored else { return Ok(Swap::Lost) };
            let head = decode(sync, &item)?;
            let Some(new) = to(&head) else { return Ok(Swap::Lost) };
            if new == head {
                return Ok(Swap::Done);
            }
            // An active run that gave way meanwhile has changed the lists, or made none.
            let run = match &head.active_run {
                Some(_) => "#active_run = :run_read",
                None => "attribute_not_exists(#active_run)",
            };
            let change = replacing(&item, &head, &new, Change::new("SET ", run, []))?;
            let change = match item.get("active_run") {
                Some(run) => change.value(":run_read", run.clone()),
                None => change,
            };
            match self.update_head(sync, change, false).await? {
                Write::Done(_) => return Ok(Swap::Done),
                // Our own write, or a lost race: look again.
                Write::Refused(item) => stored = item,
            }
        }
        Err(raced(UPDATE))
    }
}

/// Adds to a change what becomes of the lists, if that is anything: they must be as they were read, byte by byte.
pub(super) fn replacing(item: &Attributes, head: &Head, new: &Head, mut change: Change) -> Result<Change> {
    if new.lists == head.lists {
        return Ok(change);
    }
    let separator = if change.update == "SET " { "" } else { ", " };
    change = change.and(&format!("{separator}#lists = :lists")).value(":lists", json(&new.lists)?);
    match item.get("lists") {
        Some(read) => {
            change.condition.push_str(" AND #lists = :lists_read");
            Ok(change.value(":lists_read", read.clone()))
        }
        None => {
            change.condition.push_str(" AND attribute_not_exists(#lists)");
            Ok(change)
        }
    }
}
