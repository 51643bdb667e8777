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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use driftless_normalize::{Normalize, Recipe, Spec, Step, VendorHash};

    use crate::{FieldMapping, Mapping, parse_sync};

    const fn version(version: u16) -> Spec {
        Spec {
            vendor: "acme",
            kind: "email",
            version,
            steps: &[Step::Lowercase],
            strict: true,
            hashes: &[VendorHash::Sha256],
            source: "",
            choice: "",
        }
    }

    #[test]
    fn another_version_of_a_recipe_is_another_configuration() {
        static FIRST: Spec = version(1);
        static SECOND: Spec = version(2);
        let base = "version: 1\ndataset: acme/customers\nkey: id\nmapping: { id: id }\ndestination: mail\n";
        let mut sync = parse_sync(base, Path::new("base.yaml")).expect("valid");
        let mut with = |spec, region: Option<&str>| {
            let mut field = FieldMapping::new("id", "id");
            field.normalize = vec![Normalize::Recipe(Recipe::new(spec))];
            field.region = region.map(|r| r.parse().expect("a region"));
            sync.mapping = Mapping::new(vec![field]);
            sync.fingerprint()
        };
        let first = with(&FIRST, None);
        assert_ne!(first, with(&SECOND, None));
        assert_ne!(first, with(&FIRST, Some("DE")), "another region may make other numbers");
        assert_eq!(first, with(&FIRST, None));
    }
}
