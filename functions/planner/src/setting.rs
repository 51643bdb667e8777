//! What a sync and its destination say of how to plan.

use driftless_config::{FirstSync, Mode, Sync};
use driftless_connector::Capabilities;
use driftless_deltalog::head::Head;
use driftless_deltalog::registry::{DestinationEntry, SyncEntry};
use driftless_model::Operation;

use crate::strategy::Way;

/// The configuration that a run is planned under.
pub(crate) struct Setting {
    pub(crate) entry: SyncEntry,
    pub(crate) config: Sync,
    pub(crate) destination: DestinationEntry,
    pub(crate) capabilities: Capabilities,
}

/// What comes before everything else while nothing is acknowledged yet: a look at the list (policy `refuse`, where it can be
/// read), which also makes it ready, or only that. A new list is made before it is loaded.
pub(crate) fn first_call(head: &Head, setting: &Setting, way: Way) -> Option<Operation> {
    let refuses = setting.config.first_sync == FirstSync::Refuse && setting.capabilities.list;
    match () {
        () if matches!(way, Way::NewList { .. }) => Some(Operation::Prepare),
        () if head.history.is_some() || !head.delivered.is_empty() => None,
        () if refuses => Some(Operation::Inspect),
        () if setting.capabilities.creates_list => Some(Operation::Prepare),
        () => None,
    }
}

pub(crate) const fn mode(mode: Mode) -> driftless_changeset::Mode {
    match mode {
        Mode::Mirror => driftless_changeset::Mode::Mirror,
        Mode::Upsert => driftless_changeset::Mode::Upsert,
        Mode::AddOnly => driftless_changeset::Mode::AddOnly,
        Mode::UpdateOnly => driftless_changeset::Mode::UpdateOnly,
        Mode::RemoveOnly => driftless_changeset::Mode::RemoveOnly,
    }
}
