//! The remote lists of a sync whose runs make new ones.

use driftless_model::{DestinationId, Millis, RunId};
use serde::{Deserialize, Serialize};

use super::Head;

/// Which list the sync goes by, and which ones are to go. Empty until a run has made a list: the sync goes by the configured
/// one then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lists {
    /// The list that a run has put in the place of the configured one, as a connector calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Lists of ours that are to be retired, oldest first. None is forgotten before it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old: Vec<OldList>,
}

impl Lists {
    /// Nothing of it differs from a sync that never made a list.
    #[must_use]
    pub const fn is_untouched(&self) -> bool {
        self.current.is_none() && self.old.is_empty()
    }
}

/// A list that is not the sync's any more, or never became it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldList {
    /// The run that put another list in its place, or that it was made for in vain. A run leaves at most one behind.
    pub run: RunId,
    /// Where it is.
    pub destination: DestinationId,
    /// Which one it is.
    pub list: Named,
    /// The list that took its place, until that has been given its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// It is not touched before this.
    pub since: Millis,
    /// How often it could not be retired.
    #[serde(default)]
    pub failures: u32,
    /// Why, the last time; no personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// How a list is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// As connectors call it.
    Called(String),
    /// It was asked for under this name, and nobody heard what it is called; perhaps it is not there.
    AskedFor(String),
}

impl Named {
    /// The text of either.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Called(text) | Self::AskedFor(text) => text,
        }
    }
}

/// A list that takes the place of the one that the sync goes by (see [`super::Fold::new_list`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewList {
    /// The new one.
    pub list: String,
    /// The one that was.
    pub old: OldList,
}

impl Head {
    /// The list that the sync goes by: the configured one, until a run has put another in its place.
    #[must_use]
    pub fn list(&self) -> &str {
        self.lists.current.as_deref().unwrap_or(&self.names.list)
    }

    /// The head of the next incarnation of a sync, which does not forget what the one before it knew of lists: which of ours are
    /// to go, and, if it is the same configured list, which one took its place. `unfinished` is the list that the
    /// active run of the old head may have made.
    #[must_use]
    pub fn succeeding(mut self, before: Option<&Head>, unfinished: Option<OldList>) -> Self {
        if let Some(before) = before.filter(|b| b.incarnation < self.incarnation) {
            self.lists.old.clone_from(&before.lists.old);
            self.lists.old.extend(unfinished.filter(|u| before.lists.old.iter().all(|o| o.run != u.run)));
            if before.names.destination == self.names.destination && before.names.list == self.names.list {
                self.lists.current.clone_from(&before.lists.current);
            }
            // A list that somebody configures is not to go any more.
            let (list, destination) = (self.list().to_owned(), &self.names.destination);
            self.lists.old.retain(|o| o.destination != *destination || o.list != Named::Called(list.clone()));
        }
        self
    }
}
