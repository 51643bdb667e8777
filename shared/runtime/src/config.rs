use core::num::NonZeroU16;
use core::time::Duration;

use driftless_model::DestinationId;

use crate::environment::{EnvSource, EnvironmentError, Variables};
use crate::stage::Stage;

/// What every function is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// `DRIFTLESS_STAGE`; `dev` if not set.
    pub stage: Stage,
    /// `DRIFTLESS_TABLE`.
    pub table: String,
    /// `DRIFTLESS_BUCKET`.
    pub bucket: String,
    /// `DRIFTLESS_INGEST_QUEUE_URL`.
    pub ingest_queue_url: String,
    /// `DRIFTLESS_PLANNER_QUEUE_URL`.
    pub planner_queue_url: String,
    /// `DRIFTLESS_JANITOR_QUEUE_URL`.
    pub janitor_queue_url: String,
}

impl Common {
    fn read(v: &mut Variables<'_>) -> Option<Self> {
        // Each is read before the first `?`, so that all problems are found.
        let stage = v.parsed_or("DRIFTLESS_STAGE", Stage::default());
        let table = v.text("DRIFTLESS_TABLE");
        let bucket = v.text("DRIFTLESS_BUCKET");
        let ingest_queue_url = v.url("DRIFTLESS_INGEST_QUEUE_URL");
        let planner_queue_url = v.url("DRIFTLESS_PLANNER_QUEUE_URL");
        let janitor_queue_url = v.url("DRIFTLESS_JANITOR_QUEUE_URL");
        Some(Self {
            stage: stage?,
            table: table?,
            bucket: bucket?,
            ingest_queue_url: ingest_queue_url?,
            planner_queue_url: planner_queue_url?,
            janitor_queue_url: janitor_queue_url?,
        })
    }

    /// The URL of another queue of the same account and region, by its name: no request, no permission.
    #[must_use]
    pub fn queue_url(&self, name: &str) -> String {
        let base = self.janitor_queue_url.rsplit_once('/').map_or("", |(base, _)| base);
        format!("{base}/{name}")
    }
}

/// Lambda sets it, in MB.
const MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";

/// As much as a function can have, in MB.
const LARGEST: u64 = 10_240;

/// The environment of `ingest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestConfig {
    /// What every function is told.
    pub common: Common,
    /// `DRIFTLESS_HASH_SECRET`: name or ARN of the secret that the hashes are keyed with.
    pub hash_secret: String,
    /// The function's memory in bytes, from `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`, which Lambda sets (in MB); as much as a
    /// function can have if nothing says how much there is.
    pub memory_bytes: u64,
    /// `DRIFTLESS_BULK_CHANGES`: more changes than this are a bulk version. 0: every changed snapshot is one.
    pub bulk_changes: u64,
}

impl IngestConfig {
    /// Reads it.
    ///
    /// # Errors
    /// [`EnvironmentError`] names every variable that is missing or wrong; starting must fail.
    pub fn from_env(env: &dyn EnvSource) -> Result<Self, EnvironmentError> {
        let mut v = Variables::new(env);
        let (common, hash_secret) = (Common::read(&mut v), v.text("DRIFTLESS_HASH_SECRET"));
        let megabytes = v.number(MEMORY, 1..=1 << 20, LARGEST);
        let bulk_changes = v.number("DRIFTLESS_BULK_CHANGES", 0..=1_000_000_000, BULK_CHANGES);
        let config = common.zip(hash_secret).zip(megabytes).zip(bulk_changes);
        let config = config.map(|(((common, hash_secret), megabytes), bulk_changes)| Self {
            common,
            hash_secret,
            memory_bytes: megabytes << 20,
            bulk_changes,
        });
        v.finish(config)
    }
}

