//! A sync: dataset, selection, mapping and one remote list, with the rules by which they are kept equal.

mod check;
mod cron;
mod fingerprint;
mod guards;
mod keys;
mod mapping;
mod policy;
mod prefer;
mod schedule;
mod selection;

pub use cron::InvalidCron;
pub use fingerprint::RECIPE_VERSION;
pub use guards::Guards;
pub use keys::{KeyColumns, KeyColumnsError};
pub use mapping::{FieldMapping, Mapping, RECORD_KEY};
pub use policy::{FirstSync, Mode, Needs, Reconcile, Strangers, Strategy};
pub use prefer::{Prefer, PreferOrder};
pub use schedule::{
    ClockSchedule, InvalidSchedule, OnChange, RateUnit, Schedule, ScheduleExpression, TimeZoneName, UnknownTimeZone,
};
pub use selection::Selection;

use driftless_model::{DatasetId, DestinationId, RecordKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    destination::FormatVersion,
    schema,
    value::{HumanDuration, Share},
};

/// A sync keeps one list at a destination equal to a selection of one dataset. Its name is the name of its file in
/// `syncs/`, without `.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "A sync of Driftless")]
pub struct Sync {
    /// The version of this file's format: 1.
    pub version: FormatVersion,
    /// What the sync is for; shown by `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The dataset, `tenant/name`. Its snapshots are the Parquet files under `datasets/tenant/name/` of the bucket.
    #[schemars(schema_with = "schema::dataset_name", example = &"acme/customers")]
    pub dataset: DatasetId,
    /// The column, or the columns together, that identify a record. `[]` if nothing but its content does: then a row that changes
    /// is another record, and of three equal rows that become two one is removed. The column `$key` of a mapping is a text that names
    /// such a record.
    #[schemars(example = &"customer_id")]
    pub key: KeyColumns,
    /// Which records belong into the list.
    #[serde(default)]
    pub selection: Selection,
    /// Which columns go to which fields of the destination. Only mapped columns are compared and sent.
    #[schemars(example = schema::mapping_example())]
    pub mapping: Mapping,
    /// Which of several rows with the same key is taken. Without it one is taken that does not depend on the order of
    /// the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer: Option<Prefer>,
    /// The destination: the name of a file in `destinations/`, without `.yaml`.
    #[schemars(schema_with = "schema::name", example = &"newsletter")]
    pub destination: DestinationId,
    /// The list at the destination, in the destination's own terms. May be left out where the destination has only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// What the list should be, given the selection.
    #[serde(default)]
    pub mode: Mode,
    /// How a run makes the list equal.
    #[serde(default)]
    pub strategy: Strategy,
    /// When runs are planned: `weekly`, `daily`, `hourly`, `manual`, `rate(…)`, `cron(…)`, a map with `at` and `time_zone`,
    /// or a map with `on_change`.
    #[serde(default)]
    #[schemars(example = &"daily")]
    pub schedule: Schedule,
    /// What holds changes back until a person approves them.
    #[serde(default)]
    pub guards: Guards,
    /// Records whose last change is older are held instead of sent. No limit by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"30d")]
    pub horizon: Option<HumanDuration>,
    /// Delivered changes are sent again in each run until they are so old; for destinations that acknowledge without
    /// applying.
    #[serde(default)]
    pub buffer: HumanDuration,
    /// A run succeeds when at least this share of its records was delivered.
    #[serde(default = "all")]
    pub success_threshold: Share,
    /// A record that the destination has rejected so often is quarantined: left alone until it changes or is released.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub attempt_limit: u32,
    /// What happens to the members that the list has before the first run.
    #[serde(default)]
    pub first_sync: FirstSync,
    /// When the remote list is compared with what was acknowledged, and what becomes of strangers. Needs a destination whose
    /// members can be listed.
    #[serde(default)]
    pub reconcile: Reconcile,
    /// A run that has not settled after this time is closed: what was delivered is kept, the rest is planned afresh.
    #[serde(default = "a_day")]
    pub deadline: HumanDuration,
}

const fn all() -> Share {
    Share::ALL
}

const fn three() -> u32 {
    3
}

const fn a_day() -> HumanDuration {
    HumanDuration::from_secs(86_400)
}

impl Sync {
    /// Completes what was read from a file: the field of the key column becomes the identifier if no field is marked, and
    /// ids of several columns get their canonical text.
    pub(crate) fn settle(&mut self) {
        if self.key.is_content() {
            self.mapping.identify_by(RECORD_KEY);
        } else if let Some(key) = self.key.single() {
            self.mapping.identify_by(key);
        } else if let Selection::Ids(ids) = &mut self.selection {
            *ids = core::mem::take(ids).into_iter().map(canonical).collect();
        }
    }
}

/// The text of an id of several columns as the snapshot writes it: a JSON array of texts without spaces. What is no such
/// array stays, and is reported.
fn canonical(id: RecordKey) -> RecordKey {
    let Ok(parts) = serde_json::from_str::<Vec<serde_json::Value>>(id.as_str()) else {
        return id;
    };
    let text = |part: serde_json::Value| match part {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    };
    let parts: Option<Vec<String>> = parts.into_iter().map(text).collect();
    parts.and_then(|parts| serde_json::to_string(&parts).ok()).map_or(id, RecordKey::new)
}
