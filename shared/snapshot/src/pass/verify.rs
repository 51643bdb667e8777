use std::collections::BTreeSet;

use super::files::{Source, Survey};
use crate::value::Column;
use crate::{Cause, SnapshotError};

/// Decodes every column of every file, so that whatever is wrong with a snapshot is found. Returns the number of rows.
///
/// A pass decodes only the columns that a sync uses; this is for the careful, before a snapshot is uploaded.
///
/// # Errors
/// The first thing that is wrong, with its object, row group and column.
pub async fn verify(source: Source<'_>) -> Result<u64, SnapshotError> {
    let mut rows = 0;
    let survey = Survey::of(source).await?;
    for stretch in survey.deal(1).into_iter().flatten() {
        let file = survey.open(stretch.file).await?;
        let refused = |row_group, column: &str, cause| SnapshotError::Refused {
            object: file.object.key.clone(),
            row_group,
            column: Some(column.to_owned()),
            cause,
        };
        if let Some((column, why)) = file.unreadable().next() {
            return Err(refused(None, column, Cause::Unsupported(why.to_owned())));
        }
        let columns: BTreeSet<String> = file.schema().fields().iter().map(|f| f.name().clone()).collect();
        let mut scan = survey.scan(&file, stretch.whole(), &columns, source.limits);
        let mut encoded = Vec::new();
        while let Some(batch) = scan.next().await? {
            let (row_group, batch) = (batch.row_group, batch.rows);
            for (array, field) in batch.columns().iter().zip(batch.schema_ref().fields()) {
                let column = Column::new(array, field).ok_or_else(|| {
                    let cause = Cause::Unsupported("values of this type".to_owned());
                    refused(Some(row_group), field.name(), cause)
                })?;
                for row in 0..batch.num_rows() {
                    encoded.clear();
                    column.encode(row, &mut encoded);
                }
            }
            rows += batch.num_rows() as u64;
        }
    }
    Ok(rows)
}
