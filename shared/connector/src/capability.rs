use core::num::{NonZeroU32, NonZeroU64};
use core::time::Duration;

use driftless_config::destination::Rate;
use driftless_model::Operation;

/// What a destination can do, known from its configuration alone. The planner chooses the strategy by it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each says of one thing whether the destination can do it")]
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
    /// How its whole list is replaced; `None`: only record by record.
    pub replace: Option<Replace>,
    /// It creates lists under new names, and retires old ones ([`crate::Connector::create_list`]).
    pub new_list: bool,
    /// How long a job may take until nothing is expected of it any more ([`Acknowledges::Job`]).
    pub job_timeout: Duration,
    /// Which recipe each identifier field wants, by field, such as `("email", "meta.email@1")`.
    pub normalisation: &'static [(&'static str, &'static str)],
    /// What one data request costs at the destination, in nano-dollars, where that is known.
    pub price_per_call: Option<u64>,
}

/// How a whole list is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// By sends that belong together ([`crate::Session`]): the list becomes what the parts of one session say.
    Session {
        /// The limits of one part.
        limits: Limits,
        /// How long after its first part a session takes further ones.
        open_for: Option<Duration>,
    },
    /// It can be emptied, and is then filled: nobody is in it for a while.
    ClearFirst,
    /// Who was put there before an instant can be taken out, so it is filled first and cleared of all others then.
    ClearAfter,
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
    /// A request is accepted, and a job tells later what became of its records ([`crate::Answered::Accepted`]).
    Job,
}

/// Can do nothing: a base to fill in, `Capabilities { add, ..Capabilities::default() }`.
impl Default for Capabilities {
    fn default() -> Self {
        Self {
            add: None,
            update: None,
            remove: None,
            list: false,
            creates_list: false,
            acknowledges: Acknowledges::Record,
            repeatable: true,
            rate: None,
            replace: None,
            new_list: false,
            job_timeout: Self::JOB_TIMEOUT,
            normalisation: &[],
            price_per_call: None,
        }
    }
}

impl Capabilities {
    /// How long a job may take where the kind says nothing else.
    pub const JOB_TIMEOUT: Duration = Duration::from_hours(24);

    /// The limits of an operation; `None` if it is not supported.
    #[must_use]
    pub const fn limits(&self, operation: Operation) -> Option<Limits> {
        match operation {
            Operation::Add => self.add,
            Operation::Update => self.update,
            Operation::Remove => self.remove,
            Operation::Inspect | Operation::Prepare | Operation::List | Operation::Clear => None,
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
