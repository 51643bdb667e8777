/// What a snapshot may ask of the machine before it is refused. Checked against what a file declares, before anything is
/// allocated for it, and again while it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file's footer. A parsed footer takes about eight times as much memory.
    pub footer_bytes: u64,
    /// Rows of the whole snapshot.
    pub rows: u64,
    /// Bytes that all syncs of one pass may keep of the rows that they select: 28 a row, 12 more for each identifier
    /// that another record may carry too.
    pub kept_bytes: u64,
    /// Bytes of one page, compressed or not. The largest page that a well-known writer makes has 100 MB.
    pub page_bytes: u64,
    /// Bytes of one column in one row group that must be held at once: nested columns without page row counts only.
    pub chunk_bytes: u64,
    /// Bytes that are read ahead of the decoder, over all columns; at least one page a column is held whatever this says.
    pub read_ahead_bytes: u64,
    /// Bytes of one decoded batch, as far as the file's own figures allow to predict it.
    pub batch_bytes: u64,
    /// Rows of one decoded batch.
    pub batch_rows: usize,
    /// Bytes of a fixed-length value.
    pub fixed_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            footer_bytes: 16 << 20,
            rows: 200_000_000,
            kept_bytes: u64::MAX,
            page_bytes: 256 << 20,
            chunk_bytes: 256 << 20,
            read_ahead_bytes: 64 << 20,
            batch_bytes: 16 << 20,
            batch_rows: 8192,
            fixed_bytes: 64 << 10,
        }
    }
}
