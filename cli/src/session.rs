//! The deployment that a command works on: its stores and queues, by the names that follow from the stage.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use aws_sdk_sts::error::SdkError;
use driftless_config::{ProjectSettings, load_project};
use driftless_connector::Ports;
use driftless_delivery::{Message, Outgoing, Queue, SqsQueue};
use driftless_deltalog::registry::SyncEntry;
use driftless_deltalog::{Deltalog, DynamoDeltalog};
use driftless_fn_connector::S3Buckets;
use driftless_model::{Clock, Meter, SyncId, Tokens};
use driftless_objects::{Objects, S3Drop, S3Objects};
use driftless_runtime::{Clients, SecretStore, SecretsManager, Stage, SystemClock, UlidTokens};
use driftless_snapshot::HashKey;

use crate::args::Global;
use crate::ended::Trouble;
use crate::schedules::{EventBridge, Schedules};

/// One deployment, opened.
pub(crate) struct Session {
    /// Which.
    pub(crate) stage: Stage,
    /// Snapshots and state.
    pub(crate) bucket: String,
    /// Where it runs, for ARNs; asked for once.
    pub(crate) place: Place,
    pub(crate) log: Arc<dyn Deltalog>,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) schedules: Arc<dyn Schedules>,
    pub(crate) secrets: Arc<dyn SecretStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tokens: Arc<dyn Tokens>,
    /// What connectors may use beside HTTP.
    pub(crate) ports: Ports,
    /// Destinations on private addresses may be reached: a local cloud.
    pub(crate) private: bool,
}

/// Partition, region and account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) partition: String,
    pub(crate) region: String,
    pub(crate) account: String,
}

impl Place {
    /// The ARN of a queue.
    pub(crate) fn queue(&self, name: &str) -> String {
        format!("arn:{}:sqs:{}:{}:{name}", self.partition, self.region, self.account)
    }

    /// The ARN of a role.
    pub(crate) fn role(&self, name: &str) -> String {
        format!("arn:{}:iam::{}:role/{name}", self.partition, self.account)
    }
}

/// The project's settings, which must be readable: a wrong stage would be acted upon.
pub(crate) fn settings(dir: &Path) -> anyhow::Result<ProjectSettings> {
    let project = load_project(dir);
    match project.problems.iter().find(|p| p.file.ends_with("driftless.yaml")) {
        Some(problem) => Err(Trouble::new(problem.to_string(), "nothing was done").into()),
        None => Ok(project.settings),
    }
}

impl Session {
    /// Opens the deployment that the options, `driftless.yaml` and the environment name, in this order.
    pub(crate) async fn open(global: &Global) -> anyhow::Result<Self> {
        let settings = settings(&global.project)?;
        let stage = match &global.stage {
            Some(stage) => stage.clone(),
            None => settings.stage.parse().context("driftless.yaml: stage")?,
        };
        let region = global.region.as_deref().or(settings.region.as_deref());
        let clients = Clients::load_with(global.profile.as_deref(), region, global.endpoint_url.as_deref()).await;
        let place = place(&clients).await?;
        let bucket =
            (global.bucket.clone().or(settings.bucket)).unwrap_or_else(|| stage.bucket(&place.account, &place.region));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let local = clients.sdk.endpoint_url().is_some_and(is_loopback);
        let schedules = EventBridge::new(aws_sdk_scheduler::Client::new(&clients.sdk), stage.schedule_group());
        let s3 = clients.s3.clone();
        let buckets = S3Buckets::new(move |name: &str| S3Drop::new(s3.clone(), name), Meter::default());
        Ok(Self {
            ports: Ports { clock: Some(Arc::clone(&clock)), buckets: Some(Arc::new(buckets)) },
            log: Arc::new(DynamoDeltalog::new(clients.dynamodb, stage.table())),
            objects: Arc::new(S3Objects::new(clients.s3, bucket.clone())),
            queue: Arc::new(SqsQueue::new(clients.sqs)),
            schedules: Arc::new(schedules),
            secrets: Arc::new(SecretsManager::new(clients.secrets, Arc::clone(&clock))),
            tokens: Arc::new(UlidTokens::new(Arc::clone(&clock))),
            private: global.allow_private_destinations || local,
            clock,
            bucket,
            place,
            stage,
        })
    }

    /// The registered sync of this name.
    pub(crate) async fn entry(&self, sync: &SyncId) -> anyhow::Result<SyncEntry> {
        Ok(self.log.sync(sync).await?.ok_or_else(|| Trouble::no_sync(sync))?)
    }

    /// The deployment's hash key.
    pub(crate) async fn hash_key(&self) -> anyhow::Result<HashKey> {
        let secret = self.secrets.hash_key(&self.stage.hash_secret()).await;
        Ok(HashKey::new(secret.context("the key that hashes record keys cannot be read")?))
    }

