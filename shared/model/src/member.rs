use crate::IdentifierSet;

/// One member of a remote list, as the destination names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The identifiers that the destination shows.
    pub identifiers: IdentifierSet,
    /// Its id, if there is one.
    pub remote_id: Option<String>,
}
