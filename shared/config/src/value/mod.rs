//! Values that people write as text: durations, shares, limits. Their schemas let an editor check them while typing.

mod duration;
mod limit;
mod share;

pub use duration::{HumanDuration, InvalidDuration};
pub use limit::{Limit, ShareAtLeast};
pub use share::{InvalidShare, Share};
