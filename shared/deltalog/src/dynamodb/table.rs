//! The few shapes of request that the store makes.

use core::time::Duration;
use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    ConsumedCapacity, DeleteRequest, PutRequest, ReturnConsumedCapacity, ReturnValue,
    ReturnValuesOnConditionCheckFailure, WriteRequest,
};
use backon::{BackoffBuilder, ExponentialBuilder};
use driftless_model::{Meter, Usage};
use futures::{TryStreamExt, stream};

use super::attribute::Attributes;
use super::failure::{Operation, failure};
use super::key::{Key, PK, SK};
use super::limits::{BATCH_WRITE_ITEMS, PARALLEL_BATCHES, UNPROCESSED_RETRIES};
use super::units::{consumed, item_size, read_units, write_units};
use crate::{Error, Result};

/// The table and how it is reached.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
    /// Counts the units that requests take.
    pub(crate) meter: Meter,
}

/// The answer to a conditional write.
#[derive(Debug)]
pub(crate) enum Write {
    /// It took effect; what the request asked to be returned.
    Done(Attributes),
    /// The condition did not hold on this item (`None`: there is no item).
    Refused(Option<Attributes>),
}

/// An update expression, its condition and its values. Every attribute is written `#name`, so that no reserved word can
/// be met; the names are collected from the text.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) update: String,
    pub(crate) condition: String,
    pub(crate) values: Attributes,
}

/// What a query reads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Range<'a> {
    /// Only sort keys that start with this.
    pub(crate) prefix: Option<&'a str>,
    /// Descending sort keys.
    pub(crate) newest_first: bool,
    /// At most this many items.
    pub(crate) limit: Option<usize>,
    /// Only the two keys of each item.
    pub(crate) keys_only: bool,
}

/// `#name` → `name` for every name in the expressions.
pub(crate) fn names(expressions: &[&str]) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for part in expressions.iter().flat_map(|e| e.split('#').skip(1)) {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
        names.insert(format!("#{}", &part[..end]), part[..end].to_owned());
    }
    names
}

impl Change {
    pub(crate) fn new<const N: usize>(
        update: impl Into<String>,
        condition: impl Into<String>,
        values: [(&str, aws_sdk_dynamodb::types::AttributeValue); N],
    ) -> Self {
        let values = values.map(|(name, value)| (name.to_owned(), value)).into();
        Self { update: update.into(), condition: condition.into(), values }
    }

    /// Appends to the update expression.
    pub(crate) fn and(mut self, update: &str) -> Self {
        self.update.push_str(update);
        self
    }

    /// Makes further assignments, before all others.
    pub(crate) fn also(mut self, assignments: &str) -> Self {
        let rest = self.update.strip_prefix("SET ").map(|rest| format!(", {rest}"));
        self.update = format!("SET {assignments}{}", rest.unwrap_or_else(|| format!(" {}", self.update)));
        self
    }

    pub(crate) fn value(mut self, name: &str, value: aws_sdk_dynamodb::types::AttributeValue) -> Self {
        self.values.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn names(&self) -> HashMap<String, String> {
        names(&[&self.update, &self.condition])
    }
}

/// Every request asks what it takes.
const ASK: ReturnConsumedCapacity = ReturnConsumedCapacity::Total;

impl Table {
    /// Counts a read: what the service said, and not less than the size of what came. Emulators bill any read as one unit.
    fn has_read(&self, said: Option<&ConsumedCapacity>, bytes: usize) {
        let read_units = consumed(said).unwrap_or_default().max(read_units(bytes));
        self.meter.count(Usage { read_units, ..Usage::default() });
    }

    /// Counts writes: what the service said, else the units that we worked out.
    pub(crate) fn has_written<'a>(&self, said: impl IntoIterator<Item = &'a ConsumedCapacity>, otherwise: u64) {
        let write_units = consumed(said).unwrap_or(otherwise);
        self.meter.count(Usage { write_units, ..Usage::default() });
    }

