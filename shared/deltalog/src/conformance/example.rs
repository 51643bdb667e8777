//! Values that the suite writes.

use std::collections::BTreeMap;

use driftless_model::{
    AttrHash, Identifier, KeyHash, Millis, ObjectVersion, Operation, RecordKey, RowOutcome, RunId, SnapshotOrder,
    SnapshotRef, SyncId, Token, Usage,
};

use crate::Deltalog;
use crate::head::{
    ActivationGuard, Append, ConfigStamp, DeliveredRun, Fold, Head, HistoryRef, Hold, Names, NewList, OldList, Swap,
    Tick, VersionEntry, VersionKind,
};
use crate::item::{ChangeOp, LogItem, LogPartition};
use crate::ledger::{Call, CallOutcome, Counts, Run, RunState};

pub(super) fn token(text: &str) -> Token {
    Token::new(text)
}

pub(super) fn run_id(text: &str) -> RunId {
    RunId::new(text)
}

pub(super) fn sync(name: &str) -> SyncId {
    name.parse().expect("a valid name")
}

pub(super) fn names() -> Names {
    Names {
        dataset: "acme/customers".parse().expect("a valid dataset"),
        source: "bucket/datasets/acme/customers/".into(),
        kind: "rest".into(),
        destination: "mailer".parse().expect("a valid name"),
        list: "weekly".into(),
    }
}

pub(super) fn config(epoch: u64) -> ConfigStamp {
    ConfigStamp { epoch, fingerprint: format!("fingerprint-{epoch}") }
}

/// The snapshot of the n-th millisecond. Odd ones carry a sequencer, so that both forms of an order are stored.
pub(crate) fn snapshot(n: i64) -> SnapshotRef {
    let key = format!("datasets/acme/customers/{n}.parquet");
    let sequencer = (n % 2 == 1).then(|| format!("{n:016X}"));
    SnapshotRef {
        order: SnapshotOrder { version: None, modified: Millis(n), key: key.clone(), sequencer },
        parts: vec![ObjectVersion { key, version_id: Some(format!("v{n}")), etag: "e".into(), size: 100 }],
    }
}

pub(crate) fn entry(text: &str, n: i64, count: u64) -> VersionEntry {
    VersionEntry {
        token: token(text),
        kind: VersionKind::Items,
        count,
        adds: count,
        updates: 0,
        removals: 0,
        order: snapshot(n).order,
        logged_at: Millis(n + 1),
    }
}

pub(super) fn append(text: &str, n: i64) -> Append {
    Append { snapshot: snapshot(n), config: config(1), entry: entry(text, n, 1), hold: None }
}

pub(super) fn hold(object: &str, count: u64) -> Hold {
    Hold {
        object: object.into(),
        count,
        reason: "max_removals: 200 of 1000".into(),
        since: Millis(5),
        approved_at: None,
    }
}

pub(crate) fn new_head(name: &str) -> Head {
    Head::new(sync(name), 3, names(), config(1))
}

pub(super) fn activation(head: &Head) -> ActivationGuard {
    ActivationGuard {
        incarnation: head.incarnation,
        version: head.version,
        stamp: head.stamp.clone(),
        epoch: head.config.epoch,
        delivered: head.delivered.len(),
    }
}

pub(super) fn tick(id: &str) -> Tick {
    Tick { id: id.into(), expires_at: 4_000_000_000 }
}

pub(super) fn delivered(run: &str, through: u64) -> DeliveredRun {
    DeliveredRun {
        run: run_id(run),
        object: format!("history/delivered/{run}"),
        rows: 7,
        through,
        fingerprint: "fingerprint-1".into(),
        at: Millis(40),
    }
}

/// A fold of everything that the head has committed, and of `run`.
pub(super) fn fold(head: &Head, run: Option<&str>, stamp: &str, through: u64) -> Fold {
    Fold {
        from_stamp: head.stamp.clone(),
        run: run.map(run_id),
        delivered: head.delivered.len(),
        stamp: token(stamp),
        history: HistoryRef {
            object: format!("history/{stamp}"),
            fingerprint: head.config.fingerprint.clone(),
            rows: 12,
        },
        residue: None,
        through,
        by: run_id(run.unwrap_or("janitor")),
        succeeded_at: None,
        new_list: None,
        at: Millis(50),
    }
}

