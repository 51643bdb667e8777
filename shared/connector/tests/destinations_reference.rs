//! `docs/destinations.md` says what the code can do, and every configuration that it shows is one that `driftless validate` takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use driftless_config::{
    Destination, SecretRef,
    destination::{Argument, DestinationKind, Parameter, Recipe, recipes},
    parse_destination,
};
use driftless_connector::{
    Acknowledges, BuildError, Capabilities, HttpPolicy, Limits, MissingSecret, Replace, Secrets, build, capabilities_of,
};
use serde::Deserialize;

const HEAD: &str = "# Destinations

<!-- Generated from what the connectors say of themselves, the recipes in shared/connector/recipes and the entries in
     shared/connector/tests/reference. To write it anew:
     DRIFTLESS_BLESS=1 cargo test -p driftless-connector --test destinations_reference -->

A destination is a file under `destinations/`. Its `kind` says which code talks to it; with `kind: recipe` a shipped description
does. Each example below is complete: copy it, store the secrets it names in AWS Secrets Manager, and `driftless validate` accepts it.
[Settings](settings.md) has every key, the [connector guide](connector-guide.md) what to do for an API that is not here.

A sync chooses its strategy by what the destination can do: `delta` needs add and remove, `full_then_remove` the same, `replace` a list
that can be replaced, `compare` one that can be listed, `new_list` lists that can be created.
";

/// What is said of a kind beside what its capabilities say.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    title: String,
    about: String,
    list: String,
    login: String,
    fields: String,
    #[serde(default)]
    assumptions: Vec<String>,
    example: String,
}

/// What the document shows: kinds in their own order, then recipes by name.
struct Shown {
    /// `hubspot`, or `mailchimp@1`.
    name: String,
    entry: Entry,
    recipe: Option<&'static Recipe>,
}

/// Has every secret.
struct Any;

impl Secrets for Any {
    fn secret(&self, _: &SecretRef) -> Result<secrecy::SecretString, MissingSecret> {
        // A signing secret is looked at when the connector is built.
        Ok("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into())
    }
}

fn entries() -> BTreeMap<String, Entry> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).expect("an entry is text");
        let name = file.file_stem().expect("a file").to_string_lossy().into_owned();
        let entry = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (name, entry)
    };
    files.into_iter().map(read).collect()
}

fn shown() -> Vec<Shown> {
    let mut entries = entries();
    let coded = DestinationKind::ALL.iter().filter(|kind| **kind != DestinationKind::Recipe).map(|kind| {
        let name = kind.as_str().to_owned();
        let entry = entries.remove(&name).unwrap_or_else(|| {
            panic!("kind `{name}` has no entry: write shared/connector/tests/reference/{name}.yaml")
        });
        Shown { name, entry, recipe: None }
    });
    let mut all: Vec<Shown> = coded.collect();
    all.extend(recipes().iter().map(|recipe| Shown {
        name: recipe.full_name(),
        entry: Entry {
            title: recipe.title.clone(),
            about: recipe.about.clone(),
            list: recipe.list.clone(),
            login: recipe.login.clone(),
            fields: recipe.fields.clone(),
            assumptions: recipe.assumptions.clone(),
            example: example(recipe),
        },
        recipe: Some(recipe),
    }));
    all
}

/// A file that gives every parameter that must be given.
fn example(recipe: &Recipe) -> String {
    let mut yaml = format!("version: 1\nkind: recipe\nrecipe: {}\nwith:\n", recipe.full_name());
    for (name, parameter) in recipe.parameters.iter().filter(|(_, parameter)| parameter.default.is_none()) {
        let given = parameter.example.as_ref().expect("a parameter that must be given has an example");
        let _ = writeln!(yaml, "  {name}: {}", written(given));
    }
    yaml
}

fn written(argument: &Argument) -> String {
    match argument {
        Argument::Secret(secret) => format!("{{ secret: {secret} }}"),
        Argument::Text(text) if text.parse::<f64>().is_ok() => format!("\"{text}\""),
        other => other.to_string(),
    }
}

fn read(shown: &Shown) -> Destination {
    let file = format!("destinations/{}.yaml", shown.name);
    parse_destination(&shown.entry.example, Path::new(&file)).unwrap_or_else(|problems| panic!("{file}: {problems:?}"))
}

fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn limits(limits: Option<Limits>) -> String {
    match limits {
        None => "–".to_owned(),
        Some(Limits { records, bytes: None }) => number(records.get().into()),
        Some(Limits { records, bytes: Some(bytes) }) => {
            format!("{} and {} bytes", number(records.get().into()), number(bytes.get()))
        }
    }
}

fn replaces(replace: Option<Replace>) -> &'static str {
    match replace {
        None => "–",
        Some(Replace::Session { .. }) => "session",
        Some(Replace::ClearFirst) => "clear, then fill",
        Some(Replace::ClearAfter) => "fill, then clear",
    }
}

const fn acknowledges(acknowledges: Acknowledges) -> &'static str {
    match acknowledges {
        Acknowledges::Record => "record",
        Acknowledges::Batch => "request",
        Acknowledges::Job => "job",
    }
}

fn strategies(can: &Capabilities) -> String {
    let sends = can.add.is_some() || can.update.is_some();
    let delta = sends && can.remove.is_some();
    let all = [
        (delta, "`delta`"),
        (delta, "`full_then_remove`"),
        (can.replace.is_some(), "`replace`"),
        (can.list, "`compare`"),
        (can.new_list, "`new_list`"),
    ];
    all.into_iter().filter(|(can, _)| *can).map(|(_, name)| name).collect::<Vec<_>>().join(", ")
}

