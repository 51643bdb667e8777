//! What `apply` registered, and what belongs to a destination beside it.

use core::fmt;

use driftless_model::{DatasetId, DestinationId, Millis, SyncId};
use serde::{Deserialize, Serialize};

use crate::head::{ConfigStamp, Names};

/// What `apply` registered of a sync: where its configuration lies and which epoch it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncEntry {
    /// The sync.
    pub sync: SyncId,
    /// Its dataset.
    pub dataset: DatasetId,
    /// Its destination.
    pub destination: DestinationId,
    /// Grows when the sync is recreated or pointed at another list.
    pub incarnation: u64,
    /// The names its head must carry.
    pub names: Names,
    /// Epoch and fingerprint of the configuration.
    pub config: ConfigStamp,
    /// Object key of the configuration document (content-addressed).
    pub object: String,
    /// No run is planned while set; snapshots are still ingested.
    pub paused: bool,
    /// When it was applied.
    pub applied_at: Millis,
    /// Changes with every write; the condition of the next one.
    pub revision: u64,
}

/// The token that the workers of a destination share. What the document means is known to who writes it; it is sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedToken {
    /// Counts every write; the condition of the next one.
    pub revision: u64,
    /// The token, sealed, and who is fetching the next one.
    pub document: String,
}

impl fmt::Debug for SharedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedToken").field("revision", &self.revision).finish_non_exhaustive()
    }
}

/// What `apply` registered of a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationEntry {
    /// The destination.
    pub destination: DestinationId,
    /// Connector kind.
    pub kind: String,
    /// Object key of the configuration document (content-addressed).
    pub object: String,
    /// The queue that its connector function drains.
    pub queue_url: String,
    /// When it was applied.
    pub applied_at: Millis,
}
