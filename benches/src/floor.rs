//! The decode floor: what reading the file costs anybody who uses the `parquet` crate.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::fs::File;
use std::path::Path;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use serde_json::{Value, json};

/// Reads every column of every row group of a folder's files, `threads` row groups at a time.
pub(crate) fn floor(folder: &Path, threads: usize) -> anyhow::Result<Value> {
    let mut paths = std::fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    let mut groups = Vec::new();
    for path in &paths {
        let metadata = ArrowReaderMetadata::load(&File::open(path)?, ArrowReaderOptions::new())?;
        groups.extend((0..metadata.metadata().num_row_groups()).map(|group| (path, metadata.clone(), group)));
    }
    let next = AtomicUsize::new(0);
    let decode = || -> anyhow::Result<usize> {
        let mut rows = 0;
        while let Some((path, metadata, group)) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(File::open(path)?, metadata.clone());
            for batch in reader.with_row_groups(vec![*group]).with_batch_size(8192).build()? {
                rows += batch?.num_rows();
            }
        }
        Ok(rows)
    };
    let rows = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(decode)).collect();
        workers
            .into_iter()
            .map(|w| w.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?)
            .sum::<anyhow::Result<usize>>()
    })?;
    Ok(json!({ "rows": rows }))
}