fn normalisation(can: &Capabilities) -> String {
    match can.normalisation {
        [] => "as the mapping says".to_owned(),
        wants => wants.iter().map(|(field, recipe)| format!("{field}: `{recipe}`")).collect::<Vec<_>>().join(", "),
    }
}

fn rate(destination: &Destination) -> String {
    match destination.rate() {
        Some(rate) => {
            let windows = rate.windows().map(|w| format!("{} per {}", number(w.requests.get().into()), w.per));
            windows.collect::<Vec<_>>().join(", ")
        }
        None => "–".to_owned(),
    }
}

fn anchor(title: &str) -> String {
    let kept = title.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn yes(can: bool) -> &'static str {
    if can { "yes" } else { "–" }
}

/// The document.
fn document() -> String {
    let all: Vec<(Shown, Destination)> = shown()
        .into_iter()
        .map(|shown| {
            let destination = read(&shown);
            (shown, destination)
        })
        .collect();
    let mut out = HEAD.to_owned();
    out.push_str("\n| destination | add | update | remove | members listed | list replaced | new lists | acknowledges | strategies |\n");
    out.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for (shown, destination) in &all {
        let can = capabilities_of(destination);
        let title = heading(shown);
        let _ = writeln!(
            out,
            "| [{}](#{}) | {} | {} | {} | {} | {} | {} | {} | {} |",
            code(&shown.name),
            anchor(&title),
            yes(can.add.is_some()),
            yes(can.update.is_some()),
            yes(can.remove.is_some()),
            yes(can.list),
            replaces(can.replace),
            yes(can.new_list),
            acknowledges(can.acknowledges),
            strategies(&can),
        );
    }
    for (shown, destination) in &all {
        chapter(&mut out, shown, destination);
    }
    out
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn heading(shown: &Shown) -> String {
    format!("{}: {}", code(&shown.name), shown.entry.title)
}

fn chapter(out: &mut String, shown: &Shown, destination: &Destination) {
    let (entry, can) = (&shown.entry, capabilities_of(destination));
    let _ = writeln!(out, "\n## {}\n\n{}\n", heading(shown), one_line(&entry.about));
    let _ = writeln!(out, "```yaml\n{}```\n", entry.example);
    out.push_str("| | |\n|---|---|\n");
    let mut row = |name: &str, text: &str| {
        let _ = writeln!(out, "| {name} | {} |", one_line(text).replace('|', "\\|"));
    };
    if let Some(recipe) = shown.recipe {
        row("API", &recipe.api);
    }
    row("`list` of a sync", &entry.list);
    row("login", &entry.login);
    row("fields", &entry.fields);
    row("normalisation", &normalisation(&can));
    let sizes = [("add", can.add), ("update", can.update), ("remove", can.remove)];
    let sizes: Vec<String> = sizes.iter().map(|(name, size)| format!("{name} {}", limits(*size))).collect();
    row("records a request", &sizes.join(", "));
    row("rate", &rate(destination));
    row("calls at once", &destination.concurrency().map_or("–".to_owned(), |most| most.to_string()));
    row("sending twice", if can.repeatable { "does no harm" } else { "is avoided" });
    if let Some(recipe) = shown.recipe {
        out.push_str("\n| parameter | is | default |\n|---|---|---|\n");
        for (name, parameter) in &recipe.parameters {
            let default = parameter.default.as_ref().map_or("must be given".to_owned(), |d| code(&d.to_string()));
            let _ = writeln!(out, "| {} | {} | {default} |", code(name), about(parameter));
        }
    }
    if !entry.assumptions.is_empty() {
        out.push_str("\nNot confirmed by the vendor:\n\n");
        for assumption in &entry.assumptions {
            let _ = writeln!(out, "* {}", one_line(assumption));
        }
    }
}

fn about(parameter: &Parameter) -> String {
    let mut text = one_line(&parameter.about);
    if !parameter.one_of.is_empty() {
        let words: Vec<String> = parameter.one_of.iter().map(|word| code(word)).collect();
        let _ = write!(text, " One of {}.", words.join(", "));
    }
    text
}

#[test]
fn the_list_of_destinations_in_the_documentation_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/destinations.md");
    let current = document();
    if env::var_os("DRIFTLESS_BLESS").is_some() {
        fs::write(&file, &current).expect("docs/destinations.md can be written");
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == current,
        "docs/destinations.md is not current; write it anew with\n  DRIFTLESS_BLESS=1 cargo test -p driftless-connector --test destinations_reference"
    );
}

#[test]
fn every_kind_has_an_entry() {
    let entries: BTreeSet<String> = entries().into_keys().collect();
    for kind in DestinationKind::ALL.iter().filter(|kind| **kind != DestinationKind::Recipe) {
        let name = kind.as_str();
        assert!(entries.contains(name), "write shared/connector/tests/reference/{name}.yaml");
    }
}

#[test]
fn every_configuration_that_is_shown_is_one_that_validate_accepts() {
    for shown in shown() {
        let destination = read(&shown);
        // What a kind needs of its surroundings is there when it is deployed.
        match build(&destination, "list", &Any, HttpPolicy::default()) {
            Ok(_) | Err(BuildError::Port { .. }) => {}
            Err(error) => panic!("{}: {error}", shown.name),
        }
        assert_eq!(destination.flaws(), Vec::new(), "{}", shown.name);
    }
}
