//! Small datasets, written as Parquet into a bucket in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use bytes::Bytes;
use driftless_config::{FieldMapping, KeyColumns, Mapping, Selection};
use driftless_model::{InTurn, KeyHash, Millis, ObjectVersion, RecordKey};
use driftless_objects::MemoryObjects;
use driftless_snapshot::{Digest, HashKey, Limits, Report, SnapshotError, Source, View, ViewError, ViewSpec};
use futures::executor::block_on;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

/// The secret of every test: 00 01 02 … 1f.
pub(crate) fn key() -> HashKey {
    let mut secret = [0; 32];
    for (i, byte) in secret.iter_mut().enumerate() {
        *byte = u8::try_from(i).expect("32 bytes");
    }
    HashKey::new(secret)
}

pub(crate) fn hash(text: &str) -> KeyHash {
    key().key_hash(&RecordKey::new(text))
}

pub(crate) fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).expect("columns fit")
}

pub(crate) fn parquet(batch: &RecordBatch, properties: WriterProperties) -> Bytes {
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), Some(properties)).expect("schema");
    writer.write(batch).expect("written");
    writer.close().expect("closed");
    out.into()
}

/// What [`driftless_snapshot::digest`] answers, in a form that is easy to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digested {
    pub(crate) rows: Vec<Digest>,
    pub(crate) report: Report,
}

/// Digests in one lane, and sees to it that three lanes find the same.
pub(crate) fn digest(
    source: Source<'_>,
    views: &[View<'_>],
) -> Result<Vec<Result<Digested, ViewError>>, SnapshotError> {
    let in_lanes = |count| {
        let digested = block_on(driftless_snapshot::digest(source, views, &key(), &InTurn::cut_in(count)))?;
        let plain = digested.into_iter().map(|view| {
            let digested = view?;
            assert_eq!(digested.rows.len(), digested.rows.iter().count());
            Ok(Digested { rows: digested.rows.iter().collect(), report: digested.report })
        });
        Ok::<Vec<Result<Digested, ViewError>>, SnapshotError>(plain.collect())
    };
    let (one, three) = (in_lanes(1), in_lanes(3));
    match (&one, &three) {
        (Ok(one), Ok(three)) => {
            for (one, three) in one.iter().zip(three) {
                match (one, three) {
                    (Ok(one), Ok(three)) => {
                        assert_eq!(one.rows, three.rows, "the number of lanes does not matter");
                        let report = Report { bytes_read: one.report.bytes_read, ..three.report.clone() };
                        assert_eq!(one.report, report, "the number of lanes does not matter");
                    }
                    (one, three) => assert_eq!(format!("{one:?}"), format!("{three:?}")),
                }
            }
        }
        (one, three) => assert_eq!(format!("{one:?}"), format!("{three:?}")),
    }
    one
}

/// A snapshot in a bucket in memory.
pub(crate) struct Snapshot {
    pub(crate) objects: MemoryObjects,
    pub(crate) parts: Vec<ObjectVersion>,
    pub(crate) limits: Limits,
}

impl Snapshot {
    pub(crate) fn of(files: Vec<Bytes>) -> Self {
        let objects = MemoryObjects::default();
        let parts = files
            .into_iter()
            .enumerate()
            .map(|(i, bytes)| objects.upload(&format!("datasets/t/d/part-{i}.parquet"), bytes, Millis(0)).object)
            .collect();
        Self { objects, parts, limits: Limits::default() }
    }

    pub(crate) fn table(batch: &RecordBatch) -> Self {
        Self::of(vec![parquet(batch, WriterProperties::default())])
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source { objects: &self.objects, parts: &self.parts, limits: &self.limits }
    }

    pub(crate) fn try_digest(&self, spec: &ViewSpec) -> Result<Result<Digested, ViewError>, SnapshotError> {
        let erased = BTreeSet::new();
        let views = [View { spec, erased: &erased }];
        digest(self.source(), &views).map(|mut all| all.pop().expect("one view"))
    }

    pub(crate) fn digest(&self, spec: &ViewSpec) -> Digested {
        self.try_digest(spec).expect("the snapshot is fine").expect("the view is fine")
    }

    pub(crate) fn view_error(&self, spec: &ViewSpec) -> ViewError {
        self.try_digest(spec).expect("the snapshot is fine").expect_err("the view is wrong")
    }
}

/// Everything, keyed by `key`, with each column mapped to a field of its own name.
pub(crate) fn spec(key: &str, columns: &[&str]) -> ViewSpec {
    ViewSpec {
        key: KeyColumns::new(vec![key.to_owned()]).expect("a key"),
        selection: Selection::Everything,
        mapping: Mapping::new(columns.iter().map(|c| FieldMapping::new(*c, *c)).collect()),
        prefer: None,
    }
}

pub(crate) fn with_sql(sql: &str, key: &str, columns: &[&str]) -> ViewSpec {
    ViewSpec { selection: Selection::Sql(sql.to_owned()), ..spec(key, columns) }
}

pub(crate) fn with_where(condition: &str, key: &str, columns: &[&str]) -> ViewSpec {
    ViewSpec { selection: Selection::Where(condition.to_owned()), ..spec(key, columns) }
}

/// Marks fields as identifiers.
pub(crate) fn identified_by(mut spec: ViewSpec, fields: &[&str]) -> ViewSpec {
    let mapping = spec.mapping.fields().iter().cloned().map(|mut f| {
        f.identifier = fields.contains(&f.field.as_str());
        f
    });
    spec.mapping = Mapping::new(mapping.collect());
    spec
}

/// Changes one field of the mapping.
pub(crate) fn field(mut spec: ViewSpec, name: &str, change: impl Fn(&mut FieldMapping)) -> ViewSpec {
    let mapping = spec.mapping.fields().iter().cloned().map(|mut f| {
        if f.field == name {
            change(&mut f);
        }
        f
    });
    spec.mapping = Mapping::new(mapping.collect());
    spec
}

pub(crate) fn strings(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(arrow::array::StringArray::from(values.to_vec()))
}

pub(crate) fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(arrow::array::Int64Array::from(values.to_vec()))
}

/// Where the test data lies, if it is there.
pub(crate) fn test_data() -> Option<std::path::PathBuf> {
    std::env::var_os("DRIFTLESS_TEST_DATA").map(Into::into)
}
