//! The traces as the stores hold them.

use driftless_deltalog::head::{Append, Head, Swap, VersionEntry, VersionKind};
use driftless_deltalog::item::{ChangeOp, LogItem};
use driftless_model::{AttrHash, Identifier, Millis, SnapshotOrder, SnapshotRef};
use driftless_state::SyncState;

use super::story::{State, Story};
use super::{gather, key_of, story};
use crate::apply::tests::{SYNC, apply, news, project, run};
use crate::session::Session;
use crate::session::testing::session;

/// One snapshot has brought record `c1`, and nothing was sent yet.
async fn taken_up(session: &Session) {
    let entry = session.entry(&news()).await.unwrap();
    let head = Head::new(news(), entry.incarnation, entry.names.clone(), entry.config.clone());
    assert_eq!(session.log.create_head(&head).await.unwrap(), Swap::Done);
    let key = key_of(&["c1".to_owned()]);
    let key_hash = session.hash_key().await.unwrap().key_hash(&key);
    let order = SnapshotOrder { version: None, modified: Millis(5), key: "datasets/a.parquet".into(), sequencer: None };
    let version = VersionEntry {
        token: session.tokens.token(),
        kind: VersionKind::Items,
        count: 1,
        adds: 1,
        updates: 0,
        removals: 0,
        order: order.clone(),
        logged_at: Millis(6),
    };
    let item = LogItem {
        key_hash,
        key,
        op: ChangeOp::Add,
        attr_hash: Some(AttrHash(1)),
        identifiers: [Identifier::new("email", "a@example.com")].into(),
        updated_at: Millis(5),
        committed_at: None,
        superseded_by: None,
        expires_at: None,
    };
    let state = SyncState::new(session.log.as_ref(), session.objects.as_ref(), &head);
    session.log.put_items(&state.partition(1, &version), &[item]).await.unwrap();
    let snapshot = SnapshotRef { order, parts: Vec::new() };
    let append = Append { snapshot, config: head.config.clone(), entry: version, hold: None };
    assert_eq!(session.log.append_version(&news(), &head.guard(), &append).await.unwrap(), Swap::Done);
}

async fn explained(session: &Session, key: &str) -> Story {
    let entry = session.entry(&news()).await.unwrap();
    story(&gather(session, &entry, &key_of(&[key.to_owned()]), |_| {}).await.unwrap())
}

#[tokio::test]
async fn a_record_is_explained_from_the_snapshot_that_brought_it_to_its_erasure() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), Some(SYNC));
    let (session, _) = session();
    apply(&session, dir.path()).await;
    taken_up(&session).await;
    let told = explained(&session, "c1").await;
    assert_eq!((told.state, told.changes.len()), (State::ToAdd, 1));
    assert_eq!(told.changes.first().unwrap().snapshot.as_deref(), Some("datasets/a.parquet"));
    assert_eq!(explained(&session, "c2").await.state, State::NeverSeen);

    run(&["driftless", "erase", "acme/customers", "c1", "--yes"], &session).await;
    let told = explained(&session, "c1").await;
    assert_eq!((told.state, told.changes.len(), told.in_selection), (State::Erased, 2, false));
    assert_eq!(told.changes.last().unwrap().snapshot, None);
    let head = session.log.head(&news()).await.unwrap().unwrap();
    assert_eq!((head.version, head.versions[&2].removals), (2, 1));
}

#[test]
fn a_key_of_several_columns_is_a_json_array() {
    assert_eq!(key_of(&["a\"b".into(), "7".into()]).as_str(), r#"["a\"b","7"]"#);
    assert_eq!(key_of(&["7".into()]).as_str(), "7");
}
