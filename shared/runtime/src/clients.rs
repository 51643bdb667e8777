use core::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};

/// The AWS clients of a function, built once. Every request has limits: the SDK's defaults have none for reading, for an
/// attempt or for the whole operation (<https://docs.aws.amazon.com/sdk-for-rust/latest/dg/timeouts.html>).
#[derive(Clone, Debug)]
pub struct Clients {
    /// What the clients were built from, for clients of other services.
    pub sdk: SdkConfig,
    /// Objects.
    pub s3: aws_sdk_s3::Client,
    /// The table.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The queues.
    pub sqs: aws_sdk_sqs::Client,
    /// Secrets.
    pub secrets: aws_sdk_secretsmanager::Client,
}

const CONNECT: Duration = Duration::from_secs(3);
const ATTEMPTS: u32 = 4;

/// Requests of a few kilobytes.
fn small() -> TimeoutConfig {
    limits(Duration::from_secs(5), Duration::from_secs(8), Duration::from_secs(25))
}

/// Requests that move objects of some hundred megabytes.
fn large() -> TimeoutConfig {
    limits(Duration::from_secs(30), Duration::from_mins(2), Duration::from_mins(5))
}

fn limits(read: Duration, attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(read)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

impl Clients {
    /// From the environment, as the AWS tools read it: region, credentials, profile, `AWS_ENDPOINT_URL`.
    pub async fn load() -> Self {
        Self::load_with(None, None, None).await
    }

    /// As [`Self::load`], with a profile, a region and an endpoint that were given by hand.
    pub async fn load_with(profile: Option<&str>, region: Option<&str>, endpoint: Option<&str>) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .timeout_config(small())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(endpoint) = endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        Self::new(loader.load().await)
    }

    fn new(sdk: SdkConfig) -> Self {
        let s3 = aws_sdk_s3::config::Builder::from(&sdk)
            .timeout_config(large())
            // An endpoint of one's own has no name per bucket.
            .force_path_style(sdk.endpoint_url().is_some())
            .build();
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3),
            dynamodb: aws_sdk_dynamodb::Client::new(&sdk),
            sqs: aws_sdk_sqs::Client::new(&sdk),
            secrets: aws_sdk_secretsmanager::Client::new(&sdk),
            sdk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_all_four_limits() {
        for limits in [small(), large()] {
            let all = [
                limits.connect_timeout(),
                limits.read_timeout(),
                limits.operation_attempt_timeout(),
                limits.operation_timeout(),
            ];
            assert!(all.windows(2).all(|pair| pair[0].is_some() && pair[0] < pair[1]), "{limits:?}");
        }
        let sdk = SdkConfig::builder().behavior_version(BehaviorVersion::v2026_01_12()).timeout_config(small()).build();
        let clients = Clients::new(sdk);
        assert_eq!(clients.s3.config().timeout_config(), Some(&large()));
        assert_eq!(clients.dynamodb.config().timeout_config(), Some(&small()));
        assert_eq!(clients.sqs.config().timeout_config(), Some(&small()));
        assert_eq!(clients.secrets.config().timeout_config(), Some(&small()));
    }
}
