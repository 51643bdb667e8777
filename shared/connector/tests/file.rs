//! `file`: what lies in the bucket at each step, for readers who may come at any time.
#![allow(clippy::unwrap_used, clippy::case_sensitive_file_extension_comparisons)] // the keys are ours

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use driftless_connector::{
    Answered, Batch, Connector, FetchedSecrets, FileTrouble, ListState, Open, OutRow, Ports, Replace, Session, Stop,
    build, build_with, capabilities_of,
};
use driftless_model::{Clock, Identifier, Millis, Operation, RecordKey};
use serde_json::{Map, Value, json};
use support::{
    deliver, destination,
    files::{Broken, MemoryBucket},
    letters, local,
};

/// A clock that is a millisecond later each time.
#[derive(Default)]
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Millis {
        Millis(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

const LINES: &str = "format: {json_lines: {}}";
const CSV: &str = "format: {csv: {columns: [email, first_name]}}";
const ROOT: &str = "lists/news/";

fn described(more: &str) -> String {
    format!("version: 1\nkind: file\nbucket: drop\nrecords: 4\n{more}\n")
}

fn open(bucket: &MemoryBucket, list: &str, more: &str) -> Box<dyn Connector> {
    let ports = Ports { clock: Some(Arc::new(Ticking::default())), buckets: Some(Arc::new(bucket.clone())) };
    build_with(&destination(&described(more)), list, &FetchedSecrets::default(), local(), &ports).unwrap()
}

fn person(number: u32, name: &str) -> OutRow {
    let email = format!("p{number}@example.com");
    OutRow {
        key: RecordKey::new(format!("c{number}")),
        identifiers: [Identifier::new("email", email.clone())].into(),
        remote_id: None,
        fields: json!({ "email": email, "first_name": name }).as_object().unwrap().clone(),
    }
}

fn people(numbers: impl IntoIterator<Item = u32>) -> Vec<(u32, OutRow)> {
    numbers.into_iter().map(|n| (n, person(n, "N"))).collect()
}

fn gone(numbers: impl IntoIterator<Item = u32>) -> Vec<(u32, OutRow)> {
    people(numbers).into_iter().map(|(n, row)| (n, OutRow { fields: Map::new(), ..row })).collect()
}

fn emails(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
    numbers.into_iter().map(|n| format!("p{n}@example.com")).collect()
}

fn members(bucket: &MemoryBucket) -> BTreeSet<String> {
    bucket.read_as_a_consumer(ROOT).into_keys().collect()
}

async fn listed(connector: &dyn Connector) -> BTreeSet<String> {
    let (mut found, mut cursor) = (BTreeSet::new(), None);
    loop {
        let page = connector.list(cursor, &Open).await.unwrap();
        found.extend(page.members.into_iter().flat_map(|m| m.identifiers).map(|i| i.value));
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

/// Sends one part of a session.
async fn part(connector: &dyn Connector, number: u64, part: u32, parts: u32, rows: &[(u32, OutRow)]) -> Answered {
    let rows: Vec<OutRow> = rows.iter().map(|(_, row)| row.clone()).collect();
    let batch = Batch {
        operation: Operation::Add,
        rows: &rows,
        idempotency_key: "run-1-0-add-00",
        session: Some(Session { number, part, parts, records: 99 }),
        timeout: Duration::from_secs(30),
        gate: &Open,
    };
    connector.send(&batch).await.is
}

fn delivered(answered: &Answered) -> bool {
    matches!(answered, Answered::Rows(rows) if !rows.is_empty())
}

#[tokio::test]
async fn changes_are_files_that_a_manifest_names() {
    let bucket = MemoryBucket::default();
    let connector = open(&bucket, "news", LINES);
    assert_eq!(connector.inspect().await, Ok(ListState::Empty));
    let added = deliver(&*connector, Operation::Add, &people(0..10)).await;
    // Three files of at most four records, and a manifest each.
    assert_eq!((letters(&added), added.requests), ("D".repeat(10), 6));
    assert_eq!(deliver(&*connector, Operation::Remove, &gone([3, 4])).await.stop, None);
    let renamed = vec![(5, person(5, "New"))];
    assert_eq!(letters(&deliver(&*connector, Operation::Update, &renamed).await), "D");
    assert_eq!(members(&bucket), emails((0..3).chain(5..10)));
    assert_eq!(bucket.read_as_a_consumer(ROOT)["p5@example.com"], "New");
    assert_eq!(listed(&*connector).await, members(&bucket));
    assert_eq!(connector.inspect().await, Ok(ListState::NotEmpty));

    // The same call again writes nothing.
    let before = bucket.files();
    deliver(&*connector, Operation::Remove, &gone([3, 4])).await;
    assert_eq!(bucket.files(), before);
}

#[tokio::test]
async fn wherever_we_die_no_reader_sees_half_and_the_same_call_completes_it() {
    for (broken, wanted) in [
        (vec![Some(Broken::LosesRequest)], emails([])),
        (vec![Some(Broken::LosesAnswer)], emails([])),
        (vec![None, Some(Broken::LosesRequest)], emails([])),
        (vec![None, Some(Broken::LosesAnswer)], emails(0..3)),
    ] {
        let bucket = MemoryBucket::default();
        let connector = open(&bucket, "news", LINES);
        let rows: Vec<OutRow> = people(0..3).into_iter().map(|(_, row)| row).collect();
        let batch = Batch {
            operation: Operation::Add,
            rows: &rows,
            idempotency_key: "r1-01JZ.7-0-add-ab",
            session: None,
            timeout: Duration::from_secs(30),
            gate: &Open,
        };
        bucket.breaks(broken);
        let answer = connector.send(&batch).await;
        assert!(matches!(answer.is, Answered::NoAnswer { .. }), "{:?}", answer.is);
        assert_eq!(members(&bucket), wanted);
        assert!(delivered(&connector.send(&batch).await.is));
        assert_eq!(members(&bucket), emails(0..3));
        assert_eq!(bucket.files().len(), 2, "no file twice");
    }
}

#[tokio::test]
async fn a_bucket_that_throttles_is_waited_for_and_one_that_refuses_stops_the_call() {
    let bucket = MemoryBucket::default();
    let connector = open(&bucket, "news", LINES);
    bucket.breaks([Some(Broken::Refused(FileTrouble::Throttled { after: None }))]);
    assert_eq!(letters(&deliver(&*connector, Operation::Add, &people(0..2)).await), "DD");
    bucket.breaks([Some(Broken::Refused(FileTrouble::Denied { reason: "AccessDenied".into() }))]);
    let refused = deliver(&*connector, Operation::Add, &people(5..7)).await;
    assert_eq!((letters(&refused).as_str(), refused.stop), ("RR", Some(Stop::Fatal { reason: "AccessDenied".into() })));
}

#[tokio::test]
async fn a_whole_list_is_published_by_its_last_part_and_not_before() {
    for mode in ["deltas", "full"] {
        let bucket = MemoryBucket::default();
        let connector = open(&bucket, "news", &format!("{LINES}\nmode: {mode}"));
        if mode == "deltas" {
            deliver(&*connector, Operation::Add, &people(90..92)).await;
        }
        let before = members(&bucket);
        // The middle parts come in any order, and twice.
        for (number, rows) in [(1, 0..4), (3, 8..12), (2, 4..8), (3, 8..12)] {
            assert!(delivered(&part(&*connector, 7, number, 4, &people(rows)).await));
            assert_eq!(members(&bucket), before);
        }
        assert!(delivered(&part(&*connector, 7, 4, 4, &people(12..14)).await));
        assert_eq!(members(&bucket), emails(0..14), "{mode}");
        assert_eq!(listed(&*connector).await, emails(0..14));
        let files = bucket.files();
        assert!(delivered(&part(&*connector, 7, 4, 4, &people(12..14)).await));
        let same = |name: &str| bucket.files()[&format!("{ROOT}{name}")] == files[&format!("{ROOT}{name}")];
        assert!(
            same("current.json") && same("full/0000000000000000007/manifest.json"),
            "the last part again changes nothing"
        );

        // A new session replaces all of it; changes go on from there.
        assert!(delivered(&part(&*connector, 8, 1, 1, &people(20..23)).await));
        assert_eq!(members(&bucket), emails(20..23));
        if mode == "deltas" {
            deliver(&*connector, Operation::Add, &people(30..31)).await;
            assert_eq!(members(&bucket), emails((20..23).chain([30])));
            assert_eq!(listed(&*connector).await, members(&bucket));
        }
    }
}

#[tokio::test]
async fn a_session_that_misses_a_part_publishes_nothing() {
    let bucket = MemoryBucket::default();
    let connector = open(&bucket, "news", &format!("{LINES}\nmode: full"));
    part(&*connector, 7, 1, 3, &people(0..4)).await;
    let last = part(&*connector, 7, 3, 3, &people(8..9)).await;
    assert!(matches!(&last, Answered::Unavailable { reason } if reason.contains("missing")), "{last:?}");
    assert_eq!(members(&bucket), emails([]));
    part(&*connector, 7, 2, 3, &people(4..8)).await;
    assert!(delivered(&part(&*connector, 7, 3, 3, &people(8..9)).await));
    assert_eq!(members(&bucket), emails(0..9));
}

#[tokio::test]
async fn wherever_the_last_part_dies_it_is_completed_and_an_older_list_never_takes_over() {
    for at in 0..4 {
        for broken in [Broken::LosesRequest, Broken::LosesAnswer] {
            let bucket = MemoryBucket::default();
            let connector = open(&bucket, "news", &format!("{LINES}\nmode: full"));
            part(&*connector, 7, 1, 2, &people(0..4)).await;
            let mut breaks = vec![None; at];
            breaks.push(Some(broken));
            bucket.breaks(breaks);
            let first = part(&*connector, 7, 2, 2, &people(4..6)).await;
            assert!(matches!(first, Answered::NoAnswer { .. }), "{at}: {first:?}");
            assert!(delivered(&part(&*connector, 7, 2, 2, &people(4..6)).await), "{at}");
            assert_eq!(members(&bucket), emails(0..6));
        }
    }
    // Session 7 made its manifest and died; session 8 was published; 7 comes back.
    let bucket = MemoryBucket::default();
    let connector = open(&bucket, "news", &format!("{LINES}\nmode: full"));
    bucket.breaks([None, None, None, Some(Broken::LosesRequest)]);
    part(&*connector, 7, 1, 1, &people(0..2)).await;
    assert!(delivered(&part(&*connector, 8, 1, 1, &people(5..7)).await));
    let late = part(&*connector, 7, 1, 1, &people(0..2)).await;
    assert!(matches!(&late, Answered::Unavailable { reason } if reason.contains("newer")), "{late:?}");
    assert_eq!(members(&bucket), emails(5..7));
}

#[tokio::test]
async fn a_list_that_is_written_once_is_never_written_again() {
    let bucket = MemoryBucket::default();
    let more = format!("{LINES}\nmode: once");
    let first = open(&bucket, "news", &more);
    assert_eq!(first.create_list("news-2").await, Ok("news-2".into()));
    part(&*first, 7, 1, 2, &people(0..4)).await;
    assert!(delivered(&part(&*first, 7, 2, 2, &people(4..5)).await));
    assert!(delivered(&part(&*first, 7, 2, 2, &people(4..5)).await), "the same again is no change");
    let refused = part(&*first, 8, 1, 1, &people(9..10)).await;
    assert!(matches!(&refused, Answered::Fatal { reason } if reason.contains("new list")), "{refused:?}");
    assert_eq!(members(&bucket), emails(0..5));
    assert_eq!(listed(&*first).await, emails(0..5));
    assert!(!bucket.files().contains_key(&format!("{ROOT}current.json")));
    let second = open(&bucket, "news-2", &more);
    assert!(delivered(&part(&*second, 8, 1, 1, &people(9..10)).await));
    assert_eq!(listed(&*second).await, emails([9]));
    let capabilities = capabilities_of(&destination(&described(&more)));
    assert!(capabilities.new_list && capabilities.add.is_none());
    assert!(matches!(capabilities.replace, Some(Replace::Session { .. })));
}

#[tokio::test]
async fn a_file_that_is_not_what_its_manifest_says_is_not_read() {
    let bucket = MemoryBucket::default();
    let connector = open(&bucket, "news", LINES);
    deliver(&*connector, Operation::Add, &people(0..2)).await;
    let data = bucket
        .files()
        .into_keys()
        .find(|key| std::path::Path::new(key).extension().is_some_and(|e| e == "jsonl"))
        .unwrap();
    bucket.remove(&data);
    let failure = connector.list(None, &Open).await.unwrap_err();
    assert!(failure.to_string().contains("not what its manifest says"), "{failure}");
}

/// Prints the rows of a CSV file as JSON, by another implementation of RFC 4180.
const READER: &str = "
import csv, io, json, sys
text = sys.stdin.buffer.read().decode('utf-8')
assert not text.startswith('\\ufeff') and '\\r\\n' not in text.replace('\"\\r\\n', '')
print(json.dumps(list(csv.DictReader(io.StringIO(text, newline='')))))
";

#[tokio::test]
async fn another_reader_of_csv_finds_what_was_written() {
    let bucket = MemoryBucket::default();
    let mut rows = people(0..2);
    rows[0].1.fields.insert("first_name".into(), json!("Zoë \"Z\", the\nfirst"));
    rows[1].1.fields.insert("first_name".into(), json!("=1+1"));
    deliver(&*open(&bucket, "news", CSV), Operation::Add, &rows).await;
    let csv = bucket
        .files()
        .into_iter()
        .find(|(key, _)| std::path::Path::new(key).extension().is_some_and(|e| e == "csv"))
        .unwrap()
        .1
        .0;
    let mut reader = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    reader.stdin.take().unwrap().write_all(&csv).unwrap();
    let said = reader.wait_with_output().unwrap();
    let read: Vec<BTreeMap<String, String>> = serde_json::from_slice(&said.stdout).unwrap();
    let row = |number: u32, name: &str| -> BTreeMap<String, String> {
        let email = format!("p{number}@example.com");
        [("operation", "add"), ("key", &format!("c{number}")), ("email", &email), ("first_name", name)]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into()
    };
    assert_eq!(read, [row(0, "Zoë \"Z\", the\nfirst"), row(1, "=1+1")]);
    assert_eq!(listed(&*open(&bucket, "news", CSV)).await, emails(0..2));
    let manifest = bucket
        .files()
        .into_iter()
        .find(|(key, _)| std::path::Path::new(key).extension().is_some_and(|e| e == "json"))
        .unwrap()
        .1
        .0;
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["schema"]["columns"], json!(["operation", "key", "email", "first_name"]));
    assert_eq!(manifest["schema"]["identifiers"], json!(["email"]));
}

#[test]
fn without_buckets_it_is_not_built() {
    let refused = build(&destination(&described(LINES)), "news", &FetchedSecrets::default(), local()).err().unwrap();
    assert_eq!(refused.to_string(), "this destination needs access to buckets, which is not there");
}

/// The conformance suite, and the simulation of twenty snapshots, with a reader that follows manifests.
#[cfg(feature = "conformance")]
mod suites {
    use async_trait::async_trait;
    use driftless_connector::conformance::{Fault, Login, Manners, Refuses, Remote, Subject, VirtualTime, conforms};

    use driftless_model::IdentifierSet;

    use super::*;
    use crate::support::{
        faults::Faults,
        row_of,
        simulation::{seeds, simulate},
    };

    fn all_values(identifiers: &IdentifierSet) -> BTreeSet<String> {
        identifiers.iter().map(|identifier| identifier.value.clone()).collect()
    }

    struct Side {
        bucket: MemoryBucket,
        faults: Faults,
    }

    impl Side {
        fn new() -> Self {
            let faults = Faults::default();
            Self { bucket: MemoryBucket::behind(faults.clone()), faults }
        }

        fn read(&self) -> BTreeMap<String, String> {
            self.bucket.read_as_a_consumer(ROOT)
        }

        fn subject<'a>(&'a self, connector: &'a dyn Connector, time: &'a VirtualTime) -> Subject<'a> {
            let manners = Manners { refuses: Refuses::Silently, login: Login::Fixed, ..Manners::default() };
            Subject::new(connector, self, time, row_of).keeping(all_values).with(manners)
        }
    }

    #[async_trait]
    impl Remote for Side {
        async fn members(&self) -> BTreeSet<String> {
            self.read().into_keys().collect()
        }
        async fn first_names(&self) -> Option<BTreeMap<String, String>> {
            Some(self.read())
        }
        async fn inject(&self, fault: Option<Fault>) {
            self.faults.inject(fault);
        }
    }

    #[tokio::test]
    async fn file_conforms() {
        let (side, time) = (Side::new(), VirtualTime::default());
        let connector = open(&side.bucket, "news", LINES);
        conforms(side.subject(&*connector, &time)).await;
    }

    #[tokio::test]
    async fn file_converges() {
        for seed in seeds() {
            let (side, time) = (Side::new(), VirtualTime::default());
            let connector = open(&side.bucket, "news", LINES);
            simulate(side.subject(&*connector, &time), &side.faults, seed).await;
        }
    }
}
