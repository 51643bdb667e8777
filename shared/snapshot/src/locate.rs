//! Which snapshot an object announces, and which is the newest under a dataset's prefix.

use driftless_model::{DatasetId, Millis, ObjectVersion, SnapshotOrder, SnapshotRef};
use driftless_objects::{ObjectMeta, Objects};
use serde::Deserialize;

/// What an object key means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announces {
    /// `*.parquet` directly under the dataset: a snapshot of its own.
    File(DatasetId),
    /// A marker in a sub-folder: the part files under `folder` are complete.
    Parts {
        /// The dataset.
        dataset: DatasetId,
        /// Prefix of the part files, with a final `/`.
        folder: String,
        /// The marker lists the parts and may name a version.
        manifest: bool,
    },
    /// A part file, a hidden file, another format: waits for its marker or is none of ours.
    Nothing,
}

const MARKER: &str = "_SUCCESS";
const MANIFESTS: [&str; 2] = ["_MANIFEST.json", "manifest.json"];

/// The dataset under whose prefix a key lies, whatever it announces.
#[must_use]
pub fn dataset_of(key: &str) -> Option<DatasetId> {
    split(key).map(|(dataset, _)| dataset)
}

/// Reads a decoded object key. Anything outside `datasets/{tenant}/{dataset}/` announces nothing.
#[must_use]
pub fn announces(key: &str) -> Announces {
    let Some((dataset, rest)) = split(key) else { return Announces::Nothing };
    match rest.rsplit_once('/') {
        None if rest.ends_with(".parquet") && !hidden(rest) => Announces::File(dataset),
        Some((folder, name)) if name == MARKER || MANIFESTS.contains(&name) => {
            if folder.split('/').any(hidden) {
                return Announces::Nothing;
            }
            let folder = format!("{}{folder}/", dataset.prefix());
            Announces::Parts { dataset, folder, manifest: name != MARKER }
        }
        _ => Announces::Nothing,
    }
}

fn split(key: &str) -> Option<(DatasetId, &str)> {
    let mut parts = key.strip_prefix("datasets/")?.splitn(3, '/');
    let (tenant, dataset, rest) = (parts.next()?, parts.next()?, parts.next()?);
    Some((format!("{tenant}/{dataset}").parse().ok()?, rest))
}

fn hidden(name: &str) -> bool {
    name.starts_with('_') || name.starts_with('.')
}

/// The explicit version in a key: `…/version=…/…` or a file name `version=….parquet`.
fn version_in(key: &str) -> Option<String> {
    key.split('/')
        .filter_map(|part| part.strip_prefix("version="))
        .map(|v| v.strip_suffix(".parquet").unwrap_or(v).to_owned())
        .find(|v| !v.is_empty())
}

/// What a manifest may say. Unknown keys are ignored: other tools write manifests too.
#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    version: Option<VersionValue>,
    files: Vec<ManifestFile>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum VersionValue {
    Number(u64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ManifestFile {
    Name(String),
    Entry { path: String },
}

impl ManifestFile {
    fn path(&self) -> &str {
        match self {
            Self::Name(path) | Self::Entry { path } => path,
        }
    }
}

/// Why an announced snapshot cannot be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocateError {
    /// The bucket.
    #[error("the snapshot's objects could not be looked up")]
    Objects(#[from] driftless_objects::Error),
    /// The manifest is not what we understand.
    #[error("manifest {key} cannot be read: {problem}")]
    Manifest {
        /// Its key.
        key: String,
        /// Where and what.
        problem: String,
    },
    /// The marker closes a folder without Parquet files.
    #[error("{key} closes a folder that has no .parquet file")]
    NoParts {
        /// The marker.
        key: String,
    },
}

impl LocateError {
    /// True if the snapshot itself is at fault: refuse it. Else the bucket could not be read: try again.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Objects(e) => e.disposition() == driftless_model::Disposition::Reject,
            Self::Manifest { .. } | Self::NoParts { .. } => true,
        }
    }
}

