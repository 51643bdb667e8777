//! What is printed: the same facts as JSON for machines or as text for people.

use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::ended::Trouble;

/// Prints to standard output: one JSON document with `--json`, else the text.
///
/// # Errors
/// Standard output cannot be written. A reader that went away early (`| head`) is no error.
pub(crate) fn show(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> io::Result<()> {
    let text = if json { serde_json::to_string_pretty(value)? } else { text() };
    line(&text)
}

/// Prints one text and a line break.
pub(crate) fn line(text: &str) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{}", text.trim_end()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Says something to the person in front, on standard error, so that standard output stays what was asked for.
pub(crate) fn note(text: &str) {
    // A closed standard error has no reader to miss it.
    let _: io::Result<()> = writeln!(io::stderr().lock(), "{text}");
}

/// A table without lines, as wide as it needs to be. Colours appear only on a terminal.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|h| Cell::new(h.to_uppercase())).collect::<Vec<_>>());
    table
}

/// Anything, set to the right.
pub(crate) fn right(what: impl ToString) -> Cell {
    Cell::new(what).set_alignment(CellAlignment::Right)
}

/// A figure, set to the right.
pub(crate) fn figure(n: u64) -> Cell {
    Cell::new(crate::time::count(n)).set_alignment(CellAlignment::Right)
}

/// A word that says how something stands.
pub(crate) fn state(word: &str, good: Option<bool>) -> Cell {
    let cell = Cell::new(word);
    match good {
        Some(true) => cell.fg(Color::Green),
        Some(false) => cell.fg(Color::Red),
        None => cell.fg(Color::Yellow),
    }
}

/// Asks the person in front to confirm what cannot be taken back. Nothing drastic, or `yes`: no question.
///
/// # Errors
/// [`Trouble`]: refused, or there is nobody to ask.
pub(crate) fn confirm(yes: bool, drastic: &[String]) -> Result<(), Trouble> {
    if yes || drastic.is_empty() {
        return Ok(());
    }
    let refused = || Trouble::usage(drastic.join("; "), "confirm with --yes; nothing was done");
    if !io::stdin().is_terminal() {
        return Err(refused());
    }
    note(&drastic.join("\n"));
    note("Go on? Type yes:");
    let mut answer = String::new();
    match io::stdin().lock().read_line(&mut answer) {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(refused()),
    }
}
