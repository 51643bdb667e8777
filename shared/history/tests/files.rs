//! Every kind of file reads back what was written, and a fold is what a map would be. No async runtime is running here.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use driftless_changeset::{Changeset, PlannedRow, Transfer, differs};
use driftless_history::{
    Against, BulkFile, BulkRecord, BulkRow, BulkWriter, Delta, FileMeta, Fold, HistoryFile, Residue, encode_changeset,
    encode_delta, encode_history, encode_holds, encode_members, encode_residue, find_rows, fold, read_changeset,
    read_delta, read_holds, read_members, read_outline, read_residue, read_rows,
};
use driftless_model::{
    AckRow, Acknowledged, AttrHash, Identifier, IdentifierSet, InTurn, KeyHash, Member, Millis, Operation, RecordKey,
    RecordState,
};
use driftless_objects::{MemoryObjects, Objects};
use futures::executor::block_on;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of as maybe;
use proptest::prelude::*;

fn key_hash() -> impl Strategy<Value = KeyHash> {
    // Few values, so that base and overlay meet; and the two ends.
    prop_oneof![(0_u128..40).prop_map(KeyHash), Just(KeyHash(u128::MAX)), any::<u128>().prop_map(KeyHash)]
}

fn identifiers() -> impl Strategy<Value = IdentifierSet> {
    vec(("[ab]", ".{0,6}").prop_map(|(f, v)| Identifier::new(f, v)), 0..4).prop_map(IdentifierSet::from_iter)
}

fn ack() -> impl Strategy<Value = AckRow> {
    let acknowledged = maybe((any::<u64>(), identifiers()));
    (".{0,8}", acknowledged, identifiers(), maybe(".{0,4}"), maybe(any::<i64>()), maybe(any::<i64>())).prop_map(
        |(key, acknowledged, identifiers, remote_id, added_at, last_sent_at)| AckRow {
            key_hash: KeyHash(0),
            key: RecordKey::new(key),
            acknowledged: acknowledged.map(|(h, identifiers)| Acknowledged { attr_hash: AttrHash(h), identifiers }),
            identifiers,
            remote_id,
            added_at: added_at.map(Millis),
            last_sent_at: last_sent_at.map(Millis),
        },
    )
}

fn history() -> impl Strategy<Value = BTreeMap<KeyHash, AckRow>> {
    btree_map(key_hash(), ack(), 0..30)
        .prop_map(|rows| rows.into_iter().map(|(key_hash, row)| (key_hash, AckRow { key_hash, ..row })).collect())
}

fn delta() -> impl Strategy<Value = Delta> {
    btree_map(key_hash(), maybe(ack()), 0..30).prop_map(|rows| {
        rows.into_iter().map(|(key_hash, row)| (key_hash, row.map(|row| AckRow { key_hash, ..row }))).collect()
    })
}

fn residue() -> impl Strategy<Value = Residue> {
    let state = (".{0,8}", maybe((any::<u64>(), identifiers()))).prop_map(|(key, state)| {
        let key = RecordKey::new(key);
        let state = state.map(|(h, identifiers)| RecordState { key: key.clone(), attr_hash: AttrHash(h), identifiers });
        (key, state)
    });
    btree_map(key_hash(), state, 0..30)
}

fn bulk() -> impl Strategy<Value = BTreeMap<KeyHash, BulkRow>> {
    let row = (".{0,8}", any::<u64>(), identifiers(), maybe(any::<i64>())).prop_map(|(key, h, identifiers, at)| {
        let state = RecordState { key: RecordKey::new(key), attr_hash: AttrHash(h), identifiers };
        BulkRow { state, updated_at: at.map(Millis) }
    });
    btree_map(key_hash(), row, 0..30)
}

