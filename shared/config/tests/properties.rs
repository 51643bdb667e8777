//! What holds for every sync and every text.

use std::path::Path;

use driftless_config::{
    FieldMapping, KeyColumns, Mapping, Normalize, Prefer, PreferOrder, Selection, Sync, VendorHash, parse_destination,
    parse_sync,
};
use driftless_model::RecordKey;
use proptest::{collection, option, prelude::*, sample};
use serde_json::{Map, Value};

const BASE: &str = "version: 1\ndataset: acme/customers\nkey: id\nmapping: { id: id }\ndestination: mail\n";

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_ äß#:-]{0,8}[a-z]"
}

fn step() -> impl Strategy<Value = Normalize> {
    sample::select(vec![Normalize::Trim, Normalize::Lowercase, Normalize::Email])
}

fn field() -> impl Strategy<Value = FieldMapping> {
    let hash = option::of(sample::select(vec![VendorHash::Sha256, VendorHash::Md5]));
    let steps = collection::btree_set(step(), 0..3).prop_map(|steps| steps.into_iter().collect());
    (word(), word(), any::<bool>(), steps, hash, option::of(1..500_u32)).prop_map(
        |(field, column, identifier, normalize, hash, max_length)| FieldMapping {
            field,
            column,
            identifier,
            normalize,
            region: None,
            hash,
            max_length,
        },
    )
}

fn selection() -> impl Strategy<Value = Selection> {
    prop_oneof![
        Just(Selection::Everything),
        word().prop_map(Selection::Where),
        word().prop_map(Selection::Sql),
        collection::btree_set("[ -~]{1,8}".prop_map(RecordKey::new), 1..5).prop_map(Selection::Ids),
    ]
}

fn sync() -> impl Strategy<Value = Sync> {
    let prefer = (word(), any::<bool>()).prop_map(|(column, high)| Prefer {
        column,
        order: if high { PreferOrder::Highest } else { PreferOrder::Lowest },
    });
    let fields = collection::btree_map(word(), field(), 1..4);
    (word(), selection(), fields, option::of(prefer)).prop_map(|(key, selection, fields, prefer)| {
        let mut sync = parse_sync(BASE, Path::new("base.yaml")).expect("valid");
        let mut fields: Vec<_> = fields.into_iter().map(|(name, f)| FieldMapping { field: name, ..f }).collect();
        fields[0].identifier = true;
        sync.key = KeyColumns::new(vec![key]).expect("one column");
        sync.selection = selection;
        sync.mapping = Mapping::new(fields);
        sync.prefer = prefer;
        sync
    })
}

/// The same document with its keys in another order, and the mapping as a map if asked.
fn rearranged(value: &Value, seed: u64, mapping_as_map: bool) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            let turn = usize::try_from(seed % 7).expect("small") % entries.len().max(1);
            entries.rotate_left(turn);
            if seed.is_multiple_of(2) {
                entries.reverse();
            }
            let arrange = |(key, value): (&String, &Value)| {
                let value = rearranged(value, seed / 3, mapping_as_map);
                let value = if key == "mapping" && mapping_as_map { as_map(&value) } else { value };
                (key.clone(), value)
            };
            Value::Object(entries.into_iter().map(arrange).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(|v| rearranged(v, seed / 3, mapping_as_map)).collect()),
        other => other.clone(),
    }
}

fn as_map(fields: &Value) -> Value {
    let mut map = Map::new();
    for field in fields.as_array().expect("a list of fields") {
        let mut settings = field.as_object().expect("a field").clone();
        let name = settings.remove("field").expect("its name");
        map.insert(name.as_str().expect("text").to_owned(), Value::Object(settings));
    }
    Value::Object(map)
}

proptest! {
    #[test]
    fn a_sync_reads_back_from_its_json(sync in sync()) {
        let json = serde_json::to_string(&sync).expect("serialises");
        prop_assert_eq!(serde_json::from_str::<Sync>(&json).expect("reads back"), sync);
    }

    #[test]
    fn the_fingerprint_does_not_depend_on_how_the_file_is_written(
        sync in sync(), seed in any::<u64>(), pretty in any::<bool>(), as_map in any::<bool>(),
    ) {
        // JSON is YAML.
        let document = rearranged(&serde_json::to_value(&sync).expect("serialises"), seed, as_map);
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        let read = parse_sync(&text.expect("serialises"), Path::new("a.yaml"));
        let read = read.map_err(|problems| TestCaseError::fail(format!("{problems:?}")))?;
        prop_assert_eq!(read.fingerprint(), sync.fingerprint());
        prop_assert_eq!(read, sync);
    }

    #[test]
    fn the_fingerprint_tells_data_parts_apart_and_ignores_the_rest(a in sync(), b in sync()) {
        let mut c = Sync { key: a.key.clone(), selection: a.selection.clone(), ..b.clone() };
        let same = c.mapping == a.mapping && c.prefer == a.prefer;
        prop_assert_eq!(c.fingerprint() == a.fingerprint(), same);
        c.mapping = a.mapping.clone();
        c.prefer = a.prefer.clone();
        c.attempt_limit = 7;
        c.list = Some("another".to_owned());
        prop_assert_eq!(c.fingerprint(), a.fingerprint());
        prop_assert_eq!(a.fingerprint().len(), 32);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(version|kind|key|rest|scim|mapping|[:{}\\[\\],&*<!|>\n \"'#-]|[a-z0-9%]){0,60}") {
        let _ = parse_sync(&text, Path::new("a.yaml"));
        let _ = parse_destination(&text, Path::new("a.yaml"));
    }

    #[test]
    fn a_damaged_file_is_refused_at_a_place_within_it(line in 0_usize..33, with in "[a-z:{}\\[\\]&*!|>\"' -]{0,12}") {
        let good = include_str!("../samples/good/syncs/vip-audience.yaml");
        let mut lines: Vec<&str> = good.lines().collect();
        let line = line % lines.len();
        lines[line] = &with;
        let text = lines.join("\n");
        for problem in parse_sync(&text, Path::new("a.yaml")).err().into_iter().flatten() {
            prop_assert!(problem.line as usize <= lines.len() + 1, "{}", problem);
            prop_assert!(!problem.message.is_empty() && !problem.remedy.is_empty());
        }
    }
}

#[test]
fn the_fingerprint_of_a_known_sync_does_not_change() {
    // A change here makes every deployed sync send its whole list again. Raise RECIPE_VERSION only with that in mind.
    let sync = parse_sync(BASE, Path::new("a.yaml")).expect("valid");
    assert_eq!(sync.fingerprint(), "1f3916b7ed40815b62ca012b702d2004");
}
