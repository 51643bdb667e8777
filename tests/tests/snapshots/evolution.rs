//! A dataset's schema changes under its syncs.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, LargeStringArray, ListArray,
    RecordBatch, StringArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
use driftless_config::Sync;
use driftless_deltalog::head::{ConfigStamp, Head, Names, Swap};
use driftless_deltalog::registry::SyncEntry;
use driftless_deltalog::{Deltalog, MemoryDeltalog};
use driftless_fn_ingest::{Bulk, Ingest, Taken};
use driftless_model::{DatasetId, InTurn, Meter, Millis, SnapshotOrder, SnapshotRef, SyncId};
use driftless_objects::{MemoryObjects, Objects};
use driftless_snapshot::{HashKey, Limits};
use driftless_state::names;
use driftless_testkit::{CountingTokens, ManualClock};
use futures::executor::block_on;
use parquet::arrow::ArrowWriter;

type Columns = Vec<(&'static str, ArrayRef)>;

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn money(unscaled: &[i128], precision: u8, scale: i8) -> ArrayRef {
    let column = Decimal128Array::from(unscaled.to_vec());
    Arc::new(column.with_precision_and_scale(precision, scale).expect("they fit"))
}

/// Two records, in the narrowest types.
fn narrow() -> Columns {
    vec![
        ("id", texts(&["a", "b"])),
        ("name", texts(&["Ann", "Bob"])),
        ("age", Arc::new(Int32Array::from(vec![41, -7]))),
        ("score", Arc::new(Float32Array::from(vec![0.1, -0.0]))),
        ("spent", money(&[1250, 0], 9, 2)),
        ("visits", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None]), None]))),
    ]
}

/// The same values in wider types.
fn wide() -> Columns {
    vec![
        ("id", Arc::new(LargeStringArray::from(vec!["a", "b"]))),
        ("name", Arc::new(LargeStringArray::from(vec!["Ann", "Bob"]))),
        ("age", Arc::new(Int64Array::from(vec![41, -7]))),
        ("score", Arc::new(Float64Array::from(vec![f64::from(0.1_f32), 0.0]))),
        ("spent", money(&[12_500_000, 0], 38, 6)),
        ("visits", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1), None]), None]))),
    ]
}

/// Two syncs of one dataset: one maps every column, the other only the name.
struct Dataset {
    ingest: Ingest,
    objects: Arc<MemoryObjects>,
    uploads: i64,
}

const EVERY: &str = "every-column";
const NAME: &str = "name-only";

impl Dataset {
    fn new() -> Self {
        let clock = ManualClock::new(Millis(1_800_000_000_000));
        let (log, objects) = (Arc::new(MemoryDeltalog::default()), Arc::new(MemoryObjects::default()));
        for (sync, columns) in [(EVERY, &["name", "age", "score", "spent", "visits"][..]), (NAME, &["name"])] {
            configure(&log, &objects, sync, columns);
        }
        let ingest = Ingest {
            log,
            objects: Arc::clone(&objects) as Arc<dyn Objects>,
            clock,
            tokens: Arc::new(CountingTokens::new(1)),
            hash_key: HashKey::new([7; 32]),
            limits: Limits::default(),
            lanes: Arc::new(InTurn::cut_in(2)),
            meter: Meter::default(),
            bulk: Bulk::default(),
        };
        Self { ingest, objects, uploads: 0 }
    }

    /// Uploads a snapshot and takes it up; what it did to the two syncs.
    fn take_up(&mut self, columns: Columns) -> [Taken; 2] {
        self.uploads += 1;
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, a)| (name, a, true)));
        let batch = batch.expect("columns of one length");
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).expect("a schema");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
        let key = format!("datasets/acme/people/{:03}.parquet", self.uploads);
        let meta = self.objects.upload(&key, file.into(), Millis(self.uploads * 1000));
        let order = SnapshotOrder { version: None, modified: meta.modified, key, sequencer: None };
        let snapshot = SnapshotRef { order, parts: vec![meta.object] };
        let taken = block_on(self.ingest.take_up(&dataset(), &snapshot, None, Millis(i64::MAX))).expect("taken up");
        [EVERY, NAME].map(|sync| {
            let found = taken.iter().find(|(s, _)| s.as_str() == sync);
            found.map(|(_, taken)| taken.clone()).expect("every sync has an answer")
        })
    }

    fn head(&self, sync: &str) -> Head {
        block_on(self.ingest.log.head(&sync.parse().expect("a name"))).expect("memory").expect("it was taken up")
    }
}

