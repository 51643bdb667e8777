//! The sizes that values have as items, for who counts without a table.

use driftless_model::SyncId;

use super::attribute::Attributes;
use super::units::item_size;
use crate::Result;
use crate::head::Head;
use crate::item::{LogItem, LogPartition};
use crate::ledger::{Call, Run};

pub(crate) use super::units::{read_units, write_units};

fn size(item: Result<Attributes>) -> usize {
    item.map_or(0, |item| item_size(&item))
}

pub(crate) fn head_size(head: &Head) -> usize {
    size(super::head::encode(head))
}

pub(crate) fn log_item_size(partition: &LogPartition, item: &LogItem) -> usize {
    size(super::log::encode(partition, false, item))
}

pub(crate) fn run_size(run: &Run) -> usize {
    size(super::ledger::encode_run(run))
}

pub(crate) fn call_size(sync: &SyncId, call: &Call) -> usize {
    size(super::ledger::encode_call(sync, call))
}
