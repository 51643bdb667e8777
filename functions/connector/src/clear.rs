//! A call that clears a list, and the rows that leave by it.

use driftless_connector::{Capabilities, Connector, Driven, OutRow, Pacer, Replace, Work, drive};
use driftless_model::{Clock, Outcome};

/// Clears the list of everybody whom the run has not put there. The rows of such a call make no request of their own: they are
/// who leaves by it, and all of them share its fate.
///
/// Where a session replaces the list nothing is asked: the call comes after the last part, and who is in none of the parts is
/// out of the list since that was acknowledged.
pub(crate) async fn clear(connector: &dyn Connector, pacer: &dyn Pacer, clock: &dyn Clock, work: Work<'_>) -> Driven {
    let driven = if replaced_by_session(connector.capabilities()) {
        nothing_asked()
    } else {
        drive(connector, pacer, clock, Work { rows: &[], ..work }).await
    };
    shared_fate(work.rows, driven)
}

/// Who leaves by a new list: that has been loaded without them, and nothing is asked for.
pub(crate) fn leave(work: &Work<'_>) -> Driven {
    shared_fate(work.rows, nothing_asked())
}

fn replaced_by_session(capabilities: &Capabilities) -> bool {
    matches!(capabilities.replace, Some(Replace::Session { .. }))
}

fn nothing_asked() -> Driven {
    Driven::default()
}

fn shared_fate(rows: &[(u32, OutRow)], driven: Driven) -> Driven {
    let outcome = match (&driven.stop, driven.unanswered || !driven.jobs.is_empty()) {
        (None, _) => Outcome::Delivered,
        (Some(_), true) => Outcome::Unknown,
        (Some(_), false) => Outcome::Retry,
    };
    let outcomes = rows.iter().map(|(number, _)| (*number, outcome.clone().into())).collect();
    Driven { outcomes, ..driven }
}

#[cfg(test)]
mod tests {
    use driftless_connector::Stop;
    use driftless_model::{IdentifierSet, RecordKey};
    use serde_json::Map;

    use super::*;

    fn outcome(driven: Driven) -> Outcome {
        let row =
            OutRow { key: RecordKey::new("k"), identifiers: IdentifierSet::new(), remote_id: None, fields: Map::new() };
        let driven = shared_fate(&[(7, row)], driven);
        driven.outcomes.get(&7).expect("every row has an outcome (DL-3)").outcome.clone()
    }

    #[test]
    fn who_leaves_by_a_clearing_call_shares_its_fate() {
        assert_eq!(outcome(nothing_asked()), Outcome::Delivered);
        let down = || Driven { stop: Some(Stop::Deadline), ..nothing_asked() };
        assert_eq!(outcome(down()), Outcome::Retry);
        assert_eq!(outcome(Driven { unanswered: true, ..down() }), Outcome::Unknown, "it may have been cleared");
    }
}