/// As a writer makes it who hands on whatever is final.
fn encoded_bulk(rows: &BTreeMap<KeyHash, BulkRow>, at_least: usize) -> Bytes {
    let mut writer = BulkWriter::new(&meta()).unwrap();
    let mut file = Vec::new();
    let rows: Vec<_> = rows.iter().collect();
    // In two parts, as a list is that does not fit into memory at once.
    for part in rows.chunks(rows.len().div_ceil(2).max(1)) {
        let record = |row: usize| {
            let (key_hash, BulkRow { state, updated_at }) = part.get(row)?;
            let identifiers = state.identifiers.iter().map(|i| (i.field.as_str(), i.value.as_str()));
            let (key, attr_hash, updated_at) = (state.key.as_str(), state.attr_hash, *updated_at);
            Some(BulkRecord { key_hash: **key_hash, attr_hash, key, identifiers, updated_at })
        };
        let mut rest = 0..part.len();
        while !rest.is_empty() {
            rest = block_on(writer.extend(&InTurn::cut_in(3), rest, record)).unwrap();
            file.extend(writer.take(at_least).unwrap_or_default());
        }
    }
    file.extend(writer.finish().unwrap());
    file.into()
}

fn changeset() -> impl Strategy<Value = Changeset> {
    let operation = prop_oneof![Just(Operation::Add), Just(Operation::Update), Just(Operation::Remove)];
    let row = (operation, key_hash(), ".{0,8}", maybe(any::<u64>()), identifiers(), maybe(".{0,4}"), maybe(".{0,20}"))
        .prop_map(|(operation, key_hash, key, attr_hash, identifiers, remote_id, fields)| PlannedRow {
            operation,
            key_hash,
            key: RecordKey::new(key),
            attr_hash: attr_hash.map(AttrHash),
            identifiers,
            remote_id,
            fields,
        });
    let transfer = (key_hash(), ("[ab]", ".{0,6}"), key_hash()).prop_map(|(from, (f, v), owner)| Transfer {
        from,
        identifier: Identifier::new(f, v),
        owner,
    });
    (vec(row, 0..40), vec(transfer, 0..5)).prop_map(|(rows, transfers)| Changeset { rows, transfers })
}

fn meta() -> FileMeta {
    FileMeta { tenant: "acme".into(), dataset: "customers".into(), stamp: "s1".into(), ..FileMeta::default() }
}

fn stored(bytes: Bytes) -> MemoryObjects {
    let objects = MemoryObjects::default();
    block_on(objects.create("f", bytes)).unwrap();
    objects
}

/// All that is streamed of a range.
async fn hashes(file: &HistoryFile<'_>, from: KeyHash, to: KeyHash) -> Vec<(KeyHash, Option<AttrHash>)> {
    let mut hashes = file.hashes(from, to);
    let mut all = Vec::new();
    while let Some(rows) = hashes.next().await.unwrap() {
        all.extend(rows);
    }
    all
}

