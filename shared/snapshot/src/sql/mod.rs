//! Selections in SQL, with the parser, planner and expressions of `DataFusion`, and without its engine.
//!
//! A selection is `SELECT … FROM dataset WHERE …`, or the condition alone: one table, one row at a time. What is not that
//! is refused by its place in the text before it is planned.

mod columns;
mod functions;
mod parse;
mod plan;
mod prune;

pub(crate) use plan::{Evaluated, Expression, Planner, reads};
pub(crate) use prune::{Bound, Bounds, Prunable};
