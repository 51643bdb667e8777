//! Applied configuration, as `driftless apply` stored it and the functions read it.

use driftless_config::{Destination, Sync};
use driftless_deltalog::registry::{DestinationEntry, SyncEntry};
use driftless_objects::Objects;

use crate::{Error, Result};

/// The configuration that a registry entry points at.
///
/// # Errors
/// [`Error::Document`] if this version of the product cannot read it: apply again.
pub async fn sync(objects: &dyn Objects, entry: &SyncEntry) -> Result<Sync> {
    read(objects, &entry.object).await
}

/// See [`sync`].
pub async fn destination(objects: &dyn Objects, entry: &DestinationEntry) -> Result<Destination> {
    read(objects, &entry.object).await
}

async fn read<T: serde::de::DeserializeOwned>(objects: &dyn Objects, object: &str) -> Result<T> {
    let bytes = objects.read(object).await?;
    serde_json::from_slice(&bytes).map_err(|e| Error::Document { object: object.to_owned(), problem: e.to_string() })
}
