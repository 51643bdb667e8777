use core::fmt;

use serde::{Deserialize, Serialize};

/// What a call asks of the destination for each of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Put a record into the list.
    Add,
    /// Change a record that the destination holds already.
    Update,
    /// Take identifiers out of the list.
    Remove,
    /// Read the list before the first run (first-sync policy); touches no record.
    Inspect,
    /// Make the list ready before the first run: create it where it may be created; touches no record.
    Prepare,
    /// Read who is in the list, to compare it with what was acknowledged; touches no record.
    List,
    /// Empty the list, or take out of it who was put there before the run; names no record.
    Clear,
}

impl Operation {
    /// The lower-case name used in configuration, items and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Update => "update",
            Self::Remove => "remove",
            Self::Inspect => "inspect",
            Self::Prepare => "prepare",
            Self::List => "list",
            Self::Clear => "clear",
        }
    }

    /// True for the operations that carry records; the others are calls without rows.
    #[must_use]
    pub const fn has_rows(self) -> bool {
        matches!(self, Self::Add | Self::Update | Self::Remove)
    }

    /// True for the two operations that carry field values.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::Add | Self::Update)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
