//! How a trace is played: with every rule, or without one.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use driftless_changeset::{Rule, switch_off, switch_on};
use driftless_model::Identifier;
use driftless_tests::{Forgotten, Person, Setup, World, history};

thread_local! {
    static OFF: Cell<bool> = const { Cell::new(false) };
}

/// True while a rule is taken away: what a trace expects on its way need not hold then.
pub(crate) fn off() -> bool {
    OFF.with(Cell::get)
}

/// A person with a plan.
pub(crate) fn p(id: &str, email: &str, plan: u8) -> Person {
    Person {
        id: id.to_owned(),
        email: format!("{email}@x.example"),
        phone: None,
        plan: format!("p{plan}"),
        consent: true,
    }
}

pub(crate) fn email(name: &str) -> Identifier {
    Identifier::new("email", format!("{name}@x.example"))
}

/// Who is in the list of the first sync.
pub(crate) fn members(w: &World) -> Vec<String> {
    let members = w.members(&w.sync());
    members.into_keys().map(|i| i.value.trim_end_matches("@x.example").to_owned()).collect()
}

fn play(setup: Setup, trace: impl FnOnce(&mut World)) -> (Option<String>, Vec<String>) {
    let mut w = World::new(setup);
    trace(&mut w);
    history::end(&mut w);
    (w.ghosts.violation(), w.ghosts.trace())
}

/// The trace keeps every invariant, to its end.
pub(crate) fn holds(trace: impl FnOnce(&mut World)) {
    holds_with(Setup::default(), trace);
}

pub(crate) fn holds_with(setup: Setup, trace: impl FnOnce(&mut World)) {
    let (violation, lines) = play(setup, trace);
    assert!(violation.is_none(), "{}\n{}", violation.unwrap_or_default(), lines.join("\n"));
}

/// Without the rule the trace breaks an invariant.
pub(crate) fn breaks_without(rule: Forgotten, trace: impl FnOnce(&mut World)) {
    breaks_without_in(rule, Setup::default(), trace);
}

#[allow(clippy::needless_pass_by_value)] // called with a setup made for it
pub(crate) fn breaks_without_in(rule: Forgotten, setup: Setup, trace: impl FnOnce(&mut World)) {
    OFF.with(|o| o.set(true));
    let played = catch_unwind(AssertUnwindSafe(|| play(Setup { forgotten: Some(rule), ..setup }, trace)));
    OFF.with(|o| o.set(false));
    let (violation, lines) = played.expect("an invariant breaks, not an expectation");
    assert!(violation.is_some(), "nothing breaks without {rule:?}:\n{}", lines.join("\n"));
}

/// Without the rule the trace breaks an invariant.
pub(crate) fn breaks_without_rule(rule: Rule, setup: Setup, trace: impl FnOnce(&mut World)) {
    OFF.with(|o| o.set(true));
    switch_off(rule);
    let played = catch_unwind(AssertUnwindSafe(|| play(setup, trace)));
    switch_on();
    OFF.with(|o| o.set(false));
    let (violation, lines) = played.expect("an invariant breaks, not an expectation");
    assert!(violation.is_some(), "nothing breaks without {rule:?}:\n{}", lines.join("\n"));
}
