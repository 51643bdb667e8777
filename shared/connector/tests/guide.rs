//! The destinations that the guide shows can be used as they stand.

use driftless_config::{Destination, SecretRef};
use driftless_connector::{HttpPolicy, MissingSecret, Secrets, build};

/// Has every secret.
struct Any;

impl Secrets for Any {
    fn secret(&self, _: &SecretRef) -> Result<secrecy::SecretString, MissingSecret> {
        Ok("any".to_owned().into())
    }
}

#[test]
fn every_whole_destination_in_the_guide_can_be_built() {
    let guide = include_str!("../../../docs/connector-guide.md");
    let blocks = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let whole: Vec<&str> = blocks.filter(|block| block.starts_with("version: 1")).collect();
    assert_eq!(whole.len(), 2);
    for yaml in whole {
        let destination = Destination::from_yaml(yaml).unwrap_or_else(|error| panic!("{error}"));
        if let Err(error) = build(&destination, "news", &Any, HttpPolicy::default()) {
            panic!("{error}");
        }
    }
}
