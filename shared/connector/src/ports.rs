use core::fmt;
use std::sync::Arc;

use driftless_model::Clock;

use crate::{Buckets, BuildError};

/// What a connector may use of its surroundings, beside HTTP and secrets. A kind that needs one of them and does not get it is
/// not built ([`BuildError::Port`]); most need none.
#[derive(Clone, Default)]
pub struct Ports {
    /// The time, for what is signed or written with it.
    pub clock: Option<Arc<dyn Clock>>,
    /// The buckets that may be written to.
    pub buckets: Option<Arc<dyn Buckets>>,
}

impl Ports {
    pub(crate) fn clock(&self) -> Result<Arc<dyn Clock>, BuildError> {
        self.clock.clone().ok_or(BuildError::Port { what: "a clock" })
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}
