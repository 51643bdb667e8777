//! What the planner is asked for, and what comes of it.

use driftless_model::{RunId, SyncId};

/// A request to plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The sync.
    pub sync: SyncId,
    /// Unique to the scheduled time, change or request.
    pub tick: String,
    /// For `runs`: what asked.
    pub cause: String,
    /// Look for a snapshot whose event was lost before planning. Not when ingest itself asks.
    pub look_for_snapshot: bool,
    /// Read the remote list and compare it with A, instead of sending what differs.
    pub compare: Option<Asked>,
}

/// What becomes of what a comparison finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is only told.
    Report,
    /// A is corrected by it, and the next run sends what differs then.
    Correct,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// A run was activated and its first calls are queued.
    Run {
        /// Its id.
        run: RunId,
        /// Its calls.
        calls: u32,
    },
    /// D equals A, as far as it may be sent.
    InSync,
    /// Another run is active; the janitor takes it from here.
    Busy,
    /// Another run is active that does not do what was asked for: the request comes back later.
    InTheWay,
    /// A snapshot or configuration must be ingested first; planning is asked for again after it.
    IngestFirst,
    /// The tick has made its run before.
    Repeated,
    /// The state moved while we planned; the message comes back.
    Overtaken,
    /// Not registered, paused, or nothing was ever ingested.
    Idle,
    /// The sync waits for a person; the reason is in its head.
    NeedsAttention,
}