/// The environment of `planner`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannerConfig {
    /// What every function is told.
    pub common: Common,
    /// `DRIFTLESS_HASH_SECRET`: name or ARN of the secret that the hashes are keyed with.
    pub hash_secret: String,
    /// The function's memory in bytes, as [`IngestConfig::memory_bytes`].
    pub memory_bytes: u64,
    /// `DRIFTLESS_JANITOR_MEGABYTES`: the janitor's memory in MB, which must hold what is planned here; its own, if not set.
    pub janitor_bytes: u64,
}

impl PlannerConfig {
    /// Reads it.
    ///
    /// # Errors
    /// As [`IngestConfig::from_env`].
    pub fn from_env(env: &dyn EnvSource) -> Result<Self, EnvironmentError> {
        let mut v = Variables::new(env);
        let (common, hash_secret) = (Common::read(&mut v), v.text("DRIFTLESS_HASH_SECRET"));
        let megabytes = v.number(MEMORY, 1..=1 << 20, LARGEST);
        let janitor = v.number("DRIFTLESS_JANITOR_MEGABYTES", 1..=1 << 20, megabytes.unwrap_or(LARGEST));
        let config = common.zip(hash_secret).zip(megabytes).zip(janitor);
        let config = config.map(|(((common, hash_secret), megabytes), janitor)| Self {
            common,
            hash_secret,
            memory_bytes: megabytes << 20,
            janitor_bytes: janitor << 20,
        });
        v.finish(config)
    }
}

/// The environment of `janitor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JanitorConfig {
    /// `DRIFTLESS_STALLED_SECONDS`: a run without progress for so long has its open calls queued again.
    pub stalled: Duration,
    /// The function's memory in bytes, as [`IngestConfig::memory_bytes`].
    pub memory_bytes: u64,
    /// What every function is told.
    pub common: Common,
}

impl JanitorConfig {
    /// Reads it.
    ///
    /// # Errors
    /// As [`IngestConfig::from_env`].
    pub fn from_env(env: &dyn EnvSource) -> Result<Self, EnvironmentError> {
        let mut v = Variables::new(env);
        let common = Common::read(&mut v);
        let stalled = v.number("DRIFTLESS_STALLED_SECONDS", 1..=86_400, STALLED_SECONDS);
        let megabytes = v.number(MEMORY, 1..=1 << 20, LARGEST);
        let config = common.zip(stalled).zip(megabytes).map(|((common, stalled), megabytes)| Self {
            common,
            stalled: Duration::from_secs(stalled),
            memory_bytes: megabytes << 20,
        });
        v.finish(config)
    }
}

/// The environment of the connector function of one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorConfig {
    /// What every function is told.
    pub common: Common,
    /// `DRIFTLESS_DESTINATION`.
    pub destination: DestinationId,
    /// `DRIFTLESS_LEASE_SECONDS`: how long a claim lasts. Longer than any function may run, if not set.
    pub lease: Duration,
    /// `DRIFTLESS_ALLOW_PRIVATE_DESTINATIONS`: requests may go to loopback and private addresses. For local use.
    pub allow_private: bool,
    /// `DRIFTLESS_PARK_SECONDS`: the first wait of a run whose destination is away.
    pub park: Duration,
    /// `DRIFTLESS_CONCURRENCY`: how many invocations of the function run at once.
    pub invocations: NonZeroU16,
}

/// A Lambda function runs for at most 15 minutes
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>); a claim must outlive it.
const LEASE_SECONDS: u64 = 900 + 60;

/// A log item is a write when it is logged and another when it is stamped; beyond a million, a file costs less and takes less time.
const BULK_CHANGES: u64 = 1_000_000;

/// A quarter of an hour: longer than a message of a default deployment stays with one worker.
const STALLED_SECONDS: u64 = 900;

/// The fewest that an event source allows.
const INVOCATIONS: u64 = 2;

/// A minute: short outages cost little, and the wait doubles.
const PARK_SECONDS: u64 = 60;