fn encoded(rows: &BTreeMap<KeyHash, AckRow>) -> Bytes {
    encode_history(rows.values().cloned(), &meta()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_history_reads_back_whole_in_part_and_as_digests(
        rows in history(),
        wanted in btree_set(key_hash(), 0..20),
        (from, to) in (key_hash(), key_hash()),
    ) {
        let objects = stored(encoded(&rows));
        block_on(async {
            let file = HistoryFile::open(&objects, "f").await.unwrap();
            prop_assert_eq!(file.meta(), &meta());
            prop_assert_eq!(file.len(), rows.len() as u64);
            let digests: Vec<_> =
                rows.iter().map(|(k, r)| (*k, r.acknowledged.as_ref().map(|a| a.attr_hash))).collect();
            prop_assert_eq!(&hashes(&file, KeyHash(0), KeyHash(u128::MAX)).await, &digests);
            let between: Vec<_> = digests.iter().copied().filter(|(k, _)| from <= *k && *k <= to).collect();
            prop_assert_eq!(hashes(&file, from, to).await, between);
            let some: BTreeMap<_, _> =
                rows.iter().filter(|(k, _)| wanted.contains(k)).map(|(k, r)| (*k, r.clone())).collect();
            prop_assert_eq!(file.rows(&wanted).await.unwrap(), some);
            prop_assert_eq!(&file.all().await.unwrap(), &rows);
            Ok(())
        })?;
        prop_assert_eq!(encoded(&rows), encoded(&rows));
    }

    #[test]
    fn a_fold_is_the_base_with_the_overlay_put_over_it(base in history(), overlay in delta(), first: bool) {
        let mut expected = if first { BTreeMap::new() } else { base.clone() };
        for (key, row) in &overlay {
            match row {
                Some(row) => expected.insert(*key, row.clone()),
                None => expected.remove(key),
            };
        }
        let objects = stored(encoded(&base));
        let folded = block_on(fold(&objects, (!first).then_some("f"), &overlay, &meta(), &InTurn::default())).unwrap();
        prop_assert!(folded == (encoded(&expected), expected.len() as u64));
    }

    #[test]
    fn a_bulk_file_reads_back_whole_in_part_and_as_digests(
        rows in bulk(),
        wanted in btree_set(key_hash(), 0..20),
        at_least in 0_usize..400,
    ) {
        let objects = stored(encoded_bulk(&rows, at_least));
        block_on(async {
            let file = BulkFile::open(&objects, "f").await.unwrap();
            prop_assert_eq!(file.len(), rows.len() as u64);
            let digests: Vec<_> = rows.iter().map(|(k, r)| (*k, r.state.attr_hash)).collect();
            prop_assert_eq!(file.digests().await.unwrap(), digests);
            let mut updates = file.update_stream().unwrap();
            let mut updated = Vec::new();
            while let Some(batch) = updates.next().await.unwrap() {
                updated.extend(batch);
            }
            prop_assert_eq!(updated, rows.iter().map(|(k, r)| (*k, r.updated_at)).collect::<Vec<_>>());
            let some: BTreeMap<_, _> =
                rows.iter().filter(|(k, _)| wanted.contains(k)).map(|(k, r)| (*k, r.clone())).collect();
            prop_assert_eq!(file.rows(&wanted).await.unwrap(), some);
            prop_assert_eq!(&file.all().await.unwrap(), &rows);
            Ok(())
        })?;
        prop_assert_eq!(encoded_bulk(&rows, 0), encoded_bulk(&rows, at_least), "however it is taken");
    }

    #[test]
    fn a_fold_against_a_bulk_file_leaves_what_differs(
        base in history(),
        overlay in delta(),
        rows in bulk(),
        states in residue(),
        first: bool,
        forget: bool,
        flushed: bool,
    ) {
        let base = if first { BTreeMap::new() } else { base };
        let mut after = base.clone();
        if forget {
            after.values_mut().for_each(|row| row.acknowledged = None);
        }
        for (key, row) in &overlay {
            match row {
                Some(row) => after.insert(*key, row.clone()),
                None => after.remove(key),
            };
        }
        let mut d: Residue = rows.iter().map(|(k, r)| (*k, (r.state.key.clone(), Some(r.state.clone())))).collect();
        d.extend(states.clone());
        for (key, row) in &after {
            d.entry(*key).or_insert_with(|| (row.key.clone(), None));
        }
        let holds_more = |row: &AckRow| row.acknowledged.as_ref().is_some_and(|sent| sent.identifiers != row.identifiers);
        let is_left = |k: &KeyHash, state: Option<&RecordState>| match (flushed, after.get(k)) {
            (true, row) => row.is_some_and(holds_more),
            (false, row) => differs(state, row),
        };
        let left: Residue = d.into_iter().filter(|(k, (_, s))| is_left(k, s.as_ref())).collect();
        let objects = stored(encoded(&base));
        block_on(objects.create("bulk", encoded_bulk(&rows, 0))).unwrap();
        let (made, folded) = block_on(async {
            let bulk = BulkFile::open(&objects, "bulk").await.unwrap();
            let base = HistoryFile::open(&objects, "f").await.unwrap();
            let lanes = InTurn::cut_in(2);
            let against = Some(Against { bulk: &bulk, states: &states, flushed });
            let base = (!first).then_some(&base);
            let mut fold = Fold::new(base, &overlay, forget, against, &meta(), &lanes).unwrap();
            objects.create_from("made", &mut fold).await.unwrap();
            (objects.read("made").await.unwrap(), fold.finish().unwrap())
        });
        prop_assert!(made == encoded(&after));
        prop_assert_eq!(folded.rows, after.len() as u64);
        prop_assert_eq!((folded.residue, folded.left), (encode_residue(&left).unwrap(), left.len() as u64));
    }

    #[test]
    fn a_delta_reads_back(delta in delta()) {
        let objects = stored(encode_delta(&delta).unwrap());
        prop_assert_eq!(block_on(read_delta(&objects, "f")).unwrap(), delta);
    }

    #[test]
    fn a_residue_reads_back(residue in residue()) {
        let objects = stored(encode_residue(&residue).unwrap());
        prop_assert_eq!(block_on(read_residue(&objects, "f")).unwrap(), residue);
    }

    #[test]
    fn a_hold_reads_back(keys in btree_set(key_hash(), 0..50)) {
        let objects = stored(encode_holds(&keys).unwrap());
        prop_assert_eq!(block_on(read_holds(&objects, "f")).unwrap(), keys);
    }

    #[test]
    fn members_read_back_in_their_order(members in vec((identifiers(), maybe(".{0,4}")), 0..30)) {
        let members: Vec<Member> =
            members.into_iter().map(|(identifiers, remote_id)| Member { identifiers, remote_id }).collect();
        let objects = stored(encode_members(&members).unwrap());
        prop_assert_eq!(block_on(read_members(&objects, "f")).unwrap(), members);
    }

    #[test]
    fn a_changeset_reads_back_whole_by_range_and_by_record(
        changeset in changeset(), at in any::<prop::sample::Index>(), len in 0_u32..10, record in key_hash(),
    ) {
        let objects = stored(encode_changeset(&changeset).unwrap());
        let rows = &changeset.rows;
        block_on(async {
            prop_assert_eq!(&read_changeset(&objects, "f").await.unwrap(), &changeset);
            let mut outline = changeset.clone();
            outline.rows.iter_mut().for_each(|row| row.fields = None);
            prop_assert_eq!(&read_outline(&objects, "f").await.unwrap(), &outline);
            let first = at.index(rows.len() + 1);
            let end = (first + len as usize).min(rows.len());
            let count = u32::try_from(end - first).unwrap();
            prop_assert_eq!(read_rows(&objects, "f", first as u64, count).await.unwrap(), &rows[first..end]);
            let of: Vec<_> =
                (0_u64..).zip(rows.iter().cloned()).filter(|(_, r)| r.key_hash == record).collect();
            prop_assert_eq!(find_rows(&objects, "f", record).await.unwrap(), of);
            Ok(())
        })?;
    }
}

#[test]
fn a_row_out_of_order_or_given_twice_is_refused() {
    let row = |h| AckRow::unacknowledged(KeyHash(h), RecordKey::new("k"));
    for rows in [[row(2), row(1)], [row(1), row(1)]] {
        assert!(encode_history(rows, &meta()).is_err());
    }
}

#[test]
fn the_digest_of_a_row_takes_32_bytes() {
    assert_eq!(size_of::<(KeyHash, Option<AttrHash>)>(), 32);
}

#[test]
fn an_empty_set_reads_as_nothing_wanted() {
    let objects = stored(encoded(&BTreeMap::new()));
    let found = block_on(async { HistoryFile::open(&objects, "f").await.unwrap().rows(&BTreeSet::new()).await });
    assert_eq!(found.unwrap(), BTreeMap::new());
}
