//! From what was used to what it costs.
//!
//! * A [`PriceTable`] is data: dated, of one region, with a source for every row. One is compiled in; another can be read from a
//!   file of the same form.
//! * [`PriceTable::bill`] prices a [`Usage`](driftless_model::Usage); [`PriceTable::standing`] prices what a deployment costs
//!   while nothing changes.
//! * [`Money`] is a whole number of nano-dollars: nothing here is computed with floating point.
//!
//! Everything is a function over values. What does not belong here: counting, and any reading of the cloud.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bill;
mod money;
mod prices;
mod standing;

pub use bill::{Bill, Line};
pub use money::Money;
pub use prices::{Item, Price, PriceError, PriceTable};
pub use standing::{
    ALARMS_OF_A_DESTINATION, ALARMS_OF_THE_CORE, Deployment, SWEEP, SWEEP_OF_A_SYNC, SWEEPS_A_MONTH, Standing,
};
