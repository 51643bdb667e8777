//! The two writes of the head that another item takes part in: activation claims the tick, erasure puts the tombstone.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    Put, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use driftless_model::{DatasetId, KeyHash, RunId, SyncId};

use super::DynamoDeltalog;
use super::attribute::{Attributes, json, malformed, n, s};
use super::failure::{Operation, failure};
use super::head::{UPDATE, decode};
use super::key;
use super::table::{Change, names};
use crate::head::transition::{try_activate, try_erase};
use crate::head::{ActivationGuard, Append, Head, HeadGuard, Swap, Tick};
use crate::{Error, Result};

const OPERATION: Operation = Operation { name: "TransactWriteItems", ..UPDATE };

impl DynamoDeltalog {
    /// A refused tick is a lost race: the run that claimed it is, or was, the active one.
    pub(super) async fn activate_run(
        &self,
        sync: &SyncId,
        run: &RunId,
        guard: &ActivationGuard,
        tick: &Tick,
    ) -> Result<Swap> {
        let change = Change::new(
            "SET #active_run = :run",
            "attribute_not_exists(#active_run) AND #incarnation = :incarnation AND #version = :version \
             AND #stamp = :stamp AND #config_epoch = :epoch AND size(#delivered) = :delivered",
            [
                (":run", s(run.as_str())),
                (":incarnation", n(guard.incarnation)),
                (":version", n(guard.version)),
                (":stamp", s(guard.stamp.as_str())),
                (":epoch", n(guard.epoch)),
                (":delivered", n(guard.delivered)),
            ],
        );
        let claimed = key::tick(sync, &tick.id).item([("run", s(run.as_str())), ("expires_at", n(tick.expires_at))]);
        let once = "attribute_not_exists(#pk)";
        self.swap_head_with(sync, change, claimed, Some(once), |h| try_activate(h, run, guard)).await
    }

    pub(super) async fn write_erasure(
        &self,
        sync: &SyncId,
        dataset: &DatasetId,
        key: KeyHash,
        guard: &HeadGuard,
        append: &Append,
    ) -> Result<Swap> {
        let next = guard.version + 1;
        let change = Change::new(
            format!("SET #version = :next, #versions.#{next} = :entry"),
            "#incarnation = :incarnation AND #version = :version",
            [
                (":next", n(next)),
                (":entry", json(&append.entry)?),
                (":incarnation", n(guard.incarnation)),
                (":version", n(guard.version)),
            ],
        );
        let tombstone =
            key::tombstone(dataset, key).item([("erased_at", n(append.entry.logged_at.0)), ("sync", s(sync.as_str()))]);
        self.swap_head_with(sync, change, tombstone, None, |h| try_erase(h, guard, append)).await
    }

    /// One conditional update of the head together with the put of another item.
    async fn swap_head_with(
        &self,
        sync: &SyncId,
        change: Change,
        item: Attributes,
        item_condition: Option<&str>,
        to: impl FnOnce(&Head) -> Option<Head> + Send,
    ) -> Result<Swap> {
        let unbuilt = |_| malformed("a transaction", "is not whole");
        let head = Update::builder()
            .table_name(&self.table.name)
            .set_key(Some(key::head(sync).attributes()))
            .set_expression_attribute_names(Some(change.names()))
            .set_expression_attribute_values(Some(change.values))
            .update_expression(change.update)
            .condition_expression(change.condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(unbuilt)?;
        let put = Put::builder()
            .table_name(&self.table.name)
            .set_item(Some(item))
            .set_expression_attribute_names(item_condition.map(|c| names(&[c])))
            .set_condition_expression(item_condition.map(ToOwned::to_owned))
            .build()
            .map_err(unbuilt)?;
        let request = self
            .table
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().update(head).build())
            .transact_items(TransactWriteItem::builder().put(put).build())
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let error = match request.send().await {
            Ok(done) => {
                self.table.has_written(done.consumed_capacity(), 4);
                return Ok(Swap::Done);
            }
            Err(error) => error,
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
            return Err(failure(OPERATION, &self.table.name, &error));
        };
        // Both items were prepared before one was refused; the service does not say what that took.
        self.table.has_written(None, 4);
        let reasons = cancelled.cancellation_reasons();
        let codes: Vec<_> = reasons.iter().filter_map(|r| r.code()).filter(|c| *c != "None").collect();
        if codes.contains(&"ValidationError") {
            return Err(OPERATION.too_large());
        }
        if codes.is_empty() || codes.iter().any(|code| *code != "ConditionalCheckFailed") {
            // A conflict with another transaction, or throttling: nothing was written.
            let reason = codes.join(", ");
            return Err(Error::Unavailable { operation: OPERATION.name, reason, source: None });
        }
        let stored = reasons.first().and_then(|r| r.item()).map(|item| decode(sync, item)).transpose()?;
        let ours = stored.is_some_and(|stored| to(&stored).as_ref() == Some(&stored));
        Ok(if ours { Swap::Done } else { Swap::Lost })
    }
}
