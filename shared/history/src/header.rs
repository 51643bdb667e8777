use core::fmt;

use parquet::file::metadata::{FileMetaData, KeyValue};
use serde::{Deserialize, Serialize};

use crate::Malformation;

/// The newest format that is read; the one that is written. Older formats stay readable.
const FORMAT: u32 = 1;

/// The key of the file metadata under which the header is.
const KEY: &str = "driftless";

/// What a file of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// The acknowledged state of a list.
    History,
    /// What one committed run changed of it.
    Delta,
    /// What a run did not deliver.
    Residue,
    /// Keys that a guard keeps back.
    Hold,
    /// What a run sends.
    Changeset,
    /// All of D as of one log version.
    Bulk,
    /// Who was found in a remote list.
    Members,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::History => "history",
            Self::Delta => "delta",
            Self::Residue => "residue",
            Self::Hold => "hold",
            Self::Changeset => "changeset",
            Self::Bulk => "bulk",
            Self::Members => "members",
        })
    }
}

/// What a history or bulk file belongs to: the six names that the head carries too, and the stamp of the fold that made it (of a
/// bulk file, the token of its version)
/// (US 6,044,381: a history file is valid only for the pair of data sets that it names).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMeta {
    /// Tenant.
    pub tenant: String,
    /// Dataset.
    pub dataset: String,
    /// Where the snapshots come from.
    pub source: String,
    /// Connector kind.
    pub kind: String,
    /// Destination.
    pub destination: String,
    /// The list at the destination.
    pub list: String,
    /// The stamp of the fold.
    pub stamp: String,
    /// Fingerprint of the configuration that its attribute hashes were made under.
    pub fingerprint: String,
}

/// The header of a file, as JSON in the Parquet footer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    format: u32,
    kind: FileKind,
    /// History and bulk files only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) meta: Option<FileMeta>,
    /// Changeset files only: rows before the transfers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
}

/// Just enough of a header to tell a newer format from a broken one.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Header {
    pub(crate) const fn new(kind: FileKind) -> Self {
        Self { format: FORMAT, kind, meta: None, rows: None }
    }

    /// The header of a history or bulk file.
    pub(crate) fn with_meta(kind: FileKind, meta: FileMeta) -> Self {
        Self { meta: Some(meta), ..Self::new(kind) }
    }

    /// The header of a changeset file.
    pub(crate) const fn with_rows(kind: FileKind, rows: u64) -> Self {
        Self { format: FORMAT, kind, meta: None, rows: Some(rows) }
    }

    pub(crate) const fn kind(&self) -> FileKind {
        self.kind
    }

    pub(crate) fn to_key_value(&self) -> Result<KeyValue, serde_json::Error> {
        Ok(KeyValue::new(KEY.to_owned(), serde_json::to_string(self)?))
    }

    pub(crate) fn of(file: &FileMetaData, kind: FileKind) -> Result<Self, Malformation> {
        let text = file
            .key_value_metadata()
            .and_then(|all| all.iter().find(|kv| kv.key == KEY))
            .and_then(|kv| kv.value.as_deref())
            .ok_or(Malformation::NoHeader)?;
        let format = serde_json::from_str::<Format>(text).map_err(|_| Malformation::NoHeader)?.format;
        if format > FORMAT {
            return Err(Malformation::NewerFormat { found: format, known: FORMAT });
        }
        let header: Self = serde_json::from_str(text).map_err(|_| Malformation::NoHeader)?;
        if header.kind == kind { Ok(header) } else { Err(Malformation::OtherKind { found: header.kind }) }
    }
}
