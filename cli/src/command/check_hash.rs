use std::io::{self, BufRead, IsTerminal};

use anyhow::Context;
use clap::Args;
use driftless_config::{FieldMapping, Normalize, VendorHash, load_project};
use driftless_model::SyncId;
use driftless_normalize::{Digest, Ending, Recipe, Region, Rule, Trace};
use serde_json::{Value, json};

use crate::Ended;
use crate::args::Global;
use crate::ended::Trouble;
use crate::output::{note, show, table};

/// Show what becomes of one value on its way to a destination, step by step.
///
/// The value is asked for, or read as the first line of standard input: never an argument, so it is in no shell history and no
/// process list. It is printed with each step, and kept nowhere. A second line is a hash to compare with; if it is another one, the
/// recipes that do give it are named. A value that is a digest already is told.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftless check-hash meta.email@1
  driftless check-hash google.phone@1 --region US --hash sha256_base64
  driftless check-hash --sync vip-audience --field email
  driftless check-hash --list")]
pub(crate) struct CheckHash {
    /// The recipe.
    #[arg(required_unless_present_any = ["sync", "list"], conflicts_with = "sync")]
    recipe: Option<Recipe>,
    /// How numbers without country code are read: two letters, or `international`.
    #[arg(long, conflicts_with = "sync")]
    region: Option<Region>,
    /// Another hash that the vendor takes.
    #[arg(long, value_parser = hash, conflicts_with = "sync")]
    hash: Option<VendorHash>,
    /// Take the recipe, or the steps, of a field of this sync.
    #[arg(long, requires = "field")]
    sync: Option<SyncId>,
    /// The field of the destination.
    #[arg(long, requires = "sync")]
    field: Option<String>,
    /// Print the recipes and ask for nothing.
    #[arg(long)]
    list: bool,
}

const HASHES: [VendorHash; 4] = [VendorHash::Sha256, VendorHash::Sha256Base64, VendorHash::Sha512, VendorHash::Md5];

fn hash(name: &str) -> Result<VendorHash, String> {
    HASHES
        .into_iter()
        .find(|hash| hash.name() == name)
        .ok_or_else(|| format!("write one of {}", HASHES.map(VendorHash::name).join(", ")))
}

/// What was typed.
struct Typed {
    value: String,
    /// The hash to compare with.
    pasted: Option<String>,
}

impl CheckHash {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<Ended> {
        if self.list {
            return list(global.json);
        }
        let field = self.described(global)?;
        let stdin = io::stdin();
        let typed = if stdin.is_terminal() { ask(&mut stdin.lock())? } else { read(&mut stdin.lock(), || {})? };
        let checked = Checked::new(&field.rule(), &typed);
        show(global.json, &checked.in_json(), || checked.render())?;
        Ok(checked.ended())
    }

    /// The field whose rule is shown: of a sync, or one made up for the recipe.
    fn described(&self, global: &Global) -> Result<FieldMapping, Trouble> {
        if let (Some(sync), Some(name)) = (&self.sync, &self.field) {
            let project = load_project(&global.project);
            let found = project.syncs.get(sync).ok_or_else(|| {
                Trouble::usage(format!("the project has no valid sync `{sync}`"), "see `driftless validate`")
            })?;
            let fields = found.mapping.fields();
            return fields.iter().find(|f| f.field == *name).cloned().ok_or_else(|| {
                let names: Vec<&str> = fields.iter().map(|f| f.field.as_str()).collect();
                Trouble::usage(format!("the sync has no field `{name}`"), format!("it has {}", names.join(", ")))
            });
        }
        let mut field = FieldMapping::new("value", "value");
        field.normalize = self.recipe.into_iter().map(Normalize::Recipe).collect();
        (field.region, field.hash) = (self.region, self.hash);
        let takes = |hash| self.recipe.is_none_or(|r| r.spec().hashes.contains(&hash));
        if self.hash.is_some_and(|hash| !takes(hash)) {
            let hashes = self.recipe.map_or(&[][..], |r| r.spec().hashes).iter().map(|h| h.name());
            let hashes = hashes.collect::<Vec<_>>().join(" or ");
            let what = if hashes.is_empty() { "the value itself".to_owned() } else { hashes };
            return Err(Trouble::usage(format!("the vendor takes {what}"), "leave --hash out"));
        }
        Ok(field)
    }
}

/// Asks the person in front. What is typed is shown, as it is shown again with every step.
fn ask(input: &mut impl BufRead) -> anyhow::Result<Typed> {
    note("The value (it is kept nowhere):");
    read(input, || note("A hash to compare with, or nothing:"))
}

