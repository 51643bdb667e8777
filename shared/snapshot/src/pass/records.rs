use core::fmt;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::BooleanArray;
use driftless_model::{AttrHash, IdentifierSet, KeyHash, RecordKey};
use serde_json::{Map, Value};

use super::content::Contents;
use super::fields::{Fields, Keys, fields, keys};
use super::files::{Source, Survey, located, unreadable};
use super::rows::{filtered, select};
use crate::keyed::RecordHasher;
use crate::sql::Evaluated;
use crate::view::{Bound, plan};
use crate::{HashKey, ReadError, ViewSpec};

/// One record as it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: RecordKey,
    /// The fingerprint of its mapped values.
    pub attr_hash: AttrHash,
    /// What the destination matches it by, as sent.
    pub identifiers: IdentifierSet,
    /// All mapped fields, identifiers included, as sent, in the order of their names.
    pub fields: Map<String, Value>,
}

/// Never prints values: they are personal data.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({})", self.attr_hash)
    }
}

/// Reads the wanted records in full: of each key the row that has the wanted attribute hash.
///
/// A record that the snapshot does not have so is absent from the result; what that means is the caller's to decide.
/// Reads the columns of the view, and no further than the last wanted record. Repeatable.
///
/// # Errors
/// [`ReadError::Snapshot`] or [`ReadError::View`], as [`super::digest`] has them.
pub async fn records(
    source: Source<'_>,
    spec: &ViewSpec,
    key: &HashKey,
    wanted: &BTreeMap<KeyHash, AttrHash>,
) -> Result<BTreeMap<KeyHash, Record>, ReadError> {
    let mut found = BTreeMap::new();
    each_record(source, spec, key, wanted, &mut |hash, record| drop(found.insert(hash, record))).await?;
    Ok(found)
}

/// As [`records`], a record at a time, each once: who keeps less of it than all needs less memory.
///
/// # Errors
/// As [`records`].
pub async fn each_record(
    source: Source<'_>,
    spec: &ViewSpec,
    key: &HashKey,
    wanted: &BTreeMap<KeyHash, AttrHash>,
    found: &mut (dyn FnMut(KeyHash, Record) + Send),
) -> Result<(), ReadError> {
    let mut found = Found { keys: BTreeSet::new(), to: found };
    let hasher = RecordHasher::new(key, spec.column_fields().map(|f| f.field.as_str()));
    let mut contents = spec.key.is_content().then(|| (Contents::new(spec, key), wanted.values().copied().collect()));
    let survey = Survey::of(source).await?;
    let all = survey.deal(1).into_iter().flatten();
    for stretch in all {
        if found.keys.len() == wanted.len() {
            break;
        }
        let file = survey.open(stretch.file).await?;
        let schema = file.schema();
        let planned = plan(spec, &schema).and_then(|p| Ok((p.bind(&schema)?, p.columns)));
        let (view, columns) = planned.map_err(|e| unreadable(&file, e))?;
        let mut scan = survey.scan(&file, stretch.whole(), &columns, source.limits);
        while found.keys.len() < wanted.len()
            && let Some(batch) = scan.next().await?
        {
            let taken = match &mut contents {
                None => take(&view, &batch.rows, key, &hasher, wanted, &mut found),
                Some((contents, attrs)) => {
                    take_by_content(&view, &batch.rows, contents, &hasher, attrs, wanted, &mut found)
                }
            };
            taken.map_err(|e| located(e, &file, batch.row_group))?;
        }
    }
    Ok(())
}

/// Where records go, and which have gone there.
struct Found<'f> {
    keys: BTreeSet<KeyHash>,
    to: &'f mut (dyn FnMut(KeyHash, Record) + Send),
}

impl Found<'_> {
    fn add(&mut self, hash: KeyHash, record: Record) {
        if self.keys.insert(hash) {
            (self.to)(hash, record);
        }
    }
}

fn take(
    view: &Bound<'_>,
    batch: &arrow::array::RecordBatch,
    key: &HashKey,
    hasher: &RecordHasher,
    wanted: &BTreeMap<KeyHash, AttrHash>,
    found: &mut Found<'_>,
) -> Result<(), Evaluated> {
    let batch = select(view, batch)?.rows;
    let key_arrays = keys(view, &batch)?;
    let mut reader = Keys::new(view, &key_arrays);
    let mut candidates = Vec::new();
    let is_wanted: Vec<bool> = (0..batch.num_rows())
        .map(|row| {
            let hash = reader.text(row).map(|text| key.text_hash(text));
            let hash = hash.filter(|hash| !found.keys.contains(hash));
            let Some((hash, attr)) = hash.and_then(|hash| Some((hash, *wanted.get(&hash)?))) else { return false };
            if let Some(record_key) = reader.key(row) {
                candidates.push((hash, attr, record_key));
            }
            true
        })
        .collect();
    if candidates.is_empty() {
        return Ok(());
    }
    let batch = filtered(&batch, &BooleanArray::from(is_wanted))?;
    let field_arrays = fields(view, &batch)?;
    let reader = Fields::new(view, &field_arrays);
    for (row, (hash, attr, record_key)) in candidates.into_iter().enumerate() {
        if reader.attr_hash(row, hasher) != Some(attr) {
            continue;
        }
        if let Some((fields, identifiers)) = reader.sent(row) {
            found.add(hash, Record { key: record_key, attr_hash: attr, identifiers, fields });
        }
    }
    Ok(())
}

/// Only rows with a wanted attribute hash are looked at: of these, equal ones are numbered as they come.
fn take_by_content(
    view: &Bound<'_>,
    batch: &arrow::array::RecordBatch,
    contents: &mut Contents<'_>,
    hasher: &RecordHasher,
    attrs: &HashSet<AttrHash>,
    wanted: &BTreeMap<KeyHash, AttrHash>,
    found: &mut Found<'_>,
) -> Result<(), Evaluated> {
    let batch = select(view, batch)?.rows;
    let arrays = fields(view, &batch)?;
    let reader = Fields::new(view, &arrays);
    for row in 0..batch.num_rows() {
        let Some(attr_hash) = reader.attr_hash(row, hasher).filter(|attr| attrs.contains(attr)) else { continue };
        let Some((hash, key)) = contents.of(&reader, row).and_then(|content| contents.next(content)) else { continue };
        if wanted.get(&hash) != Some(&attr_hash) {
            continue;
        }
        if let Some((mut fields, mut identifiers)) = reader.sent(row) {
            contents.identify(&key, &mut identifiers);
            contents.send(&key, &mut fields);
            found.add(hash, Record { key, attr_hash, identifiers, fields });
        }
    }
    Ok(())
}
