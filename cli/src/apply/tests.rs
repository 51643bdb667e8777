//! `apply` and the commands that change a registered sync, on the stores in memory.

use std::path::Path;

use clap::Parser;
use driftless_config::load_project;
use driftless_delivery::Message;
use driftless_deltalog::head::Head;
use driftless_model::SyncId;

use super::entry::Meaning;
use super::work::Work;
use crate::args::{Cli, Command};
use crate::session::Session;
use crate::session::testing::{Stores, session};

pub(crate) const SYNC: &str = "\
version: 1
dataset: acme/customers
key: id
mapping:
  email: { column: email, identifier: true }
destination: api
list: news
";

const DESTINATION: &str = "\
version: 1
kind: rest
base_url: https://api.example.com
add: { method: POST, path: /add }
remove: { method: POST, path: /remove }
";

pub(crate) fn project(dir: &Path, sync: Option<&str>) {
    std::fs::create_dir_all(dir.join("syncs")).unwrap();
    std::fs::create_dir_all(dir.join("destinations")).unwrap();
    std::fs::write(dir.join("destinations/api.yaml"), DESTINATION).unwrap();
    std::fs::write(dir.join("syncs/other.yaml"), SYNC.replace("news", "other")).unwrap();
    match sync {
        Some(text) => std::fs::write(dir.join("syncs/news.yaml"), text).unwrap(),
        None => std::fs::remove_file(dir.join("syncs/news.yaml")).unwrap(),
    }
}

pub(crate) async fn apply(session: &Session, dir: &Path) -> Work {
    let loaded = load_project(dir);
    assert_eq!(loaded.problems, []);
    let work = Work::find(session, &loaded).await.unwrap();
    work.carry_out(session, |_| {}).await.unwrap();
    work
}

fn asked(stores: &Stores) -> Vec<Message> {
    let messages = stores.queue.messages("memory:driftless-dev-ingest");
    messages.iter().map(|m| Message::parse(&m.body).unwrap()).collect()
}

pub(crate) fn news() -> SyncId {
    "news".parse().unwrap()
}

#[tokio::test]
async fn applying_twice_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), Some(SYNC));
    let (session, stores) = session();
    assert!(!apply(&session, dir.path()).await.is_empty());
    let (entries, messages) = (session.log.syncs().await.unwrap(), asked(&stores));
    assert_eq!((entries.len(), messages.len(), stores.schedules.0.lock().unwrap().len()), (2, 2, 2));
    let again = apply(&session, dir.path()).await;
    assert!(again.is_empty(), "{:?}", again.told());
    assert_eq!((session.log.syncs().await.unwrap(), asked(&stores)), (entries, messages));
}

#[tokio::test]
async fn what_is_stored_is_what_the_functions_read() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), Some(SYNC));
    let (session, _) = session();
    apply(&session, dir.path()).await;
    let entry = session.entry(&news()).await.unwrap();
    let loaded = load_project(dir.path());
    assert_eq!(
        driftless_state::documents::sync(session.objects.as_ref(), &entry).await.unwrap(),
        loaded.syncs[&news()]
    );
    assert_eq!((entry.names.list.as_str(), entry.names.kind.as_str()), ("news", "rest"));
    assert_eq!(entry.names.source, "s3://bucket/datasets/acme/customers/");
}

#[tokio::test]
async fn a_sync_without_a_clock_has_no_schedule_and_one_that_is_gone_neither() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), Some(SYNC));
    let (session, stores) = session();
    apply(&session, dir.path()).await;
    project(dir.path(), Some(&format!("{SYNC}schedule: manual\n")));
    let work = apply(&session, dir.path()).await;
    assert_eq!(work.syncs.iter().map(|s| s.meaning).collect::<Vec<_>>(), [Meaning::Settings, Meaning::Same]);
    assert!(stores.schedules.0.lock().unwrap().keys().eq(["other"]));
    project(dir.path(), None);
    let work = apply(&session, dir.path()).await;
    assert!(work.drastic().concat().contains("sync news is no longer in the project"));
    assert_eq!(session.log.sync(&news()).await.unwrap(), None);
}