fn read(input: &mut impl BufRead, then: impl FnOnce()) -> anyhow::Result<Typed> {
    let value = one_line(input)?.context("no value: type one, or give it as the first line of standard input")?;
    then();
    let pasted = one_line(input)?.map(|hash| hash.trim().to_owned()).filter(|hash| !hash.is_empty());
    Ok(Typed { value, pasted })
}

fn one_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = input.read_line(&mut line)?;
    // White space is part of the value.
    let text = line.strip_suffix('\n').map_or(line.as_str(), |l| l.strip_suffix('\r').unwrap_or(l));
    Ok((read > 0).then(|| text.to_owned()))
}

fn list(json: bool) -> anyhow::Result<Ended> {
    let hashes = |r: Recipe| r.spec().hashes.iter().map(|h| h.name()).collect::<Vec<_>>();
    let all: Vec<Value> =
        Recipe::all().map(|r| json!({ "recipe": r, "hashes": hashes(r), "source": r.spec().source })).collect();
    show(json, &all, || {
        let mut t = table(&["recipe", "sent as"]);
        for recipe in Recipe::all() {
            let sent = hashes(recipe).join(", ");
            t.add_row(vec![recipe.to_string(), if sent.is_empty() { "itself".into() } else { sent }]);
        }
        t.to_string()
    })?;
    Ok(Ended::Well)
}

/// What became of a value.
struct Checked {
    recipe: Option<Recipe>,
    trace: Trace,
    /// Whether the pasted hash is what is sent.
    same: Option<bool>,
    /// What gives the pasted hash instead.
    instead: Vec<String>,
}

impl Checked {
    fn new(rule: &Rule<'_>, typed: &Typed) -> Self {
        let trace = rule.trace(&typed.value);
        let same = typed.pasted.as_ref().map(|pasted| match &trace.ending {
            Ending::Sent { text, .. } => is_same(text, pasted),
            _ => false,
        });
        let instead = match (&typed.pasted, same) {
            (Some(pasted), Some(false)) => givers(&typed.value, pasted),
            _ => Vec::new(),
        };
        Self { recipe: rule.recipe(), trace, same, instead }
    }

    fn ended(&self) -> Ended {
        let refused = matches!(self.trace.ending, Ending::Refused(_));
        if refused || self.same == Some(false) { Ended::Attention } else { Ended::Well }
    }

    fn in_json(&self) -> Value {
        let steps: Vec<Value> = self.trace.steps.iter().map(|s| json!({ "step": s.what, "value": s.value })).collect();
        let (sent, hash, hashed, refused) = match &self.trace.ending {
            Ending::Sent { text, hash, passed_on } => (Some(text), *hash, *passed_on, None),
            Ending::LeftOut => (None, None, None, None),
            Ending::Refused(refusal) => (None, None, None, Some(refusal.to_string())),
        };
        json!({
            "recipe": self.recipe, "steps": steps, "sent": sent, "hash": hash, "already_hashed": hashed,
            "refused": refused, "same_as_pasted": self.same, "pasted_is": self.instead,
        })
    }

    fn render(&self) -> String {
        let mut t = table(&["step", "value"]);
        for step in &self.trace.steps {
            t.add_row(vec![step.what, step.value.as_str()]);
        }
        let mut lines = Vec::new();
        if let Some(recipe) = self.recipe {
            lines.push(format!("{recipe}"));
            lines.extend((!recipe.spec().choice.is_empty()).then(|| format!("Note: {}", recipe.spec().choice)));
        }
        if !self.trace.steps.is_empty() {
            lines.push(t.to_string());
        }
        lines.push(match &self.trace.ending {
            Ending::Sent { text, passed_on: Some(form), .. } => {
                format!(
                    "It is a digest already ({}): it is passed on, and not hashed again.\nSent: {text}",
                    form.name()
                )
            }
            Ending::Sent { text, hash: Some(hash), .. } => format!("Sent, as {}: {text}", hash.name()),
            Ending::Sent { text, .. } => format!("Sent: {text}"),
            Ending::LeftOut => "Left out: the record is sent without this field.".to_owned(),
            Ending::Refused(refusal) => format!("Refused, the record is invalid: {refusal}."),
        });
        match (self.same, self.instead.as_slice()) {
            (Some(true), _) => lines.push("The pasted hash is the same.".to_owned()),
            (Some(false), []) => lines.push("The pasted hash is another, and of no recipe for this value.".to_owned()),
            (Some(false), by) => lines.push(format!("The pasted hash is another: it is that of {}.", by.join(", "))),
            (None, _) => {}
        }
        lines.join("\n")
    }
}

