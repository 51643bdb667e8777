//! The edge between a function and AWS: environment, clients, time, tokens, secrets, logs, metrics and the Lambda loop.
//!
//! A function's `main` reads its configuration ([`IngestConfig`] and its siblings report everything that is wrong at once),
//! builds its clients ([`Clients`]), and hands a [`Service`] to [`start`]; what the function does is a library that knows none of
//! this.
//!
//! * The clock, randomness and the environment are read here and nowhere below.
//! * DL-6, DL-8: a failing message never costs another of its batch; work stops before the deadline ([`Deadline`]).
//! * No record value, identifier or secret reaches a log, a metric or an error: the panic hook prints the place only, the
//!   clients' own debug output is off, secrets are `SecretString`, metrics have fixed names and bounded dimensions.
//!
//! What does not belong here: any decision of the product.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod clients;
mod clock;
mod config;
mod deadline;
mod environment;
mod error;
mod lanes;
mod metrics;
mod rejects;
mod secrets;
mod serve;
mod stage;
mod telemetry;

pub use clients::Clients;
pub use clock::{SystemClock, UlidTokens};
pub use config::{Common, ConnectorConfig, IngestConfig, JanitorConfig, PlannerConfig};
pub use deadline::Deadline;
pub use environment::{EnvSource, EnvironmentError, ProcessEnv, Variables};
pub use error::{InitError, chain};
pub use lanes::Threads;
pub use metrics::{DeliveryOutcome, Metric, Metrics};
pub use rejects::DeltalogRejects;
pub use secrets::{SecretError, SecretStore, SecretsManager};
pub use serve::{Function, Service, start};
pub use stage::{InvalidStage, Stage};
pub use telemetry::start_logging;
