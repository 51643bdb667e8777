use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{KeyColumns, Mapping, Prefer, Selection, Sync};

/// The version of the recipe by which values are normalised and hashed. It grows when the same configuration and the same
/// rows would give other attribute hashes.
pub const RECIPE_VERSION: u32 = 2;

/// What decides which records there are and what is sent of them, in the order and form that is hashed.
#[derive(Serialize)]
struct DataPart<'a> {
    recipe: u32,
    key: &'a KeyColumns,
    selection: &'a Selection,
    mapping: &'a Mapping,
    prefer: &'a Option<Prefer>,
}

impl Sync {
    /// Names the data part of the configuration: key, selection, mapping, `prefer` and [`RECIPE_VERSION`]. 32 hex digits.
    ///
    /// Two configurations have the same fingerprint exactly when they select and send the same; how the YAML was written,
    /// and every other setting, does not count. Where fingerprints differ, attribute hashes are not compared (DL-7).
    #[must_use]
    #[allow(clippy::missing_panics_doc)] // it cannot: see the comment at the call
    pub fn fingerprint(&self) -> String {
        let part = DataPart {
            recipe: RECIPE_VERSION,
            key: &self.key,
            selection: &self.selection,
            mapping: &self.mapping,
            prefer: &self.prefer,
        };
        let mut hasher = Sha256::new();
        // Writing plain values into a hasher cannot fail: no map has a key that is not text, and no write is refused.
        serde_json::to_writer(&mut hasher, &part).expect("plain values serialise");
        let mut digits = hex::encode(hasher.finalize());
        digits.truncate(32);
        digits
    }
}
