//! What holds for every recipe.
#![allow(clippy::unwrap_used)] // a test

use std::collections::BTreeSet;

use driftless_normalize::{Ending, Normalize, Normalized, Recipe, Refusal, Rule, VendorHash};
use proptest::prelude::*;

#[test]
fn a_recipe_is_named_once_and_read_by_its_name() {
    let names: BTreeSet<String> = Recipe::all().map(|r| r.to_string()).collect();
    assert_eq!(names.len(), Recipe::all().count());
    for recipe in Recipe::all() {
        assert_eq!(recipe.to_string().parse(), Ok(recipe));
        let json = serde_json::to_string(&Normalize::Recipe(recipe)).unwrap();
        assert_eq!(json, format!("\"{recipe}\""), "a sync's fingerprint names the recipe with its version");
        assert_eq!(serde_json::from_str::<Normalize>(&json).unwrap(), Normalize::Recipe(recipe));
    }
    for step in Normalize::STEPS {
        let json = serde_json::to_string(&step).unwrap();
        assert_eq!(serde_json::from_str::<Normalize>(&json).unwrap(), step);
    }
}

#[test]
fn a_misspelt_recipe_names_the_one_that_was_meant() {
    let error = "meta.emial@1".parse::<Recipe>().unwrap_err();
    assert_eq!(error.nearest.map(|r| r.to_string()).as_deref(), Some("meta.email@1"));
    assert_eq!("nothing like it".parse::<Recipe>().unwrap_err().nearest, None);
    let error = serde_json::from_str::<Normalize>("\"meta.email\"").unwrap_err().to_string();
    assert!(error.contains("did you mean `meta.email@1`?"), "{error}");
}

#[test]
fn a_digest_is_passed_on_once_in_the_form_that_is_wanted() {
    let digest = VendorHash::Sha256.of("mary@example.com");
    let base64 = VendorHash::Sha256Base64.of("mary@example.com");
    for recipe in Recipe::all().filter(|r| r.hash() == Some(VendorHash::Sha256)) {
        let steps = [Normalize::Recipe(recipe)];
        let rule = Rule::new(&steps, None, None);
        for written in [digest.clone(), digest.to_uppercase(), format!(" {digest} "), base64.clone()] {
            let passed = rule.apply(&written).unwrap();
            assert_eq!(passed, Normalized::Digest(digest.clone().into()), "{recipe}");
            assert_eq!(rule.sent(&passed), Some(digest.clone()), "{recipe}");
        }
        let other = VendorHash::Md5.of("mary@example.com");
        assert_eq!(rule.apply(&other), Err(Refusal::OtherDigest), "{recipe}");
    }
}

#[test]
fn a_digest_is_no_value_for_who_wants_the_value() {
    let digest = VendorHash::Sha256.of("mary@example.com");
    for name in ["klaviyo.email@1", "hubspot.phone@1", "meta.device_id@1"] {
        let steps = [Normalize::Recipe(name.parse().unwrap())];
        assert_eq!(Rule::new(&steps, None, None).trace(&digest).ending, Ending::Refused(Refusal::Hashed), "{name}");
    }
}

#[test]
fn an_id_of_zeros_is_nobodys() {
    let steps = [Normalize::Recipe("meta.device_id@1".parse().unwrap())];
    let rule = Rule::new(&steps, None, None);
    assert_eq!(rule.trace("00000000-0000-0000-0000-000000000000").ending, Ending::LeftOut);
    assert_eq!(
        rule.apply("6D92078A82464BA4AE5B76104861E7DC").unwrap(),
        Normalized::Plain("6d92078a-8246-4ba4-ae5b-76104861e7dc".into())
    );
}

#[test]
fn a_refusal_says_what_to_do_and_not_the_value() {
    let steps = [Normalize::Recipe("meta.phone@1".parse().unwrap())];
    let Ending::Refused(refusal) = Rule::new(&steps, None, None).trace("030 123456").ending else { panic!("refused") };
    assert!(refusal.to_string().contains("`region`") && !refusal.to_string().contains("030"), "{refusal}");
}

fn any_recipe() -> impl Strategy<Value = Recipe> {
    proptest::sample::select(Recipe::all().collect::<Vec<_>>())
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "[ a-zA-Z0-9._%+-]{1,20}@[a-zA-Z0-9.-]{1,20}[a-z]{2,4} ?",
        "\\+?[0-9 ()./-]{5,20}",
        "[0-9]{1,4}[-./][0-9]{1,2}[-./][0-9]{1,4}",
        "[0-9a-fA-F]{32}|[0-9a-fA-F]{64}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What was normalised stays as it is: the same person never has two forms.
    #[test]
    fn a_recipe_applied_twice_is_applied_once(recipe in any_recipe(), value in any_value()) {
        let steps = [Normalize::Recipe(recipe)];
        // Without its `+` a number is read only where all numbers begin with their country code.
        let rule = Rule::new(&steps, Some("international".parse().unwrap()), None);
        if let Ok(Normalized::Plain(once)) = rule.apply(&value) {
            prop_assert_eq!(rule.apply(&once), Ok(Normalized::Plain(once.clone())), "{}", recipe);
        }
    }

    /// What is sent is what the trace shows, and white space at the ends never counts.
    #[test]
    fn a_trace_shows_what_is_sent(recipe in any_recipe(), value in any_value()) {
        let steps = [Normalize::Recipe(recipe)];
        let rule = Rule::new(&steps, None, None);
        let ending = rule.trace(&value).ending;
        match rule.apply(&value) {
            Err(refusal) => prop_assert_eq!(&ending, &Ending::Refused(refusal)),
            Ok(value) => match rule.sent(&value) {
                None => prop_assert_eq!(&ending, &Ending::LeftOut),
                Some(sent) => {
                    let same = matches!(&ending, Ending::Sent { text, .. } if *text == sent);
                    prop_assert!(same, "the digest is of the normalised text");
                }
            },
        }
        prop_assert_eq!(rule.trace(&format!(" \t{value}\u{a0}")).ending, ending);
    }
}