/// A list that a run leaves behind.
pub(super) fn old_list(run: &str, list: crate::head::Named) -> OldList {
    OldList {
        run: run_id(run),
        destination: "mailer".parse().expect("a valid name"),
        list,
        successor: None,
        since: Millis(50),
        failures: 0,
        last_error: None,
    }
}

/// The list of a run takes the place of the one before.
pub(super) fn new_list(head: &Head, run: &str) -> NewList {
    let old = old_list(run, crate::head::Named::Called(head.list().to_owned()));
    let list = format!("list of {run}");
    NewList { old: OldList { successor: Some(list.clone()), ..old }, list }
}

pub(super) fn partition(name: &str, version: u64, text: &str) -> LogPartition {
    LogPartition { sync: sync(name), incarnation: 3, version, token: token(text) }
}

/// Spreads small numbers over the whole range of hashes.
pub(super) fn key(n: u64) -> KeyHash {
    KeyHash(u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(n))
}

/// Every third record left, the others entered or changed.
pub(super) fn item(n: u64) -> LogItem {
    let op = match n % 3 {
        0 => ChangeOp::Add,
        1 => ChangeOp::Update,
        _ => ChangeOp::Remove,
    };
    LogItem {
        key_hash: key(n),
        key: RecordKey::new(format!("customer {n} ü")),
        op,
        attr_hash: (op != ChangeOp::Remove).then_some(AttrHash(n << 40)),
        identifiers: [("email", format!("{n}@example.com")), ("phone", format!("+49{n}"))]
            .into_iter()
            .map(|(field, value)| Identifier::new(field, value))
            .collect(),
        updated_at: Millis(1_700_000_000_000),
        committed_at: None,
        superseded_by: None,
        expires_at: None,
    }
}

pub(super) fn run(name: &str, id: &str) -> Run {
    Run {
        id: run_id(id),
        sync: sync(name),
        through: 4,
        stamp: token("genesis"),
        delivered: 0,
        config: config(1),
        changeset: format!("changesets/{id}"),
        calls: 2,
        phases: 2,
        phase: 0,
        counts: Counts { adds: 3, updates: 2, removals: 1, held: 0, quarantined: 0 },
        rest: None,
        strategy: "delta".into(),
        compares: None,
        cause: "tick".into(),
        state: RunState::Open,
        parkings: 0,
        progress: (0, Millis(0)),
        planned_at: Millis(10),
        deadline: Millis(20),
        committed_at: None,
        result: None,
        list: "list-6".into(),
        new_list: Some("weekly-2".into()),
        usage: Usage { read_units: 5, ..Usage::default() },
    }
}

pub(super) fn call(run: &str, number: u32) -> Call {
    Call {
        run: run_id(run),
        number,
        phase: 0,
        operation: Operation::Add,
        first_row: u64::from(number) * 100,
        rows: 100,
        session: None,
        claim: None,
        lease_until: Millis(0),
        maybe: false,
        progress: None,
        progress_rows: Vec::new(),
        jobs: Vec::new(),
        reading: None,
        outcome: None,
        last_error: None,
    }
}

pub(super) fn outcome(exceptions: impl IntoIterator<Item = (u32, RowOutcome)>) -> CallOutcome {
    CallOutcome {
        exceptions: exceptions.into_iter().collect(),
        remote_ids: BTreeMap::from([(1, "remote-1".into())]),
        unnamed: BTreeMap::from([("NO_CONSENT".into(), 4)]),
        list: Some("list-7".into()),
        requests: 3,
        at: Millis(30),
        usage: Usage { write_units: 2, ..Usage::default() },
    }
}

/// Stores a new head and gives it this many versions, one per snapshot.
pub(super) async fn head_with(store: &dyn Deltalog, name: &str, versions: i64) -> Head {
    super::done(store.create_head(&new_head(name)).await);
    for n in 1..=versions {
        let head = read(store, name).await;
        super::done(store.append_version(&sync(name), &head.guard(), &append(&format!("t{n}"), n)).await);
    }
    read(store, name).await
}

/// Makes the run the active one.
pub(super) async fn activate(store: &dyn Deltalog, name: &str, id: &str) -> Head {
    let head = read(store, name).await;
    let swap = store.activate(&sync(name), &run_id(id), &activation(&head), &tick(&format!("tick of {id}"))).await;
    assert_eq!(swap.expect("the store answers"), Swap::Done);
    read(store, name).await
}

pub(super) async fn read(store: &dyn Deltalog, name: &str) -> Head {
    store.head(&sync(name)).await.expect("the store answers").expect("there is a head")
}
