use core::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::Millis;

/// Where a snapshot stands among the snapshots of its dataset.
///
/// An explicit version in the object key or manifest decides; else (last-modified, key), and within one key the S3
/// sequencer (hex, compared after right-padding the shorter with zeros). Snapshots with an explicit version are newer
/// than snapshots without one, so that a dataset can adopt versions once and stay with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotOrder {
    /// From `…/version=N/…` or the manifest; compared as a number where both are, else as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Last-modified of the file, or of the marker that closes a snapshot of part files.
    pub modified: Millis,
    /// The decoded object key of the file or marker.
    pub key: String,
    /// The S3 sequencer, where an event gave one (upper-case hex).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
}

impl SnapshotOrder {
    /// True when both are the same state of the same object: a duplicate event, or an event and a listing of it.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

fn cmp_sequencer(a: &str, b: &str) -> Ordering {
    let n = a.len().max(b.len());
    let pad = |s: &str| {
        let mut s = s.to_ascii_uppercase();
        while s.len() < n {
            s.push('0');
        }
        s
    };
    pad(a).cmp(&pad(b))
}

fn cmp_version(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(x), Ok(y)) => x.cmp(&y),
        _ => a.cmp(b),
    }
}

impl PartialOrd for SnapshotOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SnapshotOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_version = match (&self.version, &other.version) {
            (Some(a), Some(b)) => cmp_version(a, b),
            (Some(_), None) => Ordering::Greater,
            (None, Some(_)) => Ordering::Less,
            (None, None) => Ordering::Equal,
        };
        by_version.then_with(|| {
            if self.key == other.key {
                // Within one key the sequencer is the truth; a listing has none and falls back on the time.
                if let (Some(a), Some(b)) = (&self.sequencer, &other.sequencer) {
                    return cmp_sequencer(a, b);
                }
            }
            self.modified.cmp(&other.modified).then_with(|| self.key.cmp(&other.key))
        })
    }
}

/// One object of the user's, by the version that was named when the snapshot was taken up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectVersion {
    /// The decoded object key.
    pub key: String,
    /// The S3 version id; `None` on a bucket without versioning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The entity tag, without quotes; guards a read where there is no version id.
    pub etag: String,
    /// Bytes.
    pub size: u64,
}

/// A snapshot as it was taken up: its order and the very objects that hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// Where it stands among the dataset's snapshots.
    pub order: SnapshotOrder,
    /// Its part files in key order; one for a single-file snapshot.
    pub parts: Vec<ObjectVersion>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(version: Option<&str>, modified: i64, key: &str, seq: Option<&str>) -> SnapshotOrder {
        SnapshotOrder {
            version: version.map(Into::into),
            modified: Millis(modified),
            key: key.into(),
            sequencer: seq.map(Into::into),
        }
    }

    #[test]
    fn explicit_versions_decide_as_numbers() {
        assert!(order(Some("9"), 5, "a", None) < order(Some("10"), 1, "b", None));
        assert!(order(None, 9, "z", None) < order(Some("1"), 1, "a", None));
        assert!(order(Some("2026-01-02"), 0, "a", None) > order(Some("2026-01-01"), 9, "a", None));
    }

    #[test]
    fn the_sequencer_decides_within_one_key_only() {
        assert!(order(None, 1, "a", Some("0A1")) > order(None, 1, "a", Some("0A")));
        assert!(order(None, 1, "a", Some("0A0")).is_same(&order(None, 1, "a", Some("0A"))));
        assert!(order(None, 1, "a", Some("FF")) < order(None, 2, "b", Some("00")));
    }

    #[test]
    fn an_event_and_a_listing_of_the_same_object_are_the_same_snapshot() {
        assert!(order(None, 7, "a", Some("0A")).is_same(&order(None, 7, "a", None)));
    }
}
