//! Every file of the Parquet project's own test files is decoded whole, or refused with its place and cause. The table
//! beside this file says which; each is read in a process of its own, within ten seconds and 512 MB.
//!
//! To write the table anew: `DRIFTLESS_WRITE_TABLE=1 cargo test -p driftless-snapshot --test suite parquet_testing`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use driftless_model::Millis;
use driftless_objects::MemoryObjects;
use driftless_snapshot::{Limits, SnapshotError, Source, verify};
use futures::executor::block_on;

use crate::support::test_data;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parquet_testing.tsv");
const MOST_KIB: u64 = 512 << 10;
const MOST_TIME: core::time::Duration = core::time::Duration::from_secs(10);

/// One line: rows, or row group, column and cause.
fn outcome(bytes: Vec<u8>) -> String {
    let objects = MemoryObjects::default();
    let parts = [objects.upload("file", bytes.into(), Millis(0)).object];
    let source = Source { objects: &objects, parts: &parts, limits: &Limits::default() };
    match block_on(verify(source)) {
        Ok(rows) => format!("{rows} rows\t\t\t"),
        Err(SnapshotError::Refused { row_group, column, cause, .. }) => {
            let row_group = row_group.map_or_else(String::new, |g| g.to_string());
            format!("refused\t{row_group}\t{}\t{cause}", column.unwrap_or_default())
        }
        Err(other) => format!("refused\t\t\t{other}"),
    }
}

/// Runs in the child process: reads one file and writes down what became of it and the most memory it took.
#[test]
#[ignore = "run by the table's test, in a process of its own"]
fn one_file() {
    let file = std::env::var_os("DRIFTLESS_ONE_FILE").expect("set by the parent");
    let answer = std::env::var_os("DRIFTLESS_ANSWER").expect("set by the parent");
    std::thread::spawn(|| {
        std::thread::park_timeout(MOST_TIME);
        std::process::abort();
    });
    let line = outcome(std::fs::read(file).expect("readable"));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).map_or("0", |l| l.trim().trim_end_matches(" kB"));
    std::fs::write(answer, format!("{line}\n{peak}")).expect("writable");
}

fn in_a_process(file: &Path, answer: &Path) -> (String, u64) {
    let status = Command::new(std::env::current_exe().expect("a test binary"))
        .args(["parquet_testing::one_file", "--exact", "--ignored", "--test-threads=1"])
        .env("DRIFTLESS_ONE_FILE", file)
        .env("DRIFTLESS_ANSWER", answer)
        .output()
        .expect("it runs");
    assert!(status.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&status.stderr));
    let text = std::fs::read_to_string(answer).expect("an answer");
    let (line, peak) = text.split_once('\n').expect("two lines");
    (line.to_owned(), peak.trim().parse().expect("a number"))
}

fn files(root: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(root).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.to_string_lossy().contains(".parquet")
            && path.extension().is_none_or(|e| e != "json" && e != "md")
        {
            found.push(path);
        }
    }
}

#[test]
fn every_file_is_decoded_whole_or_refused() {
    let Some(root) = test_data().map(|d| d.join("parquet-testing")).filter(|d| d.is_dir()) else { return };
    let mut all = Vec::new();
    files(&root, &mut all);
    all.sort();
    let answer = std::env::temp_dir().join(format!("driftless-parquet-testing-{}", std::process::id()));
    let mut found = BTreeMap::new();
    for file in &all {
        let (line, peak) = in_a_process(file, &answer);
        assert!(peak <= MOST_KIB, "{} took {peak} KiB", file.display());
        let name = file.strip_prefix(&root).expect("below").to_string_lossy().into_owned();
        found.insert(name, line);
    }
    let _ = std::fs::remove_file(&answer);
    let lines: Vec<String> = found.iter().map(|(name, line)| format!("{name}\t{}", line.trim_end())).collect();
    let table = format!("file\tresult\trow group\tcolumn\tcause\n{}\n", lines.join("\n"));
    if std::env::var_os("DRIFTLESS_WRITE_TABLE").is_some() {
        std::fs::write(TABLE, &table).expect("writable");
    }
    let expected = std::fs::read_to_string(TABLE).expect("the table is part of the repository");
    for (line, expected) in table.lines().zip(expected.lines()) {
        assert_eq!(line, expected);
    }
    assert_eq!(found.len() + 1, expected.lines().count());
}

#[test]
fn a_file_made_here_is_decoded_whole() {
    use crate::support::{ints, parquet, strings, table};
    let batch = table(vec![("id", ints(&[1, 2, 3])), ("x", strings(&[Some("a"), None, Some("c")]))]);
    assert_eq!(
        outcome(parquet(&batch, parquet::file::properties::WriterProperties::default()).to_vec()),
        "3 rows\t\t\t"
    );
    assert_eq!(outcome(b"id,x\n1,a\n2,b\n3,c\n".to_vec()), "refused\t\t\tthis is not a Parquet file");
}
