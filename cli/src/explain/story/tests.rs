use driftless_deltalog::head::{RetiredBy, VersionEntry, VersionKind};
use driftless_deltalog::item::LogItem;
use driftless_deltalog::ledger::Reject;
use driftless_model::{
    AckRow, Acknowledged, AttrHash, Identifier, KeyHash, Millis, RecordKey, RecordState, RunId, SnapshotOrder, Token,
};

use super::*;
use crate::explain::facts::Standing;

const K: KeyHash = KeyHash(7);

fn state_of(hash: u64) -> RecordState {
    let identifiers = [Identifier::new("email", "a@example.com")].into();
    RecordState { key: RecordKey::new("a"), attr_hash: AttrHash(hash), identifiers }
}

fn row(hash: Option<u64>) -> AckRow {
    let mut row = AckRow::unacknowledged(K, RecordKey::new("a"));
    row.identifiers = state_of(0).identifiers;
    row.acknowledged = hash.map(|h| Acknowledged { attr_hash: AttrHash(h), identifiers: row.identifiers.clone() });
    row.added_at = Some(Millis(1_000));
    row.last_sent_at = Some(Millis(2_000));
    row
}

fn version(number: u64, op: Option<ChangeOp>, hash: Option<u64>) -> VersionFact {
    let order = SnapshotOrder { version: None, modified: Millis(500), key: format!("s{number}"), sequencer: None };
    let entry = VersionEntry {
        token: Token::new("t"),
        kind: VersionKind::Items,
        count: 1,
        adds: 1,
        updates: 0,
        removals: 0,
        order,
        logged_at: Millis(600),
    };
    let item = op.map(|op| LogItem {
        key_hash: K,
        key: RecordKey::new("a"),
        op,
        attr_hash: hash.map(AttrHash),
        identifiers: state_of(0).identifiers,
        updated_at: Millis(500),
        committed_at: None,
        superseded_by: None,
        expires_at: None,
    });
    VersionFact { number, entry, retired: None, item }
}

fn sent(run: &str, through: u64, operation: Operation, sent: Sent) -> DeliveryFact {
    DeliveryFact {
        run: RunId::new(run),
        run_state: "committed",
        through,
        planned_at: Millis(700),
        call: Some(0),
        operation,
        sent,
        last_error: None,
    }
}

#[allow(clippy::option_option)] // not a member; a member, but uncertain; acknowledged with this hash
fn facts(selected: Option<u64>, acknowledged: Option<Option<u64>>) -> Facts {
    Facts {
        sync: "crm".parse().unwrap(),
        key_hash: K,
        now: Millis(10_000_000),
        erased: false,
        standing: Standing { selected: selected.map(state_of), acknowledged: acknowledged.map(row) },
        comparable: true,
        versions: Vec::new(),
        deliveries: Vec::new(),
        compared_at: None,
        expired_runs: 0,
        rejects: Vec::new(),
        attempt_limit: 3,
        holds: Vec::new(),
        has_snapshot: true,
    }
}

#[test]
fn the_state_is_what_the_next_run_would_do() {
    let of = |d, a| story(&facts(d, a)).state;
    assert_eq!(of(Some(1), Some(Some(1))), State::InSync);
    assert_eq!(of(Some(1), None), State::ToAdd);
    assert_eq!(of(Some(2), Some(Some(1))), State::ToUpdate);
    assert_eq!(of(None, Some(Some(1))), State::ToRemove);
    assert_eq!(of(Some(1), Some(None)), State::Uncertain);
    assert_eq!(of(None, Some(None)), State::Uncertain);
    assert_eq!(of(None, None), State::NeverSeen);
}

#[test]
fn what_a_comparison_has_found_is_told_as_that() {
    let told = |selected, deliveries| {
        let f = Facts { compared_at: Some(Millis(9_000_000)), deliveries, ..facts(selected, Some(None)) };
        story(&f).summary
    };
    assert!(told(Some(1), Vec::new()).contains("was not in the list when that was compared at"));
    assert!(told(None, Vec::new()).contains("was in the list when that was compared at"));
    let unanswered = DeliveryFact { planned_at: Millis(9_500_000), ..sent("r9", 3, Operation::Add, Sent::Unanswered) };
    assert!(told(Some(1), vec![unanswered]).contains("no answer came"), "sent since");
}

#[test]
fn a_changed_configuration_sends_what_is_equal_again() {
    let f = Facts { comparable: false, ..facts(Some(1), Some(Some(1))) };
    let told = story(&f);
    assert_eq!(told.state, State::ToUpdate);
    assert!(told.summary.contains("configuration"), "{}", told.summary);
}

