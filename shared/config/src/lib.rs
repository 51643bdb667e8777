//! Configuration as code: `syncs/*.yaml`, `destinations/*.yaml` and `driftless.yaml` as types.
//!
//! A project is read whole ([`load_project`]): unknown keys, wrong types, values outside their range and settings that
//! contradict each other are all reported at once, each [`Problem`] with file, line, column, key and a remedy. What is read
//! serialises to JSON and reads back equal; that JSON is what `driftless apply` stores and the functions read. Every setting
//! is documented once, at its field: the JSON Schemas and `docs/settings.md` are made from there.
//!
//! A secret is never configuration, only a [`SecretRef`]. Hostile YAML is bounded in size, depth and expansion.
//!
//! [`Sync::fingerprint`] names the part of a sync that decides what is sent; a change of it means that attribute hashes of
//! before and after are not compared (design: "mapping, selection or hash recipe").
//!
//! Not here: what a selection's SQL means and how values are normalised (snapshot), what a destination can do (connector),
//! and where applied configuration is kept (deltalog, objects). They report to the author through
//! [`Project::sync_problem`] and [`Project::destination_problem`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod destination;
mod ids_file;
mod problem;
mod project;
mod reference;
mod schema;
mod secret_ref;
mod source;
mod sync;
mod value;
mod yaml;

pub use destination::{Destination, DestinationKind};
pub use driftless_normalize::{Normalize, VendorHash};
pub use problem::Problem;
pub use project::{Project, ProjectSettings, load_project};
pub use reference::settings_reference;
pub use schema::{destination_schema, project_schema, sync_schema};
pub use secret_ref::{InvalidSecretRef, SecretRef};
pub use source::{parse_destination, parse_sync};
pub use sync::{
    ClockSchedule, FieldMapping, FirstSync, Guards, InvalidCron, InvalidSchedule, KeyColumns, KeyColumnsError, Mapping,
    Mode, Needs, OnChange, Prefer, PreferOrder, RECIPE_VERSION, RECORD_KEY, RateUnit, Reconcile, Schedule,
    ScheduleExpression, Selection, Strangers, Strategy, Sync, TimeZoneName, UnknownTimeZone,
};
pub use value::{HumanDuration, InvalidDuration, InvalidShare, Limit, Share, ShareAtLeast};
