use driftless_config::{FieldMapping, KeyColumns, Mapping, Prefer, RECORD_KEY, Selection};

/// The part of a sync that decides which records a snapshot gives it and what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewSpec {
    /// The columns that identify a record, of the selection's result; none if its content does.
    pub key: KeyColumns,
    /// Which records.
    pub selection: Selection,
    /// Which of their columns go to which destination fields.
    pub mapping: Mapping,
    /// Which of several rows of one key is taken.
    pub prefer: Option<Prefer>,
}

impl ViewSpec {
    /// The fields that carry columns: what a record is, and what its hashes are of.
    pub(crate) fn column_fields(&self) -> impl Iterator<Item = &FieldMapping> {
        self.mapping.fields().iter().filter(|f| !self.carries_key(f))
    }

    /// The fields that carry the key of a record that its content identifies.
    pub(crate) fn key_fields(&self) -> impl Iterator<Item = &FieldMapping> {
        self.mapping.fields().iter().filter(|f| self.carries_key(f))
    }

    fn carries_key(&self, field: &FieldMapping) -> bool {
        self.key.is_content() && field.column == RECORD_KEY
    }
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
