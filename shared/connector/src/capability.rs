use core::num::{NonZeroU32, NonZeroU64};

use driftless_config::destination::Rate;
use driftless_model::Operation;

/// What a destination can do, known from its configuration alone. The planner chooses the strategy by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The limits of an add; `None`: it cannot add.
    pub add: Option<Limits>,
    /// The limits of an update; `None`: it cannot change what is there.
    pub update: Option<Limits>,
    /// The limits of a removal; `None`: it cannot remove.
    pub remove: Option<Limits>,
    /// Its members can be listed.
    pub list: bool,
    /// It creates the list where there is none: a run that finds nothing acknowledged begins with [`Operation::Prepare`].
    pub creates_list: bool,
    /// What an acknowledgement covers.
    pub acknowledges: Acknowledges,
    /// Sending a row twice does no harm.
    pub repeatable: bool,
    /// The rate budget that all invocations share.
    pub rate: Option<Rate>,
}

/// How much one data request may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most records.
    pub records: NonZeroU32,
    /// The most bytes of the body.
    pub bytes: Option<NonZeroU64>,
}

/// What an acknowledgement covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledges {
    /// Each record by itself.
    Record,
    /// All records of a request together.
    Batch,
}

impl Capabilities {
    /// The limits of an operation; `None` if it is not supported.
    #[must_use]
    pub const fn limits(&self, operation: Operation) -> Option<Limits> {
        match operation {
            Operation::Add => self.add,
            Operation::Update => self.update,
            Operation::Remove => self.remove,
            Operation::Inspect | Operation::Prepare => None,
        }
    }
}

impl Limits {
    /// A limit of records only.
    #[must_use]
    pub const fn records(records: NonZeroU32) -> Self {
        Self { records, bytes: None }
    }
}