impl ConnectorConfig {
    /// Reads it.
    ///
    /// # Errors
    /// As [`IngestConfig::from_env`].
    pub fn from_env(env: &dyn EnvSource) -> Result<Self, EnvironmentError> {
        let mut v = Variables::new(env);
        let common = Common::read(&mut v);
        let destination = v.parsed("DRIFTLESS_DESTINATION");
        let lease = v.number("DRIFTLESS_LEASE_SECONDS", 1..=86_400, LEASE_SECONDS);
        let allow_private = v.flag("DRIFTLESS_ALLOW_PRIVATE_DESTINATIONS");
        let park = v.number("DRIFTLESS_PARK_SECONDS", 1..=3_600, PARK_SECONDS);
        let invocations = v.number("DRIFTLESS_CONCURRENCY", 1..=1_000, INVOCATIONS);
        let config = (|| {
            Some(Self {
                park: Duration::from_secs(park?),
                invocations: u16::try_from(invocations?).ok().and_then(NonZeroU16::new)?,
                common: common?,
                destination: destination?,
                lease: Duration::from_secs(lease?),
                allow_private: allow_private?,
            })
        })();
        v.finish(config)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn complete() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([
            ("DRIFTLESS_TABLE", "driftless-dev"),
            ("DRIFTLESS_BUCKET", "driftless-dev-1-eu"),
            ("DRIFTLESS_INGEST_QUEUE_URL", "https://sqs.eu/1/driftless-dev-ingest"),
            ("DRIFTLESS_PLANNER_QUEUE_URL", "https://sqs.eu/1/driftless-dev-planner"),
            ("DRIFTLESS_JANITOR_QUEUE_URL", "https://sqs.eu/1/driftless-dev-janitor"),
            ("DRIFTLESS_HASH_SECRET", "arn:secret"),
            ("DRIFTLESS_DESTINATION", "crm"),
        ])
    }

    #[test]
    fn a_complete_environment_is_read_with_defaults() {
        let config = ConnectorConfig::from_env(&complete()).unwrap();
        assert_eq!(config.common.stage.as_str(), "dev");
        assert_eq!(config.lease, Duration::from_mins(16));
        assert!(!config.allow_private);
        assert_eq!(config.common.queue_url("driftless-dev-to-crm"), "https://sqs.eu/1/driftless-dev-to-crm");
        assert_eq!(IngestConfig::from_env(&complete()).unwrap().hash_secret, "arn:secret");
        assert_eq!(IngestConfig::from_env(&complete()).unwrap().bulk_changes, 1_000_000);
        assert!(PlannerConfig::from_env(&complete()).is_ok());
        assert!(JanitorConfig::from_env(&complete()).is_ok());
    }

    #[test]
    fn every_problem_is_named_at_once_and_no_value_is_shown() {
        let mut env = complete();
        env.remove("DRIFTLESS_TABLE");
        env.insert("DRIFTLESS_BUCKET", " ");
        env.insert("DRIFTLESS_PLANNER_QUEUE_URL", "hunter2");
        env.insert("DRIFTLESS_STAGE", "Prod!");
        env.insert("DRIFTLESS_DESTINATION", "hunter2 it is");
        env.insert("DRIFTLESS_LEASE_SECONDS", "soon");
        env.insert("DRIFTLESS_ALLOW_PRIVATE_DESTINATIONS", "yes");
        let error = ConnectorConfig::from_env(&env).unwrap_err();
        assert_eq!(
            error.names().collect::<Vec<_>>(),
            [
                "DRIFTLESS_STAGE",
                "DRIFTLESS_TABLE",
                "DRIFTLESS_BUCKET",
                "DRIFTLESS_PLANNER_QUEUE_URL",
                "DRIFTLESS_DESTINATION",
                "DRIFTLESS_LEASE_SECONDS",
                "DRIFTLESS_ALLOW_PRIVATE_DESTINATIONS",
            ]
        );
        let text = error.to_string();
        assert!(!text.contains("hunter2") && !text.contains("Prod!"), "{text}");
        assert!(text.contains("DRIFTLESS_TABLE is missing or empty; DRIFTLESS_BUCKET is missing"), "{text}");
    }
}
