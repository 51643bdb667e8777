//! Files in a bucket: a list for whoever reads it there.
//!
//! # What lies where
//!
//! Below `{prefix}{list}/`:
//!
//! | key | is |
//! |---|---|
//! | `deltas/{call}.json` | the manifest of some changes (mode `deltas`) |
//! | `deltas/{call}.{digest}.csv` | the changes it names |
//! | `full/{session}/manifest.json` | the manifest of a whole list |
//! | `full/{session}/part-{n}.{digest}.csv` | its files; `part-{n}.json` beside them is of no use to readers |
//! | `current.json` | names the newest whole list and its manifest's digest (modes `deltas` and `full`) |
//! | `manifest.json` | in mode `once`, the manifest of the list, which never changes |
//!
//! A manifest is JSON: `version` 1, `what` (`delta` or `full`), `list`, `written_at` (milliseconds since 1970), `session`,
//! `records`, `schema` (`format`, `columns`, `identifiers`, `neutralised`) and `files`, each with `name` (below the list's
//! prefix), `records`, `bytes` and `sha256`. It is written after everything that it names, and what it names never changes:
//! the digest is in the name. So a reader who follows manifests reads no half file, and none that changes under it.
//!
//! A reader of changes takes manifests by `written_at`. An `add` row puts a record into the list or gives it new values, a
//! `remove` row takes its identifiers out; those of one record that depend on each other are never in one file, and have
//! different times. An identifier that comes with another record has changed hands, without a removal. A whole list counts
//! for all changes before it. In a removal a record has its identifiers only, one line for each of several values.
//!
//! # What if
//!
//! * We die before the manifest is written, or are not heard: the same call writes the same files again, which are there
//!   already, and its manifest. What was written for another call of ours is in nobody's way.
//! * A session is never finished: its parts lie there, and no manifest names them.
//! * A session misses a part when its last one comes: nothing is published.
//! * Two sessions end at the same time: `current.json` is changed by compare-and-swap, and the later one stays.
//! * A list of mode `once` is sent a second time: refused. The planner makes a new list.
//!
//! Nothing is ever deleted here; give the prefix a lifecycle rule that suits its readers.

mod connector;
mod fold;
mod format;
mod manifest;
mod port;
mod session;

use core::fmt;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use driftless_config::destination::{FileDestination, FileMode};
use driftless_model::{Clock, IdentifierSet};

use crate::{Acknowledges, Answered, BuildError, Capabilities, Failure, Gate, Limits, Ports, Replace};

pub use port::{Buckets, FileTrouble, Files, OnlyIf, StoredFile};

/// What S3 takes for a write, in nano-dollars; a call makes two.
const WRITE_PRICE: u64 = 5_000;

/// A list of files.
pub(crate) struct FileDrop {
    capabilities: Capabilities,
    files: Arc<dyn Files>,
    clock: Arc<dyn Clock>,
    config: FileDestination,
    list: String,
    /// `{prefix}{list}/`.
    root: String,
    /// The members as changes made them, while the list is read page by page.
    members: Mutex<Option<Arc<BTreeMap<String, IdentifierSet>>>>,
}

pub(crate) fn capabilities(config: &FileDestination) -> Capabilities {
    let limits = Limits::records(config.records);
    let changes = (config.mode == FileMode::Deltas).then_some(limits);
    Capabilities {
        add: changes,
        update: changes,
        remove: changes,
        list: true,
        acknowledges: Acknowledges::Batch,
        repeatable: true,
        replace: Some(Replace::Session { limits, open_for: None }),
        new_list: config.mode == FileMode::Once,
        price_per_call: Some(2 * WRITE_PRICE),
        ..Capabilities::default()
    }
}

impl FileDrop {
    pub(crate) fn new(config: &FileDestination, list: &str, ports: &Ports) -> Result<Self, BuildError> {
        let buckets = ports.buckets.as_ref().ok_or(BuildError::Port { what: "access to buckets" })?;
        Ok(Self {
            capabilities: capabilities(config),
            files: buckets.bucket(&config.bucket),
            clock: ports.clock()?,
            config: config.clone(),
            list: list.to_owned(),
            root: format!("{}{}/", config.prefix, segment(list)),
            members: Mutex::new(None),
        })
    }

    fn key(&self, place: &str) -> String {
        format!("{}{place}", self.root)
    }
}

/// A list's name as one segment of a key: what could be another segment, or is awkward in a key, is percent-encoded.
fn segment(list: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'=').remove(b'@');
    percent_encoding::utf8_percent_encode(list, KEPT).to_string()
}

/// Counts the requests of one batch, each of which passes the gate.
struct Asking<'a> {
    gate: &'a dyn Gate,
    requests: core::sync::atomic::AtomicU32,
}

impl<'a> Asking<'a> {
    const fn new(gate: &'a dyn Gate) -> Self {
        Self { gate, requests: core::sync::atomic::AtomicU32::new(0) }
    }

    fn requests(&self) -> u32 {
        self.requests.load(core::sync::atomic::Ordering::Relaxed)
    }

    /// Before each request. The slot of the first was taken by the stack.
    async fn pass(&self) -> Result<(), Answered> {
        if self.requests.fetch_add(1, core::sync::atomic::Ordering::Relaxed) > 0 {
            self.gate.pass().await.map_err(|no_slot| {
                self.requests.fetch_sub(1, core::sync::atomic::Ordering::Relaxed);
                Answered::Unavailable { reason: no_slot.to_string() }
            })?;
        }
        Ok(())
    }
}

impl From<FileTrouble> for Answered {
    fn from(trouble: FileTrouble) -> Self {
        match trouble {
            FileTrouble::Denied { reason } => Self::Fatal { reason },
            FileTrouble::Throttled { after } => Self::Throttled { after, reason: "the bucket is throttling".into() },
            FileTrouble::NoAnswer { reason } => Self::NoAnswer { reason },
        }
    }
}

impl From<FileTrouble> for Failure {
    fn from(trouble: FileTrouble) -> Self {
        match trouble {
            FileTrouble::Denied { reason } => Self::Fatal { reason },
            FileTrouble::Throttled { after } => Self::Throttled { after, reason: "the bucket is throttling".into() },
            FileTrouble::NoAnswer { reason } => Self::Unavailable { reason },
        }
    }
}

impl fmt::Debug for FileDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileDrop").field("root", &self.root).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_one_segment_whatever_it_is_called() {
        assert_eq!(segment("news-letter_2@2026=x"), "news-letter_2@2026=x");
        assert_eq!(segment("../a b/c"), "%2E%2E%2Fa%20b%2Fc");
    }
}
