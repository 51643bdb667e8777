use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which of several rows with the same key is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prefer {
    /// The column that decides, for example a time of change. A null loses against every value.
    pub column: String,
    /// Whether the row with the highest or the lowest value is taken.
    #[serde(default)]
    pub order: PreferOrder,
}

/// The end of the order that wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PreferOrder {
    /// The greatest value wins.
    #[default]
    Highest,
    /// The smallest value wins.
    Lowest,
}
