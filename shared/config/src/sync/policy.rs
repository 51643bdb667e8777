use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the list should be, given the selection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The selection: who joins is added, who changes is updated, who leaves is removed.
    #[default]
    Mirror,
    /// The selection, but nobody is removed.
    Upsert,
    /// Who joins is added; nobody is updated or removed.
    AddOnly,
    /// Who is in the list is updated; nobody is added or removed.
    UpdateOnly,
    /// Who enters the selection is removed; leaving it does nothing.
    RemoveOnly,
}

/// The operations that a mode may ask of its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // three independent yes-or-no answers, not a state
pub struct Needs {
    /// It adds records.
    pub add: bool,
    /// It updates records that the list has.
    pub update: bool,
    /// It removes records.
    pub remove: bool,
}

impl Mode {
    /// The word used in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Upsert => "upsert",
            Self::AddOnly => "add_only",
            Self::UpdateOnly => "update_only",
            Self::RemoveOnly => "remove_only",
        }
    }

    /// The operations that this mode may ask of its destination.
    #[must_use]
    pub const fn needs(self) -> Needs {
        match self {
            Self::Mirror => Needs { add: true, update: true, remove: true },
            Self::Upsert => Needs { add: true, update: true, remove: false },
            Self::AddOnly => Needs { add: true, update: false, remove: false },
            Self::UpdateOnly => Needs { add: false, update: true, remove: false },
            Self::RemoveOnly => Needs { add: false, update: false, remove: true },
        }
    }
}

/// How a run makes the list equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The cheapest that the destination can do without emptying the list, counted in calls, then in records.
    #[default]
    Auto,
    /// Only what changed.
    Delta,
    /// The whole list, then the removals.
    FullThenRemove,
    /// The whole list takes the place of what was there, strangers included. Where a hold, the horizon or rejections keep records as
    /// they are, a run sends only what changed instead.
    Replace,
    /// The remote list is read and corrected. Not available yet.
    Compare,
    /// A new list is made and loaded, and takes the place of the old one once everything is acknowledged; the old list is deleted
    /// then, also the first one, which `list` names. Nobody ever sees half a list. Where a hold, the horizon or rejections keep
    /// records as they are, a run sends only what changed instead.
    NewList,
}

impl Strategy {
    /// The word used in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Delta => "delta",
            Self::FullThenRemove => "full_then_remove",
            Self::Replace => "replace",
            Self::Compare => "compare",
            Self::NewList => "new_list",
        }
    }
}

/// What happens to the members that a list has before its first run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FirstSync {
    /// They become ours: who is not in the selection is removed. Not available yet.
    Adopt,
    /// They stay as they are and are never touched.
    Ignore,
    /// A list that can be read and is not empty is refused.
    #[default]
    Refuse,
}
