use driftless_config::{Destination, SecretRef};

use crate::{
    Capabilities, Connector, HttpPolicy, MissingSecret, Ports, Secrets, file, google_data_manager, hubspot, klaviyo,
    meta, recipe, rest, scim, webhook,
};

/// Why a destination cannot be used as it is configured. Every variant is for a person to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A template does not parse, or says what it cannot mean.
    #[error("template {key}, line {line}: {what}")]
    Template {
        /// The configuration key.
        key: String,
        /// The line within the template.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A URL that the deployment does not allow.
    #[error("the URL of {host} {what}")]
    Url {
        /// The host.
        host: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A name or value that no HTTP header can have.
    #[error("{key} cannot stand in an HTTP header")]
    Header {
        /// The configuration key.
        key: &'static str,
    },
    /// A key that contradicts another.
    #[error("{key}: {message}; {remedy}")]
    Flaw {
        /// The configuration key.
        key: &'static str,
        /// What is wrong.
        message: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A secret is missing.
    #[error(transparent)]
    Secret(#[from] MissingSecret),
    /// A secret that is there and is not what it should be.
    #[error("secret {reference} {what}")]
    SecretForm {
        /// Which.
        reference: SecretRef,
        /// What is wrong.
        what: &'static str,
    },
    /// Whoever builds the connector has not given it what this kind needs.
    #[error("this destination needs {what}, which is not there")]
    Port {
        /// What is needed.
        what: &'static str,
    },
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made")]
    Client {
        /// What it said.
        #[source]
        source: Box<dyn core::error::Error + Send + Sync>,
    },
}

/// The connector for one list of a destination that needs no [`Ports`].
pub fn build(
    config: &Destination,
    list: &str,
    secrets: &dyn Secrets,
    policy: HttpPolicy,
) -> Result<Box<dyn Connector>, BuildError> {
    build_with(config, list, secrets, policy, &Ports::default())
}

/// The connector for one list of a destination. `list` is the list's name there, as the sync gives it. No I/O happens.
pub fn build_with(
    config: &Destination,
    list: &str,
    secrets: &dyn Secrets,
    policy: HttpPolicy,
    ports: &Ports,
) -> Result<Box<dyn Connector>, BuildError> {
    if let Some(flaw) = config.flaws().into_iter().next() {
        return Err(BuildError::Flaw { key: flaw.key, message: flaw.message, remedy: flaw.remedy });
    }
    Ok(match config {
        // One line per kind.
        Destination::Rest(config) => Box::new(rest::Rest::new(config, list, secrets, policy)?),
        Destination::Scim(config) => Box::new(scim::Scim::new(config, list, secrets, policy)?),
        Destination::Meta(config) => Box::new(meta::Meta::new(config, list, secrets, policy)?),
        Destination::GoogleDataManager(config) => {
            Box::new(google_data_manager::DataManager::new(config, list, secrets, policy)?)
        }
        Destination::Klaviyo(config) => Box::new(klaviyo::Klaviyo::new(config, list, secrets, policy)?),
        Destination::File(config) => Box::new(file::FileDrop::new(config, list, ports)?),
        Destination::Hubspot(config) => Box::new(hubspot::Hubspot::new(config, list, secrets, policy)?),
        Destination::Webhook(config) => Box::new(webhook::Webhook::new(config, list, secrets, policy, ports)?),
        Destination::Recipe(config) => Box::new(recipe::build(config, list, secrets, policy)?),
    })
}

/// What a destination can do, without secrets or network.
#[must_use]
pub fn capabilities_of(config: &Destination) -> Capabilities {
    match config {
        // One line per kind.
        Destination::Rest(config) => rest::capabilities(config),
        Destination::Scim(config) => scim::capabilities(config),
        Destination::Meta(config) => meta::capabilities(config),
        Destination::GoogleDataManager(config) => google_data_manager::capabilities(config),
        Destination::Klaviyo(config) => klaviyo::capabilities(config),
        Destination::File(config) => file::capabilities(config),
        Destination::Hubspot(config) => hubspot::capabilities(config),
        Destination::Webhook(config) => webhook::capabilities(config),
        Destination::Recipe(config) => recipe::capabilities(config),
    }
}

impl BuildError {
    /// Nothing succeeds before the configuration, or the secret, is mended.
    #[must_use]
    pub const fn disposition(&self) -> driftless_model::Disposition {
        driftless_model::Disposition::Fatal
    }
}