/// The snapshot that the object version `meta` announces, if any: dated by the file, or by the marker that closes its parts.
///
/// # Errors
/// [`LocateError::Manifest`], [`LocateError::NoParts`]: refuse the snapshot; otherwise as the bucket says.
pub async fn snapshot_of(
    objects: &dyn Objects,
    meta: &ObjectMeta,
    sequencer: Option<String>,
) -> Result<Option<(DatasetId, SnapshotRef)>, LocateError> {
    let key = &meta.object.key;
    let order = |version| SnapshotOrder { version, modified: meta.modified, key: key.clone(), sequencer };
    match announces(key) {
        Announces::Nothing => Ok(None),
        Announces::File(dataset) => {
            Ok(Some((dataset, SnapshotRef { order: order(version_in(key)), parts: vec![meta.object.clone()] })))
        }
        Announces::Parts { dataset, folder, manifest: false } => {
            let parts: Vec<ObjectVersion> = versions(objects, &folder).await?;
            if parts.is_empty() {
                return Err(LocateError::NoParts { key: key.clone() });
            }
            Ok(Some((dataset, SnapshotRef { order: order(version_in(key)), parts })))
        }
        Announces::Parts { dataset, folder, manifest: true } => {
            let bytes = objects.read_range(&meta.object, 0..meta.object.size.min(MANIFEST_BYTES)).await?;
            let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| LocateError::Manifest {
                key: key.clone(),
                problem: format!("line {}, column {}", e.line(), e.column()),
            })?;
            if manifest.files.is_empty() {
                return Err(LocateError::NoParts { key: key.clone() });
            }
            let mut parts = Vec::with_capacity(manifest.files.len());
            for file in &manifest.files {
                if file.path().split('/').any(|p| p == "..") {
                    let problem = "a path leaves the snapshot's folder".to_owned();
                    return Err(LocateError::Manifest { key: key.clone(), problem });
                }
                parts.push(objects.head(&format!("{folder}{}", file.path()), None).await?.object);
            }
            let version = manifest.version.map(|v| match v {
                VersionValue::Number(n) => n.to_string(),
                VersionValue::Text(t) => t,
            });
            Ok(Some((dataset, SnapshotRef { order: order(version.or_else(|| version_in(key))), parts })))
        }
    }
}

const MANIFEST_BYTES: u64 = 8 << 20;

/// The part files under a folder by the version that is newest now. The listing names no version ids; each is looked up, so
/// that planning reads the very objects that were ingested.
async fn versions(objects: &dyn Objects, folder: &str) -> Result<Vec<ObjectVersion>, LocateError> {
    let mut parts = Vec::new();
    for found in objects.list(folder).await? {
        let rest = found.object.key.strip_prefix(folder).unwrap_or_default();
        if rest.ends_with(".parquet") && !rest.split('/').any(hidden) {
            parts.push(objects.head(&found.object.key, None).await?.object);
        }
    }
    Ok(parts)
}

/// The newest snapshot under the dataset's prefix: what an event that was lost would have announced.
///
/// # Errors
/// As [`snapshot_of`].
pub async fn newest(
    objects: &dyn Objects,
    dataset: &DatasetId,
) -> Result<Option<(DatasetId, SnapshotRef)>, LocateError> {
    let listed = objects.list(&dataset.prefix()).await?;
    let candidate = listed
        .into_iter()
        .filter(|m| match announces(&m.object.key) {
            Announces::File(d) | Announces::Parts { dataset: d, .. } => d == *dataset,
            Announces::Nothing => false,
        })
        .max_by(|a, b| rank(a).cmp(&rank(b)));
    match candidate {
        Some(found) => {
            let meta = objects.head(&found.object.key, None).await?;
            snapshot_of(objects, &meta, None).await
        }
        None => Ok(None),
    }
}

/// Order without opening manifests: those whose version is only inside are ranked by time.
fn rank(meta: &ObjectMeta) -> SnapshotOrder {
    SnapshotOrder {
        version: version_in(&meta.object.key),
        modified: meta.modified,
        key: meta.object.key.clone(),
        sequencer: None,
    }
}

