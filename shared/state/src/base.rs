use std::collections::{BTreeMap, BTreeSet};

use driftless_history::{BulkFile, Hashes, HistoryFile};
use driftless_model::{IdentifierSet, KeyHash, RecordKey};

use crate::Result;

/// The file that D starts from: what the log versions after it change.
pub enum Base<'a> {
    /// The acknowledged state.
    History(HistoryFile<'a>),
    /// All of D as of a log version.
    Bulk(BulkFile<'a>),
}

impl Base<'_> {
    /// How many records it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::History(file) => file.len(),
            Self::Bulk(file) => file.len(),
        }
    }

    /// True if it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The two hashes of its records with key hashes from `from` to `to`, in key-hash order, in a stream.
    pub fn hashes(&self, from: KeyHash, to: KeyHash) -> Hashes<'_> {
        match self {
            Self::History(file) => file.hashes(from, to),
            Self::Bulk(file) => file.hashes(from, to),
        }
    }

    /// Keys and identifiers of the records at these places, which come in order; see [`D::place`](crate::D::place).
    pub async fn names_at(&self, places: &[u64]) -> Result<Vec<(RecordKey, IdentifierSet)>> {
        Ok(match self {
            Self::History(file) => file.names_at(places).await?,
            Self::Bulk(file) => file.names_at(places).await?,
        })
    }

    /// Keys and identifiers of some of its records.
    pub(crate) async fn names(
        &self,
        keys: &BTreeSet<KeyHash>,
    ) -> Result<BTreeMap<KeyHash, (RecordKey, IdentifierSet)>> {
        Ok(match self {
            Self::History(file) => file.names(keys).await?,
            Self::Bulk(file) => {
                let rows = file.rows(keys).await?.into_iter();
                rows.map(|(key, row)| (key, (row.state.key, row.state.identifiers))).collect()
            }
        })
    }
}
