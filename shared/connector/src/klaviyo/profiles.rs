//! Rows as profiles.

use driftless_config::destination::KlaviyoDestination;
use serde_json::{Map, Value, json};

use super::Klaviyo;
use crate::{OutRow, outcomes::Outcomes};

/// The most bytes of one profile.
const PROFILE_BYTES: usize = 100_000;

impl Klaviyo {
    /// The profiles of the rows that can be sent, each with its row; the others are rejected.
    pub(super) fn profiles(&self, rows: &[OutRow], outcomes: &mut Outcomes) -> Vec<(usize, Value)> {
        let mut all = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let attributes = self.attributes(row);
            let id = self.config.match_by.as_str();
            let profile = json!({ "type": "profile", "attributes": attributes });
            if attributes.get(id).and_then(Value::as_str).is_none_or(str::is_empty) {
                outcomes.reject(index, format!("no value for {id}"));
            } else if profile.to_string().len() > PROFILE_BYTES {
                outcomes.reject(index, "the profile is larger than 100 KB");
            } else {
                all.push((index, profile));
            }
        }
        all
    }

    /// Whether the profiles of these rows go into one import.
    pub(super) fn fits_import(&self, rows: &[OutRow]) -> bool {
        let bytes = |row: &OutRow| Value::Object(self.attributes(row)).to_string().len() as u64 + 40;
        rows.iter().map(bytes).sum::<u64>() <= super::IMPORT_BYTES
    }

    fn attributes(&self, row: &OutRow) -> Map<String, Value> {
        let mut attributes = Map::new();
        let mut location = Map::new();
        let mut properties = row.fields.clone();
        for name in KlaviyoDestination::ATTRIBUTES {
            let field = self.config.field_of(name);
            let Some(value) = row.fields.get(field) else { continue };
            properties.remove(field);
            match name.strip_prefix("location.") {
                Some(part) => location.insert(part.to_owned(), value.clone()),
                None => attributes.insert(name.to_owned(), value.clone()),
            };
        }
        for (name, part) in [("location", location), ("properties", properties)] {
            if !part.is_empty() {
                attributes.insert(name.to_owned(), Value::Object(part));
            }
        }
        attributes
    }

    /// The body of an import.
    pub(super) fn import(&self, profiles: Vec<Value>) -> Value {
        json!({ "data": {
            "type": "profile-bulk-import-job",
            "attributes": { "profiles": { "data": profiles } },
            "relationships": { "lists": { "data": [{ "type": "list", "id": self.list }] } },
        }})
    }
}
