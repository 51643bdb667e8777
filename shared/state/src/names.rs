//! Where our objects lie. Every name is private to one attempt or is a content address, so that an object is written once.

use driftless_model::{DestinationId, RunId, SyncId, Token};
use sha2::{Digest, Sha256};

/// Everything of a sync's acknowledged state.
#[must_use]
pub fn history_prefix(sync: &SyncId) -> String {
    format!("history/{sync}/")
}

/// A history file.
#[must_use]
pub fn history(sync: &SyncId, incarnation: u64, token: &Token) -> String {
    format!("history/{sync}/{incarnation}/base-{token}.parquet")
}

/// The rows of A that one committed run changed.
#[must_use]
pub fn delta(sync: &SyncId, incarnation: u64, token: &Token) -> String {
    format!("history/{sync}/{incarnation}/delta-{token}.parquet")
}

/// What a fold left undelivered.
#[must_use]
pub fn residue(sync: &SyncId, incarnation: u64, token: &Token) -> String {
    format!("history/{sync}/{incarnation}/residue-{token}.parquet")
}

/// All of D as of one log version.
#[must_use]
pub fn bulk(sync: &SyncId, incarnation: u64, token: &Token) -> String {
    format!("history/{sync}/{incarnation}/bulk-{token}.parquet")
}

/// The records that a guard holds.
#[must_use]
pub fn hold(sync: &SyncId, incarnation: u64, token: &Token) -> String {
    format!("history/{sync}/{incarnation}/hold-{token}.parquet")
}

/// All changesets of a sync.
#[must_use]
pub fn changeset_prefix(sync: &SyncId) -> String {
    format!("changesets/{sync}/")
}

/// A run's changeset; run ids are never reused.
#[must_use]
pub fn changeset(sync: &SyncId, run: &RunId) -> String {
    format!("changesets/{sync}/{run}.parquet")
}

/// A part of a sync's remote list, as one claim of a call read it.
#[must_use]
pub fn members(sync: &SyncId, run: &RunId, token: &Token, part: usize) -> String {
    format!("members/{sync}/{run}/{token}-{part}.parquet")
}

/// A sync's applied configuration, by content.
#[must_use]
pub fn sync_document(sync: &SyncId, bytes: &[u8]) -> String {
    format!("config/syncs/{sync}/{}.json", content(bytes))
}

/// A destination's applied configuration, by content.
#[must_use]
pub fn destination_document(destination: &DestinationId, bytes: &[u8]) -> String {
    format!("config/destinations/{destination}/{}.json", content(bytes))
}

fn content(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    hex::encode(digest.get(..16).unwrap_or_default())
}
