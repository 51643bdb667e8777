use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{Limit, Share, ShareAtLeast};

/// What holds changes back until a person approves them. Checked for each snapshot, and again for each run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Guards {
    /// The most records that may be removed: a count, a percentage of the list, or a percentage with a floor for small
    /// lists. More are held; additions and updates flow.
    pub max_removals: Limit,
    /// The most records that may be added, in the same forms. More are held; removals and updates flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_adds: Option<Limit>,
    /// A snapshot with fewer selected rows is held whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rows: Option<u64>,
    /// A snapshot from which nothing is selected is taken as it is, instead of being held.
    pub allow_empty: bool,
    /// A snapshot is held whole when a greater share of its selected rows repeats a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duplicate_keys: Option<Share>,
    /// A snapshot is held whole when a greater share of its selected rows has no key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_null_keys: Option<Share>,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            max_removals: Limit::ShareAtLeast(ShareAtLeast { share: Share::percent(10), at_least: 100 }),
            max_adds: None,
            min_rows: None,
            allow_empty: false,
            max_duplicate_keys: None,
            max_null_keys: None,
        }
    }
}
