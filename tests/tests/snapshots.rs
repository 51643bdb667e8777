//! What a snapshot's values are does not depend on who wrote them, and what changed is what DuckDB says changed.
//!
//! `tests/writers/write.py` writes a random table with Arrow C++, DuckDB and Polars, in all their ways; the Rust writer
//! joins them here. It needs the Python tools (`make tools`); without them these tests say that they were skipped.

mod snapshots {
    pub(crate) mod evolution;
    pub(crate) mod manifest;
    pub(crate) mod rust_writer;
    pub(crate) mod taken;
    pub(crate) mod writers;
}
