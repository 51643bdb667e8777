use std::collections::BTreeMap;

use driftless_model::{KeyHash, RecordKey, RecordState};

/// The state of every touched record: its key, and its part of D (`None`: it is not in the selection).
pub type States = BTreeMap<KeyHash, (RecordKey, Option<RecordState>)>;

/// Folds layers of states, oldest to newest, into one entry per record: the newest.
///
/// Layers are the residue first (it is older than every unfolded version), then the log versions in order. Because a layer
/// holds states, not operations, add + update is the newest add, add + remove is absence, update + update is the newest, and
/// whether something has to be *sent* is decided once, against A, in [`crate::net_changes`].
#[must_use]
pub fn aggregate(layers: impl IntoIterator<Item = States>) -> States {
    let mut layers = layers.into_iter();
    let mut states = layers.next().unwrap_or_default();
    for layer in layers {
        states.extend(layer);
    }
    states
}
