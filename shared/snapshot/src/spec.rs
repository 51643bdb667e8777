use driftless_config::{KeyColumns, Mapping, Prefer, Selection};

/// The part of a sync that decides which records a snapshot gives it and what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewSpec {
    /// The columns that identify a record, of the selection's result.
    pub key: KeyColumns,
    /// Which records.
    pub selection: Selection,
    /// Which of their columns go to which destination fields.
    pub mapping: Mapping,
    /// Which of several rows of one key is taken.
    pub prefer: Option<Prefer>,
}

impl From<&driftless_config::Sync> for ViewSpec {
    fn from(sync: &driftless_config::Sync) -> Self {
        Self {
            key: sync.key.clone(),
            selection: sync.selection.clone(),
            mapping: sync.mapping.clone(),
            prefer: sync.prefer.clone(),
        }
    }
}