    /// A refused write takes what a write of the item that is there would: the service does not say it.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>
    fn was_refused(&self, item: Option<&Attributes>) {
        self.has_written(None, write_units(item.map_or(0, item_size)));
    }

    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Attributes>> {
        let request = self.client.get_item().table_name(&self.name).set_key(Some(key.attributes()));
        let answer = request.consistent_read(true).return_consumed_capacity(ASK).send().await;
        let answer = answer.map_err(|e| failure(Operation::small("GetItem"), &self.name, &e))?;
        self.has_read(answer.consumed_capacity(), answer.item().map_or(0, item_size));
        Ok(answer.item)
    }

    /// Puts an item, unconditionally if the condition is empty.
    pub(crate) async fn put(
        &self,
        operation: Operation,
        item: Attributes,
        condition: &str,
        values: Attributes,
    ) -> Result<Write> {
        let bytes = item_size(&item);
        let request = self.client.put_item().table_name(&self.name).set_item(Some(item));
        let conditional = (!condition.is_empty()).then(|| condition.to_owned());
        let answer = request
            .set_expression_attribute_names(conditional.as_ref().map(|c| names(&[c])).filter(|n| !n.is_empty()))
            .set_expression_attribute_values(Some(values).filter(|v| !v.is_empty()))
            .set_return_values_on_condition_check_failure(
                conditional.is_some().then_some(ReturnValuesOnConditionCheckFailure::AllOld),
            )
            .set_condition_expression(conditional)
            .return_consumed_capacity(ASK)
            .send()
            .await;
        match answer {
            Ok(done) => {
                self.has_written(done.consumed_capacity(), write_units(bytes));
                Ok(Write::Done(Attributes::new()))
            }
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                    self.was_refused(refused.item());
                    Ok(Write::Refused(refused.item().cloned()))
                }
                _ => Err(failure(operation, &self.name, &error)),
            },
        }
    }

    /// Puts an item if there is none with its key.
    pub(crate) async fn put_if_absent(&self, operation: Operation, item: Attributes) -> Result<Write> {
        self.put(operation, item, "attribute_not_exists(#pk)", Attributes::new()).await
    }

    pub(crate) async fn update(
        &self,
        operation: Operation,
        key: &Key,
        change: Change,
        returned: ReturnValue,
    ) -> Result<Write> {
        let request = self.client.update_item().table_name(&self.name).set_key(Some(key.attributes()));
        let answer = request
            .set_expression_attribute_names(Some(change.names()))
            .set_expression_attribute_values(Some(change.values).filter(|v| !v.is_empty()))
            .update_expression(change.update)
            .condition_expression(change.condition)
            .return_values(returned)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ASK)
            .send()
            .await;
        match answer {
            Ok(done) => {
                self.has_written(done.consumed_capacity(), 1);
                Ok(Write::Done(done.attributes.unwrap_or_default()))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    self.was_refused(refused.item());
                    Ok(Write::Refused(refused.item().cloned()))
                }
                _ => Err(failure(operation, &self.name, &error)),
            },
        }
    }

    pub(crate) async fn delete(&self, key: &Key) -> Result<()> {
        let request = self.client.delete_item().table_name(&self.name).set_key(Some(key.attributes()));
        let answer = request.return_consumed_capacity(ASK).send().await;
        let done = answer.map_err(|e| failure(Operation::small("DeleteItem"), &self.name, &e))?;
        self.has_written(done.consumed_capacity(), 1);
        Ok(())
    }

    /// The items of a partition, all pages, read consistently.
    pub(crate) async fn query(&self, partition: &str, range: Range<'_>) -> Result<Vec<Attributes>> {
        let mut items = Vec::new();
        let mut from = None;
        let condition = match range.prefix {
            Some(_) => "#pk = :pk AND begins_with(#sk, :prefix)",
            None => "#pk = :pk",
        };
        let projection = range.keys_only.then_some("#pk, #sk");
        loop {
            let request = self.client.query().table_name(&self.name).key_condition_expression(condition);
            let request = match range.prefix {
                Some(prefix) => request.expression_attribute_values(":prefix", super::attribute::s(prefix)),
                None => request,
            };
            let missing = range.limit.map(|l| l.saturating_sub(items.len()));
            let answer = request
                .expression_attribute_values(":pk", super::attribute::s(partition))
                .set_expression_attribute_names(Some(names(&[condition, projection.unwrap_or_default()])))
                .set_projection_expression(projection.map(ToOwned::to_owned))
                .scan_index_forward(!range.newest_first)
                .set_limit(missing.and_then(|m| i32::try_from(m).ok()))
                .set_exclusive_start_key(from.take())
                .consistent_read(true)
                .return_consumed_capacity(ASK)
                .send()
                .await
                .map_err(|e| failure(Operation::small("Query"), &self.name, &e))?;
            self.has_read(answer.consumed_capacity(), answer.items().iter().map(item_size).sum());
            items.extend(answer.items.unwrap_or_default());
            from = answer.last_evaluated_key;
            if from.is_none() || range.limit.is_some_and(|l| items.len() >= l) {
                return Ok(items);
            }
        }
    }

    pub(crate) async fn put_all(
        &self,
        operation: Operation,
        items: impl Iterator<Item = Result<Attributes>>,
    ) -> Result<()> {
        self.write_all(operation, items.map(|item| put_request(item?))).await
    }

    /// Deletes the items that these (keys of) items belong to.
    pub(crate) async fn delete_all(&self, items: Vec<Attributes>) -> Result<()> {
        self.write_all(Operation::small("BatchWriteItem"), items.into_iter().map(delete_request)).await
    }

    /// Batches, several at a time. Batches are not atomic: after an error some items are written and some are not.
    async fn write_all(
        &self,
        operation: Operation,
        requests: impl Iterator<Item = Result<WriteRequest>>,
    ) -> Result<()> {
        stream::iter(Batches(requests))
            .map_ok(|batch| self.write_batch(operation, batch))
            .try_buffer_unordered(PARALLEL_BATCHES)
            .try_collect()
            .await
    }

    /// One batch; what the service leaves unprocessed is sent again after a jittered wait.
    async fn write_batch(&self, operation: Operation, mut batch: Vec<WriteRequest>) -> Result<()> {
        let mut waits = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(5))
            .with_max_times(UNPROCESSED_RETRIES)
            .with_jitter()
            .build();
        loop {
            let asked = units_of(&batch);
            let request = self.client.batch_write_item().request_items(&self.name, batch);
            let answer = request.return_consumed_capacity(ASK).send().await;
            let answer = answer.map_err(|e| failure(operation, &self.name, &e))?;
            let left =
                answer.unprocessed_items().and_then(|left| left.get(&self.name)).map_or(0, |left| units_of(left));
            self.has_written(answer.consumed_capacity(), asked.saturating_sub(left));
            batch = answer.unprocessed_items.and_then(|mut left| left.remove(&self.name)).unwrap_or_default();
            if batch.is_empty() {
                return Ok(());
            }
            let Some(wait) = waits.next() else {
                let reason = format!("{} items left unprocessed", batch.len());
                return Err(Error::Unavailable { operation: operation.name, reason, source: None });
            };
            tokio::time::sleep(wait).await;
        }
    }
}

