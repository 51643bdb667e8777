//! The snapshot passes from the outside: one binary, because each one links the whole SQL layer.

#![allow(clippy::unwrap_used)]

mod codes;
mod content;
mod craft;
mod debian;
mod hostile;
mod layouts;
mod parquet_testing;
mod pruning;
mod read_ahead;
mod recipe;
mod rows;
mod selection;
mod sifting;
mod states;
mod support;