/// Whether two texts are one: exactly, or as text forms of one digest.
fn is_same(sent: &str, pasted: &str) -> bool {
    let forms = |text| Digest::find(text).map(|d: Digest<'_>| d.form());
    sent == pasted
        || forms(sent).is_some_and(|form| Digest::find(pasted).and_then(|d| d.written(form)).is_some_and(|p| p == sent))
}

/// Which recipes, or plain hashes of the value as it was typed, give a hash.
fn givers(value: &str, pasted: &str) -> Vec<String> {
    let as_typed = HASHES.into_iter().filter(|hash| is_same(&hash.of(value), pasted));
    let mut found: Vec<String> = as_typed.take(1).map(|_| "the value as it was typed".to_owned()).collect();
    for recipe in Recipe::all() {
        let steps = [Normalize::Recipe(recipe)];
        let hashes = recipe.spec().hashes.iter().copied().map(Some);
        let gives = |hash| match Rule::new(&steps, Some(Region::International), hash).trace(value).ending {
            Ending::Sent { text, .. } => is_same(&text, pasted),
            _ => false,
        };
        if hashes.chain(recipe.hash().is_none().then_some(None)).any(gives) {
            found.push(recipe.to_string());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARY: &str = "f1904cf1a9d73a55fa5de0ac823c4403ded71afd4c3248d00bdcd0866552bb79";

    fn check(recipe: &str, input: &str) -> Checked {
        let steps = [Normalize::Recipe(recipe.parse().unwrap())];
        let typed = read(&mut input.as_bytes(), || {}).unwrap();
        Checked::new(&Rule::new(&steps, None, None), &typed)
    }

    #[test]
    fn each_step_is_shown_and_the_hash_that_is_sent() {
        let checked = check("meta.email@1", " Mary@Example.com \r\n");
        let text = checked.render();
        assert!(text.contains("letters lower-cased") && text.contains("mary@example.com"), "{text}");
        assert!(text.contains(&format!("Sent, as sha256: {MARY}")), "{text}");
        assert_eq!((checked.ended(), checked.same), (Ended::Well, None));
        assert_eq!(checked.in_json()["steps"][0]["value"], "mary@example.com");
    }

    #[test]
    fn a_pasted_hash_is_compared_in_any_text_form() {
        let base64 = VendorHash::Sha256Base64.of("mary@example.com");
        for pasted in [MARY.to_owned(), MARY.to_uppercase(), base64] {
            let checked = check("meta.email@1", &format!("Mary@Example.com\n {pasted} \n"));
            assert_eq!((checked.same, checked.ended()), (Some(true), Ended::Well), "{pasted}");
        }
    }

    #[test]
    fn another_hash_is_traced_to_who_gives_it() {
        let plain = VendorHash::Sha256.of("Mary.Ann@Gmail.com");
        let checked = check("meta.email@1", &format!("Mary.Ann@Gmail.com\n{plain}"));
        assert_eq!(checked.instead, ["the value as it was typed"]);
        assert_eq!(checked.ended(), Ended::Attention);
        let google = VendorHash::Sha256.of("maryann@gmail.com");
        assert_eq!(check("meta.email@1", &format!("Mary.Ann@Gmail.com\n{google}")).instead, ["google.email@1"]);
        let nobody = VendorHash::Sha256.of("somebody else");
        assert!(check("meta.email@1", &format!("a@x.org\n{nobody}")).render().contains("of no recipe"));
    }

    #[test]
    fn a_digest_is_told_and_not_hashed_again() {
        let checked = check("google.email@1", &MARY.to_uppercase());
        assert!(checked.render().contains(&format!("not hashed again.\nSent: {MARY}")));
        assert_eq!(checked.in_json()["already_hashed"], "sha256");
        let checked = check("klaviyo.email@1", MARY);
        assert_eq!(checked.ended(), Ended::Attention);
        assert!(checked.render().contains("a digest already"));
    }

    #[test]
    fn without_a_value_there_is_nothing_to_show() {
        assert!(read(&mut "".as_bytes(), || {}).is_err());
        let empty = read(&mut "\n".as_bytes(), || {}).unwrap();
        assert_eq!((empty.value.as_str(), empty.pasted), ("", None));
    }
}