/// Up to [`BATCH_WRITE_ITEMS`] requests at a time; made when they are needed, so that a large version is not held twice.
struct Batches<I>(I);

impl<I: Iterator<Item = Result<WriteRequest>>> Iterator for Batches<I> {
    type Item = Result<Vec<WriteRequest>>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch: Result<Vec<_>> = self.0.by_ref().take(BATCH_WRITE_ITEMS).collect();
        match batch {
            Ok(batch) if batch.is_empty() => None,
            batch => Some(batch),
        }
    }
}

/// What the writes of a batch take; a deletion as if its item were small.
fn units_of(batch: &[WriteRequest]) -> u64 {
    batch.iter().map(|w| write_units(w.put_request().map_or(0, |put| item_size(put.item())))).sum()
}

fn put_request(item: Attributes) -> Result<WriteRequest> {
    let put = PutRequest::builder().set_item(Some(item)).build().map_err(|_| unbuilt())?;
    Ok(WriteRequest::builder().put_request(put).build())
}

fn delete_request(mut item: Attributes) -> Result<WriteRequest> {
    item.retain(|name, _| name == PK || name == SK);
    let delete = DeleteRequest::builder().set_key(Some(item)).build().map_err(|_| unbuilt())?;
    Ok(WriteRequest::builder().delete_request(delete).build())
}

fn unbuilt() -> Error {
    super::attribute::malformed("a batch", "an entry has no key")
}
