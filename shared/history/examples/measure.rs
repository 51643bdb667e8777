#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::print_stdout)]
use std::collections::*; use std::time::Instant;
use driftless_history::*; use driftless_model::*; use driftless_objects::*; use futures::executor::block_on;
fn rss() -> String { std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l| l.starts_with("VmHWM")||l.starts_with("VmRSS")).map(|l| l.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()/1024).map(|m| format!("{m} MB ")).collect() }
fn main() {
    let n: u64 = 1_000_000;
    let row = |i: u64| { let t = format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15)); let ids: IdentifierSet = [Identifier::new("email", format!("{t}@example.com"))].into();
        AckRow { key_hash: KeyHash((u128::MAX / n as u128) * i as u128), key: RecordKey::new(&t), acknowledged: Some(Acknowledged{attr_hash: AttrHash(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)), identifiers: ids.clone()}), identifiers: ids, remote_id: None, added_at: Some(Millis(1_700_000_000_000)), last_sent_at: Some(Millis(1_700_000_000_000+i as i64)) } };
    let t = Instant::now();
    let bytes = encode_history((0..n).map(row), &FileMeta::default()).unwrap();
    println!("encode {:?} {} MB, rss {}", t.elapsed(), bytes.len() >> 20, rss());
    let o = MemoryObjects::default(); block_on(o.create("f", bytes)).unwrap();
    let t = Instant::now();
    let d = block_on(async { HistoryFile::open(&o, "f").await.unwrap().digests().await.unwrap() });
    println!("digests {} {:?} rss {}", d.len(), t.elapsed(), rss()); drop(d);
    let wanted: BTreeSet<KeyHash> = (0..n).step_by(100).map(|i| row(i).key_hash).collect();
    let t = Instant::now();
    let r = block_on(async { HistoryFile::open(&o, "f").await.unwrap().rows(&wanted).await.unwrap() });
    println!("rows {} {:?} rss {}", r.len(), t.elapsed(), rss()); drop(r);
    let overlay: BTreeMap<_, _> = (0..n).step_by(100).map(|i| (row(i).key_hash, None)).collect();
    let t = Instant::now();
    let (b, c) = block_on(fold(&o, Some("f"), &overlay, &FileMeta::default())).unwrap();
    println!("fold {c} {} MB {:?} rss {}", b.len() >> 20, t.elapsed(), rss());
}
