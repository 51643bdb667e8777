use serde::{Deserialize, Serialize};

/// What became of one row of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Outcome {
    /// The destination acknowledged it.
    Delivered,
    /// The destination refused this record for good; `reason` names the rule or code, never a value.
    Rejected {
        /// A code or rule name, without personal data.
        reason: String,
    },
    /// Known not to be applied; may be tried again.
    Retry,
    /// Sent, and no answer came: it may or may not be applied.
    Unknown,
    /// Not sent, because the record is erased or on the suppression list.
    Suppressed,
}

impl Outcome {
    /// A call may settle with this outcome: nothing more will be tried for the row in this run.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Delivered | Self::Rejected { .. } | Self::Suppressed)
    }
}

/// An outcome together with what the destination assigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowOutcome {
    /// What became of the row.
    pub outcome: Outcome,
    /// The record's id at the destination, if it told us one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<String>,
}

impl From<Outcome> for RowOutcome {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, remote_id: None }
    }
}
