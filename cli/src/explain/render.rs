//! The story as text.

use driftless_deltalog::item::ChangeOp;

use super::story::{Change, State, Story};

/// The story for people. `key` is what the user typed.
pub(crate) fn render(story: &Story, key: &str) -> String {
    let mut lines =
        vec![format!("{key} in {}: {}", story.sync, word(story.state)), story.summary.clone(), String::new()];
    lines.push(format!("  key hash      {}", story.key_hash));
    let mut fact = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            lines.push(format!("  {name:<13} {value}"));
        }
    };
    fact("member since", story.member_since.as_deref());
    fact("acknowledged", story.last_acknowledged_at.as_deref());
    let identifiers: Vec<String> = story.identifiers.iter().map(|i| format!("{}={}", i.field, i.value)).collect();
    fact("identifiers", Some(identifiers.join(", ").as_str()).filter(|i| !i.is_empty()));
    fact("remote id", story.remote_id.as_deref());
    fact("last error", story.last_error.as_deref());
    for r in &story.rejects {
        let which = if r.current { "this state" } else { "an earlier state" };
        let what = if r.quarantined { ", quarantined" } else { "" };
        lines.push(format!("  rejected      {} × {which}{what}, last at {}: {}", r.attempts, r.at, r.reason));
    }
    for h in &story.holds {
        if let Some(at) = &h.approved_at {
            lines.push(format!("  was held      version {}, approved at {at}", h.version));
        } else {
            lines.push(format!("  held          since {}: {}", h.since, h.reason));
            lines.push(format!("                {}", h.approve_command));
        }
    }
    if !story.changes.is_empty() {
        lines.push("\nChanges".to_owned());
        story.changes.iter().for_each(|c| lines.extend(change(c)));
    }
    if !story.deliveries.is_empty() {
        lines.push("\nDeliveries".to_owned());
        for d in &story.deliveries {
            let call = d.call.map_or_else(String::new, |c| format!(" call {c}"));
            let why = d.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
            let outcome = d.outcome.replace('_', " ");
            lines.push(format!("  {}  {} {outcome}{why} (run {}{call}, {})", d.at, d.operation, d.run, d.run_state));
        }
    }
    if !story.notes.is_empty() {
        lines.push(String::new());
        story.notes.iter().for_each(|n| lines.push(format!("  {n}")));
    }
    lines.join("\n")
}

fn change(c: &Change) -> Vec<String> {
    let op = match c.op {
        ChangeOp::Add => "entered",
        ChangeOp::Update => "changed",
        ChangeOp::Remove => "left",
    };
    let became = if let (Some(outcome), Some(run), Some(at)) = (&c.outcome, &c.run, &c.at) {
        let call = c.call.map_or_else(String::new, |n| format!(" call {n}"));
        format!("{} by run {run}{call} at {at}", outcome.replace('_', " "))
    } else {
        unsent(c)
    };
    vec![
        match &c.snapshot {
            Some(snapshot) => format!("  {}  {op} with {snapshot} (version {})", c.snapshot_time, c.version),
            None => format!("  {}  erased by a person (version {})", c.logged_at, c.version),
        },
        format!("                        {became}"),
    ]
}

/// What became of a change that no kept delivery is about.
fn unsent(c: &Change) -> String {
    match (&c.superseded_by, &c.committed_at) {
        (Some(run), _) => format!("overtaken: run {run} ended with a later state"),
        (None, Some(at)) => format!("committed at {at}"),
        (None, None) => "not sent by itself yet".to_owned(),
    }
}

const fn word(state: State) -> &'static str {
    match state {
        State::InSync => "in sync",
        State::ToAdd => "to be added",
        State::ToUpdate => "to be updated",
        State::ToRemove => "to be removed",
        State::Sending => "being sent",
        State::Uncertain => "uncertain",
        State::Held => "held",
        State::Rejected => "rejected",
        State::Quarantined => "quarantined",
        State::Erased => "erased",
        State::Gone => "gone",
        State::NeverSeen => "never seen",
        State::NotInList => "not in the list",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::story::{Delivery, Named};
    use driftless_model::Operation;

    #[test]
    fn the_story_names_state_membership_changes_and_deliveries() {
        let story = Story {
            sync: "crm".into(),
            key_hash: "00ff".into(),
            state: State::InSync,
            summary: "It is in the list.".into(),
            in_selection: true,
            member: true,
            member_since: Some("2026-01-05T06:00:00Z".into()),
            last_acknowledged_at: None,
            remote_id: None,
            identifiers: vec![Named { field: "email".into(), value: "a@example.com".into() }],
            changes: vec![Change {
                version: 3,
                op: ChangeOp::Add,
                snapshot: Some("datasets/acme/customers/a.parquet".into()),
                snapshot_time: "2026-01-05T05:00:00Z".into(),
                logged_at: String::new(),
                committed_at: None,
                superseded_by: None,
                run: Some("r1".into()),
                call: Some(2),
                outcome: Some("delivered"),
                at: Some("2026-01-05T06:00:00Z".into()),
            }],
            deliveries: vec![Delivery {
                run: "r1".into(),
                run_state: "committed",
                call: Some(2),
                operation: Operation::Add,
                outcome: "delivered",
                reason: None,
                at: "2026-01-05T06:00:00Z".into(),
            }],
            rejects: Vec::new(),
            holds: Vec::new(),
            last_error: None,
            notes: vec!["versions before 3 have expired".into()],
        };
        let text = render(&story, "c1");
        for part in [
            "c1 in crm: in sync",
            "member since  2026-01-05T06:00:00Z",
            "email=a@example.com",
            "entered with datasets/acme/customers/a.parquet (version 3)",
            "delivered by run r1 call 2 at 2026-01-05T06:00:00Z",
            "add delivered (run r1 call 2, committed)",
            "versions before 3 have expired",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }
}
