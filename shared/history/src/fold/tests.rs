#![allow(clippy::unwrap_used)] // a test

use driftless_model::{Acknowledged, AttrHash, Identifier, IdentifierSet, InTurn, Millis, RecordKey};
use driftless_objects::MemoryObjects;
use futures::executor::block_on;
use proptest::option;
use proptest::prelude::*;

use super::*;

const SMALL: Cut = Cut { block_rows: 12, group_rows: 6 };

fn row(key_hash: u128, sent: Option<u64>, identifiers: u8) -> AckRow {
    let set: IdentifierSet = (0..identifiers).map(|n| Identifier::new("email", format!("{key_hash}-{n}"))).collect();
    let row = AckRow::unacknowledged(KeyHash(key_hash), RecordKey::new(format!("key {key_hash}")));
    AckRow {
        acknowledged: sent.map(|hash| Acknowledged { attr_hash: AttrHash(hash), identifiers: set.clone() }),
        identifiers: set,
        added_at: sent.map(|_| Millis(5)),
        ..row
    }
}

/// A list in the making: what was delivered, run after run.
fn deliveries() -> impl Strategy<Value = Vec<BTreeMap<KeyHash, Option<AckRow>>>> {
    let delivered = (0_u128..120).prop_flat_map(|key| {
        option::weighted(0.7, (option::of(any::<u64>()), 0_u8..3))
            .prop_map(move |row_of| (KeyHash(key), row_of.map(|(sent, identifiers)| row(key, sent, identifiers))))
    });
    let run = proptest::collection::vec(delivered, 0..60).prop_map(|rows| rows.into_iter().collect());
    proptest::collection::vec(run, 1..6)
}

async fn made(
    base: Option<&HistoryFile<'_>>,
    overlay: &BTreeMap<KeyHash, Option<AckRow>>,
    lanes: usize,
) -> (Bytes, u64) {
    let lanes = InTurn::cut_in(lanes);
    let mut fold = Fold::cut(base, overlay, false, None, &FileMeta::default(), &lanes, SMALL).unwrap();
    let mut whole = Vec::new();
    while let Some(part) = fold.part().await.unwrap() {
        whole.extend_from_slice(&part);
    }
    (whole.into(), fold.finish().unwrap().rows)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn blocks_of_any_size_in_any_number_of_lanes_make_one_history(runs in deliveries(), lanes in 1_usize..5) {
        let objects = MemoryObjects::default();
        let mut expected: BTreeMap<KeyHash, AckRow> = BTreeMap::new();
        let mut base: Option<String> = None;
        for (number, overlay) in runs.iter().enumerate() {
            for (key, row) in overlay {
                match row {
                    Some(row) => drop(expected.insert(*key, row.clone())),
                    None => drop(expected.remove(key)),
                }
            }
            let name = format!("history {number}");
            let (bytes, rows) = block_on(async {
                let base = match &base {
                    Some(base) => Some(HistoryFile::open(&objects, base).await.unwrap()),
                    None => None,
                };
                let first = made(base.as_ref(), overlay, lanes).await;
                prop_assert_eq!(&first, &made(base.as_ref(), overlay, 1).await, "the lanes change nothing");
                Ok(first)
            })?;
            block_on(objects.create(&name, bytes)).unwrap();
            let file = block_on(HistoryFile::open(&objects, &name)).unwrap();
            prop_assert_eq!((rows, block_on(file.all()).unwrap()), (expected.len() as u64, expected.clone()));
            let groups = file.table().group_rows();
            prop_assert!(groups.iter().all(|rows| *rows <= 9), "cut as {groups:?}");
            base = Some(name);
        }
    }
}