#[test]
fn a_delivered_add_names_snapshot_version_run_call_and_time() {
    let mut f = facts(Some(1), Some(Some(1)));
    f.versions = vec![version(1, Some(ChangeOp::Add), Some(1)), version(2, None, None)];
    f.deliveries = vec![sent("r1", 1, Operation::Add, Sent::Settled(Outcome::Delivered, Millis(2_000)))];
    let told = story(&f);
    let change = told.changes.first().unwrap();
    assert_eq!((change.version, change.snapshot.as_deref(), change.run.as_deref()), (1, Some("s1"), Some("r1")));
    assert_eq!(
        (change.call, change.outcome, change.at.as_deref()),
        (Some(0), Some("delivered"), Some("1970-01-01T00:00:02Z"))
    );
    assert!(told.notes.is_empty(), "{:?}", told.notes);
    assert_eq!(told.last_error, None);
}

#[test]
fn each_change_is_told_with_its_own_delivery() {
    let mut f = facts(None, None);
    f.versions = vec![version(1, Some(ChangeOp::Add), Some(1)), version(3, Some(ChangeOp::Remove), None)];
    f.deliveries = vec![
        sent("r1", 2, Operation::Add, Sent::Settled(Outcome::Delivered, Millis(2_000))),
        sent("r2", 3, Operation::Remove, Sent::Settled(Outcome::Delivered, Millis(3_000))),
    ];
    let told = story(&f);
    assert_eq!(told.state, State::Gone);
    let runs: Vec<_> = told.changes.iter().map(|c| c.run.as_deref().unwrap()).collect();
    assert_eq!(runs, ["r1", "r2"]);
}

#[test]
fn after_expiry_a_member_was_acknowledged_and_never_never_sent() {
    let mut f = facts(Some(1), Some(Some(1)));
    f.versions =
        vec![VersionFact { retired: Some((RetiredBy::Run(RunId::new("r1")), Millis(0), 5)), ..version(4, None, None) }];
    f.expired_runs = 2;
    let told = story(&f);
    assert_eq!(told.state, State::InSync);
    assert!(told.notes.contains(&"acknowledged at or before 1970-01-01T00:00:02Z; detail expired".to_owned()));
    assert!(told.notes.contains(&"versions before 4 have expired".to_owned()), "{:?}", told.notes);
    let absent = Facts { standing: Standing::default(), ..f };
    assert_eq!(story(&absent).state, State::NotInList);
}

#[test]
fn rejections_count_until_quarantine_and_only_for_the_present_state() {
    let reject = |hash, attempts| Reject {
        key_hash: K,
        attr_hash: AttrHash(hash),
        attempts,
        last_run: RunId::new("r1"),
        reason: "422".into(),
        at: Millis(0),
    };
    let of = |r| story(&Facts { rejects: vec![r], ..facts(Some(1), None) });
    assert_eq!(of(reject(1, 1)).state, State::Rejected);
    assert_eq!(of(reject(1, 3)).state, State::Quarantined);
    assert_eq!(of(reject(2, 3)).state, State::ToAdd);
    assert_eq!(of(reject(1, 1)).last_error.as_deref(), Some("422"));
}

#[test]
fn a_hold_keeps_back_who_leaves_or_enters_and_not_who_changes() {
    let hold = HoldFact { version: 2, reason: "max_removals".into(), since: Millis(0), approved_at: None, count: 9 };
    let of = |d, a| story(&Facts { holds: vec![hold.clone()], ..facts(d, a) });
    assert_eq!(of(None, Some(Some(1))).state, State::Held);
    assert_eq!(of(Some(2), Some(Some(1))).state, State::ToUpdate);
    let command = &of(None, Some(Some(1))).holds.first().unwrap().approve_command.clone();
    assert_eq!(command, "driftless approve crm --version 2 --ceiling 9");
}

#[test]
fn an_unanswered_row_is_in_flight_until_its_run_is_over() {
    let mut f = facts(Some(1), None);
    f.deliveries = vec![DeliveryFact { run_state: "open", ..sent("r1", 1, Operation::Add, Sent::Unanswered) }];
    let told = story(&f);
    assert_eq!((told.state, told.deliveries.first().unwrap().outcome), (State::Sending, "in_flight"));
    f.deliveries = vec![sent("r1", 1, Operation::Add, Sent::Unanswered)];
    assert_eq!(story(&f).deliveries.first().unwrap().outcome, "unknown");
}

#[test]
fn an_erased_record_that_is_still_there_is_to_be_removed_first() {
    assert_eq!(story(&Facts { erased: true, ..facts(None, Some(Some(1))) }).state, State::ToRemove);
    assert_eq!(story(&Facts { erased: true, ..facts(None, None) }).state, State::Erased);
}