fn dataset() -> DatasetId {
    "acme/people".parse().expect("a name")
}

fn configure(log: &MemoryDeltalog, objects: &MemoryObjects, sync: &str, columns: &[&str]) {
    let mapping: serde_json::Map<_, _> = columns.iter().map(|c| ((*c).to_owned(), (*c).into())).collect();
    let config: Sync = serde_json::from_value(serde_json::json!({
        "version": 1, "dataset": "acme/people", "key": "id", "mapping": mapping, "destination": "crm", "list": sync,
        "schedule": "manual",
    }))
    .expect("the configuration is one that apply would take");
    let id: SyncId = sync.parse().expect("a name");
    let document = serde_json::to_vec(&config).expect("it serialises");
    let object = names::sync_document(&id, &document);
    block_on(objects.create(&object, document.into())).expect("memory");
    let entry = SyncEntry {
        sync: id,
        dataset: dataset(),
        destination: "crm".parse().expect("a name"),
        incarnation: 1,
        names: Names {
            dataset: dataset(),
            source: "s3://bucket/datasets/acme/people/".to_owned(),
            kind: "rest".to_owned(),
            destination: "crm".parse().expect("a name"),
            list: sync.to_owned(),
        },
        config: ConfigStamp { epoch: 0, fingerprint: config.fingerprint() },
        object,
        paused: false,
        applied_at: Millis(0),
        revision: 1,
    };
    assert_eq!(block_on(log.put_sync(&entry)).expect("memory"), Swap::Done);
}

#[test]
fn a_new_column_that_is_not_mapped_changes_nothing() {
    let mut dataset = Dataset::new();
    let first = dataset.take_up(narrow());
    assert!(first.iter().all(|t| matches!(t, Taken::Changed { adds: 2, updates: 0, removals: 0, .. })), "{first:?}");
    let mut more = narrow();
    more.insert(1, ("born", Arc::new(Int32Array::from(vec![1985, 1990]))));
    assert_eq!(dataset.take_up(more), [Taken::Unchanged, Taken::Unchanged]);
    assert_eq!(dataset.take_up(narrow()), [Taken::Unchanged, Taken::Unchanged], "and nothing when it goes again");
}

#[test]
fn a_wider_type_with_equal_values_changes_nothing() {
    let mut dataset = Dataset::new();
    dataset.take_up(narrow());
    assert_eq!(dataset.take_up(wide()), [Taken::Unchanged, Taken::Unchanged]);
    assert_eq!(dataset.take_up(narrow()), [Taken::Unchanged, Taken::Unchanged], "nor does a narrower one");
    let mut other = wide();
    other[2].1 = Arc::new(Int64Array::from(vec![41, -8]));
    let [every, name] = dataset.take_up(other);
    assert!(matches!(every, Taken::Changed { adds: 0, updates: 1, removals: 0, .. }), "{every:?}");
    assert_eq!(name, Taken::Unchanged);
}

#[test]
fn a_missing_mapped_column_stops_the_sync_with_its_name_and_no_other() {
    for missing in ["name", "age", "score", "spent", "visits"] {
        let mut dataset = Dataset::new();
        dataset.take_up(narrow());
        let version = dataset.head(EVERY).version;
        let without: Columns = narrow().into_iter().filter(|(column, _)| *column != missing).collect();
        let [every, name] = dataset.take_up(without);
        assert_eq!(every, Taken::NeedsAttention);
        assert_eq!(name, if missing == "name" { Taken::NeedsAttention } else { Taken::Unchanged });
        let head = dataset.head(EVERY);
        let reason = head.attention.expect("it waits for a person").reason;
        assert!(reason.contains(&format!("`{missing}`")), "{reason}");
        assert_eq!(head.version, version, "nobody is removed");
        assert_eq!(dataset.take_up(narrow())[0], Taken::Unchanged, "a good snapshot heals it");
    }
}