#[tokio::test]
async fn a_list_is_compared_by_a_schedule_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), Some(&format!("{SYNC}reconcile: {{ schedule: daily }}\n")));
    let (session, stores) = session();
    apply(&session, dir.path()).await;
    let rule = stores.schedules.0.lock().unwrap().get("news.cmp").cloned().unwrap();
    let Message::Compare { sync, tick, dry_run, .. } = Message::parse(&rule.input).unwrap() else { panic!("{rule:?}") };
    assert_eq!((sync, dry_run, rule.expression.as_str()), (news(), false, "cron(0 3 * * ? *)"));
    let plan = stores.schedules.0.lock().unwrap().get("news").cloned().unwrap();
    let Message::Plan { tick: planned, .. } = Message::parse(&plan.input).unwrap() else { panic!("{plan:?}") };
    assert_ne!(tick, planned, "at the same minute they are two ticks");
    assert!(apply(&session, dir.path()).await.is_empty());
    project(dir.path(), None);
    apply(&session, dir.path()).await;
    assert!(stores.schedules.0.lock().unwrap().keys().eq(["other"]));
}

#[tokio::test]
async fn a_recreated_sync_has_a_new_incarnation() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), Some(SYNC));
    let (session, _) = session();
    apply(&session, dir.path()).await;
    let entry = session.entry(&news()).await.unwrap();
    let head = Head::new(news(), entry.incarnation, entry.names, entry.config);
    assert_eq!(session.log.create_head(&head).await.unwrap(), driftless_deltalog::head::Swap::Done);
    project(dir.path(), None);
    apply(&session, dir.path()).await;
    project(dir.path(), Some(SYNC));
    apply(&session, dir.path()).await;
    assert_eq!(session.entry(&news()).await.unwrap().incarnation, entry.incarnation + 1);
}

#[tokio::test]
async fn pausing_and_resyncing_survive_an_apply() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), Some(SYNC));
    let (session, stores) = session();
    apply(&session, dir.path()).await;
    run(&["driftless", "pause", "news"], &session).await;
    run(&["driftless", "resync", "news"], &session).await;
    let before = session.entry(&news()).await.unwrap();
    assert!(before.paused);
    assert_eq!(before.config.epoch, 2);
    let last = asked(&stores).pop().unwrap();
    assert!(matches!(last, Message::Ingest { then_plan: Some(_), .. }), "{last:?}");
    assert!(apply(&session, dir.path()).await.is_empty());
    assert_eq!(session.entry(&news()).await.unwrap(), before);
}

/// Runs a command as it is typed.
pub(crate) async fn run(arguments: &[&str], session: &Session) {
    let cli = Cli::parse_from(arguments.iter().chain(&["--json"]));
    match cli.command {
        Command::Pause(c) => c.run(session, true).await.unwrap(),
        Command::Resync(c) => c.run(session, true).await.unwrap(),
        Command::Erase(c) => c.run(session, true).await.unwrap(),
        _ => unreachable!("only these are run here"),
    };
}

#[tokio::test]
async fn erasing_somebody_unknown_leaves_no_trace_but_the_tombstone() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), Some(SYNC));
    let (session, stores) = session();
    apply(&session, dir.path()).await;
    run(&["driftless", "erase", "acme/customers", "c1", "--yes"], &session).await;
    let dataset = "acme/customers".parse().unwrap();
    assert_eq!(session.log.tombstones(&dataset).await.unwrap().len(), 1);
    let head = session.log.head(&news()).await.unwrap().unwrap();
    assert_eq!((head.version, head.versions[&1].count), (1, 0));
    assert_eq!(stores.queue.messages("memory:driftless-dev-planner").len(), 2);
}
