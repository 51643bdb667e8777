//! `docs/cli.md`, made from the command line itself. `DRIFTLESS_BLESS=1 cargo test -p driftless` writes it.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::Ended;
use crate::args::Cli;

fn reference() -> String {
    let mut root = Cli::command();
    root.build();
    let mut out = String::from(
        "# The `driftless` command\n\n\
         Made from the command line itself; `DRIFTLESS_BLESS=1 cargo test -p driftless` writes it anew.\n\n\
         ## Exit codes\n\n| code | meaning |\n|---|---|\n",
    );
    for (ended, meaning) in Ended::ALL {
        writeln!(out, "| {} | {meaning} |", ended.code()).unwrap();
    }
    out.push_str("\n## Options of every command\n\n");
    root.get_arguments().filter(|a| shown(a)).for_each(|a| argument(&mut out, a));
    for command in root.get_subcommands().filter(|c| c.get_name() != "help") {
        describe(&mut out, command, "driftless");
    }
    out
}

fn shown(arg: &Arg) -> bool {
    !arg.is_hide_set()
        && !matches!(
            arg.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        )
}

fn describe(out: &mut String, command: &Command, above: &str) {
    let name = format!("{above} {}", command.get_name());
    if command.has_subcommands() {
        command.get_subcommands().filter(|c| c.get_name() != "help").for_each(|c| describe(out, c, &name));
        return;
    }
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    write!(out, "\n## {name}\n\n{}\n\n```text\n{name}", about.trim()).unwrap();
    for arg in command.get_positionals() {
        let value = arg.get_id().as_str().to_uppercase();
        let value = if arg.is_required_set() { format!("<{value}>") } else { format!("[{value}]") };
        write!(out, " {value}").unwrap();
    }
    out.push_str(" [OPTIONS]\n```\n\n");
    command.get_arguments().filter(|a| shown(a) && !a.is_global_set()).for_each(|a| argument(out, a));
    if let Some(after) = command.get_after_help() {
        let text = after.to_string();
        let examples = text.strip_prefix("Examples:\n").unwrap_or(&text);
        let lines: Vec<&str> = examples.lines().map(|l| l.strip_prefix("  ").unwrap_or(l)).collect();
        write!(out, "\n```sh\n{}\n```\n", lines.join("\n")).unwrap();
    }
}

fn argument(out: &mut String, arg: &Arg) {
    let value = || arg.get_value_names().map(|v| v.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let name = match arg.get_long() {
        Some(long) if takes => format!("--{long} {}", value().unwrap_or_default()),
        Some(long) => format!("--{long}"),
        None => arg.get_id().as_str().to_uppercase(),
    };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    write!(out, "* `{}`: {}.", name.trim_end(), help.trim_end_matches('.')).unwrap();
    let defaults: Vec<String> = arg.get_default_values().iter().map(|d| d.to_string_lossy().into_owned()).collect();
    if takes && !defaults.is_empty() {
        write!(out, " Default: `{}`.", defaults.join(" ")).unwrap();
    }
    if let Some(variable) = arg.get_env() {
        write!(out, " Variable: `{}`.", variable.to_string_lossy()).unwrap();
    }
    let values: Vec<String> = arg.get_possible_values().iter().map(|v| format!("`{}`", v.get_name())).collect();
    if takes && !values.is_empty() {
        write!(out, " One of {}.", values.join(", ")).unwrap();
    }
    out.push('\n');
}

#[test]
fn the_reference_is_the_command_line() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let reference = reference();
    if std::env::var_os("DRIFTLESS_BLESS").is_some() {
        std::fs::write(&path, &reference).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == reference, "docs/cli.md is not up to date; DRIFTLESS_BLESS=1 cargo test -p driftless writes it");
}
