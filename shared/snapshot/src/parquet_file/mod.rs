//! Reading Parquet objects column by column, page by page, in bounded memory.
//!
//! The `parquet` crate decodes pages into arrays. Everything before that is done here: ranged reads with read-ahead, a check
//! of every size before something is allocated for it, checksums, and decompression that stops at the declared size. No
//! task is spawned and no timer is used: reads make progress while the caller polls.

mod buffers;
mod chunk;
mod codes;
mod delta;
mod fetch;
mod file;
mod footer;
mod header;
mod page;
mod page_index;
mod row_group;
mod scan;
mod schema;
mod statistics;
mod thrift;

pub(crate) use buffers::Buffers;
pub(crate) use file::ParquetFile;
pub(crate) use scan::{Batch, Group, Scan};
pub(crate) use statistics::Statistics;
