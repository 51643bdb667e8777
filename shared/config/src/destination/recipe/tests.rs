use std::collections::BTreeSet;

use super::*;
use crate::Destination;

/// A file that gives every parameter that has no default.
fn example(recipe: &Recipe) -> RecipeDestination {
    let given = |(name, parameter): (&String, &Parameter)| {
        parameter.default.is_none().then(|| (name.clone(), parameter.example.clone().expect("an example")))
    };
    RecipeDestination {
        version: FormatVersion,
        kind: RecipeKind::Recipe,
        description: None,
        recipe: recipe.full_name(),
        with: recipe.parameters.iter().filter_map(given).collect(),
        base_url: None,
        rate: None,
        concurrency: None,
        timeout: None,
    }
}

#[test]
fn every_file_of_the_folder_is_a_shipped_recipe() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../connector/recipes");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("the folder of the recipes")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    let shipped = recipes().iter().map(|recipe| format!("{}.yaml", recipe.full_name())).collect();
    assert_eq!(files, shipped);
}

#[test]
fn every_recipe_describes_a_destination_that_can_work() {
    for recipe in recipes() {
        let name = recipe.full_name();
        let described = example(recipe).expand().unwrap_or_else(|flaws| panic!("{name}: {flaws:?}"));
        assert_eq!(described.flaws(), Vec::new(), "{name}");
        let text = serde_json::to_string(&described).expect("it is a document");
        assert!(!text.contains("${"), "{name}: a parameter is not declared");
        assert!(described.add.is_some() && described.remove.is_some(), "{name}");
    }
}

#[test]
fn every_parameter_of_a_recipe_is_used() {
    for recipe in recipes() {
        let text = recipe.destination.to_string();
        for name in recipe.parameters.keys() {
            assert!(text.contains(&format!("${{{name}}}")), "{}: {name}", recipe.full_name());
        }
    }
}

fn flaws(yaml: &str) -> Vec<(&'static str, String)> {
    let destination = Destination::from_yaml(yaml).expect("reads");
    destination.flaws().into_iter().map(|flaw| (flaw.key, flaw.message)).collect()
}

#[test]
fn what_is_wrong_with_the_parameters_is_said_where_it_stands() {
    let found = flaws("version: 1\nkind: recipe\nrecipe: mailchimp@9\n");
    assert!(matches!(&found[..], [("recipe", message)] if message.contains("mailchimp@1")), "{found:?}");
    let found = flaws(
        "version: 1\nkind: recipe\nrecipe: mailchimp@1\nwith: {data_center: 'a/b', api_key: s3cr3t, status: cleaned, dc: us1}\n",
    );
    let keys: Vec<&str> = found.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["with", "with.api_key", "with.data_center", "with.status"], "{found:?}");
    assert!(found.iter().all(|(_, message)| !message.contains("s3cr3t")), "{found:?}");
    let found = flaws("version: 1\nkind: recipe\nrecipe: mailchimp@1\nwith: {api_key: {secret: key}}\n");
    assert!(matches!(&found[..], [("with", message)] if message.contains("`data_center`")), "{found:?}");
}

#[test]
fn a_file_overrides_what_the_recipe_says_of_pace_and_place() {
    let yaml = "version: 1
kind: recipe
recipe: tiktok@1
with: {advertiser_id: 7000000000000000001, access_token: {secret: token}}
base_url: http://127.0.0.1:1/x
rate: {requests: 50, per: 1s}
timeout: 5s
";
    let Destination::Recipe(recipe) = Destination::from_yaml(yaml).expect("reads") else { panic!("a recipe") };
    let described = recipe.expand().expect("expands");
    assert_eq!(described.base_url.as_str(), "http://127.0.0.1:1/x");
    let windows: Vec<u32> =
        described.rate.iter().flat_map(|rate| rate.windows().map(|w| w.requests.get()).collect::<Vec<_>>()).collect();
    assert_eq!(windows, [50]);
    assert_eq!(recipe.timeout(), Duration::from_secs(5));
    assert_eq!(recipe.more_secrets().len(), 1);
}
