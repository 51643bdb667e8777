//! JSON Schemas, generated from the types, for editors and for `docs/settings.md`.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

use crate::{Destination, ProjectSettings, Sync};

/// The JSON Schema of a file in `syncs/`. A file that begins with `# yaml-language-server: $schema=<path>` is completed and
/// checked by editors while it is written.
#[must_use]
pub fn sync_schema() -> Value {
    of::<Sync>()
}

/// The JSON Schema of a file in `destinations/`.
#[must_use]
pub fn destination_schema() -> Value {
    of::<Destination>()
}

/// The JSON Schema of `driftless.yaml`.
#[must_use]
pub fn project_schema() -> Value {
    of::<ProjectSettings>()
}

/// Draft 7, which the YAML language server of most editors reads best.
pub(crate) fn of<T: JsonSchema>() -> Value {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().into()
}

/// The file stem of a sync or a destination (`driftless_model::DestinationId`).
pub(crate) fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "title": "name", "pattern": "^[a-z0-9][a-z0-9_-]{0,39}$" })
}

/// `tenant/name` (`driftless_model::DatasetId`).
pub(crate) fn dataset_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "title": "tenant/name",
        "pattern": "^[a-z0-9][a-z0-9_-]{0,39}/[a-z0-9][a-z0-9_-]{0,39}$"
    })
}

/// A list of the operations of `driftless_model::Operation` that carry records.
pub(crate) fn sending_operations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "enum": ["add", "update", "remove"] } })
}

pub(crate) fn mapping_example() -> Value {
    json!({ "email": { "column": "email", "identifier": true, "normalize": "email" }, "first_name": "given_name" })
}
