//! Made-up customers: the same seed gives the same people, and each generation a little churn.

mod customer;
mod file;
mod population;

pub(crate) use file::write;
pub(crate) use population::population;
