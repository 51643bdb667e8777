//! `docs/identifiers.md`, made from the recipes. `DRIFTLESS_BLESS=1 cargo test -p driftless-normalize` writes it.
#![allow(clippy::unwrap_used)] // a test

use std::fmt::Write;
use std::path::Path;

use driftless_normalize::Recipe;

const HEAD: &str = "# Identifiers

<!-- Made from the recipes in shared/normalize; `DRIFTLESS_BLESS=1 cargo test -p driftless-normalize` writes it anew. -->

Destinations match people by e-mail address, telephone number, name and so on, each in a form of its own, and often by the hash of
that form. A **recipe** is one vendor's rule for one kind of value. It is named in the mapping, with its version, and implies the hash:

```yaml
mapping:
  EMAIL: { column: email, identifier: true, normalize: meta.email@1 }
  PHONE: { column: phone, identifier: true, normalize: meta.phone@1, region: DE }
```

* `driftless check-hash meta.email@1` asks for a value and shows what each step makes of it.
* What a version does never changes. A changed rule is a new version; a sync that names it is planned as after any change of its
  mapping: everybody selected is sent again, and who left is removed by what was sent for them.
* **A value that is a digest already** (32, 64 or 128 hex digits, or the Base64 of 32 bytes) is not hashed again. Of the algorithm that
  the recipe sends, it is passed on, in the recipe's text form; of another one, or where the destination wants the value itself, it
  is refused. `driftless validate --data` counts those that are passed on.
* **Telephone numbers** are read by the numbering plan of their country and checked for its length. A number without country code is refused
  unless the field has a `region`: the country whose numbers the column has (`DE`), or `international`, if they all begin with their
  country code, with or without `+`. Numbers with letters or an extension are refused.
* **Refused** means that the record is invalid and is not sent (`driftless status` counts it). Recipes marked *left out* only leave
  out the value, because nobody is matched by it alone. Blank values are always left out.
* A column may carry dates or numbers too; their text form is normalised.

";

fn reference() -> String {
    let mut out = HEAD.to_owned();
    let mut vendor = "";
    for recipe in Recipe::all() {
        let spec = recipe.spec();
        if spec.vendor != vendor {
            vendor = spec.vendor;
            write!(out, "## {vendor}\n\n| recipe | steps | sent as | breaks the rule |\n|---|---|---|---|\n").unwrap();
            table(&mut out, vendor);
            out.push('\n');
            notes(&mut out, vendor);
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn table(out: &mut String, vendor: &str) {
    for recipe in Recipe::all().filter(|r| r.spec().vendor == vendor) {
        let spec = recipe.spec();
        let steps: Vec<&str> = spec.steps.iter().map(|step| step.about()).collect();
        let steps = if steps.is_empty() { "white space at both ends removed".to_owned() } else { steps.join("; ") };
        let hashes: Vec<String> = spec.hashes.iter().map(|hash| format!("`{}`", hash.name())).collect();
        let sent = match hashes.as_slice() {
            [] => "itself".to_owned(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first}, or with `hash`: {}", rest.join(", ")),
        };
        let broken = if spec.strict { "refused" } else { "left out" };
        writeln!(out, "| `{recipe}` | {steps} | {sent} | {broken} |").unwrap();
    }
}

fn notes(out: &mut String, vendor: &str) {
    let mut said: Vec<(&str, Vec<String>)> = Vec::new();
    let mut sources: Vec<&str> = Vec::new();
    for recipe in Recipe::all().filter(|r| r.spec().vendor == vendor) {
        let spec = recipe.spec();
        if !spec.choice.is_empty() {
            match said.iter_mut().find(|(choice, _)| *choice == spec.choice) {
                Some((_, recipes)) => recipes.push(format!("`{}`", spec.kind)),
                None => said.push((spec.choice, vec![format!("`{}`", spec.kind)])),
            }
        }
        if !spec.source.is_empty() && !sources.contains(&spec.source) {
            sources.push(spec.source);
        }
    }
    for (choice, recipes) in said {
        writeln!(out, "* {}: {choice}", recipes.join(", ")).unwrap();
    }
    if !sources.is_empty() {
        writeln!(out, "* Stated at: {}", sources.join(" · ")).unwrap();
    }
    out.push('\n');
}

#[test]
fn the_page_of_identifiers_is_made_from_the_recipes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/identifiers.md");
    let reference = reference();
    if std::env::var_os("DRIFTLESS_BLESS").is_some() {
        std::fs::write(&path, &reference).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let how = "DRIFTLESS_BLESS=1 cargo test -p driftless-normalize writes it";
    assert!(written == reference, "docs/identifiers.md is not up to date; {how}");
}