/// When the snapshot was made, as its order says: the time that its changes are dated by.
#[must_use]
pub fn dated(snapshot: &SnapshotRef) -> Millis {
    snapshot.order.modified
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use driftless_objects::MemoryObjects;
    use futures::executor::block_on;

    #[test]
    fn only_files_directly_under_the_dataset_and_markers_announce_a_snapshot() {
        let d: DatasetId = "acme/customers".parse().expect("valid");
        assert_eq!(announces("datasets/acme/customers/a.parquet"), Announces::File(d.clone()));
        let folder = "datasets/acme/customers/version=3/".to_owned();
        assert_eq!(
            announces("datasets/acme/customers/version=3/_SUCCESS"),
            Announces::Parts { dataset: d.clone(), folder: folder.clone(), manifest: false }
        );
        assert_eq!(
            announces("datasets/acme/customers/version=3/_MANIFEST.json"),
            Announces::Parts { dataset: d, folder, manifest: true }
        );
        for nothing in [
            "datasets/acme/customers/version=3/part-0.parquet",
            "datasets/acme/customers/_tmp.parquet",
            "datasets/acme/customers/.a.parquet",
            "datasets/acme/customers/_temporary/0/_SUCCESS",
            "datasets/acme/customers/notes.txt",
            "datasets/acme/a.parquet",
            "history/acme/customers/a.parquet",
            "datasets/Acme!/customers/a.parquet",
        ] {
            assert_eq!(announces(nothing), Announces::Nothing, "{nothing}");
        }
    }

    #[test]
    fn a_marker_closes_the_parts_under_its_folder_and_dates_the_snapshot() {
        let o = MemoryObjects::default();
        let p = "datasets/acme/customers/version=7/";
        o.upload(&format!("{p}part-1.parquet"), Bytes::from_static(b"1"), Millis(1));
        o.upload(&format!("{p}part-0.parquet"), Bytes::from_static(b"0"), Millis(2));
        o.upload(&format!("{p}_hidden.parquet"), Bytes::from_static(b"x"), Millis(2));
        let marker = o.upload(&format!("{p}_SUCCESS"), Bytes::new(), Millis(3));
        let (_, s) = block_on(snapshot_of(&o, &marker, None)).expect("located").expect("announced");
        assert_eq!(s.order.version.as_deref(), Some("7"));
        assert_eq!(s.order.modified, Millis(3));
        let keys: Vec<_> = s.parts.iter().map(|x| x.key.rsplit('/').next().unwrap_or_default()).collect();
        assert_eq!(keys, ["part-0.parquet", "part-1.parquet"]);
    }

    #[test]
    fn a_manifest_names_parts_and_version_and_may_not_leave_its_folder() {
        let o = MemoryObjects::default();
        let p = "datasets/acme/customers/2026/";
        o.upload(&format!("{p}a.parquet"), Bytes::from_static(b"1"), Millis(1));
        let body = br#"{"version": 12, "files": ["a.parquet"], "rows": 3}"#;
        let m = o.upload(&format!("{p}manifest.json"), Bytes::from_static(body), Millis(3));
        let (_, s) = block_on(snapshot_of(&o, &m, None)).expect("located").expect("announced");
        assert_eq!((s.order.version.as_deref(), s.parts.len()), (Some("12"), 1));
        let body = br#"{"files": ["../../../../history/x.parquet"]}"#;
        let m = o.upload(&format!("{p}manifest.json"), Bytes::from_static(body), Millis(4));
        assert!(matches!(block_on(snapshot_of(&o, &m, None)), Err(LocateError::Manifest { .. })));
    }

    #[test]
    fn the_newest_snapshot_is_found_without_an_event() {
        let o = MemoryObjects::default();
        let d: DatasetId = "acme/customers".parse().expect("valid");
        assert!(block_on(newest(&o, &d)).expect("listed").is_none());
        o.upload("datasets/acme/customers/b.parquet", Bytes::from_static(b"1"), Millis(1));
        o.upload("datasets/acme/customers/a.parquet", Bytes::from_static(b"2"), Millis(2));
        let (_, s) = block_on(newest(&o, &d)).expect("listed").expect("found");
        assert_eq!(s.order.key, "datasets/acme/customers/a.parquet");
    }
}