    /// The URL of a queue of the core stack: `ingest`, `planner` or `janitor`.
    pub(crate) async fn core_queue(&self, part: &str) -> anyhow::Result<String> {
        let name = self.stage.part(part);
        match self.queue.queue_url(&name).await {
            Err(driftless_delivery::Error::NoQueue { .. }) => Err(self.not_deployed(&format!("queue {name}")).into()),
            other => Ok(other?),
        }
    }

    /// Sends one message to a queue of the core stack.
    pub(crate) async fn send(&self, part: &str, message: &Message) -> anyhow::Result<()> {
        let url = self.core_queue(part).await?;
        Ok(self.queue.send(&url, &[Outgoing::from(message)]).await?)
    }

    /// The stack is not there.
    pub(crate) fn not_deployed(&self, what: &str) -> Trouble {
        Trouble::new(
            format!("{what} of stage {} is not there in {}", self.stage, self.place.region),
            format!(
                "deploy the stack: make build && sam deploy --stack-name {} --parameter-overrides Stage={}",
                self.stage.stack(),
                self.stage
            ),
        )
    }
}

async fn place(clients: &Clients) -> anyhow::Result<Place> {
    let region = clients.sdk.region().map(ToString::to_string).ok_or_else(|| {
        Trouble::usage("no AWS Region is given", "use --region, AWS_REGION, a profile, or `region` in driftless.yaml")
    })?;
    let sts = aws_sdk_sts::Client::new(&clients.sdk);
    let identity = sts.get_caller_identity().send().await;
    let identity = identity.map_err(|e| {
        let said = driftless_runtime::chain(&e);
        match e {
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => Trouble::new(
                format!("AWS cannot be reached, or there are no credentials for it ({said})"),
                "check the network, the credentials (--profile), the region (--region) and the endpoint (--endpoint-url)",
            ),
            _ => Trouble::new(
                format!("AWS does not know us ({said})"),
                "log in again, or choose other credentials with --profile",
            ),
        }
    })?;
    let account = identity.account().unwrap_or_default().to_owned();
    let partition = identity.arn().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws").to_owned();
    Ok(Place { partition, region, account })
}

/// An endpoint on this machine: the local cloud.
fn is_loopback(endpoint: &str) -> bool {
    let host = endpoint.split("://").nth(1).unwrap_or(endpoint);
    ["localhost", "127.", "[::1]"].iter().any(|local| host.starts_with(local))
}

#[cfg(test)]
pub(crate) mod testing {
    //! A session on stores in memory.

    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use driftless_delivery::MemoryQueue;
    use driftless_deltalog::MemoryDeltalog;
    use driftless_model::{Millis, Token};
    use driftless_objects::MemoryObjects;
    use driftless_runtime::SecretError;
    use secrecy::SecretString;

    use super::*;
    use crate::schedules::MemorySchedules;

    /// Time that stands still, and counts.
    #[derive(Default)]
    pub(crate) struct Counting(Mutex<i64>);

    impl Clock for Counting {
        fn now(&self) -> Millis {
            Millis(1_767_592_800_000)
        }
    }

    impl Tokens for Counting {
        fn token(&self) -> Token {
            let mut n = self.0.lock().unwrap();
            *n += 1;
            Token::new(format!("t{n:04}"))
        }
    }

    /// Secrets by name.
    pub(crate) struct Known(pub(crate) BTreeMap<String, String>);

    #[async_trait]
    impl SecretStore for Known {
        async fn get(&self, name: &str, _: Option<&str>) -> Result<SecretString, SecretError> {
            let missing = || SecretError::Missing { name: name.to_owned() };
            self.0.get(name).cloned().map(SecretString::from).ok_or_else(missing)
        }
    }

    /// The stores, to look into.
    pub(crate) struct Stores {
        pub(crate) objects: Arc<MemoryObjects>,
        pub(crate) schedules: Arc<MemorySchedules>,
        pub(crate) queue: Arc<MemoryQueue>,
    }

    pub(crate) fn session() -> (Session, Stores) {
        let stores = Stores {
            objects: Arc::default(),
            schedules: Arc::default(),
            queue: Arc::new(MemoryQueue::new(Arc::new(Counting::default()))),
        };
        let secrets = BTreeMap::from([("driftless/dev/hash-key".to_owned(), "0f".repeat(32))]);
        let session = Session {
            stage: Stage::default(),
            bucket: "bucket".into(),
            place: Place { partition: "aws".into(), region: "eu-central-1".into(), account: "123456789012".into() },
            log: Arc::new(MemoryDeltalog::default()),
            objects: stores.objects.clone(),
            queue: stores.queue.clone(),
            schedules: stores.schedules.clone(),
            secrets: Arc::new(Known(secrets)),
            clock: Arc::new(Counting::default()),
            tokens: Arc::new(Counting::default()),
            ports: Ports::default(),
            private: true,
        };
        (session, stores)
    }
}
