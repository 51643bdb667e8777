use core::{fmt, str::FromStr};

use driftless_model::DestinationId;

/// One deployment of the product in an account and region. The names of its resources follow from it by convention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage(String);

/// Text that cannot be a stage. It is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stage has 1 to 20 characters of a-z, 0-9 and '-', starting with a letter")]
pub struct InvalidStage;

impl FromStr for Stage {
    type Err = InvalidStage;

    fn from_str(text: &str) -> Result<Self, InvalidStage> {
        let ok = text.len() <= 20
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if ok { Ok(Self(text.to_owned())) } else { Err(InvalidStage) }
    }
}

impl Default for Stage {
    /// `dev`.
    fn default() -> Self {
        Self("dev".to_owned())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Stage {
    /// The stage as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The core stack, and the prefix of what it exports.
    #[must_use]
    pub fn stack(&self) -> String {
        format!("driftless-{self}")
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        format!("driftless-{self}")
    }

    /// The bucket, unless an existing one was given.
    #[must_use]
    pub fn bucket(&self, account: &str, region: &str) -> String {
        format!("driftless-{self}-{account}-{region}")
    }

    /// A function or its queue: `ingest`, `planner` or `janitor`.
    #[must_use]
    pub fn part(&self, part: &str) -> String {
        format!("driftless-{self}-{part}")
    }

    /// The function of a destination, and its queue.
    #[must_use]
    pub fn destination(&self, destination: &DestinationId) -> String {
        format!("driftless-{self}-to-{destination}")
    }

    /// The schedule group.
    #[must_use]
    pub fn schedule_group(&self) -> String {
        format!("driftless-{self}")
    }

    /// The role that schedules act under.
    #[must_use]
    pub fn scheduler_role(&self) -> String {
        format!("driftless-{self}-scheduler")
    }

    /// The secret that the hashes are keyed with.
    #[must_use]
    pub fn hash_secret(&self) -> String {
        format!("driftless/{self}/hash-key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_the_stage() {
        let stage: Stage = "prod-eu".parse().unwrap();
        assert_eq!(stage.table(), "driftless-prod-eu");
        assert_eq!(stage.bucket("123456789012", "eu-central-1"), "driftless-prod-eu-123456789012-eu-central-1");
        assert_eq!(stage.destination(&"crm".parse().unwrap()), "driftless-prod-eu-to-crm");
        for bad in ["", "Prod", "1st", "a_b", &"a".repeat(21)] {
            assert_eq!(bad.parse::<Stage>(), Err(InvalidStage));
        }
    }
}
